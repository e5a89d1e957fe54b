/** The line a person is typing below the live display: the terminal is in raw mode, so labfx edits it itself. */
import { graphemes } from "./Graphemes.ts"

export interface LineEditor {
  readonly text: string
  /** Where the next character goes: a UTF-16 index between two graphemes. */
  readonly cursor: number
}

export interface Key {
  /** The key's name as node:readline gives it, e.g. `backspace`; undefined for plain text. */
  readonly name: string | undefined
  readonly ctrl: boolean
  readonly meta: boolean
  /** What the key writes, or its escape sequence. */
  readonly sequence: string
}

export const empty: LineEditor = { text: "", cursor: 0 }

/** No grapheme that somebody types is longer; a press costs the same however long the line is. */
const graphemeCharactersMax = 64

/** People see graphemes: one press of backspace removes one. */
const before = ({ text, cursor }: LineEditor): number => {
  const from = Math.max(0, cursor - graphemeCharactersMax)
  let start = 0
  for (const { index } of graphemes(text.slice(from, cursor))) start = index
  return from + start
}
const after = ({ text, cursor }: LineEditor): number => {
  for (const { segment } of graphemes(text.slice(cursor, cursor + graphemeCharactersMax))) {
    return cursor + segment.length
  }
  return cursor
}

const cut = (text: string, from: number, to: number): LineEditor => ({
  text: text.slice(0, from) + text.slice(to),
  cursor: from
})

/** What a key does to the line; `entered` is the finished line. Keys without a meaning change nothing. */
export const press = (
  editor: LineEditor,
  key: Key,
  charactersMax: number
): { readonly editor: LineEditor; readonly entered?: string } => {
  const { text, cursor } = editor
  const word = key.ctrl ? `ctrl-${key.name}` : key.name
  switch (word) {
    case "return":
    case "enter":
      return { editor: empty, entered: text }
    case "backspace":
    case "ctrl-h":
      return { editor: cut(text, before(editor), cursor) }
    case "delete":
      return { editor: { ...cut(text, cursor, after(editor)), cursor } }
    case "left":
    case "ctrl-b":
      return { editor: { text, cursor: before(editor) } }
    case "right":
    case "ctrl-f":
      return { editor: { text, cursor: after(editor) } }
    case "home":
    case "ctrl-a":
      return { editor: { text, cursor: 0 } }
    case "end":
    case "ctrl-e":
      return { editor: { text, cursor: text.length } }
    case "ctrl-u":
      return { editor: cut(text, 0, cursor) }
    case "ctrl-k":
      return { editor: { text: text.slice(0, cursor), cursor } }
    case "ctrl-w":
      return { editor: cut(text, text.slice(0, cursor).trimEnd().lastIndexOf(" ") + 1, cursor) }
  }
  const written = key.ctrl || key.meta ? "" : key.sequence.replace(/\p{Cc}/gu, "")
  const isText = written !== "" && !key.sequence.startsWith("\u001b")
  return isText && text.length + written.length <= charactersMax
    ? { editor: { text: text.slice(0, cursor) + written + text.slice(cursor), cursor: cursor + written.length } }
    : { editor }
}
