/** Standard input, output and error as the commands use them. */
import { Cause, Context, Deferred, Effect, Layer, Queue, type Scope, Stdio, Stream } from "effect"
import * as readline from "node:readline"
import { messageTextBytesMax } from "../protocol/Limits.ts"
import type { Key } from "./LineEditor.ts"
import * as LineSplitter from "./LineSplitter.ts"

export class Streams extends Context.Service<Streams, {
  readonly outIsTerminal: boolean
  readonly inIsTerminal: boolean
  /** Whether colours are wanted: a terminal, and neither NO_COLOR nor a dumb one. */
  readonly colors: boolean
  readonly size: () => { readonly columns: number; readonly rows: number }
  /** Writes to standard output. Never waits and never fails. */
  readonly write: (text: string) => void
  /** Writes to standard error. Never waits and never fails. */
  readonly complain: (text: string) => void
  /** True while the reader of standard output is behind: what may be left out should be. */
  readonly lagging: () => boolean
  /** Completes when nobody reads standard output any more. */
  readonly readerGone: Effect.Effect<void>
  /**
   * The lines of standard input, ended with it. Asked for twice, it is the same queue: who comes second gets what is
   * left. A reader that waits makes the writer wait.
   */
  readonly lines: Effect.Effect<Queue.Dequeue<LineSplitter.Line, Cause.Done>>
  /** Hands over every key as it is pressed, without echo, until the scope closes. Terminals only. */
  readonly keys: (onKey: (key: Key) => void) => Effect.Effect<void, never, Scope.Scope>
}>()("labfx/programs/Streams") {}

const keypress = (onKey: (key: Key) => void) => (text: string | undefined, key: readline.Key) =>
  onKey({ name: key.name, ctrl: key.ctrl === true, meta: key.meta === true, sequence: text ?? key.sequence ?? "" })

/** Enough that a script may write ahead; the system's pipe holds the rest. */
const linesWaitingMax = 64

/** There is nowhere left to say that standard error is gone. */
const unheard = () => {}

export const layerNode: Layer.Layer<Streams, never, Stdio.Stdio> = Layer.effect(
  Streams,
  Effect.gen(function*() {
    const stdio = yield* Stdio.Stdio
    const scope = yield* Effect.scope
    const { stderr, stdin, stdout } = process
    const outIsTerminal = stdout.isTTY === true
    const gone = yield* Deferred.make<void>()
    // A reader that went away (EPIPE) and a terminal that vanished (EIO) are reported as errors of the stream.
    const onOutError = () => Deferred.doneUnsafe(gone, Effect.void)
    stdout.on("error", onOutError)
    stderr.on("error", unheard)

    const readLines = Effect.gen(function*() {
      const queue = yield* Queue.bounded<LineSplitter.Line, Cause.Done>(linesWaitingMax)
      const splitter = LineSplitter.make(messageTextBytesMax)
      yield* stdio.stdin.pipe(
        Stream.runForEach((bytes) => Queue.offerAll(queue, splitter.push(bytes))),
        // Standard input that cannot be read is standard input that has ended.
        Effect.ignore,
        Effect.andThen(Effect.suspend(() => Queue.offerAll(queue, splitter.end()))),
        Effect.andThen(Queue.end(queue)),
        Effect.forkIn(scope)
      )
      return Queue.asDequeue(queue)
    })

    return Streams.of({
      outIsTerminal,
      inIsTerminal: stdin.isTTY === true,
      colors: outIsTerminal && stdout.hasColors(),
      size: () => ({ columns: stdout.columns || 80, rows: stdout.rows || 24 }),
      write: (text) => {
        if (stdout.writable) stdout.write(text)
      },
      complain: (text) => {
        if (stderr.writable) stderr.write(text)
      },
      lagging: () => stdout.writableNeedDrain,
      readerGone: Deferred.await(gone),
      lines: yield* Effect.cached(readLines),
      keys: (onKey) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            const onKeypress = keypress(onKey)
            readline.emitKeypressEvents(stdin)
            stdin.setRawMode(true)
            stdin.on("keypress", onKeypress)
            stdin.resume()
            return onKeypress
          }),
          (onKeypress) =>
            Effect.sync(() => {
              stdin.off("keypress", onKeypress)
              stdin.setRawMode(false)
              stdin.pause()
            })
        )
    })
  })
)
