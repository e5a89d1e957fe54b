/**
 * The live links of this device: handshake, membership, outboxes and inboxes.
 *
 * Above it nobody sees a socket. A peer has at most one link; `PeerUp` comes after both hellos, `PeerDown` when the link
 * has ended, and in between every message of the peer in the order it was sent.
 */
import { Context, type Effect, type Queue } from "effect"
import type { PeerId, PublicKey, Root } from "../protocol/Ids.ts"
import type { Address, Data, GoodbyeCode, LogMessage, SwarmMessage } from "../protocol/Wire.ts"

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
}>()("labfx/services/PeerManager") {}
