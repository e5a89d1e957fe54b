/**
 * Shares on disk: whatever order chunks come in, wherever the program or the power ends, what appears is what was signed.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as NodeFs from "node:fs"
import * as Bitfield from "../../src/protocol/Bitfield.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import * as Names from "../../src/protocol/Names.ts"
import { ChunkStore, type StoreOptions } from "../../src/services/ChunkStore.ts"
import { layerNode as cryptoNode } from "../../src/services/node/CryptoNode.ts"
import { layerNode as diskNode } from "../../src/services/node/DiskNode.ts"
import { DiskMemory } from "../../src/simulator/DiskMemory.ts"
import {
  type Made,
  makeShare,
  noise,
  readBack,
  receive,
  seeded,
  start,
  type Store,
  type Tree,
  untilKilled,
  withStore
} from "../support/Stores.ts"
import { tempFolder } from "../support/TempFolder.ts"

const student = { stateFolder: "/state", downloadFolder: "/home/downloads" }
const teacher = { stateFolder: "/state" }

const Draw = Schema.Natural.check(Schema.isLessThanOrEqualTo(0xffff))
const Files = Schema.Array(Schema.Tuple([Draw, Draw])).check(Schema.isMaxLength(20))

/** A tree of empty files, small ones and some of several chunks. */
const treeOf = (draws: ReadonlyArray<readonly [number, number]>): Tree =>
  new Map(draws.map(([a, b]) => {
    const folder = ["", "src/", "src/deep/er/", "\u00e9t\u00e9/"][a % 4]!
    const size = b % 5 === 0 ? 0 : b % 5 === 1 ? b % 5_000 : b % 600
    return [`${folder}${a % 30}.txt`, noise(size, b)]
  }))

const memoryWith = (folder: string, tree: Tree): DiskMemory => {
  const memory = new DiskMemory()
  for (const [path, bytes] of tree) memory.put(path === "" ? folder : `${folder}/${path}`, bytes)
  return memory
}

const sorted = (tree: Tree) => [...tree].toSorted(([a], [b]) => (a < b ? -1 : 1))

const assertTree = (memory: DiskMemory, folder: string, expected: Tree) =>
  assert.deepStrictEqual(sorted(memory.files(folder)), sorted(expected))

const quiet = () => Effect.void

/** A share of one folder with small files and a large one. */
const lab = (version = 1): Tree =>
  new Map([
    ["a.txt", noise(100, 1)],
    ["b.txt", noise(300, 2)],
    ["data/large.bin", noise(5_000, 3)],
    ["data/small.bin", noise(200, version)],
    ["empty.txt", new Uint8Array()]
  ])

const refusal = (store: Store, path: string) =>
  Effect.map(Effect.flip(store.importSource(path, quiet)), (error) => error.reason)

/** Time passes between chunks, so that what is here is marked now and then. */
const published = Effect.fnUntraced(function*(store: Store, made: Made, random = seeded(1)) {
  yield* receive(store, made, random, TestClock.adjust(Limits.unmarkedMs / 4))
  return yield* store.publish(made.share.root)
})

