/** Chunk stores over a disk in memory that can be killed, and shares made of nothing but bytes. */
import { Context, Effect, Exit, Fiber, Layer, Result, Scope } from "effect"
import * as NodeCrypto from "node:crypto"
import * as Bitfield from "../../src/protocol/Bitfield.ts"
import type { Share } from "../../src/protocol/Entry.ts"
import { Root } from "../../src/protocol/Ids.ts"
import * as Manifest from "../../src/protocol/Manifest.ts"
import { finish } from "../../src/protocol/Work.ts"
import { ChunkStore, type StoreOptions } from "../../src/services/ChunkStore.ts"
import * as CryptoNode from "../../src/services/node/CryptoNode.ts"
import type { DiskMemory } from "../../src/simulator/DiskMemory.ts"

export type Store = ChunkStore["Service"]

/** Small chunks: a test's kilobytes make as many of them as a class's gigabytes. */
const chunkSizeBytesMin = 1_024

/** One run of a program: a store, and the ways it can end. */
export interface Run {
  readonly store: Store
  readonly close: Effect.Effect<void>
}

export const start = Effect.fnUntraced(function*(memory: DiskMemory, options: StoreOptions) {
  const scope = yield* Scope.make()
  const layer = ChunkStore.layer({ chunkSizeBytesMin, ...options }).pipe(
    Layer.provide([memory.layer, CryptoNode.layerNode])
  )
  const store = Context.get(yield* Layer.buildWithScope(layer, scope), ChunkStore)
  return { store: bothWays(store), close: Scope.close(scope, Exit.void) } satisfies Run
})

/** Every other chunk at once where that goes, as the scheduler asks for all: so both ways meet every test. */
const bothWays = (store: Store): Store => ({
  ...store,
  write: (root, index, bytes) =>
    Effect.suspend(() =>
      index % 2 === 1 && store.writeNow(root, index, bytes)
        ? Effect.succeed({ manifestComplete: false })
        : store.write(root, index, bytes)
    ),
  read: (root, index, buffer) =>
    Effect.suspend(() => {
      const bytes = index % 2 === 1 ? store.readNow(root, index, buffer) : undefined
      return bytes === undefined ? store.read(root, index, buffer) : Effect.succeed(bytes)
    })
})

/** Does something with a store that is closed afterwards. */
export const withStore = <A, E>(
  memory: DiskMemory,
  options: StoreOptions,
  body: (store: Store) => Effect.Effect<A, E, never>
) => Effect.acquireUseRelease(start(memory, options), ({ store }) => body(store), ({ close }) => close)

/** Runs the effect until it ends or the disk's process is killed: whichever comes first. */
export const untilKilled = Effect.fnUntraced(function*<A, E>(
  memory: DiskMemory,
  killAfter: number,
  effect: Effect.Effect<A, E>
) {
  const run = { operations: 0, killed: false }
  memory.onOperation = () => {
    if (++run.operations !== killAfter) return
    run.killed = true
    memory.kill()
  }
  // Nobody waits for a killed process: it hangs where it was.
  const fiber = yield* Effect.forkDetach(effect, { startImmediately: true })
  while (!run.killed && fiber.pollUnsafe() === undefined) yield* Effect.yieldNow
  memory.onOperation = () => {}
  if (!run.killed) yield* Fiber.join(fiber)
  return run.killed
})

export const sha256 = (bytes: Uint8Array) => new Uint8Array(NodeCrypto.createHash("sha256").update(bytes).digest())
const text = (bytes: Uint8Array) => Root.make(Buffer.from(sha256(bytes)).toString("base64url"))

export type Tree = ReadonlyMap<string, Uint8Array>

/** A share that no device has: its entry, and the bytes of every chunk. */
export interface Made {
  readonly share: Share
  readonly chunks: ReadonlyArray<Uint8Array>
}

