/** Questions that a person answers at the terminal, one line each, before the session has begun. */
import { Effect, Queue, type Scope } from "effect"
import { messageTextBytesMax } from "../protocol/Limits.ts"
import * as EditedLine from "./EditedLine.ts"
import * as LineEditor from "./LineEditor.ts"
import { Streams } from "./Streams.ts"

export interface Asking {
  /** The line typed below the question, without the blanks around it. */
  readonly ask: (question: string) => Effect.Effect<string>
  /** What is typed behind the words, without showing it. */
  readonly askHidden: (words: string) => Effect.Effect<string>
}

/** Keys pressed ahead of a question: a paste that answers all of them fits. */
const keysWaitingMax = 4 * messageTextBytesMax

/**
 * Listens to the keys until the scope closes, so that what is typed ahead reaches the next question. Questions go to
 * standard error: standard output may be a file. Ctrl-C leaves, and the terminal is as it was.
 */
export const make: Effect.Effect<Asking, never, Streams | Scope.Scope> = Effect.gen(function*() {
  const streams = yield* Streams
  const keys = yield* Queue.dropping<LineEditor.Key>(keysWaitingMax)
  yield* streams.keys((key) => void Queue.offerUnsafe(keys, key))

  const read = Effect.fnUntraced(function*(draw: (editor: LineEditor.LineEditor) => void) {
    let editor = LineEditor.empty
    draw(editor)
    while (true) {
      const key = yield* Queue.take(keys)
      if (key.ctrl && (key.name === "c" || key.name === "d")) return yield* Effect.interrupt
      const pressed = LineEditor.press(editor, key, messageTextBytesMax)
      if (pressed.entered !== undefined) return pressed.entered
      editor = pressed.editor
      draw(editor)
    }
  }, Effect.ensuring(Effect.sync(() => streams.complain("\n"))))

  const show = (editor: LineEditor.LineEditor) => {
    const { cursorCells, line } = EditedLine.drawn(editor, streams.size().columns)
    streams.complain(`\r${line}\u001b[K\r\u001b[${cursorCells}C`)
  }

  return {
    ask: (question) =>
      Effect.suspend(() => {
        streams.complain(`${question}\n`)
        return Effect.map(read(show), (text) => text.trim())
      }),
    askHidden: (words) =>
      Effect.suspend(() => {
        streams.complain(`${words} (not shown): `)
        return read(() => {})
      })
  }
})
