/** A file or folder of this device as it becomes a share: walked, named, cut into chunks and hashed where it lies. */
import { Effect, Fiber, Result, Schema } from "effect"
import { Share } from "../../protocol/Entry.ts"
import { Root } from "../../protocol/Ids.ts"
import * as Limits from "../../protocol/Limits.ts"
import * as Manifest from "../../protocol/Manifest.ts"
import * as Names from "../../protocol/Names.ts"
import type { Crypto } from "../Crypto.ts"
import { type Disk, DiskError, type Stat } from "../Disk.ts"
import { runSteps } from "./Steps.ts"

/** A file or folder cannot be shared as asked. */
export class SourceError extends Schema.TaggedError<SourceError>()("SourceError", {
  path: Schema.String,
  reason: Schema.Literals([
    "not-found",
    "permission",
    "not-a-file-or-folder",
    "empty-name",
    "too-many-files",
    "too-large",
    "changed-while-read",
    "io"
  ]),
  detail: Schema.String
}) {}

/** How far a source is. It may begin again: where a file has changed meanwhile, everything is read once more. */
export interface ImportProgress {
  readonly hashedBytes: number
  readonly totalBytes: number
}

/** A file left out, with the reason in words. */
export interface Skipped {
  readonly path: string
  readonly reason: string
}

export interface Hashed {
  readonly share: Share
  /** Where it lies, with all symbolic links resolved. */
  readonly path: string
  readonly manifestBytes: Uint8Array
  readonly decoded: Manifest.Decoded
  /** Files whose names on disk are not in normal form C, as the manifest's are: index → path below the source. */
  readonly renamed: ReadonlyMap<number, string>
  readonly skipped: ReadonlyArray<Skipped>
}

export interface Options {
  /** The smallest chunk size; tests choose less than a class would want. */
  readonly chunkSizeBytesMin: number
  /** The chunk size of an earlier version, kept while it is near the right one so that the versions share their chunks. */
  readonly chunkSizeBytesBefore: (path: string) => number | undefined
}

/** Read at a go from a large file, and ahead while the last was hashed. */
const readBytes = 2 ** 20

const sourceReason = (error: DiskError): SourceError["reason"] =>
  error.reason === "not-found" || error.reason === "permission" ? error.reason : "io"

const fromDisk = (path: string) => (error: DiskError) =>
  new SourceError({ path, reason: sourceReason(error), detail: error.detail })

const isSame = (a: Stat, b: Stat): boolean =>
  a.kind === b.kind && a.sizeBytes === b.sizeBytes && a.modifiedNs === b.modifiedNs && a.identity === b.identity

interface SourceFile {
  /** As the manifest names it. */
  readonly path: string
  /** As this disk does. */
  readonly actual: string
  readonly stat: Stat
}

interface Listing {
  readonly files: ReadonlyArray<SourceFile>
  readonly directories: ReadonlyArray<string>
}

/** What a round of reading found wrong: the files to leave out, and one that changed meanwhile. */
interface Trouble {
  readonly unreadable: Map<string, string>
  changed: string | undefined
}

/** The one file of a share that is a file has no path of its own. */
const below = (path: string, name: string): string => (name === "" ? path : `${path}/${name}`)

/** The last component of a path of any system. */
const lastName = (path: string): string => path.replace(/[/\\]+$/, "").replace(/^.*[/\\]/s, "")

/** What a share of it is called, as far as the path alone tells. */
export const titleOf = (path: string): string => Names.safeTitle(lastName(path))

