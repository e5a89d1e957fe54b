/**
 * A network without sockets, under virtual time: `Transport`, `Datagrams` and `Multicast` of any number of machines.
 *
 * Every machine has an uplink and a downlink that all of its connections share, as on a switch. A connection is a FIFO
 * pipe of bytes; loss on a stream shows as a reset or as lasting silence, never as a missing byte. Time is a virtual
 * clock and chance is the seeded `Random`, so a run is a function of its seed.
 */
import { Clock, Deferred, Effect, Layer, Queue, Random } from "effect"
import type { PeerId } from "../protocol/Ids.ts"
import type { InterfaceAddress } from "../protocol/Interfaces.ts"
import type { Address } from "../protocol/Wire.ts"
import { Crypto, type KeyPair } from "../services/Crypto.ts"
import { type Datagram, Datagrams } from "../services/Datagrams.ts"
import { Multicast, MulticastError } from "../services/Multicast.ts"
import { AcceptError, type Connection, ConnectionLost, DialError, Transport } from "../services/Transport.ts"

export interface NetworkOptions {
  readonly latencyMsMin: number
  readonly latencyMsMax: number
  /** Of every machine, up and down, unless it has its own; `Infinity` for none. */
  readonly bytesPerSecond: number
  /** Chance that a datagram is lost, and that it comes twice. */
  readonly datagramLoss?: number
  readonly datagramDuplication?: number
  /** Chance that a fragment of a multicast is lost on its way to one machine; left out, the network carries none. */
  readonly multicastLoss?: number | undefined
  /** A datagram or a write takes up to this much longer; datagrams overtake each other by it, a stream's bytes do not. */
  readonly jitterMs?: number
}

interface Chance {
  nextDoubleUnsafe(): number
}

/** One machine's cable. */
export interface Port {
  readonly host: string
  bytesPerSecond: number
  up: boolean
  /** The machine sleeps: datagrams pass it by. */
  suspended: boolean
  /** Counts the processes that have used the cable: what an earlier one still does happens nowhere. */
  life: number
  upFreeMs: number
  downFreeMs: number
  sentBytes: number
  receivedBytes: number
}

interface Listening {
  readonly port: Port
  readonly self: KeyPair
  readonly accepted: Queue.Queue<Connection>
}

interface Hearing {
  readonly port: Port
  readonly hear: (datagram: Datagram) => void
}

interface Joining {
  readonly port: Port
  readonly life: number
  readonly onDatagram: (bytes: Uint8Array) => void
}

/** What waits for a downlink longer than this is lost there: no stream, so nobody holds back. */
const switchQueueMs = 100

interface Pipe {
  readonly from: Port
  readonly to: Port
  readonly ends: readonly [End, End]
  cut: (detail: string) => Effect.Effect<void>
}

/** One side of a connection. */
interface End {
  readonly inbound: Queue.Queue<{ readonly bytes: Uint8Array; readonly arriveMs: number }>
  readonly lost: Deferred.Deferred<void, string>
  reading: boolean
  resumed: Deferred.Deferred<void>
  /** Nothing comes in here any more, and nobody says so: one half of a half-open connection. */
  silent: boolean
  /** When the last bytes arrive: nothing overtakes them. */
  lastArriveMs: number
  /** Bytes on the way and not yet taken by the reader; beyond {@link windowBytes} the next ones wait for `drained`. */
  unreadBytes: number
  drained: Deferred.Deferred<void>
}

/**
 * What the system takes for a reader that does not read, as TCP's receive window: the rest stays with the sender, and off
 * the cable. A Linux begins with half of it.
 */
const windowBytes = 256 * 1024

const makeEnd = Effect.gen(function*() {
  const end: End = {
    inbound: yield* Queue.unbounded<{ readonly bytes: Uint8Array; readonly arriveMs: number }>(),
    lost: Deferred.makeUnsafe<void, string>(),
    reading: true,
    resumed: Deferred.makeUnsafe<void>(),
    silent: false,
    lastArriveMs: 0,
    unreadBytes: 0,
    drained: Deferred.makeUnsafe<void>()
  }
  return end
})

