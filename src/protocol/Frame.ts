/**
 * Frames: how messages and chunk bytes lie on a link.
 *
 * ```
 * byte 0      kind: 1 control, 2 data
 * bytes 1-3   length of the JSON text, big endian
 * bytes 4-7   length of the payload, big endian; 0 in a control frame
 * then        the JSON text (UTF-8), then the payload
 * ```
 *
 * Invariants, checked by `test/protocol/Frame.test.ts`:
 *
 * 1. **Any cut:** the frames that come out do not depend on how the bytes were cut on their way.
 * 2. **Bounded:** both lengths are checked against their maximum before a byte is kept, so a link holds at most one
 *    JSON text of `controlFrameBytesMax`.
 * 3. **One copy:** a payload goes straight to the place its receiver names; what nobody wants is skipped, not kept.
 * 4. **Dead is dead:** after the first violation nothing more comes out.
 */
import { controlFrameBytesMax, dataFrameBytesMax, dataHeaderBytesMax } from "./Limits.ts"

export const headerBytes = 8
const control = 1
const data = 2

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const writeHeader = (frame: Uint8Array, kind: number, jsonBytes: number, payloadBytes: number): void => {
  frame[0] = kind
  frame[1] = jsonBytes >> 16
  frame[2] = jsonBytes >> 8
  frame[3] = jsonBytes
  frame[4] = payloadBytes >> 24
  frame[5] = payloadBytes >> 16
  frame[6] = payloadBytes >> 8
  frame[7] = payloadBytes
}

/** A whole control frame. The caller keeps messages under `controlFrameBytesMax`; a longer one is a defect. */
export const encodeControl = (message: unknown): Uint8Array => {
  const json = encoder.encode(JSON.stringify(message))
  if (json.length > controlFrameBytesMax) throw new RangeError(`a control frame of ${json.length} bytes`)
  const frame = new Uint8Array(headerBytes + json.length)
  writeHeader(frame, control, json.length, 0)
  frame.set(json, headerBytes)
  return frame
}

/** What goes before a payload of `payloadBytes` to make a data frame. */
export const encodeDataHeader = (header: unknown, payloadBytes: number): Uint8Array => {
  const json = encoder.encode(JSON.stringify(header))
  const frame = new Uint8Array(headerBytes + json.length)
  writeHeader(frame, data, json.length, payloadBytes)
  frame.set(json, headerBytes)
  return frame
}

/** Who takes the frames of one link. Called while bytes are pushed; must not push itself. */
export interface Receiver {
  /** A control frame's JSON value, and how many bytes of text it was. A returned text refuses it and ends the link. */
  readonly control: (json: unknown, bytes: number) => string | undefined
  /**
   * A data frame begins: where its `payloadBytes` go (exactly that many), `"skip"` for a payload nobody wants, or a
   * text that refuses the frame and ends the link.
   */
  readonly data: (
    json: unknown,
    payloadBytes: number
  ) => { readonly into: Uint8Array } | "skip" | { readonly refused: string }
  /** The payload that began last is complete. Not called for a skipped one. */
  readonly dataEnd: () => void
}

/** Takes a link's bytes apart. One a link. */
export class Decoder {
  readonly #receiver: Receiver
  readonly #header = new Uint8Array(headerBytes)
  #headerFilled = 0
  /** The JSON text under way, when it did not come in one piece. */
  #json: Uint8Array | undefined
  #jsonFilled = 0
  #jsonBytes = 0
  #payloadBytes = 0
  #payloadLeft = 0
  #into: Uint8Array | undefined
  #stage: "header" | "json" | "payload" = "header"
  #violation: string | undefined

  constructor(receiver: Receiver) {
    this.#receiver = receiver
  }

  /** Takes the next run of bytes; they are not kept. Returns what the peer did wrong, once and for all. */
  push(bytes: Uint8Array): string | undefined {
    let at = 0
    while (this.#violation === undefined && at < bytes.length) {
      at = this.#stage === "header"
        ? this.#takeHeader(bytes, at)
        : this.#stage === "json"
        ? this.#takeJson(bytes, at)
        : this.#takePayload(bytes, at)
    }
    return this.#violation
  }

  #takeHeader(bytes: Uint8Array, at: number): number {
    const header = this.#header
    while (at < bytes.length && this.#headerFilled < headerBytes) header[this.#headerFilled++] = bytes[at++]!
    if (this.#headerFilled < headerBytes) return at
    this.#headerFilled = 0
    this.#jsonBytes = (header[1]! << 16) | (header[2]! << 8) | header[3]!
    this.#payloadBytes = ((header[4]! << 24) | (header[5]! << 16) | (header[6]! << 8) | header[7]!) >>> 0
    this.#violation = this.#checkLengths(header[0]!)
    this.#stage = "json"
    return at
  }

  #checkLengths(kind: number): string | undefined {
    if (kind !== control && kind !== data) return "not a frame"
    if (this.#jsonBytes === 0) return "an empty frame"
    if (this.#jsonBytes > (kind === control ? controlFrameBytesMax : dataHeaderBytesMax)) return "a frame too long"
    if (kind === control ? this.#payloadBytes !== 0 : this.#payloadBytes === 0) return "a payload of a wrong length"
    return this.#payloadBytes > dataFrameBytesMax ? "a payload too long" : undefined
  }

  #takeJson(bytes: Uint8Array, at: number): number {
    const length = Math.min(this.#jsonBytes - this.#jsonFilled, bytes.length - at)
    let text: Uint8Array
    if (this.#json === undefined && length === this.#jsonBytes) text = bytes.subarray(at, at + length)
    else {
      this.#json ??= new Uint8Array(this.#jsonBytes)
      this.#json.set(bytes.subarray(at, at + length), this.#jsonFilled)
      this.#jsonFilled += length
      if (this.#jsonFilled < this.#jsonBytes) return at + length
      text = this.#json
    }
    this.#json = undefined
    this.#jsonFilled = 0
    this.#stage = "header"
    let json: unknown
    try {
      json = JSON.parse(decoder.decode(text))
    } catch {
      this.#violation = "not JSON"
      return at + length
    }
    if (this.#payloadBytes === 0) this.#violation = this.#receiver.control(json, text.length)
    else {
      const place = this.#receiver.data(json, this.#payloadBytes)
      if (place !== "skip" && "refused" in place) this.#violation = place.refused
      this.#into = place !== "skip" && "into" in place ? place.into : undefined
      this.#payloadLeft = this.#payloadBytes
      this.#stage = "payload"
    }
    return at + length
  }

  #takePayload(bytes: Uint8Array, at: number): number {
    const length = Math.min(this.#payloadLeft, bytes.length - at)
    if (this.#into !== undefined) {
      this.#into.set(bytes.subarray(at, at + length), this.#payloadBytes - this.#payloadLeft)
    }
    this.#payloadLeft -= length
    if (this.#payloadLeft === 0) {
      this.#stage = "header"
      if (this.#into !== undefined) {
        this.#into = undefined
        this.#receiver.dataEnd()
      }
    }
    return at + length
  }
}
