/** Moves chunks: drives the swarm machine over the links of PeerManager and the disk of ChunkStore. */
import { Context, type Effect, type PubSub, type Scope } from "effect"
import type { Share } from "../protocol/Entry.ts"
import type { PeerId, Root } from "../protocol/Ids.ts"
import type { StoreError } from "./ChunkStore.ts"

export interface ShareProgress {
  readonly root: Root
  /** Content bytes verified here, and in all. */
  readonly verifiedBytes: number
  readonly sizeBytes: number
  readonly receiveBytesPerSecond: number
  readonly sendBytesPerSecond: number
  /** Peers that chunks of this share are coming from. */
  readonly sources: number
}

export type TransferEvent =
  | { readonly _tag: "Progress"; readonly progress: ShareProgress }
  | {
    readonly _tag: "Completed"
    readonly root: Root
    readonly path: string
    readonly sizeBytes: number
    readonly skipped: ReadonlyArray<{ readonly path: string; readonly reason: string }>
  }
  /** The share does not go on for now; it resumes by itself when the cause is gone. */
  | { readonly _tag: "Paused"; readonly root: Root; readonly error: StoreError }
  | { readonly _tag: "Resumed"; readonly root: Root }
  /** This device's own source changed while it was shared: it is no longer served. */
  | { readonly _tag: "SourceChanged"; readonly root: Root; readonly detail: string }
  /** A peer sent bytes that are not what the teacher signed; it has been dropped. */
  | { readonly _tag: "Poisoned"; readonly peer: PeerId; readonly root: Root }

export interface Traffic {
  readonly sentBytes: number
  readonly receivedBytes: number
  /** Received for nothing: chunks that were here already or that nobody asked for. */
  readonly wastedBytes: number
}

export class ChunkScheduler extends Context.Service<ChunkScheduler, {
  /** Wants a share (or serves it, where it is complete). Idempotent. */
  readonly add: (share: Share) => Effect.Effect<void>
  /** Neither wants nor serves it any more. */
  readonly remove: (root: Root) => Effect.Effect<void>
  /** Events from now on; a subscriber that falls 1,024 behind loses the oldest progress. */
  readonly events: Effect.Effect<PubSub.Subscription<TransferEvent>, never, Scope.Scope>
  readonly progress: Effect.Effect<ReadonlyArray<ShareProgress>>
  readonly traffic: Effect.Effect<Traffic>
}>()("labfx/services/ChunkScheduler") {}
