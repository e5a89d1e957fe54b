/**
 * The folder that a store works in: held against other processes, and found again when it has been deleted or replaced
 * under a running program.
 */
import { Effect, Exit, Scope, Semaphore } from "effect"
import { type Disk, DiskError } from "../Disk.ts"

export interface Home {
  /**
   * Completes when the folder is the one that is held; one that is gone is made again and held anew. Fails while it cannot
   * be: another process is in it, or there is a link on the way to it that was not there at the start, which would lead
   * what is written to where nobody has asked for it.
   */
  readonly check: Effect.Effect<void, DiskError>
}

/** Makes the folder, for this user alone, and holds it until the scope closes. */
export const make = Effect.fnUntraced(function*(disk: Disk["Service"], path: string) {
  const hold = Effect.gen(function*() {
    const scope = yield* Scope.make()
    yield* disk.lock(`${path}/lock`).pipe(
      Scope.provide(scope),
      Effect.onError(() => Scope.close(scope, Exit.void))
    )
    const { identity } = yield* disk.stat(path)
    return { scope, identity }
  })
  yield* disk.makeDirectory(path, 0o700)
  const realPath = yield* disk.realPath(path)
  let held: { readonly scope: Scope.Closeable; readonly identity: string } | undefined = yield* hold
  const release = Effect.suspend(() => {
    const scope = held?.scope
    held = undefined
    return scope === undefined ? Effect.void : Scope.close(scope, Exit.void)
  })
  yield* Effect.addFinalizer(() => release)
  const oneAtATime = Semaphore.makeUnsafe(1)

  const check = Effect.gen(function*() {
    const there = yield* Effect.result(disk.stat(path))
    if (there._tag === "Success" && there.success.identity === held?.identity) return
    if (there._tag === "Failure" && there.failure.reason !== "not-found") return yield* there.failure
    yield* release
    yield* disk.makeDirectory(path, 0o700)
    if ((yield* disk.realPath(path)) !== realPath) {
      return yield* new DiskError({ reason: "not-found", path, detail: "a link leads to another folder now" })
    }
    held = yield* hold
  })
  return { check: oneAtATime.withPermits(1)(check) } satisfies Home
})
