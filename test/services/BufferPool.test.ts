import { assert, describe, it } from "@effect/vitest"
import * as BufferPool from "../../src/services/BufferPool.ts"

describe("BufferPool", () => {
  it("gives a buffer of the size that is asked for", () => {
    const pool = BufferPool.make(1_024)
    for (const size of [0, 1, 2, 3, 511, 512, 513]) assert.strictEqual(pool.acquire(size).length, size)
  })

  it("lends what was given back to whoever needs about as much, and to one at a time", () => {
    const pool = BufferPool.make(1_024)
    const first = pool.acquire(100)
    pool.release(first)
    const second = pool.acquire(128)
    assert.strictEqual(second.buffer, first.buffer)
    assert.strictEqual(second.length, 128)
    assert.notStrictEqual(pool.acquire(128).buffer, first.buffer)
    assert.notStrictEqual(pool.acquire(129).buffer.byteLength, 128)
  })

  it("keeps at most what it may, counted by the room of each", () => {
    const pool = BufferPool.make(256)
    const borrowed = Array.from({ length: 3 }, () => pool.acquire(65))
    for (const buffer of borrowed) pool.release(buffer)
    const kept = Array.from({ length: 3 }, () => pool.acquire(65).buffer)
    assert.sameMembers(kept.slice(0, 2), borrowed.slice(0, 2).map(({ buffer }) => buffer))
    assert.notStrictEqual(kept[2], borrowed[2]!.buffer)
    // What is lent counts no more: there is room again.
    pool.release(borrowed[2]!)
    assert.strictEqual(pool.acquire(128).buffer, borrowed[2]!.buffer)
  })
})
