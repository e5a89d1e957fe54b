/**
 * The live links of this device: handshake, membership, outboxes and inboxes.
 *
 * Above it nobody sees a socket. A peer has at most one link; `PeerUp` comes after both hellos, `PeerDown` when the link
 * has ended, and in between every message of the peer in the order it was sent.
 */
import { Clock, Context, Deferred, Effect, Layer, PubSub, Queue, Random, type Scope } from "effect"
import * as Frame from "../protocol/Frame.ts"
import * as Handshake from "../protocol/Handshake.ts"
import type { PeerId, PublicKey, Root } from "../protocol/Ids.ts"
import * as Limits from "../protocol/Limits.ts"
import * as Membership from "../protocol/Membership.ts"
import type { Address, Data, GoodbyeCode, Hello, LogMessage, Message, SwarmMessage } from "../protocol/Wire.ts"
import { usualPort, versionMax, versionMin } from "../protocol/Wire.ts"
import * as Link from "./Link.ts"
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

export type SwarmEvent =
  | PeerEvent<SwarmMessage>
  /** All bytes of one data frame are in the place that the sink gave for them. */
  | { readonly _tag: "PeerData"; readonly peer: PeerId; readonly data: Data; readonly length: number }

export interface LinkChange {
  readonly _tag: "PeerUp" | "PeerDown"
  readonly info: PeerInfo
}

/** Another labfx could not be linked; `address` is where it is. */
export interface PeerNotice {
  readonly reason: "version" | "refused"
  readonly address: Address
  readonly detail: string
}

export interface PeerManagerOptions {
  /** 0 for the usual port, or a free one if another labfx of this machine has it. */
  readonly listenPort: number
  /** Says so in `Hello`, for people and logs. */
  readonly program: string
}

/**
 * Where the payload of a data frame goes: exactly `length` bytes, or nothing for a frame that nobody asked for, whose
 * bytes are then thrown away. Called while the frame arrives; must not wait.
 */
export type DataSink = (peer: PeerId, data: Data, length: number) => Uint8Array | undefined

