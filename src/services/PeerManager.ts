/**
 * The live links of this device: handshake, membership, outboxes and inboxes.
 *
 * Above it nobody sees a socket. A peer has at most one link; `PeerUp` comes after both hellos, `PeerDown` when the link
 * has ended, and in between every message of the peer in the order it was sent.
 */
import {
  Clock,
  Context,
  Deferred,
  Effect,
  Exit,
  FiberSet,
  Layer,
  PubSub,
  Queue,
  Random,
  Redacted,
  type Scope
} from "effect"
import * as Frame from "../protocol/Frame.ts"
import * as Guesses from "../protocol/Guesses.ts"
import * as Handshake from "../protocol/Handshake.ts"
import type { PeerId, PublicKey } from "../protocol/Ids.ts"
import * as Limits from "../protocol/Limits.ts"
import * as Membership from "../protocol/Membership.ts"
import type {
  Address,
  CastMessage,
  Data,
  GoodbyeCode,
  Hello,
  LogMessage,
  Message,
  SwarmMessage
} from "../protocol/Wire.ts"
import { isSwarmMessage, usualPort, versionMax, versionMin } from "../protocol/Wire.ts"
import * as Link from "./Link.ts"
import * as Mailbox from "./Mailbox.ts"
import * as PeerNotices from "./PeerNotices.ts"
import type { PeerNotice } from "./PeerNotices.ts"
import { SessionContext } from "./SessionContext.ts"
import { type AcceptError, type Connection, Transport } from "./Transport.ts"

export interface PeerInfo {
  readonly peer: PeerId
  readonly key: PublicKey
  readonly name: string
  readonly address: Address
  readonly dialled: boolean
  readonly isHost: boolean
}

export type PeerEvent<Message> =
  | { readonly _tag: "PeerUp"; readonly info: PeerInfo }
  | { readonly _tag: "PeerDown"; readonly peer: PeerId }
  | { readonly _tag: "PeerMessage"; readonly peer: PeerId; readonly message: Message }

export type LogEvent =
  | PeerEvent<LogMessage>
  /** The peer has a link to the host, as it says, or has none any more. None at first. */
  | { readonly _tag: "PeerNearHost"; readonly peer: PeerId; readonly near: boolean }

export type SwarmEvent =
  | PeerEvent<SwarmMessage | CastMessage>
  /** The peer has said, perhaps again, whether it has a link to the host. */
  | { readonly _tag: "PeerNearHost"; readonly peer: PeerId; readonly near: boolean }
  /** All bytes of one data frame are in the place that was given for them. */
  | { readonly _tag: "PeerData"; readonly peer: PeerId; readonly data: Data; readonly length: number }

export interface LinkChange {
  readonly _tag: "PeerUp" | "PeerDown"
  readonly info: PeerInfo
}

export interface PeerManagerOptions {
  /** 0 for the usual port, or a free one if another labfx of this machine has it. */
  readonly listenPort: number
  /** Says so in `Hello`, for people and logs. */
  readonly program: string
}

/** Who moves chunks. Both are plain calls while bytes arrive, thousands a second, and must neither wait nor throw. */
export interface SwarmUser {
  readonly hear: (event: SwarmEvent) => void
  /**
   * Where the payload of a data frame goes: exactly `length` bytes, or nothing for a frame that nobody asked for, whose
   * bytes are then thrown away.
   */
  readonly placeFor: (peer: PeerId, data: Data, length: number) => Uint8Array | undefined
}

