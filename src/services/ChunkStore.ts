/**
 * Shares on disk: chunks in, chunks out, and nothing shown complete that is not what the teacher signed.
 *
 * A download lives in a hidden folder of the download folder until every chunk has been verified; then it appears under
 * its own name in one step. A source is read where it lies. Chunk indexes count the manifest's chunks first.
 */
import { Context, Deferred, Effect, Layer, Schema, type Scope, Semaphore } from "effect"
import * as Bitfield from "../protocol/Bitfield.ts"
import type { Share } from "../protocol/Entry.ts"
import type { Root } from "../protocol/Ids.ts"
import * as Limits from "../protocol/Limits.ts"
import * as Manifest from "../protocol/Manifest.ts"
import * as Names from "../protocol/Names.ts"
import { Crypto } from "./Crypto.ts"
import { Disk, type DiskError } from "./Disk.ts"
import * as ChunkFiles from "./store/ChunkFiles.ts"
import * as Handles from "./store/Handles.ts"
import { Holding } from "./store/Holding.ts"
import * as Home from "./store/Home.ts"
import * as Inheritance from "./store/Inheritance.ts"
import * as Marks from "./store/Marks.ts"
import * as Publishing from "./store/Publishing.ts"
import * as Records from "./store/Records.ts"
import * as Restoring from "./store/Restoring.ts"
import { hashSource, type ImportProgress, type Skipped, SourceError } from "./store/Source.ts"
import * as Space from "./store/Space.ts"
import { ChunkCorrupt, ChunkLost, folderGone, incomplete, StoreError, storeError } from "./store/StoreErrors.ts"

export { type ImportProgress, type Skipped, SourceError } from "./store/Source.ts"
export { ChunkCorrupt, ChunkLost, StoreError } from "./store/StoreErrors.ts"

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

/** The holding was forgotten while somebody waited for it. */
const again: unique symbol = Symbol("again")

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
  const home = downloadFolder === undefined ? `${stateFolder}/shares` : `${downloadFolder}/.labfx`
  const shownFolder = downloadFolder ?? home
  const folder = yield* Home.make(disk, home).pipe(Effect.mapError(folderError))
  const handles = yield* Handles.make(disk, Limits.openFilesMax)
  const files = ChunkFiles.make(disk, crypto, handles)
  const holdings = new Map<Root, Holding>()
  const marks = yield* Marks.make({ crypto, disk, folder: shownFolder, handles, holdings })
  const records = yield* Records.make(disk, home)
  const space = yield* Space.make({ disk, holdings, home })
  const restoring = Restoring.make({ crypto, disk, files, receives: downloadFolder !== undefined, records })
  const publishing = downloadFolder === undefined
    ? undefined
    : yield* Publishing.make({ disk, downloadFolder, files, handles, marks, records, smallFilesSyncedMax })
  /** The chunk size of each source shared in this run, so that its next version is cut alike. */
  const chunkSizes = new Map<string, number>()
  const hashing = Semaphore.makeUnsafe(Limits.sourcesHashedMax)

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
    yield* marks.changed(holding, 1)
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
    yield* marks.changed(holding, bytes.length)
  })
  const inheritance = Inheritance.make({ disk, files, holdings, home, keep: store, records, restoring })

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
    marks.soon(holding)
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
      if (holding.displaced) return Effect.fail(storeError(holding)(folderGone(shownFolder)))
      if (!files.isChunk(holding, index, bytes)) return Effect.fail(new ChunkCorrupt({ root, index }))
      return Effect.andThen(
        index < holding.manifestChunksCount || holding.hasRoom ? Effect.void : space.requireFor(holding),
        store(holding, index, bytes).pipe(
          Effect.mapError((error) => {
            const failed = storeError(holding)(error)
            if (failed.reason === "disk-full") holding.hasRoom = false
            Marks.noteGone(holding, failed)
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
      yield* restoring.learnManifest(holding)
      yield* inheritance.takeFromOthers(holding)
      return { manifestComplete: true }
    }))
  })

  // ---- Opening -----------------------------------------------------------------------------------------------------

  const open = Effect.fnUntraced(function*(share: Share) {
    const problem = Manifest.shareProblem(share)
    if (problem !== undefined) {
      return yield* new StoreError({ root: share.root, reason: "bad-manifest", detail: problem })
    }
    return yield* settingUp(share, (holding) => Effect.map(prepare(holding), () => openedOf(holding)))
  })

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
    if (holding.loaded && holding.place._tag === "Staging") yield* Effect.ignore(marks.notDisplaced(holding))
    if (holding.displaced) yield* holding.gate.alone(Effect.andThen(handles.close(holding.folder), holding.reset))
    if (!holding.loaded) {
      // Not while what it left is being removed.
      yield* space.tidy
      yield* space.touch(holding)
      holding.hasNamesake = yield* isNamesakeHere(holding.share)
      yield* restoring.load(holding, yield* records.read(holding.share.root))
      holding.loaded = true
      if (holding.content !== undefined) yield* inheritance.takeFromOthers(holding)
    } else if (holding.content === undefined && holding.hasManifest) {
      // The disk failed in the middle of it.
      yield* restoring.learnManifest(holding)
      yield* inheritance.takeFromOthers(holding)
    }
    if (holding.place._tag !== "Staging") return
    if (holding.content !== undefined) yield* space.requireFor(holding)
    else yield* Effect.ignore(space.free(holding.share.manifest.sizeBytes))
    // That it can be written to is found out now, and not when chunks have travelled for nothing.
    yield* marks.write(holding).pipe(Effect.mapError(storeError(holding)))
  })

  const isNamesakeHere = (share: Share): Effect.Effect<boolean> => {
    const { root, title } = share
    for (const other of holdings.values()) {
      if (other.share.root !== root && other.share.title === title) return Effect.succeed(true)
    }
    if (downloadFolder === undefined) return Effect.succeed(false)
    return Effect.isSuccess(disk.stat(`${downloadFolder}/${Names.freeName(Names.safeTitle(title), 1, share.kind)}`))
  }

  // ---- Publishing --------------------------------------------------------------------------------------------------

  const publish = Effect.fnUntraced(function*(root: Root) {
    const holding = holdings.get(root)
    if (holding === undefined) {
      return yield* new StoreError({ root, reason: "disk-failing", detail: "the share is not open" })
    }
    return yield* holding.setup.withPermits(1)(
      Effect.gen(function*() {
        const content = holding.content
        if (publishing !== undefined && holding.place._tag === "Staging" && content !== undefined) {
          const missing = holding.chunksCount - Bitfield.size(holding.have)
          if (missing > 0) return yield* incomplete(holding, `${missing} chunks are missing`)
          yield* folder.check.pipe(
            Effect.andThen(marks.notDisplaced(holding)),
            Effect.mapError(storeError(holding))
          )
          yield* publishing.publish(holding, content)
        }
        if (holding.place._tag === "Staging") return yield* incomplete(holding, "its manifest is missing")
        return { path: holding.place.path, skipped: holding.skipped }
      }).pipe(Effect.tapError((error) => Effect.sync(() => Marks.noteGone(holding, error))))
    )
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
      yield* records.write(holding, { _tag: "Source", path, renamed: [...renamed] })
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