describe("ChunkStore", () => {
  it.effect.prop(
    "brings any tree from a source to a download, chunks in any order, byte for byte",
    { files: Files, seed: Draw },
    ({ files, seed }) =>
      Effect.gen(function*() {
        const tree = treeOf(files)
        const source = memoryWith("/lesson", tree)
        source.put("/lesson/.keep", new Uint8Array())
        const target = new DiskMemory()
        yield* withStore(source, teacher, (from) =>
          withStore(target, student, (to) =>
            Effect.gen(function*() {
              const { share, skipped } = yield* from.importSource("/lesson", quiet)
              assert.deepStrictEqual(skipped, [])
              const opened = from.opened(share.root)!
              assert.deepStrictEqual([opened.isSource, opened.path], [true, "/lesson"])
              const chunks: Array<Uint8Array> = []
              const buffer = new Uint8Array(2 ** 16)
              for (let index = 0; index < share.manifest.hashes.length + share.chunksCount; index++) {
                chunks.push((yield* from.read(share.root, index, buffer)).slice())
              }
              const made = { share, chunks }
              const { path } = yield* published(to, made, seeded(seed))
              assert.strictEqual(path, "/home/downloads/lesson")
              assert.deepStrictEqual((yield* readBack(to, made)).map(([, bytes]) => bytes), chunks)
            })))
        assertTree(target, "/home/downloads/lesson", new Map([...tree, [".keep", new Uint8Array()]]))
        assert.strictEqual(target.openFiles, 0)
        assert.strictEqual(source.openFiles, 0)
      }),
    { arbitrary: { runs: 60 } }
  )

  it.effect("gives the same content the same root, under whatever name and on whatever device", () =>
    Effect.gen(function*() {
      const memory = memoryWith("/one", lab())
      for (const [path, bytes] of lab()) memory.put(`/two/${path}`, bytes)
      memory.put("/file.bin", noise(3_000, 9))
      memory.put("/other.bin", noise(3_000, 9))
      yield* withStore(memory, teacher, (store) =>
        Effect.gen(function*() {
          const [one, two, file, other] = yield* Effect.forEach(
            ["/one", "/two/", "/file.bin", "/other.bin"],
            (path) => store.importSource(path, quiet)
          )
          assert.strictEqual(one!.share.root, two!.share.root)
          assert.deepStrictEqual([one!.share.title, two!.share.title], ["one", "two"])
          assert.strictEqual(file!.share.root, other!.share.root)
          assert.strictEqual(makeShare("x", lab()).share.sizeBytes, one!.share.sizeBytes)
        }))
    }))

  it.effect("refuses a chunk that is not the signed one, and writes nothing of it", () =>
    Effect.gen(function*() {
      const made = makeShare("lab", lab())
      const { chunks, share } = made
      const memory = new DiskMemory()
      yield* withStore(memory, student, (store) =>
        Effect.gen(function*() {
          yield* store.open(share)
          for (let index = 0; index < chunks.length; index++) {
            const spoilt = chunks[index]!.slice()
            spoilt[spoilt.length - 1]! ^= 1
            const used = memory.usedBytes
            const error = yield* Effect.flip(store.write(share.root, index, spoilt))
            assert.strictEqual(error._tag, "ChunkCorrupt")
            const short = yield* Effect.flip(store.write(share.root, index, chunks[index]!.subarray(1)))
            assert.strictEqual(short._tag, "ChunkCorrupt")
            assert.strictEqual(memory.usedBytes, used)
            assert.isFalse(Bitfield.has(store.opened(share.root)!.have, index))
            yield* store.write(share.root, index, chunks[index]!)
          }
          yield* store.publish(share.root)
        }))
      assertTree(memory, "/home/downloads/lab", lab())
    }))

  it.effect.prop(
    "P2: goes on after kill -9 at any moment, having lost only what was not marked yet",
    { files: Files, seed: Draw, kills: Schema.Array(Draw).check(Schema.isMaxLength(3)) },
    ({ files, kills, seed }) =>
      Effect.gen(function*() {
        const tree = new Map([...treeOf(files), ["always.bin", noise(4_000, seed)]])
        const made = makeShare("lab", tree)
        const memory = new DiskMemory()
        const random = seeded(seed)
        for (const kill of [...kills.map((draw) => 1 + draw % 150), Number.POSITIVE_INFINITY]) {
          yield* untilKilled(
            memory,
            kill,
            Effect.gen(function*() {
              const { close, store } = yield* start(memory, student)
              yield* store.open(made.share)
              for (const [index, bytes] of yield* readBack(store, made)) {
                assert.deepStrictEqual(bytes, made.chunks[index])
              }
              yield* published(store, made, random)
              yield* close
            })
          )
        }
        assertTree(memory, "/home/downloads/lab", tree)
        assert.deepStrictEqual(
          [...memory.files("/home/downloads").keys()].filter((path) =>
            !path.startsWith(".labfx/") && !path.startsWith("lab/")
          ),
          []
        )
      }),
    { arbitrary: { runs: 60 } }
  )

  it.effect.prop(
    "P1: what appears after a power cut is what was signed, whatever the disk lost",
    { files: Files, seed: Draw, cuts: Schema.Array(Draw).check(Schema.isMinLength(1), Schema.isMaxLength(3)) },
    ({ cuts, files, seed }) =>
      Effect.gen(function*() {
        const tree = new Map([...treeOf(files), ["always.bin", noise(4_000, seed)]])
        const made = makeShare("lab", tree)
        const memory = new DiskMemory()
        const random = seeded(seed)
        const attempt = Effect.gen(function*() {
          const { close, store } = yield* start(memory, student)
          // What does not pass the check is fetched again, and then it passes.
          yield* published(store, made, random).pipe(Effect.retry({ times: 2 }))
          yield* close
        })
        for (const cut of cuts) {
          yield* untilKilled(memory, 1 + cut % 150, attempt)
          memory.crash(random)
        }
        yield* attempt
        assertTree(memory, "/home/downloads/lab", tree)
      }),
    { arbitrary: { runs: 100 } }
  )

  it.effect("stores and serves at once what nothing stands in the way of, and only what was signed", () =>
    Effect.gen(function*() {
      const made = makeShare("lab", lab())
      const { chunks, share: { manifest: { hashes: { length: first } }, root } } = made
      const memory = new DiskMemory()
      const operations: Array<string> = []
      memory.onOperation = (operation) => void operations.push(operation)
      yield* withStore(memory, student, (store) =>
        Effect.gen(function*() {
          const put = (index: number, bytes = chunks[index]!) => store.writeNow(root, index, bytes)
          assert.isFalse(put(0), "the share is not open")
          yield* store.open(made.share)
          for (let index = 0; index < first; index++) {
            assert.isFalse(put(index), "a manifest")
            yield* store.write(root, index, chunks[index]!)
          }
          assert.isFalse(put(first), "nobody knows yet whether there is room")
          yield* store.write(root, first, chunks[first]!)
          operations.length = 0
          const spoilt = chunks[first + 1]!.map((byte, i) => i === 9 ? byte ^ 1 : byte)
          assert.isFalse(put(first + 1, spoilt))
          assert.isFalse(put(first + 1, chunks[first + 1]!.subarray(1)))
          assert.deepStrictEqual(operations, [])
          assert.isTrue(put(first + 1))
          assert.deepStrictEqual(operations, ["write"])
          assert.isFalse(put(first + 1), "it is here")
          const buffer = new Uint8Array(2_048)
          assert.deepStrictEqual(store.readNow(root, first + 1, buffer), chunks[first + 1])
          assert.isUndefined(store.readNow(root, first + 2, buffer), "it is not here")
          assert.isFalse(put(chunks.length - 1), "a pack is many files")

          memory.failNext("write", 1, "full")
          assert.isFalse(put(first + 2))
          assert.strictEqual((yield* Effect.flip(store.write(root, first + 2, chunks[first + 2]!)))._tag, "StoreError")
          yield* store.write(root, first + 2, chunks[first + 2]!)
          memory.operationMs = () => 1
          assert.isFalse(put(first + 3), "the disk is slow")
          assert.isUndefined(store.readNow(root, first + 1, buffer), "the disk is slow")
          memory.operationMs = () => 0
          yield* TestClock.adjust(Limits.unmarkedMs)
          operations.length = 0
          assert.isTrue(put(first + 3))
          yield* TestClock.adjust(Limits.unmarkedMs - 1)
          assert.deepStrictEqual(operations, ["write"])
          yield* TestClock.adjust(1)
          assert.deepStrictEqual(operations, ["write", "stat", "write"], "the journal is written by itself")
        }))
      // Nothing that was stored at once is lost when the program ends.
      yield* withStore(memory, student, (store) =>
        Effect.gen(function*() {
          const { have } = yield* store.open(made.share)
          assert.isTrue(Bitfield.has(have, first + 1))
          yield* published(store, made)
          const buffer = new Uint8Array(2_048)
          assert.deepStrictEqual(yield* store.read(root, first, buffer), chunks[first])
          assert.deepStrictEqual(store.readNow(root, first, buffer), chunks[first])
          memory.put("/home/downloads/lab/data/large.bin", noise(5_000, 77))
          assert.isUndefined(store.readNow(root, first, buffer), "a person has changed it")
        }))
    }))

  it.effect("stores at once until unmarkedBytesMax are to be written down", () =>
    Effect.gen(function*() {
      const chunkSizeBytes = Limits.unmarkedBytesMax / 4
      const made = makeShare("x", new Map([["", noise(6 * chunkSizeBytes, 1)]]), { chunkSizeBytes })
      const { chunks, share: { root } } = made
      yield* withStore(new DiskMemory(), student, (store) =>
        Effect.gen(function*() {
          yield* store.open(made.share)
          yield* store.write(root, 0, chunks[0]!)
          yield* TestClock.adjust(Limits.unmarkedMs)
          yield* store.write(root, 1, chunks[1]!)
          assert.isTrue(store.writeNow(root, 2, chunks[2]!))
          assert.isTrue(store.writeNow(root, 3, chunks[3]!))
          assert.isFalse(store.writeNow(root, 4, chunks[4]!))
          yield* store.write(root, 4, chunks[4]!)
          assert.isTrue(store.writeNow(root, 5, chunks[5]!))
        }))
    }))

  it.effect("keeps what was marked when it is killed, and everything when it is closed", () =>
    Effect.gen(function*() {
      const made = makeShare("lab", new Map([["x", noise(20_000, 1)]]))
      const { chunks, share } = made
      const memory = new DiskMemory()
      const first = yield* start(memory, student)
      yield* first.store.open(share)
      for (let index = 0; index < 8; index++) yield* first.store.write(share.root, index, chunks[index]!)
      yield* TestClock.adjust(Limits.unmarkedMs)
      yield* first.store.write(share.root, 8, chunks[8]!)
      memory.kill()
      const second = yield* start(memory, student)
      assert.strictEqual(Bitfield.size((yield* second.store.open(share)).have), 8)
      yield* second.store.write(share.root, 8, chunks[8]!)
      yield* second.close
      yield* withStore(memory, student, (third) =>
        Effect.gen(function*() {
          assert.strictEqual(Bitfield.size((yield* third.open(share)).have), 9)
        }))
    }))

  it.effect("P3: never overwrites what is there: the same content is adopted, other content keeps its name", () =>
    Effect.gen(function*() {
      const made = makeShare("lab", lab())
      const file = makeShare("lab", new Map([["", noise(3_000, 5)]]))
      const memory = memoryWith("/home/downloads/lab", new Map([["a.txt", noise(100, 7)]]))
      memory.put("/home/downloads/lab (2)", new TextEncoder().encode("a file of that name"))
      for (const [path, bytes] of lab()) memory.put(`/home/downloads/lab (3)/${path}`, bytes)
      memory.put("/home/downloads/lab (3)/mine.txt", new TextEncoder().encode("a student's own"))
      const before = memory.files("/home/downloads")
      yield* withStore(memory, student, (store) =>
        Effect.gen(function*() {
          assert.strictEqual((yield* published(store, made)).path, "/home/downloads/lab (3)")
          assert.strictEqual((yield* store.publish(made.share.root)).path, "/home/downloads/lab (3)")
          assert.strictEqual((yield* readBack(store, made)).length, made.chunks.length)
          assert.strictEqual((yield* published(store, file)).path, "/home/downloads/lab (4)")
        }))
      const after = memory.files("/home/downloads")
      for (const [path, bytes] of before) assert.deepStrictEqual(after.get(path), bytes, path)
      assert.deepStrictEqual(after.get("lab (4)"), noise(3_000, 5))
    }))

  it.effect("P3: takes the last of freeNamesMax names, and when that is taken too says so and overwrites nothing", () =>
    Effect.gen(function*() {
      const names = Array.from({ length: Limits.freeNamesMax }, (_, i) => Names.freeName("lab", i + 1, "folder"))
      const memory = memoryWith("/home/downloads", new Map(names.slice(0, -1).map((name) => [name, noise(1, 1)])))
      const [first, second] = [makeShare("lab", lab(1)), makeShare("lab", lab(2))]
      yield* withStore(memory, student, (store) =>
        Effect.gen(function*() {
          assert.strictEqual((yield* published(store, first)).path, `/home/downloads/${names.at(-1)}`)
          const before = memory.files("/home/downloads")
          yield* receive(store, second, seeded(1))
          const error = yield* Effect.flip(store.publish(second.share.root))
          assert.include(error.detail, `${Limits.freeNamesMax} names like lab are taken`)
          const after = memory.files("/home/downloads")
          for (const [path, bytes] of before) {
            if (!path.startsWith(".labfx/")) assert.deepStrictEqual(after.get(path), bytes, path)
          }
        }))
    }))

  it.effect("a name that comes up while a share is published is not overwritten either", () =>
    Effect.gen(function*() {
      const made = makeShare("lab", lab())
      const memory = new DiskMemory()
      yield* withStore(memory, student, (store) =>
        Effect.gen(function*() {
          yield* receive(store, made, seeded(1))
          memory.onOperation = (operation, path) => {
            if (operation === "rename" && path === "/home/downloads/lab") memory.put(`${path}/mine`, noise(9, 9))
          }
          assert.strictEqual((yield* store.publish(made.share.root)).path, "/home/downloads/lab (2)")
        }))
      assertTree(memory, "/home/downloads/lab", new Map([["mine", noise(9, 9)]]))
      assertTree(memory, "/home/downloads/lab (2)", lab())
    }))

  it.effect("P10: pauses on a full disk before it is full, and goes on when there is room", () =>
    Effect.gen(function*() {
      const made = makeShare("lab", lab())
      const { chunks, share } = made
      const memory = new DiskMemory()
      memory.capacityBytes = Limits.freeBytesReserve
      yield* withStore(memory, student, (store) =>
        Effect.gen(function*() {
          yield* store.open(share)
          const manifestCount = share.manifest.hashes.length
          for (let index = 0; index < manifestCount; index++) yield* store.write(share.root, index, chunks[index]!)
          assert.isTrue(store.opened(share.root)!.manifestKnown)
          const early = yield* Effect.flip(store.write(share.root, manifestCount, chunks[manifestCount]!))
          assert.deepInclude(early, { _tag: "StoreError", reason: "disk-full" })
          assert.deepInclude(yield* Effect.flip(store.open(share)), { reason: "disk-full" })
          memory.capacityBytes *= 2
          yield* store.open(share)
          // And where the room is taken by somebody else meanwhile.
          memory.failNext("write", 1, "full")
          const late = yield* Effect.flip(store.write(share.root, manifestCount, chunks[manifestCount]!))
          assert.deepInclude(late, { _tag: "StoreError", reason: "disk-full" })
          assert.isFalse(Bitfield.has(store.opened(share.root)!.have, manifestCount))
          yield* store.open(share)
          yield* published(store, made)
        }))
      assertTree(memory, "/home/downloads/lab", lab())
    }))

  it.effect.prop(
    "P10: survives any failure of the disk: what failed is tried again, and what appears is right",
    { seed: Draw, failures: Schema.Array(Draw).check(Schema.isMaxLength(12)) },
    ({ failures, seed }) =>
      Effect.gen(function*() {
        const made = makeShare("lab", lab())
        const memory = new DiskMemory()
        const random = seeded(seed)
        yield* withStore(memory, student, (store) =>
          Effect.gen(function*() {
            yield* store.open(made.share)
            for (const failure of failures) {
              const operation = (["open", "write", "sync", "rename"] as const)[failure % 4]!
              memory.failNext(operation, 1, (["full", "io", "read-only", "busy"] as const)[(failure >> 2) % 4]!)
            }
            yield* published(store, made, random).pipe(
              Effect.tapError((error) => Effect.sync(() => assert.strictEqual(error._tag, "StoreError"))),
              Effect.retry({ times: 40 })
            )
          }))
        assertTree(memory, "/home/downloads/lab", lab())
      }),
    { arbitrary: { runs: 100 } }
  )

  it.effect("loses only the files with bad names, serves their bytes all the same, and says why", () =>
    Effect.gen(function*() {
      const good: Tree = new Map([["a.txt", noise(100, 1)], ["b/c.txt", noise(50, 2)], ["big.bin", noise(3_000, 3)]])
      const bad: Tree = new Map([
        ["../escape.txt", noise(80, 4)],
        ["..", noise(10, 5)],
        ["A.TXT", noise(70, 6)],
        ["NUL", noise(2_500, 7)],
        ["b", noise(60, 8)],
        ["/etc/passwd", noise(20, 9)],
        ["b/x:y", new Uint8Array()]
      ])
      // The order of a manifest decides which of two names is kept: capital letters come first.
      const kept = new Map([...good, ["A.TXT", bad.get("A.TXT")!], ["b", bad.get("b")!]])
      kept.delete("a.txt")
      kept.delete("b/c.txt")
      const made = makeShare("lab", new Map([...good, ...bad]), { directories: ["CON", "fine"] })
      const memory = new DiskMemory()
      yield* withStore(memory, student, (store) =>
        Effect.gen(function*() {
          const { skipped } = yield* published(store, made)
          assert.deepStrictEqual(
            skipped.map(({ path }) => path).toSorted(),
            ["..", "../escape.txt", "/etc/passwd", "CON", "NUL", "a.txt", "b/c.txt", "b/x:y"]
          )
          for (const { reason } of skipped) assert.isAbove(reason.length, 10)
          assert.deepStrictEqual((yield* readBack(store, made)).map(([, bytes]) => bytes), made.chunks)
        }))
      assertTree(memory, "/home/downloads/lab", kept)
      const outside = [...memory.files("/").keys()].filter((path) => !path.startsWith("home/downloads/"))
      assert.deepStrictEqual(outside, [])
    }))

  it.effect("makes a safe name of a bad title, so that nothing is written beside the download folder", () =>
    Effect.gen(function*() {
      const memory = new DiskMemory()
      yield* withStore(memory, student, (store) =>
        Effect.gen(function*() {
          for (const [i, title] of ["../up", "..", ".labfx", "a/b", "NUL.txt"].entries()) {
            yield* published(store, makeShare(title, new Map([["", noise(100, i)]])))
          }
        }))
      const shown = [...memory.files("/").keys()].filter((path) => !path.includes("/.labfx/"))
      assert.deepStrictEqual(
        shown.toSorted(),
        ["..\u005fup", "\u005f", "\u005f.labfx", "\u005fNUL.txt", "a\u005fb"].map((name) => `home/downloads/${name}`)
          .toSorted()
      )
    }))

  for (const [what, path] of [["in a pack", "data/small.bin"], ["with chunks of its own", "data/large.bin"]] as const) {
    it.effect(`P11: stops serving a source when a file ${what} has changed, and says so for every chunk`, () =>
      Effect.gen(function*() {
        const memory = memoryWith("/lesson", lab())
        yield* withStore(memory, teacher, (store) =>
          Effect.gen(function*() {
            const { share } = yield* store.importSource("/lesson", quiet)
            const buffer = new Uint8Array(2_048)
            const count = share.manifest.hashes.length + share.chunksCount
            const all = Array.from({ length: count }, (_, index) => store.read(share.root, index, buffer))
            yield* Effect.all(all)
            // Same size, other bytes: only time and content tell.
            memory.put(`/lesson/${path}`, noise(lab().get(path)!.length, 99))
            const results = yield* Effect.forEach(all, Effect.result)
            const first = results.findIndex((result) => result._tag === "Failure")
            assert.isAtLeast(first, 0)
            for (const result of results.slice(first)) {
              assert.deepInclude(result._tag === "Failure" ? result.failure : {}, {
                _tag: "ChunkLost",
                reason: "source-changed"
              })
            }
            assert.strictEqual(Bitfield.size(store.opened(share.root)!.have), 0)
            // Shared again, it is a new share, and the old one stays gone.
            const again = yield* store.importSource("/lesson", quiet)
            assert.notStrictEqual(again.share.root, share.root)
            yield* store.read(again.share.root, 0, buffer)
          }))
      }))
  }

  it.effect("stops serving a source that is gone", () =>
    Effect.gen(function*() {
      const memory = memoryWith("/lesson", lab())
      yield* withStore(memory, teacher, (store) =>
        Effect.gen(function*() {
          const { share } = yield* store.importSource("/lesson", quiet)
          memory.delete("/lesson")
          const index = share.manifest.hashes.length
          const error = yield* Effect.flip(store.read(share.root, index, new Uint8Array(2_048)))
          assert.strictEqual(error.reason, "source-changed")
        }))
    }))

  it.effect("knows a source again after a restart, and what has changed meanwhile", () =>
    Effect.gen(function*() {
      const memory = memoryWith("/lesson", lab())
      const share = yield* withStore(memory, teacher, (store) =>
        Effect.map(store.importSource("/lesson", quiet), (imported) =>
          imported.share))
      const buffer = new Uint8Array(2_048)
      yield* withStore(memory, teacher, (store) =>
        Effect.gen(function*() {
          const opened = yield* store.open(share)
          assert.deepStrictEqual([opened.isSource, opened.manifestKnown, opened.path], [true, true, "/lesson"])
          for (const [, bytes] of yield* readBack(store, makeOf(share))) {
            assert.isAbove(bytes.length, 0)
          }
        }))
      memory.put("/lesson/data/large.bin", noise(5_000, 4))
      yield* withStore(memory, teacher, (store) =>
        Effect.gen(function*() {
          yield* store.open(share)
          const error = yield* Effect.flip(store.read(share.root, share.manifest.hashes.length, buffer))
          assert.strictEqual(error.reason, "source-changed")
        }))
      memory.delete("/lesson")
      yield* withStore(memory, teacher, (store) =>
        Effect.gen(function*() {
          assert.strictEqual((yield* Effect.flip(store.open(share))).reason, "disk-read-only")
        }))
    }))

  it.effect("copies what an earlier version brought, and asks only for what is new", () =>
    Effect.gen(function*() {
      const before = new Map(Array.from({ length: 60 }, (_, i) => [`f${i}.txt`, noise(200, i)] as const))
      const after = new Map([...before, ["f30.txt", noise(250, 99)]] as const)
      const [first, second] = [makeShare("lab", before), makeShare("lab", after)]
      const memory = new DiskMemory()
      yield* withStore(memory, student, (store) => published(store, first))
      // In another run of the program, in another session: the earlier version is not even open.
      yield* withStore(memory, student, (store) =>
        Effect.gen(function*() {
          const written = yield* receive(store, second, seeded(1))
          const fresh = written.filter((index) => index >= second.share.manifest.hashes.length)
          assert.isAbove(second.share.chunksCount, 10)
          assert.isAtMost(fresh.length, 4)
          assert.strictEqual((yield* store.publish(second.share.root)).path, "/home/downloads/lab (2)")
        }))
      assertTree(memory, "/home/downloads/lab", before)
      assertTree(memory, "/home/downloads/lab (2)", after)
    }))

  it.effect("searches the newest earlierSharesSearchedMax of the earlier shares, and none that is older", () =>
    Effect.gen(function*() {
      const memory = new DiskMemory()
      const content = (n: number) => noise(3 * 1_024, 100 + n)
      for (let n = 0; n <= Limits.earlierSharesSearchedMax; n++) {
        const made = makeShare(`week ${n}`, new Map([["", content(n)]]))
        yield* withStore(memory, student, (store) => published(store, made))
        yield* TestClock.adjust("7 days")
      }
      for (const [n, asked] of [[0, 3], [1, 0]] as const) {
        const again = makeShare("again", new Map([["notes.txt", noise(10, 1)], ["data.bin", content(n)]]))
        const whole = again.share.manifest.hashes.length
        const written = yield* withStore(memory, student, (store) => receive(store, again, seeded(1)))
        // The pack with the notes is new in any case.
        assert.lengthOf(written.filter((index) => index >= whole), asked + 1)
      }
    }))

  it.effect("serves what it has published while a student's changes to it stay unserved and untouched", () =>
    Effect.gen(function*() {
      const made = makeShare("lab", lab())
      const memory = new DiskMemory()
      const edited = noise(5_000, 77)
      const large = () => made.chunks.map((_, i) => i).slice(made.share.manifest.hashes.length).slice(0, 5)
      yield* withStore(memory, student, (store) =>
        Effect.gen(function*() {
          yield* published(store, made)
          yield* readBack(store, made)
          memory.put("/home/downloads/lab/data/large.bin", edited)
          memory.put("/home/downloads/lab/a.txt", noise(3, 3))
          const buffer = new Uint8Array(2_048)
          for (const index of large()) {
            const error = yield* Effect.flip(store.read(made.share.root, index, buffer))
            assert.strictEqual(error.reason, "damaged")
          }
          // Packs are served from the hidden folder, whatever becomes of the small files.
          assert.strictEqual((yield* readBack(store, made)).length, made.chunks.length - 5)
        }))
      yield* withStore(memory, student, (store) =>
        Effect.gen(function*() {
          assert.strictEqual((yield* store.open(made.share)).path, "/home/downloads/lab")
          assert.strictEqual((yield* store.publish(made.share.root)).path, "/home/downloads/lab")
        }))
      assert.deepStrictEqual(memory.files("/home/downloads/lab").get("data/large.bin"), edited)
      assert.deepStrictEqual(memory.files("/home/downloads/lab").get("a.txt"), noise(3, 3))
      // Deleted as a whole, it is received again.
      memory.delete("/home/downloads/lab")
      yield* withStore(memory, student, (store) =>
        Effect.gen(function*() {
          assert.isUndefined((yield* store.open(made.share)).path)
          yield* published(store, made)
        }))
      assertTree(memory, "/home/downloads/lab", lab())
    }))

  it.effect("gives up nothing that it has published because the disk gives it out only later, and what it receives at once", () =>
    Effect.gen(function*() {
      const made = makeShare("lab", lab())
      const memory = new DiskMemory()
      const { root } = made.share
      const index = made.share.manifest.hashes.length
      yield* withStore(memory, student, (store) =>
        Effect.gen(function*() {
          const buffer = new Uint8Array(2_048)
          const reasonOf = Effect.suspend(() => {
            memory.failNext("read", 1, "io")
            return Effect.map(Effect.flip(store.read(root, index, buffer)), ({ reason }) => reason)
          })
          yield* receive(store, made, seeded(1))
          assert.strictEqual(yield* reasonOf, "damaged")
          assert.isFalse(Bitfield.has(store.opened(root)!.have, index))
          yield* published(store, made)
          assert.strictEqual(yield* reasonOf, "unreadable")
          assert.isTrue(Bitfield.has(store.opened(root)!.have, index))
          assert.deepStrictEqual((yield* store.read(root, index, buffer)).slice(), made.chunks[index])
        }))
    }))

  const smallFiles = (count: number) =>
    new Map(Array.from({ length: count }, (_, i) => [`d/f${i}.txt`, noise(100, i)] as const))

  it.effect("P1: shows smallFilesSyncedMax small files that no power cut can spoil", () =>
    Effect.gen(function*() {
      const tree = smallFiles(Limits.smallFilesSyncedMax)
      const memory = new DiskMemory()
      const { store } = yield* start(memory, student)
      yield* published(store, makeShare("lab", tree))
      memory.crash(() => 0)
      assertTree(memory, "/home/downloads/lab", tree)
    }))

  it.effect("lets nobody wait for what follows a share's appearance, unless a power cut could spoil it", () =>
    Effect.gen(function*() {
      for (const [smallCount, isWaitedFor] of [[0, false], [1, true]] as const) {
        const made = makeShare("lab", smallFiles(Limits.smallFilesSyncedMax + smallCount))
        const memory = new DiskMemory()
        const { store } = yield* start(memory, student)
        const isRemembered = () => !memory.files(`/home/downloads/.labfx/${made.share.root}`).has("journal")
        yield* published(store, made)
        assert.strictEqual(isRemembered(), isWaitedFor)
        yield* Effect.repeat(Effect.yieldNow, { times: 100 })
        assert.isTrue(isRemembered())
      }
    }))

  it.effect("makes small files again that a power cut soon after their appearance has spoilt, where there are more", () =>
    Effect.gen(function*() {
      const tree = smallFiles(Limits.smallFilesSyncedMax + 1)
      const made = makeShare("lab", tree)
      const memory = new DiskMemory()
      const first = yield* start(memory, student)
      yield* published(first.store, made)
      memory.crash(() => 0)
      assert.strictEqual(memory.files("/home/downloads/lab").get("d/f1.txt")!.length, 0)
      // What a student does is no damage.
      memory.put("/home/downloads/lab/d/f2.txt", tree.get("d/f2.txt")!.subarray(0, 50))
      yield* withStore(memory, student, (store) => store.open(made.share))
      assertTree(memory, "/home/downloads/lab", new Map([...tree, ["d/f2.txt", tree.get("d/f2.txt")!.subarray(0, 50)]]))
      memory.delete("/home/downloads/lab/d/f3.txt")
      yield* withStore(memory, student, (store) => store.open(made.share))
      assert.isUndefined(memory.files("/home/downloads/lab").get("d/f3.txt"))
      // Two minutes later nothing is taken for spoilt any more.
      const third = yield* start(memory, student)
      yield* third.store.open(made.share)
      yield* TestClock.adjust(Limits.settledAfterMs)
      yield* third.close
      memory.put("/home/downloads/lab/d/f4.txt", new Uint8Array())
      yield* withStore(memory, student, (store) => store.open(made.share))
      assert.strictEqual(memory.files("/home/downloads/lab").get("d/f4.txt")!.length, 0)
    }))

  it.effect("refuses a second program in the same folder, and none after the first is gone", () =>
    Effect.gen(function*() {
      const memory = new DiskMemory()
      const first = yield* start(memory, student)
      const error = yield* Effect.flip(start(memory, student))
      assert.deepInclude(error, { _tag: "FolderError", reason: "in-use" })
      yield* first.close
      yield* start(memory, student)
      memory.kill()
      yield* withStore(memory, student, () => Effect.void)
    }))

  it.effect("forgets an unfinished download with its files, and leaves what is published", () =>
    Effect.gen(function*() {
      const [done, half] = [makeShare("done", lab()), makeShare("half", new Map([["x", noise(9_000, 1)]]))]
      const memory = new DiskMemory()
      yield* withStore(memory, student, (store) =>
        Effect.gen(function*() {
          yield* published(store, done)
          yield* store.open(half.share)
          for (let index = 0; index < 4; index++) yield* store.write(half.share.root, index, half.chunks[index]!)
          yield* Effect.forEach([done, half, half], ({ share }) => store.forget(share.root))
          assert.isUndefined(store.opened(half.share.root))
          assert.strictEqual(store.chunkBytes(half.share.root, 0), 0)
          const error = yield* Effect.flip(store.read(half.share.root, 0, new Uint8Array(2_048)))
          assert.strictEqual(error.reason, "not-here")
        }))
      assert.isFalse([...memory.files("/").keys()].some((path) => path.includes(half.share.root)))
      assertTree(memory, "/home/downloads/done", lab())
    }))

  it.effect("refuses a share whose manifest is not the one it names", () =>
    Effect.gen(function*() {
      const made = makeShare("lab", lab())
      const other = makeShare("lab", lab(2))
      const shares = [
        { ...made.share, root: other.share.root },
        { ...made.share, sizeBytes: made.share.sizeBytes + 1 },
        { ...made.share, kind: "file" as const, filesCount: 1 }
      ]
      for (const share of shares) {
        yield* withStore(new DiskMemory(), student, (store) =>
          Effect.gen(function*() {
            const error = yield* Effect.flip(published(store, { ...made, share }))
            assert.deepInclude(error, { _tag: "StoreError", reason: "bad-manifest" })
            assert.deepInclude(yield* Effect.flip(store.open(share)), { reason: "bad-manifest" })
          }))
      }
    }))

  it.effect("stores a chunk once when two peers bring it at the same time", () =>
    Effect.gen(function*() {
      const made = makeShare("lab", lab())
      const memory = new DiskMemory()
      yield* withStore(memory, student, (store) =>
        Effect.gen(function*() {
          yield* store.open(made.share)
          const manifestCount = made.share.manifest.hashes.length
          for (let index = 0; index < manifestCount; index++) {
            yield* store.write(made.share.root, index, made.chunks[index]!)
          }
          let writes = 0
          memory.onOperation = (operation) => void (operation === "write" && writes++)
          const index = manifestCount
          yield* Effect.all([1, 2, 3].map(() => store.write(made.share.root, index, made.chunks[index]!)), {
            concurrency: "unbounded"
          })
          assert.strictEqual(writes, 1)
        }))
    }))

  it.effect("keeps few files open, however many a share has, and none when it is closed", () =>
    Effect.gen(function*() {
      const tree = new Map(Array.from({ length: 300 }, (_, i) => [`f${i}.bin`, noise(1_100, i)] as const))
      const made = makeShare("lab", tree)
      const memory = new DiskMemory()
      let most = 0
      memory.onOperation = () => void (most = Math.max(most, memory.openFiles))
      yield* withStore(memory, student, (store) => Effect.andThen(published(store, made), readBack(store, made)))
      assert.isAtMost(most, Limits.openFilesMax + 1)
      assert.strictEqual(memory.openFiles, 0)
      assertTree(memory, "/home/downloads/lab", tree)
    }))

  it.effect("leaves out of a source what cannot be shared, and says why", () =>
    Effect.gen(function*() {
      const memory = memoryWith("/lesson", new Map([...lab(), ["bad:name", noise(5, 1)], ["e\u0301.txt", noise(6, 2)]]))
      memory.putSpecial("/lesson/link", "symlink")
      memory.putSpecial("/lesson/pipe", "other")
      memory.put("/lesson/.labfx/x", noise(1, 1))
      memory.put("/lesson/secret", noise(10, 3))
      yield* withStore(memory, teacher, (store) =>
        Effect.gen(function*() {
          memory.failNext("read", 1, "permission", "/lesson/secret")
          const { share, skipped } = yield* store.importSource("/lesson", quiet)
          assert.deepStrictEqual(
            skipped.map(({ path }) => path).toSorted(),
            [".labfx", "bad:name", "link", "pipe", "secret"]
          )
          assert.strictEqual(share.filesCount, lab().size + 1)
          // The name is in normal form in the manifest, and the file is still found.
          yield* Effect.forEach(
            Array.from({ length: share.chunksCount }),
            (_, i) => store.read(share.root, share.manifest.hashes.length + i, new Uint8Array(2_048))
          )
        }))
    }))

  it.effect("does not take a file that changes while it is read for one that can be shared", () =>
    Effect.gen(function*() {
      const memory = memoryWith("/lesson", lab())
      yield* withStore(memory, teacher, (store) =>
        Effect.gen(function*() {
          let version = 0
          memory.onOperation = (operation, path) => {
            if (operation === "read" && path === "/lesson/data/large.bin") memory.put(path, noise(5_000, version++))
          }
          const error = yield* Effect.flip(store.importSource("/lesson", quiet))
          assert.deepInclude(error, { reason: "changed-while-read", path: "/lesson/data/large.bin" })
          // Once is an accident, and the second reading is of one version.
          version = 0
          memory.onOperation = (operation, path) => {
            if (operation === "read" && path === "/lesson/data/large.bin" && version++ === 1) {
              memory.put(path, noise(5_000, 8))
            }
          }
          const { share } = yield* store.importSource("/lesson", quiet)
          memory.onOperation = () => {}
          yield* store.read(share.root, share.manifest.hashes.length, new Uint8Array(2_048))
        }))
    }))

  it.effect("reads a file that changes importRoundsMax times, and takes it if the last reading is of one version", () =>
    Effect.gen(function*() {
      for (const [changes, refused] of [[Limits.importRoundsMax - 1, false], [Limits.importRoundsMax, true]] as const) {
        const path = "/lesson/data.bin"
        const memory = memoryWith("/lesson", new Map([["data.bin", noise(900, 1)]]))
        let readings = 0
        memory.onOperation = (operation, at) => {
          if (operation === "read" && at === path && ++readings <= changes) memory.put(path, noise(900, 1 + readings))
        }
        yield* withStore(memory, teacher, (store) =>
          Effect.gen(function*() {
            const result = yield* Effect.result(store.importSource("/lesson", quiet))
            if (!refused) return assert.strictEqual(result._tag, "Success")
            assert.deepInclude(yield* Effect.flip(Effect.fromResult(result)), { reason: "changed-while-read", path })
          }))
      }
    }))

  it.effect("tells how far a source is hashed: never less than before, and all of it in the end", () =>
    Effect.gen(function*() {
      const memory = memoryWith("/lesson", new Map([...lab(), ["huge.bin", noise(5_000_000, 4)]]))
      yield* withStore(memory, teacher, (store) =>
        Effect.gen(function*() {
          const told: Array<number> = []
          const { share } = yield* store.importSource("/lesson", ({ hashedBytes, totalBytes }) =>
            Effect.sync(() => {
              assert.strictEqual(totalBytes, 5_005_600)
              told.push(hashedBytes)
            }))
          assert.isAbove(told.length, 5)
          assert.deepStrictEqual(told, told.toSorted((a, b) => a - b))
          assert.deepStrictEqual([told[0], told.at(-1)], [0, share.sizeBytes])
        }))
    }))

  it.effect("leaves nothing behind of a source that is interrupted while it is hashed, and is whole if that comes later", () =>
    Effect.gen(function*() {
      const memory = memoryWith("/lesson", lab())
      yield* withStore(memory, teacher, (store) =>
        Effect.gen(function*() {
          const paths = () => [...memory.files("/").keys()].toSorted()
          const before = paths()
          const openFiles = memory.openFiles
          let operations = 0
          memory.onOperation = () => void operations++
          const { share } = yield* store.importSource("/lesson", quiet)
          memory.onOperation = () => {}
          yield* store.forget(share.root)
          assert.deepStrictEqual(paths(), before)
          const seen = new Set<boolean>()
          for (let at = 1; at <= operations; at++) {
            let left = at
            const reached = yield* Deferred.make<void>()
            memory.onOperation = () => {
              if (--left === 0) Deferred.doneUnsafe(reached, Effect.void)
            }
            const fiber = yield* Effect.forkChild(store.importSource("/lesson", quiet))
            yield* Deferred.await(reached)
            yield* Fiber.interrupt(fiber)
            memory.onOperation = () => {}
            assert.strictEqual(memory.openFiles, openFiles)
            const isKnown = store.opened(share.root) !== undefined
            seen.add(isKnown)
            if (isKnown) {
              assert.strictEqual(
                Bitfield.size(store.opened(share.root)!.have),
                share.manifest.hashes.length + share.chunksCount
              )
              for (let index = 0; index < share.manifest.hashes.length + share.chunksCount; index++) {
                yield* store.read(share.root, index, new Uint8Array(2_048))
              }
              yield* store.forget(share.root)
            }
            assert.deepStrictEqual(paths(), before)
          }
          assert.deepStrictEqual(seen, new Set([false, true]))
        }))
    }))

  it.effect("hashes sourcesHashedMax sources at once, and a further one when one of them is done or called off", () =>
    Effect.gen(function*() {
      const memory = new DiskMemory()
      for (let n = 0; n < Limits.sourcesHashedMax + 2; n++) memory.put(`/${n}.bin`, noise(100, n))
      yield* withStore(memory, teacher, (store) =>
        Effect.gen(function*() {
          memory.operationMs = () => 1
          const begun = new Set<number>()
          const gates = yield* Effect.forEach(
            Array.from({ length: Limits.sourcesHashedMax + 2 }),
            () => Deferred.make<void>()
          )
          const fibers = yield* Effect.forEach(gates, (gate, n) =>
            store.importSource(`/${n}.bin`, () => {
              begun.add(n)
              return Deferred.await(gate)
            }).pipe(Effect.forkChild({ startImmediately: true })))
          const expect = (count: number) =>
            Effect.gen(function*() {
              yield* TestClock.adjust("1 second")
              assert.strictEqual(begun.size, count)
            })
          yield* expect(Limits.sourcesHashedMax)
          yield* Deferred.succeed(gates[0]!, undefined)
          yield* expect(Limits.sourcesHashedMax + 1)
          // One that waits for its turn can be called off as well.
          yield* Fiber.interrupt(fibers.at(-1)!)
          yield* Fiber.interrupt(fibers[1]!)
          yield* expect(Limits.sourcesHashedMax + 1)
          for (const gate of gates) yield* Deferred.succeed(gate, undefined)
          yield* expect(Limits.sourcesHashedMax + 1)
          memory.operationMs = () => 0
        }))
    }))

  it.effect("says why a source cannot be shared", () =>
    Effect.gen(function*() {
      const memory = memoryWith("/lesson", lab())
      memory.putSpecial("/pipe", "other")
      yield* withStore(memory, teacher, (store) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* refusal(store, "/nothing"), "not-found")
          assert.strictEqual(yield* refusal(store, "/pipe"), "not-a-file-or-folder")
          assert.strictEqual(yield* refusal(store, "/"), "empty-name")
          memory.failNext("open", 1, "permission", "/lesson/a.txt")
          assert.strictEqual(yield* refusal(store, "/lesson/a.txt"), "permission")
        }))
    }))
})

