import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Parity from "../../src/protocol/Parity.ts"
import { chance } from "../../src/simulator/Scenario.ts"

const randomBytes = (random: () => number, length: number): Uint8Array =>
  Uint8Array.from({ length }, () => Math.floor(256 * random()))

/** `count` of the numbers before `end`, in an order of their own. */
const some = (random: () => number, end: number, count: number): ReadonlyArray<number> =>
  Array.from({ length: end }, (_, n) => ({ n, at: random() })).toSorted((a, b) => a.at - b.at).slice(0, count).map((
    { n }
  ) => n)

/** Loses pieces of a chunk and makes them again from parity pieces. */
const rebuilt = (
  chunk: Uint8Array,
  pieceBytes: number,
  missing: ReadonlyArray<number>,
  parities: ReadonlyArray<number>
): Uint8Array => {
  const damaged = chunk.slice()
  const here = new Uint8Array(Math.ceil(chunk.length / pieceBytes)).fill(1)
  for (const piece of missing) {
    here[piece] = 0
    damaged.fill(0xee, piece * pieceBytes, (piece + 1) * pieceBytes)
  }
  const pieces = new Map(parities.map((parity) => [parity, Parity.encode(chunk, pieceBytes, parity)]))
  Parity.rebuild(damaged, pieceBytes, here, pieces)
  return damaged
}

describe("Parity", () => {
  it.prop(
    "gives a chunk back from any pieces and as many parity pieces (invariant 1)",
    {
      seed: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 })),
      chunkBytes: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 600 })),
      pieceBytes: Schema.Int.check(Schema.isBetween({ minimum: 5, maximum: 64 }))
    },
    ({ chunkBytes, pieceBytes, seed }) => {
      const random = chance(seed)
      const chunk = randomBytes(random, chunkBytes)
      const count = Math.ceil(chunkBytes / pieceBytes)
      const missing = some(random, count, Math.floor(random() * (Math.min(count, Parity.paritiesMax - 1) + 1)))
      const parities = some(random, Parity.paritiesMax, missing.length + Math.floor(2 * random()))
      assert.deepStrictEqual(rebuilt(chunk, pieceBytes, missing, parities), chunk)
    }
  )

  it("has room for its most pieces and parity pieces: as many are lost, and all come back (invariant 1)", () => {
    const chunk = randomBytes(chance(1), 4 * Parity.piecesMax)
    const parities = Array.from({ length: Parity.paritiesMax }, (_, parity) => parity)
    for (const first of [0, Parity.piecesMax - Parity.paritiesMax]) {
      assert.deepStrictEqual(rebuilt(chunk, 4, parities.map((n) => first + n), parities), chunk)
    }
    // Each has an element of the field, and there are 256.
    assert.strictEqual(Parity.piecesMax + Parity.paritiesMax, 256)
  })

  it("has parity pieces as they are written down (invariant 1)", () => {
    const last = Parity.piecesMax - 1
    for (const [piece, parity] of [[0, 0], [1, 0], [last, 0], [0, 1], [last, Parity.paritiesMax - 1]] as const) {
      const chunk = new Uint8Array(Parity.piecesMax)
      chunk[piece] = 1
      const [byte] = Parity.encode(chunk, 1, parity)
      assert.strictEqual(times(byte!, (192 + parity) ^ piece), 1)
      // And the sum of what each piece gives.
      chunk[7] = 0x53
      const [seventh] = Parity.encode(Uint8Array.from({ length: 8 }, (_, i) => (i === 7 ? 0x53 : 0)), 1, parity)
      assert.deepStrictEqual(Parity.encode(chunk, 1, parity), Uint8Array.of(byte! ^ seventh!))
    }
  })

  it("is as long as the first piece, and no longer than the chunk (invariant 1)", () => {
    assert.lengthOf(Parity.encode(new Uint8Array(100), 30, 7), 30)
    assert.lengthOf(Parity.encode(new Uint8Array(20), 30, 7), 20)
  })
})

describe("Parity.countFor", () => {
  it.each([
    [47, 0, 0.02, 0],
    [47, 0.0001, 0.02, 0],
    [47, 0.01, 0.02, 2],
    [187, 0.01, 0.02, 5],
    [47, 0.15, 0.02, 16],
    [1, 0.15, 0.02, 2],
    [192, 0.5, 0.02, Parity.paritiesMax]
  ])("of %i pieces with %f lost, and %f of the chunks not made good: %i", (pieces, loss, unhealed, count) => {
    assert.strictEqual(Parity.countFor(pieces, loss, unhealed), count)
  })

  it.prop(
    "is enough for all but so many of the chunks, and one less is not",
    {
      seed: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 })),
      pieces: Schema.Int.check(Schema.isBetween({ minimum: 20, maximum: Parity.piecesMax })),
      percent: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10 }))
    },
    ({ percent, pieces, seed }) => {
      const random = chance(seed)
      const count = Parity.countFor(pieces, percent / 100, 0.05)
      const unhealed = (parities: number) => {
        let chunks = 0
        for (let i = 0; i < 1_000; i++) {
          let lost = 0
          for (let piece = 0; piece < pieces + parities; piece++) if (random() < percent / 100) lost++
          if (lost > parities) chunks++
        }
        return chunks / 1_000
      }
      assert.isAtMost(unhealed(count), 0.07)
      assert.isAtLeast(unhealed(count - 1), 0.03)
    },
    { arbitrary: { runs: 20 } }
  )
})

/** A product in the field, bit by bit. */
const times = (a: number, b: number): number => {
  let product = 0
  for (let bit = 7; bit >= 0; bit--) {
    product <<= 1
    if (product > 255) product ^= 0x11d
    if ((b >> bit) & 1) product ^= a
  }
  return product
}
