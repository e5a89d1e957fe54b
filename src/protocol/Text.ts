/** Text from people and from the network: counted in UTF-8 bytes, never with a second reading. */
import { Schema } from "effect"

const encoder = new TextEncoder()

export const utf8Bytes = (text: string): number => encoder.encode(text).length

/** Text of at most `bytesMax` UTF-8 bytes, well formed, without control characters: a name, a title, a detail. */
export const shortText = (bytesMax: number) =>
  Schema.String.check(
    Schema.makeFilter((text) =>
      // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
      text.isWellFormed() && !/[\u0000-\u001f\u007f-\u009f]/.test(text) && utf8Bytes(text) <= bytesMax
        ? undefined
        : `at most ${bytesMax} bytes without control characters`
    )
  )

/** Text of several lines, at least one character and at most `bytesMax` UTF-8 bytes: a message. */
export const longText = (bytesMax: number) =>
  Schema.String.check(
    Schema.isNonEmpty(),
    Schema.makeFilter((text) =>
      text.isWellFormed() && utf8Bytes(text) <= bytesMax ? undefined : `at most ${bytesMax} bytes of text`
    )
  )
