/** A session that begins later, behind the contract of one: until then it looks for nothing and refuses politely. */
import { Effect, PubSub, type Scope } from "effect"
import { eventsKept, Session, SessionRefused, type SessionView } from "./Session.ts"
import type { SessionEvent } from "./SessionEvent.ts"

export interface LaterSession {
  readonly session: Session["Service"]
  /** From now on it is this one; what has happened there is told here too. */
  readonly begin: (begun: Session["Service"]) => Effect.Effect<void, never, Scope.Scope>
}

const nothing: SessionView = {
  phase: "looking",
  isHost: false,
  session: undefined,
  title: undefined,
  words: undefined,
  mayWrite: false,
  shares: [],
  preparing: [],
  devices: []
}

export const make: Effect.Effect<LaterSession> = Effect.gen(function*() {
  const events = yield* PubSub.sliding<SessionEvent>({ capacity: eventsKept, replay: eventsKept })
  let current: Session["Service"] | undefined

  const whenBegun = <A, E>(use: (session: Session["Service"]) => Effect.Effect<A, E>) =>
    Effect.suspend((): Effect.Effect<A, E | SessionRefused> =>
      current === undefined
        ? Effect.fail(new SessionRefused({ reason: "not-joined", detail: "no session has begun yet" }))
        : use(current)
    )

  return {
    session: Session.of({
      events: PubSub.subscribe(events),
      view: Effect.suspend(() => current?.view ?? Effect.succeed(nothing)),
      failed: Effect.suspend(() => current?.failed ?? Effect.never),
      share: (path) => whenBegun((session) => session.share(path)),
      unshare: (name) => whenBegun((session) => session.unshare(name)),
      remove: (device) => whenBegun((session) => session.remove(device)),
      say: (text) => whenBegun((session) => session.say(text)),
      conversation: Effect.suspend(() => current?.conversation ?? Effect.succeed([])),
      end: whenBegun((session) => session.end),
      choose: (session) => whenBegun((begun) => begun.choose(session)),
      enter: (code) => whenBegun((session) => session.enter(code))
    }),
    begin: Effect.fnUntraced(function*(begun) {
      const happening = yield* begun.events
      yield* PubSub.take(happening).pipe(
        Effect.flatMap((event) => PubSub.publish(events, event)),
        Effect.forever,
        Effect.forkScoped
      )
      current = begun
    })
  }
})