export const hashSource = Effect.fnUntraced(function*(
  { crypto, disk }: { readonly crypto: Crypto["Service"]; readonly disk: Disk["Service"] },
  given: string,
  options: Options,
  onProgress: (progress: ImportProgress) => Effect.Effect<void>
): Effect.fn.Return<Hashed, SourceError> {
  const path = yield* disk.realPath(given).pipe(Effect.mapError(fromDisk(given)))
  const top = yield* disk.stat(path).pipe(Effect.mapError(fromDisk(given)))
  if (top.kind !== "file" && top.kind !== "directory") {
    return yield* new SourceError({ path: given, reason: "not-a-file-or-folder", detail: "it is a device or a pipe" })
  }
  const kind = top.kind === "file" ? "file" : "folder"
  const name = lastName(given)
  // `.` and `..` have their name only where they lead.
  const title = name === "." || name === ".." || name === "" ? lastName(path) : name
  if (title === "") {
    return yield* new SourceError({
      path: given,
      reason: "empty-name",
      detail: "a whole disk has no name to share it by"
    })
  }

  const excluded = new Map<string, string>()
  for (let round = 1;; round++) {
    const skipped = new Map<string, string>(excluded)
    const listing: Listing = kind === "file"
      ? {
        files: [{
          path: "",
          actual: "",
          stat: round === 1 ? top : yield* Effect.mapError(disk.stat(path), fromDisk(given))
        }],
        directories: []
      }
      : yield* list(disk, path, excluded, skipped)
    const { hashes, trouble, unhashed } = yield* hash(disk, crypto, path, listing, kind, options, onProgress)
    if (trouble.changed !== undefined && round >= Limits.importRoundsMax) {
      return yield* new SourceError({
        path: below(given, trouble.changed),
        reason: "changed-while-read",
        detail: "another program is writing to it"
      })
    }
    for (const [file, reason] of trouble.unreadable) {
      if (kind === "file") return yield* new SourceError({ path: given, reason: "permission", detail: reason })
      excluded.set(file, reason)
    }
    // Every other round leaves a file out, but a folder where all of them are unreadable must not take a round for each.
    if (trouble.changed !== undefined || trouble.unreadable.size > 0) {
      if (round < 2 * Limits.importRoundsMax) continue
      return yield* new SourceError({ path: given, reason: "changed-while-read", detail: "its files come and go" })
    }

    const manifest: Manifest.Manifest = { ...unhashed, hashes }
    const encoded = yield* runSteps(Manifest.encode(manifest))
    if (Result.isFailure(encoded)) {
      return yield* new SourceError({ path: given, reason: "too-many-files", detail: encoded.failure.detail })
    }
    const manifestBytes = encoded.success
    const decoded = yield* runSteps(Manifest.decode(manifestBytes))
    // What this device has written, it can read.
    if (Result.isFailure(decoded)) return yield* Effect.die(decoded.failure)
    const manifestChunkSizeBytes = Manifest.manifestChunkSizeFor(manifestBytes.length)
    const manifestHashes: Array<Root> = []
    for (let at = 0; at < manifestBytes.length; at += manifestChunkSizeBytes) {
      manifestHashes.push(Root.make(crypto.sha256Text(manifestBytes.subarray(at, at + manifestChunkSizeBytes))))
    }
    return {
      share: Share.make({
        root: Root.make(crypto.sha256Text(manifestBytes)),
        kind,
        title: Names.safeTitle(title),
        sizeBytes: manifest.sizeBytes,
        filesCount: manifest.paths.length,
        chunkSizeBytes: manifest.chunkSizeBytes,
        chunksCount: decoded.success.layout.chunksCount,
        manifest: {
          sizeBytes: manifestBytes.length,
          chunkSizeBytes: manifestChunkSizeBytes,
          hashes: manifestHashes
        }
      }),
      path,
      manifestBytes,
      decoded: decoded.success,
      renamed: new Map(listing.files.flatMap(({ actual, path }, i) => (actual === path ? [] : [[i, actual]]))),
      skipped: Array.from(skipped, ([path, reason]) => ({ path, reason }))
    }
  }
})

// ---- Walking -------------------------------------------------------------------------------------------------------

