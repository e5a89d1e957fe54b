/** The manifest and the layout: invariants M1 to M3 over generated trees and spoilt bytes. */
import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { createHash } from "node:crypto"
import type { Share } from "../../src/protocol/Entry.ts"
import { Root } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import * as Manifest from "../../src/protocol/Manifest.ts"
import { finish } from "../../src/protocol/Work.ts"

interface File {
  readonly path: string
  readonly size: number
  /** Stands for the bytes: files of one path with the same content are the same. */
  readonly content: string
}

const sorted = (files: ReadonlyArray<File>) => files.toSorted((a, b) => Manifest.comparePaths(a.path, b.path))

const layoutOf = (files: ReadonlyArray<File>, chunkSizeBytes: number, kind: "file" | "folder" = "folder") =>
  Result.getOrThrow(finish(Manifest.layout({
    kind,
    chunkSizeBytes,
    paths: files.map((file) => file.path),
    sizes: files.map((file) => file.size)
  })))

/** What stands for the hash of each chunk: equal only for equal bytes. */
const hashesOf = (files: ReadonlyArray<File>, layout: Manifest.Layout) =>
  Array.from({ length: layout.chunksCount }, (_, chunk) =>
    Manifest.extents(layout, chunk)
      .map(({ file, length, offset }) => `${files[file]!.content}:${offset}:${length}`).join("|"))

const manifestOf = (
  files: ReadonlyArray<File>,
  chunkSizeBytes: number,
  directories: ReadonlyArray<string> = [],
  kind: "file" | "folder" = "folder"
): Manifest.Manifest => {
  const hashes = hashesOf(files, layoutOf(files, chunkSizeBytes, kind)).map((content) =>
    createHash("sha256").update(content).digest()
  )
  return {
    kind,
    chunkSizeBytes,
    sizeBytes: files.reduce((sum, file) => sum + file.size, 0),
    paths: files.map((file) => file.path),
    sizes: files.map((file) => file.size),
    directories,
    hashes: new Uint8Array(Buffer.concat(hashes))
  }
}

const Draw = Schema.Natural.check(Schema.isLessThanOrEqualTo(0xffff))
const Draws = Schema.Array(Schema.Tuple([Draw, Draw])).check(Schema.isMaxLength(80))
const ChunkSize = Schema.Literals([1_024, 4_096, 65_536])

/** A tree in manifest order: sizes from nothing to a few chunks, names that sort in every way. */
const tree = (draws: ReadonlyArray<readonly [number, number]>, chunkSizeBytes: number): ReadonlyArray<File> => {
  const files = new Map<string, File>()
  for (const [a, b] of draws) {
    const folder = ["", "a/", "a-b/", "a/b/", "\u00e9/"][a % 5]!
    const path = `${folder}f${a % 100}`
    const size = b % 7 === 0 ? 0 : b % 7 === 1 ? b % (3 * chunkSizeBytes) : b % Math.ceil(chunkSizeBytes / 4)
    files.set(path, { path, size, content: `${path}@${b}` })
  }
  return sorted([...files.values()])
}

/** A generator for the large trees that no property engine should have to make (mulberry32). */
const seeded = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
}

const largeTree = (seed: number, count: number, meanBytes: number): ReadonlyArray<File> => {
  const random = seeded(seed)
  return sorted(Array.from({ length: count }, (_, i) => {
    const path = `d${Math.floor(random() * 40)}/file-${i}.txt`
    // Exponential sizes: mostly small, some a chunk and more.
    return { path, size: Math.floor(-Math.log(1 - random()) * meanBytes), content: `${path}@1` }
  }))
}

