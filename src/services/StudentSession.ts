/** The student's side of a session: looks for one, decides whom to trust, joins, and takes part until its scope closes. */
import { Clock, Context, Deferred, Effect, Layer, PubSub, Queue } from "effect"
import { supersedes, type VerifiedCertificate } from "../protocol/Certificate.ts"
import type { PeerId, PublicKey, SessionId } from "../protocol/Ids.ts"
import * as Limits from "../protocol/Limits.ts"
import * as Trust from "../protocol/Trust.ts"
import type { Address } from "../protocol/Wire.ts"
import * as Words from "../protocol/Words.ts"
import { ChunkScheduler } from "./ChunkScheduler.ts"
import { ChunkStore } from "./ChunkStore.ts"
import { Crypto } from "./Crypto.ts"
import { Discovery, type Sighting } from "./Discovery.ts"
import * as DiscoveryNotices from "./DiscoveryNotices.ts"
import { Disk } from "./Disk.ts"
import { Identity } from "./Identity.ts"
import * as Joined from "./Joined.ts"
import * as Link from "./Link.ts"
import { Memberships } from "./Memberships.ts"
import { MessageRelay } from "./MessageRelay.ts"
import { Multicast } from "./Multicast.ts"
import { type LastSession, PastSessions } from "./PastSessions.ts"
import { PeerManager } from "./PeerManager.ts"
import {
  type Door,
  eventsKept,
  Session,
  type SessionFailure,
  SessionRefused,
  type SessionView,
  type StudentOptions
} from "./Session.ts"
import { SessionContext, verifyCertificate } from "./SessionContext.ts"
import type { SessionEvent } from "./SessionEvent.ts"
import { Transport } from "./Transport.ts"

/** How long a typed address that gave nothing rests before it is asked again. */
const probeIntervalMs = 1_500
/** How often it is written down where the peers are, at most. */
const rememberIntervalMs = 2_000

interface JoinedSession {
  readonly joined: Joined.Joined
  readonly context: SessionContext["Service"]
}

