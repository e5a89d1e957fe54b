/**
 * {@link Disk} over `node:fs`.
 *
 * Plain callbacks on file descriptors: they cost 10 to 30 µs less a call than `FileHandle` promises. An asynchronous call
 * costs 75 to 120 µs whatever it does, and on a busy processor its caller waits for a turn as well; a synchronous one costs
 * 2 to 20. So what takes long by its nature is asynchronous: large reads and writes, syncing, truncating, removing trees.
 * The rest is synchronous while the disk is quick: names, small chunks, and thousands of small files (`entries`,
 * `readFiles`, `writeFiles`, the latter in slices of a few milliseconds). While it is slow they are asynchronous too, and
 * the files several at once.
 *
 * On Windows: there is no `O_NOFOLLOW`, so a link is looked for before a file is opened, which leaves a moment between
 * the two; folders cannot be synced; and a virus scanner that holds a fresh file open for a moment makes renaming and
 * removing fail with EPERM, EACCES or EBUSY, so these are tried again for a second.
 */
import { Clock, Duration, Effect, Layer, Schedule } from "effect"
import * as NodeFs from "node:fs"
import * as NodeOs from "node:os"
import * as NodePath from "node:path"
import {
  type DirectoryEntry,
  Disk,
  DiskError,
  type DiskFile,
  type DiskFileNow,
  type DiskReason,
  placeholder,
  type Stat
} from "../Disk.ts"
import { Patience } from "./Patience.ts"
import { inSlices } from "./Slices.ts"

const isWindows = process.platform === "win32"

// ---- Errors --------------------------------------------------------------------------------------------------------

/** What a system's error code means to a caller. Pure; unknown codes are `io`. */
export const reasonOf = (code: string | undefined): DiskReason => {
  switch (code) {
    case "ENOENT":
      return "not-found"
    case "EEXIST":
    case "ENOTEMPTY":
      return "exists"
    case "ENOSPC":
    case "EDQUOT":
      return "full"
    case "EROFS":
      return "read-only"
    case "EACCES":
    case "EPERM":
      return "permission"
    case "ENOTDIR":
      return "not-a-directory"
    case "EISDIR":
      return "is-a-directory"
    case "EMFILE":
    case "ENFILE":
      return "too-many-open-files"
    case "EBUSY":
    case "ETXTBSY":
      return "busy"
    default:
      return "io"
  }
}

const codeOf = (cause: unknown): string | undefined =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : undefined

const toDiskError = (path: string, cause: unknown): DiskError =>
  new DiskError({
    reason: reasonOf(codeOf(cause)),
    path,
    detail: cause instanceof Error ? cause.message : String(cause)
  })

type Callback<A> = (error: NodeJS.ErrnoException | null, value: A) => void

/** One asynchronous call. It runs to its end: an interrupted caller may use its buffers again only then. */
const call = <A>(path: string, register: (done: Callback<A>) => void): Effect.Effect<A, DiskError> =>
  Effect.uninterruptible(
    Effect.callback<A, DiskError>((resume) =>
      register((error, value) => resume(error ? Effect.fail(toDiskError(path, error)) : Effect.succeed(value)))
    )
  )

const attempt = <A>(path: string, body: () => A): A | DiskError => {
  try {
    return body()
  } catch (cause) {
    return cause instanceof DiskError ? cause : toDiskError(path, cause)
  }
}

// ---- At once, while the disk is quick ------------------------------------------------------------------------------

/** A run of bytes of a chunk that is read or written at once: to the system's cache and back, that takes less than a millisecond. */
const promptBytesMax = 256 * 1024
const runsPatience = new Patience(5, 3)
/** Names wait for other things than bytes do: a network folder asks its server for each, and caches what is written. */
const namesPatience = new Patience(5, 3)

const mayBePrompt = (bytes: number): boolean => bytes <= promptBytesMax && !runsPatience.isNeeded()

/** The result of a synchronous call. It says how quick the disk is. */
const timed = <A>(path: string, patience: Patience, body: () => A): A | DiskError => {
  const before = performance.now()
  const result = attempt(path, body)
  patience.took(performance.now() - before)
  return result
}

