/**
 * Items on their way from plain calls to an effect, which works them off one after another.
 *
 * What comes alone begins at once, on the stack of whoever brings it; the rest waits in a queue, which takes a turn of the
 * scheduler for each. At a device of a room at rest every item is alone, and that turn costs as much as most of the work. In a
 * flood the turns let everything else go on.
 */
import { Clock, Effect, FiberSet, Queue, type Scope, Semaphore } from "effect"

export interface Mailbox<A> {
  /** False if it is full. */
  readonly offer: (item: A) => boolean
  /** Waits while it is full. */
  readonly put: (item: A) => Effect.Effect<void>
  /** How many wait. */
  readonly size: () => number
  /** Works off what waits and what comes, in order and one at a time, until the scope closes; from then on all waits. */
  readonly process: (work: (item: A) => Effect.Effect<void>) => Effect.Effect<void, never, Scope.Scope>
}

/** The side of whoever works it off: one at a time. */
export type Inbox<A> = Pick<Mailbox<A>, "process" | "size">

/** What comes sooner after one that has begun at once is not alone. */
export const aloneAfterMs = 5

/** At most `max` items wait; without it, whatever comes. */
export const make = Effect.fnUntraced(function*<A>(max = Infinity): Effect.fn.Return<Mailbox<A>> {
  const queue = yield* (max === Infinity ? Queue.unbounded<A>() : Queue.bounded<A>(max))
  const clock = yield* Clock.Clock
  const nowMs = () => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)
  let begunMs = -Infinity
  /** Begins to work on an item; nothing while nobody works anything off. */
  let begin: ((item: A) => void) | undefined
  /** Items taken and not done with: one at work, and one from the queue that waits for it. */
  let taken = 0

  const offer = (item: A): boolean => {
    if (begin === undefined || taken > 0 || Queue.sizeUnsafe(queue) > 0 || nowMs() < begunMs + aloneAfterMs) {
      return Queue.offerUnsafe(queue, item)
    }
    begunMs = nowMs()
    begin(item)
    return true
  }

  const process: Mailbox<A>["process"] = Effect.fnUntraced(function*(work) {
    const one = Semaphore.makeUnsafe(1)
    const fork = yield* FiberSet.makeRuntime()
    const workOff = (item: A) =>
      Effect.suspend(() => {
        taken++
        return Effect.ensuring(one.withPermit(work(item)), Effect.sync(() => taken--))
      })
    yield* Queue.take(queue).pipe(Effect.flatMap(workOff), Effect.forever, Effect.forkScoped)
    begin = (item) => void fork(workOff(item))
    yield* Effect.addFinalizer(() => Effect.sync(() => (begin = undefined)))
  })

  return {
    offer,
    put: (item) => Effect.suspend(() => offer(item) ? Effect.void : Effect.asVoid(Queue.offer(queue, item))),
    size: () => Queue.sizeUnsafe(queue),
    process
  }
})
