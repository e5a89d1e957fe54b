/**
 * Shares on disk: chunks in, chunks out, and nothing shown complete that is not what the teacher signed.
 *
 * A download lives in a hidden folder of the download folder until every chunk has been verified; then it appears under
 * its own name in one step. A source is read where it lies. Chunk indexes count the manifest's chunks first.
 */
import {
  Clock,
  Context,
  Deferred,
  Duration,
  Effect,
  FiberSet,
  Layer,
  Result,
  Schema,
  type Scope,
  Semaphore
} from "effect"
import * as Bitfield from "../protocol/Bitfield.ts"
import { Share } from "../protocol/Entry.ts"
import { Root } from "../protocol/Ids.ts"
import * as Limits from "../protocol/Limits.ts"
import * as Manifest from "../protocol/Manifest.ts"
import * as Names from "../protocol/Names.ts"
import { Crypto } from "./Crypto.ts"
import { Disk, DiskError, placeholder } from "./Disk.ts"
import * as ChunkFiles from "./store/ChunkFiles.ts"
import * as Handles from "./store/Handles.ts"
import { below, type Content, Holding, parentOf } from "./store/Holding.ts"
import * as Home from "./store/Home.ts"
import * as Journal from "./store/Journal.ts"
import * as Record from "./store/Record.ts"
import { hashSource, type ImportProgress, type Skipped, SourceError } from "./store/Source.ts"
import { runSteps } from "./store/Steps.ts"

export { type ImportProgress, type Skipped, SourceError } from "./store/Source.ts"

/** A chunk's bytes are not the ones signed: its one source is to blame. Nothing was written. */
export class ChunkCorrupt extends Schema.TaggedError<ChunkCorrupt>()("ChunkCorrupt", {
  root: Root,
  index: Schema.Natural
}) {}

/**
 * The chunk cannot be served: its source changed, it is not what was received (`damaged`), or the disk does not give it now
 * (`unreadable`). But for the last, the store has forgotten that it has it.
 */
export class ChunkLost extends Schema.TaggedError<ChunkLost>()("ChunkLost", {
  root: Root,
  index: Schema.Natural,
  reason: Schema.Literals(["source-changed", "damaged", "unreadable", "not-here"]),
  detail: Schema.String
}) {}

/** This share cannot be stored now. It is paused and nothing of it is lost. */
export class StoreError extends Schema.TaggedError<StoreError>()("StoreError", {
  root: Root,
  reason: Schema.Literals(["disk-full", "disk-read-only", "disk-failing", "folder-gone", "bad-manifest"]),
  detail: Schema.String
}) {}

/** The store's folder cannot be used: another labfx works in it (`in-use`), or the disk refuses. */
export class FolderError extends Schema.TaggedError<FolderError>()("FolderError", {
  path: Schema.String,
  reason: Schema.Literals(["in-use", "read-only", "full", "io"]),
  detail: Schema.String
}) {}

export interface StoreOptions {
  /** Where sources are remembered on a device that only hands out. */
  readonly stateFolder: string
  /**
   * Where received shares appear. Everything about them that is not for people lies in its hidden folder `.labfx`, so that
   * appearing is a rename. Without it nothing can be received.
   */
  readonly downloadFolder?: string | undefined
  /** The smallest chunk size for sources; tests choose less than a class would want. */
  readonly chunkSizeBytesMin?: number
  /** In place of `Limits.smallFilesSyncedMax`; tests choose less. */
  readonly smallFilesSyncedMax?: number
}

/** What a source looks like once it is hashed: everything a `Share` entry needs. */
export interface Imported {
  readonly share: Share
  /** Files left out, with the reason in words: special files, unreadable ones, links that lead out of the share. */
  readonly skipped: ReadonlyArray<Skipped>
}

/** A share as it stands on this device. */
export interface Opened {
  /** One bit a chunk, manifest chunks first; bit `i` of byte `i >> 3` from the highest bit. A copy. */
  readonly have: Uint8Array
  /** Whether the manifest is known, so that content chunks can be verified. */
  readonly manifestKnown: boolean
  /** Set when the share is already published (or is a source): where. */
  readonly path: string | undefined
  /** Whether this device is where the share comes from: imported here, not downloaded. */
  readonly isSource: boolean
  /** Whether something of the share's name is here, of which it may be another version. */
  readonly hasNamesake: boolean
}

export interface Published {
  /** Where it appeared: the file or the folder. */
  readonly path: string
  /** Files whose names this system cannot hold, with the reason in words; the rest is complete. */
  readonly skipped: ReadonlyArray<Skipped>
}

