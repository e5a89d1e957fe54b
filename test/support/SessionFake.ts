/** A session of which the test is the network: it says what happens, and sees what was asked for. */
import { Effect, Layer, PubSub, Redacted } from "effect"
import type { PeerId, PublicKey, Root, SessionId } from "../../src/protocol/Ids.ts"
import { WriteRefused } from "../../src/services/MessageRelay.ts"
import { Session, SessionRefused, type SessionView, type ShareView } from "../../src/services/Session.ts"
import type { MessageDelivered, SessionEvent } from "../../src/services/SessionEvent.ts"
import { SourceError } from "../../src/services/store/Source.ts"

const text43 = (name: string) => name.padEnd(43, "A")
export const peer = (name: string) => text43(name) as PeerId
export const root = (name: string) => text43(name) as Root
export const key = (name: string) => text43(name) as PublicKey
export const sessionId = (name: string) => name.padEnd(22, "A") as SessionId

/** An example of every event. */
export const examples: { readonly [Name in SessionEvent["event"]]: Extract<SessionEvent, { readonly event: Name }> } = {
  "session.started": {
    event: "session.started",
    session: sessionId("s"),
    title: "Networks 101",
    words: "one two three four five six",
    root: key("t"),
    port: 4711,
    link: "labfx://join/x"
  },
  "session.found": {
    event: "session.found",
    session: sessionId("s"),
    title: "Networks 101",
    words: "one two three four five six",
    root: key("t"),
    address: "10.0.0.5:4711",
    trust: "new"
  },
  "session.joined": {
    event: "session.joined",
    session: sessionId("s"),
    title: "Networks 101",
    words: "one two three four five six",
    root: key("t"),
    peer: peer("me")
  },
  "session.ended": { event: "session.ended", session: sessionId("s"), reason: "ended-by-teacher" },
  "peer.up": { event: "peer.up", peer: peer("p"), name: "anna", address: "10.0.0.6:1000", host: true },
  "peer.down": { event: "peer.down", peer: peer("p"), name: "anna" },
  "peer.removed": { event: "peer.removed", peer: peer("p"), name: "anna" },
  "share.preparing": {
    event: "share.preparing",
    preparation: "preparing-1",
    title: "lab.bin",
    hashedBytes: 400,
    bytes: 1000
  },
  "share.prepared": { event: "share.prepared", preparation: "preparing-1", title: "lab.bin", outcome: "called-off" },
  "share.offered": { event: "share.offered", root: root("r"), title: "lab.bin", kind: "file", bytes: 1000, files: 1 },
  "share.progress": {
    event: "share.progress",
    root: root("r"),
    title: "lab.bin",
    verifiedBytes: 500,
    bytes: 1000,
    receiveBytesPerSecond: 100,
    sendBytesPerSecond: 50,
    sources: 2
  },
  "share.completed": { event: "share.completed", root: root("r"), title: "lab.bin", path: "/dl/lab.bin", bytes: 1000 },
  "share.failed": {
    event: "share.failed",
    root: root("r"),
    title: "lab.bin",
    reason: "The disk is full.",
    resumes: true
  },
  "share.withdrawn": { event: "share.withdrawn", root: root("r"), title: "lab.bin" },
  "message.delivered": {
    event: "message.delivered",
    author: peer("t"),
    name: "Ms Ada",
    byHost: true,
    number: 1,
    writtenAt: 0,
    text: "hello"
  },
  warning: { event: "warning", code: "udp-blocked", text: "Broadcast is blocked. Use --connect." }
}

export const share = (changed: Partial<ShareView>): ShareView => ({
  root: root("r"),
  title: "lab.bin",
  kind: "file",
  sizeBytes: 1_000_000,
  verifiedBytes: 0,
  receiveBytesPerSecond: 0,
  sendBytesPerSecond: 0,
  sources: 0,
  state: "receiving",
  path: undefined,
  problem: undefined,
  ...changed
})

export const view = (changed: Partial<SessionView>): SessionView => ({
  phase: "joined",
  isHost: false,
  session: sessionId("s"),
  title: "Networks 101",
  words: "one two three four five six",
  mayWrite: true,
  shares: [],
  preparing: [],
  devices: [],
  ...changed
})

export interface SessionFake {
  /** What was asked of the session, in order, e.g. `say hello`. */
  readonly asked: Array<string>
  /** Something happens. */
  readonly happen: (...events: ReadonlyArray<SessionEvent>) => Effect.Effect<void>
  view: SessionView
  conversation: ReadonlyArray<typeof MessageDelivered.Type>
  /** What passes before a share is ready. */
  beforeShared: Effect.Effect<void, SessionRefused>
  /** How many of the next writes are refused as too fast. */
  tooFastNext: number
  readonly layer: Layer.Layer<Session>
}

export const make = Effect.gen(function*() {
  const events = yield* PubSub.unbounded<SessionEvent>({ replay: 1_024 })
  const fake: SessionFake = {
    asked: [],
    happen: (...happened) => Effect.asVoid(PubSub.publishAll(events, happened)),
    view: view({}),
    conversation: [],
    beforeShared: Effect.void,
    tooFastNext: 0,
    layer: Layer.succeed(Session, {
      events: PubSub.subscribe(events),
      view: Effect.sync(() => fake.view),
      failed: Effect.never,
      share: (path) =>
        Effect.suspend((): Effect.Effect<Root, SourceError | SessionRefused> => {
          fake.asked.push(`share ${path}`)
          return path.includes("missing")
            ? Effect.fail(new SourceError({ path, reason: "not-found", detail: "" }))
            : Effect.as(fake.beforeShared, root(path.replace(/[^A-Za-z0-9_-]/g, "_").slice(-43)))
        }),
      unshare: (name) =>
        Effect.suspend(() => {
          fake.asked.push(`unshare ${name}`)
          return name === "unknown"
            ? Effect.fail(new SessionRefused({ reason: "unknown-share", detail: name }))
            : Effect.succeed(
              fake.view.shares.findLast(({ root, title }) => root === name || title === name)?.root
            )
        }),
      remove: (device) => Effect.sync(() => void fake.asked.push(`remove ${device}`)),
      say: (text) =>
        Effect.suspend(() => {
          if (fake.tooFastNext > 0) {
            fake.tooFastNext--
            return Effect.fail(new WriteRefused({ reason: "too-fast", detail: "" }))
          }
          fake.asked.push(`say ${text}`)
          return Effect.void
        }),
      conversation: Effect.sync(() => fake.conversation),
      end: Effect.sync(() => void fake.asked.push("end")),
      choose: (session) => Effect.sync(() => void fake.asked.push(`choose ${session}`)),
      enter: (code) => Effect.sync(() => void fake.asked.push(`enter ${Redacted.value(code)}`))
    })
  }
  return fake
})