export class PeerManager extends Context.Service<PeerManager, {
  /** Events of the links with `log` messages. One consumer; bounded, a consumer that lags slows the links it lags for. */
  readonly logEvents: Queue.Dequeue<PeerEvent<LogMessage>>
  /** Events of the links with `swarm` messages. One consumer. */
  readonly swarmEvents: Queue.Dequeue<SwarmEvent>
  /** Set once, by the one who asks for chunks. */
  readonly setDataSink: (sink: DataSink) => Effect.Effect<void>
  /**
   * Puts a message into the peer's outbox. Never waits and never fails: to a peer that is gone it is dropped, and a
   * peer whose outbox is over `Limits.outboxBytesMax` is disconnected (`slow`). Log messages overtake swarm messages.
   */
  readonly send: (peer: PeerId, message: LogMessage | SwarmMessage) => Effect.Effect<void>
  /**
   * Sends a chunk as data frames behind all waiting messages; messages that come meanwhile go between its frames.
   * Completes when the last byte has been handed to the system (true) or the link has ended (false). `bytes` must not
   * change until then. Chunks of one peer are sent one after another; `index` in the order of the calls.
   */
  readonly sendChunk: (peer: PeerId, share: Root, index: number, bytes: Uint8Array) => Effect.Effect<boolean>
  /** Ends the link with a word for the log; with `poison` or `protocol` the peer is not linked again in this session. */
  readonly disconnect: (peer: PeerId, code: GoodbyeCode, detail: string) => Effect.Effect<void>
  readonly peers: Effect.Effect<ReadonlyArray<PeerInfo>>
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

/** How often links are looked after: signs of life, addresses told, surplus given up. */
const careIntervalMs = 1_000

/** Events that wait for their consumer, over all links; a consumer that lags further slows the links it lags for. */
const eventsWaitingMax = 1_024

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
    /** Open until `PeerDown` has been said. */
    readonly gone: Deferred.Deferred<void>
    /** When addresses were last told to the peer, and which edition of them. */
    toldMs: number
    toldEdition: number
    heardAddressesMs: number
  }
  const live = new Map<PeerId, Live>()
  const membership = Membership.make(context.peer, () => random.nextDoubleUnsafe())
  /** Grows whenever there is something new to tell about addresses. */
  let edition = 0

  const logEvents = yield* Queue.bounded<PeerEvent<LogMessage>>(eventsWaitingMax)
  const swarmEvents = yield* Queue.bounded<SwarmEvent>(eventsWaitingMax)
  const linkChanges = yield* PubSub.sliding<LinkChange>(256)
  const notices = yield* PubSub.sliding<PeerNotice>(64)
  let sink: DataSink = () => undefined

  // Most messages go to several peers one after the other: they are encoded once.
  let encoded: { readonly message: Message; readonly frame: Uint8Array } | undefined
  const encode = (message: Message): Uint8Array => {
    if (encoded?.message !== message) encoded = { message, frame: Frame.encodeControl(message) }
    return encoded.frame
  }

  const post = (peer: PeerId, lane: Link.Lane, message: Message): void =>
    live.get(peer)?.link.post(lane, encode(message))

  const advance = (input: Membership.Input): Effect.Effect<void> =>
    Effect.suspend(() => Effect.forEach(Membership.step(membership, input, nowMs()), perform, { discard: true }))

  const perform = (output: Membership.Output): Effect.Effect<void> =>
    output._tag === "Dial"
      ? Effect.asVoid(Effect.forkIn(dial(output.address, output.expected), scope))
      : Effect.sync(() => live.get(output.peer)?.link.end(output.code, output.detail))

  const dial = (address: Address, expected: PeerId | undefined): Effect.Effect<void> =>
    transport.dial(context.self, address, expected).pipe(
      Effect.matchEffect({
        onFailure: (error) => advance({ _tag: "DialFailed", address, expected, self: error.reason === "self" }),
        onSuccess: (connection) => runLink(connection)
      }),
      Effect.scoped
    )

  const ourHello = (): Hello => ({
    _tag: "Hello",
    versions: [versionMin, versionMax],
    session: context.session,
    certificates: context.certificates().map(({ signed }) => signed),
    name: context.name,
    listenPort: listener.port,
    program: options.program
  })

  /** Waits for the other side's first message and judges it. */
  const shakeHands = Effect.fnUntraced(function*(link: Link.Link) {
    link.post("link", Frame.encodeControl(ourHello()))
    const first = yield* Queue.take(link.inbox).pipe(
      Effect.timeout(Limits.handshakeTimeoutMs),
      Effect.option
    )
    if (first._tag === "None" || first.value._tag !== "Message" || first.value.message._tag !== "Hello") {
      const goodbye = first._tag === "Some" && first.value._tag === "Message" && first.value.message._tag === "Goodbye"
        ? first.value.message
        : undefined
      if (goodbye === undefined) link.end("protocol", "no hello")
      return yield* refused(link, goodbye?.code ?? "protocol", goodbye?.detail ?? "no hello")
    }
    const hello = first.value.message
    const certified = hello.session === context.session && context.learn(hello.certificates).certified
    const verdict = membership.banned.has(link.connection.peer)
      ? { _tag: "Refused" as const, code: "refused" as const, detail: "this device was caught sending false data" }
      : Handshake.judge(hello, context.session, certified)
    if (verdict._tag === "Accepted") return hello
    link.end(verdict.code, verdict.detail)
    return yield* refused(link, verdict.code, verdict.detail)
  })

  const refused = (link: Link.Link, code: GoodbyeCode, detail: string) =>
    Effect.gen(function*() {
      const address = link.connection.remote
      if (code === "version" || code === "refused") yield* PubSub.publish(notices, { reason: code, address, detail })
      return undefined
    })

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
    const link = yield* Link.make(connection, () => sink)
    const { dialled, peer, remote } = connection
    const failed = dialled
      ? advance({ _tag: "DialFailed", address: remote, expected: peer, self: false })
      : Effect.void
    const hello = yield* shakeHands(link)
    if (hello === undefined) return yield* failed
    if (!(yield* settleDuplicate(connection))) {
      link.end("duplicate", "another link to the same peer")
      return yield* advance({ _tag: "Duplicate", peer, remote })
    }
    if (live.size >= Limits.linksMax) {
      link.end("surplus", `this device has ${live.size} links`)
      return yield* failed
    }

    const address = dialled ? remote : hello.listenPort > 0 ? { host: remote.host, port: hello.listenPort } : undefined
    const info: PeerInfo = {
      peer,
      key: connection.key,
      name: hello.name,
      address: address ?? remote,
      dialled,
      isHost: context.certificate().host === connection.key
    }
    const gone = Deferred.makeUnsafe<void>()
    const me: Live = { info, link, gone, toldMs: -Infinity, toldEdition: -1, heardAddressesMs: -Infinity }
    live.set(peer, me)
    edition++
    let goodbye: GoodbyeCode | undefined

    const up = Effect.gen(function*() {
      yield* Queue.offer(logEvents, { _tag: "PeerUp", info })
      yield* Queue.offer(swarmEvents, { _tag: "PeerUp", info })
      yield* advance({ _tag: "LinkUp", peer, dialled, remote, address })
      tellAddresses(me)
      yield* PubSub.publish<LinkChange>(linkChanges, { _tag: "PeerUp", info })
    })
    const down = Effect.gen(function*() {
      if (live.get(peer) === me) live.delete(peer)
      edition++
      yield* Queue.offer(logEvents, { _tag: "PeerDown", peer })
      yield* Queue.offer(swarmEvents, { _tag: "PeerDown", peer })
      yield* advance({ _tag: "LinkDown", peer, code: goodbye ?? (yield* link.ended).code })
      yield* Deferred.succeed(gone, undefined)
      yield* PubSub.publish<LinkChange>(linkChanges, { _tag: "PeerDown", info })
    })

    yield* Effect.acquireUseRelease(
      up,
      () =>
        Effect.gen(function*() {
          while (true) {
            for (const received of yield* Queue.takeAll(link.inbox)) {
              const code = yield* dispatch(me, received)
              goodbye ??= code
            }
            link.caughtUp()
          }
        }).pipe(Effect.catchTag("Done", () => Effect.void)),
      () => {
        link.end("leaving", "")
        return down
      }
    )
  }, Effect.scoped)

  /** Hands one received value to whom it is for. Returns the code of a goodbye. */
  const dispatch = (me: Live, received: Link.Received): Effect.Effect<GoodbyeCode | undefined> => {
    const { info: { peer }, link } = me
    const none = Effect.succeed(undefined)
    if (received._tag === "Data") {
      return Effect.as(
        Queue.offer(swarmEvents, { _tag: "PeerData", peer, data: received.data, length: received.length }),
        undefined
      )
    }
    const { message } = received
    switch (message._tag) {
      case "Ping":
        link.post("link", encode({ _tag: "Pong" }))
        return none
      case "Pong":
        return none
      case "Peers":
        // An honest peer tells them every other second at most; a flood of them must not become a flood of work.
        if (nowMs() - me.heardAddressesMs < careIntervalMs) return none
        me.heardAddressesMs = nowMs()
        return advance({ _tag: "PeerLinks", peer, links: message.links }).pipe(
          Effect.andThen(advance({
            _tag: "Heard",
            heard: message.peers.flatMap(({ addresses, peer }) => addresses.map((address) => ({ peer, address })))
          })),
          Effect.andThen(none)
        )
      case "Goodbye":
        link.end("leaving", "answer to a goodbye")
        return Effect.succeed(message.code)
      case "Hello":
        link.end("protocol", "a second hello")
        return none
      case "Certificates":
      case "Heads":
      case "Entries":
      case "Statuses":
        return Effect.as(Queue.offer(logEvents, { _tag: "PeerMessage", peer, message }), undefined)
      case "Bitfield":
      case "Have":
      case "Request":
      case "Cancel":
      case "Reject":
        return Effect.as(Queue.offer(swarmEvents, { _tag: "PeerMessage", peer, message }), undefined)
    }
  }

  const tellAddresses = (to: Live): void => {
    to.toldMs = nowMs()
    to.toldEdition = edition
    const peers = Membership.toTell(membership, to.info.peer)
    to.link.post("link", Frame.encodeControl({ _tag: "Peers", links: live.size, peers }))
  }

  const care = Effect.gen(function*() {
    const now = nowMs()
    for (const each of live.values()) {
      const silentMs = now - each.link.heardMs()
      if (silentMs > Limits.deadAfterMs) each.link.end("leaving", "silent for too long")
      else if (silentMs > Limits.pingAfterMs) each.link.post("link", encode({ _tag: "Ping" }))
      if (each.toldEdition !== edition && now - each.toldMs >= 2 * careIntervalMs) tellAddresses(each)
    }
    yield* advance({ _tag: "Tick" })
  })

  // One port for an administrator to open; a second labfx on the machine does not need it.
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
    swarmEvents,
    setDataSink: (given) =>
      Effect.sync(() => {
        sink = given
      }),
    send: (peer, message) =>
      Effect.sync(() =>
        post(
          peer,
          message._tag === "Certificates" || message._tag === "Heads" || message._tag === "Entries" ||
            message._tag === "Statuses" ?
            "log" :
            "swarm",
          message
        )
      ),
    sendChunk: (peer, share, index, bytes) =>
      Effect.suspend(() => live.get(peer)?.link.sendChunk(share, index, bytes) ?? Effect.succeed(false)),
    disconnect: (peer, code, detail) =>
      Effect.suspend(() => {
        live.get(peer)?.link.end(code, detail)
        return code === "poison" || code === "protocol" ? advance({ _tag: "Banned", peer }) : Effect.void
      }),
    peers: Effect.sync(() => Array.from(live.values(), ({ info }) => info)),
    listenPort: listener.port,
    heard: (peer, address) =>
      Effect.suspend(() => {
        if (!membership.known.has(peer)) edition++
        return advance({ _tag: "Heard", heard: [{ peer, address }] })
      }),
    connect: (address) => advance({ _tag: "Typed", address }),
    linkChanges: PubSub.subscribe(linkChanges),
    notices: PubSub.subscribe(notices)
  })
})