export class ChunkStore extends Context.Service<ChunkStore, {
  /**
   * Hashes a file or folder where it lies and serves it from there. The same content gives the same root. At most
   * `Limits.sourcesHashedMax` are hashed at once; further ones wait. It can be interrupted until it is hashed, also from
   * within an uninterruptible region, and then leaves nothing behind.
   */
  readonly importSource: (
    path: string,
    onProgress: (progress: ImportProgress) => Effect.Effect<void>
  ) => Effect.Effect<Imported, SourceError>
  /**
   * Opens a share that was announced: resumes an earlier download, recognises what is already published, or begins a
   * new one. Idempotent.
   */
  readonly open: (share: Share) => Effect.Effect<Opened, StoreError>
  /**
   * Verifies a chunk and stores it: after this it may be served. `bytes` may be used again afterwards. A chunk that is
   * there already is ignored. When this was the manifest's last chunk, `manifestComplete` is true and `have` may have
   * gained chunks that other shares on this device already hold.
   */
  readonly write: (
    root: Root,
    index: number,
    bytes: Uint8Array
  ) => Effect.Effect<{ readonly manifestComplete: boolean }, ChunkCorrupt | StoreError>
  /**
   * As {@link write}, at once, for a chunk of content: nothing of it goes through a fiber, which costs more than the disk.
   * False where anything has to be waited for, decided or told, also if the chunk is not what was signed: then `write` is
   * to be asked.
   */
  readonly writeNow: (root: Root, index: number, bytes: Uint8Array) => boolean
  /** The chunk's bytes, read into `buffer` (at least the chunk's size). Re-verified when its file may have changed. */
  readonly read: (root: Root, index: number, buffer: Uint8Array) => Effect.Effect<Uint8Array, ChunkLost>
  /** As {@link read}, at once; `undefined` where that does not go: then `read` is to be asked. */
  readonly readNow: (root: Root, index: number, buffer: Uint8Array) => Uint8Array | undefined
  /** The size of a chunk in bytes; 0 for a content chunk whose manifest is not known. */
  readonly chunkBytes: (root: Root, index: number) => number
  readonly opened: (root: Root) => Opened | undefined
  /**
   * Publishes a share whose every chunk is here: synced, checked, then made to appear without replacing anything. If the
   * same content is already there under its name it is adopted. Idempotent. Chunks from an earlier run of the program are
   * verified anew; those that do not pass are forgotten, and it fails with `disk-failing`: {@link opened} then says what is
   * missing.
   */
  readonly publish: (root: Root) => Effect.Effect<Published, StoreError>
  /** Forgets a share; an unfinished download's hidden files are removed, anything published stays. */
  readonly forget: (root: Root) => Effect.Effect<void>
}>()("labfx/services/ChunkStore") {
  static readonly layer = (options: StoreOptions) => Layer.effect(ChunkStore, make(options))
}

const openedOf = (holding: Holding): Opened => ({
  have: holding.have.slice(),
  manifestKnown: holding.content !== undefined,
  path: holding.place._tag === "Staging" ? undefined : holding.place.path,
  isSource: holding.place._tag === "Source",
  hasNamesake: holding.hasNamesake
})

const storeReason = (error: DiskError): StoreError["reason"] => {
  switch (error.reason) {
    case "full":
      return "disk-full"
    case "read-only":
    case "permission":
      return "disk-read-only"
    case "not-found":
    case "not-a-directory":
      return "folder-gone"
    default:
      return "disk-failing"
  }
}

const storeError = (holding: Holding) => (error: DiskError) =>
  new StoreError({ root: holding.share.root, reason: storeReason(error), detail: `${error.path}: ${error.detail}` })

const badManifest = (holding: Holding, detail: string) =>
  new StoreError({ root: holding.share.root, reason: "bad-manifest", detail })

const incomplete = (holding: Holding, detail: string) =>
  new StoreError({ root: holding.share.root, reason: "disk-failing", detail })

/** Eight bytes of a hash as a key: enough to find a chunk, which is verified before it is taken. */
const keysOf = (holding: Holding) => {
  const { hashes } = holding.content!.manifest
  const view = new DataView(hashes.buffer, hashes.byteOffset, hashes.length)
  return (chunk: number) => view.getBigUint64(chunk * Manifest.hashBytes)
}

const folderError = (error: DiskError): FolderError =>
  new FolderError({
    path: error.path,
    reason: error.reason === "busy"
      ? "in-use"
      : error.reason === "read-only" || error.reason === "permission"
      ? "read-only"
      : error.reason === "full"
      ? "full"
      : "io",
    detail: error.detail
  })

/** Chunks compared between two rests: about a millisecond. */
const keysPerStep = 4_096

const folderGone = (path: string) =>
  new DiskError({ reason: "not-found", path, detail: "it was deleted, moved or replaced while labfx was using it" })

const dayMs = 86_400_000

/** The holding was forgotten while somebody waited for it. */
const again: unique symbol = Symbol("again")

/** The most that a record may be: a source of 200,000 files of which each has another name on disk. */
const recordBytesMax = Limits.manifestBytesMax

// ---- The layer -----------------------------------------------------------------------------------------------------

