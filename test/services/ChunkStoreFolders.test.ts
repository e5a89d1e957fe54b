/** The folder under a store: deleted, replaced or filled while it runs, and what earlier runs have left in it. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as NodeFs from "node:fs"
import * as Bitfield from "../../src/protocol/Bitfield.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import { ChunkStore } from "../../src/services/ChunkStore.ts"
import { layerNode as cryptoNode } from "../../src/services/node/CryptoNode.ts"
import { layerNode as diskNode } from "../../src/services/node/DiskNode.ts"
import { DiskMemory } from "../../src/simulator/DiskMemory.ts"
import { makeShare, noise, receive, seeded, start, type Tree, withStore } from "../support/Stores.ts"
import { tempFolder } from "../support/TempFolder.ts"

const downloads = "/home/downloads"
const student = { stateFolder: "/state", downloadFolder: downloads }
const tree: Tree = new Map([["large.bin", noise(8_000, 1)], ["a/small.txt", noise(100, 2)]])
const made = makeShare("lab", tree)
const { chunks, share } = made
const manifestCount = share.manifest.hashes.length

const half = Array.from({ length: manifestCount + 4 }, (_, i) => i)
/** Everybody has had the time for what nobody waits for. */
const rested = Effect.repeat(Effect.yieldNow, { times: 200 })
const tidied = Effect.andThen(TestClock.adjust(Limits.leftoversRemovedAfterMs), rested)
const days = (count: number) => TestClock.adjust(`${count} days`)

describe("a download folder that changes under a running program", () => {
  for (const what of ["deleted", "replaced by a link", "replaced by another folder"] as const) {
    it.effect(`P10, P3: ${what}: says so, writes nothing elsewhere, and begins again by itself`, () =>
      Effect.gen(function*() {
        const memory = new DiskMemory()
        const other = makeShare("other", new Map([["", noise(2_000, 3)]]))
        yield* withStore(memory, student, (store) =>
          Effect.gen(function*() {
            yield* store.open(share)
            for (const index of half) yield* store.write(share.root, index, chunks[index]!)
            memory.delete(downloads)
            if (what === "replaced by a link") memory.putSpecial(downloads, "symlink")
            if (what === "replaced by another folder") memory.put(`${downloads}/mine.txt`, noise(10, 4))
            const before = memory.files("/home")
            // Noticed with the next marks, before much is written for nothing.
            yield* store.write(share.root, half.length, chunks[half.length]!)
            yield* TestClock.adjust(Limits.unmarkedMs)
            const error = yield* Effect.flip(store.write(share.root, half.length + 1, chunks[half.length + 1]!))
            assert.deepInclude(error, { _tag: "StoreError", reason: "folder-gone" })
            assert.include((error as { readonly detail: string }).detail, downloads)
            assert.deepStrictEqual(memory.files("/home"), before)
            if (what === "replaced by a link") {
              assert.deepInclude(yield* Effect.flip(store.open(share)), { reason: "folder-gone" })
              assert.deepInclude(yield* Effect.flip(store.open(other.share)), { reason: "folder-gone" })
              memory.delete(downloads)
            }
            assert.strictEqual(Bitfield.size((yield* store.open(share)).have), 0)
            yield* receive(store, made, seeded(1))
            assert.strictEqual((yield* store.publish(share.root)).path, `${downloads}/lab`)
            // It is held against others as before.
            assert.deepInclude(yield* Effect.flip(start(memory, student)), { reason: "in-use" })
          }))
        for (const [path, bytes] of tree) assert.deepStrictEqual(memory.files(`${downloads}/lab`).get(path), bytes)
        assert.strictEqual(memory.files(downloads).has("mine.txt"), what === "replaced by another folder")
        assert.strictEqual(memory.openFiles, 0)
      }))
  }

  it.effect("P10: deleted just before it appears: says so, and begins again", () =>
    Effect.gen(function*() {
      const memory = new DiskMemory()
      yield* withStore(memory, student, (store) =>
        Effect.gen(function*() {
          yield* receive(store, made, seeded(1))
          memory.delete(downloads)
          assert.deepInclude(yield* Effect.flip(store.publish(share.root)), { reason: "folder-gone" })
          yield* receive(store, made, seeded(2))
          yield* store.publish(share.root)
        }))
      for (const [path, bytes] of tree) assert.deepStrictEqual(memory.files(`${downloads}/lab`).get(path), bytes)
    }))

  it.effect("P10: a part of the hidden folder that somebody deleted is fetched again", () =>
    Effect.gen(function*() {
      const memory = new DiskMemory()
      yield* withStore(memory, student, (store) =>
        Effect.gen(function*() {
          yield* receive(store, made, seeded(1))
          memory.delete(`${downloads}/.labfx/${share.root}/tree`)
          yield* Effect.gen(function*() {
            yield* receive(store, made, seeded(1))
            yield* store.publish(share.root)
          }).pipe(Effect.retry({ times: 3 }))
        }))
      for (const [path, bytes] of tree) assert.deepStrictEqual(memory.files(`${downloads}/lab`).get(path), bytes)
    }))

  it.live("P3: a published folder replaced by a link is not repaired through it", () =>
    Effect.gen(function*() {
      const folder = yield* tempFolder
      const store = Effect.map(
        Layer.build(
          Layer.provide(
            ChunkStore.layer({ stateFolder: `${folder}/state`, downloadFolder: `${folder}/downloads` }),
            [diskNode, cryptoNode]
          )
        ),
        (services) => Context.get(services, ChunkStore)
      )
      const outside = `${folder}/outside/small.txt`
      yield* Effect.scoped(Effect.gen(function*() {
        const first = yield* store
        yield* receive(first, made, seeded(1))
        yield* first.publish(share.root)
      }))
      // What a power cut leaves of a small file, elsewhere, under the name of one that would be repaired.
      NodeFs.mkdirSync(`${folder}/outside`)
      NodeFs.writeFileSync(outside, Buffer.alloc(100))
      NodeFs.utimesSync(outside, 1e9, 1e9)
      NodeFs.rmSync(`${folder}/downloads/lab/a`, { recursive: true })
      NodeFs.symlinkSync(`${folder}/outside`, `${folder}/downloads/lab/a`)
      yield* Effect.scoped(Effect.flatMap(store, (second) => second.open(share)))
      assert.isTrue(NodeFs.readFileSync(outside).equals(Buffer.alloc(100)))
      // In its own place it is.
      NodeFs.unlinkSync(`${folder}/downloads/lab/a`)
      NodeFs.mkdirSync(`${folder}/downloads/lab/a`)
      NodeFs.writeFileSync(`${folder}/downloads/lab/a/small.txt`, Buffer.alloc(100))
      NodeFs.utimesSync(`${folder}/downloads/lab/a/small.txt`, 1e9, 1e9)
      yield* Effect.scoped(Effect.flatMap(store, (third) => third.open(share)))
      assert.isTrue(NodeFs.readFileSync(`${folder}/downloads/lab/a/small.txt`).equals(tree.get("a/small.txt")!))
    }).pipe(Effect.scoped))
})

