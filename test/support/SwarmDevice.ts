/** One swarm machine with a clock, its neighbors played by a test. */
import { assert } from "@effect/vitest"
import { Base64Url } from "effect/encoding"
import * as Bitfield from "../../src/protocol/Bitfield.ts"
import { type ChunkIndex, PeerId, Root } from "../../src/protocol/Ids.ts"
import * as Swarm from "../../src/protocol/Swarm.ts"
import type { SwarmMessage } from "../../src/protocol/Wire.ts"

const KiB = 1024
export const peer = (name: string) => PeerId.make(name.padStart(43, "p"))
export const root = (name: string) => Root.make(name.padStart(43, "r"))
export const [a, b, c, d] = ["a", "b", "c", "d"].map(peer) as [PeerId, PeerId, PeerId, PeerId]
export const bulk = root("bulk")

interface Opening {
  readonly share?: Root
  readonly chunksCount?: number
  readonly chunkSizeBytes?: number
  readonly have?: ReadonlyArray<number>
  readonly manifestKnown?: boolean
  readonly origin?: boolean
  readonly cast?: { readonly begun: boolean; readonly manifest: boolean } | undefined
}

/** One machine with a clock; every step gives its outputs, and the messages among them by receiver. */
export class Device {
  readonly swarm = Swarm.make({ random: () => 0.5 })
  nowMs = 0

  step(input: Swarm.Input): ReadonlyArray<Swarm.Output> {
    return Swarm.step(this.swarm, input, this.nowMs)
  }

  open({
    share = bulk,
    chunksCount = 41,
    chunkSizeBytes = 64 * KiB,
    have = [0],
    manifestKnown = true,
    origin = false,
    cast
  }: Opening = {}): ReadonlyArray<Swarm.Output> {
    return this.step({
      _tag: "ShareOpened",
      root: share,
      manifestChunksCount: 1,
      chunksCount,
      chunkSizeBytes,
      manifestChunkSizeBytes: 4 * KiB,
      have: bits(chunksCount, have),
      manifestKnown,
      origin,
      cast
    })
  }

  up(...peers: ReadonlyArray<PeerId>): void {
    for (const peer of peers) this.step({ _tag: "PeerUp", peer, isHost: false })
  }

  hostUp(peer: PeerId): void {
    this.step({ _tag: "PeerUp", peer, isHost: true })
  }

  receive(peer: PeerId, message: SwarmMessage): ReadonlyArray<Swarm.Output> {
    return this.step({ _tag: "Message", peer, message })
  }

  request(peer: PeerId, index: number, share = bulk): ReadonlyArray<Swarm.Output> {
    return this.receive(peer, { _tag: "Request", share, index: index as ChunkIndex })
  }

  claim(peer: PeerId, indexes: ReadonlyArray<number>, chunksCount = 41, share = bulk): ReadonlyArray<Swarm.Output> {
    return this.receive(peer, { _tag: "Bitfield", share, bits: Base64Url.encode(bits(chunksCount, indexes)) })
  }

  /** A chunk comes whole from a peer and is stored. */
  deliver(peer: PeerId, index: number, bytes = 64 * KiB): ReadonlyArray<Swarm.Output> {
    return [
      ...this.step({ _tag: "DataArrived", peer, root: bulk, index, bytes, last: true }),
      ...this.step({ _tag: "ChunkStored", peer, root: bulk, index })
    ]
  }

  /** Each peer delivers a chunk of a share of its own, so that as much is asked of it as it claims. */
  prove(...peers: ReadonlyArray<PeerId>): void {
    const proof = root("proof")
    this.open({ share: proof, chunksCount: peers.length + 1 })
    peers.forEach((peer, i) => {
      this.claim(peer, [i + 1], peers.length + 1, proof)
      this.step({ _tag: "DataArrived", peer, root: proof, index: i + 1, bytes: 64 * KiB, last: true })
      this.step({ _tag: "ChunkStored", peer, root: proof, index: i + 1 })
    })
    this.step({ _tag: "ShareClosed", root: proof })
  }

  have(peer: PeerId, index: number): ReadonlyArray<Swarm.Output> {
    return this.receive(peer, { _tag: "Have", share: bulk, indexes: [index as ChunkIndex] })
  }

  /** A peer asks for a chunk that is here, gets it and says so. */
  fetch(peer: PeerId, index: number, bytes = 64 * KiB): ReadonlyArray<Swarm.Output> {
    assert.deepInclude(served(this.request(peer, index)), { to: peer, root: bulk, index })
    return [...this.step({ _tag: "Served", peer, root: bulk, index, bytes }), ...this.have(peer, index)]
  }

  tick(ms: number): ReadonlyArray<Swarm.Output> {
    this.nowMs += ms
    return this.step({ _tag: "Tick" })
  }
}

export const bits = (chunksCount: number, indexes: ReadonlyArray<number>) => {
  const bits = Bitfield.make(chunksCount)
  for (const index of indexes) Bitfield.add(bits, index)
  return bits
}

export const upTo = (count: number) => Array.from({ length: count }, (_, i) => i)

export const sent = (outputs: ReadonlyArray<Swarm.Output>, tag: SwarmMessage["_tag"]) =>
  outputs.flatMap((output) =>
    output._tag === "Send" && output.message._tag === tag ? [{ to: output.peer, message: output.message }] : []
  )

export const served = (outputs: ReadonlyArray<Swarm.Output>) =>
  outputs.flatMap((output) =>
    output._tag === "Serve" ? [{ to: output.peer, root: output.root, index: output.index }] : []
  )

/** Chunks that an origin shows to one neighbor. */
export const revealedIn = (outputs: ReadonlyArray<Swarm.Output>) =>
  sent(outputs, "Have").flatMap(({ message, to }) =>
    message._tag === "Have" ? message.indexes.map((index) => ({ to, index: Number(index) })) : []
  )

export const bitfieldsIn = (outputs: ReadonlyArray<Swarm.Output>) =>
  sent(outputs, "Bitfield").map(({ message }) => message._tag === "Bitfield" && message.bits)

export const indexesOf = (messages: ReturnType<typeof sent>) =>
  messages.flatMap(({ message }) => "index" in message ? [message.index as number] : [])

export const disconnected = (outputs: ReadonlyArray<Swarm.Output>) =>
  outputs.flatMap((output) => output._tag === "Disconnect" ? [`${output.peer.slice(-1)} ${output.code}`] : [])