export class PeerManager extends Context.Service<PeerManager, {
  /** Events of the links with `log` messages. One consumer; bounded, a consumer that lags slows the links it lags for. */
  readonly logEvents: Mailbox.Inbox<LogEvent>
  /** Set once, by the one who moves chunks. No link is up before. */
  readonly setSwarmUser: (user: SwarmUser) => Effect.Effect<void>
  /**
   * Puts a message into the peer's outbox. Never waits and never fails: to a peer that is gone it is dropped, and a
   * peer whose outbox is over `Limits.outboxBytesMax` is disconnected (`slow`). Log messages overtake swarm messages, and
   * what is `patient` waits for company until `flush`. A plain call: chunks are a matter of microseconds.
   */
  readonly send: (peer: PeerId, message: LogMessage | SwarmMessage | CastMessage, patient?: boolean) => void
  /** Lets go on every link what waits for company. */
  readonly flush: () => void
  /**
   * So many bytes of what this peer has sent brought nothing new. A peer that sends more of that than
   * `Limits.overheadBytesPerSecondMax` is not read until its average holds again.
   */
  readonly overhead: (peer: PeerId, bytes: number) => void
  /**
   * Sends a chunk as data frames behind all waiting messages; messages that come meanwhile go between its frames. Chunks of
   * one peer are sent one after another in the order of the calls, the urgent ones ahead of the others.
   */
  readonly sendChunk: (peer: PeerId, chunk: Link.OutgoingChunk) => void
  /** Whether a chunk has come or gone over any link in the last moment. */
  readonly movesBulk: () => boolean
  /** Ends the link with a word for the log; with `poison`, `protocol` or `removed` the peer is not linked again in this session. */
  readonly disconnect: (peer: PeerId, code: GoodbyeCode, detail: string) => Effect.Effect<void>
  readonly peers: Effect.Effect<ReadonlyArray<PeerInfo>>
  /** Completes once this device belongs: at once in an open session, else when it has a membership. */
  readonly admitted: Effect.Effect<void>
  /** Where this device accepts links; 0 if it accepts none. */
  readonly listenPort: number
  /** A peer of this session has been heard of. Whether it is dialled is a question of membership. */
  readonly heard: (peer: PeerId, address: Address) => Effect.Effect<void>
  /** A person typed an address; it is dialled for as long as the session lasts. */
  readonly connect: (address: Address) => Effect.Effect<void>
  /** Links as they come and go, for whoever shows them; a subscriber that falls 256 behind loses the oldest. */
  readonly linkChanges: Effect.Effect<PubSub.Subscription<LinkChange>, never, Scope.Scope>
  /** What a person may want to know about links that did not come about. */
  readonly notices: Effect.Effect<PubSub.Subscription<PeerNotice>, never, Scope.Scope>
}>()("labfx/services/PeerManager") {
  static readonly layer = (options: PeerManagerOptions) => Layer.effect(PeerManager, make(options))
}

const laneOf = (message: LogMessage | SwarmMessage | CastMessage): Link.Lane =>
  isSwarmMessage(message) ? "swarm" : "log"

/** What a link says of itself is overhead, whatever it says. */
const upkeep: ReadonlySet<Message["_tag"]> = new Set(["Ping", "Pong", "Peers", "Heads"])
/** How often links are looked after: signs of life, addresses told, surplus given up. */
const careIntervalMs = 1_000
/** Chunks that came or went within this time are moving still. */
const bulkMomentMs = 1_000
/** How often a peer is told of addresses at most, and which change in the number of links is worth a message. */
const tellIntervalMs = 3_000
const linksWorthTelling = 2
/** A host that has not answered for so long does not reach this device, and neighbors should know before the link is given up. */
const hostQuietMs = Limits.pingAfterMs + 3_000