describe("Manifest", () => {
  it.prop(
    "M1: decodes to what was encoded",
    { draws: Draws, chunkSizeBytes: ChunkSize },
    ({ chunkSizeBytes, draws }) => {
      const manifest = manifestOf(tree(draws, chunkSizeBytes), chunkSizeBytes, ["empty", "empty/not", "z"])
      const bytes = Result.getOrThrow(finish(Manifest.encode(manifest)))
      const decoded = Result.getOrThrow(Manifest.decodeNow(bytes))
      assert.deepStrictEqual(decoded.manifest, manifest)
      assert.deepStrictEqual(Result.getOrThrow(finish(Manifest.encode(decoded.manifest))), bytes)
    }
  )

  it.prop(
    "M1: spoilt bytes are a typed failure or another manifest, never a defect",
    {
      draws: Draws,
      spoil: Schema.Array(Schema.Tuple([Draw, Draw])).check(Schema.isMinLength(1), Schema.isMaxLength(4))
    },
    ({ draws, spoil }) => {
      const bytes = Result.getOrThrow(finish(Manifest.encode(manifestOf(tree(draws, 1_024), 1_024))))
      for (const [where, what] of spoil) {
        if (what % 3 === 0) bytes[where % bytes.length] = what & 0xff
        else bytes.copyWithin(where % bytes.length, what % bytes.length)
      }
      const decoded = Manifest.decodeNow(
        bytes.subarray(0, spoil[0]![0] % 2 === 0 ? undefined : spoil[0]![1] % bytes.length)
      )
      if (Result.isFailure(decoded)) assert.instanceOf(decoded.failure, Manifest.BadManifest)
    },
    { arbitrary: { runs: 500 } }
  )

  const files = [{ path: "a", size: 10, content: "" }, { path: "b", size: 5_000, content: "" }]
  const valid = new TextDecoder().decode(Result.getOrThrow(finish(Manifest.encode(manifestOf(files, 1_024, ["c"])))))
  const spoilt: Record<string, string> = {
    "nothing": "",
    "no lines": "x",
    "a line that is no JSON": valid.replace("{", "["),
    "another version": valid.replace("\"labfx\":1", "\"labfx\":2"),
    "a size that does not add up": valid.replace("5010", "5011"),
    "a size beyond counting": valid.replace("5010", "1e400"),
    "a size below zero": valid.replace("[\"a\",10]", "[\"a\",-10]"),
    "a broken size": valid.replace("[\"a\",10]", "[\"a\",10.5]"),
    "a size that makes terabytes": valid.replace("[\"b\",5000]", "[\"b\",9007199254740990]").replace(
      "5010",
      "9007199254741000"
    ),
    "files out of order": valid.replace("[\"a\",10]", "[\"z\",10]"),
    "a file twice": valid.replace("[\"a\",10]", "[\"b\",10]"),
    "fewer files": valid.replace("\"files\":2", "\"files\":1"),
    "more files": valid.replace("\"files\":2", "\"files\":3"),
    "very many files": valid.replace("\"files\":2", "\"files\":200000"),
    "more chunks": valid.replace("\"chunks\":6", "\"chunks\":7"),
    "another chunk size": valid.replace("\"chunkSizeBytes\":1024", "\"chunkSizeBytes\":4096"),
    "a chunk size of nothing": valid.replace("\"chunkSizeBytes\":1024", "\"chunkSizeBytes\":0"),
    "a folder as a file": valid.replace("\"kind\":\"folder\"", "\"kind\":\"file\""),
    "hashes that are no base64": valid.replace(/\n"../, "\n\"**"),
    "something at the end": `${valid}"d"\n`,
    "an end that is missing": valid.slice(0, -1),
    "a deep nest of arrays": `${"[".repeat(100_000)}\n`
  }
  for (const [what, text] of Object.entries(spoilt)) {
    it(`M1: refuses ${what}`, () => {
      assert.notStrictEqual(text, valid)
      const decoded = Manifest.decodeNow(new TextEncoder().encode(text))
      assert.isTrue(Result.isFailure(decoded) && decoded.failure instanceof Manifest.BadManifest)
    })
  }

  it("M1: reads a line of manifestLineBytesMax, and not of a byte more", () => {
    const around = "[\"\",10]\n".length
    for (const [beyond, detail] of [[0, undefined], [1, "a line has no end or is too long"]] as const) {
      const path = "a".repeat(Limits.manifestLineBytesMax - around + beyond)
      const decoded = Manifest.decodeNow(new TextEncoder().encode(valid.replace("[\"a\",10]", `["${path}",10]`)))
      assert.strictEqual(Result.isFailure(decoded) ? decoded.failure.detail : undefined, detail)
    }
  })

  it("M1: refuses more empty folders than foldersPerShareMax before it looks for them", () => {
    const detailOf = (directories: number) => {
      const text = valid.replace("\"directories\":1", `"directories":${directories}`)
      assert.notStrictEqual(text, valid)
      const decoded = Manifest.decodeNow(new TextEncoder().encode(text))
      return Result.isFailure(decoded) ? decoded.failure.detail : undefined
    }
    assert.notStrictEqual(detailOf(Limits.foldersPerShareMax), detailOf(Limits.foldersPerShareMax + 1))
    assert.strictEqual(detailOf(Limits.foldersPerShareMax + 1), "a line is not what stands there in a manifest")
  })

  it("orders paths as a walk through sorted folders does", () => {
    const paths = ["a", "a/b", "a/b/c", "a/c", "a b", "a-b", "a-b/c", "a.b", "aa", "b"]
    for (const reversed of [paths.toReversed(), paths.toSorted()]) {
      assert.deepStrictEqual(reversed.toSorted(Manifest.comparePaths), paths)
    }
  })

  it("keeps 200,000 files with long paths within its limits", () => {
    const count = Limits.filesPerShareMax
    const large = Array.from({ length: count }, (_, i) => ({
      path: `${"p".repeat(150)}/${String(i).padStart(6, "0")}`,
      size: i % 10_000,
      content: `${i}`
    }))
    const chunkSizeBytes = Manifest.chunkSizeFor(large.reduce((sum, file) => sum + file.size, 0))
    const layout = layoutOf(large, chunkSizeBytes)
    assert.isAtMost(layout.chunksCount, 4 * Limits.chunksPerShareTarget)
    const bytes = Result.getOrThrow(finish(Manifest.encode({
      ...manifestOf([], chunkSizeBytes),
      sizeBytes: large.reduce((sum, file) => sum + file.size, 0),
      paths: large.map((file) => file.path),
      sizes: large.map((file) => file.size),
      hashes: new Uint8Array(layout.chunksCount * Manifest.hashBytes)
    })))
    assert.isTrue(Result.isSuccess(Manifest.decodeNow(bytes)))
    assert.isAtMost(Math.ceil(bytes.length / Manifest.manifestChunkSizeFor(bytes.length)), Limits.manifestChunksMax)
  })
})

