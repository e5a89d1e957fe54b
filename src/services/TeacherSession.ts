/** The teacher's side of a session: certifies it, announces it, and hosts it until its scope closes. */
import { Context, Effect, Layer, PubSub } from "effect"
import { type Certificate, supersedes } from "../protocol/Certificate.ts"
import * as JoinLink from "../protocol/JoinLink.ts"
import * as Words from "../protocol/Words.ts"
import { ChunkScheduler } from "./ChunkScheduler.ts"
import { ChunkStore } from "./ChunkStore.ts"
import { Crypto } from "./Crypto.ts"
import { Datagrams } from "./Datagrams.ts"
import { Discovery, type Sighting } from "./Discovery.ts"
import * as DiscoveryNotices from "./DiscoveryNotices.ts"
import { HostedSessions } from "./HostedSessions.ts"
import { Identity } from "./Identity.ts"
import * as Joined from "./Joined.ts"
import { MessageRelay } from "./MessageRelay.ts"
import { PeerManager } from "./PeerManager.ts"
import { eventsKept, Session, SessionRefused, type SessionView, type TeacherOptions } from "./Session.ts"
import { SessionContext } from "./SessionContext.ts"
import type { SessionEvent } from "./SessionEvent.ts"

/** How often a run takes the lead back from another certificate of its root before it says that two are running. */
const overtakingMax = 3

