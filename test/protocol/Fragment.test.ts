import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Fragment from "../../src/protocol/Fragment.ts"
import * as Limits from "../../src/protocol/Limits.ts"

const Uint32 = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 32 - 1 }))
const Uint16 = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 16 - 1 }))
const Byte = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))
const largest = 2 ** 32 - 1

/** A datagram as it travels: the sealed part is taken for open here. */
const datagramOf = (clear: Fragment.Clear, head: Fragment.Head, pieceBytes: number) => {
  const bytes = new Uint8Array(Fragment.aroundBytes + pieceBytes)
  bytes.set(Fragment.encodeClear(clear))
  bytes.set(Fragment.encodeHead(head), Fragment.clearBytes)
  return bytes
}
const openedOf = (datagram: Uint8Array) => datagram.subarray(Fragment.clearBytes, datagram.length - Fragment.sealBytes)

const clear = { sequence: 0x01020304, sentMs: 0xfffefdfc }
const head = { cast: 0xf1f2f3f4, index: 0x11121314, offset: 0x81828384, pieceBytes: 0x9192, parity: 0xa1a2 }

describe("Fragment", () => {
  it("goes to as many groups as are said, the first and those beside it", () => {
    const hostsOf = (host: string, count: number) => Fragment.groupsOf({ host, port: 1 }, count).map(({ host }) => host)
    assert.deepStrictEqual(hostsOf("239.255.1.254", 1), ["239.255.1.254"])
    assert.deepStrictEqual(hostsOf("239.255.1.254", 4), [254, 255, 252, 253].map((last) => `239.255.1.${last}`))
    for (const last of [0, 7, 255]) {
      const hosts = hostsOf(`239.255.1.${last}`, Limits.castGroupsMax)
      assert.lengthOf(new Set(hosts), Limits.castGroupsMax)
      const first = last - last % Limits.castGroupsMax
      const all = Array.from({ length: Limits.castGroupsMax }, (_, index) => `239.255.1.${first + index}`)
      assert.sameMembers(hosts, all)
    }
  })

  it.prop(
    "gives back the numbers that were encoded (invariant 1)",
    {
      sequence: Uint32,
      sentMs: Uint32,
      cast: Uint32,
      index: Uint32,
      offset: Uint32,
      pieceBytes: Uint16,
      parity: Uint16
    },
    ({ sentMs, sequence, ...head }) => {
      const datagram = datagramOf({ sequence, sentMs }, head, 3)
      assert.deepStrictEqual(Fragment.decodeClear(datagram), { sequence, sentMs })
      assert.deepStrictEqual(Fragment.decodeHead(openedOf(datagram)), head)
    }
  )

  it("gives back the least and the largest numbers (invariant 1)", () => {
    for (const n of [0, 1, 2 ** 31 - 1, 2 ** 31, largest]) {
      const short = n % 2 ** 16
      const head = { cast: n, index: largest - n, offset: n, pieceBytes: short, parity: 2 ** 16 - 1 - short }
      const datagram = datagramOf({ sequence: n, sentMs: largest - n }, head, 0)
      assert.deepStrictEqual(Fragment.decodeClear(datagram), { sequence: n, sentMs: largest - n })
      assert.deepStrictEqual(Fragment.decodeHead(openedOf(datagram)), head)
    }
  })

  it("lies in a datagram as it is written down (invariant 1)", () => {
    assert.deepStrictEqual(
      Array.from(datagramOf(clear, head, 0).subarray(0, Fragment.clearBytes + Fragment.headBytes)),
      [
        [0x9b, 0x6c, 0x66, 0x63, 1],
        [0x01, 0x02, 0x03, 0x04],
        [0xff, 0xfe, 0xfd, 0xfc],
        [0xf1, 0xf2, 0xf3, 0xf4],
        [0x11, 0x12, 0x13, 0x14],
        [0x81, 0x82, 0x83, 0x84],
        [0x91, 0x92],
        [0xa1, 0xa2]
      ].flat()
    )
  })

  it("is read from the middle of a larger buffer (invariant 1)", () => {
    const datagram = datagramOf(clear, head, 5)
    const buffer = new Uint8Array(datagram.length + 20).fill(0xff)
    buffer.set(datagram, 7)
    const inside = buffer.subarray(7, 7 + datagram.length)
    assert.deepStrictEqual(Fragment.decodeClear(inside), clear)
    assert.deepStrictEqual(Fragment.decodeHead(openedOf(inside)), head)
  })

  it.prop(
    "never throws, whatever the bytes (invariant 2)",
    {
      bytes: Schema.Array(Byte).check(Schema.isMaxLength(80)),
      prefix: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: Fragment.clearBytes }))
    },
    ({ bytes, prefix }) => {
      const beginning = Fragment.encodeClear(clear).subarray(0, prefix)
      const datagram = Uint8Array.from([...beginning, ...bytes])
      const decoded = Fragment.decodeClear(datagram)
      if (decoded === undefined) return
      assert.isAtLeast(datagram.length, Fragment.aroundBytes)
      for (const n of [decoded.sequence, decoded.sentMs, ...Object.values(Fragment.decodeHead(openedOf(datagram)))]) {
        assert.isTrue(Number.isInteger(n) && n >= 0 && n <= largest)
      }
    },
    { arbitrary: { runs: 500 } }
  )

  it("takes no other magic, no other version and nothing too short for a fragment (invariant 2)", () => {
    const datagram = datagramOf(clear, head, 0)
    assert.deepStrictEqual(Fragment.decodeClear(datagram), clear)
    for (let bit = 0; bit < 5 * 8; bit++) {
      const other = datagram.slice()
      other[bit >> 3] = other[bit >> 3]! ^ (1 << (bit & 7))
      assert.isUndefined(Fragment.decodeClear(other), `bit ${bit}`)
    }
    for (let length = 0; length < datagram.length; length++) {
      assert.isUndefined(Fragment.decodeClear(datagram.subarray(0, length)), `${length} bytes`)
    }
  })

  it("has room for the largest piece and takes no datagram that is one byte too long (invariant 3)", () => {
    assert.isAtMost(Fragment.aroundBytes + Limits.pieceBytesMax, Limits.fragmentDatagramBytesMax)
    assert.deepStrictEqual(Fragment.decodeClear(datagramOf(clear, head, Limits.pieceBytesMax)), clear)
    const room = Limits.fragmentDatagramBytesMax - Fragment.aroundBytes
    assert.deepStrictEqual(Fragment.decodeClear(datagramOf(clear, head, room)), clear)
    assert.isUndefined(Fragment.decodeClear(datagramOf(clear, head, room + 1)))
  })

  it.prop(
    "cuts a chunk into pieces that cover it once and are never larger than agreed (invariant 3)",
    {
      pieceBytes: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 64 })),
      chunkBytes: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000 }))
    },
    ({ chunkBytes, pieceBytes }) => {
      let offset = 0
      while (offset < chunkBytes) {
        const bytes = Fragment.lengthAt(pieceBytes, chunkBytes, offset)
        assert.isTrue(bytes > 0 && bytes <= pieceBytes)
        for (let within = 1; within < bytes; within++) {
          assert.strictEqual(Fragment.lengthAt(pieceBytes, chunkBytes, offset + within), 0)
        }
        offset += bytes
      }
      assert.strictEqual(offset, chunkBytes)
    }
  )

  it.each([
    [8, 20, 0, 8],
    [8, 20, 8, 8],
    [8, 20, 16, 4],
    [8, 17, 16, 1],
    [8, 16, 16, 0],
    [8, 20, 24, 0],
    [8, 20, largest - 7, 0],
    [8, 20, 7, 0],
    [8, 20, 9, 0],
    [8, 20, 20, 0],
    [8, 8, 0, 8],
    [8, 7, 0, 7],
    [8, 1, 0, 1],
    [8, 0, 0, 0]
  ])("has pieces of %i bytes in a chunk of %i: at %i lie %i", (pieceBytes, chunkBytes, offset, bytes) => {
    assert.strictEqual(Fragment.lengthAt(pieceBytes, chunkBytes, offset), bytes)
  })

  it.prop(
    "has another nonce for each sequence",
    { first: Uint32, second: Uint32 },
    ({ first, second }) => {
      assert.strictEqual(Fragment.nonce(first).length, 12)
      const isSame = `${Fragment.nonce(first)}` === `${Fragment.nonce(second)}`
      assert.strictEqual(isSame, first === second)
    }
  )

  it("has another nonce for sequences that differ in one bit", () => {
    const nonces = [0, ...Array.from({ length: 32 }, (_, bit) => 2 ** bit), largest].map(Fragment.nonce)
    assert.strictEqual(new Set(nonces.map(String)).size, nonces.length)
  })
})