const settle = <A>(result: A | DiskError): Effect.Effect<A, DiskError> =>
  result instanceof DiskError ? Effect.fail(result) : Effect.succeed(result)

/** Does `sync` if it moves few bytes and the disk is not slow, else `patient`, which is the same asynchronously. */
const promptly = <A>(
  path: string,
  bytes: number,
  sync: () => A,
  patient: Effect.Effect<A, DiskError>
): Effect.Effect<A, DiskError> =>
  Effect.suspend(() => mayBePrompt(bytes) ? settle(timed(path, runsPatience, sync)) : patient)

/** The same for a call that is about a name or an open file, not about what is in it. */
const named = <A>(path: string, sync: () => A, patient: Effect.Effect<A, DiskError>): Effect.Effect<A, DiskError> =>
  Effect.suspend(() => namesPatience.isNeeded() ? patient : settle(timed(path, namesPatience, sync)))

// ---- Small pieces --------------------------------------------------------------------------------------------------

const toStat = (stats: NodeFs.BigIntStats): Stat => ({
  kind: stats.isFile() ? "file" : stats.isDirectory() ? "directory" : stats.isSymbolicLink() ? "symlink" : "other",
  sizeBytes: Number(stats.size),
  modifiedNs: stats.mtimeNs,
  identity: `${stats.dev}:${stats.ino}`
})

const constants = NodeFs.constants
/** Zero on Windows, which has no such flag. */
const noFollow = constants.O_NOFOLLOW ?? 0
/** A pipe that somebody put where a file was must not hang the opening. Zero on Windows. */
const noWait = constants.O_NONBLOCK ?? 0

const flags = {
  read: constants.O_RDONLY | noFollow | noWait,
  write: constants.O_RDWR | constants.O_CREAT | noFollow | noWait,
  create: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | noFollow,
  replace: constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | noFollow | noWait,
  append: constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | noFollow | noWait,
  directory: constants.O_RDONLY
}

const linkError = (path: string) =>
  new DiskError({ reason: "io", path, detail: "ELOOP: a symbolic link is not followed" })

/** For what only labfx reads, and for what people read. The system's mask takes away what it does not allow. */
const modeOfOwnFiles = 0o600
const modeOfFiles = 0o666

/** Fails where a symbolic link stands in the place of a file, on the system that cannot refuse it while opening. */
const refuseLink = Effect.fnUntraced(function*(path: string) {
  if (!isWindows) return
  const stats = yield* call<NodeFs.Stats>(path, (done) => NodeFs.lstat(path, done)).pipe(
    Effect.catchIf((error) => error.reason === "not-found", () => Effect.succeed(undefined))
  )
  if (stats?.isSymbolicLink() === true) {
    return yield* linkError(path)
  }
})

type Open = (path: string, how: keyof typeof flags, mode: number) => Effect.Effect<number, DiskError>
type Close = (path: string, descriptor: number) => Effect.Effect<void, DiskError>

const openNow = (path: string, how: keyof typeof flags, mode: number): number => {
  if (isWindows && NodeFs.lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true) throw linkError(path)
  return NodeFs.openSync(path, flags[how], mode)
}
/** Always asynchronously: many at once, and closing a large file, which a network folder writes only then. */
const openPatiently: Open = (path, how, mode) =>
  Effect.andThen(refuseLink(path), call<number>(path, (done) => NodeFs.open(path, flags[how], mode, done)))
const closePatiently: Close = (path, descriptor) =>
  call<void>(path, (done) => NodeFs.close(descriptor, (error) => done(error ?? null)))

const openDescriptor: Open = (path, how, mode) =>
  named(path, () => openNow(path, how, mode), openPatiently(path, how, mode))
const closeDescriptor: Close = (path, descriptor) =>
  named(path, () => NodeFs.closeSync(descriptor), closePatiently(path, descriptor))

/** Errors of closing are not told: what must be known to be written is synced before. */
const using = (open: Open, close: Close) =>
<A>(
  path: string,
  how: keyof typeof flags,
  mode: number,
  body: (descriptor: number) => Effect.Effect<A, DiskError>
): Effect.Effect<A, DiskError> =>
  Effect.acquireUseRelease(open(path, how, mode), body, (descriptor) => Effect.ignore(close(path, descriptor)))
