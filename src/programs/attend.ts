/** Runs a session until it ends: what happens goes to the presenter, what is typed goes to the session. */
import { Clock, Effect, Option, PubSub, Queue, Schedule } from "effect"
import type { WriteRefused } from "../services/MessageRelay.ts"
import { Session, type SessionRefused } from "../services/Session.ts"
import type { SessionEvent } from "../services/SessionEvent.ts"
import * as Arrival from "./Arrival.ts"
import * as Choosing from "./Choosing.ts"
import type { Line } from "./LineSplitter.ts"
import * as Phrasing from "./Phrasing.ts"
import * as Presenter from "./Presenter.ts"
import * as Problems from "./Problems.ts"
import { Streams } from "./Streams.ts"
import * as Typed from "./Typed.ts"

export interface AttendOptions {
  readonly json: boolean
  readonly isTeacher: boolean
  /** Paths to hand out from the start. */
  readonly shares: ReadonlyArray<string>
  /** The path a person means by what was typed. */
  readonly resolvePath: (typed: string) => string
  /** Whether a person answers which session to join. */
  readonly asks: boolean
  /** Ends as soon as everything shared so far has arrived. */
  readonly once: boolean
}

/** The log of a session that was just joined comes in batches: this much quiet means that no further share was in it. */
const quietMs = 1_000

/** A line the session is not ready for yet waits; what is typed behind it waits with it. */
const whenReady = <A>(write: Effect.Effect<A, WriteRefused | SessionRefused>) =>
  Effect.retry(write, {
    while: (error) => error._tag === "WriteRefused" && error.reason === "too-fast",
    schedule: Schedule.spaced("200 millis")
  })

/** Completes when the person has left, everything has arrived (`once`), or nobody reads the output any more. */
export const attend = Effect.fnUntraced(function*(options: AttendOptions) {
  const session = yield* Session
  const streams = yield* Streams
  const presenter = yield* Presenter.make(options)
  const events = yield* session.events
  let candidates: Choosing.Candidates = []
  let answering = options.asks
  let arrival = Arrival.start
  let current: Extract<SessionEvent, { event: "session.started" | "session.joined" }>["session"] | undefined

  // The last word of a script's view of the run, also when it is interrupted.
  yield* Effect.addFinalizer(() =>
    current === undefined ? Effect.void : presenter.event({ event: "session.ended", session: current, reason: "left" })
  )

  /** Nobody waits until it is ready: more can be shared, and said, meanwhile. */
  const share = (path: string) =>
    session.share(path).pipe(
      Effect.catch((error) =>
        // The session has said so already.
        error._tag === "SessionRefused" && error.reason === "called-off"
          ? Effect.void
          : presenter.problem(Problems.explain(error))
      ),
      Effect.forkScoped
    )
  yield* Effect.forEach(options.shares, share, { discard: true })

  const happened = Effect.fnUntraced(function*(event: SessionEvent) {
    yield* presenter.event(event)
    arrival = Arrival.after(arrival, event)
    switch (event.event) {
      case "session.started":
      case "session.joined":
        current = event.session
        answering = false
        return yield* presenter.say(
          event.event === "session.joined" && !(yield* session.view).mayWrite ? [] : [{
            tone: "quiet",
            text: "A line you type here goes to everybody; /help lists the rest."
          }]
        )
      case "session.found": {
        const before = candidates
        candidates = Choosing.found(candidates, event)
        return yield* answering && candidates !== before ? presenter.say(Choosing.question(candidates)) : Effect.void
      }
    }
  })

  const listen = Effect.gen(function*() {
    let settledAt = 0
    while (true) {
      const settled = options.once && Arrival.isSettled(arrival)
      if (!settled) {
        yield* happened(yield* PubSub.take(events))
        settledAt = yield* Clock.currentTimeMillis
        continue
      }
      const left = settledAt + quietMs - (yield* Clock.currentTimeMillis)
      const event = left <= 0 ? Option.none() : yield* Effect.timeoutOption(PubSub.take(events), left)
      if (Option.isNone(event)) break
      yield* happened(event.value)
      if (event.value.event === "share.offered") settledAt = yield* Clock.currentTimeMillis
    }
    if (arrival.failed.size > 0) {
      return yield* new Problems.NotDone({ reason: "shares-missing", detail: `${arrival.failed.size} failed` })
    }
  })

  /** True when the person wants to leave. */
  const obey = Effect.fnUntraced(function*(line: Line) {
    const typed: Typed.Typed = line._tag === "Line"
      ? Typed.parse(line.text)
      : { _tag: "Refused", reason: { _tag: "TooLong" } }
    switch (typed._tag) {
      case "Quit":
        return true
      case "Say":
        yield* whenReady(session.say(typed.text))
        return false
      case "Share":
        yield* share(options.resolvePath(typed.path))
        return false
      case "Unshare":
        yield* whenReady(session.unshare(typed.name))
        return false
      case "Remove":
        yield* whenReady(session.remove(typed.device))
        return false
      case "Who":
        yield* presenter.devices(yield* session.view)
        return false
      case "Help":
        yield* presenter.say(Phrasing.help(options.isTeacher, (yield* session.view).mayWrite))
        return false
      case "Refused":
        yield* presenter.problem(Problems.refusal(typed.reason))
        return false
      case "Nothing":
        return false
    }
  }, Effect.catch((error) => Effect.as(presenter.problem(Problems.explain(error)), false)))

  const choose = Effect.fnUntraced(function*(answer: NonNullable<ReturnType<typeof Choosing.answer>>) {
    if (answer !== "none") return yield* session.choose(answer)
    yield* presenter.say([{ tone: "plain", text: "Not joined. labfx goes on looking; /quit leaves." }])
  }, Effect.catch((error) => presenter.problem(Problems.explain(error))))

  const serve = Effect.gen(function*() {
    while (true) {
      const line = yield* Queue.take(presenter.typed)
      const answer = answering && line._tag === "Line" ? Choosing.answer(candidates, line.text) : undefined
      if (answer !== undefined) yield* choose(answer)
      else if (yield* obey(line)) return
    }
  }).pipe(
    // The end of standard input is not the end of the session: it may be /dev/null from the start.
    Effect.catchTag("Done", () => Effect.never)
  )

  yield* Effect.raceAllFirst([listen, serve, streams.readerGone, session.failed])
}, Effect.scoped)
