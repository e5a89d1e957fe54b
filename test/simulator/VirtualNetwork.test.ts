/** The virtual network carries bytes as cables, a switch and TCP would: figures of the simulator stand on it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Queue, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { Crypto } from "../../src/services/Crypto.ts"
import * as CryptoNode from "../../src/services/node/CryptoNode.ts"
import type { Connection } from "../../src/services/Transport.ts"
import { VirtualNetwork } from "../../src/simulator/VirtualNetwork.ts"

const KiB = 1024

/** One machine listens; each of the others has an open connection to it. */
const star = Effect.fnUntraced(function*(bytesPerSecond: number, uplinks: ReadonlyArray<number>) {
  const crypto = yield* Crypto
  const network = yield* VirtualNetwork.make({ latencyMsMin: 1, latencyMsMax: 1, bytesPerSecond })
  const key = (n: number) => crypto.keyPair(new Uint8Array(32).fill(n + 1))
  const middle = network.port("middle")
  const listener = yield* Effect.orDie(network.transport(middle).listen(key(0), 0))
  const links: Array<{ readonly out: Connection; readonly into: Connection }> = []
  for (const [index, uplink] of uplinks.entries()) {
    const port = network.port(`${index}`, uplink)
    const dialling = yield* Effect.forkScoped(
      Effect.orDie(
        network.transport(port).dial(key(index + 1), { host: "middle", port: listener.port }, undefined)
      )
    )
    yield* TestClock.adjust(10)
    const into = yield* Queue.take(listener.accepted)
    links.push({ into, out: dialling.pollUnsafe()!.pipe((exit) => exit._tag === "Success" ? exit.value : undefined)! })
  }
  return { network, middle, links }
})

/** Counts what arrives on a connection. */
const counting = Effect.fnUntraced(function*(connection: Connection) {
  const counted = { bytes: 0 }
  yield* Effect.forkScoped(Effect.ignore(connection.receive((bytes) => (counted.bytes += bytes.length))))
  return counted
})

/** Writes for ever, a frame after the other, as a link does. */
const flooding = (connection: Connection, taken: { bytes: number }): void =>
  connection.write([new Uint8Array(64 * KiB)], (lost) => {
    if (lost !== undefined) return
    taken.bytes += 64 * KiB
    flooding(connection, taken)
  })

const test = (name: string, body: () => Effect.Effect<void, never, Crypto | Scope.Scope>) =>
  it.effect(name, () => Effect.scoped(body()).pipe(Effect.provide(CryptoNode.layerNode)), 20_000)

describe("VirtualNetwork", () => {
  test("lets a reader that does not read keep all but a window's worth with the sender, and off the cable", () =>
    Effect.gen(function*() {
      const { links: [link], middle } = yield* star(1_000 * KiB, [1_000 * KiB])
      const read = yield* counting(link!.into)
      link!.into.setReading(false)
      const taken = { bytes: 0 }
      flooding(link!.out, taken)
      yield* TestClock.adjust(60_000)
      assert.isAtMost(taken.bytes, 256 * KiB)
      assert.isAtMost(middle.receivedBytes, 256 * KiB)
      // The one that was taken already was read before.
      assert.isAtMost(read.bytes, 64 * KiB)
      link!.into.setReading(true)
      yield* TestClock.adjust(1_000)
      assert.isAtLeast(read.bytes, 900 * KiB, "and goes on at full speed when it is read again")
    }))

  test("gives a downlink to those whose bytes are there, not to those who have begun to send", () =>
    Effect.gen(function*() {
      const { links: [slow, fast] } = yield* star(1_000 * KiB, [10 * KiB, 1_000 * KiB])
      const fromSlow = yield* counting(slow!.into)
      const fromFast = yield* counting(fast!.into)
      flooding(slow!.out, { bytes: 0 })
      flooding(fast!.out, { bytes: 0 })
      yield* TestClock.adjust(5_000)
      assert.strictEqual(fromSlow.bytes, 0, "64 KiB take more than six seconds")
      assert.isAtLeast(fromFast.bytes, 4_800 * KiB)
      yield* TestClock.adjust(5_000)
      assert.strictEqual(fromSlow.bytes, 64 * KiB)
    }))

  test("shares a downlink between all who send over it", () =>
    Effect.gen(function*() {
      const { links } = yield* star(1_000 * KiB, [1_000 * KiB, 1_000 * KiB, 1_000 * KiB, 1_000 * KiB])
      const counts = yield* Effect.forEach(links, ({ into }) => counting(into))
      for (const { out } of links) flooding(out, { bytes: 0 })
      yield* TestClock.adjust(8_000)
      for (const { bytes } of counts) assert.approximately(bytes, 2_000 * KiB, 256 * KiB)
    }))
})
