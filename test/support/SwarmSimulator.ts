/**
 * Many `protocol/Swarm` machines in one process, without Effect, sockets, disks or a clock, and every invariant of the
 * machine checked at every output.
 *
 * What is under way waits in one queue per directed link, as on TCP, and one per device for its disk; `pick` chooses which
 * queue moves next, so a property test owns every interleaving. Time passes only when nothing else can happen.
 */
import { Result } from "effect"
import { Base64Url } from "effect/encoding"
import * as Bitfield from "../../src/protocol/Bitfield.ts"
import { PeerId, Root } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import * as Swarm from "../../src/protocol/Swarm.ts"
import type { SwarmMessage } from "../../src/protocol/Wire.ts"

export interface SimulatedShare {
  readonly root: Root
  readonly manifestChunksCount: number
  readonly chunksCount: number
  readonly chunkSizeBytes: number
}

interface Device {
  readonly peer: PeerId
  machine: Swarm.Swarm
  readonly origin: boolean
  readonly have: Map<Root, Uint8Array>
  readonly neighbors: Set<Device>
  /** Claims as they were delivered here. */
  readonly claims: Map<string, Uint8Array>
  /** Whom each chunk is asked of: not cancelled, not rejected, not stored yet. */
  readonly asked: Map<string, Set<PeerId>>
  /** Whose answer to a request is still to come, cancelled or not: what comes whole is stored. */
  readonly expected: Map<string, Set<PeerId>>
  /** Chunks that are here whole and wait for the disk. */
  readonly storing: Set<string>
  /** Content chunks this device has served, by index. */
  readonly served: Map<string, number>
  readonly paused: Set<Root>
  /** It opens shares quietly: a cast may come, and bring the manifest or not. */
  quiet: boolean
  castManifest: boolean
  completed: number
  behaviour: Behaviour
}

/** How a device treats requests: like a good one, not at all, or with bytes that nobody signed. */
export type Behaviour = "honest" | "silent" | "rejecting" | "poisoning"

type Event = () => void

export class SwarmSimulator {
  readonly devices: ReadonlyArray<Device>
  readonly shares: ReadonlyArray<SimulatedShare>
  readonly disconnects: Array<{ readonly by: PeerId; readonly peer: PeerId; readonly code: string }> = []
  nowMs = 0
  /** Set while links are cut or devices misbehave: then the origin may have to repeat itself. */
  disturbed = false
  readonly #queues = new Map<string, Array<Event>>()
  /** Requests that have reached their server and are not answered yet, by link and chunk. */
  readonly #open = new Map<string, number>()
  readonly #random: () => number

  constructor(peersCount: number, shares: ReadonlyArray<SimulatedShare>, random: () => number) {
    this.shares = shares
    this.#random = random
    this.devices = Array.from({ length: peersCount }, (_, i): Device => ({
      peer: PeerId.make(String(i).padStart(43, "p")),
      machine: Swarm.make({ random }),
      origin: i === 0,
      have: new Map(),
      neighbors: new Set(),
      claims: new Map(),
      asked: new Map(),
      expected: new Map(),
      storing: new Set(),
      served: new Map(),
      paused: new Set(),
      quiet: false,
      castManifest: false,
      completed: 0,
      behaviour: "honest"
    }))
  }