describe("Layout", () => {
  it.prop(
    "M2: every byte of every file is in exactly one chunk, and no chunk is empty or too long",
    { draws: Draws, chunkSizeBytes: ChunkSize },
    ({ chunkSizeBytes, draws }) => {
      const files = tree(draws, chunkSizeBytes)
      const layout = layoutOf(files, chunkSizeBytes)
      const covered = files.map(() => 0)
      for (let chunk = 0; chunk < layout.chunksCount; chunk++) {
        const extents = Manifest.extents(layout, chunk)
        const bytes = extents.reduce((sum, extent) => sum + extent.length, 0)
        assert.strictEqual(Manifest.chunkBytes(layout, chunk), bytes)
        assert.isAtLeast(bytes, 1)
        assert.isAtMost(bytes, chunkSizeBytes)
        for (const { file, length, offset } of extents) {
          // Chunks of a file come in order, so its bytes are covered from the start without gaps.
          assert.strictEqual(offset, covered[file])
          covered[file]! += length
          const [from, to] = Manifest.chunksOfFile(layout, file)
          assert.isTrue(from <= chunk && chunk < to)
        }
      }
      assert.deepStrictEqual(covered, files.map((file) => file.size))
    },
    { arbitrary: { runs: 200 } }
  )

  it.prop(
    "M3: one changed, added or removed file of a large tree changes few chunks",
    {
      seed: Draw,
      at: Draw,
      size: Draw,
      meanBytes: Schema.Literals([300, 4_000, 20_000]),
      edit: Schema.Literals(["change", "resize", "add", "remove"])
    },
    ({ at, edit, meanBytes, seed, size }) => {
      const before = largeTree(seed, 2_000, meanBytes)
      const index = at % before.length
      const old = before[index]!
      const edited = edit === "change"
        ? [{ ...old, content: `${old.path}@2` }]
        : edit === "resize"
        ? [{ ...old, size: size % (3 * meanBytes), content: `${old.path}@2` }]
        : edit === "add"
        ? [old, { path: `${old.path}.new`, size: size % (3 * meanBytes), content: "new" }]
        : []
      const after = sorted([...before.slice(0, index), ...edited, ...before.slice(index + 1)])
      const known = new Set(hashesOf(before, layoutOf(before, 65_536)))
      const fresh = hashesOf(after, layoutOf(after, 65_536)).filter((hash) => !known.has(hash))
      // Packs of the two versions meet again at a file after which both close: one chunk in the median, 11 in the worst
      // of 400 trees, where packing without regard to names changes about half of 180.
      assert.isAtMost(fresh.length, 40)
    },
    { arbitrary: { runs: 300 } }
  )

  it("packs small files without leaving half of the room empty", () => {
    for (const meanBytes of [100, 1_000, 4_000]) {
      const files = largeTree(meanBytes, 5_000, meanBytes)
      const layout = layoutOf(files, 65_536)
      const bytes = files.reduce((sum, file) => sum + file.size, 0)
      assert.isAtMost(layout.chunksCount, Math.ceil((bytes / 65_536) * 1.6))
    }
  })

  it("gives a single file chunks of its own, however small it is, and an empty one none", () => {
    const one = layoutOf([{ path: "", size: 5, content: "" }], 65_536, "file")
    assert.deepStrictEqual([one.chunksCount, one.ownChunksCount], [1, 1])
    assert.strictEqual(layoutOf([{ path: "", size: 0, content: "" }], 65_536, "file").chunksCount, 0)
  })

  it("chooses a chunk size between the limits, near 512 chunks", () => {
    const MiB = 2 ** 20
    assert.deepStrictEqual(
      [0, 1, 32 * MiB, 32 * MiB + 1, 2_048 * MiB, 2 ** 40].map((size) => Manifest.chunkSizeFor(size) / 1024),
      [64, 64, 64, 128, 4_096, 4_096]
    )
    assert.strictEqual(Manifest.chunkSizeFor(1, 1_024), 1_024)
  })

  it("has one hash of a path on every machine", () => {
    assert.deepStrictEqual(["", "a", "src/main.ts", "\u00e9\u{1f600}"].map(Manifest.pathHash), [
      2872998923,
      2448022055,
      1054939859,
      1843520620
    ])
  })
})

