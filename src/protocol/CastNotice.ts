/**
 * The host's word on what it casts and where: a signed statement of kind `cast-notice` in its session. Who has no link to the
 * host gets it from neighbors, and hears the multicast as everybody does.
 *
 * Passing it on is an IO-less machine, changed in place. Invariants, checked by `test/protocol/CastNotice.test.ts`:
 *
 * 1. **Only forward:** of two notices of one host the one with the larger number counts, whatever the order in which they come.
 * 2. **Once:** while a neighbor has no link to the host it is told of a notice once, and not of one that it has told of itself.
 * 3. **Only who needs it:** whoever says that it has a link to the host, or has not said, is told of no notice.
 */
import { Schema } from "effect"
import { type PeerId, Root } from "./Ids.ts"
import * as Limits from "./Limits.ts"
import type { Signed } from "./Signed.ts"
import { Address, Multicast, Uint32 } from "./Wire.ts"

export const CastNotice = Schema.Struct({
  number: Uint32,
  /** Where the host is in the network that it casts to: who is in that network too can listen. */
  from: Address.fields.host,
  group: Multicast.fields.group,
  groups: Multicast.fields.groups,
  key: Multicast.fields.key,
  /** What is being cast, and under which numbers. */
  casts: Schema.Array(Schema.Struct({ share: Root, cast: Uint32 })).check(Schema.isMaxLength(Limits.castsNoticedMax))
})
export type CastNotice = typeof CastNotice.Type

/** A notice and the proof that it is the host's. */
export interface Noticed {
  readonly signed: Signed
  readonly notice: CastNotice
}

export interface CastNotices {
  newest: Noticed | undefined
  /** Neighbors that have no link to the host, and the number of the notice that they know; 0 for none. */
  readonly far: Map<PeerId, number>
}

export const make = (): CastNotices => ({ newest: undefined, far: new Map() })

/** A neighbor has said whether it has a link to the host. Gives who is to be told of the newest notice. */
export const neighbor = (notices: CastNotices, peer: PeerId, near: boolean): ReadonlyArray<PeerId> => {
  if (near) notices.far.delete(peer)
  else if (!notices.far.has(peer)) notices.far.set(peer, 0)
  return untold(notices)
}

export const gone = (notices: CastNotices, peer: PeerId): void => {
  notices.far.delete(peer)
}

/** The host's notice has come from a neighbor. Gives who is to be told of it, or nothing if it is no news. */
export const heard = (notices: CastNotices, from: PeerId, noticed: Noticed): ReadonlyArray<PeerId> | undefined => {
  const { notice: { number }, signed: { key } } = noticed
  // A host that has started anew has another key, and counts anew.
  if (notices.newest !== undefined && notices.newest.signed.key !== key) forget(notices)
  const known = notices.far.get(from)
  if (known !== undefined) notices.far.set(from, Math.max(known, number))
  if (number <= (notices.newest?.notice.number ?? 0)) return undefined
  notices.newest = noticed
  return untold(notices)
}

/** What is known is of a host that is gone. */
export const forget = (notices: CastNotices): void => {
  notices.newest = undefined
  for (const peer of notices.far.keys()) notices.far.set(peer, 0)
}

const untold = ({ far, newest }: CastNotices): ReadonlyArray<PeerId> => {
  if (newest === undefined) return []
  const { number } = newest.notice
  const peers = Array.from(far).filter(([, known]) => known < number).map(([peer]) => peer)
  for (const peer of peers) far.set(peer, number)
  return peers
}
