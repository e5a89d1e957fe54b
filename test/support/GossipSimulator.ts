/**
 * Many gossip machines in one process, without Effect, sockets or signatures: what moves next is the test's choice.
 *
 * Messages wait in one queue a directed link, as on TCP, which neither loses nor repeats; a cut loses what is under way.
 * The simulator checks at every step what must hold at every instant, so a history fails where it goes wrong.
 */
import { Schema } from "effect"
import type { Content, Entry } from "../../src/protocol/Entry.ts"
import * as Gossip from "../../src/protocol/Gossip.ts"
import type { PeerId, PublicKey, Signature } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import type { Signed } from "../../src/protocol/Signed.ts"
import { utf8Bytes } from "../../src/protocol/Text.ts"
import type { Entries, Heads } from "../../src/protocol/Wire.ts"

export type Edge = readonly [number, number]

const Fraction = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 0.999 }))

/** Draws from which {@link mesh} builds a spanning tree over `count` peers and up to `extra` further edges. */
export const MeshDraws = (count: number, extra: number) =>
  Schema.Struct({
    parents: Schema.Array(Fraction).check(Schema.isMinLength(count - 1), Schema.isMaxLength(count - 1)),
    shortcuts: Schema.Array(Schema.Tuple([Fraction, Fraction])).check(Schema.isMaxLength(extra))
  })

/** Any connected graph is one of these. */
export const mesh = (draws: ReturnType<typeof MeshDraws>["Type"]): ReadonlyArray<Edge> => {
  const count = draws.parents.length + 1
  const edges = new Map<string, Edge>()
  const connect = (i: number, j: number) => {
    if (i !== j) edges.set(`${Math.min(i, j)}-${Math.max(i, j)}`, [Math.min(i, j), Math.max(i, j)])
  }
  draws.parents.forEach((fraction, i) => connect(i + 1, Math.floor(fraction * (i + 1))))
  for (const [a, b] of draws.shortcuts) connect(Math.floor(a * count), Math.floor(b * count))
  return Array.from(edges.values())
}

/** An edge for each peer but the first, to the one before. */
export const line = (count: number): ReadonlyArray<Edge> =>
  Array.from({ length: count - 1 }, (_, i): Edge => [i, i + 1])

export const keyOf = (index: number): PublicKey => `p${index}`.padEnd(43, "_") as PublicKey
export const peerOf = (index: number): PeerId => keyOf(index) as string as PeerId

export const text = (text: string): Content => ({ _tag: "Text", text })

/** An entry as its author would sign it; a signature here is a fingerprint of the body. */
export const entryOf = (author: PublicKey, number: number, content: Content): { signed: Signed; entry: Entry } => {
  const entry: Entry = { number, name: "somebody", writtenAt: 0, content }
  const body = JSON.stringify(entry)
  let hash = 7
  for (let i = 0; i < body.length; i++) hash = (Math.imul(hash, 31) + body.charCodeAt(i)) >>> 0
  return {
    signed: { key: author, signature: `${author}${number}_${hash}`.padEnd(86, "_") as Signature, body },
    entry
  }
}

interface Wire {
  readonly from: number
  readonly to: number
  readonly messages: Array<Heads | Entries>
  /** What has crossed this wire, by signature. */
  readonly crossed: Set<string>
  /** Bytes of entries handed over and not acknowledged, as its sender must see it. */
  readonly sizes: Array<number>
  underWay: number
  acknowledged: number
}

export class GossipSimulator {
  readonly machines: Array<Gossip.State> = []
  readonly delivered: Array<Array<{ readonly author: PublicKey; readonly entry: Entry; readonly atMs: number }>> = []
  readonly persisted: Array<Array<Signed>> = []
  readonly conflicts: Array<number> = []
  readonly disconnects: Array<string> = []
  /** Of all devices together. */
  overheadBytes = 0
  /** Entries that crossed a link, and messages of either kind. */
  entriesCrossed = 0
  messagesSent = 0
  /** How many entries had to be verified. */
  verified = 0
  nowMs = 1_000_000
  /** What every machine is told of chunks on its links. */
  besideBulk = false
  /** A link carries an entry again only where something was refused. */
  oncePerWire = true
  /** How far each author has been delivered on each peer. */
  readonly #reached: Array<Map<PublicKey, number>> = []
  readonly #wires = new Map<string, Wire>()
  readonly #authority: Extract<Gossip.Input, { _tag: "Authority" }>