const withDescriptor = using(openDescriptor, closeDescriptor)
const withDescriptorPatiently = using(openPatiently, closePatiently)

/** Asynchronously. */
const readPatiently = (path: string, descriptor: number, buffer: Uint8Array, position: number) =>
  call<number>(path, (done) => {
    const more = (filled: number) =>
      NodeFs.read(descriptor, buffer, filled, buffer.length - filled, position + filled, (error, count) => {
        if (error || count === 0 || filled + count === buffer.length) done(error, filled + count)
        else more(filled + count)
      })
    more(0)
  })

/** Asynchronously. At `position`, or where the file ends if it was opened to append. */
const writePatiently = (path: string, descriptor: number, bytes: Uint8Array, position: number | null) =>
  call<void>(path, (done) => {
    const more = (written: number) =>
      NodeFs.write(
        descriptor,
        bytes,
        written,
        bytes.length - written,
        position === null ? null : position + written,
        (error, count) => {
          if (error || written + count === bytes.length) done(error)
          else more(written + count)
        }
      )
    more(0)
  })

/** Gives how many bytes there were. */
const readAllSync = (descriptor: number, into: Uint8Array, position: number): number => {
  let filled = 0
  while (filled < into.length) {
    const count = NodeFs.readSync(descriptor, into, filled, into.length - filled, position + filled)
    if (count === 0) break
    filled += count
  }
  return filled
}

/** Gives how many bytes that were: all of them. */
const writeAllSync = (descriptor: number, bytes: Uint8Array, position: number | null): number => {
  let written = 0
  while (written < bytes.length) {
    const at = position === null ? null : position + written
    written += NodeFs.writeSync(descriptor, bytes, written, bytes.length - written, at)
  }
  return written
}

const readAll = (path: string, descriptor: number, buffer: Uint8Array, position: number) =>
  promptly(
    path,
    buffer.length,
    () => readAllSync(descriptor, buffer, position),
    readPatiently(path, descriptor, buffer, position)
  )

/** At `position`, or where the file ends if it was opened to append. */
const writeAll = (path: string, descriptor: number, bytes: Uint8Array, position: number | null) =>
  promptly(
    path,
    bytes.length,
    () => void writeAllSync(descriptor, bytes, position),
    writePatiently(path, descriptor, bytes, position)
  )

const syncDescriptor = (path: string, descriptor: number) =>
  call<void>(path, (done) => NodeFs.fsync(descriptor, (error) => done(error ?? null)))

const statNow = (descriptor: number) => toStat(NodeFs.fstatSync(descriptor, { bigint: true }))
const statPatiently = (path: string, descriptor: number) =>
  Effect.map(
    call<NodeFs.BigIntStats>(path, (done) => NodeFs.fstat(descriptor, { bigint: true }, done)),
    toStat
  )
const statDescriptor = (path: string, descriptor: number) =>
  promptly(path, 0, () => statNow(descriptor), statPatiently(path, descriptor))

const stat = (path: string) =>
  named(
    path,
    () => toStat(NodeFs.lstatSync(path, { bigint: true })),
    Effect.map(call<NodeFs.BigIntStats>(path, (done) => NodeFs.lstat(path, { bigint: true }, done)), toStat)
  )

const unlink = (path: string) =>
  named(
    path,
    () => NodeFs.unlinkSync(path),
    call<void>(path, (done) => NodeFs.unlink(path, (error) => done(error ?? null)))
  )

/** What a virus scanner holds is free a moment later. */
const patiently = <A>(effect: Effect.Effect<A, DiskError>): Effect.Effect<A, DiskError> =>
  isWindows
    ? Effect.retry(effect, {
      schedule: Schedule.spaced(Duration.millis(100)),
      times: 10,
      while: (error) => error.reason === "busy" || error.reason === "permission"
    })
    : effect