const make = Effect.fnUntraced(function*(options: TeacherOptions) {
  const crypto = yield* Crypto
  const identity = yield* Identity
  const hosted = yield* HostedSessions
  const discovery = yield* Discovery
  const datagrams = yield* Datagrams

  const root = crypto.keyPair(options.secretSeed)
  const host = yield* identity.ephemeral
  const events = yield* PubSub.sliding<SessionEvent>({ capacity: eventsKept, replay: eventsKept })
  const publish = (event: SessionEvent) => Effect.asVoid(PubSub.publish(events, event))

  /** The newest session of this root that somebody in reach is in, where the state does not know what was hosted last. */
  const inReach = Effect.gen(function*() {
    const listenFirstMs = options.listenFirstMs ?? 0
    if (listenFirstMs === 0 || (yield* hosted.knows(root.publicKey))) return undefined
    yield* discovery.want((other) => other === root.publicKey)
    yield* Effect.sleep(listenFirstMs)
    const mine = (yield* discovery.sighted)
      .map(({ certificate }) => certificate.certificate)
      .filter((certificate) => certificate.root === root.publicKey)
    return mine.reduce<Certificate | undefined>(
      (newest, each) => newest === undefined || supersedes(each, newest) ? each : newest,
      undefined
    )
  })
  const { epoch, session } = yield* hosted.next(root.publicKey, yield* inReach)
  const certify = (epoch: number) => {
    const certificate: Certificate = {
      version: 1,
      root: root.publicKey,
      session,
      host: host.publicKey,
      title: options.title,
      epoch,
      policy: {
        closed: options.joinCode !== undefined,
        studentsMayWrite: options.studentsMayWrite,
        studentsMayShare: false
      }
    }
    return { certificate, signed: crypto.sign(root, "certificate", "-", JSON.stringify(certificate)) }
  }

  const services = yield* Layer.build(
    Layer.mergeAll(MessageRelay.layer(options.stateFolder), ChunkScheduler.layer).pipe(
      Layer.provideMerge(Layer.mergeAll(
        PeerManager.layer({ listenPort: options.port, program: options.program }),
        ChunkStore.layer({ stateFolder: options.stateFolder })
      )),
      Layer.provideMerge(SessionContext.layer({
        self: host,
        name: options.name,
        certificates: [certify(epoch)],
        joinCode: options.joinCode
      }))
    )
  )
  const context = Context.get(services, SessionContext)
  const peers = Context.get(services, PeerManager)

  let overtaken = 0
  /** Somebody in reach is in a session of this root: this session's own devices, or one under a larger epoch. */
  const onSighting = Effect.fnUntraced(function*({ address, certificate: { certificate, signed }, peer }: Sighting) {
    if (certificate.root !== root.publicKey) return
    if (certificate.session === session) {
      yield* peers.heard(peer, address)
      context.learn([signed])
    }
    const newest = context.certificate()
    if (certificate.epoch < newest.epoch || certificate.host === host.publicKey) return
    // Whoever holds the secret now is the host: a certificate of an earlier run, or of lost state, has had its time. But
    // somebody who answers in kind is running too, and two of them would go on for ever.
    overtaken++
    if (overtaken > overtakingMax) {
      return yield* overtaken > overtakingMax + 1 ? Effect.void : publish({
        event: "warning",
        code: "secret-in-use",
        text:
          `Another labfx at ${address.host} hosts a session with the same secret. Only one of you is heard: end one of them.`
      })
    }
    yield* hosted.raise(root.publicKey, certificate.epoch + 1)
    context.learn([certify(certificate.epoch + 1).signed])
  }, (effect) => Effect.ignore(effect))

  const words = Words.fingerprint(root.publicKey, crypto.sha256)
  const addresses = (yield* datagrams.interfaces)
    .filter(({ loopback }) => !loopback)
    .map(({ address }) => ({ host: address, port: peers.listenPort }))
  yield* publish({
    event: "session.started",
    session,
    title: options.title,
    words,
    root: root.publicKey,
    port: peers.listenPort,
    link: JoinLink.encode({ root: root.publicKey, session, addresses })
  })

  /** Whoever wrote it down, this session is over: a teacher who has lost the state may hear that from the room. */
  const tell = (event: SessionEvent) =>
    event.event === "session.ended"
      ? Effect.andThen(Effect.ignore(hosted.end(root.publicKey)), publish(event))
      : publish(event)
  const joined = yield* Joined.make(tell, options.program).pipe(Effect.provide(services))
  yield* Effect.forkScoped(Joined.tellNotices(publish).pipe(Effect.provide(services)))
  yield* Effect.forkScoped(DiscoveryNotices.run(discovery, publish))
  const sightings = yield* discovery.sightings
  yield* Effect.forkScoped(Effect.forever(Effect.flatMap(PubSub.take(sightings), onSighting)))
  yield* discovery.announce(Effect.sync(() => ({
    certificate: context.certificates().at(-1)!,
    self: host,
    // An ended session is not announced: nobody is to join it any more.
    listenPort: joined.isEnded() ? 0 : peers.listenPort
  })))

  const view = Effect.gen(function*() {
    const view: SessionView = {
      phase: joined.isEnded() ? "ended" : "joined",
      isHost: true,
      session,
      title: options.title,
      words,
      mayWrite: joined.mayWrite(),
      shares: yield* joined.shares,
      preparing: yield* joined.preparing,
      devices: yield* joined.devices
    }
    return view
  })

  return Session.of({
    events: PubSub.subscribe(events),
    view,
    failed: Effect.never,
    share: joined.share,
    unshare: joined.unshare,
    remove: joined.remove,
    say: joined.say,
    conversation: joined.conversation,
    // Forgotten first: if this run dies in between, the next one begins a new session all the same.
    end: Effect.andThen(Effect.ignore(hosted.end(root.publicKey)), joined.end),
    choose: () => Effect.fail(new SessionRefused({ reason: "unknown-session", detail: "a teacher's own session" })),
    enter: () => Effect.fail(new SessionRefused({ reason: "not-asked", detail: "a teacher's own session" }))
  })
})

export const layer = (options: TeacherOptions) =>
  Layer.effect(Session, make(options)).pipe(
    Layer.provide(Layer.mergeAll(
      Identity.layer(options.stateFolder),
      HostedSessions.layer(options.stateFolder),
      Discovery.layer({ port: options.discoveryPort })
    ))
  )