/** A share of which only the indexes matter. */
const makeOf = (share: Made["share"]): Made => ({
  share,
  chunks: Array.from({ length: share.manifest.hashes.length + share.chunksCount }, () => new Uint8Array())
})

const build = (options: StoreOptions) =>
  Effect.map(
    Layer.build(Layer.provide(ChunkStore.layer(options), [diskNode, cryptoNode])),
    (services) => Context.get(services, ChunkStore)
  )

const stores = Effect.fnUntraced(function*(folder: string) {
  return {
    from: yield* build({ stateFolder: `${folder}/state` }),
    to: yield* build({ stateFolder: `${folder}/state`, downloadFolder: `${folder}/downloads` })
  }
})

/** The files and folders below one, as a person can have shared them. */
const listing = (at: string) =>
  NodeFs.readdirSync(at, { recursive: true, withFileTypes: true })
    .filter((entry) => !/^(link|latin-.*)$/.test(entry.name))
    .map((entry) => `${entry.parentPath.slice(at.length)}/${entry.name}`).toSorted()

describe("ChunkStore on a real disk", () => {
  const transfer = Effect.fnUntraced(function*(from: Store, to: Store, path: string) {
    const { share, skipped } = yield* from.importSource(path, quiet)
    const buffer = new Uint8Array(Limits.chunkBytesMax)
    yield* to.open(share)
    for (let index = 0; index < share.manifest.hashes.length + share.chunksCount; index++) {
      yield* to.write(share.root, index, yield* from.read(share.root, index, buffer))
    }
    return { share, skipped, published: yield* to.publish(share.root) }
  })

  it.live("brings over 10,000 small files, a large one and what is beside them", () =>
    Effect.gen(function*() {
      const folder = yield* tempFolder
      const source = `${folder}/lesson`
      for (let d = 0; d < 100; d++) {
        NodeFs.mkdirSync(`${source}/d${d}`, { recursive: true })
        for (let f = 0; f < 100; f++) NodeFs.writeFileSync(`${source}/d${d}/f${f}.txt`, noise(40, d * 100 + f))
      }
      NodeFs.writeFileSync(`${source}/large.bin`, Buffer.alloc(3_000_000, 7))
      NodeFs.mkdirSync(`${source}/empty/folder`, { recursive: true })
      NodeFs.symlinkSync("/etc/passwd", `${source}/link`)
      NodeFs.writeFileSync(Buffer.concat([Buffer.from(`${source}/latin-`), Buffer.from([0xe9])]), "")
      const { from, to } = yield* stores(folder)
      const { published, skipped } = yield* transfer(from, to, source)
      assert.deepStrictEqual(skipped.map(({ path }) => path), ["latin-\ufffd", "link"])
      assert.strictEqual(published.path, `${folder}/downloads/lesson`)
      assert.deepStrictEqual(listing(published.path), listing(source))
      for (const file of listing(source)) {
        if (NodeFs.statSync(source + file).isDirectory()) continue
        assert.isTrue(NodeFs.readFileSync(source + file).equals(NodeFs.readFileSync(published.path + file)), file)
      }
    }).pipe(Effect.scoped), 60_000)

  it.live("publishes a file beside one of its name, readable by whom the person allows, and hides the rest", () =>
    Effect.gen(function*() {
      const folder = yield* tempFolder
      NodeFs.writeFileSync(`${folder}/notes.txt`, noise(200_000, 1))
      NodeFs.mkdirSync(`${folder}/downloads`)
      NodeFs.writeFileSync(`${folder}/downloads/notes.txt`, "mine")
      const { from, to } = yield* stores(folder)
      const { published } = yield* transfer(from, to, `${folder}/notes.txt`)
      assert.strictEqual(published.path, `${folder}/downloads/notes (2).txt`)
      assert.strictEqual(NodeFs.readFileSync(`${folder}/downloads/notes.txt`, "utf8"), "mine")
      assert.strictEqual(NodeFs.statSync(published.path).mode & 0o777, 0o666 & ~process.umask())
      assert.strictEqual(NodeFs.statSync(`${folder}/downloads/.labfx`).mode & 0o777, 0o700)
    }).pipe(Effect.scoped))
})
