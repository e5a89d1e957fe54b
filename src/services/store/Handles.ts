/** The open files of all shares: few at once, the longest unused closed first, never one that is in use. */
import { Effect, Exit, Scope } from "effect"
import type { Disk, DiskError, DiskFile } from "../Disk.ts"

interface Handle {
  readonly file: DiskFile
  readonly how: "read" | "write"
  readonly scope: Scope.Closeable
  users: number
  /** Closed by its last user, and not found by new ones. */
  dropped: boolean
}

export interface Handles {
  /** Lends the open file for the time of `body`. `write` creates it if it is missing. */
  readonly use: <A, E>(
    path: string,
    how: "read" | "write",
    body: (file: DiskFile) => Effect.Effect<A, E>
  ) => Effect.Effect<A, E | DiskError>
  /** The file if it is open, for what is over in one turn. */
  readonly now: (path: string, how: "read" | "write") => DiskFile | undefined
  /** Closes a path's file and those below it: now, or when their last user is done. */
  readonly close: (path: string) => Effect.Effect<void>
}

/** At most `max` open files, while not more are in use. They are for people, so the system's mask decides who may read. */
export const make = Effect.fnUntraced(function*(disk: Disk["Service"], max: number) {
  /** In order of use: the first is the longest unused. */
  const open = new Map<string, Handle>()

  const close = (handle: Handle) => Scope.close(handle.scope, Exit.void)

  const drop = Effect.fnUntraced(function*(path: string, handle: Handle) {
    handle.dropped = true
    if (open.get(path) === handle) open.delete(path)
    if (handle.users === 0) yield* close(handle)
  })

  const evict = Effect.fnUntraced(function*() {
    for (const [path, handle] of open) {
      if (open.size <= max) return
      if (handle.users === 0) yield* drop(path, handle)
    }
  })

  /** A file open to write serves readers as well. */
  const found = (path: string, how: "read" | "write"): Handle | undefined => {
    const handle = open.get(path)
    if (handle === undefined || (how === "write" && handle.how === "read")) return undefined
    open.delete(path)
    open.set(path, handle)
    return handle
  }

  const lent = (path: string, how: "read" | "write"): Handle | undefined => {
    const handle = found(path, how)
    if (handle !== undefined) handle.users++
    return handle
  }

  const acquire = Effect.fnUntraced(function*(path: string, how: "read" | "write") {
    const known = lent(path, how)
    if (known !== undefined) return known
    const scope = yield* Scope.make()
    const file = yield* disk.open(path, how, 0o666).pipe(
      Scope.provide(scope),
      Effect.onError(() => Scope.close(scope, Exit.void))
    )
    // Somebody else may have opened it meanwhile.
    const other = lent(path, how)
    if (other !== undefined) {
      yield* Scope.close(scope, Exit.void)
      return other
    }
    const replaced = open.get(path)
    if (replaced !== undefined) yield* drop(path, replaced)
    const handle: Handle = { file, how, scope, users: 1, dropped: false }
    open.set(path, handle)
    yield* evict()
    return handle
  })

  const release = (handle: Handle) => {
    handle.users--
    return handle.users === 0 && handle.dropped ? close(handle) : Effect.void
  }

  const handles: Handles = {
    use: (path, how, body) =>
      Effect.acquireUseRelease(acquire(path, how), (handle) => body(handle.file), (handle) => release(handle)),
    now: (path, how) => found(path, how)?.file,
    close: Effect.fnUntraced(function*(path) {
      const there = Array.from(open).filter(([name]) => name === path || name.startsWith(`${path}/`))
      yield* Effect.forEach(there, ([name, handle]) => drop(name, handle), { concurrency: "unbounded", discard: true })
    })
  }
  yield* Effect.addFinalizer(() => Effect.forEach([...open], ([path, handle]) => drop(path, handle), { discard: true }))
  return handles
})
