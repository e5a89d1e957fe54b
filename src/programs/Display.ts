/** Text fit for a terminal: without control sequences, measured in cells, with figures people read. */
import { CliOutput } from "effect/cli"
import { stripVTControlCharacters } from "node:util"
import { graphemes, isPlain } from "./Graphemes.ts"

/**
 * What could steer a terminal or disguise text: controls, characters without a shape of their own (all but the joiners
 * that scripts and emoji need) and lone surrogates.
 */
const unsafe = /(?!\n)\p{Cc}|(?![\u200c\u200d])\p{Cf}|\p{Zl}|\p{Zp}|\p{Cs}/gu

/**
 * Text of several lines made safe to print: line ends stay, tabs become blanks, control sequences go. Names, titles and
 * messages come from the network and pass through here before a person sees them.
 */
export const safeText = (text: string): string =>
  stripVTControlCharacters(text.replaceAll("\r\n", "\n")).replaceAll("\t", "    ").replace(unsafe, "")

/** One line made safe. */
export const safeLine = (text: string): string => safeText(text).replaceAll("\n", " ")

/** In terminal cells. */
export const width = (text: string): number => isPlain(text) ? text.length : CliOutput.displayWidth(text)

/** At most `cells` wide, with an ellipsis where something was cut. Plain text only. */
export const truncate = (text: string, cells: number): string => {
  if (width(text) <= cells) return text
  let kept = ""
  let used = 0
  for (const { segment } of graphemes(text)) {
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

const units = ["B", "kB", "MB", "GB", "TB", "PB"]

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