export class VirtualNetwork {
  readonly ports = new Map<string, Port>()
  readonly #listening = new Map<string, Listening>()
  readonly #heard = new Map<number, Set<Hearing>>()
  readonly #joined = new Map<string, Set<Joining>>()
  readonly #pipes = new Set<Pipe>()
  /** Directed: "a b" means that nothing from a gets to b, and that b's answers would not help a. */
  readonly #blocked = new Set<string>()
  readonly #undialable = new Set<string>()
  /** Sees every write as it leaves, and every connection that opens or ends: for traces. */
  onTraffic: (what: string, from: Port, to: Port, bytes: number) => void = () => {}
  readonly #options: NetworkOptions
  readonly #runFork: (effect: Effect.Effect<void>) => void
  /** The same for what whoever closes everything still waits for. */
  readonly #runToEnd: (effect: Effect.Effect<void>) => void
  readonly #clock: Clock.Clock
  readonly #random: Chance
  readonly #crypto: Crypto["Service"]
  #nextPort = 20_000

  private constructor(
    options: NetworkOptions,
    runFork: (effect: Effect.Effect<void>) => void,
    runToEnd: (effect: Effect.Effect<void>) => void,
    clock: Clock.Clock,
    random: Chance,
    crypto: Crypto["Service"]
  ) {
    this.#options = options
    this.#runFork = runFork
    this.#runToEnd = runToEnd
    this.#clock = clock
    this.#random = random
    this.#crypto = crypto
  }

  static readonly make = Effect.fnUntraced(function*(options: NetworkOptions) {
    const context = yield* Effect.context<never>()
    const scope = yield* Effect.scope
    // Under the network's clock and in its scope: what is on its way does not depend on who has sent it.
    const runFork = (effect: Effect.Effect<void>) => {
      Effect.runForkWith(context)(Effect.forkIn(effect, scope))
    }
    const runToEnd = (effect: Effect.Effect<void>) => void Effect.runForkWith(context)(effect)
    return new VirtualNetwork(
      options,
      runFork,
      runToEnd,
      yield* Clock.Clock,
      yield* Random.Random,
      yield* Crypto
    )
  })

  /** How many connections are open: 0 when everything has been closed. */
  get connectionsCount(): number {
    return this.#pipes.size
  }

  /** Multicast groups that somebody listens to. */
  get groups(): ReadonlyArray<string> {
    return Array.from(this.#joined).flatMap(([group, members]) => members.size > 0 ? [group] : [])
  }

  /** Plugs a machine in. */
  port(host: string, bytesPerSecond = this.#options.bytesPerSecond): Port {
    const port: Port = {
      host,
      bytesPerSecond,
      up: true,
      suspended: false,
      life: 0,
      upFreeMs: 0,
      downFreeMs: 0,
      sentBytes: 0,
      receivedBytes: 0
    }
    this.ports.set(host, port)
    return port
  }

  /** Two machines cannot reach each other from now on; what connects them is cut. */
  block(a: string, b: string): Effect.Effect<void> {
    this.#blocked.add(`${a} ${b}`).add(`${b} ${a}`)
    return this.#cutWhere((pipe) => this.#isBlocked(pipe.from, pipe.to), "blocked")
  }

  unblock(a: string, b: string): void {
    this.#blocked.delete(`${a} ${b}`)
    this.#blocked.delete(`${b} ${a}`)
  }

  /** Everything that `a` sends to `b` gets lost from now on, and nobody is told; open connections stay like that. */
  silence(a: string, b: string): void {
    this.#blocked.add(`${a} ${b}`)
    for (const { ends, from, to } of this.#pipes) {
      if (from.host === a && to.host === b) ends[1].silent = true
      if (from.host === b && to.host === a) ends[0].silent = true
    }
  }

  unsilence(a: string, b: string): void {
    this.#blocked.delete(`${a} ${b}`)
  }

  /** The machine accepts nothing from now on, as behind a firewall; what it dials itself works. */
  shield(host: string, shielded: boolean): void {
    if (shielded) this.#undialable.add(host)
    else this.#undialable.delete(host)
  }

  /** Machines that have an open connection with this one. */
  connectedTo(host: string): ReadonlyArray<string> {
    return Array.from(this.#pipes).flatMap(({ from, to }) =>
      from.host === host ? [to.host] : to.host === host ? [from.host] : []
    )
  }

  /** Cuts everything that the machine has, as if its process had been killed: the others see a reset. */
  unplug(host: string): Effect.Effect<void> {
    const port = this.ports.get(host)!
    port.up = false
    port.life++
    for (const [address, listening] of this.#listening) if (listening.port === port) this.#listening.delete(address)
    for (const listeners of this.#heard.values()) {
      for (const listener of listeners) if (listener.port === port) listeners.delete(listener)
    }
    for (const members of this.#joined.values()) {
      for (const member of members) if (member.port === port) members.delete(member)
    }
    return this.#cutWhere((pipe) => pipe.from === port || pipe.to === port, "unplugged")
  }

  /** Cuts the connections between two machines once; they may connect again. */
  cut(a: string, b: string): Effect.Effect<void> {
    return this.#cutWhere(
      ({ from, to }) => (from.host === a && to.host === b) || (from.host === b && to.host === a),
      "cut"
    )
  }

  #cutWhere(which: (pipe: Pipe) => boolean, detail: string): Effect.Effect<void> {
    return Effect.suspend(() =>
      Effect.forEach(Array.from(this.#pipes).filter(which), (pipe) => pipe.cut(detail), { discard: true })
    )
  }

  /** Whether nothing from `a` gets to `b`. */
  #isBlocked(a: Port, b: Port): boolean {
    return !a.up || !b.up || this.#blocked.has(`${a.host} ${b.host}`)
  }

  #jitterMs(): number {
    return this.#options.jitterMs === undefined ? 0 : this.#random.nextDoubleUnsafe() * this.#options.jitterMs
  }