  open(device: Device, share: SimulatedShare): void {
    const have = device.have.get(share.root) ??
      (device.origin ? Bitfield.full(share.chunksCount) : Bitfield.make(share.chunksCount))
    device.have.set(share.root, have)
    this.#input(device, {
      _tag: "ShareOpened",
      root: share.root,
      manifestChunksCount: share.manifestChunksCount,
      chunksCount: share.chunksCount,
      chunkSizeBytes: share.chunkSizeBytes,
      manifestChunkSizeBytes: share.chunkSizeBytes,
      have,
      manifestKnown: this.manifestKnown(device, share),
      origin: device.origin,
      cast: device.quiet ? { begun: false, manifest: device.castManifest } : undefined
    })
  }

  close(device: Device, share: SimulatedShare): void {
    this.#withdraw(device, share)
    for (const key of device.expected.keys()) if (key.startsWith(share.root)) device.expected.delete(key)
    this.#input(device, { _tag: "ShareClosed", root: share.root })
  }

  pause(device: Device, share: SimulatedShare): void {
    device.paused.add(share.root)
    this.#withdraw(device, share)
    this.#input(device, { _tag: "SharePaused", root: share.root })
  }

  resume(device: Device, share: SimulatedShare): void {
    device.paused.delete(share.root)
    this.#input(device, { _tag: "ShareResumed", root: share.root })
  }

  beginCast(device: Device, share: SimulatedShare): void {
    this.#input(device, { _tag: "CastBegun", root: share.root, manifest: device.castManifest })
  }

  /** The origin says whether to ask it alone, if the device is its neighbor. */
  direct(device: Device, share: SimulatedShare, only: boolean): void {
    const origin = this.devices.find((each) => each.origin)!
    if (!device.neighbors.has(origin)) return
    const message: SwarmMessage = { _tag: "Direct", share: share.root, only, ignorable: true }
    this.#later(`${origin.peer}>${device.peer}`, () => this.#received(origin, device, message))
  }

  endCast(device: Device, share: SimulatedShare): void {
    this.#input(device, { _tag: "CastOver", root: share.root, spare: false })
  }

  /** What a cast brought of the manifest was not all of it. */
  missManifest(device: Device, share: SimulatedShare): void {
    this.#input(device, { _tag: "CastMissed", root: share.root })
  }

  /** A chunk comes by the cast, if it can be verified. */
  castTo(device: Device, share: SimulatedShare, index: number): void {
    const { machine } = device
    if (!Swarm.isMissing(machine, share.root, index) || !Swarm.isVerifiable(machine, share.root, index)) return
    const have = device.have.get(share.root)!
    const knewManifest = this.manifestKnown(device, share)
    Bitfield.add(have, index)
    this.#input(device, { _tag: "ChunkFound", root: share.root, index })
    if (!knewManifest && this.manifestKnown(device, share)) {
      this.#input(device, { _tag: "ManifestKnown", root: share.root, have })
    }
  }

  connect(a: Device, b: Device): void {
    if (a === b || a.neighbors.has(b)) return
    a.neighbors.add(b)
    b.neighbors.add(a)
    this.#input(a, { _tag: "PeerUp", peer: b.peer, isHost: b.origin })
    this.#input(b, { _tag: "PeerUp", peer: a.peer, isHost: a.origin })
  }

  cut(a: Device, b: Device): void {
    if (!a.neighbors.delete(b)) return
    b.neighbors.delete(a)
    for (const [one, other] of [[a, b], [b, a]] as const) {
      this.#queues.delete(`${one.peer}>${other.peer}`)
      for (const key of one.claims.keys()) if (key.startsWith(other.peer)) one.claims.delete(key)
      for (const [key, sources] of one.asked) if (!one.storing.has(key + other.peer)) sources.delete(other.peer)
      for (const sources of one.expected.values()) sources.delete(other.peer)
      for (const key of this.#open.keys()) if (key.startsWith(`${one.peer}>${other.peer}`)) this.#open.delete(key)
      this.#input(one, { _tag: "PeerDown", peer: other.peer })
    }
  }

  /** The process ends and is started again with what it has on disk. */
  restart(device: Device): void {
    const neighbors = Array.from(device.neighbors)
    for (const neighbor of neighbors) this.cut(device, neighbor)
    this.#queues.delete(`disk ${device.peer}`)
    this.#queues.delete(`card ${device.peer}`)
    device.machine = Swarm.make({ random: this.#random })
    device.asked.clear()
    device.expected.clear()
    device.storing.clear()
    for (const share of this.shares) this.open(device, share)
    for (const neighbor of neighbors) this.connect(device, neighbor)
  }

  manifestKnown(device: Device, share: SimulatedShare): boolean {
    const have = device.have.get(share.root)!
    for (let i = 0; i < share.manifestChunksCount; i++) if (!Bitfield.has(have, i)) return false
    return true
  }

  isComplete(device: Device): boolean {
    return this.shares.every(({ root, chunksCount }) => Bitfield.size(device.have.get(root)!) === chunksCount)
  }

  /** Whether every chunk is on some honest device besides the origin. */
  get isOutOnce(): boolean {
    return this.shares.every(({ root, chunksCount }) =>
      Array.from({ length: chunksCount }, (_, i) => i).every((index) =>
        this.devices.some((device) => !device.origin && Bitfield.has(device.have.get(root)!, index))
      )
    )
  }

  /** Moves events until `done` or until `tillMs`; time passes when nothing is under way. */
  run(pick: (busy: number) => number, tillMs: number, done: () => boolean): void {
    while (!done() && this.nowMs < tillMs) {
      const busy = Array.from(this.#queues.keys())
      const moved = busy.length === 0 ? busy.length : pick(busy.length + 1)
      if (moved === busy.length) {
        // While something is under way time creeps, so that timers and messages interleave without timing out.
        this.nowMs += busy.length === 0 ? 50 : 1
        for (const device of this.devices) this.#input(device, { _tag: "Tick" })
      } else {
        const name = busy[moved]!
        const events = this.#queues.get(name)!
        const event = events.shift()!
        if (events.length === 0) this.#queues.delete(name)
        event()
      }
    }
  }

  /** Requests on live links that have reached their server and wait there. */
  get unanswered(): number {
    let sum = 0
    for (const count of this.#open.values()) sum += count
    return sum
  }

  #withdraw(device: Device, share: SimulatedShare): void {
    for (const key of device.asked.keys()) if (key.startsWith(share.root)) device.asked.delete(key)
    for (const key of device.storing) if (key.startsWith(share.root)) device.storing.delete(key)
  }

  #later(queue: string, event: Event): void {
    const events = this.#queues.get(queue)
    if (events === undefined) this.#queues.set(queue, [event])
    else events.push(event)
  }

  #input(device: Device, input: Swarm.Input): void {
    const outputs = Swarm.step(device.machine, input, this.nowMs)
    check(device.machine.inFlightBytes <= Limits.inFlightBytesMax && device.machine.inFlightBytes >= 0, "3: in flight")
    for (const output of outputs) this.#output(device, output)
  }

  #output(device: Device, output: Swarm.Output): void {
    switch (output._tag) {
      case "Send": {
        const to = this.devices.find(({ peer }) => peer === output.peer)!
        this.#sent(device, to, output.message)
        this.#later(`${device.peer}>${to.peer}`, () => this.#received(device, to, output.message))
        return
      }
      case "Serve": {
        const to = this.devices.find(({ peer }) => peer === output.peer)!
        const share = this.shares.find(({ root }) => root === output.root)!
        check(Bitfield.has(device.have.get(output.root)!, output.index), "a chunk is served that is not here")
        this.#answered(to, device, output.root, output.index)
        this.#countServed(device, share, output.index)
        this.#later(`card ${device.peer}`, () => {
          this.#input(device, {
            _tag: "Served",
            peer: to.peer,
            root: output.root,
            index: output.index,
            bytes: share.chunkSizeBytes
          })
          if (device.neighbors.has(to)) this.#data(device, to, share, output.index)
        })
        return
      }
      case "Disconnect": {
        const peer = this.devices.find(({ peer }) => peer === output.peer)!
        this.disconnects.push({ by: device.peer, peer: output.peer, code: output.code })
        return this.cut(device, peer)
      }
      case "Complete":
        device.completed++
    }
  }

  #sent(device: Device, to: Device, message: SwarmMessage): void {
    if (message._tag === "Reject") this.#answered(to, device, message.share, message.index)
    if (message._tag === "Cancel") device.asked.get(`${message.share}/${message.index}`)?.delete(to.peer)
    if (message._tag !== "Request") return
    const share = this.shares.find(({ root }) => root === message.share)!
    const have = device.have.get(message.share)!
    check(!device.paused.has(share.root), "a paused share is asked for")
    check(!Bitfield.has(have, message.index), "5: a chunk that is here is asked for")
    check(Bitfield.has(device.claims.get(to.peer + share.root) ?? have, message.index), "4: nobody claimed the chunk")
    check(
      message.index < share.manifestChunksCount || this.manifestKnown(device, share),
      "6: content is asked for before the manifest is known"
    )
    const key = `${message.share}/${message.index}`
    const sources = device.asked.get(key) ?? new Set()
    device.asked.set(key, sources.add(to.peer))
    device.expected.set(key, (device.expected.get(key) ?? new Set()).add(to.peer))
    if (sources.size > 1) {
      check(sources.size <= 3, "2: too many sources")
      for (let index = 0; index < share.chunksCount; index++) {
        const wanted = !Bitfield.has(have, index) &&
          (index < share.manifestChunksCount || this.manifestKnown(device, share))
        const key = `${message.share}/${index}`
        const inFlight = (device.asked.get(key)?.size ?? 0) + (device.expected.get(key)?.size ?? 0) > 0
        check(!wanted || inFlight, "2: two sources too early")
      }
    }
  }

  #received(from: Device, to: Device, message: SwarmMessage): void {
    const claims = to.claims.get(from.peer + message.share)
    switch (message._tag) {
      case "Bitfield":
        to.claims.set(from.peer + message.share, Result.getOrThrow(Base64Url.decode(message.bits)))
        break
      case "Have":
        for (const index of message.indexes) if (claims !== undefined) Bitfield.add(claims, index)
        break
      case "Reject":
        to.asked.get(`${message.share}/${message.index}`)?.delete(from.peer)
        to.expected.get(`${message.share}/${message.index}`)?.delete(from.peer)
        break
      case "Request": {
        if (to.behaviour === "silent") return
        const key = `${from.peer}>${to.peer} ${message.share}/${message.index}`
        this.#open.set(key, (this.#open.get(key) ?? 0) + 1)
        if (to.behaviour !== "rejecting") break
        const { share, index } = message
        this.#answered(from, to, share, index)
        return this.#later(`${to.peer}>${from.peer}`, () => this.#received(to, from, { _tag: "Reject", share, index }))
      }
    }
    this.#input(to, { _tag: "Message", peer: from.peer, message })
  }

  #answered(asker: Device, server: Device, root: Root, index: number): void {
    const key = `${asker.peer}>${server.peer} ${root}/${index}`
    const open = this.#open.get(key) ?? 0
    check(open > 0 || !asker.neighbors.has(server), "1: an answer without a request")
    if (open > 1) this.#open.set(key, open - 1)
    else this.#open.delete(key)
  }

  #countServed(device: Device, share: SimulatedShare, index: number): void {
    if (index < share.manifestChunksCount) return
    const key = `${share.root}/${index}`
    const times = (device.served.get(key) ?? 0) + 1
    device.served.set(key, times)
    if (!device.origin || this.disturbed || times === 1) return
    for (let other = share.manifestChunksCount; other < share.chunksCount; other++) {
      check(device.served.has(`${share.root}/${other}`), "7: the origin repeats itself")
    }
  }

  #data(from: Device, to: Device, share: SimulatedShare, index: number): void {
    const half = Math.ceil(share.chunkSizeBytes / 2)
    const key = `${share.root}/${index}`
    const arrive = (bytes: number, last: boolean) => () => {
      if (to.expected.get(key)?.has(from.peer) !== true) return
      this.#input(to, { _tag: "DataArrived", peer: from.peer, root: share.root, index, bytes, last })
      if (!last) return
      to.expected.get(key)!.delete(from.peer)
      if (to.paused.has(share.root)) return
      to.storing.add(key + from.peer)
      this.#later(`disk ${to.peer}`, () => this.#store(from, to, share, index))
    }
    this.#later(`${from.peer}>${to.peer}`, arrive(half, false))
    this.#later(`${from.peer}>${to.peer}`, arrive(share.chunkSizeBytes - half, true))
  }

  #store(from: Device, to: Device, share: SimulatedShare, index: number): void {
    const { root } = share
    const key = `${root}/${index}`
    if (!to.storing.delete(key + from.peer)) return
    to.asked.get(key)?.delete(from.peer)
    if (from.behaviour === "poisoning") {
      return this.#input(to, { _tag: "ChunkCorrupt", peer: from.peer, root, index })
    }
    const have = to.have.get(root)!
    const knewManifest = this.manifestKnown(to, share)
    Bitfield.add(have, index)
    this.#input(to, { _tag: "ChunkStored", peer: from.peer, root, index })
    if (!knewManifest && this.manifestKnown(to, share)) this.#input(to, { _tag: "ManifestKnown", root, have })
  }
}

const check = (condition: boolean, invariant: string): void => {
  if (!condition) throw new Error(`invariant ${invariant}`)
}
