/** Standard streams of which the test is the keyboard and the screen. */
import { type Cause, Deferred, Effect, Layer, Queue } from "effect"
import type { Key } from "../../src/programs/LineEditor.ts"
import type { Line } from "../../src/programs/LineSplitter.ts"
import { Streams } from "../../src/programs/Streams.ts"

export interface StreamsFake {
  /** Everything written to standard output and to standard error. */
  out: string
  err: string
  /** Whether the reader of standard output is behind. */
  lagging: boolean
  readonly type: (...lines: ReadonlyArray<string>) => Effect.Effect<void>
  readonly tooLongLine: Effect.Effect<void>
  readonly endInput: Effect.Effect<void>
  readonly closeOutput: Effect.Effect<void>
  /** Presses keys one by one; a name such as `return` is that key, and `ctrl-c` both at once. */
  readonly press: (...keys: ReadonlyArray<string>) => Effect.Effect<void>
  /** Whether somebody listens to keys: the terminal is in raw mode then. */
  readonly raw: () => boolean
  readonly layer: Layer.Layer<Streams>
}

const names = new Set(["return", "backspace", "left", "right"])

export const make = (terminal: boolean, columns = 80, rows = 24) =>
  Effect.gen(function*() {
    const lines = yield* Queue.unbounded<Line, Cause.Done>()
    const gone = yield* Deferred.make<void>()
    const listeners = new Set<(key: Key) => void>()
    const fake: StreamsFake = {
      out: "",
      err: "",
      lagging: false,
      type: (...texts) => Effect.asVoid(Queue.offerAll(lines, texts.map((text): Line => ({ _tag: "Line", text })))),
      tooLongLine: Effect.asVoid(Queue.offer(lines, { _tag: "TooLong" })),
      endInput: Effect.asVoid(Queue.end(lines)),
      closeOutput: Effect.asVoid(Deferred.succeed(gone, undefined)),
      press: (...keys) =>
        Effect.sync(() => {
          for (const key of keys) {
            const ctrl = /^ctrl-[a-z]$/.test(key)
            const name = ctrl ? key.slice(-1) : names.has(key) ? key : undefined
            for (const listener of listeners) listener({ name, ctrl, meta: false, sequence: key })
          }
        }),
      raw: () => listeners.size > 0,
      layer: Layer.succeed(Streams, {
        outIsTerminal: terminal,
        inIsTerminal: terminal,
        colors: false,
        size: () => ({ columns, rows }),
        write: (text) => void (fake.out += text),
        complain: (text) => void (fake.err += text),
        lagging: () => fake.lagging,
        readerGone: Deferred.await(gone),
        lines: Effect.succeed(lines),
        keys: (onKey) =>
          Effect.acquireRelease(
            Effect.sync(() => void listeners.add(onKey)),
            () => Effect.sync(() => void listeners.delete(onKey))
          )
      })
    }
    return fake
  })
