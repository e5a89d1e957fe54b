/**
 * The manifest of a share: which files it has and what the hash of each chunk is; and the layout: which bytes of which
 * files make up which chunk.
 *
 * The manifest is text in lines of JSON, so that it can be read in short steps: a header; the chunk hashes, 1,024 a line;
 * one line a file; one line an empty folder. It names no title, so the same content is the same manifest and the same
 * share. The layout is not in it: it follows from the sizes and paths of the files and the size of a chunk.
 *
 * Invariants, each with a property in the tests:
 * M1  Decoding what was encoded gives the same manifest; decoding anything else gives a manifest or a typed failure.
 * M2  Every byte of every file is in exactly one chunk, no chunk is longer than the chunk size and none is empty.
 * M3  One changed, added or removed file changes the few chunks near it: the others keep their hash, whatever their index.
 */
import { Result, Schema } from "effect"
import { Base64Url } from "effect/encoding"
import type { Share } from "./Entry.ts"
import * as Limits from "./Limits.ts"
import { finish, type Work } from "./Work.ts"

/** Bytes of one chunk hash (SHA-256). */
export const hashBytes = 32

export interface Manifest {
  readonly kind: "file" | "folder"
  readonly sizeBytes: number
  readonly chunkSizeBytes: number
  /**
   * Paths in ascending order (see {@link comparePaths}), components joined by `/`. The one file of a `file` share has the
   * path `""`: its name is the share's title. Names are as the teacher's device wrote them, not yet known to be safe.
   */
  readonly paths: ReadonlyArray<string>
  /** Sizes in bytes, one a path. */
  readonly sizes: ReadonlyArray<number>
  /** Folders that have nothing in them, ascending. */
  readonly directories: ReadonlyArray<string>
  /** {@link hashBytes} bytes a content chunk. */
  readonly hashes: Uint8Array
}

/** The bytes are no manifest, or not one of the share that names them. */
export class BadManifest extends Schema.TaggedError<BadManifest>()("BadManifest", { detail: Schema.String }) {}

// ---- Order ---------------------------------------------------------------------------------------------------------

/**
 * Ascending by component, each by UTF-16 code units: the files of a folder follow one another, and the order is the one
 * of a walk through sorted folders.
 */
export const comparePaths = (a: string, b: string): number => {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x === y) continue
    // The end of a component comes before everything that could continue it.
    return x === slash ? -1 : y === slash ? 1 : x - y
  }
  return a.length - b.length
}
const slash = 0x2f

// ---- Layout --------------------------------------------------------------------------------------------------------

/** A run of bytes of one file. */
export interface Extent {
  /** Index into the manifest's `paths`. */
  readonly file: number
  /** Where it begins in the file. */
  readonly offset: number
  readonly length: number
}

/**
 * Which bytes make up which content chunk. Files of at least one chunk size, and the one file of a `file` share, have
 * chunks of their own, the last of them short; these chunks come first. Smaller files are packed whole into shared
 * chunks, the packs. Chunks are counted from 0 without those of the manifest.
 */
export interface Layout {
  readonly chunkSizeBytes: number
  readonly chunksCount: number
  /** Chunks below this one belong to one file each; the others are packs. */
  readonly ownChunksCount: number
  /** The first chunk of each file, or its pack; {@link noChunk} for an empty file. */
  readonly chunkOfFile: Uint32Array
  /** The file of each chunk of its own, then the index into `packed` of each pack's first file, then `packed.length`. */
  readonly firstOfChunk: Uint32Array
  /** The packed files in order. */
  readonly packed: Uint32Array
  /** Where each file of `packed` begins in its pack. */
  readonly offsetInPack: Uint32Array
  /** Where each pack begins when the packs are laid end to end, then where the last one ends. */
  readonly packStart: Float64Array
  readonly sizes: ReadonlyArray<number>
}

export const noChunk = 0xffff_ffff

/**
 * The size of a full chunk: the next power of two above 1/512 of the content, between `minimum` and the largest allowed.
 * A host may choose another size; everybody else takes it from the share.
 */