const rename = (from: string, to: string) =>
  patiently(
    named(
      to,
      () => NodeFs.renameSync(from, to),
      call<void>(to, (done) => NodeFs.rename(from, to, (error) => done(error ?? null)))
    )
  )

const fileNow = (path: string, descriptor: number): DiskFileNow => ({
  read: (buffer, position) =>
    timed(path, runsPatience, () => readAllSync(descriptor, buffer, position)) === buffer.length,
  write: (bytes, position) =>
    timed(path, runsPatience, () => writeAllSync(descriptor, bytes, position)) === bytes.length,
  stat: () => {
    const result = timed(path, runsPatience, () => statNow(descriptor))
    return result instanceof DiskError ? undefined : result
  }
})

const fileOf = (path: string, descriptor: number): DiskFile => {
  const now = fileNow(path, descriptor)
  return {
    path,
    read: (buffer, position) => readAll(path, descriptor, buffer, position),
    write: (bytes, position) => writeAll(path, descriptor, bytes, position),
    truncate: (sizeBytes) =>
      call<void>(path, (done) => NodeFs.ftruncate(descriptor, sizeBytes, (error) => done(error ?? null))),
    sync: syncDescriptor(path, descriptor),
    stat: statDescriptor(path, descriptor),
    now: (bytes) => mayBePrompt(bytes) ? now : undefined
  }
}

// ---- Thousands of small files --------------------------------------------------------------------------------------

const filesPatience = new Patience(30)

const withDescriptorSync = <A>(
  path: string,
  how: keyof typeof flags,
  mode: number,
  body: (descriptor: number) => A
): A => {
  const descriptor = openNow(path, how, mode)
  try {
    return body(descriptor)
  } finally {
    NodeFs.closeSync(descriptor)
  }
}

const shorter = (path: string) => new DiskError({ reason: "io", path, detail: "the file is shorter than expected" })

const readFiles = Effect.fnUntraced(function*(
  files: ReadonlyArray<{ readonly path: string; readonly into: Uint8Array }>
) {
  const results: Array<Stat | DiskError> = []
  yield* inSlices<never>(
    filesPatience,
    files.length,
    (index) => {
      const { into, path } = files[index]!
      results[index] = attempt(path, () =>
        withDescriptorSync(path, "read", 0, (descriptor) => {
          if (readAllSync(descriptor, into, 0) < into.length) throw shorter(path)
          return statNow(descriptor)
        }))
      return undefined
    },
    (index) => {
      const { into, path } = files[index]!
      return withDescriptorPatiently(path, "read", 0, (descriptor) =>
        Effect.flatMap(
          readPatiently(path, descriptor, into, 0),
          (count) => count < into.length ? Effect.fail(shorter(path)) : statPatiently(path, descriptor)
        )).pipe(
          Effect.catch((error) => Effect.succeed(error)),
          Effect.map((result) => {
            results[index] = result
          })
        )
    }
  )
  return results
})

const writeFiles = (
  files: ReadonlyArray<{ readonly path: string; readonly bytes: Uint8Array }>,
  mode: number = modeOfFiles
) =>
  inSlices<DiskError>(
    filesPatience,
    files.length,
    (index) => {
      const { bytes, path } = files[index]!
      const result = attempt(path, () =>
        withDescriptorSync(path, "replace", mode, (descriptor) => void writeAllSync(descriptor, bytes, 0)))
      return result
    },
    (index) => {
      const { bytes, path } = files[index]!
      return withDescriptorPatiently(path, "replace", mode, (descriptor) =>
        writePatiently(path, descriptor, bytes, 0))
    }
  )

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** A name as text; where it is none, something that a person may recognise. */
const nameOf = (bytes: Uint8Array): { readonly name: string; readonly isText: boolean } => {
  try {
    return { name: utf8.decode(bytes), isText: true }
  } catch {
    return { name: new TextDecoder().decode(bytes), isText: false }
  }
}

