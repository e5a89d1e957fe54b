/**
 * Brings a share back to where an earlier run of the program left it, and to what its manifest says.
 *
 * Little is believed of what is found: the manifest is verified at once, what is in a hidden folder when it is read or
 * published, what people can reach whenever it may have changed. What a power cut has spoiled is made again.
 */
import { Effect, Result } from "effect"
import * as Bitfield from "../../protocol/Bitfield.ts"
import * as Limits from "../../protocol/Limits.ts"
import * as Manifest from "../../protocol/Manifest.ts"
import * as Names from "../../protocol/Names.ts"
import type { Crypto } from "../Crypto.ts"
import { type Disk, placeholder } from "../Disk.ts"
import * as ChunkFiles from "./ChunkFiles.ts"
import { type Content, type Holding, parentOf } from "./Holding.ts"
import * as Journal from "./Journal.ts"
import type * as Record from "./Record.ts"
import { isThere, type Records } from "./Records.ts"
import { runSteps } from "./Steps.ts"
import { badManifest, incomplete, StoreError, storeError } from "./StoreErrors.ts"

export type Restoring = ReturnType<typeof make>

/** `receives`: whether there is a folder for downloads. */
export const make = ({ crypto, disk, files, receives, records }: {
  readonly disk: Disk["Service"]
  readonly crypto: Crypto["Service"]
  readonly files: ChunkFiles.ChunkFiles
  readonly records: Records
  readonly receives: boolean
}) => {
  /** Reads the manifest, whose every chunk is here, and all that follows from it. */
  const learnManifest = Effect.fnUntraced(function*(holding: Holding) {
    const { share } = holding
    const bytes = yield* disk.readFile(holding.manifestPath, Limits.manifestBytesMax).pipe(
      Effect.mapError(storeError(holding))
    )
    if (crypto.sha256Text(bytes) !== share.root) return yield* badManifest(holding, "it is not the one the share names")
    const decoded = yield* runSteps(Manifest.decode(bytes))
    if (Result.isFailure(decoded)) return yield* badManifest(holding, decoded.failure.detail)
    const mismatch = Manifest.mismatch(share, decoded.success)
    if (mismatch !== undefined) return yield* badManifest(holding, mismatch)
    const { directories, paths } = decoded.success.manifest
    // The name of a single file is the title, which is made safe when it is published.
    const lost = share.kind === "file" || holding.place._tag === "Source"
      ? new Map<number, string>()
      : yield* runSteps(Names.problems(paths, directories))
    holding.content = { ...decoded.success, lost }
  })

  /** Brings a holding to where an earlier run of the program left the share. */
  const load = Effect.fnUntraced(function*(holding: Holding, record: Record.Record | undefined) {
    const { share } = holding
    const failed = Effect.mapError(storeError(holding))
    yield* disk.makeDirectory(holding.folder, 0o700).pipe(failed)
    holding.identity = (yield* disk.stat(holding.folder).pipe(failed)).identity
    const place = record?.place
    if (place !== undefined && (yield* isThere(disk, place.path, share.kind))) {
      if (place._tag === "Source") {
        holding.place = { _tag: "Source", path: place.path, renamed: new Map(place.renamed) }
      } else if (place.state !== "intended" || !(yield* isThere(disk, holding.stagedPath, share.kind))) {
        holding.place = { _tag: "Published", path: place.path }
      } else yield* removePlaceholder(place.path).pipe(failed)
    }
    if (holding.place._tag === "Staging") {
      if (!receives) {
        return yield* new StoreError({
          root: share.root,
          reason: "disk-read-only",
          detail: place === undefined ? "this device receives nothing" : `the source ${place.path} is not there`
        })
      }
      // What appears under that name from now on is somebody else's.
      yield* disk.remove(`${holding.folder}/record`).pipe(failed)
    }
    const journal = yield* disk.readFile(`${holding.folder}/journal`, 2 * Journal.slotBytes(holding.chunksCount)).pipe(
      Effect.option
    )
    const left = journal._tag === "Some" ? Journal.decode(journal.value, holding.chunksCount, crypto.sha256) : undefined
    holding.sequence = left?.sequence ?? 0
    // The manifest is verified now: everything else is verified by it, when it is read or published.
    const buffer = new Uint8Array(share.manifest.chunkSizeBytes)
    for (let index = 0; index < holding.manifestChunksCount; index++) {
      const into = buffer.subarray(0, holding.chunkBytes(index))
      const isRead = yield* Effect.isSuccess(files.readChunk(holding, index, into))
      if (isRead && files.verify(holding, index, into)) Bitfield.add(holding.have, index)
    }
    if (!holding.hasManifest) {
      if (holding.place._tag === "Source") return yield* incomplete(holding, "its manifest is damaged: share it again")
      // Received anew, and adopted where it is.
      holding.place = { _tag: "Staging" }
      return
    }
    yield* learnManifest(holding)
    if (holding.place._tag === "Staging") {
      for (const index of left === undefined ? [] : Bitfield.indexes(left.bits)) {
        Bitfield.add(holding.have, index)
        if (index >= holding.manifestChunksCount && holding.ownFile(index) === undefined) {
          holding.inheritedPacks.add(index)
        }
      }
    } else {
      holding.have.set(Bitfield.full(holding.chunksCount))
    }
    if (holding.place._tag === "Published") {
      yield* forgetMissing(holding)
      if (place?._tag === "Published" && place.state !== "settled") {
        yield* repairSmallFiles(holding, holding.content!, place).pipe(failed)
        yield* records.settle(holding)
      }
    }
  })

  /**
   * What a kill has left of the holder of a name, where a file system has no links: all of it or a part. The name was free
   * when it was written down, so an empty file there is no one else's.
   */
  const removePlaceholder = Effect.fnUntraced(function*(path: string) {
    const there = yield* Effect.option(disk.readFile(path, placeholder.length))
    if (there._tag === "None" || !there.value.every((byte, i) => byte === placeholder[i])) return
    yield* disk.remove(path)
  })

  /** Files that a person has deleted or cut short are not served; changed ones are found when they are read. */
  const forgetMissing = Effect.fnUntraced(function*(holding: Holding) {
    const content = holding.content!
    for (const [file, size] of content.manifest.sizes.entries()) {
      if (!Manifest.ownsChunks(content.layout, file)) continue
      const stat = yield* Effect.option(disk.stat(holding.filePath(content, file)))
      if (stat._tag === "Some" && stat.value.sizeBytes === size) continue
      const [from, to] = Manifest.chunksOfFile(content.layout, file)
      for (let chunk = from; chunk < to; chunk++) holding.forgetChunk(holding.manifestChunksCount + chunk)
    }
  })

  /**
   * Many small files are not synced one by one before they appear: 10,000 would take a minute. A power cut soon afterwards
   * may leave some of them short or full of zeros. Those are made again from the packs, which were synced. What was touched
   * after the share appeared is a person's work and stays.
   */
  const repairSmallFiles = Effect.fnUntraced(function*(holding: Holding, content: Content, place: Record.Published) {
    const { layout } = content
    const appearedNs = (yield* disk.stat(`${holding.folder}/record`)).modifiedNs
    let state = place.state
    const buffer = new Uint8Array(content.manifest.chunkSizeBytes)
    const there = new Uint8Array(content.manifest.chunkSizeBytes)
    for (let chunk = layout.ownChunksCount; chunk < layout.chunksCount; chunk++) {
      const index = holding.manifestChunksCount + chunk
      const pack = buffer.subarray(0, holding.chunkBytes(index))
      if (!(yield* files.readVerified(holding, index, pack).pipe(Effect.orElseSucceed(() => false)))) {
        holding.forgetChunk(index)
        continue
      }
      const torn: Array<ChunkFiles.SmallFile> = []
      const small = ChunkFiles.smallFiles(holding, content, chunk, pack)
      for (const { bytes, path } of yield* files.differing(small, there)) {
        const stat = yield* Effect.option(disk.stat(path))
        if (stat._tag === "None" || (place.state === "fresh" && stat.value.modifiedNs > appearedNs)) continue
        const found = yield* Effect.option(disk.readFile(path, bytes.length))
        if (
          found._tag === "Some" && found.value.every((byte, i) => byte === 0 || byte === bytes[i]) &&
          (yield* isInside(place.path, path))
        ) torn.push({ path, bytes })
      }
      if (torn.length > 0 && state === "fresh") {
        // The repair may be cut short as well, and what it leaves is younger than the record.
        state = "intended"
        yield* records.write(holding, { ...place, state })
      }
      yield* files.putSmallFiles(holding, torn)
    }
    if (state === "intended") yield* records.write(holding, { ...place, state: "fresh" })
  })

  /** Whether a path leads to what is below `top`: somebody may have put a link in the place of a published folder. */
  const isInside = Effect.fnUntraced(function*(top: string, path: string) {
    for (let folder = parentOf(path); folder.length >= top.length; folder = parentOf(folder)) {
      if (!(yield* isThere(disk, folder, "folder"))) return false
    }
    return true
  })

  return { learnManifest, load }
}
