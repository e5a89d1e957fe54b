/**
 * Cuts what arrives on standard input into lines without ever holding more than one line's maximum.
 *
 * Of a longer line only the fact is handed on. CRLF, LF and a last line without an end all count.
 */
export type Line = { readonly _tag: "Line"; readonly text: string } | { readonly _tag: "TooLong" }

export interface LineSplitter {
  readonly push: (bytes: Uint8Array) => ReadonlyArray<Line>
  /** The line that had no end, if there is one. */
  readonly end: () => ReadonlyArray<Line>
}

export const make = (lineCharactersMax: number): LineSplitter => {
  const decoder = new TextDecoder()
  let pending = ""
  let overlong = false

  const take = (text: string): Line => {
    const line: Line = overlong || pending.length + text.length > lineCharactersMax
      ? { _tag: "TooLong" }
      : { _tag: "Line", text: (pending + text).replace(/\r$/, "") }
    pending = ""
    overlong = false
    return line
  }

  const push = (text: string): ReadonlyArray<Line> => {
    const parts = text.split("\n")
    const rest = parts.pop()!
    const lines = parts.map(take)
    if (overlong || pending.length + rest.length > lineCharactersMax) {
      overlong = true
      pending = ""
    } else pending += rest
    return lines
  }

  return {
    push: (bytes) => push(decoder.decode(bytes, { stream: true })),
    end: () => {
      const lines = push(decoder.decode())
      return pending === "" && !overlong ? lines : [...lines, take("")]
    }
  }
}
