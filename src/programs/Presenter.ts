/** Shows a session to whoever started labfx, and hears what they type: three ways, one contract. */
import { type Cause, Effect, Queue, Schedule, type Scope } from "effect"
import { messageTextBytesMax } from "../protocol/Limits.ts"
import { Session, type SessionView } from "../services/Session.ts"
import type { SessionEvent, SharePreparing, ShareProgress } from "../services/SessionEvent.ts"
import * as Display from "./Display.ts"
import * as EditedLine from "./EditedLine.ts"
import * as LineEditor from "./LineEditor.ts"
import type { Line } from "./LineSplitter.ts"
import * as Live from "./Live.ts"
import * as OutputEvent from "./OutputEvent.ts"
import * as Phrasing from "./Phrasing.ts"
import type { Problem } from "./Problems.ts"
import * as Screen from "./Screen.ts"
import { Streams } from "./Streams.ts"

export interface Presenter {
  readonly event: (event: SessionEvent) => Effect.Effect<void>
  /** Words for a person; a script does not see them. */
  readonly say: (said: ReadonlyArray<Phrasing.Said>) => Effect.Effect<void>
  /** Something that was asked for did not happen; the session goes on. */
  readonly problem: (problem: Problem) => Effect.Effect<void>
  /** The answer to `/who`. */
  readonly devices: (view: SessionView) => Effect.Effect<void>
  /** What is typed, line by line; ends with standard input. */
  readonly typed: Queue.Dequeue<Line, Cause.Done>
}

export interface PresenterOptions {
  readonly json: boolean
  readonly isTeacher: boolean
}

/** JSON where it is asked for, live lines on a terminal, plain lines elsewhere. */
export const make = (
  options: PresenterOptions
): Effect.Effect<Presenter, never, Session | Streams | Scope.Scope> =>
  Effect.flatMap(Streams, (streams) => {
    if (options.json) return json
    return streams.outIsTerminal && streams.inIsTerminal ? live(options.isTeacher) : plain(options.isTeacher)
  })

type Progress = typeof ShareProgress.Type | typeof SharePreparing.Type

/** The newest progress of each share, handed on at most once an interval; what a share became later makes it stale. */
const pace = Effect.fnUntraced(
  function*(interval: "500 millis" | "5 seconds", print: (event: Progress) => Effect.Effect<void>) {
    const newest = new Map<string, Progress>()
    const waits = yield* Queue.sliding<void>(1)
    const keep = (key: string, event: Progress) => {
      newest.set(key, event)
      Queue.offerUnsafe(waits, undefined)
      return true
    }
    yield* Queue.take(waits).pipe(
      Effect.andThen(Effect.sync(() => {
        const waiting = [...newest.values()]
        newest.clear()
        return waiting
      })),
      Effect.flatMap(Effect.forEach(print, { discard: true })),
      Effect.andThen(Effect.sleep(interval)),
      Effect.forever,
      Effect.forkScoped
    )
    return {
      /** True where the event has been taken care of. */
      take: (event: SessionEvent): boolean => {
        switch (event.event) {
          case "share.progress":
            return keep(event.root, event)
          case "share.preparing":
            return keep(event.preparation, event)
          case "share.completed":
          case "share.failed":
          case "share.withdrawn":
            newest.delete(event.root)
            return false
          case "share.prepared":
            newest.delete(event.preparation)
        }
        return false
      }
    }
  }
)

/** One JSON object a line for every event, at most two of progress a second a share. */
export const json = Effect.gen(function*() {
  const streams = yield* Streams
  const write = (event: OutputEvent.OutputEvent) => Effect.map(OutputEvent.line(event), streams.write)
  // Progress says again what the next one will say: a script that reads too slowly is spared it.
  const paced = yield* pace("500 millis", (event) => streams.lagging() ? Effect.void : write(event))
  const presenter: Presenter = {
    event: (event) => paced.take(event) ? Effect.void : write(event),
    say: () => Effect.void,
    problem: ({ code, next, what }) => write({ event: "warning", code, text: `${what} ${next}` }),
    devices: (view) =>
      write({
        event: "devices.listed",
        devices: view.devices.map((device) => ({
          peer: device.peer,
          name: device.name,
          host: device.isHost,
          self: device.isSelf,
          linked: device.linked,
          complete: device.status?.shares.filter((share) => share.complete).length ?? 0,
          verifiedBytes: device.status?.shares.reduce((sum, share) => sum + share.verifiedBytes, 0) ?? 0
        }))
      }),
    typed: yield* streams.lines
  }
  return presenter
})

