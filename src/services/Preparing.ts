/**
 * What is read and hashed before it can be offered: looked at by whoever waits for it, called off by whoever has thought
 * better of it.
 *
 * It belongs to the session and not to whoever asked: a page that is closed meanwhile takes nothing back, the end of the
 * session does. What is over sooner than anybody could read of it is not shown.
 */
import { Effect, Exit, Fiber, Schedule, Scope } from "effect"
import * as Limits from "../protocol/Limits.ts"
import { type PreparingView, SessionRefused } from "./Session.ts"
import type { SessionEvent } from "./SessionEvent.ts"
import { type ImportProgress, titleOf } from "./store/Source.ts"

export interface Preparing {
  /** What goes on for longer than a moment, in the order it was asked for. */
  readonly views: Effect.Effect<ReadonlyArray<PreparingView>>
  /**
   * Does the work and shows how far it is. Whoever is interrupted only stops waiting for it. The work is interrupted when it
   * is called off, which fails with `called-off`, or when the session ends: only where it allows that, so what it does from
   * then on happens as a whole.
   */
  readonly run: <A, E>(
    path: string,
    work: (onProgress: (progress: ImportProgress) => Effect.Effect<void>) => Effect.Effect<A, E>
  ) => Effect.Effect<A, E | SessionRefused>
  /** False where nothing of that id or title is being prepared. What is nearly ready may be offered all the same. */
  readonly callOff: (name: string) => Effect.Effect<boolean>
  /** Calls everything off, and does not wait for it. */
  readonly callOffAll: Effect.Effect<void>
}

interface Preparation extends PreparingView {
  hashedBytes: number
  totalBytes: number | undefined
  isShown: boolean
  readonly interrupt: () => void
  readonly ended: Effect.Effect<unknown>
}

/** Ends with the scope. `publish` takes every event a person may see. */
export const make = Effect.fnUntraced(function*(
  publish: (event: SessionEvent) => Effect.Effect<void>
): Effect.fn.Return<Preparing, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const preparations = new Set<Preparation>()
  let count = 0

  const tell = (preparation: Preparation) =>
    Effect.suspend(() => {
      preparation.isShown = true
      const { hashedBytes, id, title, totalBytes } = preparation
      return publish({
        event: "share.preparing",
        preparation: id,
        title,
        hashedBytes,
        ...(totalBytes === undefined ? {} : { bytes: totalBytes })
      })
    }).pipe(
      Effect.repeat(Schedule.spaced(Limits.preparingTellMs)),
      Effect.delay(Limits.preparingTellMs)
    )

  const over = ({ id, isShown, title }: Preparation, exit: Exit.Exit<unknown, unknown>) => {
    const outcome = Exit.isSuccess(exit) ? "ready" : Exit.hasInterrupts(exit) ? "called-off" : "failed"
    return isShown || outcome === "called-off"
      ? publish({ event: "share.prepared", preparation: id, title, outcome })
      : Effect.void
  }

  const run: Preparing["run"] = Effect.fnUntraced(function*(path, work) {
    if (preparations.size >= Limits.sharesMax) {
      return yield* new SessionRefused({ reason: "too-many-shares", detail: path })
    }
    const title = titleOf(path)
    const fiber = yield* Effect.withFiber((fiber) => {
      const preparation: Preparation = {
        id: `preparing-${++count}`,
        title,
        hashedBytes: 0,
        totalBytes: undefined,
        isShown: false,
        interrupt: () => fiber.interruptUnsafe(),
        ended: Fiber.await(fiber)
      }
      preparations.add(preparation)
      const onProgress = (progress: ImportProgress) => Effect.sync(() => void Object.assign(preparation, progress))
      return Effect.forkScoped(tell(preparation)).pipe(
        Effect.andThen(work(onProgress)),
        Effect.scoped,
        Effect.onExit((exit) => {
          preparations.delete(preparation)
          return over(preparation, exit)
        })
      )
    }).pipe(Effect.forkIn(scope, { startImmediately: true, uninterruptible: true }))
    const exit = yield* Fiber.await(fiber)
    if (Exit.hasInterrupts(exit)) return yield* new SessionRefused({ reason: "called-off", detail: title })
    return yield* exit
  })

  return {
    views: Effect.sync(() =>
      Array.from(preparations).filter(({ isShown }) => isShown)
        .map(({ hashedBytes, id, title, totalBytes }) => ({ id, title, hashedBytes, totalBytes }))
    ),
    run,
    callOff: Effect.fnUntraced(function*(name) {
      const meant = Array.from(preparations).findLast(({ id, title }) => id === name || title === name)
      if (meant === undefined) return false
      meant.interrupt()
      yield* meant.ended
      return true
    }),
    callOffAll: Effect.sync(() => preparations.forEach(({ interrupt }) => interrupt()))
  }
})
