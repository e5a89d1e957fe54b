/** Files that a browser hands over, at the limits of what it may: a disk in memory that notes what is written together. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import * as Limits from "../../src/protocol/Limits.ts"
import { Disk } from "../../src/services/Disk.ts"
import { Drops } from "../../src/services/Drops.ts"
import { DiskMemory } from "../../src/simulator/DiskMemory.ts"

/** Does something with drops; gives how many files each write of small files wrote. */
const withDrops = Effect.fnUntraced(function*<E>(body: (drops: Drops["Service"]) => Effect.Effect<void, E>) {
  const batches: Array<ReadonlyArray<number>> = []
  const disk = Layer.effect(
    Disk,
    Effect.map(Disk, (disk) => ({
      ...disk,
      writeFiles: (...given: Parameters<Disk["Service"]["writeFiles"]>) => {
        batches.push(given[0].map(({ bytes }) => bytes.length))
        return disk.writeFiles(...given)
      }
    }))
  ).pipe(Layer.provide(new DiskMemory().layer))
  yield* Effect.flatMap(Drops, body).pipe(Effect.provide(Drops.layer("/state").pipe(Layer.provide(disk))))
  return batches
})

const bytesOf = (text: string) => new TextEncoder().encode(text)
const upload = (...parts: ReadonlyArray<Uint8Array>) => Stream.fromIterable(parts)
const file = (path: string, size: number): ReadonlyArray<Uint8Array> => [
  bytesOf(`${JSON.stringify({ path, size })}\n`),
  new Uint8Array(size).fill(7)
]

describe("Drops", () => {
  it.effect("are dropsMax at a time, and a further one when another is done", () =>
    withDrops((drops) =>
      Effect.gen(function*() {
        const begun = yield* Effect.forEach(Array.from({ length: Limits.dropsMax }), () => drops.begin)
        assert.deepInclude(yield* Effect.flip(drops.begin), { _tag: "DropRefused", reason: "too-many" })
        yield* drops.discard(begun[0]!)
        yield* drops.begin
        assert.deepInclude(yield* Effect.flip(drops.begin), { _tag: "DropRefused", reason: "too-many" })
      })
    ))

  it.effect("take a record's line of dropRecordBytesMax, however it is cut, and not one byte more", () =>
    withDrops((drops) =>
      Effect.gen(function*() {
        const line = (length: number) => bytesOf(`${`{"path":"a","size":0`.padEnd(length - 1)}}\n`)
        const drop = yield* drops.begin
        const fits = line(Limits.dropRecordBytesMax)
        assert.deepInclude(yield* drops.write(drop, upload(fits)), { files: 1 })
        assert.deepInclude(yield* drops.write(drop, upload(fits.subarray(0, 5_000), fits.subarray(5_000))), {
          files: 1
        })
        for (const cut of [0, 5_000]) {
          const long = line(Limits.dropRecordBytesMax + 1)
          const error = yield* Effect.flip(drops.write(drop, upload(long.subarray(0, cut), long.subarray(cut))))
          assert.deepInclude(error, { reason: "malformed", detail: "a record's line is too long" })
        }
      })
    ))

  it.effect("name dropSkippedListedMax of the files they leave out, and leave out the others all the same", () =>
    withDrops((drops) =>
      Effect.gen(function*() {
        for (const count of [Limits.dropSkippedListedMax, Limits.dropSkippedListedMax + 1]) {
          const bad = Array.from({ length: count }, (_, i) => file(`bad:${i}`, 1)).flat()
          const written = yield* drops.write(yield* drops.begin, upload(...bad, ...file("good", 1)))
          assert.strictEqual(written.files, 1)
          assert.lengthOf(written.skipped, Limits.dropSkippedListedMax)
        }
      })
    ))

  it.effect("write files up to dropSmallFileBytes together, and a larger one by itself", () =>
    Effect.gen(function*() {
      const small = Limits.dropSmallFileBytes
      const batches = yield* withDrops((drops) =>
        Effect.gen(function*() {
          const files = [...file("a", 1), ...file("b", small + 1), ...file("c", small)]
          assert.deepInclude(yield* drops.write(yield* drops.begin, upload(...files)), { files: 3 })
        })
      )
      assert.deepStrictEqual(batches, [[1, small]])
    }))

  it.effect("keep small files in memory until they are dropBatchBytes, and write them then", () =>
    Effect.gen(function*() {
      const counted = Limits.dropSmallFileBytes * (1 + 1 / 16)
      const full = Math.ceil(Limits.dropBatchBytes / counted)
      assert.isBelow((full - 1) * counted, Limits.dropBatchBytes)
      const batches = yield* withDrops((drops) =>
        Effect.gen(function*() {
          const files = Array.from({ length: 2 * full + 1 }, (_, i) => file(`${i}`, Limits.dropSmallFileBytes)).flat()
          yield* drops.write(yield* drops.begin, upload(...files))
        })
      )
      assert.deepStrictEqual(batches.map(({ length }) => length), [full, full, 1])
    }))

  it.effect("write a large file in pieces of dropBatchBytes, byte for byte, however small it comes", () =>
    Effect.gen(function*() {
      const disk = yield* Disk
      const writes: Array<number> = []
      const watched = Layer.succeed(Disk, {
        ...disk,
        open: (...given) =>
          Effect.map(disk.open(...given), (file) => ({
            ...file,
            write: (bytes: Uint8Array, position: number) => {
              writes.push(bytes.length)
              return file.write(bytes, position)
            }
          }))
      })
      const content = Uint8Array.from({ length: 2 * Limits.dropBatchBytes + 1 }, (_, at) => (at * 7 + (at >> 8)) % 251)
      const line = bytesOf(`${JSON.stringify({ path: "a", size: content.length })}\n`)
      const pieces = Array.from(
        { length: Math.ceil(content.length / 10_007) },
        (_, i) => content.subarray(10_007 * i, 10_007 * (i + 1))
      )
      const [path] = yield* Effect.flatMap(Drops, (drops) =>
        Effect.gen(function*() {
          const drop = yield* drops.begin
          yield* drops.write(drop, upload(line, ...pieces, ...file("b", 1)))
          return yield* drops.finish(drop)
        })).pipe(Effect.provide(Drops.layer("/state").pipe(Layer.provide(watched))))
      assert.deepStrictEqual(writes, [Limits.dropBatchBytes, Limits.dropBatchBytes, 1])
      const copy = new Uint8Array(content.length + 1)
      const count = yield* Effect.flatMap(disk.open(path!, "read"), (file) => file.read(copy, 0))
      assert.isTrue(Buffer.from(copy.subarray(0, count)).equals(content))
    }).pipe(Effect.scoped, Effect.provide(new DiskMemory().layer)))
})
