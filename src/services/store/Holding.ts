/** One share as the store holds it: where it lies, what of it is here, and what of that is known to be right. */
import { type Deferred, Effect, Semaphore } from "effect"
import * as Bitfield from "../../protocol/Bitfield.ts"
import type { Share } from "../../protocol/Entry.ts"
import * as Manifest from "../../protocol/Manifest.ts"
import type { Stat } from "../Disk.ts"
import * as Gate from "./Gate.ts"
import type { Skipped } from "./Source.ts"

/**
 * Where a share's content lies.
 *
 * `Staging`: in the hidden folder. A file is `content`; a folder is `tree`, complete with the small files of every pack
 * that is here, so that it appears by one rename. The bytes of the packs are also in `packs`, from which they are served
 * and the small files can be made again. Files whose names are not for this disk lie beside it under their number.
 *
 * `Published`: under its name in the download folder, packs and files without a name still in the hidden folder.
 *
 * `Source`: where the person has it; only the manifest is in the hidden folder.
 */
export type Place =
  | { readonly _tag: "Staging" }
  | { readonly _tag: "Published"; readonly path: string }
  | { readonly _tag: "Source"; readonly path: string; readonly renamed: ReadonlyMap<number, string> }

/** What is known with the manifest. */
export interface Content extends Manifest.Decoded {
  /** Files and folders whose names are not for this disk: index as in `Names.problems` → the reason. */
  readonly lost: ReadonlyMap<number, string>
}

export class Holding {
  readonly share: Share
  /** The share's part of the hidden folder. */
  readonly folder: string
  readonly manifestChunksCount: number
  readonly chunksCount: number
  /** Chunks that are here. */
  readonly have: Uint8Array
  /** Chunks that this run of the program has verified, in files that have not changed since. */
  readonly verified: Uint8Array
  /** Opening, learning the manifest, publishing and forgetting, one at a time. */
  readonly setup = Semaphore.makeUnsafe(1)
  /** Reads and writes of chunks together, moving the files alone. */
  readonly gate = Gate.makeUnsafe()
  readonly journal = Semaphore.makeUnsafe(1)
  /** Chunks being stored at this moment. */
  readonly storing = new Map<number, Deferred.Deferred<void>>()
  /** Folders that are known to exist below `tree`. */
  readonly foldersMade = new Set<string>()
  /** What each file with chunks of its own was when they were verified; only kept where somebody else may write. */
  readonly stamps = new Map<number, Stat>()
  /** Packs that an earlier run has stored: whether their small files are whole is not known before they appear. */
  readonly inheritedPacks = new Set<number>()
  place: Place = { _tag: "Staging" }
  content: Content | undefined
  loaded = false
  /** Something of its name was here when it was loaded. */
  hasNamesake = false
  forgotten = false
  /** Whether the disk had room for what is missing when it was last asked. */
  hasRoom = false
  /** A source that has changed is never served again. */
  changed: string | undefined
  unmarkedBytes = 0
  marking = false
  sequence = 0
  /** Which folder `folder` was when the share was loaded; another one is there, or none, once it is displaced. */
  identity = ""
  displaced = false

  constructor(share: Share, folder: string) {
    this.share = share
    this.folder = folder
    this.manifestChunksCount = Manifest.manifestChunksCount(share)
    this.chunksCount = Manifest.chunksCount(share)
    this.have = Bitfield.make(this.chunksCount)
    this.verified = Bitfield.make(this.chunksCount)
  }

  /** Nothing of an unfinished download is known any more: what is on disk is to be looked at anew. */
  readonly reset = Effect.sync(() => {
    this.have.fill(0)
    this.verified.fill(0)
    this.foldersMade.clear()
    this.stamps.clear()
    this.inheritedPacks.clear()
    this.content = undefined
    this.loaded = false
    this.hasRoom = false
    this.unmarkedBytes = 0
    this.displaced = false
  })

  get manifestPath(): string {
    return `${this.folder}/manifest`
  }

  get packsPath(): string {
    return `${this.folder}/packs`
  }

  /** What becomes the published file or folder. */
  get stagedPath(): string {
    return `${this.folder}/${this.share.kind === "file" ? "content" : "tree"}`
  }

  /** Where a file of the content lies. */
  filePath(content: Content, file: number): string {
    const path = content.manifest.paths[file]!
    if (this.place._tag === "Source") return below(this.place.path, this.place.renamed.get(file) ?? path)
    if (content.lost.has(file)) return `${this.folder}/${file}`
    return below(this.place._tag === "Published" ? this.place.path : this.stagedPath, path)
  }

  chunkBytes(index: number): number {
    if (index < 0 || index >= this.chunksCount) return 0
    if (index < this.manifestChunksCount) return Manifest.manifestChunkBytes(this.share, index)
    return this.content === undefined
      ? 0
      : Manifest.chunkBytes(this.content.layout, index - this.manifestChunksCount)
  }

  /** The file that a chunk belongs to alone; `undefined` for chunks of the manifest and for packs. */
  ownFile(index: number): number | undefined {
    const chunk = index - this.manifestChunksCount
    if (this.content === undefined || chunk < 0 || chunk >= this.content.layout.ownChunksCount) return undefined
    return this.content.layout.firstOfChunk[chunk]!
  }

  /** Whether a chunk is many small files. */
  isPack(index: number): boolean {
    return this.content !== undefined && index - this.manifestChunksCount >= this.content.layout.ownChunksCount
  }

  /** Where a chunk is in one piece: nowhere if it is a pack of a source. */
  runOf(index: number): { readonly path: string; readonly position: number } | undefined {
    if (index < this.manifestChunksCount) {
      return { path: this.manifestPath, position: index * this.share.manifest.chunkSizeBytes }
    }
    const content = this.content!
    const chunk = index - this.manifestChunksCount
    if (!this.isPack(index)) {
      const [{ file, offset }] = Manifest.extents(content.layout, chunk) as [Manifest.Extent]
      return { path: this.filePath(content, file), position: offset }
    }
    if (this.place._tag === "Source") return undefined
    return { path: this.packsPath, position: content.layout.packStart[chunk - content.layout.ownChunksCount]! }
  }

  /** Chunks of a file that are trusted because it has not changed: not any more. */
  distrust(file: number): void {
    const [from, to] = Manifest.chunksOfFile(this.content!.layout, file)
    for (let chunk = from; chunk < to; chunk++) Bitfield.remove(this.verified, this.manifestChunksCount + chunk)
  }

  forgetChunk(index: number): void {
    Bitfield.remove(this.have, index)
    Bitfield.remove(this.verified, index)
    this.inheritedPacks.delete(index)
  }

  get hasManifest(): boolean {
    for (let i = 0; i < this.manifestChunksCount; i++) if (!Bitfield.has(this.have, i)) return false
    return true
  }

  get skipped(): ReadonlyArray<Skipped> {
    const { manifest: { directories, paths }, lost } = this.content!
    return Array.from(lost, ([i, reason]) => ({ path: paths[i] ?? directories[i - paths.length]!, reason }))
  }
}

/** The one file of a share that is a file has no path of its own. */
export const below = (path: string, name: string): string => (name === "" ? path : `${path}/${name}`)

export const parentOf = (path: string): string => path.slice(0, path.lastIndexOf("/"))