/** Plain lines, for a file, a pipe or a terminal that nobody types at. */
export const plain = Effect.fnUntraced(function*(isTeacher: boolean) {
  const streams = yield* Streams
  const print = (said: ReadonlyArray<Phrasing.Said>) =>
    Effect.sync(() => {
      if (said.length > 0) streams.write(said.map(({ text }) => `${text}\n`).join(""))
    })
  const paced = yield* pace("5 seconds", (event) => {
    if (event.event === "share.preparing") return print([{ tone: "plain", text: Phrasing.preparing(event) }])
    // A share that is complete has said so; what it gives to others is no news.
    if (event.verifiedBytes >= event.bytes) return Effect.void
    return print([{ tone: "plain", text: Phrasing.progress(event) }])
  })
  const presenter: Presenter = {
    event: (event) => paced.take(event) ? Effect.void : print(Phrasing.event(event, isTeacher)),
    say: print,
    problem: (problem) => print(Phrasing.problem(problem)),
    devices: (view) => print(Phrasing.devices(view)),
    typed: yield* streams.lines
  }
  return presenter
})

const sgr = { plain: "", strong: "\u001b[1m", good: "\u001b[32m", bad: "\u001b[31m", quiet: "\u001b[2m" }

/** Entered lines that the session has not seen yet: a paste of more is cut, as its burst would be refused anyway. */
const enteredLinesMax = 64

/** Log lines scroll by, the view stays below them, and under it the line being typed. */
export const live = Effect.fnUntraced(function*(isTeacher: boolean) {
  const streams = yield* Streams
  const session = yield* Session
  const typed = yield* Queue.dropping<Line, Cause.Done>(enteredLinesMax)
  let view = yield* session.view
  let screen = Screen.empty
  let editor = LineEditor.empty
  let shown = ""

  const paint = (tone: Phrasing.Said["tone"], text: string): string =>
    streams.colors && sgr[tone] !== "" ? `${sgr[tone]}${text}\u001b[0m` : text

  const draw = (log: ReadonlyArray<string>): void => {
    const { columns, rows } = streams.size()
    // The log keeps at least half of the window: what somebody said must not vanish behind figures.
    const lines = Live.lines(view, columns, Math.max(1, Math.floor(rows / 2)))
    const { cursorCells, line: promptLine } = EditedLine.drawn(editor, columns)
    const region = { lines: [...lines, promptLine], cursorCells }
    const next = [columns, region.cursorCells, ...region.lines].join("\n")
    if (log.length === 0 && next === shown) return
    shown = next
    const drawn = Screen.frame(
      screen,
      log,
      region,
      columns,
      (line, index) => index < lines.length ? paint("quiet", line) : line
    )
    screen = drawn.screen
    streams.write(drawn.text)
  }

  const print = (said: ReadonlyArray<Phrasing.Said>) =>
    Effect.sync(() => {
      if (said.length > 0) draw(said.map(({ text, tone }) => paint(tone, text)))
    })

  // Whatever ends the session, the last view stays readable and the cursor stands below it.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      const { columns, rows } = streams.size()
      const last = Live.lines(view, columns, Math.max(1, Math.floor(rows / 2))).map((line) =>
        Display.truncate(line, columns - 1)
      )
      streams.write(Screen.frame(screen, last, { lines: [], cursorCells: 0 }, columns).text)
    })
  )

  // A paste arrives as a run of keys: the line is drawn once behind the last of them.
  let drawing = false
  const drawSoon = () => {
    if (drawing) return
    drawing = true
    queueMicrotask(() => {
      drawing = false
      draw([])
    })
  }

  yield* streams.keys((key) => {
    // In raw mode the terminal sends the key instead of the signal: the program treats both alike.
    if (key.ctrl && key.name === "c") return void process.kill(process.pid, "SIGINT")
    const { editor: edited, entered } = LineEditor.press(editor, key, messageTextBytesMax)
    editor = edited
    if (entered !== undefined) Queue.offerUnsafe(typed, { _tag: "Line", text: entered })
    drawSoon()
  })

  yield* session.view.pipe(
    Effect.map((current) => {
      view = current
      draw([])
    }),
    Effect.repeat(Schedule.spaced("250 millis")),
    Effect.forkScoped
  )

  const presenter: Presenter = {
    event: (event) => print(Phrasing.event(event, isTeacher)),
    say: print,
    problem: (problem) => print(Phrasing.problem(problem)),
    devices: (view) => print(Phrasing.devices(view)),
    typed
  }
  return presenter
})