/** Why something in a folder is left out, whatever it is called. */
const statProblem = (stat: Stat | DiskError, depth: number): string | undefined => {
  if (stat instanceof DiskError) return `it cannot be read: ${stat.detail}`
  switch (stat.kind) {
    case "symlink":
      return "symbolic links are not followed"
    case "other":
      return "it is neither file nor folder"
    case "directory":
      return depth >= Limits.pathDepthMax ? `the path is deeper than ${Limits.pathDepthMax} folders` : undefined
    case "file":
      return undefined
  }
}

/** Everything below a folder that can be shared, in manifest order; what cannot goes to `skipped` with its reason. */
const list = Effect.fnUntraced(function*(
  disk: Disk["Service"],
  top: string,
  excluded: ReadonlyMap<string, string>,
  skipped: Map<string, string>
): Effect.fn.Return<Listing, SourceError> {
  const files: Array<SourceFile> = []
  const directories: Array<string> = []
  let foldersCount = 0

  const walk = Effect.fnUntraced(function*(
    folder: string,
    actualFolder: string,
    depth: number
  ): Effect.fn.Return<void, SourceError> {
    const listed = yield* Effect.result(disk.entries(below(top, actualFolder)))
    if (listed._tag === "Failure") {
      if (folder === "") return yield* fromDisk(top)(listed.failure)
      skipped.set(folder, `it cannot be read: ${listed.failure.detail}`)
      return
    }
    const entries = listed.success
      .map((entry) => ({ ...entry, normal: entry.name.normalize("NFC") }))
      .toSorted((a, b) => (a.normal < b.normal ? -1 : a.normal > b.normal ? 1 : 0))
    let kept = 0
    for (const { isText, name, normal, stat } of entries) {
      const path = folder === "" ? normal : `${folder}/${normal}`
      const actual = actualFolder === "" ? name : `${actualFolder}/${name}`
      const problem = excluded.get(path) ??
        (isText ? Names.componentProblem(normal) : "the name is not valid text") ??
        statProblem(stat, depth)
      if (problem !== undefined || stat instanceof DiskError) {
        skipped.set(path, problem ?? "it cannot be read")
        continue
      }
      kept++
      if (stat.kind === "file") files.push({ path, actual, stat })
      else {
        foldersCount++
        yield* walk(path, actual, depth + 1)
      }
      if (files.length > Limits.filesPerShareMax || foldersCount > Limits.foldersPerShareMax) {
        return yield* new SourceError({
          path: top,
          reason: "too-many-files",
          detail: `more than ${Limits.filesPerShareMax} files; share it as an archive`
        })
      }
    }
    if (kept === 0 && folder !== "") directories.push(folder)
  })
  yield* walk("", "", 1)

  // The same profile as at the receivers', so that everybody has the same files and the teacher knows.
  const problems = yield* runSteps(Names.problems(files.map((file) => file.path), directories))
  if (problems.size === 0) return { files, directories }
  for (const [i, reason] of problems) skipped.set(files[i]?.path ?? directories[i - files.length]!, reason)
  return {
    files: files.filter((_, i) => !problems.has(i)),
    directories: directories.filter((_, i) => !problems.has(files.length + i))
  }
})

// ---- Hashing -------------------------------------------------------------------------------------------------------

