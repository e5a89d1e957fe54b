/**
 * A device's own word on how it stands, passed on so that the teacher sees it over any number of hops.
 *
 * The newest statement of a peer replaces its older ones.
 */
import { Schema } from "effect"
import { type PublicKey, Root } from "./Ids.ts"
import * as Limits from "./Limits.ts"
import { Program } from "./Program.ts"
import { shortText } from "./Text.ts"

export const ShareStatus = Schema.Struct({
  root: Root,
  /** Content and manifest bytes verified on this device. */
  verifiedBytes: Schema.Natural,
  /** Whether it is published in the download folder. */
  complete: Schema.Boolean,
  /** Why this share does not go on, in a word of the catalogue; absent while it does. */
  problem: Schema.optionalKey(
    Schema.Literals([
      "disk-full",
      "disk-read-only",
      "disk-failing",
      "bad-names",
      // The host's own copy was changed while it was handed out: who lacks a part gets it from others or not at all.
      "source-changed",
      "other"
    ])
  )
})

export const Status = Schema.Struct({
  /** Of two statements of one peer, the one with the larger number counts. */
  number: Schema.Natural,
  /**
   * The number of its device's last statement that is for everybody; absent where that is this one. Who has that, or a
   * later one, needs this only on the way to a host.
   */
  since: Schema.optionalKey(Schema.Natural),
  name: shortText(Limits.nameBytesMax),
  /** What it runs, e.g. `labfx 0.1.0`. */
  program: Schema.optionalKey(Program),
  links: Schema.Natural,
  receiveBytesPerSecond: Schema.Natural,
  shares: Schema.Array(ShareStatus).check(Schema.isMaxLength(Limits.statusSharesMax))
})
export type Status = typeof Status.Type

/** What the host says of each share: whether its own copy was changed. No other device's word on that counts. */
export const sourcesChanged = (
  statuses: ReadonlyArray<{ readonly key: PublicKey; readonly status: Status }>,
  host: PublicKey
): ReadonlyMap<Root, boolean> =>
  new Map(
    statuses.filter(({ key }) => key === host).flatMap(({ status }) =>
      status.shares.map(({ problem, root }) => [root, problem === "source-changed"] as const)
    )
  )