/** A folder of any paths, hostile ones too; or, with the one path `""`, a file. */
export const makeShare = (
  title: string,
  tree: Tree,
  options: { readonly chunkSizeBytes?: number; readonly directories?: ReadonlyArray<string> } = {}
): Made => {
  const files = [...tree].toSorted(([a], [b]) => Manifest.comparePaths(a, b))
  const kind = tree.has("") ? "file" : "folder"
  const sizes = files.map(([, bytes]) => bytes.length)
  const sizeBytes = sizes.reduce((sum, size) => sum + size, 0)
  const chunkSizeBytes = options.chunkSizeBytes ?? 1_024
  const unhashed = {
    kind,
    sizeBytes,
    chunkSizeBytes,
    paths: files.map(([path]) => path),
    sizes,
    directories: options.directories ?? []
  } as const
  const layout = Result.getOrThrow(finish(Manifest.layout(unhashed)))
  const content = Array.from({ length: layout.chunksCount }, (_, chunk) =>
    new Uint8Array(Buffer.concat(
      Manifest.extents(layout, chunk).map(({ file, length, offset }) =>
        files[file]![1].subarray(offset, offset + length)
      )
    )))
  const hashes = new Uint8Array(Buffer.concat(content.map(sha256)))
  const bytes = Result.getOrThrow(finish(Manifest.encode({ ...unhashed, hashes })))
  const manifest: Array<Uint8Array> = []
  for (let at = 0; at < bytes.length; at += 1_024) manifest.push(bytes.subarray(at, at + 1_024))
  return {
    share: {
      _tag: "Share",
      root: text(bytes),
      kind,
      title,
      sizeBytes,
      filesCount: files.length,
      chunkSizeBytes,
      chunksCount: layout.chunksCount,
      manifest: { sizeBytes: bytes.length, chunkSizeBytes: 1_024, hashes: manifest.map(text) }
    },
    chunks: [...manifest, ...content]
  }
}

/** Bytes that look like chance and are the same every time (mulberry32). */
export const noise = (length: number, seed: number): Uint8Array => {
  const random = seeded(seed)
  return Uint8Array.from({ length }, () => Math.floor(random() * 256))
}

export const seeded = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
}

export const shuffled = <A>(items: Iterable<A>, random: () => number): ReadonlyArray<A> => {
  const result = [...items]
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[result[i], result[j]] = [result[j]!, result[i]!]
  }
  return result
}

/**
 * Receives what is missing of a share, in an order drawn from `random`, as the scheduler does: the manifest first. Gives
 * the indexes that were written; `between` happens after each.
 */
export const receive = Effect.fnUntraced(function*(
  store: Store,
  { chunks, share }: Made,
  random: () => number,
  between: Effect.Effect<void> = Effect.void
) {
  const opened = yield* store.open(share)
  const manifestCount = share.manifest.hashes.length
  const written: Array<number> = []
  for (const index of shuffled(Array.from({ length: manifestCount }, (_, i) => i), random)) {
    if (Bitfield.has(opened.have, index)) continue
    yield* store.write(share.root, index, chunks[index]!.slice())
    written.push(index)
    yield* between
  }
  const rest = Array.from({ length: chunks.length - manifestCount }, (_, i) => manifestCount + i)
  for (const index of shuffled(rest, random)) {
    if (Bitfield.has(store.opened(share.root)!.have, index)) continue
    yield* store.write(share.root, index, chunks[index]!.slice())
    written.push(index)
    yield* between
  }
  return written
})

/** Every chunk that the store says it has, read back. */
export const readBack = Effect.fnUntraced(function*(store: Store, { chunks, share }: Made) {
  const have = store.opened(share.root)!.have
  const buffer = new Uint8Array(2 ** 20)
  const found: Array<readonly [number, Uint8Array]> = []
  for (let index = 0; index < chunks.length; index++) {
    if (!Bitfield.has(have, index)) continue
    found.push([index, (yield* store.read(share.root, index, buffer)).slice()])
  }
  return found
})
