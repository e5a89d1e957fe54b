/** The bytes of chunks and the files they are in: reads, verifies and writes them wherever their share lies. */
import { Effect } from "effect"
import * as Bitfield from "../../protocol/Bitfield.ts"
import * as Manifest from "../../protocol/Manifest.ts"
import type { Crypto } from "../Crypto.ts"
import { type Disk, DiskError, type DiskFile, type Stat } from "../Disk.ts"
import type { Handles } from "./Handles.ts"
import { type Content, type Holding, parentOf } from "./Holding.ts"

const isUnchanged = (a: Stat, b: Stat | undefined): boolean =>
  b !== undefined && a.sizeBytes === b.sizeBytes && a.modifiedNs === b.modifiedNs && a.identity === b.identity

export const isEqual = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

export const readExactly = (file: DiskFile, into: Uint8Array, position: number) =>
  Effect.flatMap(file.read(into, position), (count) =>
    count === into.length
      ? Effect.void
      : Effect.fail(new DiskError({ reason: "io", path: file.path, detail: "the file is shorter than it was" })))

export interface SmallFile {
  readonly path: string
  readonly bytes: Uint8Array
}

/** The files of a pack that have a name here, each with its part of the pack's bytes. */
export const smallFiles = (holding: Holding, content: Content, chunk: number, bytes: Uint8Array) => {
  let at = 0
  const files: Array<SmallFile> = []
  for (const { file, length } of Manifest.extents(content.layout, chunk)) {
    if (!content.lost.has(file)) {
      files.push({ path: holding.filePath(content, file), bytes: bytes.subarray(at, at + length) })
    }
    at += length
  }
  return files
}

export type ChunkFiles = ReturnType<typeof make>

