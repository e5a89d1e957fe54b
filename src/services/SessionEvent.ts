/**
 * What happens in a session, as the command line prints it with `--json` and as the page will show it.
 *
 * Scripts depend on these names: fields are added, never renamed or removed.
 */
import { Schema } from "effect"
import { PeerId, PublicKey, Root, SessionId } from "../protocol/Ids.ts"

const event = <const Name extends string, Fields extends Schema.Struct.Fields>(name: Name, fields: Fields) =>
  Schema.Struct({ event: Schema.Literal(name), ...fields })

const identity = {
  session: SessionId,
  title: Schema.String,
  /** The teacher's fingerprint: six words to compare with those on the board. */
  words: Schema.String,
  root: PublicKey
}

/** This device hosts a session. `link` is what students may open instead of searching. */
export const SessionStarted = event("session.started", { ...identity, port: Schema.Natural, link: Schema.String })
/** A session is in reach. `trust`: pinned before, new, or `alarm` where a pinned teacher's title has another key. */
export const SessionFound = event("session.found", {
  ...identity,
  address: Schema.String,
  trust: Schema.Literals(["pinned", "new", "alarm"])
})
export const SessionJoined = event("session.joined", { ...identity, peer: PeerId })
export const SessionEnded = event("session.ended", {
  session: SessionId,
  reason: Schema.Literals(["left", "ended-by-teacher", "replaced"])
})
export const PeerUp = event("peer.up", {
  peer: PeerId,
  name: Schema.String,
  address: Schema.String,
  host: Schema.Boolean
})
export const PeerDown = event("peer.down", { peer: PeerId, name: Schema.String })

/** The teacher has shut a device out: nobody links to it any more, and what it says from now on is not shown. */
export const PeerRemoved = event("peer.removed", { peer: PeerId, name: Schema.String })

const share = { root: Root, title: Schema.String }

/** A file or folder is being read and hashed before it is offered. `bytes`: its size, as soon as that is known. */
export const SharePreparing = event("share.preparing", {
  preparation: Schema.String,
  title: Schema.String,
  hashedBytes: Schema.Natural,
  bytes: Schema.optional(Schema.Natural)
})
/** That is over. Whoever asked for it knows why it failed. */
export const SharePrepared = event("share.prepared", {
  preparation: Schema.String,
  title: Schema.String,
  outcome: Schema.Literals(["ready", "failed", "called-off"])
})
export const ShareOffered = event("share.offered", {
  ...share,
  kind: Schema.Literals(["file", "folder"]),
  bytes: Schema.Natural,
  files: Schema.Natural
})
export const ShareProgress = event("share.progress", {
  ...share,
  verifiedBytes: Schema.Natural,
  bytes: Schema.Natural,
  receiveBytesPerSecond: Schema.Natural,
  sendBytesPerSecond: Schema.Natural,
  sources: Schema.Natural
})
/** Every byte is verified and in its place. On the teacher: the source is ready to be handed out. */
export const ShareCompleted = event("share.completed", { ...share, path: Schema.String, bytes: Schema.Natural })
/** The share does not go on: for good, or (`resumes`) until the cause is gone. */
export const ShareFailed = event("share.failed", { ...share, reason: Schema.String, resumes: Schema.Boolean })
export const ShareWithdrawn = event("share.withdrawn", share)

export const MessageDelivered = event("message.delivered", {
  author: PeerId,
  name: Schema.String,
  byHost: Schema.Boolean,
  number: Schema.Natural,
  writtenAt: Schema.Natural,
  text: Schema.String
})
/** Something a person should know; `code` is stable, `text` is a sentence with cause and next step. */
export const Warning = event("warning", { code: Schema.String, text: Schema.String })

export const SessionEvent = Schema.Union([
  SessionStarted,
  SessionFound,
  SessionJoined,
  SessionEnded,
  PeerUp,
  PeerDown,
  PeerRemoved,
  SharePreparing,
  SharePrepared,
  ShareOffered,
  ShareProgress,
  ShareCompleted,
  ShareFailed,
  ShareWithdrawn,
  MessageDelivered,
  Warning
])
export type SessionEvent = typeof SessionEvent.Type