const Draw = Schema.Natural.check(Schema.isLessThanOrEqualTo(0xffff))
const newer = new TextEncoder().encode(JSON.stringify({ version: 2, share, place: { _tag: "Elsewhere" } }))

describe("a hidden folder that is not what was left there", () => {
  it.effect.prop(
    "P1, P2: cut, flipped, emptied, deleted or from another version: what is right is kept, the rest is fetched, and what appears is right",
    { harms: Schema.Array(Schema.Tuple([Draw, Draw])).check(Schema.isMaxLength(6)), whole: Schema.Boolean },
    ({ harms, whole }) =>
      Effect.gen(function*() {
        const memory = new DiskMemory()
        const download = (store: ChunkStore["Service"]) =>
          Effect.gen(function*() {
            yield* receive(store, made, seeded(3))
            return yield* store.publish(share.root)
          }).pipe(Effect.retry({ times: 3 }))
        yield* withStore(memory, student, (store) =>
          whole ? Effect.asVoid(download(store)) : Effect.asVoid(receive(store, made, seeded(1))))
        const hidden = `${downloads}/.labfx/${share.root}`
        for (const [which, how] of harms) {
          const files = [...memory.files(hidden)]
          const [name, bytes] = files[which % files.length] ?? ["record", newer]
          const harmed = bytes.slice(0, how % 4 === 0 ? how % (bytes.length + 1) : bytes.length)
          if (how % 4 === 1 && harmed.length > 0) {
            harmed[how % harmed.length]! ^= 1 << (how % 8)
          }
          if (how % 4 === 2) {
            memory.delete(`${hidden}/${name}`)
          } else memory.put(`${hidden}/${how % 4 === 3 ? "record" : name}`, how % 4 === 3 ? newer : harmed)
        }
        yield* withStore(memory, student, (store) =>
          Effect.gen(function*() {
            const { path } = yield* store.open(share)
            // Known as published, it stays what it is; not known any more, it is received and found where it lies.
            if (path === undefined) {
              assert.strictEqual((yield* download(store)).path, `${downloads}/lab`)
            }
          }))
        const shown = memory.files(`${downloads}/lab`)
        assert.strictEqual(shown.size, tree.size)
        for (const [path, bytes] of tree) {
          assert.deepStrictEqual(shown.get(path), bytes)
        }
      }),
    { arbitrary: { runs: 150 } }
  )
})

