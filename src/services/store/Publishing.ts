/**
 * How a download that is whole appears: verified, synced, under a name that is free, in one step, never in place of anything.
 *
 * A crash at any moment leaves either a download or a published share, and what is written down before and after says which.
 */
import { Effect } from "effect"
import * as Bitfield from "../../protocol/Bitfield.ts"
import * as Limits from "../../protocol/Limits.ts"
import * as Manifest from "../../protocol/Manifest.ts"
import * as Names from "../../protocol/Names.ts"
import type { Disk } from "../Disk.ts"
import * as ChunkFiles from "./ChunkFiles.ts"
import type { Handles } from "./Handles.ts"
import { below, type Content, type Holding, parentOf } from "./Holding.ts"
import type { Marks } from "./Marks.ts"
import { isThere, type Records } from "./Records.ts"
import { incomplete, storeError } from "./StoreErrors.ts"

interface Parts {
  readonly disk: Disk["Service"]
  readonly handles: Handles
  readonly files: ChunkFiles.ChunkFiles
  readonly marks: Marks
  readonly records: Records
  /** Where shares appear. */
  readonly downloadFolder: string
  /** The small files of a share that has more are not synced one by one. */
  readonly smallFilesSyncedMax: number
}

export const make = Effect.fnUntraced(function*(parts: Parts) {
  const { disk, downloadFolder, files, handles, marks, records, smallFilesSyncedMax } = parts
  const scope = yield* Effect.scope

  /** Every chunk of it is here. */
  const publish = Effect.fnUntraced(function*(holding: Holding, content: Content) {
    yield* verifyInherited(holding, content)
    yield* sync(holding, content).pipe(Effect.mapError(storeError(holding)))
    yield* appear(holding, content).pipe(
      Effect.catchTag("DiskError", (error) => Effect.fail(storeError(holding)(error)))
    )
  })

  /** Chunks that an earlier run of the program left are believed only now that they are hashed. */
  const verifyInherited = Effect.fnUntraced(function*(holding: Holding, content: Content) {
    let damaged = 0
    const buffer = new Uint8Array(content.manifest.chunkSizeBytes)
    for (let index = holding.manifestChunksCount; index < holding.chunksCount; index++) {
      if (Bitfield.has(holding.verified, index) && !holding.inheritedPacks.has(index)) continue
      const bytes = buffer.subarray(0, holding.chunkBytes(index))
      const isSigned = yield* files.readVerified(holding, index, bytes).pipe(Effect.orElseSucceed(() => false))
      if (!isSigned) {
        damaged++
        holding.forgetChunk(index)
        yield* marks.changed(holding, 1)
      } else if (holding.inheritedPacks.has(index)) {
        // The pack is whole, and may have been served already; its small files may have been lost with the power.
        const small = ChunkFiles.smallFiles(holding, content, index - holding.manifestChunksCount, bytes)
        yield* files.putSmallFiles(holding, small).pipe(Effect.mapError(storeError(holding)))
        holding.inheritedPacks.delete(index)
      }
    }
    if (damaged > 0) return yield* incomplete(holding, `${damaged} chunks were damaged and are fetched again`)
  })

  /** Everything that cannot be made again survives a power cut once this completes; see `Restoring`. */
  const sync = Effect.fnUntraced(function*(holding: Holding, content: Content) {
    yield* files.putEmpty(holding, content)
    const { layout } = content
    /** Every name must be there afterwards: a missing file is taken for one that a person deleted. */
    const folders = new Set<string>([holding.folder])
    const addFolder = (path: string) => {
      for (let folder = path; !folders.has(folder); folder = parentOf(folder)) folders.add(folder)
    }
    const syncFile = (path: string, file: number | undefined) =>
      handles.use(path, "write", (open) =>
        Effect.andThen(
          open.sync,
          Effect.map(open.stat, (stat) => file === undefined ? undefined : holding.stamps.set(file, stat))
        )).pipe(
          // The system may have thrown away what it could not write: what is there is to be hashed again.
          Effect.tapError(() => Effect.sync(() => holding.verified.fill(0)))
        )
    const ownFiles: Array<number> = []
    for (const [file, path] of content.manifest.paths.entries()) {
      if (Manifest.ownsChunks(layout, file)) ownFiles.push(file)
      if (!content.lost.has(file)) addFolder(parentOf(below(holding.stagedPath, path)))
    }
    for (const [i, path] of content.manifest.directories.entries()) {
      if (!content.lost.has(content.manifest.paths.length + i)) addFolder(`${holding.stagedPath}/${path}`)
    }
    const syncs = [
      ...ownFiles.map((file) => syncFile(holding.filePath(content, file), file)),
      ...(layout.chunksCount > layout.ownChunksCount ? [syncFile(holding.packsPath, undefined)] : []),
      ...Array.from(folders, disk.syncDirectory)
    ]
    const small = smallOnes(content)
    if (small.length <= smallFilesSyncedMax) {
      for (const file of small) {
        const path = holding.filePath(content, file)
        syncs.push(Effect.scoped(Effect.flatMap(disk.open(path, "write"), (open) => open.sync)))
      }
    }
    yield* Effect.all(syncs, { concurrency: 4, discard: true })
  })

  /** The files of a share that lie in packs and are to appear. */
  const smallOnes = ({ layout, lost, manifest }: Content): ReadonlyArray<number> =>
    Array.from(manifest.sizes.keys()).filter((file) =>
      manifest.sizes[file]! > 0 && !Manifest.ownsChunks(layout, file) && !lost.has(file)
    )

  /** Gives the staged file or folder its name, or finds the same content there already. */
  const appear = Effect.fnUntraced(function*(holding: Holding, content: Content) {
    const { kind } = holding.share
    const title = Names.safeTitle(holding.share.title)
    for (let n = 1; n <= Limits.freeNamesMax; n++) {
      const path = `${downloadFolder}/${Names.freeName(title, n, kind)}`
      if (yield* Effect.isSuccess(disk.stat(path))) {
        if (yield* isPublishedAt(holding, content, path)) return yield* adopt(holding, path)
        continue
      }
      // Written before: a crash behind the rename must not look like a download that has lost its files.
      yield* records.write(holding, { _tag: "Published", path, state: "intended" })
      const published = yield* holding.gate.alone(
        handles.close(holding.folder).pipe(
          Effect.andThen(disk.publish(holding.stagedPath, path)),
          Effect.andThen(Effect.sync(() => {
            holding.place = { _tag: "Published", path }
          })),
          Effect.as(true),
          Effect.catchIf((error) => error.reason === "exists", () => Effect.succeed(false))
        )
      )
      if (!published) continue
      // Where a power cut may spoil what appeared, it must be known when that was.
      if (smallOnes(content).length > smallFilesSyncedMax) return yield* remember(holding, path)
      return yield* Effect.forkIn(holding.setup.withPermits(1)(remember(holding, path)), scope)
    }
    return yield* incomplete(holding, `${Limits.freeNamesMax} names like ${title} are taken`)
  })

  /** What follows a share's appearance cannot take it back: the next run of the program does what failed here. */
  const remember = (holding: Holding, path: string) =>
    Effect.suspend(() => {
      if (holding.forgotten) return Effect.void
      return disk.syncDirectory(downloadFolder).pipe(
        Effect.andThen(records.write(holding, { _tag: "Published", path, state: "fresh" })),
        Effect.andThen(disk.remove(`${holding.folder}/journal`)),
        Effect.ignore,
        Effect.andThen(records.settle(holding))
      )
    })

  const adopt = Effect.fnUntraced(function*(holding: Holding, path: string) {
    // An earlier run may have written it a moment ago: what a power cut takes of it is made again here, too.
    yield* records.write(holding, { _tag: "Published", path, state: "fresh" })
    yield* holding.gate.alone(
      Effect.andThen(
        handles.close(holding.folder),
        Effect.sync(() => {
          holding.place = { _tag: "Published", path }
          holding.stamps.clear()
        })
      )
    )
    // Served from where it was found; a second copy would only cost room.
    yield* Effect.ignore(Effect.andThen(disk.remove(holding.stagedPath), disk.remove(`${holding.folder}/journal`)))
    yield* records.settle(holding)
  })

  /** Whether every file of the share is at `path` with the bytes that were signed. Other files there do not matter. */
  const isPublishedAt = Effect.fnUntraced(function*(holding: Holding, content: Content, path: string) {
    const { layout, manifest } = content
    if (!(yield* isThere(disk, path, manifest.kind))) return false
    const buffer = new Uint8Array(manifest.chunkSizeBytes)
    const other = new Uint8Array(manifest.chunkSizeBytes)
    for (const [i, size] of manifest.sizes.entries()) {
      if (content.lost.has(i)) continue
      const stat = yield* Effect.option(disk.stat(below(path, manifest.paths[i]!)))
      if (stat._tag === "None" || stat.value.kind !== "file" || stat.value.sizeBytes !== size) return false
    }
    for (const [i, directory] of manifest.directories.entries()) {
      if (!content.lost.has(manifest.paths.length + i) && !(yield* isThere(disk, `${path}/${directory}`, "folder"))) {
        return false
      }
    }
    for (let chunk = 0; chunk < layout.chunksCount; chunk++) {
      const index = holding.manifestChunksCount + chunk
      const bytes = buffer.subarray(0, holding.chunkBytes(index))
      if (chunk < layout.ownChunksCount) {
        const [{ file, offset }] = Manifest.extents(layout, chunk) as [Manifest.Extent]
        if (content.lost.has(file)) continue
        const there = below(path, manifest.paths[file]!)
        const isRead = yield* Effect.isSuccess(
          handles.use(there, "read", (open) => ChunkFiles.readExactly(open, bytes, offset))
        )
        if (!isRead || !files.isChunk(holding, index, bytes)) return false
        continue
      }
      if (!(yield* Effect.isSuccess(files.readChunk(holding, index, bytes)))) return false
      const small = ChunkFiles.smallFiles(holding, content, chunk, bytes).map((file) => ({
        path: path + file.path.slice(holding.stagedPath.length),
        bytes: file.bytes
      }))
      if ((yield* files.differing(small, other)).length > 0) return false
    }
    return true
  })

  return { publish }
})
