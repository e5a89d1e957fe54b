/**
 * The `PeerManager` of any number of devices without sockets or frames, under virtual time.
 *
 * A link is a FIFO pipe a direction, as on TCP, with a latency drawn once from `Random`; cutting it loses what is under
 * way. Every message is checked against its schema and its frame's maximum. Time is the test clock and chance is seeded,
 * so a run is a function of its seed.
 */
import { Clock, Effect, PubSub, Queue, Random, Schema, type Scope } from "effect"
import type { PeerId, PublicKey } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import { type GoodbyeCode, LogMessage } from "../../src/protocol/Wire.ts"
import * as Mailbox from "../../src/services/Mailbox.ts"
import { type LinkChange, type LogEvent, type PeerInfo, PeerManager } from "../../src/services/PeerManager.ts"
import type { PeerNotice } from "../../src/services/PeerNotices.ts"
import type { SessionContext } from "../../src/services/SessionContext.ts"

export interface Options {
  readonly latencyMsMin: number
  readonly latencyMsMax: number
}

interface Device {
  readonly info: PeerInfo
  readonly context: SessionContext["Service"] | undefined
  inbox: Mailbox.Mailbox<LogEvent>
}

interface Pipe {
  readonly queue: Queue.Queue<{ readonly message: LogMessage; readonly dueMs: number }>
  readonly latencyMs: number
}

const isLogMessage = Schema.is(LogMessage)

export class VirtualPeers {
  /** Links that were ended by a device, and why. */
  readonly ended: Array<
    { readonly by: PeerId; readonly peer: PeerId; readonly code: GoodbyeCode; readonly detail: string }
  > = []
  readonly sent: Array<
    { readonly from: PeerId; readonly to: PeerId; readonly message: LogMessage; readonly atMs: number }
  > = []
  readonly #devices = new Map<PeerId, Device>()
  readonly #pipes = new Map<string, Pipe>()
  readonly #options: Options
  readonly #scope: Scope.Scope
  readonly #clock: Clock.Clock

  private constructor(options: Options, scope: Scope.Scope, clock: Clock.Clock) {
    this.#options = options
    this.#scope = scope
    this.#clock = clock
  }

  static readonly make = (options: Options): Effect.Effect<VirtualPeers, never, Scope.Scope> =>
    Effect.gen(function*() {
      return new VirtualPeers(options, yield* Effect.scope, yield* Clock.Clock)
    })

  /**
   * A device of the network. With a context it takes in the certificates of those it is linked to, as hellos do; without
   * one it is a stranger who speaks by `send`. Attaching again replaces the device: its process has started anew.
   */
  attach(
    peer: PeerId,
    key: PublicKey,
    context?: SessionContext["Service"]
  ): Effect.Effect<PeerManager["Service"]> {
    return Effect.gen({ self: this }, function*() {
      for (const other of this.#devices.keys()) yield* this.cut(peer, other)
      const inbox = yield* Mailbox.make<LogEvent>(1_024)
      const info: PeerInfo = {
        peer,
        key,
        name: peer.slice(0, 8),
        address: { host: "127.0.0.1", port: 1 },
        dialled: true,
        isHost: context?.isHostKey(key) ?? false
      }
      this.#devices.set(peer, { info, context, inbox })
      const notices = yield* PubSub.sliding<PeerNotice>(1)
      const linkChanges = yield* PubSub.sliding<LinkChange>(1)
      return PeerManager.of({
        logEvents: inbox,
        setSwarmUser: () => Effect.void,
        send: (to, message) => this.#send(peer, to, message),
        flush: () => {},
        overhead: () => {},
        sendChunk: (_to, { done }) => done(false),
        movesBulk: () => false,
        disconnect: (other, code, detail) =>
          Effect.suspend(() => {
            this.ended.push({ by: peer, peer: other, code, detail })
            return this.cut(peer, other)
          }),
        peers: Effect.succeed([]),
        admitted: Effect.void,
        listenPort: 0,
        heard: () => Effect.void,
        connect: () => Effect.void,
        notices: PubSub.subscribe(notices),
        linkChanges: PubSub.subscribe(linkChanges)
      })
    })
  }

  link(a: PeerId, b: PeerId): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const [one, other] = [this.#devices.get(a)!, this.#devices.get(b)!]
      for (const [to, from] of [[one, other], [other, one]] as const) {
        if (from.context !== undefined) to.context?.learn(from.context.certificates().map(({ signed }) => signed))
      }
      // Both ways are open before anybody hears of it: who does may speak at once.
      yield* this.#open(one, other)
      yield* this.#open(other, one)
      yield* other.inbox.put({ _tag: "PeerUp", info: one.info })
      yield* one.inbox.put({ _tag: "PeerUp", info: other.info })
    })
  }

  cut(a: PeerId, b: PeerId): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      for (const [from, to] of [[a, b], [b, a]] as const) {
        const pipe = this.#pipes.get(`${from}>${to}`)
        if (pipe === undefined) continue
        this.#pipes.delete(`${from}>${to}`)
        yield* Queue.shutdown(pipe.queue)
        yield* this.#devices.get(to)!.inbox.put({ _tag: "PeerDown", peer: from })
      }
    })
  }

  #open(from: Device, to: Device): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const pipe: Pipe = {
        queue: yield* Queue.unbounded<{ readonly message: LogMessage; readonly dueMs: number }>(),
        latencyMs: yield* Random.nextIntBetween(this.#options.latencyMsMin, this.#options.latencyMsMax)
      }
      this.#pipes.set(`${from.info.peer}>${to.info.peer}`, pipe)
      yield* Queue.take(pipe.queue).pipe(
        Effect.flatMap(({ dueMs, message }) =>
          Effect.sleep(Math.max(0, dueMs - this.#clock.currentTimeMillisUnsafe())).pipe(
            Effect.andThen(Effect.suspend(() =>
              this.#pipes.get(`${from.info.peer}>${to.info.peer}`) === pipe
                ? to.inbox.put({ _tag: "PeerMessage", peer: from.info.peer, message })
                : Effect.void
            ))
          )
        ),
        Effect.forever,
        Effect.forkIn(this.#scope)
      )
    })
  }

  #send(from: PeerId, to: PeerId, message: Parameters<PeerManager["Service"]["send"]>[1]): void {
    const pipe = this.#pipes.get(`${from}>${to}`)
    if (pipe === undefined) return
    if (!isLogMessage(message)) throw new Error(`not a message of the log: ${message._tag}`)
    if (JSON.stringify(message).length > Limits.controlFrameBytesMax) throw new Error("a frame too large")
    const nowMs = this.#clock.currentTimeMillisUnsafe()
    this.sent.push({ from, to, message, atMs: nowMs })
    Queue.offerUnsafe(pipe.queue, { message, dueMs: nowMs + pipe.latencyMs })
  }
}
