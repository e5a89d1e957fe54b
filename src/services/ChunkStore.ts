/**
 * Shares on disk: chunks in, chunks out, and nothing shown complete that is not what the teacher signed.
 *
 * A download lives in a hidden folder of the download folder until every chunk has been verified; then it appears under
 * its own name in one step. A source is read where it lies. Chunk indexes count the manifest's chunks first.
 */
import { Context, type Effect, Schema } from "effect"
import type { Share } from "../protocol/Entry.ts"
import { Root } from "../protocol/Ids.ts"

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

/** A chunk's bytes are not the ones signed: its one source is to blame. Nothing was written. */
export class ChunkCorrupt extends Schema.TaggedError<ChunkCorrupt>()("ChunkCorrupt", {
  root: Root,
  index: Schema.Natural
}) {}

/** The chunk cannot be served: its source changed, vanished or cannot be read. The store has forgotten that it has it. */
export class ChunkLost extends Schema.TaggedError<ChunkLost>()("ChunkLost", {
  root: Root,
  index: Schema.Natural,
  reason: Schema.Literals(["source-changed", "io", "not-here"]),
  detail: Schema.String
}) {}

/** This share cannot be stored now. It is paused and nothing of it is lost. */
export class StoreError extends Schema.TaggedError<StoreError>()("StoreError", {
  root: Root,
  reason: Schema.Literals(["disk-full", "disk-read-only", "disk-failing", "bad-manifest"]),
  detail: Schema.String
}) {}

/** What a source looks like once it is hashed: everything a `Share` entry needs. */
export interface Imported {
  readonly share: Share
  /** Files left out, with the reason in words: special files, unreadable ones, links that lead out of the share. */
  readonly skipped: ReadonlyArray<{ readonly path: string; readonly reason: string }>
}

export interface ImportProgress {
  readonly hashedBytes: number
  readonly totalBytes: number
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
}

export interface Published {
  /** Where it appeared: the file or the folder. */
  readonly path: string
  /** Files whose names this system cannot hold, with the reason in words; the rest is complete. */
  readonly skipped: ReadonlyArray<{ readonly path: string; readonly reason: string }>
}

export class ChunkStore extends Context.Service<ChunkStore, {
  /** Hashes a file or folder where it lies and serves it from there. The same content gives the same root. */
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
  /** The chunk's bytes, read into `buffer` (at least the chunk's size). Re-verified when its file may have changed. */
  readonly read: (root: Root, index: number, buffer: Uint8Array) => Effect.Effect<Uint8Array, ChunkLost>
  /** The size of a chunk in bytes; 0 for a content chunk whose manifest is not known. */
  readonly chunkBytes: (root: Root, index: number) => number
  readonly opened: (root: Root) => Opened | undefined
  /**
   * Publishes a share whose every chunk is here: synced, checked, then made to appear without replacing anything. If the
   * same content is already there under its name it is adopted. Idempotent.
   */
  readonly publish: (root: Root) => Effect.Effect<Published, StoreError>
  /** Forgets a share; an unfinished download's hidden files are removed, anything published stays. */
  readonly forget: (root: Root) => Effect.Effect<void>
}>()("labfx/services/ChunkStore") {}
