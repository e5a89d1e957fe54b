/** P3 and names: whatever a manifest calls its files, what appears is inside the download folder and is right. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import * as NodeFs from "node:fs"
import * as Manifest from "../../src/protocol/Manifest.ts"
import * as Names from "../../src/protocol/Names.ts"
import { finish } from "../../src/protocol/Work.ts"
import { ChunkStore } from "../../src/services/ChunkStore.ts"
import { layerNode as cryptoNode } from "../../src/services/node/CryptoNode.ts"
import { layerNode as diskNode } from "../../src/services/node/DiskNode.ts"
import { DiskMemory } from "../../src/simulator/DiskMemory.ts"
import { collisions, good, hostile } from "../support/NamesTable.ts"
import { makeShare, noise, readBack, receive, seeded, type Tree, withStore } from "../support/Stores.ts"
import { tempFolder } from "../support/TempFolder.ts"

const student = { stateFolder: "/state", downloadFolder: "/home/downloads" }

/** A manifest carries text: what is none arrives as other text. */
const names = [...hostile.flatMap((group) => group.paths), ...good, ...collisions.flatMap(({ pairs }) => pairs.flat())]
  .filter((path) => path.isWellFormed())

const Draw = Schema.Natural.check(Schema.isLessThanOrEqualTo(0xffff))
/** One or two names of the table below one another, each with a size. */
const Files = Schema.Array(Schema.Tuple([Draw, Draw, Draw])).check(Schema.isMinLength(1), Schema.isMaxLength(25))

const treeOf = (draws: ReadonlyArray<readonly [number, number, number]>): Tree =>
  new Map(draws.map(([a, b, c]) => {
    const name = names[a % names.length]!
    const path = b % 3 === 0 ? `${names[b % names.length]!}/${name}` : name
    return [path === "" ? "." : path, noise(c % 7 === 0 ? 0 : c % 5 === 0 ? c % 3_000 : c % 300, c)] as const
  }))

/** What may appear: exactly what has no problem, the first of those that collide. */
const keptOf = (tree: Tree): Tree => {
  const paths = [...tree.keys()].toSorted(Manifest.comparePaths)
  const problems = finish(Names.problems(paths, []))
  return new Map(paths.filter((_, i) => !problems.has(i)).map((path) => [path, tree.get(path)!]))
}

const sorted = (tree: Tree) => [...tree].toSorted(([a], [b]) => Manifest.comparePaths(a, b))

describe("a share of hostile names", () => {
  it.effect.prop(
    "P3, N1, N2: shows exactly the files that every system can hold, serves all, and touches nothing else",
    { files: Files, seed: Draw },
    ({ files, seed }) =>
      Effect.gen(function*() {
        const tree = treeOf(files)
        const made = makeShare("lab", tree)
        const memory = new DiskMemory()
        memory.put("/home/downloads/mine.txt", noise(10, 1))
        memory.put("/home/x", noise(10, 2))
        yield* withStore(memory, student, (store) =>
          Effect.gen(function*() {
            yield* receive(store, made, seeded(seed))
            const { path, skipped } = yield* store.publish(made.share.root)
            assert.strictEqual(path, "/home/downloads/lab")
            assert.strictEqual(skipped.length, tree.size - keptOf(tree).size)
            assert.deepStrictEqual((yield* readBack(store, made)).map(([, bytes]) => bytes), made.chunks)
          }))
        assert.deepStrictEqual(sorted(memory.files("/home/downloads/lab")), sorted(keptOf(tree)))
        const others = [...memory.files("/").keys()].filter((path) =>
          !path.startsWith("home/downloads/.labfx/") && !path.startsWith("home/downloads/lab/")
        )
        assert.deepStrictEqual(others.toSorted(), ["home/downloads/mine.txt", "home/x"])
      }),
    { arbitrary: { runs: 150 } }
  )

  it.live("P3: the whole table at once, on this system's own disk", () =>
    Effect.gen(function*() {
      const folder = yield* tempFolder
      const tree: Tree = new Map(names.map((path, i) => [path === "" ? "." : path, noise(20 + i, i)] as const))
      const made = makeShare("lab", tree)
      const downloadFolder = `${folder}/a/b/c/downloads`
      const layer = ChunkStore.layer({ stateFolder: `${folder}/state`, downloadFolder })
      const store = Context.get(yield* Layer.build(Layer.provide(layer, [diskNode, cryptoNode])), ChunkStore)
      yield* receive(store, made, seeded(1))
      const { skipped } = yield* store.publish(made.share.root)
      const kept = keptOf(tree)
      assert.isAbove(skipped.length, 200)
      assert.strictEqual(skipped.length, tree.size - kept.size)
      const found = NodeFs.readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => !entry.isDirectory())
        .map((entry) => `${entry.parentPath}/${entry.name}`)
      const shown = `${downloadFolder}/lab/`
      const beside = found.filter((path) => !path.startsWith(shown) && !path.startsWith(`${downloadFolder}/.labfx/`))
      assert.deepStrictEqual(beside, [])
      const seen = found.filter((path) => path.startsWith(shown)).map((path) => path.slice(shown.length))
      assert.deepStrictEqual(seen.toSorted(), [...kept.keys()].toSorted())
      for (const [path, bytes] of kept) assert.isTrue(NodeFs.readFileSync(shown + path).equals(bytes), path)
    }).pipe(Effect.scoped))
})