  constructor(count: number, edges: ReadonlyArray<Edge>, options: { readonly hosts?: ReadonlyArray<number> } = {}) {
    this.#authority = {
      _tag: "Authority",
      hosts: new Set((options.hosts ?? [0]).map(keyOf)),
      policies: [{ closed: false, studentsMayWrite: true, studentsMayShare: false }]
    }
    for (let i = 0; i < count; i++) this.#start(i)
    for (const edge of edges) this.connect(edge)
  }

  #start(index: number): void {
    this.machines[index] = Gossip.make(keyOf(index), this.nowMs)
    this.delivered[index] = []
    this.#reached[index] = new Map()
    this.persisted[index] ??= []
    this.conflicts[index] = 0
    this.input(index, this.#authority)
  }

  /** The process dies and starts again with what is on its disk. */
  restart(index: number, kept: ReadonlyArray<Signed> = this.persisted[index]!): void {
    const neighbors = Array.from(this.#wires.values()).filter(({ from }) => from === index).map(({ to }) => to)
    for (const to of neighbors) this.cut([index, to])
    this.persisted[index] = [...kept]
    this.#start(index)
    const items = kept.map((signed) => ({ signed, entry: JSON.parse(signed.body) as Entry }))
    this.input(index, { _tag: "Restored", items })
  }

  /** Each says to its neighbors whether it has a link to a host. */
  tellNearHost(): void {
    const hosts = Array.from(this.#authority.hosts)
    for (const { from, to } of this.#wires.values()) {
      const near = hosts.some((host) =>
        this.#wires.has(`${from}>${this.machines.findIndex(({ self }) => self === host)}`)
      )
      this.input(to, { _tag: "NeighborNearHost", peer: peerOf(from), near })
    }
  }

  connect([a, b]: Edge): void {
    if (this.#wires.has(`${a}>${b}`)) return
    for (const [from, to] of [[a, b], [b, a]] as const) {
      this.#wires.set(`${from}>${to}`, {
        from,
        to,
        messages: [],
        crossed: new Set(),
        sizes: [],
        underWay: 0,
        acknowledged: 0
      })
    }
    const isHost = (index: number) => this.#authority.hosts.has(keyOf(index))
    this.input(a, { _tag: "NeighborUp", peer: peerOf(b), isHost: isHost(b), dialled: true })
    this.input(b, { _tag: "NeighborUp", peer: peerOf(a), isHost: isHost(a), dialled: false })
  }

  cut([a, b]: Edge): void {
    if (!this.#wires.delete(`${a}>${b}`)) return
    this.#wires.delete(`${b}>${a}`)
    this.input(a, { _tag: "NeighborDown", peer: peerOf(b) })
    this.input(b, { _tag: "NeighborDown", peer: peerOf(a) })
  }

  /** Writes as an honest device does: asks, keeps, then lets the machine know. */
  write(index: number, content: Content): boolean {
    const state = this.machines[index]!
    if (Gossip.ownMissing(state, this.nowMs)) return false
    const { entry, signed } = entryOf(keyOf(index), Gossip.nextNumber(state), content)
    if (Gossip.refusal(state, content, signed.body, this.nowMs) !== undefined) return false
    this.persisted[index]!.push(signed)
    this.input(index, { _tag: "Wrote", signed, entry })
    return true
  }

  /** Hands entries to a machine as if they had come over the link, checked the way the service checks them. */
  receive(to: number, from: number, entries: ReadonlyArray<Signed>): void {
    const items = entries.map((signed) => {
      const fresh = Gossip.sight(this.machines[to]!, signed) === "new"
      if (fresh) this.verified++
      return { signed, entry: fresh ? (JSON.parse(signed.body) as Entry) : undefined }
    })
    this.input(to, { _tag: "Entries", peer: peerOf(from), items, besideBulk: this.besideBulk })
  }

  input(index: number, input: Gossip.Input): void {
    for (const output of Gossip.step(this.machines[index]!, input, this.nowMs)) this.#perform(index, output)
  }

  /** Moves one message of a busy link; false if none is under way. */
  move(pick: number): boolean {
    const busy = Array.from(this.#wires.values()).filter(({ messages }) => messages.length > 0)
    if (busy.length === 0) return false
    const { from, messages, to } = busy[pick % busy.length]!
    const message = messages.shift()!
    if (message._tag === "Entries") {
      this.receive(to, from, message.entries)
    } else {
      this.#acknowledge(this.#wires.get(`${to}>${from}`)!, message.received)
      this.input(to, { _tag: "Heads", peer: peerOf(from), heads: message })
    }
    return true
  }

  tick(elapsedMs: number): void {
    this.nowMs += elapsedMs
    for (let i = 0; i < this.machines.length; i++) this.input(i, { _tag: "Tick" })
  }

  /**
   * Moves until nothing is under way and no device waits for a moment to pass. Throws past `messagesMax`, so that a storm
   * fails instead of hanging.
   */
  runToQuiet(pick: () => number, messagesMax: number): void {
    for (const start = this.messagesSent; this.move(pick()) || this.#waitForMachines();) {
      if (this.messagesSent - start > messagesMax) throw new Error(`not quiet after ${messagesMax} messages`)
    }
  }

  /** Lets the time pass that the next device waits for; false if none does. */
  #waitForMachines(): boolean {
    const next = Math.min(...this.machines.map(Gossip.wakeAtMs))
    if (next === Infinity) return false
    this.tick(Math.max(0, next - this.nowMs))
    return true
  }

  /** Lets time pass in seconds, each to quiet. */
  pass(seconds: number, messagesMaxEach = 100_000): void {
    for (let i = 0; i < seconds; i++) {
      this.runToQuiet(() => 0, messagesMaxEach)
      this.tick(1_000)
    }
    this.runToQuiet(() => 0, messagesMaxEach)
  }

  /** What a device shows, sorted so that devices compare. */
  shown(index: number): ReadonlyArray<string> {
    return this.delivered[index]!.map(({ author, entry }) =>
      `${author} ${entry.number} ${JSON.stringify(entry.content)}`
    )
      .toSorted()
  }

  #perform(index: number, output: Gossip.Output): void {
    switch (output._tag) {
      case "Send":
        return this.#send(index, Number.parseInt(output.peer.slice(1), 10), output.message)
      case "Persist":
        this.persisted[index]!.push(...output.entries)
        return
      case "Deliver": {
        const mine = this.delivered[index]!
        const expected = (this.#reached[index]!.get(output.author) ?? 0) + 1
        if (output.entry.number !== expected) {
          throw new Error(`peer ${index} delivers ${output.author} ${output.entry.number} instead of ${expected}`)
        }
        this.#reached[index]!.set(output.author, expected)
        if (this.persisted[index]!.length <= mine.length) {
          throw new Error(`peer ${index} delivers what is not on its disk`)
        }
        mine.push({ author: output.author, entry: output.entry, atMs: this.nowMs })
        return
      }
      case "Conflict":
        this.conflicts[index]!++
        return
      case "Overhead":
        this.overheadBytes += output.bytes
        return
      case "Disconnect": {
        this.disconnects.push(`${index}: ${output.detail}`)
        this.cut([index, Number.parseInt(output.peer.slice(1), 10)])
        return
      }
    }
  }

  #acknowledge(wire: Wire, received: number): void {
    for (; wire.acknowledged < received; wire.acknowledged++) wire.underWay -= wire.sizes[wire.acknowledged]!
  }

  #send(from: number, to: number, message: Heads | Entries): void {
    const wire = this.#wires.get(`${from}>${to}`)
    if (wire === undefined) throw new Error(`peer ${from} sends to ${to} without a link`)
    this.messagesSent++
    const bytes = utf8Bytes(JSON.stringify(message))
    if (bytes > Limits.controlFrameBytesMax) throw new Error(`a frame of ${bytes} bytes`)
    if (message._tag === "Entries") {
      for (const signed of message.entries) {
        if (wire.crossed.has(signed.signature) && this.oncePerWire) throw new Error("an entry crosses a link twice")
        wire.crossed.add(signed.signature)
        const size = utf8Bytes(JSON.stringify(signed))
        wire.sizes.push(size)
        wire.underWay += size
        this.entriesCrossed++
      }
      if (wire.underWay > Limits.catchUpWindowBytes + Limits.controlFrameBytesMax) {
        throw new Error(`${wire.underWay} bytes under way`)
      }
    }
    wire.messages.push(message)
  }
}