const entries = Effect.fnUntraced(function*(path: string) {
  const names = yield* named(
    path,
    () => NodeFs.readdirSync(path, { encoding: "buffer" }),
    call<Array<Buffer>>(path, (done) => NodeFs.readdir(path, { encoding: "buffer" }, done))
  )
  const found: Array<DirectoryEntry> = []
  const pathOf = (name: Buffer) => Buffer.concat([Buffer.from(`${path}/`), name])
  const add = (name: Buffer, stat: Stat | DiskError) => {
    found.push({ ...nameOf(name), stat })
    return undefined
  }
  yield* inSlices<never>(
    filesPatience,
    names.length,
    (index) => {
      const name = names[index]!
      return add(name, attempt(path, () => toStat(NodeFs.lstatSync(pathOf(name), { bigint: true }))))
    },
    (index) => {
      const name = names[index]!
      return call<NodeFs.BigIntStats>(path, (done) => NodeFs.lstat(pathOf(name), { bigint: true }, done)).pipe(
        Effect.match({
          onFailure: (error) => add(name, error),
          onSuccess: (stats) => add(name, toStat(stats))
        })
      )
    }
  )
  return found.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
})

// ---- Names ---------------------------------------------------------------------------------------------------------

/** Errors of `link` where the file system has no hard links (FAT, exFAT, some network folders). */
const withoutLinks = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK", "EACCES"])

/** Why it could not be linked. */
const linkNow = (from: string, to: string): NodeJS.ErrnoException | null => {
  try {
    NodeFs.linkSync(from, to)
    return null
  } catch (cause) {
    return cause as NodeJS.ErrnoException
  }
}

const publishFile = Effect.fnUntraced(function*(from: string, to: string) {
  const linked = yield* named(
    to,
    () => linkNow(from, to),
    call<NodeJS.ErrnoException | null>(to, (done) => NodeFs.link(from, to, (error) => done(null, error)))
  )
  if (linked === null) {
    // The file has its name; a second one in a hidden folder does no harm where it cannot be removed.
    return yield* Effect.ignore(patiently(unlink(from)))
  }
  if (!withoutLinks.has(linked.code ?? "")) return yield* Effect.fail(toDiskError(to, linked))
  // Nobody else gets the name once the placeholder has it, and only the placeholder is replaced.
  const remove = Effect.ignore(unlink(to))
  yield* withDescriptor(
    to,
    "create",
    modeOfFiles,
    (descriptor) => Effect.tapError(writeAll(to, descriptor, placeholder, 0), () => remove)
  )
  yield* Effect.tapError(rename(from, to), () => remove)
})

/**
 * `rename` would replace an empty directory that appeared since the check, and nothing else: it fails for a file or a
 * directory with anything in it.
 */
const publishDirectory = Effect.fnUntraced(function*(from: string, to: string) {
  const taken = yield* Effect.option(stat(to))
  if (taken._tag === "Some") return yield* Effect.fail(toDiskError(to, existsError))
  yield* rename(from, to).pipe(
    Effect.mapError((error) =>
      error.reason === "not-a-directory" ? new DiskError({ ...error, reason: "exists" }) : error
    )
  )
})
const existsError = Object.assign(new Error("EEXIST: there is something of that name"), { code: "EEXIST" })

const replaceFile = (path: string, bytes: Uint8Array) => {
  const temporary = `${path}.new`
  return withDescriptor(
    temporary,
    "replace",
    modeOfOwnFiles,
    (descriptor) => Effect.andThen(writeAll(temporary, descriptor, bytes, 0), syncDescriptor(temporary, descriptor))
  ).pipe(
    Effect.andThen(rename(temporary, path)),
    Effect.tapError(() => Effect.ignore(unlink(temporary)))
  )
}

// ---- Locks ---------------------------------------------------------------------------------------------------------

/** What a lock file says about its holder. */
interface Holder {
  readonly pid: number
  readonly host: string
  /** When the process was started, in the system's own count; only Linux tells. */
  readonly mark: string | null
}

/** How often a holder touches its lock, and after which silence it is taken for gone where nothing better is known. */
const touchEvery = Duration.seconds(10)
const silentAfterMs = 60_000

/** Field 22 of /proc/PID/stat, counted behind the name, which may have spaces and brackets. */
const startMark = (pid: number): string | null => {
  try {
    const line = NodeFs.readFileSync(`/proc/${pid}/stat`, "utf8")
    return line.slice(line.lastIndexOf(")") + 2).split(" ")[19] ?? null
  } catch {
    return null
  }
}