const share = (fields: Partial<Share>): Share => ({
  _tag: "Share",
  root: Root.make("A".repeat(43)),
  kind: "folder",
  title: "t",
  sizeBytes: 3_000,
  filesCount: 3,
  chunkSizeBytes: 1_024,
  chunksCount: 3,
  manifest: {
    sizeBytes: 1_500,
    chunkSizeBytes: 1_024,
    hashes: [Root.make("B".repeat(43)), Root.make("C".repeat(43))]
  },
  ...fields
})

describe("Share", () => {
  it("counts the manifest's chunks first", () => {
    const one = share({})
    assert.deepStrictEqual([Manifest.manifestChunksCount(one), Manifest.chunksCount(one)], [2, 5])
    assert.deepStrictEqual([0, 1, 2].map((index) => Manifest.isManifestChunk(one, index)), [true, true, false])
    assert.deepStrictEqual([0, 1].map((index) => Manifest.manifestChunkBytes(one, index)), [1_024, 476])
  })

  it("is refused when its own numbers cannot be true together", () => {
    assert.isUndefined(Manifest.shareProblem(share({})))
    assert.isString(Manifest.shareProblem(share({ chunksCount: 2 })))
    assert.isString(Manifest.shareProblem(share({ chunksCount: 3_001 })))
    assert.isString(Manifest.shareProblem(share({ kind: "file" })))
    const manifest = { ...share({}).manifest, sizeBytes: 2_049 }
    assert.isString(Manifest.shareProblem(share({ manifest })))
  })
})
