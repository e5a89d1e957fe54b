/** What a line means that a person typed (or a script wrote) while the session runs. */
import * as Limits from "../protocol/Limits.ts"
import { utf8Bytes } from "../protocol/Text.ts"

export type Typed =
  | { readonly _tag: "Nothing" }
  | { readonly _tag: "Say"; readonly text: string }
  | { readonly _tag: "Share"; readonly path: string }
  | { readonly _tag: "Unshare"; readonly name: string }
  | { readonly _tag: "Remove"; readonly device: string }
  | { readonly _tag: "Who" }
  | { readonly _tag: "Help" }
  | { readonly _tag: "Quit" }
  | { readonly _tag: "Refused"; readonly reason: Refusal }

export type Refusal =
  | { readonly _tag: "UnknownCommand"; readonly command: string }
  | { readonly _tag: "NothingNamed"; readonly command: string }
  | { readonly _tag: "TooLong" }

const refused = (reason: Refusal): Typed => ({ _tag: "Refused", reason })

/** Dropping a file onto a terminal types its path in quotes, or with the blanks escaped. */
export const unquote = (path: string): string => {
  const quoted = /^(["'])(.*)\1$/.exec(path)
  return quoted === null ? path : quoted[2]!
}

/**
 * A line beginning with `/` is a command; `//` says a line that begins with one slash. Anything else is said as it
 * stands.
 */
export const parse = (line: string): Typed => {
  if (utf8Bytes(line) > Limits.messageTextBytesMax) return refused({ _tag: "TooLong" })
  const text = line.trim()
  if (text === "") return { _tag: "Nothing" }
  if (!text.startsWith("/")) return { _tag: "Say", text: line.trimEnd() }
  if (text.startsWith("//")) return { _tag: "Say", text: text.slice(1) }
  const [, command, rest] = /^\/(\S*)\s*(.*)$/s.exec(text)!
  switch (command) {
    case "share":
      return rest === "" ? refused({ _tag: "NothingNamed", command }) : { _tag: "Share", path: unquote(rest!) }
    case "unshare":
      return rest === "" ? refused({ _tag: "NothingNamed", command }) : { _tag: "Unshare", name: unquote(rest!) }
    case "remove":
      return rest === "" ? refused({ _tag: "NothingNamed", command }) : { _tag: "Remove", device: unquote(rest!) }
    case "who":
      return { _tag: "Who" }
    case "help":
      return { _tag: "Help" }
    case "quit":
      return { _tag: "Quit" }
    default:
      return refused({ _tag: "UnknownCommand", command: command! })
  }
}
