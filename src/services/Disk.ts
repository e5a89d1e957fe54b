/**
 * The file system as labfx uses it: positioned reads and writes, publishing without overwriting, and nothing else.
 *
 * Effect's `FileSystem` has no positioned write and its `rename` replaces silently, so labfx has its own small contract.
 * The production layer is `node/DiskNode.ts`; the memory layer in the tests is what simulations run on and where faults
 * are injected. Paths are joined with `/`, which every system takes.
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

/** One name in a directory. */
export interface DirectoryEntry {
  readonly name: string
  /** False for a name that is not valid text: nothing can be opened by `name` then, it is only for people. */
  readonly isText: boolean
  /** What it is, or why nobody can tell. Symbolic links are not followed. */
  readonly stat: Stat | DiskError
}

/**
 * What holds a name for a file about to take it, on file systems without links: text, so that whoever finds it after a
 * crash knows what it is, and so that it is never taken for somebody's own empty file.
 */
export const placeholder = new TextEncoder().encode(
  "This name is kept for a file that labfx has received whole. Start labfx again to get it.\n"
)

/** An open file. Closed with the scope it was opened in. */
export interface DiskFile {
  readonly path: string
  /**
   * Fills `buffer` from `position` on; fewer bytes only at the end of the file. Resolves to the bytes read. Neither read
   * nor write can be interrupted: when they are over, the system does not touch the buffer any more.
   */
  readonly read: (buffer: Uint8Array, position: number) => Effect.Effect<number, DiskError>
  /** Writes all of `bytes` at `position`. */
  readonly write: (bytes: Uint8Array, position: number) => Effect.Effect<void, DiskError>
  readonly truncate: (sizeBytes: number) => Effect.Effect<void, DiskError>
  /** Everything written so far survives a power cut once this completes. */
  readonly sync: Effect.Effect<void, DiskError>
  readonly stat: Effect.Effect<Stat, DiskError>
  /**
   * The same by plain calls, for so many bytes, where that takes a moment and no other thing to wait for; `undefined` where
   * it would hold up the program. Asked before each use.
   */
  readonly now: (bytes: number) => DiskFileNow | undefined
}

/** What can be done to an open file at once. Where one fails, {@link DiskFile} knows why. */
export interface DiskFileNow {
  /** Whether it has filled all of `buffer` from `position` on. */
  readonly read: (buffer: Uint8Array, position: number) => boolean
  /** Whether it has written all of `bytes` at `position`. */
  readonly write: (bytes: Uint8Array, position: number) => boolean
  readonly stat: () => Stat | undefined
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
  /**
   * Every name in a directory with what it is, sorted. For walking large trees: thousands cost what ten calls of
   * {@link stat} cost.
   */
  readonly entries: (path: string) => Effect.Effect<ReadonlyArray<DirectoryEntry>, DiskError>
  /**
   * Reads many small files: fills each `into` from the start of its file. Gives for each what the file was after the
   * reading, or why it could not be read; a file that ends before `into` is full fails with `io`. Like {@link writeFiles}
   * made for thousands of files, where one call a file would cost more than the data; it never holds up the program for
   * long.
   */
  readonly readFiles: (
    files: ReadonlyArray<{ readonly path: string; readonly into: Uint8Array }>
  ) => Effect.Effect<ReadonlyArray<Stat | DiskError>>
  /** Writes many small files whole, replacing what is in them. Stops at the first that fails. */
  readonly writeFiles: (
    files: ReadonlyArray<{ readonly path: string; readonly bytes: Uint8Array }>,
    mode?: number
  ) => Effect.Effect<void, DiskError>
  /** Creates a directory and its missing parents. No error if it exists as a directory. */
  readonly makeDirectory: (path: string, mode?: number) => Effect.Effect<void, DiskError>
  /**
   * Gives a file or directory the name `to` without ever replacing anything: fails with `exists` if the name is taken.
   * Files are linked and then unlinked (or, where the file system has no links, renamed over an exclusively created
   * {@link placeholder}, which a killed process leaves there); directories are renamed.
   */
  readonly publish: (from: string, to: string) => Effect.Effect<void, DiskError>
  /** Removes a file or a whole directory tree. No error if there is none. Never follows symbolic links. */
  readonly remove: (path: string) => Effect.Effect<void, DiskError>
  /** A directory's own entries survive a power cut once this completes. A no-op where the system has no such call. */
  readonly syncDirectory: (path: string) => Effect.Effect<void, DiskError>
  /** Bytes that this user may still write to the file system of `path`. */
  readonly freeBytes: (path: string) => Effect.Effect<number, DiskError>
  /** The path with all symbolic links resolved. */
  readonly realPath: (path: string) => Effect.Effect<string, DiskError>
  /**
   * Holds `path` for this process until the scope closes; fails with `busy` while another live process holds it. What a
   * process left behind when it was killed, or what came with a cloned disk, holds nothing.
   */
  readonly lock: (path: string) => Effect.Effect<void, DiskError, Scope.Scope>
}>()("labfx/services/Disk") {}