const isRunning = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (cause) {
    return codeOf(cause) === "EPERM"
  }
}

/**
 * Whether the process that wrote the lock still holds it. A process id alone proves nothing: ids are used again after a
 * restart, and a lock can come from another machine by a cloned disk or a network folder.
 */
const isHeld = (holder: Holder, touchedMs: number, nowMs: number): boolean => {
  const isFresh = Math.abs(nowMs - touchedMs) < silentAfterMs
  if (holder.host !== NodeOs.hostname()) return isFresh
  if (!isRunning(holder.pid)) return false
  const mark = startMark(holder.pid)
  return mark === null || holder.mark === null ? isFresh : mark === holder.mark
}

/** What is held by this process itself, by real path: its own id in a lock file says nothing about that. */
const heldHere = new Set<string>()

const readHolder = (text: string): Holder | undefined => {
  try {
    const parsed: Partial<Holder> | null = JSON.parse(text)
    return typeof parsed?.pid === "number" && typeof parsed.host === "string"
      ? { pid: parsed.pid, host: parsed.host, mark: parsed.mark ?? null }
      : undefined
  } catch {
    return undefined
  }
}

const takeLock = Effect.fnUntraced(function*(path: string) {
  const busy = (detail: string) => new DiskError({ reason: "busy", path, detail })
  if (heldHere.has(path)) return yield* busy("this process holds it already")
  const own: Holder = { pid: process.pid, host: NodeOs.hostname(), mark: startMark(process.pid) }
  const bytes = new TextEncoder().encode(JSON.stringify(own))
  const create = withDescriptor(
    path,
    "create",
    modeOfOwnFiles,
    (descriptor) => writeAll(path, descriptor, bytes, 0)
  )
  const first = yield* Effect.result(create)
  if (first._tag === "Failure") {
    if (first.failure.reason !== "exists") return yield* first.failure
    const text = new TextDecoder().decode(yield* readFile(path, 4_096))
    const { modifiedNs } = yield* stat(path)
    const holder = readHolder(text)
    const now = yield* Clock.currentTimeMillis
    const touched = Number(modifiedNs / 1_000_000n)
    // Half a lock is one that is being written, or was when its machine lost power.
    const held = holder === undefined
      ? Math.abs(now - touched) < silentAfterMs
      : isHeld(holder, touched, now) && holder.pid !== process.pid
    if (held) return yield* busy(holder === undefined ? "held" : `held by process ${holder.pid} on ${holder.host}`)
    // Of two processes that come here at once, one moves the old lock away. The other may then move the new one, sees
    // that it is not what it has judged, and puts it back.
    const aside = `${path}.${process.pid}`
    yield* Effect.ignore(rename(path, aside))
    const moved = yield* Effect.option(readFile(aside, 4_096))
    if (moved._tag === "Some" && new TextDecoder().decode(moved.value) !== text) {
      yield* Effect.ignore(publishFile(aside, path))
      return yield* busy("another process was quicker")
    }
    yield* Effect.ignore(unlink(aside))
    yield* create.pipe(
      Effect.mapError((error) => error.reason === "exists" ? busy("another process was quicker") : error)
    )
  }
  heldHere.add(path)
})

const lock = Effect.fnUntraced(function*(path: string) {
  yield* Effect.acquireRelease(takeLock(path), () =>
    Effect.gen(function*() {
      heldHere.delete(path)
      // The folder may have been replaced meanwhile, and the lock in it be somebody else's.
      const text = new TextDecoder().decode(yield* readFile(path, 4_096))
      if (readHolder(text)?.pid === process.pid) yield* unlink(path)
    }).pipe(Effect.ignore))
  yield* Effect.flatMap(
    Clock.currentTimeMillis,
    (now) => call<void>(path, (done) => NodeFs.utimes(path, now / 1_000, now / 1_000, (error) => done(error ?? null)))
  ).pipe(
    Effect.ignore,
    Effect.delay(touchEvery),
    Effect.forever,
    Effect.forkScoped
  )
})

