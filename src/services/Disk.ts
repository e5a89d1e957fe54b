/**
 * The file system as labfx uses it: positioned reads and writes, publishing without overwriting, and nothing else.
 *
 * Effect's `FileSystem` has no positioned write and its `rename` replaces silently, so labfx has its own small contract.
 * The production layer is `node:fs`; the memory layer is what simulations run on and where faults are injected.
 */
import { Context, type Effect, Schema, type Scope } from "effect"

/** What went wrong, told apart by what the caller can do about it. */
export const DiskReason = Schema.Literals([
  "not-found",
  "exists",
  "full",
  "read-only",
  "permission",
  "not-a-directory",
  "is-a-directory",
  "too-many-open-files",
  "busy",
  "io"
])
export type DiskReason = typeof DiskReason.Type

export class DiskError extends Schema.TaggedError<DiskError>()("DiskError", {
  reason: DiskReason,
  path: Schema.String,
  /** The system's own word, e.g. `ENOSPC: no space left on device, write`. */
  detail: Schema.String
}) {}

export interface Stat {
  readonly kind: "file" | "directory" | "symlink" | "other"
  readonly sizeBytes: number
  readonly modifiedNs: bigint
  /** Device and inode in one text; equal for two names of one file. */
  readonly identity: string
}

/** An open file. Closed with the scope it was opened in. */
export interface DiskFile {
  readonly path: string
  /** Fills `buffer` from `position` on; fewer bytes only at the end of the file. Resolves to the bytes read. */
  readonly read: (buffer: Uint8Array, position: number) => Effect.Effect<number, DiskError>
  /** Writes all of `bytes` at `position`. */
  readonly write: (bytes: Uint8Array, position: number) => Effect.Effect<void, DiskError>
  readonly truncate: (sizeBytes: number) => Effect.Effect<void, DiskError>
  /** Everything written so far survives a power cut once this completes. */
  readonly sync: Effect.Effect<void, DiskError>
  readonly stat: Effect.Effect<Stat, DiskError>
}

export class Disk extends Context.Service<Disk, {
  /**
   * Opens a file. `read`: must exist. `write`: read and write, created if missing. `create`: read and write, fails with
   * `exists` if there is anything of that name. Symbolic links in the last component are never followed.
   * `mode` counts when the file is created; 0o600 unless given.
   */
  readonly open: (
    path: string,
    how: "read" | "write" | "create",
    mode?: number
  ) => Effect.Effect<DiskFile, DiskError, Scope.Scope>
  /** The whole of a small file, at most `bytesMax`; more fails with `io`. */
  readonly readFile: (path: string, bytesMax: number) => Effect.Effect<Uint8Array, DiskError>
  /** Replaces a small file atomically: a temporary neighbour, synced, then renamed over it. Mode 0o600. */
  readonly replaceFile: (path: string, bytes: Uint8Array) => Effect.Effect<void, DiskError>
  /** Appends to a file, created with mode 0o600 if missing. */
  readonly appendFile: (path: string, bytes: Uint8Array) => Effect.Effect<void, DiskError>
  /** Does not follow a symbolic link in the last component. */
  readonly stat: (path: string) => Effect.Effect<Stat, DiskError>
  /** The names in a directory, sorted. */
  readonly list: (path: string) => Effect.Effect<ReadonlyArray<string>, DiskError>
  /** Creates a directory and its missing parents. No error if it exists as a directory. */
  readonly makeDirectory: (path: string, mode?: number) => Effect.Effect<void, DiskError>
  /**
   * Gives a file or directory the name `to` without ever replacing anything: fails with `exists` if the name is taken.
   * Files are linked and then unlinked (or, where the file system has no links, renamed over an exclusively created
   * placeholder); directories are renamed.
   */
  readonly publish: (from: string, to: string) => Effect.Effect<void, DiskError>
  /** Removes a file or a whole directory tree. No error if there is none. Never follows symbolic links. */
  readonly remove: (path: string) => Effect.Effect<void, DiskError>
  /** A directory's own entries survive a power cut once this completes. A no-op where the system has no such call. */
  readonly syncDirectory: (path: string) => Effect.Effect<void, DiskError>
  readonly freeBytes: (path: string) => Effect.Effect<number, DiskError>
  /** The path with all symbolic links resolved. */
  readonly realPath: (path: string) => Effect.Effect<string, DiskError>
}>()("labfx/services/Disk") {}