export const make = (disk: Disk["Service"], crypto: Crypto["Service"], handles: Handles) => {
  /** Whether the bytes are the ones that were signed. */
  const isChunk = (holding: Holding, index: number, bytes: Uint8Array): boolean => {
    if (bytes.length !== holding.chunkBytes(index)) return false
    if (index < holding.manifestChunksCount) return crypto.sha256Text(bytes) === holding.share.manifest.hashes[index]
    const at = (index - holding.manifestChunksCount) * Manifest.hashBytes
    return isEqual(crypto.sha256(bytes), holding.content!.manifest.hashes.subarray(at, at + Manifest.hashBytes))
  }

  /** Fills `into` with a chunk's bytes as they are on disk, whatever they are. */
  const readChunk = (holding: Holding, index: number, into: Uint8Array): Effect.Effect<void, DiskError> => {
    const run = holding.runOf(index)
    if (run !== undefined) return handles.use(run.path, "read", (file) => readExactly(file, into, run.position))
    const chunk = index - holding.manifestChunksCount
    const read = smallFiles(holding, holding.content!, chunk, into).map(({ bytes, path }) => ({ path, into: bytes }))
    return Effect.flatMap(disk.readFiles(read), (results) => {
      const error = results.find((result) => result instanceof DiskError)
      return error === undefined ? Effect.void : Effect.fail(error)
    })
  }

  /** The chunk as it was signed, or `false`. Hashes only what may have changed since it was last hashed. */
  const readVerified = Effect.fnUntraced(function*(holding: Holding, index: number, into: Uint8Array) {
    const file = holding.ownFile(index)
    // Nobody else writes in the hidden folder, and a pack of a source is so many files that hashing it costs least.
    if (file === undefined || holding.place._tag === "Staging") {
      yield* readChunk(holding, index, into)
      const isGathered = holding.place._tag === "Source" && index >= holding.manifestChunksCount
      if (Bitfield.has(holding.verified, index) && !isGathered) return true
      return verify(holding, index, into)
    }
    const { path, position } = holding.runOf(index)!
    return yield* handles.use(path, "read", (open) =>
      Effect.gen(function*() {
        if (Bitfield.has(holding.verified, index)) {
          yield* readExactly(open, into, position)
          // Looked at after the reading: what was unchanged then was so during it.
          if (isUnchanged(yield* open.stat, holding.stamps.get(file))) return true
        }
        // Looked at before the reading: a change during it makes the next look differ.
        const before = yield* open.stat
        yield* readExactly(open, into, position)
        if (!isUnchanged(before, holding.stamps.get(file))) {
          holding.distrust(file)
          holding.stamps.set(file, before)
        }
        return verify(holding, index, into)
      }))
  })

  /** As {@link readVerified}, at once. False where anything has to be waited for, or is not as it should be. */
  const readNow = (holding: Holding, index: number, into: Uint8Array): boolean => {
    const isKnown = Bitfield.has(holding.verified, index)
    const file = holding.place._tag === "Staging" ? undefined : holding.ownFile(index)
    const run = isKnown || file !== undefined ? holding.runOf(index) : undefined
    const now = run === undefined ? undefined : handles.now(run.path, "read")?.now(into.length)
    if (run === undefined || now === undefined) return false
    const isAsBefore = (): boolean => {
      if (file === undefined) return true
      const stat = now.stat()
      return stat !== undefined && isUnchanged(stat, holding.stamps.get(file))
    }
    return isKnown
      ? now.read(into, run.position) && isAsBefore()
      : isAsBefore() && now.read(into, run.position) && verify(holding, index, into)
  }

  const verify = (holding: Holding, index: number, bytes: Uint8Array): boolean => {
    if (!isChunk(holding, index, bytes)) return false
    Bitfield.add(holding.verified, index)
    return true
  }

  const makeFolder = Effect.fnUntraced(function*(holding: Holding, path: string) {
    if (holding.foldersMade.has(path)) return
    yield* disk.makeDirectory(path)
    holding.foldersMade.add(path)
  })

  /** Puts a chunk's bytes where they belong. A pack goes to `packs` first: its small files can be made again from there. */
  const put = Effect.fnUntraced(function*(holding: Holding, index: number, bytes: Uint8Array) {
    const { path, position } = holding.runOf(index)!
    if (holding.ownFile(index) !== undefined) yield* makeFolder(holding, parentOf(path))
    yield* handles.use(path, "write", (file) => file.write(bytes, position))
    if (holding.isPack(index)) {
      yield* putSmallFiles(holding, smallFiles(holding, holding.content!, index - holding.manifestChunksCount, bytes))
    }
  })

  /** Verifies a chunk of content and puts it where it belongs, at once. False where that does not go. */
  const putNow = (holding: Holding, index: number, bytes: Uint8Array): boolean => {
    const run = holding.isPack(index) ? undefined : holding.runOf(index)
    const now = run === undefined ? undefined : handles.now(run.path, "write")?.now(bytes.length)
    return run !== undefined && now !== undefined && isChunk(holding, index, bytes) && now.write(bytes, run.position)
  }

  const putSmallFiles = Effect.fnUntraced(function*(
    holding: Holding,
    files: ReadonlyArray<SmallFile>
  ) {
    for (const folder of new Set(files.map(({ path }) => parentOf(path)))) yield* makeFolder(holding, folder)
    yield* disk.writeFiles(files, 0o666)
  })

  /** The files whose bytes on disk are not these or cannot be read; `buffer` takes what is there. */
  const differing = Effect.fnUntraced(function*(files: ReadonlyArray<SmallFile>, buffer: Uint8Array) {
    let at = 0
    const there = files.map(({ bytes, path }) => ({ path, into: buffer.subarray(at, at += bytes.length) }))
    const results = yield* disk.readFiles(there)
    return files.filter(({ bytes }, i) => {
      const result = results[i]!
      return result instanceof DiskError || result.sizeBytes !== bytes.length || !isEqual(there[i]!.into, bytes)
    })
  })

  /** What has no bytes comes with no chunk: the empty files and folders of a download. */
  const putEmpty = Effect.fnUntraced(function*(holding: Holding, content: Content) {
    const { directories, paths, sizes } = content.manifest
    const none = new Uint8Array()
    const empty: Array<SmallFile> = []
    for (const [file, size] of sizes.entries()) {
      if (size === 0 && !content.lost.has(file)) empty.push({ path: holding.filePath(content, file), bytes: none })
    }
    yield* putSmallFiles(holding, empty)
    if (holding.share.kind === "file") return
    yield* makeFolder(holding, holding.stagedPath)
    for (const [i, directory] of directories.entries()) {
      if (!content.lost.has(paths.length + i)) yield* makeFolder(holding, `${holding.stagedPath}/${directory}`)
    }
  })

  return { isChunk, verify, readChunk, readVerified, readNow, put, putNow, putSmallFiles, differing, putEmpty }
}
