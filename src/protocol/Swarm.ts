/**
 * The swarm as an IO-less state machine: what to ask of whom, whom to serve, and when to give up on a source.
 *
 * One machine a device, for all of its shares and links. State is changed in place: this is the hot path.
 * Inputs carry the time, chance comes from `Options.random`, and outputs are carried out in order.
 */
import type { PeerId, Root } from "./Ids.ts"
import type { GoodbyeCode, SwarmMessage } from "./Wire.ts"

export interface Options {
  /** A number in [0, 1) at each call. */
  readonly random: () => number
}

export type Input =
  | { readonly _tag: "PeerUp"; readonly peer: PeerId }
  | { readonly _tag: "PeerDown"; readonly peer: PeerId }
  | {
    readonly _tag: "ShareOpened"
    readonly root: Root
    readonly manifestChunksCount: number
    /** Manifest and content chunks together. */
    readonly chunksCount: number
    /** The size of a full content chunk and of a full manifest chunk, in bytes; used to bound what is in flight. */
    readonly chunkSizeBytes: number
    readonly manifestChunkSizeBytes: number
    /** Which chunks this device has verified; the machine takes its own copy. */
    readonly have: Uint8Array
    /** Content chunks are asked for only once this is true: before, nobody could verify them. */
    readonly manifestKnown: boolean
    /** This device is where the share comes from: it hands every chunk out once before it repeats one. */
    readonly origin: boolean
  }
  /** The share is withdrawn or forgotten. */
  | { readonly _tag: "ShareClosed"; readonly root: Root }
  /** The manifest is verified; `have` as it stands now. */
  | { readonly _tag: "ManifestKnown"; readonly root: Root; readonly have: Uint8Array }
  | { readonly _tag: "Message"; readonly peer: PeerId; readonly message: SwarmMessage }
  /** A run of bytes of a requested chunk has arrived; `last` when it was the chunk's last. */
  | {
    readonly _tag: "DataArrived"
    readonly peer: PeerId
    readonly root: Root
    readonly index: number
    readonly bytes: number
    readonly last: boolean
  }
  /** A chunk that arrived whole is verified and on disk, or was not what was signed. */
  | { readonly _tag: "ChunkStored"; readonly peer: PeerId; readonly root: Root; readonly index: number }
  | { readonly _tag: "ChunkCorrupt"; readonly peer: PeerId; readonly root: Root; readonly index: number }
  /** The disk refuses the share for now: nothing of it is asked for until `ShareResumed`. What arrived was not kept. */
  | { readonly _tag: "SharePaused"; readonly root: Root }
  | { readonly _tag: "ShareResumed"; readonly root: Root }
  /** An output `Serve` is done: all bytes are with the system, or the link ended first. */
  | { readonly _tag: "Served"; readonly peer: PeerId; readonly root: Root; readonly index: number }
  /** An output `Serve` could not be done: this device does not have the chunk any more. */
  | { readonly _tag: "ServeFailed"; readonly peer: PeerId; readonly root: Root; readonly index: number }
  /** Time passes; at least every 100 ms while anything is going on. */
  | { readonly _tag: "Tick" }

export type Output =
  | { readonly _tag: "Send"; readonly peer: PeerId; readonly message: SwarmMessage }
  /** Read the chunk and send it; answered by exactly one `Served` or `ServeFailed`. */
  | { readonly _tag: "Serve"; readonly peer: PeerId; readonly root: Root; readonly index: number }
  | { readonly _tag: "Disconnect"; readonly peer: PeerId; readonly code: GoodbyeCode; readonly detail: string }
  /** Every chunk of the share is here. */
  | { readonly _tag: "Complete"; readonly root: Root }