  #now(): number {
    return Number(this.#clock.monotonicTimeNanosUnsafe()) / 1e6
  }

  /** Puts bytes on a machine's uplink: when they have left it. */
  #leave(from: Port, to: Port, bytes: number): number {
    from.upFreeMs = Math.max(this.#now(), from.upFreeMs) + (bytes * 1_000) / from.bytesPerSecond
    from.sentBytes += bytes
    this.onTraffic("write", from, to, bytes)
    return from.upFreeMs
  }

  /**
   * Puts bytes that have just left an uplink on the other machine's downlink: when they are there. Not before they have
   * left, or whoever sends slowly would keep others from sending there meanwhile.
   */
  #arrive(to: Port, bytes: number, latencyMs: number): number {
    to.downFreeMs = Math.max(this.#now(), to.downFreeMs + (bytes * 1_000) / to.bytesPerSecond)
    to.receivedBytes += bytes
    return to.downFreeMs + latencyMs
  }

  #open(
    ends: readonly [End, End],
    [from, fromKey]: readonly [Port, KeyPair],
    [to, toKey]: readonly [Port, KeyPair],
    target: Address
  ): readonly [Connection, Connection] {
    const latencyMs = this.#options.latencyMsMin +
      this.#random.nextDoubleUnsafe() * (this.#options.latencyMsMax - this.#options.latencyMsMin)
    const pipe: Pipe = {
      from,
      to,
      ends,
      cut: (detail) =>
        Effect.sync(() => {
          if (this.#pipes.delete(pipe)) this.onTraffic(detail, from, to, 0)
          for (const { lost } of ends) Deferred.doneUnsafe(lost, Effect.fail(detail))
        })
    }
    this.#pipes.add(pipe)
    this.onTraffic("connected", from, to, 0)

    const side = (
      mine: End,
      other: End,
      [here, there]: readonly [Port, Port],
      key: KeyPair,
      remote: Address,
      dialled: boolean
    ): Connection => {
      const peer = this.#crypto.peerId(key.publicKey)
      const life = here.life
      const orLost = <A>(effect: Effect.Effect<A>) =>
        Effect.raceFirst(effect, Effect.flatMap(Deferred.await(mine.lost), () => Effect.never)).pipe(
          Effect.mapError((detail) => new ConnectionLost({ peer, detail }))
        )
      const sleepUntil = (timeMs: number) => Effect.suspend(() => Effect.sleep(Math.max(0, timeMs - this.#now())))
      return {
        peer,
        key: key.publicKey,
        remote,
        dialled,
        receive: (onBytes) =>
          orLost(Effect.forever(Effect.gen(function*() {
            if (!mine.reading) yield* Deferred.await(mine.resumed)
            const { arriveMs, bytes } = yield* Queue.take(mine.inbound)
            yield* sleepUntil(arriveMs)
            if (mine.silent || here.life !== life) return yield* Effect.never
            mine.unreadBytes -= bytes.length
            Deferred.doneUnsafe(mine.drained, Effect.void)
            onBytes(bytes)
          }))),
        setReading: (reading) => {
          if (reading === mine.reading) return
          mine.reading = reading
          if (reading) Deferred.doneUnsafe(mine.resumed, Effect.void)
          else mine.resumed = Deferred.makeUnsafe<void>()
        },
        write: (parts, done) => {
          const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
          let at = 0
          for (const part of parts) {
            bytes.set(part, at)
            at += part.length
          }
          // What is lost is found out by waiting.
          const isGone = () => here.life !== life || Deferred.isDoneUnsafe(mine.lost)
          const isOpen = () => other.unreadBytes === 0 || other.unreadBytes + bytes.length <= windowBytes
          const opened: Effect.Effect<void> = Effect.suspend(() => {
            if (isOpen()) return Effect.void
            other.drained = Deferred.makeUnsafe<void>()
            return Effect.andThen(Deferred.await(other.drained), opened)
          })
          const leave = Effect.suspend(() => {
            if (isGone()) return Effect.never
            other.unreadBytes += bytes.length
            return sleepUntil(this.#leave(here, there, bytes.length))
          })
          const arrive = Effect.sync(() => {
            const arriveMs = this.#arrive(there, bytes.length, latencyMs) + this.#jitterMs()
            other.lastArriveMs = Math.max(other.lastArriveMs, arriveMs)
            Queue.offerUnsafe(other.inbound, { bytes, arriveMs: other.lastArriveMs })
          })
          const sent = isGone() ? Effect.never : opened.pipe(Effect.andThen(leave), Effect.andThen(arrive))
          this.#runToEnd(Effect.match(orLost(sent), { onSuccess: () => done(undefined), onFailure: done }))
        }
      }
    }
    const dialling = side(ends[0], ends[1], [from, to], toKey, target, true)
    const accepting = side(ends[1], ends[0], [to, from], fromKey, { host: from.host, port: 50_000 }, false)
    this.#closing.set(dialling, pipe)
    this.#closing.set(accepting, pipe)
    return [dialling, accepting]
  }

  readonly #closing = new WeakMap<Connection, Pipe>()

  /** Ends a connection after what was written has arrived. */
  #close(connection: Connection): Effect.Effect<void> {
    return Effect.suspend(() => {
      const pipe = this.#closing.get(connection)
      if (pipe === undefined || !this.#pipes.delete(pipe)) return Effect.void
      this.onTraffic("closed", pipe.from, pipe.to, 0)
      const until = (timeMs: () => number) => Effect.suspend(() => Effect.sleep(Math.max(0, timeMs() - this.#now())))
      // First all has to leave, and then it is known when it is there.
      const left = until(() => Math.max(pipe.from.upFreeMs, pipe.to.upFreeMs) + this.#options.latencyMsMax + 1)
      const there = until(() => Math.max(...pipe.ends.map((end) => end.lastArriveMs + 1)))
      this.#runFork(left.pipe(Effect.andThen(there), Effect.andThen(pipe.cut("closed"))))
      return Effect.void
    })
  }

  /** The network as the process sees it that has the cable now. */
  transport(port: Port): Transport["Service"] {
    // oxlint-disable-next-line no-this-alias -- generators have no arrow form
    const network = this
    const life = port.life
    return Transport.of({
      listen: Effect.fnUntraced(function*(self, wanted) {
        const number = wanted === 0 ? network.#nextPort++ : wanted
        const address = `${port.host}:${number}`
        if (network.#listening.has(address)) {
          return yield* new AcceptError({ port: number, reason: "in-use", detail: "EADDRINUSE" })
        }
        const accepted = yield* Queue.unbounded<Connection>()
        yield* Effect.acquireRelease(
          Effect.sync(() => network.#listening.set(address, { port, self, accepted })),
          () => Effect.sync(() => network.#listening.delete(address))
        )
        return { port: number, accepted }
      }),
      dial: Effect.fnUntraced(function*(self, address, expected) {
        const latency = network.#options.latencyMsMax
        yield* Effect.sleep(3 * latency)
        if (port.life !== life) return yield* Effect.never
        const listening = network.#listening.get(`${address.host}:${address.port}`)
        if (listening === undefined) return yield* new DialError({ address, reason: "refused", detail: "nobody" })
        const there = listening.port
        if (
          network.#isBlocked(port, there) || network.#isBlocked(there, port) || there.suspended ||
          network.#undialable.has(there.host)
        ) return yield* new DialError({ address, reason: "unreachable", detail: "no answer" })
        const peer: PeerId = network.#crypto.peerId(listening.self.publicKey)
        if (listening.self.publicKey === self.publicKey) {
          return yield* new DialError({ address, reason: "self", detail: "this device" })
        }
        if (expected !== undefined && expected !== peer) {
          return yield* new DialError({ address, reason: "wrong-peer", detail: peer })
        }
        const [dialling, accepting] = network.#open(
          [yield* makeEnd, yield* makeEnd],
          [port, self],
          [listening.port, listening.self],
          address
        )
        yield* Effect.addFinalizer(() => network.#close(dialling))
        yield* Queue.offer(listening.accepted, accepting)
        return dialling
      }),
      close: (connection) => network.#close(connection)
    })
  }

  datagrams(port: Port): Datagrams["Service"] {
    // oxlint-disable-next-line no-this-alias -- generators have no arrow form
    const network = this
    const life = port.life
    return Datagrams.of({
      listen: Effect.fnUntraced(function*(number, hear) {
        const listeners = network.#heard.get(number) ?? new Set()
        network.#heard.set(number, listeners)
        const listener = { port, hear }
        yield* Effect.acquireRelease(
          Effect.sync(() => listeners.add(listener)),
          () => Effect.sync(() => listeners.delete(listener))
        )
      }),
      broadcast: (number, bytes, from) =>
        Effect.sync(() => {
          if (port.life !== life) return 0
          for (const to of network.#heard.get(number) ?? []) {
            const copies = network.#chance(network.#options.datagramDuplication) ? 2 : 1
            for (let copy = 0; copy < copies; copy++) {
              if (!network.#isBlocked(port, to.port) && !network.#chance(network.#options.datagramLoss)) {
                network.#deliver(to, { bytes: bytes.slice(), from: { host: port.host, port: 40_000 } })
              }
            }
          }
          return from.length
        }),
      interfaces: this.#interfaces(port)
    })
  }

  #interfaces(port: Port): Effect.Effect<ReadonlyArray<InterfaceAddress>> {
    const only = { name: "virtual0", address: port.host, broadcast: "10.255.255.255", prefixLength: 8, loopback: false }
    return Effect.sync(() => port.up ? [only] : [])
  }

  multicast(port: Port): Multicast["Service"] {
    const life = port.life
    const { multicastLoss } = this.#options
    const missing = Effect.fail(new MulticastError({ detail: "the network carries no multicast" }))
    if (multicastLoss === undefined) {
      return Multicast.of({ sender: () => missing, receive: () => missing, interfaces: this.#interfaces(port) })
    }
    return Multicast.of({
      sender: (groups) => {
        let sentCount = 0
        return Effect.succeed({
          datagramBytesMax: 65_507,
          send: (parts, done) => {
            if (port.life !== life) return
            const { host } = groups[sentCount++ % groups.length]!
            const bytes = Buffer.concat(parts)
            const left = Effect.sleep(Math.max(0, this.#leave(port, port, bytes.length) - this.#now()))
            const deliver = Effect.sync(() => {
              if (port.life !== life) return
              done(port.up)
              for (const member of this.#joined.get(host) ?? []) this.#cast(port, member, bytes, multicastLoss)
            })
            this.#runFork(Effect.andThen(left, deliver))
          },
          setQueue: () => {}
        })
      },
      receive: (groups, _by, onDatagram) => {
        const member: Joining = { port, life, onDatagram }
        const join = ({ host }: Address) => {
          const members = this.#joined.get(host) ?? new Set()
          this.#joined.set(host, members)
          return Effect.acquireRelease(
            Effect.sync(() => members.add(member)),
            () => Effect.sync(() => members.delete(member))
          )
        }
        return Effect.forEach(groups, join, { discard: true })
      },
      interfaces: this.#interfaces(port)
    })
  }

  /** A datagram of a multicast has left an uplink and comes to one of those who listen. */
  #cast(from: Port, member: Joining, bytes: Uint8Array, loss: number): void {
    const { life, onDatagram, port } = member
    if (port === from || this.#isBlocked(from, port) || this.#chance(loss)) return
    if (port.downFreeMs > this.#now() + switchQueueMs) return
    const arriveMs = this.#arrive(port, bytes.length, this.#options.latencyMsMax) + this.#jitterMs()
    this.#runFork(
      Effect.sleep(Math.max(0, arriveMs - this.#now())).pipe(
        Effect.andThen(Effect.sync(() => {
          if (port.life === life && port.up && !port.suspended) onDatagram(bytes)
        }))
      )
    )
  }

  #chance(of: number | undefined): boolean {
    return of !== undefined && this.#random.nextDoubleUnsafe() < of
  }

  #deliver(to: Hearing, datagram: Datagram): void {
    this.#runFork(
      Effect.sleep(this.#options.latencyMsMax + this.#jitterMs()).pipe(
        Effect.andThen(Effect.sync(() => {
          if (to.port.up && !to.port.suspended) to.hear(datagram)
        }))
      )
    )
  }

  layers(port: Port): Layer.Layer<Transport | Datagrams | Multicast> {
    return Layer.mergeAll(
      Layer.sync(Transport, () => this.transport(port)),
      Layer.sync(Datagrams, () => this.datagrams(port)),
      Layer.sync(Multicast, () => this.multicast(port))
    )
  }
}
