/**
 * A device's own word on how it stands, gossiped so that the teacher sees it over any number of hops.
 *
 * The newest statement of a peer replaces its older ones.
 */
import { Schema } from "effect"
import { Root } from "./Ids.ts"
import * as Limits from "./Limits.ts"
import { shortText } from "./Text.ts"

export const ShareStatus = Schema.Struct({
  root: Root,
  /** Content and manifest bytes verified on this device. */
  verifiedBytes: Schema.Natural,
  /** Whether it is published in the download folder. */
  complete: Schema.Boolean,
  /** Why this share does not go on, in a word of the catalogue; absent while it does. */
  problem: Schema.optionalKey(Schema.Literals(["disk-full", "disk-read-only", "disk-failing", "bad-names", "other"]))
})

export const Status = Schema.Struct({
  /** Of two statements of one peer, the one with the larger number counts. */
  number: Schema.Natural,
  name: shortText(Limits.nameBytesMax),
  links: Schema.Natural,
  receiveBytesPerSecond: Schema.Natural,
  shares: Schema.Array(ShareStatus).check(Schema.isMaxLength(Limits.statusSharesMax))
})
export type Status = typeof Status.Type
