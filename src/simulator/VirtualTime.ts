/**
 * Time that passes only when everybody has had their turn: clock and scheduler of a simulation.
 *
 * Nothing in it waits for the real world. Fibers run in the order in which they became ready, timers in the order of
 * their time and then of their making, so a run is a function of its seed, and an hour of it takes as long as its work.
 */
import { Clock, Duration, Effect, type Exit, Fiber, Scheduler } from "effect"

interface Timer {
  readonly atMs: number
  /** Timers of one moment go off in the order in which they were set. */
  readonly order: number
  readonly wake: () => void
  cancelled: boolean
}

/** What the clock on the wall shows when a simulation begins: the first of September 2025, in milliseconds since 1970. */
const startMs = 1_756_684_800_000

const nanosOf = (ms: number): bigint => BigInt(Math.floor(ms * 1e6))

/** A clock over `monotonicMs`; `wallMs` may run apart from it, as a wrong or a set clock does. */
export const clockOf = (
  monotonicMs: () => number,
  wallMs: () => number,
  sleepMs: (ms: number) => Effect.Effect<void>
): Clock.Clock => {
  const currentTimeMillisUnsafe = () => Math.floor(wallMs())
  const currentTimeNanosUnsafe = () => nanosOf(wallMs())
  const monotonicTimeNanosUnsafe = () => nanosOf(monotonicMs())
  return {
    currentTimeMillisUnsafe,
    currentTimeMillis: Effect.sync(currentTimeMillisUnsafe),
    currentTimeNanosUnsafe,
    currentTimeNanos: Effect.sync(currentTimeNanosUnsafe),
    monotonicTimeNanosUnsafe,
    monotonicTimeNanos: Effect.sync(monotonicTimeNanosUnsafe),
    sleep: (duration) => sleepMs(Duration.toMillis(duration))
  }
}

export class VirtualTime {
  #nowMs = 0
  #orders = 0
  /** A binary heap, the next timer first. */
  readonly #timers: Array<Timer> = []
  #ready: Array<() => void> = []
  /** Called after everybody who could do something has done it, before time passes: the place to look for violations. */
  onQuiet: () => void = () => {}

  readonly scheduler: Scheduler.Scheduler = new Scheduler.MixedScheduler("async", (task) => {
    let cancelled = false
    this.#ready.push(() => {
      if (!cancelled) task()
    })
    return () => {
      cancelled = true
    }
  })

  readonly clock: Clock.Clock = clockOf(() => this.#nowMs, () => startMs + this.#nowMs, (ms) => this.sleep(ms))

  get nowMs(): number {
    return this.#nowMs
  }

  sleep(ms: number): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      if (!(ms > 0)) return resume(Effect.void)
      if (ms === Number.POSITIVE_INFINITY) return
      const timer = this.#set(this.#nowMs + ms, () => resume(Effect.void))
      return Effect.sync(() => {
        timer.cancelled = true
      })
    })
  }

  /** Starts an effect under this time; `clock` is that of the device it belongs to. */
  fork<A, E>(effect: Effect.Effect<A, E>, clock: Clock.Clock = this.clock): Fiber.Fiber<A, E> {
    return Effect.runFork(Effect.provideService(effect, Clock.Clock, clock), { scheduler: this.scheduler })
  }

  /** Lets time pass up to `untilMs`, or until `stop` holds. */
  advance(untilMs: number, stop: () => boolean = () => false): void {
    while (true) {
      this.#settle()
      if (stop()) return
      const next = this.#timers[0]
      if (next === undefined || next.atMs > untilMs) break
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      while (this.#timers.length > 0 && this.#timers[0]!.atMs <= this.#nowMs) {
        const timer = this.#takeFirst()
        if (!timer.cancelled) timer.wake()
      }
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs)
  }

  /** Runs an effect to its end, letting at most `withinMs` pass; nothing if it has not ended by then. */
  run<A, E>(effect: Effect.Effect<A, E>, withinMs: number): Exit.Exit<A, E> | undefined {
    const fiber = this.fork(effect)
    this.advance(this.#nowMs + withinMs, () => fiber.pollUnsafe() !== undefined)
    return fiber.pollUnsafe()
  }

  #settle(): void {
    do {
      while (this.#ready.length > 0) {
        const tasks = this.#ready
        this.#ready = []
        for (const task of tasks) task()
      }
      this.onQuiet()
    } while (this.#ready.length > 0)
  }

  #set(atMs: number, wake: () => void): Timer {
    const timer: Timer = { atMs, order: this.#orders++, wake, cancelled: false }
    const heap = this.#timers
    let at = heap.length
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(timer, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = timer
    return timer
  }

  #takeFirst(): Timer {
    const heap = this.#timers
    const first = heap[0]!
    const last = heap.pop()!
    if (heap.length === 0) return first
    let at = 0
    while (true) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, last)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return first
  }
}

const isBefore = (a: Timer, b: Timer): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