const make = Effect.fnUntraced(function*(
  options: PeerManagerOptions
): Effect.fn.Return<PeerManager["Service"], AcceptError, Scope.Scope | SessionContext | Transport> {
  const context = yield* SessionContext
  const transport = yield* Transport
  const clock = yield* Clock.Clock
  const random = yield* Random.Random
  const scope = yield* Effect.scope
  const nowMs = () => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)

  interface Live {
    readonly info: PeerInfo
    readonly link: Link.Link
    readonly user: SwarmUser
    /** Open until `PeerDown` has been said. */
    readonly gone: Deferred.Deferred<void>
    /**
     * When addresses were last told to the peer, whose, how many links, and whether to the host. Nobody is told of twice over
     * one link.
     */
    toldMs: number
    readonly told: Set<PeerId>
    toldLinks: number
    toldHost: boolean
    /** When the peer last told of addresses, and whether it said that it has a link to the host. */
    heardAddressesMs: number
    heardHost: boolean
    /** Why the peer has ended the link, as it says. */
    goodbye: GoodbyeCode | undefined
  }
  const live = new Map<PeerId, Live>()
  const membership = Membership.make(context.peer, context.isHost, () => random.nextDoubleUnsafe(), context.hostPeer)
  const guesses = Guesses.make()
  const admitted = Deferred.makeUnsafe<void>()
  /** The host that did not take the code: it is asked again only after it has started anew. */
  let refusedBy: PublicKey | undefined

  const logEvents = yield* Mailbox.make<LogEvent>(Limits.logEventsMax)
  const linkChanges = yield* PubSub.sliding<LinkChange>(256)
  const notices = yield* PubSub.sliding<PeerNotice>(64)
  const swarmUser = Deferred.makeUnsafe<SwarmUser>()

  // Most messages go to several peers one after the other: they are encoded once.
  let encoded: { readonly message: Message; readonly frame: Uint8Array } | undefined
  const encode = (message: Message): Uint8Array => {
    if (encoded?.message !== message) encoded = { message, frame: Frame.encodeControl(message) }
    return encoded.frame
  }

  const post = (peer: PeerId, lane: Link.Lane, message: Message): void =>
    live.get(peer)?.link.post(lane, encode(message))

  const fork = yield* FiberSet.makeRuntime()
  const advance = (input: Membership.Input): void => {
    for (const output of Membership.step(membership, input, nowMs())) {
      if (output._tag === "Dial") fork(dial(output.address, output.expected))
      else live.get(output.peer)?.link.end(output.code, output.detail)
    }
  }

  const dial = (address: Address, expected: PeerId | undefined): Effect.Effect<void> =>
    transport.dial(context.self, address, expected).pipe(
      Effect.matchEffect({
        onFailure: ({ reason }) =>
          Effect.sync(() => advance({ _tag: "DialFailed", address, expected, self: reason === "self" })),
        onSuccess: (connection) => runLink(connection)
      }),
      Effect.scoped
    )

  const ourHello = (): Hello => {
    const shown = context.membership()
    return {
      _tag: "Hello",
      versions: [versionMin, versionMax],
      session: context.session,
      certificates: context.certificates().map(({ signed }) => signed),
      ...(context.isClosed() ? {} : { name: context.name }),
      ...(shown === undefined ? {} : { membership: shown }),
      listenPort: listener.port,
      program: context.isClosed() ? "" : options.program
    }
  }

  /** Says both hellos, and in a closed session what it takes to belong; gives the other side's hello and its name. */
  const shakeHands = (link: Link.Link) =>
    Effect.timeoutOrElse(greet(link), {
      duration: Limits.handshakeTimeoutMs,
      orElse: () => turnAway(link, "protocol", "no hello")
    })

  const greet = Effect.fnUntraced(function*(link: Link.Link) {
    const { key, peer } = link.connection
    const ours = ourHello()
    link.post("link", Frame.encodeControl(ours))
    const hello = yield* awaitMessage(link, "Hello")
    if (hello === undefined) return undefined
    if (context.isRemoved(key)) return yield* turnAway(link, "removed", "the teacher has removed this device")
    if (membership.banned.has(peer)) {
      const detail = "this device was caught sending false data"
      yield* refused(link, "refused", detail)
      return yield* turnAway(link, "refused", detail)
    }
    const certified = hello.session === context.session && context.learn(hello.certificates).certified
    const verdict = Handshake.judge(hello, context.session, certified)
    if (verdict._tag === "Refused") {
      yield* refused(link, verdict.code, verdict.detail)
      return yield* turnAway(link, verdict.code, verdict.detail)
    }

    if (!context.belongs(key, hello.membership)) {
      if (!context.isHost || hello.membership !== undefined) return yield* turnAway(link, "closed", "not a member")
      if (!(yield* letIn(link))) return undefined
    }
    if (!isAdmitted() && key === context.certificate().host && !(yield* askToBeLetIn(link))) return undefined
    if (ours.name === undefined) {
      link.post("link", Frame.encodeControl({ _tag: "Introduction", name: context.name }))
    }
    const name = hello.name ?? (yield* awaitMessage(link, "Introduction"))?.name
    if (name === undefined) return undefined
    if (isAdmitted()) yield* Deferred.succeed(admitted, undefined)
    return { hello, name }
  })

  const turnAway = (link: Link.Link, code: GoodbyeCode, detail: string) =>
    Effect.sync(() => {
      link.end(code, detail)
      return undefined
    })

  /** The next message, if it is of that kind; else the link is at its end. */
  const awaitMessage = <Tag extends "Hello" | "Join" | "Admitted" | "Introduction">(link: Link.Link, tag: Tag) =>
    Queue.take(link.inbox).pipe(
      Effect.option,
      Effect.flatMap((taken): Effect.Effect<Extract<Message, { readonly _tag: Tag }> | undefined> => {
        const message = taken._tag === "Some" && taken.value._tag === "Message" ? taken.value.message : undefined
        if (message?._tag === tag) return Effect.succeed(message as Extract<Message, { readonly _tag: Tag }>)
        if (message?._tag === "Goodbye") return refused(link, message.code, message.detail)
        return turnAway(link, "protocol", `no ${tag.toLowerCase()}`)
      })
    )

  /** What a goodbye instead of a greeting means for this device, and what a person should know of it. */
  const refused = Effect.fnUntraced(function*(link: Link.Link, code: GoodbyeCode, detail: string) {
    const { key, remote: address } = link.connection
    if (code === "version" || code === "refused" || code === "removed") yield* notify(code, address, detail)
    // On these only the host's word counts: others may just not have heard of it yet.
    if (key !== context.certificate().host) return undefined
    if (code === "closed") {
      context.setMembership(undefined)
      if (context.joinCode === undefined) yield* notify(code, address, detail)
    }
    if (code === "wrong-code") refusedBy = key
    if (code === "wrong-code" || code === "later") yield* notify(code, address, detail)
    return undefined
  })

  const noticed = PeerNotices.make()
  const notify = (reason: PeerNotice["reason"], address: Address, detail: string) =>
    Effect.suspend(() => {
      const notice: PeerNotice = { reason, address, detail }
      return PeerNotices.isNews(noticed, notice) ? Effect.asVoid(PubSub.publish(notices, notice)) : Effect.void
    })

  // ---- closed sessions ---------------------------------------------------------------------------------------------

  const isAdmitted = () => context.isHost || !context.isClosed() || context.membership() !== undefined

  /** What this device may say to be let in; nothing to a host that has refused it. */
  const usableCode = () => refusedBy === context.certificate().host ? undefined : context.joinCode

  /** On the host: waits for the join code of a device that is no member yet. */
  const letIn = Effect.fnUntraced(function*(link: Link.Link) {
    const join = yield* awaitMessage(link, "Join")
    if (join === undefined) return false
    const { key, remote } = link.connection
    const isFirst = !guesses.addresses.has(Guesses.sourceOf(remote.host))
    switch (Guesses.answer(guesses, key, remote.host, context.isJoinCode(join.code), nowMs())) {
      case "right":
        link.post("link", Frame.encodeControl({ _tag: "Admitted", membership: context.admit(key) }))
        return true
      case "wrong":
        if (isFirst) yield* notify("guess", remote, "a wrong join code")
        yield* turnAway(link, "wrong-code", "this is not the join code")
        return false
      case "later":
        yield* turnAway(link, "later", "too many wrong join codes")
        return false
    }
  })

  /** The code goes to the key that the certificate names as host, proven by this very connection, and to nobody else. */
  const askToBeLetIn = Effect.fnUntraced(function*(link: Link.Link) {
    const code = usableCode()
    if (code === undefined) {
      yield* turnAway(link, "closed", "no join code")
      return false
    }
    link.post("link", Frame.encodeControl({ _tag: "Join", code: Redacted.value(code) }))
    const answer = yield* awaitMessage(link, "Admitted")
    if (answer === undefined) return false
    if (context.setMembership(answer.membership)) return true
    yield* turnAway(link, "protocol", "no membership")
    return false
  })

  /** Whoever does not belong yet has nothing to say to anybody but the host. */
  const mayDial = (peer: PeerId) => isAdmitted() || (peer === context.hostPeer() && usableCode() !== undefined)

  /** Of two links to one peer, whether this one stays. If it does, the other has ended when this completes. */
  const settleDuplicate = Effect.fnUntraced(function*(connection: Connection) {
    const other = live.get(connection.peer)
    if (other === undefined) return true
    // Two links dialled by the same side: the peer has lost the older one, whether this side knows it yet or not.
    const stays = other.info.dialled === connection.dialled ||
      connection.dialled === Membership.keepsDialled(context.peer, connection.peer)
    if (stays) {
      other.link.end("duplicate", "another link to the same peer")
      yield* Deferred.await(other.gone)
    }
    return stays
  })

  /** One link from its connection to its end. */
  const runLink = Effect.fnUntraced(function*(connection: Connection) {
    const link = yield* Link.make(connection)
    const { dialled, peer, remote } = connection
    const failed = (): void => {
      if (dialled) advance({ _tag: "DialFailed", address: remote, expected: peer, self: false })
    }
    const greeted = yield* shakeHands(link)
    if (greeted === undefined) return failed()
    const { hello, name } = greeted
    const user = yield* Deferred.await(swarmUser)
    if (!(yield* settleDuplicate(connection))) {
      link.end("duplicate", "another link to the same peer")
      return advance({ _tag: "Duplicate", peer, remote })
    }
    if (live.size >= Limits.linksMax) {
      // Others have room, and whoever comes has perhaps heard of nobody else.
      link.post("link", peersMessage(Membership.toTell(membership, peer, new Set())))
      link.end("surplus", `this device has ${live.size} links`)
      return failed()
    }

    const address = dialled ? remote : hello.listenPort > 0 ? { host: remote.host, port: hello.listenPort } : undefined
    const info: PeerInfo = {
      peer,
      key: connection.key,
      name,
      address: address ?? remote,
      dialled,
      isHost: context.certificate().host === connection.key
    }
    const gone = Deferred.makeUnsafe<void>()
    const me: Live = {
      info,
      link,
      user,
      gone,
      toldMs: -Infinity,
      told: new Set(),
      toldLinks: 0,
      toldHost: false,
      heardAddressesMs: -Infinity,
      heardHost: false,
      goodbye: undefined
    }
    live.set(peer, me)

    const up = Effect.gen(function*() {
      yield* logEvents.put({ _tag: "PeerUp", info })
      user.hear({ _tag: "PeerUp", info })
      advance({ _tag: "LinkUp", peer, isHost: info.isHost, dialled, remote, address })
      tellAddresses(me)
      yield* PubSub.publish<LinkChange>(linkChanges, { _tag: "PeerUp", info })
    })
    /** `closing`: this device leaves, and nobody may be there any more to make room in a full queue. */
    const down = Effect.fnUntraced(function*(closing: boolean) {
      if (live.get(peer) === me) live.delete(peer)
      user.hear({ _tag: "PeerDown", peer })
      if (closing) logEvents.offer({ _tag: "PeerDown", peer })
      else yield* logEvents.put({ _tag: "PeerDown", peer })
      advance({ _tag: "LinkDown", peer, code: me.goodbye ?? (yield* link.ended).code })
      yield* Deferred.succeed(gone, undefined)
      yield* PubSub.publish<LinkChange>(linkChanges, { _tag: "PeerDown", info })
    })

    yield* Effect.acquireUseRelease(
      up,
      () =>
        Effect.gen(function*() {
          link.setTaker({
            placeFor: (data, length) => user.placeFor(peer, data, length),
            take: (received) => take(me, received)
          })
          while (true) {
            for (const received of yield* Queue.takeAll(link.inbox)) {
              const event = logEventOf(me, received)
              if (event !== undefined) yield* logEvents.put(event)
              deal(me, received)
            }
            link.caughtUp()
          }
        }).pipe(Effect.catchTag("Done", () => Effect.void)),
      (_, exit) => {
        link.setTaker(undefined)
        link.end("leaving", "")
        return down(Exit.hasInterrupts(exit))
      }
    )
  }, Effect.scoped)

  /** Takes what has just come, unless the log has no room for it now: then it waits in the link's inbox. */
  const take = (me: Live, received: Link.Received): boolean => {
    const event = logEventOf(me, received)
    if (event !== undefined && !logEvents.offer(event)) return false
    deal(me, received)
    return true
  }

  /** What the log is to hear of it. */
  const logEventOf = (me: Live, received: Link.Received): LogEvent | undefined => {
    if (received._tag === "Data") return undefined
    const { info: { peer } } = me
    const { message } = received
    switch (message._tag) {
      case "Certificates":
      case "Heads":
      case "Entries":
      case "Statuses":
        return { _tag: "PeerMessage", peer, message }
      case "Peers":
        // The host knows that all who are linked here are.
        return context.isHost || !mayTell(me) || isNear(message) === me.heardHost
          ? undefined
          : { _tag: "PeerNearHost", peer, near: isNear(message) }
      default:
        return undefined
    }
  }

  const isNear = ({ host }: Extract<Message, { readonly _tag: "Peers" }>): boolean => host === true
  /** An honest peer tells of addresses every other second at most; a flood of them must not become a flood of work. */
  const mayTell = ({ heardAddressesMs }: Live): boolean => nowMs() - heardAddressesMs >= careIntervalMs

  /** Everything else that is to be done about it. */
  const deal = (me: Live, received: Link.Received): void => {
    const { info: { peer }, link, user } = me
    if (received._tag === "Data") {
      return user.hear({ _tag: "PeerData", peer, data: received.data, length: received.length })
    }
    const { bytes, message } = received
    if (isSwarmMessage(message)) return user.hear({ _tag: "PeerMessage", peer, message })
    if (upkeep.has(message._tag)) link.overhead(bytes)
    switch (message._tag) {
      case "Ping":
        return link.post("link", encode({ _tag: "Pong" }))
      case "Peers":
        if (!mayTell(me)) return
        me.heardAddressesMs = nowMs()
        me.heardHost = isNear(message)
        user.hear({ _tag: "PeerNearHost", peer, near: me.heardHost })
        advance({ _tag: "PeerLinks", peer, links: message.links })
        return advance({
          _tag: "Heard",
          announced: false,
          heard: message.peers.flatMap(({ addresses, peer }) => addresses.map((address) => ({ peer, address })))
        })
      case "Goodbye":
        me.goodbye ??= message.code
        return link.end("leaving", "answer to a goodbye")
      case "Hello":
      case "Join":
      case "Admitted":
      case "Introduction":
        return link.end("protocol", `a second ${message._tag.toLowerCase()}`)
    }
  }

  const hearsHost = (): boolean => {
    const host = live.get(context.hostPeer())
    return host !== undefined && nowMs() - host.link.heardMs() <= hostQuietMs
  }

  /**
   * Tells what is new: in a crowd that has just met everything changes all the time, and nobody can listen to all of it.
   * Who is linked to the host as well hears from it of all who are.
   */
  const tellAddresses = (to: Live): void => {
    const host = hearsHost()
    const hostTells = (peer: PeerId) => peer === context.hostPeer() || live.get(peer)?.heardHost !== false
    const unheard = Membership.toTell(membership, to.info.peer, to.told)
    const news = host && to.heardHost ? unheard.filter(({ peer }) => !hostTells(peer)) : unheard
    for (const { peer } of unheard) to.told.add(peer)
    to.toldMs = nowMs()
    if (news.length === 0 && host === to.toldHost && Math.abs(live.size - to.toldLinks) < linksWorthTelling) return
    to.toldLinks = live.size
    to.toldHost = host
    to.link.post("link", peersMessage(news))
  }
  const peersMessage = (peers: ReturnType<typeof Membership.toTell>): Uint8Array =>
    Frame.encodeControl({ _tag: "Peers", links: live.size, host: hearsHost(), peers })

  const care = Effect.sync(() => {
    const now = nowMs()
    for (const each of live.values()) {
      const silentMs = now - each.link.heardMs()
      if (silentMs > Limits.deadAfterMs) each.link.end("leaving", "silent for too long")
      // It may go on asking while it does not read: no buffer is kept for that.
      else if (each.link.stuckMs() > Limits.deadAfterMs) each.link.end("slow", "it does not read")
      else if (silentMs > Limits.pingAfterMs) each.link.post("link", encode({ _tag: "Ping" }))
      if (now - each.toldMs >= tellIntervalMs) tellAddresses(each)
    }
    advance({ _tag: "Tick" })
  })

  // One port for an administrator to open; a second labfx on the machine does not need it.
  if (isAdmitted()) yield* Deferred.succeed(admitted, undefined)
  const listener = yield* options.listenPort !== 0
    ? transport.listen(context.self, options.listenPort)
    : transport.listen(context.self, usualPort).pipe(
      Effect.catchTag("AcceptError", () => transport.listen(context.self, 0))
    )
  yield* Queue.take(listener.accepted).pipe(
    Effect.flatMap((connection) =>
      runLink(connection).pipe(Effect.ensuring(transport.close(connection)), Effect.forkIn(scope))
    ),
    Effect.forever,
    Effect.forkScoped
  )
  yield* Effect.forkScoped(Effect.forever(Effect.delay(care, careIntervalMs)))

  return PeerManager.of({
    logEvents,
    setSwarmUser: (user) => Effect.asVoid(Deferred.succeed(swarmUser, user)),
    flush: () => {
      for (const { link } of live.values()) link.flush()
    },
    send: (peer, message, patient = false) => post(peer, patient ? "lazy" : laneOf(message), message),
    overhead: (peer, bytes) => live.get(peer)?.link.overhead(bytes),
    sendChunk: (peer, chunk) => {
      const link = live.get(peer)?.link
      if (link === undefined) return chunk.done(false)
      link.sendChunk(chunk)
    },
    movesBulk: () => {
      const sinceMs = nowMs() - bulkMomentMs
      for (const { link } of live.values()) if (link.bulkMs() > sinceMs) return true
      return false
    },
    disconnect: (peer, code, detail) =>
      Effect.sync(() => {
        live.get(peer)?.link.end(code, detail)
        if (code === "poison" || code === "protocol" || code === "removed") advance({ _tag: "Banned", peer })
      }),
    admitted: Deferred.await(admitted),
    peers: Effect.sync(() => Array.from(live.values(), ({ info }) => info)),
    listenPort: listener.port,
    heard: (peer, address) =>
      Effect.sync(() => {
        if (mayDial(peer)) advance({ _tag: "Heard", announced: true, heard: [{ peer, address }] })
      }),
    connect: (address) => Effect.sync(() => advance({ _tag: "Typed", address })),
    linkChanges: PubSub.subscribe(linkChanges),
    notices: PubSub.subscribe(notices)
  })
})
