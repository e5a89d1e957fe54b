import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Frame from "../../src/protocol/Frame.ts"
import * as Limits from "../../src/protocol/Limits.ts"

/** Writes down what comes out of a decoder. */
const recorder = (wanted = true) => {
  const seen: Array<unknown> = []
  let buffer = new Uint8Array(0)
  let header: unknown
  const decoder = new Frame.Decoder({
    control: (json) => void seen.push(json),
    data: (json, length) => {
      if (!wanted) return "skip"
      header = json
      buffer = new Uint8Array(length)
      return { into: buffer }
    },
    dataEnd: () => void seen.push([header, Array.from(buffer)])
  })
  return { seen, decoder }
}

const concat = (parts: ReadonlyArray<Uint8Array>) => {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

const Frames = Schema.Array(Schema.Union([
  Schema.Struct({ text: Schema.String.check(Schema.isMaxLength(200)) }),
  Schema.Struct({ payload: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))) })
])).check(Schema.isMaxLength(12))

const header = (kind: number, jsonBytes: number, payloadBytes: number) => {
  const bytes = new Uint8Array(8)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, jsonBytes)
  view.setUint8(0, kind)
  view.setUint32(4, payloadBytes)
  return bytes
}

describe("Frame", () => {
  it.prop(
    "gives the same frames however the bytes are cut (invariants 1 and 3)",
    { frames: Frames, cuts: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 40 }))) },
    ({ frames, cuts }) => {
      const expected: Array<unknown> = []
      const parts: Array<Uint8Array> = []
      for (const frame of frames) {
        if ("text" in frame) {
          const message = { text: frame.text.toWellFormed() }
          expected.push(message)
          parts.push(Frame.encodeControl(message))
        } else if (frame.payload.length > 0) {
          expected.push([{ n: expected.length }, frame.payload])
          parts.push(
            Frame.encodeDataHeader({ n: expected.length - 1 }, frame.payload.length),
            Uint8Array.from(frame.payload)
          )
        }
      }
      const bytes = concat(parts)
      const { seen, decoder } = recorder()
      let at = 0
      for (let turn = 0; at < bytes.length; turn++) {
        const next = at + (cuts.length === 0 ? bytes.length : cuts[turn % cuts.length]!)
        // A copy that is spoilt afterwards: the decoder must not keep what it was handed.
        const run = bytes.slice(at, next)
        assert.isUndefined(decoder.push(run))
        run.fill(0xff)
        at = next
      }
      assert.deepStrictEqual(seen, expected)
    }
  )

  it("skips a payload that nobody wants and goes on with the next frame (invariant 3)", () => {
    const { seen, decoder } = recorder(false)
    decoder.push(concat([Frame.encodeDataHeader({}, 3), new Uint8Array(3), Frame.encodeControl("after")]))
    assert.deepStrictEqual(seen, ["after"])
  })

  const atLimit: ReadonlyArray<readonly [string, number, number, number]> = [
    ["control text", 1, Limits.controlFrameBytesMax, 0],
    ["data header", 2, Limits.dataHeaderBytesMax, 1],
    ["payload", 2, 2, Limits.dataFrameBytesMax]
  ]
  for (const [name, kind, jsonBytes, payloadBytes] of atLimit) {
    it(`takes the longest ${name} and refuses one byte more (invariant 2)`, () => {
      assert.isUndefined(recorder().decoder.push(header(kind, jsonBytes, payloadBytes)))
      const over = payloadBytes > 1
        ? header(kind, jsonBytes, payloadBytes + 1)
        : header(kind, jsonBytes + 1, payloadBytes)
      assert.match(recorder().decoder.push(over)!, /too long/)
    })
  }

  it("refuses unknown kinds, empty frames, control frames with a payload, data frames without and bytes that are not JSON", () => {
    assert.strictEqual(recorder().decoder.push(new TextEncoder().encode("GET / HTTP/1.1\r\n")), "not a frame")
    assert.strictEqual(recorder().decoder.push(header(1, 0, 0)), "an empty frame")
    assert.strictEqual(recorder().decoder.push(header(1, 2, 1)), "a payload of a wrong length")
    assert.strictEqual(recorder().decoder.push(header(2, 2, 0)), "a payload of a wrong length")
    assert.strictEqual(recorder().decoder.push(concat([header(1, 2, 0), Uint8Array.of(0xff, 0xfe)])), "not JSON")
  })

  it("says nothing more after a violation (invariant 4)", () => {
    const { seen, decoder } = recorder()
    const violation = decoder.push(header(9, 1, 0))
    assert.strictEqual(decoder.push(Frame.encodeControl("late")), violation)
    assert.deepStrictEqual(seen, [])
  })
})