describe("what earlier runs have left", () => {
  const [first, second, done] = [
    makeShare("first", new Map([["", noise(9_000, 5)]])),
    makeShare("second", new Map([["", noise(9_000, 6)]])),
    makeShare("done", new Map([["a", noise(900, 7)], ["b", noise(800, 8)], ["c", noise(3_000, 9)]]))
  ]
  const begin = Effect.fnUntraced(function*(memory: DiskMemory, which: typeof first) {
    yield* withStore(memory, student, (store) =>
      Effect.gen(function*() {
        yield* store.open(which.share)
        for (let index = 0; index < 4; index++) yield* store.write(which.share.root, index, which.chunks[index]!)
      }))
  })
  const isLeft = (memory: DiskMemory, { share }: typeof first) =>
    [...memory.files(`${downloads}/.labfx`).keys()].some((path) => path.startsWith(share.root))

  it.effect("is removed a month after it was last opened, and what people see stays", () =>
    Effect.gen(function*() {
      const memory = new DiskMemory()
      yield* begin(memory, first)
      yield* begin(memory, second)
      yield* withStore(memory, student, (store) =>
        receive(store, done, seeded(1)).pipe(Effect.andThen(store.publish(done.share.root)), Effect.andThen(rested)))
      yield* days(20)
      // Opened again, without anything being written.
      yield* withStore(memory, student, (store) =>
        store.open(second.share))
      yield* days(20)
      yield* withStore(memory, student, () =>
        tidied)
      assert.deepStrictEqual(
        [first, second, done].map((each) =>
          isLeft(memory, each)
        ),
        [false, true, false]
      )
      assert.strictEqual(memory.files(`${downloads}/done`).size, 3)
      // Should it come again, it is found where it is, and appears once.
      yield* withStore(memory, student, (store) =>
        Effect.gen(function*() {
          yield* receive(store, done, seeded(1))
          assert.strictEqual((yield* store.publish(done.share.root)).path, `${downloads}/done`)
        }))
    }))

  it.effect("stays for leftoversKeptMs, and for leftoversKeptWhenFullMs where there is no room, and not a moment longer", () =>
    Effect.gen(function*() {
      for (const beyondMs of [0, 1]) {
        const memory = new DiskMemory()
        yield* begin(memory, first)
        yield* TestClock.adjust(Limits.leftoversKeptMs - Limits.leftoversRemovedAfterMs + beyondMs)
        yield* withStore(memory, student, () => tidied)
        assert.strictEqual(isLeft(memory, first), beyondMs === 0)

        const full = new DiskMemory()
        yield* begin(full, first)
        yield* TestClock.adjust(Limits.leftoversKeptWhenFullMs + beyondMs)
        full.capacityBytes = 0
        yield* withStore(full, student, (store) => Effect.flip(store.open(done.share)))
        assert.strictEqual(isLeft(full, first), beyondMs === 0)
      }
    }))

  it.effect("P9: is not removed while it is open, however long ago the clock says that was", () =>
    Effect.gen(function*() {
      const memory = new DiskMemory()
      yield* begin(memory, first)
      yield* days(20_000)
      // That it is opened now cannot be noted.
      memory.failNext("write", 1, "io", "/opened")
      yield* withStore(memory, student, (store) =>
        Effect.gen(function*() {
          yield* store.open(first.share)
          yield* tidied
          assert.isTrue(isLeft(memory, first))
          assert.strictEqual(Bitfield.size(store.opened(first.share.root)!.have), 4)
        }))
    }))

  it.effect("makes room for a share that needs it, the oldest first and no more than that, and never what is of today", () =>
    Effect.gen(function*() {
      const memory = new DiskMemory()
      yield* begin(memory, first)
      yield* days(1)
      yield* begin(memory, second)
      yield* days(3)
      yield* begin(memory, done)
      const needed = made.share.sizeBytes + 200
      memory.capacityBytes = memory.usedBytes + Limits.freeBytesReserve + needed - 500
      yield* withStore(memory, student, (store) => receive(store, made, seeded(1)))
      assert.deepStrictEqual([first, second, done].map((each) => isLeft(memory, each)), [false, true, true])
      memory.capacityBytes = 0
      yield* withStore(
        memory,
        student,
        (store) => Effect.flip(store.open(makeShare("new", new Map([["", noise(9, 9)]])).share))
      )
      assert.deepStrictEqual([first, second, done].map((each) => isLeft(memory, each)), [false, false, true])
    }))
})
