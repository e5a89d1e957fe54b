/** The table of limits in docs/PROTOCOL.md, made from `src/protocol/Limits.ts`: its sections, names, values and reasons. */
import * as Limits from "../../src/protocol/Limits.ts"

interface Row {
  readonly section: string
  readonly name: string
  readonly value: number
  readonly reason: string
}

const begin = "<!-- limits: made by scripts/golden.ts -->"
const end = "<!-- end of limits -->"

/** One row a limit, in the order of the source. A limit without a comment of its own has the reason of the one before. */
export const rows = (source: string): ReadonlyArray<Row> => {
  const values: Record<string, number> = { ...Limits }
  const found: Array<Row> = []
  let section = ""
  let reason = ""
  for (
    const [, heading, comment, name] of source.matchAll(
      /^\/\/ ---- (.+?) -+$|^\/\*\*([\s\S]*?)\*\/$|^export const (\w+)/gm
    )
  ) {
    if (heading !== undefined) section = heading
    else if (comment !== undefined) reason = comment.replace(/\s*\n \*\s*/g, " ").trim()
    else if (name !== undefined) found.push({ section, name, value: values[name]!, reason })
  }
  return found
}

/** `1200` as people read it; sizes also in the unit they are a multiple of. */
const figure = ({ name, value }: Row): string => {
  const digits = value.toLocaleString("en-US").replaceAll(",", " ")
  if (!name.includes("ytes")) return digits
  for (const [unit, size] of [["MiB", 2 ** 20], ["KiB", 2 ** 10]] as const) {
    if (value >= size && value % size === 0) return `${digits} (${value / size} ${unit})`
  }
  return digits
}

const table = (source: string): string => {
  const lines: Array<string> = []
  let section = ""
  let reason = ""
  for (const row of rows(source)) {
    if (row.section !== section) {
      section = row.section
      lines.push("", `**${section}**`, "", "| limit | value | why |", "| --- | ---: | --- |")
    }
    const why = row.reason === reason ? "as above" : row.reason.replaceAll("|", "\\|")
    lines.push(`| \`${row.name}\` | ${figure(row)} | ${why} |`)
    reason = row.reason
  }
  return lines.join("\n")
}

/** The document with its table made anew. */
export const withTable = (document: string, source: string): string => {
  const from = document.indexOf(begin)
  const to = document.indexOf(end)
  if (from < 0 || to < from) throw new Error(`docs/PROTOCOL.md needs the lines ${begin} and ${end}`)
  return `${document.slice(0, from + begin.length)}\n${table(source)}\n\n${document.slice(to)}`
}
