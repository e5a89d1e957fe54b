/** The log on disk: what was appended is there again, in order, and nothing torn or altered ever is. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema, type Scope } from "effect"
import type { SessionId } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import { Crypto } from "../../src/services/Crypto.ts"
import { Disk } from "../../src/services/Disk.ts"
import { type LogRecord, LogStore } from "../../src/services/LogStore.ts"
import * as CryptoNode from "../../src/services/node/CryptoNode.ts"
import { DiskMemory } from "../../src/simulator/DiskMemory.ts"
import { seed } from "../support/Certified.ts"

const sessionOf = (n: number): SessionId => `${n}`.padEnd(22, "A") as SessionId
const session = sessionOf(0)
const path = `/state/sessions/${session}/log`

const recordOf = (crypto: Crypto["Service"], n: number): LogRecord => ({
  kind: n % 5 === 0 ? "certificate" : "entry",
  signed: crypto.sign(crypto.keyPair(seed(n % 3)), "entry", session, `record ${n} with a\nbreak and é 😀 "quotes"`)
})

const records = (from: number, count: number) =>
  Effect.map(Crypto, (crypto) => Array.from({ length: count }, (_, i) => recordOf(crypto, from + i)))

const open = (id: SessionId) => Effect.flatMap(LogStore, (store) => store.open(id))

/** One run of the program on a disk. */
const run = <A, E>(disk: DiskMemory, effect: Effect.Effect<A, E, LogStore | Crypto | Disk | Scope.Scope>) =>
  effect.pipe(
    Effect.scoped,
    Effect.provide(
      LogStore.layer("/state").pipe(Layer.provideMerge(disk.layer), Layer.provideMerge(CryptoNode.layerNode))
    )
  )

const append = (disk: DiskMemory, from: number, count: number, durable = false) =>
  run(
    disk,
    Effect.gen(function*() {
      const log = yield* open(session)
      yield* log.append(yield* records(from, count), durable)
      return log.kept
    })
  )

const kept = (disk: DiskMemory) => run(disk, Effect.map(open(session), (log) => log.kept))

const Index = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100_000 }))

describe("LogStore", () => {
  it.effect("gives back what was appended, over several runs", () =>
    Effect.gen(function*() {
      const disk = new DiskMemory()
      assert.strictEqual((yield* append(disk, 0, 10)).length, 0)
      assert.strictEqual((yield* append(disk, 10, 5)).length, 10)
      const expected = yield* records(0, 15).pipe(Effect.provide(CryptoNode.layerNode))
      assert.deepStrictEqual(yield* kept(disk), expected)
    }))

  it.effect("reads logs that are longer than its buffer", () =>
    Effect.gen(function*() {
      const disk = new DiskMemory()
      yield* append(disk, 0, 8_000)
      assert.isAbove(disk.usedBytes, 1_500_000)
      assert.strictEqual((yield* kept(disk)).length, 8_000)
    }))

  it.effect.prop(
    "keeps everything before the first damaged byte, nothing after it, and goes on from there",
    { at: Index, how: Schema.Literals(["cut", "flip", "garbage"]) },
    ({ at, how }) =>
      Effect.gen(function*() {
        const disk = new DiskMemory()
        yield* append(disk, 0, 12)
        const all = yield* kept(disk)
        const whole = yield* run(disk, Effect.flatMap(Disk, (disk) => disk.readFile(path, 1_000_000)))
        const position = at % whole.length
        yield* run(
          disk,
          Effect.gen(function*() {
            const file = yield* (yield* Disk).open(path, "write")
            if (how === "cut") yield* file.truncate(position)
            if (how === "flip") yield* file.write(Uint8Array.of(whole[position]! ^ 1), position)
            if (how === "garbage") yield* file.write(new Uint8Array(2_000_000).fill(120), position)
          })
        )
        const before = whole.subarray(0, position).filter((byte) => byte === 10).length
        assert.deepStrictEqual(yield* kept(disk), all.slice(0, before))
        yield* append(disk, 50, 1)
        assert.strictEqual((yield* kept(disk)).length, before + 1)
      }),
    { arbitrary: { runs: 60 } }
  )

  it.effect("appends all or nothing, and works again when the disk does", () =>
    Effect.gen(function*() {
      const disk = new DiskMemory()
      yield* run(
        disk,
        Effect.gen(function*() {
          const log = yield* open(session)
          yield* log.append(yield* records(0, 2), true)
          for (const operation of ["write", "sync"] as const) {
            disk.failNext(operation, 1, "full")
            const error = yield* Effect.flip(log.append(yield* records(90, 2), true))
            assert.strictEqual(error.reason, "full")
          }
          yield* log.append(yield* records(2, 2), true)
        })
      )
      const expected = yield* records(0, 4).pipe(Effect.provide(CryptoNode.layerNode))
      assert.deepStrictEqual(yield* kept(disk), expected)
    }))

  it.effect("keeps what was appended durably through a power cut", () =>
    Effect.gen(function*() {
      const disk = new DiskMemory()
      yield* append(disk, 0, 3, true)
      yield* append(disk, 3, 3)
      disk.crash(() => 0)
      assert.strictEqual((yield* kept(disk)).length, 3)
    }))

  it.effect("removes the sessions not touched for longest, and nothing else", () =>
    Effect.gen(function*() {
      const disk = new DiskMemory()
      yield* run(disk, Effect.flatMap(Disk, (disk) => disk.makeDirectory("/state/sessions/notes of a person")))
      for (let i = 1; i <= Limits.sessionsKeptMax + 5; i++) {
        yield* run(
          disk,
          Effect.gen(function*() {
            const log = yield* open(sessionOf(i))
            yield* log.append(yield* records(i, 1), false)
          })
        )
      }
      const names = yield* run(disk, Effect.flatMap(Disk, (disk) => disk.list("/state/sessions")))
      assert.strictEqual(names.length, Limits.sessionsKeptMax + 1)
      assert.include(names, "notes of a person")
      for (let i = 1; i <= 5; i++) assert.notInclude(names, sessionOf(i))
      assert.include(names, sessionOf(6))
    }))
})