const make = Effect.fnUntraced(function*(options: StudentOptions) {
  const crypto = yield* Crypto
  const identity = yield* Identity
  const discovery = yield* Discovery
  const memberships = yield* Memberships
  const past = yield* PastSessions
  const transport = yield* Transport
  const clock = yield* Clock.Clock
  // These and nothing else: the scope among what surrounds this would keep every session of a run until its end.
  const platform = Context.pick(Crypto, Disk, Multicast, Transport)(
    yield* Effect.context<Crypto | Disk | Multicast | Transport>()
  )
  const nowMs = () => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)

  const self = yield* identity.device
  const pins = yield* identity.pins
  const fingerprintWords = (root: PublicKey) => Words.fingerprint(root, crypto.sha256)

  const events = yield* PubSub.sliding<SessionEvent>({ capacity: eventsKept, replay: eventsKept })
  const publish = (event: SessionEvent) => Effect.asVoid(PubSub.publish(events, event))

  // ---- looking -----------------------------------------------------------------------------------------------------

  const trustOptions: Trust.Options = {
    pins,
    trusted: options.trust,
    words: options.join,
    newSessions: options.newSessions,
    fingerprintWords,
    startedMs: nowMs()
  }
  let trust = Trust.make(trustOptions)
  const inputs = yield* Queue.dropping<Trust.Input>(1_024)
  /** Whom to trust is decided; a closed session has still to let this device in. */
  const decided = Deferred.makeUnsafe<void>()
  let joinedNow: JoinedSession | undefined
  /** The session this device takes part in. */
  const current = () => joinedNow
  const refusals = new Map<SessionId, Deferred.Deferred<void, SessionRefused>>()
  const found = new Set<PublicKey>()
  let joinCode = options.joinCode
  let door: Door | undefined
  /** Begins anew at the door, with the code that is known by then. */
  let knockAgain: Effect.Effect<void> = Effect.void

  const describe = ({ certificate: { root, session, title } }: VerifiedCertificate) => ({
    session,
    title,
    words: fingerprintWords(root),
    root
  })

  /** Sessions that are over, whoever announces them and whatever else is forgotten of them. */
  const ended = new Set(yield* past.ended)
  const end = (session: SessionId) => {
    ended.add(session)
    return Effect.ignore(past.end(session))
  }

  const seen = Effect.fnUntraced(function*(certificate: VerifiedCertificate, address: Address, resumes = false) {
    const { root, session, title } = certificate.certificate
    if (ended.has(session)) return
    if (!found.has(root) && found.size < Limits.sessionsListedMax) {
      found.add(root)
      yield* publish({
        event: "session.found",
        ...describe(certificate),
        address: `${address.host}:${address.port}`,
        trust: Trust.isKnown(trustOptions, root) ? "pinned" : Trust.isAlarming(trustOptions, title) ? "alarm" : "new"
      })
    }
    yield* Queue.offer(inputs, { _tag: "Seen", certificate, resumes, nowMs: nowMs() })
  })

  const decide = (output: Trust.Output): Effect.Effect<void, SessionFailure> => {
    switch (output._tag) {
      case "Join":
        return takePart(output.certificate, output.pinIt, output.reason)
      case "Ask":
        return Effect.void
      case "List":
        return publish({
          event: "warning",
          code: "several-sessions",
          text:
            `${output.certificates.length} sessions are in reach and none is known: compare the words and choose one, ` +
            "or start again with --join and the words on the board."
        })
      case "Alarm":
        return publish({
          event: "warning",
          code: "other-teacher",
          text:
            `A session called "${output.title}" is in reach whose teacher is NOT the one this device knows by that ` +
            `name (${fingerprintWords(output.seenRoot)} instead of ${fingerprintWords(output.pinnedRoot)}). ` +
            "It is not joined. If your teacher has a new secret, start again with --join and the words on the board."
        })
      case "Refused": {
        const waiting = refusals.get(output.session)
        return waiting === undefined ? Effect.void : Effect.asVoid(Deferred.fail(
          waiting,
          new SessionRefused({ reason: "unknown-session", detail: output.session })
        ))
      }
    }
  }

  /** Feeds the trust machine until it has decided. */
  const looking = Effect.gen(function*() {
    while (!trust.joined) {
      const now = nowMs()
      const wakeMs = Trust.wakeMs(trust, now)
      const input = yield* wakeMs === undefined
        ? Queue.take(inputs)
        : Queue.take(inputs).pipe(
          Effect.timeoutOrElse({
            duration: Math.max(1, wakeMs - now),
            orElse: () => Effect.sync((): Trust.Input => ({ _tag: "Tick", nowMs: nowMs() }))
          })
        )
      const [next, outputs] = Trust.step(trust, input)
      trust = next
      yield* Effect.forEach(outputs, decide, { discard: true })
    }
  })

  /** Asks whoever is at an address which session it is in: reads the hello that every peer begins with, and leaves. */
  const ask = (address: Address) =>
    Effect.gen(function*() {
      const connection = yield* transport.dial(self, address, undefined)
      const link = yield* Link.make(connection)
      const first = yield* Effect.timeout(Queue.take(link.inbox), Limits.handshakeTimeoutMs)
      const signed = first._tag === "Message" && first.message._tag === "Hello" ? first.message.certificates : []
      return {
        key: connection.key,
        peer: connection.peer,
        certificates: signed.flatMap((each) => verifyCertificate(crypto, each) ?? [])
      }
    }).pipe(Effect.scoped)

  const probe = (address: Address) =>
    ask(address).pipe(
      Effect.flatMap(({ certificates }) => Effect.forEach(certificates, (each) => seen(each, address))),
      Effect.ignore
    )

  const last = yield* past.last
  /** Where peers of the last session were, and who has been found there now. */
  const remembered = new Map<PeerId, Address>(last?.peers.map(({ address, peer }) => [peer, address]))

  /**
   * Asks a peer of the last session whether it is still there. Only its own key or that of the session's host can say so:
   * whoever else has come to the address is not listened to.
   */
  const recall = (last: LastSession, { address, peer }: LastSession["peers"][number]) =>
    Effect.gen(function*() {
      const answer = yield* ask(address)
      const newest = answer.certificates.at(-1)
      if (newest?.certificate.session !== last.session || newest.certificate.root !== last.root) return
      if (answer.peer !== peer && answer.key !== newest.certificate.host) return
      remembered.set(answer.peer, address)
      yield* seen(newest, address, last.cutShort)
    }).pipe(Effect.ignore)

  // ---- joining -----------------------------------------------------------------------------------------------------

  /** Takes part in a session, and in those with which its teacher replaces it. */
  const takePart = Effect.fnUntraced(function*(certificate: VerifiedCertificate, pinIt: boolean, reason: Trust.Reason) {
    const { root, title } = certificate.certificate
    if (pinIt) {
      yield* identity.pin({ root, title }).pipe(Effect.catch((error) =>
        publish({
          event: "warning",
          code: "not-pinned",
          text: `The teacher could not be remembered for the next time: ${error.detail}.`
        })
      ))
    }
    if (reason === "first-use") {
      yield* publish({
        event: "warning",
        code: "first-use",
        text: `"${title}" was the only session in reach and is trusted from now on. Its words are: ${
          fingerprintWords(root)
        }.`
      })
    }
    yield* Deferred.succeed(decided, undefined)
    let next = certificate
    while (true) {
      const { session } = next.certificate
      next = yield* Effect.scoped(join(next))
      joinedNow = undefined
      door = undefined
      // The same one again: with another join code.
      if (next.certificate.session !== session) yield* publish({ event: "session.ended", session, reason: "replaced" })
    }
  })

  /** Takes part until the root key says that another session has taken this one's place, and gives that one. */
  const join = Effect.fnUntraced(function*(certificate: VerifiedCertificate) {
    const { certificate: { root, session } } = certificate
    const membership = yield* Effect.catch(memberships.of(session), () => Effect.succeed(undefined))
    const services = yield* Layer.build(
      Layer.mergeAll(MessageRelay.layer(options.stateFolder), ChunkScheduler.layer).pipe(
        Layer.provideMerge(Layer.mergeAll(
          PeerManager.layer({ listenPort: options.port, program: options.program }),
          ChunkStore.layer({ stateFolder: options.stateFolder, downloadFolder: options.downloadFolder })
        )),
        Layer.provideMerge(SessionContext.layer({
          self,
          name: options.name,
          certificates: [certificate],
          joinCode,
          membership
        }))
      )
    )
    const context = Context.get(services, SessionContext)
    const peers = Context.get(services, PeerManager)
    const replaced = Deferred.makeUnsafe<VerifiedCertificate>()
    const stands = (state: Door["state"]) => {
      const { title, words } = describe(certificate)
      door = { session, title, words, state }
    }
    if (context.isClosed() && context.membership() === undefined) {
      stands(joinCode === undefined ? "code-needed" : "asking")
      knockAgain = Effect.suspend(() => Effect.asVoid(Deferred.succeed(replaced, context.certificates().at(-1)!)))
    }
    const notices = yield* peers.notices
    yield* PubSub.take(notices).pipe(
      Effect.tap(({ reason }) =>
        Effect.sync(() => {
          if (door === undefined) return
          if (reason === "wrong-code" || reason === "later") stands(reason)
        })
      ),
      Effect.forever,
      Effect.forkScoped
    )

    const heard = ({ address, certificate: sighted, peer }: Sighting) =>
      Effect.suspend(() => {
        if (sighted.certificate.root !== root) return Effect.void
        if (sighted.certificate.session !== session) {
          return !ended.has(sighted.certificate.session) && supersedes(sighted.certificate, context.certificate())
            ? Effect.asVoid(Deferred.succeed(replaced, sighted))
            : Effect.void
        }
        context.learn([sighted.signed])
        return peers.heard(peer, address)
      })

    // Until a closed session has let this device in, it is in no session, and nothing happens there.
    const begun = Deferred.makeUnsafe<void>()
    const joined = yield* Joined.make(
      (event) =>
        Deferred.await(begun).pipe(
          Effect.andThen(event.event === "session.ended" ? end(session) : Effect.void),
          Effect.andThen(publish(event))
        ),
      options.program
    ).pipe(
      Effect.provide(services)
    )
    const links = yield* peers.linkChanges
    /** For a run that follows upon a kill: the teacher first, for it is there the longest. */
    const rememberPeers = Effect.gen(function*() {
      yield* PubSub.takeAll(links)
      const linked = (yield* peers.peers)
        .toSorted((a, b) => Number(b.isHost) - Number(a.isHost))
        .map(({ address, peer }) => ({ peer, address }))
      if (linked.length > 0 && !joined.isEnded()) {
        yield* Effect.ignore(past.keep({ root, session, peers: linked }))
      }
      yield* Effect.sleep(rememberIntervalMs)
    })
    const begin = Effect.gen(function*() {
      yield* peers.admitted
      const shown = context.membership()
      if (context.isClosed() && shown !== undefined) {
        yield* memberships.keep(session, shown).pipe(Effect.catch((error) =>
          publish({
            event: "warning",
            code: "membership-not-kept",
            text: `The join code will be needed again after a restart, for it could not be noted: ${error.detail}.`
          })
        ))
      }
      door = undefined
      joinedNow = { joined, context }
      yield* publish({ event: "session.joined", ...describe(certificate), peer: context.peer })
      yield* Deferred.succeed(begun, undefined)
      yield* discovery.announce(Effect.sync(() => ({
        certificate: context.certificates().at(-1)!,
        self,
        // An ended session is not announced: nobody is to join it any more.
        listenPort: joined.isEnded() ? 0 : peers.listenPort
      })))
      yield* Effect.forever(rememberPeers)
    })
    yield* Effect.forkScoped(Joined.tellNotices(publish).pipe(Effect.provide(services)))
    if (context.isClosed() && context.membership() === undefined && joinCode === undefined) {
      yield* publish(Joined.warning({ reason: "closed", address: { host: "", port: 1 }, detail: "" }))
    }
    yield* Effect.forkScoped(begin)
    const sightings = yield* discovery.sightings
    if (session === last?.session) {
      yield* Effect.forEach(remembered, ([peer, address]) => peers.heard(peer, address), { discard: true })
    }
    yield* Effect.forEach(yield* discovery.sighted, heard, { discard: true })
    yield* Effect.forkScoped(Effect.forever(Effect.flatMap(PubSub.take(sightings), heard)))
    yield* Effect.forEach(options.connect, peers.connect, { discard: true })
    return yield* Deferred.await(replaced)
  }, Effect.provide(platform))

  // ---- life --------------------------------------------------------------------------------------------------------

  const failed = Deferred.makeUnsafe<never, SessionFailure>()
  const sightings = yield* discovery.sightings
  yield* discovery.want((root) => Trust.isKnown(trustOptions, root))
  yield* PubSub.take(sightings).pipe(
    Effect.flatMap(({ address, certificate }) => seen(certificate, address)),
    Effect.forever,
    Effect.forkScoped
  )
  // After the fibers that keep it have ended: finalizers run in the order opposite to that of their making.
  yield* Effect.addFinalizer(() => Effect.ignore(past.leave))
  if (last !== undefined && Trust.isKnown(trustOptions, last.root)) {
    for (const peer of last.peers) {
      yield* recall(last, peer).pipe(Effect.raceFirst(Deferred.await(decided)), Effect.forkScoped)
    }
  }
  for (const address of options.connect) {
    yield* probe(address).pipe(
      Effect.andThen(Effect.sleep(probeIntervalMs)),
      Effect.forever,
      Effect.raceFirst(Deferred.await(decided)),
      Effect.forkScoped
    )
  }
  yield* Effect.forkScoped(DiscoveryNotices.run(discovery, publish))
  yield* looking.pipe(
    Effect.catchCause((cause) => Deferred.failCause(failed, cause)),
    Effect.forkScoped
  )

  const view = Effect.gen(function*() {
    const now = current()
    const view: SessionView = now === undefined
      ? {
        phase: "looking",
        isHost: false,
        session: undefined,
        title: undefined,
        words: undefined,
        mayWrite: false,
        door,
        shares: [],
        preparing: [],
        devices: []
      }
      : {
        phase: now.joined.isEnded() ? "ended" : "joined",
        isHost: false,
        session: now.context.session,
        title: now.context.certificate().title,
        words: fingerprintWords(now.context.root),
        mayWrite: now.joined.mayWrite(),
        shares: yield* now.joined.shares,
        preparing: yield* now.joined.preparing,
        devices: yield* now.joined.devices
      }
    return view
  })

  const whenJoined = <A, E>(
    use: (joined: Joined.Joined) => Effect.Effect<A, E>
  ): Effect.Effect<A, E | SessionRefused> =>
    Effect.suspend((): Effect.Effect<A, E | SessionRefused> => {
      const now = current()
      return now === undefined
        ? Effect.fail(new SessionRefused({ reason: "not-joined", detail: "no session has been joined yet" }))
        : use(now.joined)
    })

  return Session.of({
    events: PubSub.subscribe(events),
    failed: Deferred.await(failed),
    view,
    share: (path) => whenJoined((joined) => joined.share(path)),
    unshare: (name) => whenJoined((joined) => joined.unshare(name)),
    remove: (device) => whenJoined((joined) => joined.remove(device)),
    say: (text) => whenJoined((joined) => joined.say(text)),
    conversation: Effect.suspend(() => current()?.joined.conversation ?? Effect.succeed([])),
    end: whenJoined((joined) => joined.end),
    choose: Effect.fn("Session.choose")(function*(session) {
      if (trust.joined) return
      // A session is seen before everybody in reach has been heard, and only then may it be chosen: who is quick waits.
      const early = Trust.wakeMs(trust, nowMs())
      if (early !== undefined && !trust.shown.some(({ certificate }) => certificate.session === session)) {
        yield* Effect.sleep(Math.min(Math.max(0, early - nowMs()), Limits.settleFromStartMs))
        yield* Queue.offer(inputs, { _tag: "Tick", nowMs: nowMs() })
      }
      const refused = Deferred.makeUnsafe<void, SessionRefused>()
      refusals.set(session, refused)
      yield* Queue.offer(inputs, { _tag: "Chosen", session, nowMs: nowMs() })
      yield* Effect.raceFirst(Deferred.await(refused), Deferred.await(decided)).pipe(
        Effect.ensuring(Effect.sync(() => refusals.delete(session)))
      )
    }),
    enter: (code) =>
      Effect.suspend((): Effect.Effect<void, SessionRefused> => {
        if (door === undefined) {
          return Effect.fail(new SessionRefused({ reason: "not-asked", detail: "no session asks for a join code" }))
        }
        joinCode = code
        door = { ...door, state: "asking" }
        return knockAgain
      })
  })
})

export const layer = (options: StudentOptions) =>
  Layer.effect(Session, make(options)).pipe(
    Layer.provide(Layer.mergeAll(
      Identity.layer(options.stateFolder),
      Memberships.layer(options.stateFolder),
      PastSessions.layer(options.stateFolder),
      Discovery.layer({ port: options.discoveryPort })
    ))
  )
