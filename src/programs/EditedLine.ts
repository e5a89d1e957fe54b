/** How the line that a person is typing is drawn: all of it that fits, or the end of what stands before the cursor. */
import * as Display from "./Display.ts"
import { graphemes } from "./Graphemes.ts"
import type { LineEditor } from "./LineEditor.ts"

const prompt = "> "

export interface Drawn {
  readonly line: string
  readonly cursorCells: number
}

export const drawn = ({ cursor, text }: LineEditor, columns: number): Drawn => {
  const room = columns - 2 - prompt.length
  // No more than this can be visible, and measuring a whole long paste at every key would cost seconds.
  const before = text.slice(Math.max(0, cursor - 8 * room), cursor)
  if (before.length === cursor && Display.width(before) <= room) {
    return { line: prompt + text.slice(0, 8 * columns), cursorCells: prompt.length + Display.width(before) }
  }
  let start = before.length
  let used = 0
  for (const { index, segment } of [...graphemes(before)].toReversed()) {
    if (used + Display.width(segment) > room) break
    used += Display.width(segment)
    start = index
  }
  return { line: prompt + before.slice(start), cursorCells: prompt.length + used }
}
