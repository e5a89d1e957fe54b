/** Text fit for a terminal: without control sequences, measured in cells, with figures people read. */
import { CliOutput } from "effect/cli"

/**
 * What could steer a terminal or disguise text: controls, the invisible and the direction-changing characters, and lone
 * surrogates. Names, titles and messages come from the network and pass through here before a person sees them.
 */
// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const unsafe =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]|\p{Cs}/gu
// oxlint-disable-next-line no-control-regex -- the whole sequence goes, not only its escape character
const escapeSequence =
  /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]|(?:\u001b[\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[^\u0007\u001b\u009c]*(?:\u0007|\u001b\\|\u009c)|\u001b[ -/]*[0-~]/g

/** Text of several lines made safe: line ends stay, tabs become blanks. */
export const safeText = (text: string): string =>
  text.replaceAll("\r\n", "\n").replace(escapeSequence, "").replaceAll("\t", "    ").replace(unsafe, "")

/** One line made safe. */
export const safeLine = (text: string): string => safeText(text).replaceAll("\n", " ")

export const width: (text: string) => number = CliOutput.displayWidth

const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" })

/** At most `cells` wide, with an ellipsis where something was cut. Plain text only. */
export const truncate = (text: string, cells: number): string => {
  if (width(text) <= cells) return text
  let kept = ""
  let used = 0
  for (const { segment } of segmenter.segment(text)) {
    used += width(segment)
    if (used > cells - 1) break
    kept += segment
  }
  return cells < 1 ? "" : kept + "…"
}

/** Exactly `cells` wide: cut or padded with blanks. */
export const column = (text: string, cells: number): string => {
  const fitting = truncate(text, cells)
  return fitting + " ".repeat(Math.max(0, cells - width(fitting)))
}

const units = ["B", "kB", "MB", "GB", "TB"]

/** Decimal units, three digits: `1.21 MB`. */
export const bytes = (count: number): string => {
  let unit = 0
  let value = count
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 ? String(Math.round(value)) : value.toPrecision(3)} ${units[unit]}`
}

export const rate = (bytesPerSecond: number): string => `${bytes(bytesPerSecond)}/s`

/** Rounded down: 100 % means every byte. Nothing to do is done. */
export const percent = (part: number, whole: number): number =>
  whole <= 0 ? 100 : Math.min(100, Math.floor((100 * part) / whole))

/** A time to wait, in the unit a person would use; empty where nothing can be said. */
export const remaining = (bytesLeft: number, bytesPerSecond: number): string => {
  if (bytesLeft <= 0 || bytesPerSecond <= 0) return ""
  const seconds = Math.ceil(bytesLeft / bytesPerSecond)
  if (seconds < 100) return `${seconds} s left`
  if (seconds < 6_000) return `${Math.ceil(seconds / 60)} min left`
  return `${Math.ceil(seconds / 3_600)} h left`
}

export const bar = (percentage: number, cells: number): string => {
  const full = Math.floor((cells * percentage) / 100)
  return "█".repeat(full) + "░".repeat(cells - full)
}

export const plural = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`