// ---- The layer -----------------------------------------------------------------------------------------------------

const readFile = (path: string, bytesMax: number) =>
  withDescriptor(path, "read", 0, (descriptor) =>
    Effect.flatMap(statDescriptor(path, descriptor), (stat) => {
      if (stat.sizeBytes > bytesMax) {
        return Effect.fail(new DiskError({ reason: "io", path, detail: `the file is larger than ${bytesMax} bytes` }))
      }
      const bytes = new Uint8Array(stat.sizeBytes)
      return Effect.map(readAll(path, descriptor, bytes, 0), (count) => bytes.subarray(0, count))
    }))

/** Not by `recursive`: on a read-only disk that says that nothing is there. */
const makeDirectory = (path: string, mode: number): Effect.Effect<void, DiskError> => {
  const make = named(
    path,
    () => void NodeFs.mkdirSync(path, mode),
    call<void>(path, (done) => NodeFs.mkdir(path, mode, (error) => done(error ?? null)))
  )
  return make.pipe(Effect.catch((error) => {
    const parent = NodePath.dirname(path)
    // Of two that make the same folder at once, one finds it there.
    if (error.reason === "not-found" && parent !== path) {
      return Effect.andThen(
        makeDirectory(parent, mode),
        Effect.catchIf(make, ({ reason }) => reason === "exists", () => Effect.void)
      )
    }
    // Also where it may not be written, or is a whole disk, it may be there.
    return Effect.flatMap(
      Effect.option(
        named(path, () => NodeFs.statSync(path), call<NodeFs.Stats>(path, (done) => NodeFs.stat(path, done)))
      ),
      (found) =>
        found._tag === "Some" && found.value.isDirectory()
          ? Effect.void
          : Effect.fail(found._tag === "Some" ? new DiskError({ ...error, reason: "not-a-directory" }) : error)
    )
  }))
}

const removeTree = (path: string) =>
  call<void>(
    path,
    (done) => NodeFs.rm(path, { recursive: true, force: true, maxRetries: isWindows ? 10 : 0 }, (error) => done(error))
  )

const disk = Disk.of({
  open: (path, how, mode = modeOfOwnFiles) =>
    Effect.map(
      Effect.acquireRelease(
        openDescriptor(path, how, mode),
        (descriptor) => Effect.ignore(closePatiently(path, descriptor))
      ),
      (descriptor) => fileOf(path, descriptor)
    ),
  readFile,
  replaceFile,
  appendFile: (path, bytes) =>
    withDescriptor(path, "append", modeOfOwnFiles, (descriptor) => writeAll(path, descriptor, bytes, null)),
  stat,
  list: (path) =>
    Effect.map(call<Array<string>>(path, (done) => NodeFs.readdir(path, done)), (names) => names.toSorted()),
  entries,
  readFiles,
  writeFiles,
  makeDirectory: (path, mode = 0o777) => makeDirectory(path, mode),
  publish: (from, to) =>
    Effect.flatMap(stat(from), ({ kind }) => kind === "directory" ? publishDirectory(from, to) : publishFile(from, to)),
  remove: (path) =>
    stat(path).pipe(
      Effect.flatMap(({ kind }) => kind === "directory" ? removeTree(path) : patiently(unlink(path))),
      Effect.catchIf(({ reason }) => reason === "not-found", () => Effect.void)
    ),
  syncDirectory: (path) =>
    isWindows
      ? Effect.void
      : withDescriptor(path, "directory", 0, (descriptor) => syncDescriptor(path, descriptor)),
  freeBytes: (path) =>
    Effect.map(
      named(path, () => NodeFs.statfsSync(path), call<NodeFs.StatsFs>(path, (done) => NodeFs.statfs(path, done))),
      ({ bavail, bsize }) => bavail * bsize
    ),
  realPath: (path) =>
    named(
      path,
      () => NodeFs.realpathSync.native(path),
      call<string>(path, (done) => NodeFs.realpath.native(path, done))
    ),
  lock
})

export const layerNode: Layer.Layer<Disk> = Layer.succeed(Disk, disk)