export const chunkSizeFor = (sizeBytes: number, minimum: number = Limits.chunkBytesMin): number => {
  let size = minimum
  while (size < Limits.chunkBytesMax && size * Limits.chunksPerShareTarget < sizeBytes) size *= 2
  return size
}

/** Smaller, so that short messages about a manifest fit everywhere; larger only where its hashes would not fit an entry. */
export const manifestChunkSizeFor = (manifestSizeBytes: number): number => {
  let size = Limits.chunkBytesMin
  while (size * Limits.manifestChunksMax < manifestSizeBytes) size *= 2
  return size
}

/** FNV-1a over the path's UTF-16 code units, low byte first, then the last mix of MurmurHash3: cheap, and every bit counts. */
export const pathHash = (path: string): number => {
  let hash = 0x811c9dc5
  for (let i = 0; i < path.length; i++) {
    const unit = path.charCodeAt(i)
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193)
    hash = Math.imul(hash ^ (unit >>> 8), 0x01000193)
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/**
 * How readily a pack closes in its second half: about this many files' worth of a pack would close it. More makes packs
 * of two versions meet again sooner, and makes more of them.
 */
const cutsPerPack = 4

/**
 * Whether a pack at least half full closes after this file. It depends on the file alone and not on what came before, so
 * that two versions of a folder close their packs at the same files soon after they differ (content-defined chunking,
 * as in LBFS, by path). The chance grows with the size, or packs of many tiny files would all be half full.
 */
const closesPack = (path: string, sizeBytes: number, chunkSizeBytes: number): boolean =>
  (pathHash(path) >>> 8) * chunkSizeBytes < cutsPerPack * sizeBytes * 2 ** 24

/** Files laid out between two rests: about a millisecond. */
const filesPerStep = 4_000

/** The layout of files in manifest order; fails if they need more chunks than a share may have. */
export function* layout(
  manifest: Pick<Manifest, "kind" | "paths" | "sizes" | "chunkSizeBytes">
): Work<Result.Result<Layout, BadManifest>> {
  const { chunkSizeBytes, kind, paths, sizes } = manifest
  let ownChunksCount = 0
  let packedCount = 0
  const owns = (size: number) => size > 0 && (size >= chunkSizeBytes || kind === "file")
  for (const size of sizes) {
    if (owns(size)) ownChunksCount += Math.ceil(size / chunkSizeBytes)
    else if (size > 0) packedCount++
  }
  // Checked before anything of that size is allocated.
  if (ownChunksCount > Limits.chunksPerShareMax) return Result.fail(tooManyChunks)
  const chunkOfFile = new Uint32Array(sizes.length)
  const ownFiles = new Uint32Array(ownChunksCount)
  const packed = new Uint32Array(packedCount)
  const offsetInPack = new Uint32Array(packedCount)
  const packFirst: Array<number> = []
  const packStart: Array<number> = []
  let ownChunk = 0
  let position = 0
  let packedBefore = 0
  let fill = 0
  let open = false
  for (let file = 0; file < sizes.length; file++) {
    const size = sizes[file]!
    if (size === 0) {
      chunkOfFile[file] = noChunk
    } else if (owns(size)) {
      chunkOfFile[file] = ownChunk
      const end = ownChunk + Math.ceil(size / chunkSizeBytes)
      ownFiles.fill(file, ownChunk, end)
      ownChunk = end
    } else {
      if (!open || fill + size > chunkSizeBytes) {
        packFirst.push(packedBefore)
        packStart.push(position)
        fill = 0
      }
      chunkOfFile[file] = ownChunksCount + packFirst.length - 1
      packed[packedBefore] = file
      offsetInPack[packedBefore] = fill
      packedBefore++
      fill += size
      position += size
      open = fill * 2 < chunkSizeBytes || !closesPack(paths[file]!, size, chunkSizeBytes)
    }
    if (file % filesPerStep === filesPerStep - 1) yield
  }
  const chunksCount = ownChunksCount + packFirst.length
  if (chunksCount > Limits.chunksPerShareMax) return Result.fail(tooManyChunks)
  const firstOfChunk = new Uint32Array(chunksCount + 1)
  firstOfChunk.set(ownFiles)
  firstOfChunk.set(packFirst, ownChunksCount)
  firstOfChunk[chunksCount] = packedCount
  return Result.succeed({
    chunkSizeBytes,
    chunksCount,
    ownChunksCount,
    chunkOfFile,
    firstOfChunk,
    packed,
    offsetInPack,
    packStart: Float64Array.from([...packStart, position]),
    sizes
  })
}

const tooManyChunks = new BadManifest({ detail: `more than ${Limits.chunksPerShareMax} chunks` })

/** The size of a content chunk in bytes. */
export const chunkBytes = (layout: Layout, chunk: number): number => {
  if (chunk >= layout.ownChunksCount) {
    const pack = chunk - layout.ownChunksCount
    return layout.packStart[pack + 1]! - layout.packStart[pack]!
  }
  const file = layout.firstOfChunk[chunk]!
  const offset = (chunk - layout.chunkOfFile[file]!) * layout.chunkSizeBytes
  return Math.min(layout.chunkSizeBytes, layout.sizes[file]! - offset)
}

/** Where a content chunk's bytes lie, in order. Only packs have more than one extent. */
export const extents = (layout: Layout, chunk: number): ReadonlyArray<Extent> => {
  if (chunk >= layout.ownChunksCount) {
    const found: Array<Extent> = []
    for (let i = layout.firstOfChunk[chunk]!; i < layout.firstOfChunk[chunk + 1]!; i++) {
      const file = layout.packed[i]!
      found.push({ file, offset: 0, length: layout.sizes[file]! })
    }
    return found
  }
  const file = layout.firstOfChunk[chunk]!
  const offset = (chunk - layout.chunkOfFile[file]!) * layout.chunkSizeBytes
  return [{ file, offset, length: Math.min(layout.chunkSizeBytes, layout.sizes[file]! - offset) }]
}

/** Whether a file has chunks of its own: it is neither empty nor packed. */
export const ownsChunks = (layout: Layout, file: number): boolean => layout.chunkOfFile[file]! < layout.ownChunksCount

/** The chunks that a file's bytes are in, from the first to before the last; none for an empty file. */
export const chunksOfFile = (layout: Layout, file: number): readonly [from: number, to: number] => {
  const from = layout.chunkOfFile[file]!
  if (from === noChunk) return [0, 0]
  return from >= layout.ownChunksCount
    ? [from, from + 1]
    : [from, from + Math.ceil(layout.sizes[file]! / layout.chunkSizeBytes)]
}

// ---- Numbering: on the wire the chunks of the manifest come first --------------------------------------------------

/** How many of a share's chunk indexes belong to its manifest. */
export const manifestChunksCount = (share: Share): number => share.manifest.hashes.length

/** How many chunk indexes a share has in all. */
export const chunksCount = (share: Share): number => manifestChunksCount(share) + share.chunksCount

/** Whether the index is one of the manifest's. */
export const isManifestChunk = (share: Share, index: number): boolean => index < manifestChunksCount(share)

/** The size in bytes of a chunk of the manifest. */
export const manifestChunkBytes = (share: Share, index: number): number =>
  Math.min(share.manifest.chunkSizeBytes, share.manifest.sizeBytes - index * share.manifest.chunkSizeBytes)

/** Why a share's own numbers cannot be true together, in words; checked before anything is made of them. */
export const shareProblem = (share: Share): string | undefined => {
  if (Math.ceil(share.manifest.sizeBytes / share.manifest.chunkSizeBytes) !== manifestChunksCount(share)) {
    return "the manifest's size does not fit its number of chunks"
  }
  // Every chunk has at least one byte and at most the chunk size (M2).
  if (share.chunksCount > share.sizeBytes || share.chunksCount * share.chunkSizeBytes < share.sizeBytes) {
    return "the size does not fit the number of chunks"
  }
  if (share.kind === "file" && share.filesCount !== 1) return "a file is exactly one file"
  return undefined
}

// ---- Bytes ---------------------------------------------------------------------------------------------------------

const Header = Schema.Struct({
  labfx: Schema.Literal(1),
  kind: Schema.Literals(["file", "folder"]),
  sizeBytes: Schema.Natural,
  chunkSizeBytes: Schema.Natural.check(Schema.isBetween({ minimum: 1_024, maximum: Limits.chunkBytesMax })),
  chunks: Schema.Natural.check(Schema.isLessThanOrEqualTo(Limits.chunksPerShareMax)),
  files: Schema.Natural.check(Schema.isLessThanOrEqualTo(Limits.filesPerShareMax)),
  directories: Schema.Natural.check(Schema.isLessThanOrEqualTo(Limits.foldersPerShareMax))
})
/** A run of hashes, base64url. */
const HashLine = Schema.String
const FileLine = Schema.Tuple([Schema.String, Schema.Natural])
const DirectoryLine = Schema.String

const decodeHeader = Schema.decodeUnknownResult(Header)
const decodeHashLine = Schema.decodeUnknownResult(HashLine)
const decodeFileLine = Schema.decodeUnknownResult(FileLine)
const decodeDirectoryLine = Schema.decodeUnknownResult(DirectoryLine)

/** Lines read or written between two rests: about a millisecond. */
const linesPerStep = 500

/** The manifest's bytes: the same manifest gives the same bytes. Fails if they are more than a manifest may have. */
export function* encode(manifest: Manifest): Work<Result.Result<Uint8Array, BadManifest>> {
  const encoder = new TextEncoder()
  const parts: Array<Uint8Array> = []
  let sizeBytes = 0
  let lines: Array<string> = []
  const flush = () => {
    const part = encoder.encode(lines.join(""))
    parts.push(part)
    sizeBytes += part.length
    lines = []
  }
  const header: typeof Header.Type = {
    labfx: 1,
    kind: manifest.kind,
    sizeBytes: manifest.sizeBytes,
    chunkSizeBytes: manifest.chunkSizeBytes,
    chunks: manifest.hashes.length / hashBytes,
    files: manifest.paths.length,
    directories: manifest.directories.length
  }
  lines.push(`${JSON.stringify(header)}\n`)
  const run = Limits.manifestHashesPerLine * hashBytes
  for (let at = 0; at < manifest.hashes.length; at += run) {
    lines.push(`"${Base64Url.encode(manifest.hashes.subarray(at, at + run))}"\n`)
    flush()
    yield
  }
  for (let i = 0; i < manifest.paths.length + manifest.directories.length; i++) {
    const line = i < manifest.paths.length
      ? [manifest.paths[i]!, manifest.sizes[i]!]
      : manifest.directories[i - manifest.paths.length]!
    lines.push(`${JSON.stringify(line)}\n`)
    if (lines.length < linesPerStep) continue
    flush()
    yield
    if (sizeBytes > Limits.manifestBytesMax) break
  }
  flush()
  if (sizeBytes > Limits.manifestBytesMax) {
    return Result.fail(new BadManifest({ detail: `more than ${Limits.manifestBytesMax} bytes of file names` }))
  }
  const bytes = new Uint8Array(sizeBytes)
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return Result.succeed(bytes)
}

/** Reads the lines of a manifest one by one; what is wrong with one ends the reading with a word. */
class Lines {
  readonly #bytes: Uint8Array
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get done(): boolean {
    return this.#at === this.#bytes.length
  }

  /** The next line through its schema. */
  next<A, E>(decode: (parsed: unknown) => Result.Result<A, E>): Result.Result<A, BadManifest> {
    const end = this.#bytes.subarray(this.#at, this.#at + Limits.manifestLineBytesMax).indexOf(0x0a)
    if (end < 0) return Result.fail(new BadManifest({ detail: "a line has no end or is too long" }))
    let parsed: unknown
    try {
      parsed = JSON.parse(this.#decoder.decode(this.#bytes.subarray(this.#at, this.#at + end)))
    } catch {
      return Result.fail(new BadManifest({ detail: "a line is not JSON" }))
    }
    this.#at += end + 1
    // The value itself is not told: it is a stranger's.
    return Result.mapError(
      decode(parsed),
      () => new BadManifest({ detail: "a line is not what stands there in a manifest" })
    )
  }
}

/** A manifest with the layout that follows from it. */
export interface Decoded {
  readonly manifest: Manifest
  readonly layout: Layout
}

/**
 * The manifest in the bytes, and its layout. Fails, and never throws, for anything that is no manifest: lines missing or
 * left over, sizes that do not add up, paths out of order or twice, chunks too many or too few.
 */
export function* decode(bytes: Uint8Array): Work<Result.Result<Decoded, BadManifest>> {
  const bad = (detail: string) => Result.fail(new BadManifest({ detail }))
  if (bytes.length > Limits.manifestBytesMax) return bad("too long")
  const lines = new Lines(bytes)
  const header = lines.next(decodeHeader)
  if (Result.isFailure(header)) return Result.fail(header.failure)
  const { chunkSizeBytes, chunks, directories: directoriesCount, files: filesCount, kind, sizeBytes } = header.success
  // A line of a file has at least six bytes: nothing is allocated for files that cannot be there.
  if (filesCount * 6 + chunks * hashBytes > bytes.length) return bad("shorter than its header says")

  const hashes = new Uint8Array(chunks * hashBytes)
  for (let at = 0; at < hashes.length; at += Limits.manifestHashesPerLine * hashBytes) {
    const line = lines.next(decodeHashLine)
    if (Result.isFailure(line)) return Result.fail(line.failure)
    const run = Base64Url.decode(line.success)
    if (Result.isFailure(run)) return bad("a line of hashes is not base64url")
    if (run.success.length !== Math.min(Limits.manifestHashesPerLine * hashBytes, hashes.length - at)) {
      return bad("a line of hashes has the wrong length")
    }
    hashes.set(run.success, at)
    yield
  }

  const paths: Array<string> = []
  const sizes: Array<number> = []
  let total = 0
  for (let i = 0; i < filesCount; i++) {
    const line = lines.next(decodeFileLine)
    if (Result.isFailure(line)) return Result.fail(line.failure)
    const [path, size] = line.success
    if (i > 0 && comparePaths(paths[i - 1]!, path) >= 0) return bad("the files are not in order")
    paths.push(path)
    sizes.push(size)
    total += size
    if (i % linesPerStep === linesPerStep - 1) yield
  }
  if (total !== sizeBytes || !Number.isSafeInteger(total)) return bad("the sizes do not add up")
  if (kind === "file" && (filesCount !== 1 || paths[0] !== "" || directoriesCount > 0)) {
    return bad("a file is exactly one file without a path")
  }

  const directories: Array<string> = []
  for (let i = 0; i < directoriesCount; i++) {
    const line = lines.next(decodeDirectoryLine)
    if (Result.isFailure(line)) return Result.fail(line.failure)
    if (i > 0 && comparePaths(directories[i - 1]!, line.success) >= 0) return bad("the folders are not in order")
    directories.push(line.success)
    if (i % linesPerStep === linesPerStep - 1) yield
  }
  if (!lines.done) return bad("longer than its header says")

  const manifest: Manifest = { kind, sizeBytes, chunkSizeBytes, paths, sizes, directories, hashes }
  const laid = yield* layout(manifest)
  if (Result.isFailure(laid)) return Result.fail(laid.failure)
  if (laid.success.chunksCount !== chunks) return bad("the number of chunks is not that of its files")
  return Result.succeed({ manifest, layout: laid.success })
}

/** {@link decode} at one go, for manifests known to be small. */
export const decodeNow = (bytes: Uint8Array): Result.Result<Decoded, BadManifest> => finish(decode(bytes))

/** What differs between a share and the manifest it names, in words; `undefined` if they fit. */
export const mismatch = (share: Share, { layout, manifest }: Decoded): string | undefined =>
  manifest.kind !== share.kind ||
    manifest.sizeBytes !== share.sizeBytes ||
    manifest.paths.length !== share.filesCount ||
    manifest.chunkSizeBytes !== share.chunkSizeBytes ||
    layout.chunksCount !== share.chunksCount
    ? "the share and its manifest do not say the same"
    : undefined
