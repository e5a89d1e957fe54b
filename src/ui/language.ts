/** The language of the page: which one, and how texts, numbers, sizes and times are written in it. */
import { computed, signal } from "@preact/signals"
import { type Catalogue, en, type Key, type Text } from "./texts/en.ts"
import { hi } from "./texts/hi.ts"
import { pseudo } from "./texts/pseudo.ts"

interface Language {
  readonly tag: string
  /** In itself, for whoever cannot read the current one. */
  readonly name: string
  readonly direction: "ltr" | "rtl"
  readonly texts: Catalogue
}

/** To add a language: complete a catalogue in `texts/` and name it here. */
export const languages: ReadonlyArray<Language> = [
  { tag: "en", name: "English", direction: "ltr", texts: en },
  { tag: "hi", name: "हिन्दी", direction: "ltr", texts: hi }
]

/** Only by `?lang=xr`: for those who work on the page. */
const trial: Language = { tag: "xr", name: "RTL", direction: "rtl", texts: pseudo }

const storedAs = "labfx-language"

const wanted = (): Language => {
  const asked = new URLSearchParams(location.search).get("lang") ?? localStorage.getItem(storedAs)
  if (asked === trial.tag) return trial
  return [asked ?? "", ...navigator.languages]
    .map((tag) => languages.find((language) => tag.split("-")[0] === language.tag))
    .find((language) => language !== undefined) ?? languages[0]!
}

export const language = signal(wanted())

const dress = ({ direction, tag }: Language) => {
  document.documentElement.lang = tag === trial.tag ? "en" : tag
  document.documentElement.dir = direction
}
dress(language.value)

export const choose = (tag: string) => {
  const chosen = languages.find((language) => language.tag === tag)
  if (chosen === undefined) return
  localStorage.setItem(storedAs, tag)
  language.value = chosen
  dress(chosen)
}

export type Values = Readonly<Record<string, string | number | undefined>>

/** The person's own variant of the language, which decides about dates and figures: British English, Indian Hindi. */
const locale = computed((): string => {
  const tag = language.value.tag === trial.tag ? "en" : language.value.tag
  return navigator.languages.find((variant) => variant.split("-")[0] === tag) ?? tag
})

/** A format costs a hundred times what using it costs, so each is made once a language. */
const formats = computed(() => ({ locale: locale.value, made: new Map<string, unknown>() }))
const once = <A>(name: string, make: (locale: string) => A): A => {
  const { locale, made } = formats.value
  const known = made.get(name)
  if (known !== undefined) return known as A
  const format = make(locale)
  made.set(name, format)
  return format
}

const numberFormat = (name: string, options: Intl.NumberFormatOptions): Intl.NumberFormat =>
  once(name, (locale) => new Intl.NumberFormat(locale, options))

export const number = (value: number): string => numberFormat("number", { maximumFractionDigits: 2 }).format(value)

const fill = (text: string, values: Values): string =>
  text.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name] ?? ""
    return typeof value === "number" ? number(value) : value
  })

/** A text of the catalogue. `count` decides the plural form. */
export const t = (key: Key, values: Values = {}): string => {
  const text: Text = language.value.texts[key]
  if (typeof text === "string") return fill(text, values)
  const form = once("plural", (locale) => new Intl.PluralRules(locale)).select(Number(values["count"] ?? 0))
  return fill(text[form] ?? text.other, values)
}

export const isKey = (key: string): key is Key => key in en

const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const

const scaled = (bytes: number): readonly [value: number, unit: (typeof units)[number]] => {
  let unit = 0
  let value = bytes
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1_000
    unit++
  }
  return [value, units[unit]!]
}

const withUnit = (value: number, unit: string): string =>
  numberFormat(unit, { style: "unit", unit, unitDisplay: "short", maximumSignificantDigits: 3 }).format(value)

/** `1.21 MB`: decimal units, three digits. */
export const bytes = (count: number): string => withUnit(...scaled(count))

/** `12.5 MB/s`. */
export const rate = (bytesPerSecond: number): string => {
  const [value, unit] = scaled(bytesPerSecond)
  return withUnit(value, `${unit}-per-second`)
}

/** Rounded down: 100 % means every byte. */
export const percentOf = (part: number, whole: number): number =>
  whole <= 0 ? 100 : Math.floor(100 * Math.min(1, part / whole))

export const percent = (value: number): string => numberFormat("percent", { style: "percent" }).format(value / 100)

const inFull = (value: number, unit: string): string =>
  numberFormat(`${unit} in full`, { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: 1 }).format(value)

/** A span of time in the unit a person would use. */
export const span = (ms: number): string => {
  const seconds = ms / 1_000
  if (seconds < 10) return inFull(seconds, "second")
  if (seconds < 100) return inFull(Math.round(seconds), "second")
  if (seconds < 6_000) return inFull(Math.round(seconds / 60), "minute")
  return inFull(Math.round(seconds / 360) / 10, "hour")
}

/** `3 minutes ago`. */
export const ago = (atMs: number, nowMs: number): string => {
  const seconds = Math.round((nowMs - atMs) / 1_000)
  if (seconds < 10) return t("device.seenNow")
  const format = once(
    "ago",
    (locale) => new Intl.RelativeTimeFormat(locale, { numeric: "always", style: "short" })
  )
  return seconds < 100
    ? format.format(-seconds, "second")
    : seconds < 6_000
    ? format.format(-Math.round(seconds / 60), "minute")
    : format.format(-Math.round(seconds / 3_600), "hour")
}

/** The time of day; with the date where it was another day. */
export const clock = (atMs: number, nowMs: number): string => {
  const sameDay = new Date(atMs).toDateString() === new Date(nowMs).toDateString()
  const format = sameDay
    ? once("time", (locale) => new Intl.DateTimeFormat(locale, { timeStyle: "short" }))
    : once("day", (locale) => new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" }))
  return format.format(atMs)
}
