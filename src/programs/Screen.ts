/**
 * What to send to a terminal so that log lines scroll by above a few lines that are always current.
 *
 * Pure: each frame says what stood there before, and the text that turns it into what should stand there now. A frame is
 * written in one piece between the marks of synchronized output, and lines are overwritten rather than erased first, so
 * that nothing flickers.
 *
 * Invariants:
 * 1. No line of the region reaches the last column, so a terminal never wraps one.
 * 2. Every log line is printed once, in order, above the region.
 * 3. After a frame, exactly the region and nothing of an earlier one stands below the log.
 */
import { truncate, width } from "./Display.ts"

/** The lines that stay at the bottom; on the last of them the cursor rests after `cursorCells` cells. */
export interface Region {
  readonly lines: ReadonlyArray<string>
  readonly cursorCells: number
}

/** What stands at the bottom now. */
export interface Screen {
  /** Cells used by each line. */
  readonly widths: ReadonlyArray<number>
  readonly cursorCells: number
}

export const empty: Screen = { widths: [], cursorCells: 0 }

const begin = "\u001b[?2026h"
const end = "\u001b[?2026l"
const toEndOfLine = "\u001b[K"
const toEndOfScreen = "\u001b[J"

/** Rows a line takes, should the terminal have become narrower since it was drawn. */
const rows = (cells: number, columns: number): number => Math.max(1, Math.ceil(cells / columns))

/** Back to the first cell of the region. The cursor is on its last line. */
const toTop = (screen: Screen, columns: number): string => {
  if (screen.widths.length === 0) return ""
  const above = screen.widths.slice(0, -1).reduce((sum, cells) => sum + rows(cells, columns), 0) +
    Math.floor(screen.cursorCells / columns)
  return above === 0 ? "\r" : `\r\u001b[${above}A`
}

/** The text to write, and the screen it leaves. `style` colours a region line after it was cut to fit. */
export const frame = (
  screen: Screen,
  log: ReadonlyArray<string>,
  region: Region,
  columns: number,
  style: (line: string, index: number) => string = (line) => line
): { readonly text: string; readonly screen: Screen } => {
  const lines = region.lines.map((line) => truncate(line, columns - 1))
  const widths = lines.map(width)
  const cursorCells = Math.min(region.cursorCells, columns - 1)
  const scrolled = log.length === 0 ? "" : toEndOfScreen + log.map((line) => `${line}\r\n`).join("")
  const drawn = lines.map((line, index) => style(line, index) + toEndOfLine).join("\r\n")
  const cursor = `\r${cursorCells > 0 ? `\u001b[${cursorCells}C` : ""}`
  const text = begin + toTop(screen, columns) + scrolled + drawn + toEndOfScreen + (lines.length === 0 ? "" : cursor) +
    end
  return { text, screen: lines.length === 0 ? empty : { widths, cursorCells } }
}
