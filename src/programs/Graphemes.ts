/**
 * What people see as one character, by Unicode's rules (UAX 29).
 *
 * Its tables are 2.6 MB of a process's memory and text that needs them is rare: they are loaded by the first such text.
 */
export interface Grapheme {
  readonly segment: string
  /** Where it begins in the text, in UTF-16 code units. */
  readonly index: number
}

/** Printable ASCII: each of its characters is a grapheme, one terminal cell wide. */
export const isPlain = (text: string): boolean => /^[\x20-\x7e]*$/.test(text)

let segmenter: Intl.Segmenter | undefined

export const graphemes = (text: string): Iterable<Grapheme> =>
  isPlain(text)
    ? Array.from(text, (segment, index) => ({ segment, index }))
    : (segmenter ??= new Intl.Segmenter(undefined, { granularity: "grapheme" })).segment(text)
