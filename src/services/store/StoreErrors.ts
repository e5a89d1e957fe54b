/** Why a chunk or a share cannot be had or kept, and what of the disk's errors says so. */
import { Schema } from "effect"
import { Root } from "../../protocol/Ids.ts"
import { DiskError } from "../Disk.ts"
import type { Holding } from "./Holding.ts"

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

export const storeError = (holding: Holding) => (error: DiskError) =>
  new StoreError({ root: holding.share.root, reason: storeReason(error), detail: `${error.path}: ${error.detail}` })

export const badManifest = (holding: Holding, detail: string) =>
  new StoreError({ root: holding.share.root, reason: "bad-manifest", detail })

export const incomplete = (holding: Holding, detail: string) =>
  new StoreError({ root: holding.share.root, reason: "disk-failing", detail })

export const folderGone = (path: string) =>
  new DiskError({ reason: "not-found", path, detail: "it was deleted, moved or replaced while labfx was using it" })
