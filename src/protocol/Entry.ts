/**
 * Log entries: what authors say in a session, numbered and signed.
 *
 * Messages and shares are entries of one log an author, so a share reaches late joiners exactly as a message does.
 */
import { Schema } from "effect"
import type { Policy } from "./Certificate.ts"
import { PublicKey, Root } from "./Ids.ts"
import * as Limits from "./Limits.ts"
import { longText, shortText } from "./Text.ts"

/** A line of text for everybody. */
export const Text = Schema.TaggedStruct("Text", { text: longText(Limits.messageTextBytesMax) })

/** A file or a folder is shared. The chunk hashes are those of the manifest, whose own bytes are the first chunks. */
export const Share = Schema.TaggedStruct("Share", {
  root: Root,
  kind: Schema.Literals(["file", "folder"]),
  /** The file's or the folder's name as it should appear; the receiver makes it safe. */
  title: shortText(Limits.pathComponentBytesMax),
  /** Content bytes, the manifest not counted. */
  sizeBytes: Schema.Natural,
  filesCount: Schema.Natural.check(Schema.isLessThanOrEqualTo(Limits.filesPerShareMax)),
  chunkSizeBytes: Schema.Natural.check(Schema.isBetween({ minimum: 1_024, maximum: Limits.chunkBytesMax })),
  /** Content chunks. */
  chunksCount: Schema.Natural.check(Schema.isLessThanOrEqualTo(Limits.chunksPerShareMax)),
  manifest: Schema.Struct({
    sizeBytes: Schema.Natural.check(Schema.isBetween({ minimum: 1, maximum: Limits.manifestBytesMax })),
    chunkSizeBytes: Schema.Natural.check(Schema.isBetween({ minimum: 1_024, maximum: Limits.chunkBytesMax })),
    /** SHA-256 of each manifest chunk, base64url, in order. */
    hashes: Schema.Array(Root).check(Schema.isMinLength(1), Schema.isMaxLength(Limits.manifestChunksMax))
  })
})
export type Share = typeof Share.Type

/** A share is withdrawn: nobody starts it anew, what is complete stays. */
export const Unshare = Schema.TaggedStruct("Unshare", { root: Root })

/**
 * A device is shut out: nobody links to it, and of what it wrote nothing counts behind `after`, which is how far its log
 * went at the host.
 */
export const Remove = Schema.TaggedStruct("Remove", {
  key: PublicKey,
  /** What the device called itself, for people. */
  name: shortText(Limits.nameBytesMax),
  after: Schema.Natural
})

/** The session is over: nobody joins it any more and no later entry counts. */
export const End = Schema.TaggedStruct("End", {})

export const Content = Schema.Union([Text, Share, Unshare, Remove, End])
export type Content = typeof Content.Type

/** The body of a signed entry. The author is the signing key. */
export const Entry = Schema.Struct({
  /** 1 for the author's first entry, then without gaps. */
  number: Schema.Natural.check(Schema.isBetween({ minimum: 1, maximum: Limits.entriesPerHostMax })),
  /** The author's name when it wrote this. */
  name: shortText(Limits.nameBytesMax),
  /** Unix milliseconds by the author's clock: shown to people, never decided upon. */
  writtenAt: Schema.Natural,
  content: Content
})
export type Entry = typeof Entry.Type

/** Whether an author may say this: what students may do is the teacher's policy, withdrawing and ending is the teacher's. */
export const permitted = (content: Content, byHost: boolean, policy: Policy): boolean => {
  if (byHost) return true
  switch (content._tag) {
    case "Text":
      return policy.studentsMayWrite
    case "Share":
      return policy.studentsMayShare
    case "Unshare":
    case "Remove":
    case "End":
      return false
  }
}