const hash = Effect.fnUntraced(function*(
  disk: Disk["Service"],
  crypto: Crypto["Service"],
  top: string,
  { directories, files }: Listing,
  kind: "file" | "folder",
  options: Options,
  onProgress: (progress: ImportProgress) => Effect.Effect<void>
) {
  const sizes = files.map((file) => file.stat.sizeBytes)
  const sizeBytes = sizes.reduce((sum, size) => sum + size, 0)
  const right = Manifest.chunkSizeFor(sizeBytes, options.chunkSizeBytesMin)
  const before = options.chunkSizeBytesBefore(top)
  const chunkSizeBytes = before !== undefined && before * 2 >= right && before <= right * 2 ? before : right
  const unhashed = { kind, sizeBytes, chunkSizeBytes, paths: files.map((file) => file.path), sizes, directories }
  const laid = yield* runSteps(Manifest.layout(unhashed))
  if (Result.isFailure(laid)) {
    return yield* new SourceError({ path: top, reason: "too-large", detail: laid.failure.detail })
  }
  const layout = laid.success
  const hashes = new Uint8Array(layout.chunksCount * Manifest.hashBytes)
  const trouble: Trouble = { unreadable: new Map(), changed: undefined }
  let hashedBytes = 0
  const setHash = (chunk: number, bytes: Uint8Array) => {
    hashes.set(crypto.sha256(bytes), chunk * Manifest.hashBytes)
    hashedBytes += bytes.length
  }
  const tell = Effect.suspend(() => onProgress({ hashedBytes, totalBytes: sizeBytes }))
  yield* tell

  const blockBytes = Math.max(chunkSizeBytes, readBytes)
  const largestBytes = sizes.reduce((largest, size) => Math.max(largest, size), 1)
  const blocks = [0, 1].map(() => new Uint8Array(Math.min(blockBytes, largestBytes)))

  /** One file's own chunks: a block is hashed while the next is read. */
  const hashFile = Effect.fnUntraced(function*(index: number) {
    const { actual, path, stat } = files[index]!
    const file = yield* disk.open(below(top, actual), "read")
    const changed = (now: Stat) => (isSame(now, stat) ? false : ((trouble.changed = path), true))
    if (changed(yield* file.stat)) return
    const [first] = Manifest.chunksOfFile(layout, index)
    // A child of this scope: the file is not closed under a read.
    const ahead = (position: number, block: number) =>
      Effect.forkScoped(file.read(blocks[block % 2]!, position), { startImmediately: true })
    let next = yield* ahead(0, 0)
    for (let position = 0, block = 0; position < stat.sizeBytes; position += blockBytes, block++) {
      const count = yield* Fiber.join(next)
      if (count < Math.min(blockBytes, stat.sizeBytes - position)) {
        trouble.changed = path
        return
      }
      if (position + blockBytes < stat.sizeBytes) next = yield* ahead(position + blockBytes, block + 1)
      for (let at = 0; at < count; at += chunkSizeBytes) {
        const chunk = first + (position + at) / chunkSizeBytes
        setHash(chunk, blocks[block % 2]!.subarray(at, Math.min(at + chunkSizeBytes, count)))
      }
      yield* tell
    }
    changed(yield* file.stat)
  }, Effect.scoped)

  for (let chunk = 0; chunk < layout.ownChunksCount;) {
    const index = layout.firstOfChunk[chunk]!
    yield* hashFile(index).pipe(
      Effect.catch((error) => Effect.sync(() => giveUp(trouble, files[index]!.path, error)))
    )
    chunk = Manifest.chunksOfFile(layout, index)[1]
  }

  const packBuffer = new Uint8Array(layout.chunksCount > layout.ownChunksCount ? chunkSizeBytes : 0)
  for (let chunk = layout.ownChunksCount; chunk < layout.chunksCount; chunk++) {
    let at = 0
    const extents = Manifest.extents(layout, chunk)
    const read = extents.map(({ file, length }) => {
      const into = packBuffer.subarray(at, at + length)
      at += length
      return { path: below(top, files[file]!.actual), into }
    })
    const results = yield* disk.readFiles(read)
    for (const [i, result] of results.entries()) {
      const { path, stat } = files[extents[i]!.file]!
      if (result instanceof DiskError) giveUp(trouble, path, result)
      else if (!isSame(result, stat)) trouble.changed = path
    }
    setHash(chunk, packBuffer.subarray(0, at))
    yield* tell
  }
  return { unhashed, hashes, trouble }
})

/** A file that was there a moment ago and cannot be read now has changed; one that nobody may read is left out. */
const giveUp = (trouble: Trouble, path: string, error: DiskError): void => {
  if (error.reason === "permission") trouble.unreadable.set(path, `it cannot be read: ${error.detail}`)
  else trouble.changed = path
}
