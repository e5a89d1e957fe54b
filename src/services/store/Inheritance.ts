/**
 * Chunks that other shares on this device already have: most of them, where a share is a new version of an earlier one.
 * They are verified and copied, and need not come from anybody.
 */
import { Effect, Schema } from "effect"
import * as Bitfield from "../../protocol/Bitfield.ts"
import { Root } from "../../protocol/Ids.ts"
import * as Limits from "../../protocol/Limits.ts"
import * as Manifest from "../../protocol/Manifest.ts"
import type { Disk, DiskError } from "../Disk.ts"
import type { ChunkFiles } from "./ChunkFiles.ts"
import { Holding } from "./Holding.ts"
import type { Records } from "./Records.ts"
import type { Restoring } from "./Restoring.ts"

/** Chunks compared between two rests: about a millisecond. */
const keysPerStep = 4_096

/** Eight bytes of a hash as a key: enough to find a chunk, which is verified before it is taken. */
const keysOf = (holding: Holding) => {
  const { hashes } = holding.content!.manifest
  const view = new DataView(hashes.buffer, hashes.byteOffset, hashes.length)
  return (chunk: number) => view.getBigUint64(chunk * Manifest.hashBytes)
}

/** `keep` stores bytes that are verified. */
export const make = ({ disk, files, holdings, home, keep, records, restoring }: {
  readonly disk: Disk["Service"]
  readonly home: string
  readonly files: ChunkFiles
  readonly records: Records
  readonly restoring: Restoring
  readonly holdings: ReadonlyMap<Root, Holding>
  readonly keep: (holding: Holding, index: number, bytes: Uint8Array) => Effect.Effect<void, DiskError>
}) => {
  /** Copies into a download what it lacks and another share has, the open ones first. */
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
          yield* Effect.ignore(holding.gate.shared(keep(holding, wanted, bytes)))
        }
      }
    }
  })

  /** Shares that were published in earlier runs of the program and are not open now, the newest first. */
  const earlierShares = Effect.gen(function*() {
    const dated: Array<{ readonly root: string; readonly modifiedNs: bigint }> = []
    for (const root of yield* disk.list(home).pipe(Effect.orElseSucceed(() => []))) {
      if (!Schema.is(Root)(root) || holdings.has(root)) continue
      const stat = yield* Effect.option(disk.stat(`${home}/${root}/record`))
      if (stat._tag === "Some") dated.push({ root, modifiedNs: stat.value.modifiedNs })
    }
    const newest = dated.toSorted((a, b) => (a.modifiedNs < b.modifiedNs ? 1 : a.modifiedNs > b.modifiedNs ? -1 : 0))
    const found: Array<Holding> = []
    for (const { root } of newest.slice(0, Limits.earlierSharesSearchedMax)) {
      const record = yield* records.read(root)
      if (record?.place._tag !== "Published" || record.share.root !== root) continue
      const holding = new Holding(record.share, `${home}/${root}`)
      if ((yield* Effect.isSuccess(restoring.load(holding, record))) && holding.place._tag === "Published") {
        found.push(holding)
      }
    }
    return found
  })

  return { takeFromOthers }
}
