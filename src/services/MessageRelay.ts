/** The session's log on this device: what authors say reaches every peer, is kept, and is delivered once, in order. */
import { Context, type Effect, type PubSub, type Queue, Schema, type Scope } from "effect"
import type { Content, Entry } from "../protocol/Entry.ts"
import type { PeerId, PublicKey } from "../protocol/Ids.ts"
import type { Status } from "../protocol/Status.ts"

/** The entry was not written: nobody has seen it and nobody will. */
export class WriteRefused extends Schema.TaggedError<WriteRefused>()("WriteRefused", {
  reason: Schema.Literals(["not-allowed", "too-long", "too-fast", "log-full", "ended", "disk"]),
  detail: Schema.String
}) {}

/** An entry whose author, role, number and signature have been checked. */
export interface Delivered {
  readonly author: PublicKey
  readonly peer: PeerId
  readonly byHost: boolean
  readonly entry: Entry
  /** True for what this device had already delivered in an earlier run: state to restore, not news to announce. */
  readonly replayed: boolean
}

/** A peer's newest word on itself. */
export interface PeerStatus {
  readonly peer: PeerId
  readonly status: Status
}

export class MessageRelay extends Context.Service<MessageRelay, {
  /**
   * Every entry once, each author's in order: first the log as kept on disk (`replayed`), then what arrives. An entry is
   * on disk before it is delivered. Single consumer.
   */
  readonly delivered: Queue.Dequeue<Delivered>
  /** Signs, keeps and sends an entry of this device. Completes when it is on disk and handed to every link. */
  readonly write: (content: Content) => Effect.Effect<Entry, WriteRefused>
  /** Replaces this device's own status; sent on within a few seconds, at most every `statusIntervalMs`. */
  readonly setStatus: (status: Omit<Status, "number" | "name">) => Effect.Effect<void>
  readonly statuses: Effect.Effect<ReadonlyArray<PeerStatus>>
  /** A tick whenever `statuses` has changed. */
  readonly statusChanges: Effect.Effect<PubSub.Subscription<void>, never, Scope.Scope>
}>()("labfx/services/MessageRelay") {}