const make = Effect.fnUntraced(function*(
  {
    chunkSizeBytesMin = Limits.chunkBytesMin,
    downloadFolder,
    smallFilesSyncedMax = Limits.smallFilesSyncedMax,
    stateFolder
  }: StoreOptions
): Effect.fn.Return<ChunkStore["Service"], FolderError, Disk | Crypto | Scope.Scope> {
  const disk = yield* Disk
  const crypto = yield* Crypto
  const scope = yield* Effect.scope
  /** Runs in the background until it is done or the scope closes. */
  const fork = yield* FiberSet.makeRuntime()
  const home = downloadFolder === undefined ? `${stateFolder}/shares` : `${downloadFolder}/.labfx`
  const folder = yield* Home.make(disk, home).pipe(Effect.mapError(folderError))
  const handles = yield* Handles.make(disk, Limits.openFilesMax)
  const files = ChunkFiles.make(disk, crypto, handles)
  const holdings = new Map<Root, Holding>()
  /** The chunk size of each source shared in this run, so that its next version is cut alike. */
  const chunkSizes = new Map<string, number>()
  const hashing = Semaphore.makeUnsafe(Limits.sourcesHashedMax)

  /**
   * What is written to an open file goes on without an error when its folder has been deleted, and is lost: so the folder
   * is looked at whenever chunks are marked, and before they appear. A displaced download is read anew when it is opened.
   */
  const notDisplaced = Effect.fnUntraced(function*(holding: Holding) {
    const found = yield* Effect.result(disk.stat(holding.folder))
    if (found._tag === "Success" && found.success.identity === holding.identity) return
    if (found._tag === "Failure" && found.failure.reason !== "not-found") return yield* found.failure
    holding.displaced = true
    return yield* folderGone(downloadFolder ?? home)
  })

  /** What was there a moment ago is not: nothing that is known of the rest is worth anything. */
  const noteGone = (holding: Holding, { reason }: StoreError): void => {
    if (reason === "folder-gone" && holding.place._tag === "Staging") holding.displaced = true
  }

  // ---- The journal -------------------------------------------------------------------------------------------------

  /** Writes down which chunks are here. */
  const writeJournal = (holding: Holding): Effect.Effect<void, DiskError> =>
    holding.journal.withPermits(1)(Effect.suspend(() => {
      if (holding.place._tag !== "Staging" || holding.forgotten) return Effect.void
      const unmarkedBytes = holding.unmarkedBytes
      const sequence = holding.sequence + 1
      const slot = Journal.encodeSlot(sequence, holding.have, crypto.sha256)
      return notDisplaced(holding).pipe(
        Effect.andThen(handles.use(
          `${holding.folder}/journal`,
          "write",
          (file) => file.write(slot, Journal.slotPosition(sequence, holding.chunksCount))
        )),
        Effect.andThen(Effect.sync(() => {
          holding.sequence = sequence
          holding.unmarkedBytes -= unmarkedBytes
        }))
      )
    }))

  /** A failure is no loss: it is tried again with the next chunk. */
  const mark = (holding: Holding): Effect.Effect<void> =>
    Effect.suspend(() => holding.unmarkedBytes === 0 ? Effect.void : Effect.ignore(writeJournal(holding)))

  /** Takes note of a change of `have`: soon it is also on disk. */
  const marked = (holding: Holding, bytes: number): Effect.Effect<void> => {
    holding.unmarkedBytes += bytes
    if (holding.unmarkedBytes >= Limits.unmarkedBytesMax) return mark(holding)
    return Effect.sync(() => markSoon(holding))
  }

  const markSoon = (holding: Holding): void => {
    if (holding.marking) return
    holding.marking = true
    fork(Effect.andThen(
      Effect.sleep(Duration.millis(Limits.unmarkedMs)),
      Effect.suspend(() => {
        holding.marking = false
        return mark(holding)
      })
    ))
  }
  yield* Effect.addFinalizer(() => Effect.forEach(holdings.values(), mark, { discard: true }))

  // ---- Reading -----------------------------------------------------------------------------------------------------

  /** The chunk cannot be had any more; of a source, none can: it never yields a mixture of two versions. */
  const lose = Effect.fnUntraced(function*(holding: Holding, index: number, cause: DiskError | "changed") {
    const { root } = holding.share
    const isPassing = cause !== "changed" && (cause.reason === "busy" || cause.reason === "too-many-open-files")
    if (holding.place._tag === "Source" && index >= holding.manifestChunksCount && !isPassing) {
      const what = cause === "changed"
        ? "has changed since it was shared"
        : cause.reason === "not-found"
        ? "is not there any more"
        : `cannot be read any more: ${cause.detail}`
      const file = holding.ownFile(index)
      const path = file === undefined ? undefined : holding.filePath(holding.content!, file)
      holding.changed = path === undefined ? `a small file of ${holding.place.path} ${what}` : `${path} ${what}`
      holding.have.fill(0)
      holding.verified.fill(0)
      return yield* new ChunkLost({ root, index, reason: "source-changed", detail: holding.changed })
    }
    // What is not fetched again is not given up because of a disk that refuses for a while.
    if (cause !== "changed" && holding.place._tag !== "Staging") {
      return yield* new ChunkLost({ root, index, reason: "unreadable", detail: cause.detail })
    }
    holding.forgetChunk(index)
    yield* marked(holding, 1)
    const detail = cause === "changed" ? "what is on disk is not what was received" : cause.detail
    return yield* new ChunkLost({ root, index, reason: "damaged", detail })
  })

  const readHere = Effect.fnUntraced(function*(holding: Holding, index: number, buffer: Uint8Array) {
    const { root } = holding.share
    if (holding.changed !== undefined) {
      return yield* new ChunkLost({ root, index, reason: "source-changed", detail: holding.changed })
    }
    if (holding.forgotten || !Bitfield.has(holding.have, index)) {
      return yield* new ChunkLost({ root, index, reason: "not-here", detail: "" })
    }
    const into = buffer.subarray(0, holding.chunkBytes(index))
    const isSigned = yield* files.readVerified(holding, index, into).pipe(
      Effect.catch((error) => lose(holding, index, error))
    )
    return isSigned ? into : yield* lose(holding, index, "changed")
  })

  const read = (root: Root, index: number, buffer: Uint8Array): Effect.Effect<Uint8Array, ChunkLost> => {
    const holding = holdings.get(root)
    return holding === undefined
      ? Effect.fail(new ChunkLost({ root, index, reason: "not-here", detail: "the share is not open" }))
      : holding.gate.shared(readHere(holding, index, buffer))
  }

  const readNow = (root: Root, index: number, buffer: Uint8Array): Uint8Array | undefined => {
    const holding = holdings.get(root)
    if (holding === undefined || !holding.gate.isOpen() || holding.changed !== undefined || holding.forgotten) {
      return undefined
    }
    if (!Bitfield.has(holding.have, index)) return undefined
    const into = buffer.subarray(0, holding.chunkBytes(index))
    return files.readNow(holding, index, into) ? into : undefined
  }

  // ---- Writing -----------------------------------------------------------------------------------------------------

  /** Stores bytes that are verified. */
  const store = Effect.fnUntraced(function*(holding: Holding, index: number, bytes: Uint8Array) {
    for (let busy = holding.storing.get(index); busy !== undefined; busy = holding.storing.get(index)) {
      // The same chunk from somebody else is on its way to the disk.
      yield* Deferred.await(busy)
    }
    if (Bitfield.has(holding.have, index)) return
    const done = Deferred.makeUnsafe<void>()
    holding.storing.set(index, done)
    yield* files.put(holding, index, bytes).pipe(
      Effect.andThen(Effect.sync(() => {
        Bitfield.add(holding.have, index)
        Bitfield.add(holding.verified, index)
      })),
      Effect.ensuring(Effect.suspend(() => {
        holding.storing.delete(index)
        return Deferred.succeed(done, undefined)
      }))
    )
    yield* marked(holding, bytes.length)
  })

  /** Whether a chunk of content is wanted that nothing stands in the way of, and the journal need not be written before. */
  const isReadyFor = (holding: Holding, index: number, bytes: number): boolean =>
    holding.loaded && holding.content !== undefined && holding.place._tag === "Staging" && holding.gate.isOpen() &&
    !holding.forgotten && !holding.displaced && holding.hasRoom &&
    index >= holding.manifestChunksCount && !Bitfield.has(holding.have, index) && !holding.storing.has(index) &&
    holding.unmarkedBytes + bytes < Limits.unmarkedBytesMax

  const writeNow = (root: Root, index: number, bytes: Uint8Array): boolean => {
    const holding = holdings.get(root)
    if (holding === undefined || !isReadyFor(holding, index, bytes.length)) return false
    if (!files.putNow(holding, index, bytes)) return false
    Bitfield.add(holding.have, index)
    Bitfield.add(holding.verified, index)
    holding.unmarkedBytes += bytes.length
    markSoon(holding)
    return true
  }

  const write = Effect.fnUntraced(function*(root: Root, index: number, bytes: Uint8Array) {
    const holding = holdings.get(root)
    if (holding === undefined || !holding.loaded) {
      return yield* new StoreError({ root, reason: "disk-failing", detail: "the share is not open" })
    }
    if (index >= holding.manifestChunksCount && holding.content === undefined) {
      return yield* Effect.die(new Error(`chunk ${index} came before the manifest that verifies it`))
    }
    yield* holding.gate.shared(Effect.suspend((): Effect.Effect<void, ChunkCorrupt | StoreError> => {
      if (holding.forgotten || holding.place._tag !== "Staging" || Bitfield.has(holding.have, index)) return Effect.void
      if (holding.displaced) return Effect.fail(storeError(holding)(folderGone(downloadFolder ?? home)))
      if (!files.isChunk(holding, index, bytes)) return Effect.fail(new ChunkCorrupt({ root, index }))
      return Effect.andThen(
        index < holding.manifestChunksCount || holding.hasRoom ? Effect.void : requireRoom(holding),
        store(holding, index, bytes).pipe(
          Effect.mapError((error) => {
            const failed = storeError(holding)(error)
            if (failed.reason === "disk-full") holding.hasRoom = false
            noteGone(holding, failed)
            return failed
          })
        )
      )
    }))
    if (index >= holding.manifestChunksCount || holding.content !== undefined || !holding.hasManifest) {
      return { manifestComplete: false }
    }
    return yield* holding.setup.withPermits(1)(Effect.gen(function*() {
      if (holding.content !== undefined || holding.forgotten) return { manifestComplete: false }
      // What the content is verified by must not be lost when it is not.
      yield* handles.use(holding.manifestPath, "write", (file) => file.sync).pipe(Effect.mapError(storeError(holding)))
      yield* learnManifest(holding)
      yield* takeFromOthers(holding)
      return { manifestComplete: true }
    }))
  })

  /** Fails unless the disk has room for all that is missing: better now than when it is full. */
  const requireRoom = Effect.fnUntraced(function*(holding: Holding) {
    let missingBytes = 0
    for (let index = holding.manifestChunksCount; index < holding.chunksCount; index++) {
      if (Bitfield.has(holding.have, index)) continue
      // A pack is stored twice: as such, and as the files that are in it.
      missingBytes += holding.chunkBytes(index) * (holding.ownFile(index) === undefined ? 2 : 1)
    }
    if (missingBytes > 0) {
      const neededBytes = missingBytes + Limits.freeBytesReserve
      const freeBytes = yield* makeRoom(neededBytes).pipe(Effect.mapError(storeError(holding)))
      if (freeBytes < neededBytes) {
        return yield* new StoreError({
          root: holding.share.root,
          reason: "disk-full",
          detail: `${neededBytes} bytes are needed and ${freeBytes} are free`
        })
      }
    }
    holding.hasRoom = true
  })

  // ---- Opening -----------------------------------------------------------------------------------------------------

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

  const readRecord = (root: string) =>
    Effect.map(
      Effect.option(disk.readFile(`${home}/${root}/record`, recordBytesMax)),
      (bytes) => bytes._tag === "Some" ? Record.decode(bytes.value) : undefined
    )

  const writeRecord = (holding: Holding, place: Record.Record["place"]) =>
    disk.replaceFile(
      `${holding.folder}/record`,
      Record.encode({ version: 1, share: holding.share, place })
    )

  /** Whether there is something of the share's kind. */
  const isThere = (path: string, kind: Share["kind"]) =>
    Effect.map(
      Effect.option(disk.stat(path)),
      (stat) => stat._tag === "Some" && stat.value.kind === (kind === "file" ? "file" : "directory")
    )

  /** Brings a holding to where an earlier run of the program left the share. */
  const load = Effect.fnUntraced(function*(holding: Holding, record: Record.Record | undefined) {
    const { share } = holding
    const failed = Effect.mapError(storeError(holding))
    yield* disk.makeDirectory(holding.folder, 0o700).pipe(failed)
    holding.identity = (yield* disk.stat(holding.folder).pipe(failed)).identity
    const place = record?.place
    if (place !== undefined && (yield* isThere(place.path, share.kind))) {
      if (place._tag === "Source") {
        holding.place = { _tag: "Source", path: place.path, renamed: new Map(place.renamed) }
      } else if (place.state !== "intended" || !(yield* isThere(holding.stagedPath, share.kind))) {
        holding.place = { _tag: "Published", path: place.path }
      } else yield* removePlaceholder(place.path).pipe(failed)
    }
    if (holding.place._tag === "Staging") {
      if (downloadFolder === undefined) {
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
        yield* settle(holding)
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

  /** Notes that a share is opened, at most once a day: {@link removeLeftovers} goes by that. */
  const touch = Effect.fnUntraced(function*(holding: Holding) {
    const { modifiedNs } = yield* disk.stat(holding.folder)
    const ageMs = (yield* Clock.currentTimeMillis) - Number(modifiedNs / 1_000_000n)
    if (ageMs > dayMs) yield* disk.replaceFile(`${holding.folder}/opened`, new Uint8Array())
  }, (effect) => Effect.ignore(effect))

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
        yield* writeRecord(holding, { ...place, state })
      }
      yield* files.putSmallFiles(holding, torn)
    }
    if (state === "intended") yield* writeRecord(holding, { ...place, state: "fresh" })
  })

  /** Whether a path leads to what is below `top`: somebody may have put a link in the place of a published folder. */
  const isInside = Effect.fnUntraced(function*(top: string, path: string) {
    for (let folder = parentOf(path); folder.length >= top.length; folder = parentOf(folder)) {
      if (!(yield* isThere(folder, "folder"))) return false
    }
    return true
  })

  /** After a while there is nothing left that a power cut could spoil. */
  const settle = (holding: Holding) =>
    Effect.suspend(() =>
      holding.place._tag === "Published" && !holding.forgotten
        ? Effect.ignore(writeRecord(holding, { ...holding.place, state: "settled" }))
        : Effect.void
    ).pipe(Effect.delay(Duration.millis(Limits.settledAfterMs)), Effect.forkIn(scope))

  const open = Effect.fnUntraced(function*(share: Share) {
    const problem = Manifest.shareProblem(share)
    if (problem !== undefined) {
      return yield* new StoreError({ root: share.root, reason: "bad-manifest", detail: problem })
    }
    return yield* settingUp(share, (holding) => Effect.map(prepare(holding), () => openedOf(holding)))
  })

  // ---- Leftovers ---------------------------------------------------------------------------------------------------

  const tidying = Semaphore.makeUnsafe(1)

  /**
   * Removes what earlier runs have left of shares that are not open now and were not opened for that long, the longest
   * unopened first, until there is enough room. What is published stays; should its share come again, it is received
   * anew and found there.
   */
  const removeLeftovers = <E>(unopenedMs: number, isEnough: Effect.Effect<boolean, E>): Effect.Effect<void, E> =>
    Effect.gen(function*() {
      if (yield* isEnough) return
      const now = yield* Clock.currentTimeMillis
      const left: Array<{ readonly root: string; readonly modifiedMs: number }> = []
      for (const root of yield* disk.list(home).pipe(Effect.orElseSucceed(() => []))) {
        if (!Schema.is(Root)(root)) continue
        const stat = yield* Effect.option(disk.stat(`${home}/${root}`))
        if (stat._tag === "Some") left.push({ root, modifiedMs: Number(stat.value.modifiedNs / 1_000_000n) })
      }
      for (const { modifiedMs, root } of left.toSorted((a, b) => a.modifiedMs - b.modifiedMs)) {
        if (now - modifiedMs <= unopenedMs) return
        yield* tidying.withPermits(1)(
          Effect.suspend(() => holdings.has(Root.make(root)) ? Effect.void : disk.remove(`${home}/${root}`))
        ).pipe(Effect.ignore)
        if (yield* isEnough) return
      }
    })

  /** Removes what may be removed where so many bytes are not free; gives how many are, enough or not. */
  const makeRoom = (neededBytes: number) => {
    const free = disk.freeBytes(home)
    return Effect.andThen(
      removeLeftovers(Limits.leftoversKeptWhenFullMs, Effect.map(free, (bytes) => bytes >= neededBytes)),
      free
    )
  }

  // By then everything that this session needs is open, however wrong the clock is or was.
  yield* removeLeftovers(Limits.leftoversKeptMs, Effect.succeed(false)).pipe(
    Effect.delay(Duration.millis(Limits.leftoversRemovedAfterMs)),
    Effect.forkIn(scope)
  )

  /** Does something with the holding of a share, alone and not while it is being forgotten. */
  const settingUp = <A, E>(share: Share, body: (holding: Holding) => Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.suspend((): Effect.Effect<A | typeof again, E> => {
      let holding = holdings.get(share.root)
      if (holding === undefined) {
        holding = new Holding(share, `${home}/${share.root}`)
        holdings.set(share.root, holding)
      }
      const found = holding
      return found.setup.withPermits(1)(
        Effect.suspend((): Effect.Effect<A | typeof again, E> => found.forgotten ? Effect.succeed(again) : body(found))
      )
    }).pipe(Effect.flatMap((result) => result === again ? settingUp(share, body) : Effect.succeed(result)))

  const prepare = Effect.fnUntraced(function*(holding: Holding) {
    yield* folder.check.pipe(Effect.mapError(storeError(holding)))
    if (holding.loaded && holding.place._tag === "Staging") yield* Effect.ignore(notDisplaced(holding))
    if (holding.displaced) yield* holding.gate.alone(Effect.andThen(handles.close(holding.folder), holding.reset))
    if (!holding.loaded) {
      // Not while what it left is being removed.
      yield* tidying.withPermits(1)(Effect.void)
      yield* touch(holding)
      holding.hasNamesake = yield* isNamesakeHere(holding.share)
      yield* load(holding, yield* readRecord(holding.share.root))
      holding.loaded = true
      if (holding.content !== undefined) yield* takeFromOthers(holding)
    } else if (holding.content === undefined && holding.hasManifest) {
      // The disk failed in the middle of it.
      yield* learnManifest(holding)
      yield* takeFromOthers(holding)
    }
    if (holding.place._tag !== "Staging") return
    if (holding.content !== undefined) yield* requireRoom(holding)
    else yield* Effect.ignore(makeRoom(holding.share.manifest.sizeBytes))
    // That it can be written to is found out now, and not when chunks have travelled for nothing.
    yield* writeJournal(holding).pipe(Effect.mapError(storeError(holding)))
  })

  const isNamesakeHere = (share: Share): Effect.Effect<boolean> => {
    const { root, title } = share
    for (const other of holdings.values()) {
      if (other.share.root !== root && other.share.title === title) return Effect.succeed(true)
    }
    if (downloadFolder === undefined) return Effect.succeed(false)
    return Effect.isSuccess(disk.stat(`${downloadFolder}/${Names.freeName(Names.safeTitle(title), 1, share.kind)}`))
  }

  // ---- Content that is here already --------------------------------------------------------------------------------

  /** Copies the chunks that another share on this device already has: most of them, where it is an earlier version. */
  const takeFromOthers = Effect.fnUntraced(function*(holding: Holding) {
    if (holding.place._tag !== "Staging") return
    const missing = new Map<bigint, Array<number>>()
    const key = keysOf(holding)
    for (let index = holding.manifestChunksCount; index < holding.chunksCount; index++) {
      if (Bitfield.has(holding.have, index)) continue
      const hash = key(index - holding.manifestChunksCount)
      const same = missing.get(hash)
      if (same === undefined) missing.set(hash, [index])
      else same.push(index)
      if (index % keysPerStep === 0) yield* Effect.yieldNow
    }
    for (const other of holdings.values()) yield* takeFrom(other, holding, missing)
    if (missing.size === 0) return
    for (const other of yield* earlierShares) yield* takeFrom(other, holding, missing)
  })

  const takeFrom = Effect.fnUntraced(function*(
    other: Holding,
    holding: Holding,
    missing: Map<bigint, ReadonlyArray<number>>
  ) {
    if (other === holding || other.content === undefined) return
    const buffer = new Uint8Array(holding.share.chunkSizeBytes)
    const key = keysOf(other)
    for (let index = other.manifestChunksCount; index < other.chunksCount && missing.size > 0; index++) {
      if (index % keysPerStep === 0) yield* Effect.yieldNow
      const hash = key(index - other.manifestChunksCount)
      const indexes = missing.get(hash)
      const sizeBytes = other.chunkBytes(index)
      if (indexes === undefined || !Bitfield.has(other.have, index) || sizeBytes > buffer.length) continue
      const bytes = buffer.subarray(0, sizeBytes)
      const isRead = yield* other.gate.shared(files.readVerified(other, index, bytes)).pipe(
        Effect.orElseSucceed(() => false)
      )
      if (!isRead) continue
      missing.delete(hash)
      for (const wanted of indexes) {
        // What the disk does not take now is asked for and refused in the usual way.
        if (files.isChunk(holding, wanted, bytes)) {
          yield* Effect.ignore(holding.gate.shared(store(holding, wanted, bytes)))
        }
      }
    }
  })

  /** Shares that were published in earlier runs of the program and are not open now, the newest first. */
  const earlierShares = Effect.gen(function*() {
    const records: Array<{ readonly root: string; readonly modifiedNs: bigint }> = []
    for (const root of yield* disk.list(home).pipe(Effect.orElseSucceed(() => []))) {
      if (!Schema.is(Root)(root) || holdings.has(root)) continue
      const stat = yield* Effect.option(disk.stat(`${home}/${root}/record`))
      if (stat._tag === "Some") records.push({ root, modifiedNs: stat.value.modifiedNs })
    }
    const newest = records.toSorted((a, b) => (a.modifiedNs < b.modifiedNs ? 1 : a.modifiedNs > b.modifiedNs ? -1 : 0))
    const found: Array<Holding> = []
    for (const { root } of newest.slice(0, Limits.earlierSharesSearchedMax)) {
      const record = yield* readRecord(root)
      if (record?.place._tag !== "Published" || record.share.root !== root) continue
      const holding = new Holding(record.share, `${home}/${root}`)
      if ((yield* Effect.isSuccess(load(holding, record))) && holding.place._tag === "Published") found.push(holding)
    }
    return found
  })

  // ---- Publishing --------------------------------------------------------------------------------------------------

  const publish = Effect.fnUntraced(function*(root: Root) {
    const holding = holdings.get(root)
    if (holding === undefined) {
      return yield* new StoreError({ root, reason: "disk-failing", detail: "the share is not open" })
    }
    return yield* holding.setup.withPermits(1)(
      Effect.gen(function*() {
        const content = holding.content
        if (holding.place._tag === "Staging" && content !== undefined) {
          const missing = holding.chunksCount - Bitfield.size(holding.have)
          if (missing > 0) return yield* incomplete(holding, `${missing} chunks are missing`)
          yield* folder.check.pipe(
            Effect.andThen(notDisplaced(holding)),
            Effect.mapError(storeError(holding))
          )
          yield* verifyInherited(holding, content)
          yield* sync(holding, content).pipe(Effect.mapError(storeError(holding)))
          yield* appear(holding, content).pipe(
            Effect.catchTag("DiskError", (error) => Effect.fail(storeError(holding)(error)))
          )
        }
        if (holding.place._tag === "Staging") return yield* incomplete(holding, "its manifest is missing")
        return { path: holding.place.path, skipped: holding.skipped }
      }).pipe(Effect.tapError((error) => Effect.sync(() => noteGone(holding, error))))
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
        yield* marked(holding, 1)
      } else if (holding.inheritedPacks.has(index)) {
        // The pack is whole, and may have been served already; its small files may have been lost with the power.
        const small = ChunkFiles.smallFiles(holding, content, index - holding.manifestChunksCount, bytes)
        yield* files.putSmallFiles(holding, small).pipe(Effect.mapError(storeError(holding)))
        holding.inheritedPacks.delete(index)
      }
    }
    if (damaged > 0) return yield* incomplete(holding, `${damaged} chunks were damaged and are fetched again`)
  })

  /** Everything that cannot be made again survives a power cut once this completes; see {@link repairSmallFiles}. */
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
      yield* writeRecord(holding, { _tag: "Published", path, state: "intended" })
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
      return disk.syncDirectory(downloadFolder!).pipe(
        Effect.andThen(writeRecord(holding, { _tag: "Published", path, state: "fresh" })),
        Effect.andThen(disk.remove(`${holding.folder}/journal`)),
        Effect.ignore,
        Effect.andThen(settle(holding))
      )
    })

  const adopt = Effect.fnUntraced(function*(holding: Holding, path: string) {
    // An earlier run may have written it a moment ago: what a power cut takes of it is made again here, too.
    yield* writeRecord(holding, { _tag: "Published", path, state: "fresh" })
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
    yield* settle(holding)
  })

  /** Whether every file of the share is at `path` with the bytes that were signed. Other files there do not matter. */
  const isPublishedAt = Effect.fnUntraced(function*(holding: Holding, content: Content, path: string) {
    const { layout, manifest } = content
    if (!(yield* isThere(path, manifest.kind))) return false
    const buffer = new Uint8Array(manifest.chunkSizeBytes)
    const other = new Uint8Array(manifest.chunkSizeBytes)
    for (const [i, size] of manifest.sizes.entries()) {
      if (content.lost.has(i)) continue
      const stat = yield* Effect.option(disk.stat(below(path, manifest.paths[i]!)))
      if (stat._tag === "None" || stat.value.kind !== "file" || stat.value.sizeBytes !== size) return false
    }
    for (const [i, directory] of manifest.directories.entries()) {
      if (!content.lost.has(manifest.paths.length + i) && !(yield* isThere(`${path}/${directory}`, "folder"))) {
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

  // ---- Sources -----------------------------------------------------------------------------------------------------

  const importSource = Effect.fnUntraced(function*(
    given: string,
    onProgress: (progress: ImportProgress) => Effect.Effect<void>
  ): Effect.fn.Return<Imported, SourceError> {
    const hashed = yield* hashSource(
      { crypto, disk },
      given,
      { chunkSizeBytesMin, chunkSizeBytesBefore: (path) => chunkSizes.get(path) },
      onProgress
    ).pipe(hashing.withPermits(1), Effect.interruptible)
    const { decoded, manifestBytes, path, renamed, share, skipped } = hashed
    chunkSizes.set(path, share.chunkSizeBytes)
    const serve = Effect.fnUntraced(function*(holding: Holding) {
      // The same content was received before and is served from there.
      if (holding.place._tag === "Published" && Bitfield.size(holding.have) === holding.chunksCount) return
      yield* handles.close(holding.folder)
      // What was received of it so far is of no use any more.
      yield* disk.remove(holding.folder)
      yield* disk.makeDirectory(holding.folder, 0o700)
      yield* disk.replaceFile(holding.manifestPath, manifestBytes)
      yield* writeRecord(holding, { _tag: "Source", path, renamed: [...renamed] })
      holding.place = { _tag: "Source", path, renamed }
      holding.content = { ...decoded, lost: new Map() }
      holding.changed = undefined
      holding.stamps.clear()
      holding.have.set(Bitfield.full(holding.chunksCount))
      // Each chunk is hashed once more when it first leaves: until then the file may change unseen.
      holding.verified.fill(0)
      holding.loaded = true
    })
    yield* settingUp(share, (holding) => holding.gate.alone(serve(holding))).pipe(
      Effect.mapError((error) =>
        new SourceError({ path: given, reason: "io", detail: `${error.path}: ${error.detail}` })
      )
    )
    return { share, skipped }
  }, Effect.uninterruptible)

  // ---- Forgetting --------------------------------------------------------------------------------------------------

  const forget = Effect.fnUntraced(function*(root: Root) {
    const holding = holdings.get(root)
    if (holding === undefined) return
    yield* holding.setup.withPermits(1)(holding.gate.alone(Effect.gen(function*() {
      if (holding.forgotten) return
      holding.forgotten = true
      holdings.delete(root)
      yield* handles.close(holding.folder)
      if (holding.place._tag !== "Staging") yield* handles.close(holding.place.path)
      // What is published may be an earlier version of something to come, and is recognised in another session.
      if (holding.place._tag !== "Published") yield* Effect.ignore(disk.remove(holding.folder))
    })))
  })

  return ChunkStore.of({
    importSource,
    open,
    write,
    writeNow,
    read,
    readNow,
    chunkBytes: (root, index) => holdings.get(root)?.chunkBytes(index) ?? 0,
    opened: (root) => {
      const holding = holdings.get(root)
      return holding?.loaded === true ? openedOf(holding) : undefined
    },
    publish,
    forget
  })
})
