/** A terminal as far as labfx uses one: rows of cells, wrapping, and the few control sequences it sends. */
import { width } from "../../src/programs/Display.ts"

const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" })

export interface VirtualTerminal {
  readonly write: (text: string) => void
  /** Every row ever written, scrolled-out ones included, without blanks at the end. */
  readonly rows: () => ReadonlyArray<string>
  readonly cursor: () => { readonly row: number; readonly column: number }
}

/** Throws at any sequence it does not know: what labfx sends stays within what every terminal understands. */
export const make = (columns: number): VirtualTerminal => {
  const rows: Array<Array<string>> = [[]]
  let row = 0
  let column = 0
  const control = (final: string, count: number) => {
    if (final === "A") row = Math.max(0, row - count)
    else if (final === "C") column = Math.min(columns - 1, column + count)
    else if (final === "K") rows[row]!.length = Math.min(rows[row]!.length, column)
    else if (final === "J") {
      rows[row]!.length = Math.min(rows[row]!.length, column)
      rows.length = row + 1
    } else if (final !== "m" && final !== "h" && final !== "l") throw new Error(`unknown sequence ${final}`)
  }
  const put = (segment: string) => {
    const cells = width(segment)
    if (column + cells > columns) {
      row++
      column = 0
    }
    while (rows.length <= row) rows.push([])
    while (rows[row]!.length < column) rows[row]!.push(" ")
    rows[row]!.splice(column, cells, segment, ...Array.from({ length: cells - 1 }, () => ""))
    column += cells
  }
  return {
    write: (text) => {
      // oxlint-disable-next-line no-control-regex -- control sequences are what a terminal reads
      for (const part of text.matchAll(/\u001b\[[?]?(\d*)([A-Za-z])|\r|\n|[^\u001b\r\n]+/g)) {
        if (part[0] === "\r") column = 0
        else if (part[0] === "\n") {
          row++
          while (rows.length <= row) rows.push([])
        } else if (part[0].startsWith("\u001b")) control(part[2]!, Number(part[1] === "" ? 1 : part[1]))
        else for (const { segment } of segmenter.segment(part[0])) put(segment)
      }
    },
    rows: () => rows.map((cells) => cells.join("").trimEnd()),
    cursor: () => ({ row, column })
  }
}
