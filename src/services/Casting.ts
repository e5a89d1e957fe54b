/**
 * Casts chunks to everybody at once and hears what the host casts: drives the two cast machines over the network's multicast.
 * A part of {@link ChunkScheduler}, which owns shares, buffers and the disk.
 */
import { Effect, type Fiber } from "effect"
import type * as CastReceiver from "../protocol/CastReceiver.ts"
import type { PeerId, Root } from "../protocol/Ids.ts"
import type { CastMessage } from "../protocol/Wire.ts"
import * as CastingHost from "./casting/CastingHost.ts"
import * as CastingListener from "./casting/CastingListener.ts"
import type { PeerInfo } from "./PeerManager.ts"
import { SessionContext } from "./SessionContext.ts"

/** What casting asks of whoever moves chunks. Plain calls. */
export interface CastUser {
  readonly send: (peer: PeerId, message: CastMessage) => void
  /** So many bytes of what the peer has sent brought nothing new. */
  readonly overhead: (peer: PeerId, bytes: number) => void
  /** The share is cast, from here or to here; and not any more. */
  readonly begun: (root: Root) => void
  readonly over: (root: Root, spare: boolean) => void
  /** The manifest did not come with the share's cast: it is to be asked for. */
  readonly manifestMissed: (root: Root) => void
  /** The size of a chunk in bytes; 0 for one of content whose manifest is not known. */
  readonly chunkBytes: (root: Root, index: number) => number
  /** Whether a chunk would be taken and is not here. */
  readonly isMissing: (root: Root, index: number) => boolean
  /** How many neighbors lack a chunk, as far as they have said. */
  readonly lacking: (root: Root, index: number) => number
  /** Whether something more urgent than bulk is on its way. */
  readonly isHushed: () => boolean
  /** Gives the chunk's bytes as they were signed, in the buffer; or nothing, if it cannot be read now. */
  readonly read: (
    root: Root,
    index: number,
    buffer: Uint8Array,
    done: (bytes: Uint8Array | undefined) => void
  ) => void
  /** A chunk came whole from the host: verify it and keep it. The buffer is the receiver's from now on. */
  readonly keep: (from: PeerId, root: Root, index: number, buffer: Uint8Array) => void
  readonly acquire: (sizeBytes: number) => Uint8Array
  readonly release: (buffer: Uint8Array) => void
  readonly nowMs: () => number
  /** Runs in the background until it is done or the scope closes. */
  readonly fork: <A>(effect: Effect.Effect<A>) => Fiber.Fiber<A>
}

export interface Casting {
  readonly peerUp: (info: PeerInfo) => void
  readonly peerDown: (peer: PeerId) => void
  /** The peer has said, perhaps again, whether it has a link to the host. */
  readonly nearHost: (peer: PeerId, near: boolean) => void
  readonly hear: (peer: PeerId, message: CastMessage) => void
  /** Whether the host's casts come here. */
  readonly hears: () => boolean
  /** This device hands the chunks `firstIndex` to before `endIndex` of a share of so many bytes out; what is urgent is not hushed. */
  readonly offer: (root: Root, firstIndex: number, endIndex: number, bytes: number, urgent: boolean) => void
  /** The share is closed, or cannot be read. */
  readonly withdraw: (root: Root) => void
  /** Chunks of the share can be taken here, before they can be verified unless `patient`; and can be verified. */
  readonly opened: (root: Root, outline: CastReceiver.Outline, patient: boolean) => void
  readonly manifestKnown: (root: Root) => void
  /** A chunk that was kept was not what was signed. */
  readonly chunkFalse: () => void
}

export const make = Effect.fnUntraced(function*(user: CastUser) {
  const context = yield* SessionContext
  return context.isHost ? yield* CastingHost.make(user, context) : yield* CastingListener.make(user, context)
})
