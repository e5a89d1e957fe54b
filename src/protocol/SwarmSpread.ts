/**
 * Telling others what is here: bitfields, announcements in batches, and the origin's handing out.
 *
 * No protocol spreads a share faster than its origin can send it once, so the origin must not send anything twice before
 * all of it is out. It therefore claims only the manifest at first, and reveals each chunk of the content to one link,
 * just before it can send it, to the link in greatest need. A chunk is out when its receiver says that it has it; when all
 * are, the origin claims everything. Who claims a chunk that it was not given may have kept it from another day, or may
 * lie: while few say so, the chunk is handed out all the same, after those that nobody claims.
 * After "super seeding" (BEP 16), with reveals ahead of need so that no link waits for one.
 */
import { Base64Url } from "effect/encoding"
import * as Bitfield from "./Bitfield.ts"
import * as Limits from "./Limits.ts"
import {
  type Handout,
  isComplete,
  isManifest,
  type Link,
  send,
  type Share,
  type Swarm,
  type View
} from "./SwarmState.ts"

/** Chunks are revealed ahead of sending them: `Policy.revealsMin`, or as many as leave in this time. */
const revealsAheadMs = 200
/** A revealed chunk that is not asked for in this time may yet be; after the second, it is revealed to someone else. */
const revealSlowMs = 300
const revealLostMs = 2_000
/** A chunk that so many claim, and so large a part of the links, is out, whoever sent it. */
const believedMin = 2
const believedPart = 1 / 4
/** Nothing is revealed for a while to a link that left a chunk unfetched, twice as long each time. */
const revealAvoidMinMs = 10_000
const revealAvoidMaxMs = 60_000

/** For so long at most a share is quiet whose cast does not begin. */
export const quietMs = 1_000
/** And for so long the manifest is left to it. */
export const manifestQuietMs = 300

/** Tells a neighbor once what is here, and from then on what comes; while the share is quiet, only one that tells. */
export const tell = (swarm: Swarm, view: View): void => {
  if (view.told || (view.share.quiet && !view.opened)) return
  view.told = true
  sendBitfield(swarm, view)
}

/**
 * The cast is over, or none has begun: who was told is told the rest, and who lacks something tells all, to be told by them.
 * Who lacks nothing goes on answering only: in a room that has everything nobody has anything to say.
 */
export const speak = (swarm: Swarm, share: Share): void => {
  if (!share.quiet) return
  announceFresh(swarm, share)
  if (isComplete(share)) return
  share.quiet = false
  for (const view of share.views.values()) tell(swarm, view)
}

/** What this device serves of a share: while it hands it out, the manifest. */
const sendBitfield = (swarm: Swarm, { link, share }: View): void => {
  let bits = share.have
  if (share.handout !== undefined) {
    bits = Bitfield.make(share.chunksCount)
    for (let index = 0; index < share.manifestChunksCount; index++) {
      if (Bitfield.has(share.have, index)) Bitfield.add(bits, index)
    }
  }
  send(swarm, link, { _tag: "Bitfield", share: share.root, bits: Base64Url.encode(bits) })
}

// ---- Announcements -------------------------------------------------------------------------------------------------

/** Tells the source of a chunk at once that it is here: that paces its uploads. */
export const acknowledge = (swarm: Swarm, source: Link, share: Share, index: number): void =>
  sendHave(swarm, source, share, [index], false)

/** A chunk is here: the others are told soon. */
export const gained = (swarm: Swarm, share: Share, index: number): void => {
  share.fresh.push(index)
  share.freshRare ||= share.picker.claims[index]! <= swarm.policy.rareClaimsMax
  swarm.announcing.add(share)
}

/**
 * Announces what is due. The first chunk after a quiet time and rare ones go at once, because the room waits for them; what
 * follows closely goes together.
 */
export const announce = (swarm: Swarm): void => {
  for (const share of swarm.announcing) {
    if (swarm.nowMs >= announcedNextMs(swarm, share)) announceFresh(swarm, share)
  }
}

const announceFresh = (swarm: Swarm, share: Share): void => {
  swarm.announcing.delete(share)
  share.announcedAtMs = swarm.nowMs
  const { fresh, freshRare } = share
  share.fresh = []
  share.freshRare = false
  for (const { bits, link, told } of share.views.values()) {
    if (!told) continue
    const isAll = swarm.policy.announceToHolders || share.direct?.host === link
    const news = isAll ? fresh : fresh.filter((index) => !Bitfield.has(bits, index))
    if (news.length > 0) sendHave(swarm, link, share, news, !freshRare)
  }
}

/** When the next announcement is due. */
export const nextAnnouncementMs = (swarm: Swarm): number => {
  let next = Infinity
  for (const share of swarm.announcing) next = Math.min(next, announcedNextMs(swarm, share))
  return next
}

const announcedNextMs = ({ policy }: Swarm, { announcedAtMs, cast, direct, freshRare }: Share): number =>
  cast !== undefined || direct?.only === true
    ? announcedAtMs + policy.announceCastEveryMs
    : freshRare
    ? -Infinity
    : announcedAtMs + policy.announceEveryMs

const sendHave = (
  swarm: Swarm,
  link: Link,
  share: Share,
  indexes: ReadonlyArray<number>,
  patient: boolean
): void => {
  for (let from = 0; from < indexes.length; from += Limits.haveIndexesMax) {
    const part = indexes.slice(from, from + Limits.haveIndexesMax)
    send(swarm, link, { _tag: "Have", share: share.root, indexes: part as never }, patient)
  }
}

// ---- The origin ----------------------------------------------------------------------------------------------------

/** The book of an origin that begins to hand out a share that no link has claimed anything of yet. */
export const makeHandout = (share: Share): Handout => ({
  waiting: new Set(Array.from(Bitfield.indexes(share.have)).filter((index) => !isManifest(share, index))),
  doubted: new Set(),
  revealed: new Map(),
  through: new Map()
})

/** Whether a link may ask for a chunk that is here. */
export const isOffered = (share: Share, view: View, index: number): boolean =>
  share.handout === undefined || isManifest(share, index) || share.handout.revealed.get(index)?.view === view

/** A link claims a chunk that it did not claim before; `given` when it was sent to it from here. */
export const claimed = (swarm: Swarm, view: View, index: number, given: boolean): void => {
  const { share } = view
  const { handout } = share
  if (handout === undefined || isManifest(share, index)) return
  spread(handout, index, view)
  const isFor = handout.revealed.get(index)?.view === view
  if (given || isBelieved(swarm, share, index)) {
    const isNew = takeOff(handout, index)
    if (given) view.avoidMs = 0
    if (given && isNew) {
      handout.through.set(index, view)
      view.unspread++
    }
  } else if (isFor || handout.waiting.has(index)) {
    takeOff(handout, index)
    handout.doubted.add(index)
  }
  swarm.revealing.add(share)
}

/** So many do not lie in the same way. */
const isBelieved = ({ links }: Swarm, { picker }: Share, index: number): boolean =>
  picker.claims[index]! >= believedMin && picker.claims[index]! > believedPart * links.size

/** A chunk that was out through one peer alone is at a second one, or is gone with it. */
const spread = (handout: Handout, index: number, by: View | undefined): void => {
  const first = handout.through.get(index)
  if (first === undefined || first === by) return
  handout.through.delete(index)
  first.unspread--
}

/** A link that claimed a chunk is gone: what was nowhere else is to be handed out again. */
export const unclaimed = (swarm: Swarm, view: View, index: number): void => {
  const { share } = view
  const { handout } = share
  if (handout === undefined || isManifest(share, index)) return
  const isAlone = handout.through.get(index) === view
  if (isAlone) spread(handout, index, undefined)
  if ((isAlone || share.picker.claims[index] === 0) && !handout.revealed.has(index)) putBack(handout, share, index)
  swarm.revealing.add(share)
}

/** A link is gone: what was revealed to it alone waits again. */
export const abandonView = (swarm: Swarm, view: View): void => {
  const { share } = view
  const { handout } = share
  if (handout === undefined) return
  for (const [index, reveal] of handout.revealed) if (reveal.view === view) putBack(handout, share, index)
  swarm.revealing.add(share)
}

/** A chunk is no longer here. */
export const lost = (swarm: Swarm, share: Share, index: number): void => {
  const { handout } = share
  if (handout === undefined) return
  takeOff(handout, index)
  swarm.revealing.add(share)
}

/** A chunk is to be handed out, or again. */
const putBack = (handout: Handout, share: Share, index: number): void => {
  takeOff(handout, index)
  if (!Bitfield.has(share.have, index)) return
  if (share.picker.claims[index] === 0) handout.waiting.add(index)
  else handout.doubted.add(index)
}

/** A chunk is not to be handed out; says whether it was. */
const takeOff = (handout: Handout, index: number): boolean =>
  handout.waiting.delete(index) || handout.doubted.delete(index) || hide(handout, index)

const hide = (handout: Handout, index: number): boolean => {
  const reveal = handout.revealed.get(index)
  if (reveal === undefined) return false
  handout.revealed.delete(index)
  reveal.view.revealed--
  return true
}

/** Reveals what can leave soon. When everything is out that can be, everything is offered to everyone. */
export const reveal = (swarm: Swarm): void => {
  for (const share of swarm.revealing) {
    const { cast, handout } = share
    if (handout === undefined || cast !== undefined) continue
    if (isHandedOut(swarm, share, handout)) offerAll(swarm, share)
    else revealSome(swarm, share, handout)
  }
  swarm.revealing.clear()
}

/** Everybody may ask for everything. */
export const offerAll = (swarm: Swarm, share: Share): void => {
  if (share.handout === undefined) return
  share.handout = undefined
  for (const view of share.views.values()) sendBitfield(swarm, view)
}

/** What is left is elsewhere, and those to whom it is revealed leave it unfetched: they hold up nobody. */
const isHandedOut = ({ nowMs }: Swarm, { picker }: Share, { doubted, revealed, waiting }: Handout): boolean =>
  waiting.size + doubted.size === 0 &&
  Array.from(revealed).every(([index, { view }]) => picker.claims[index]! > 0 && view.avoidUntilMs > nowMs)

const revealSome = (swarm: Swarm, share: Share, handout: Handout): void => {
  let pending = 0
  for (const { view, atMs } of handout.revealed.values()) {
    if (isFetching(view) || swarm.nowMs - atMs < revealSlowMs) pending++
  }
  const soon = swarm.uplink.bestRate * revealsAheadMs / share.chunkSizeBytes
  const ahead = Math.max(swarm.policy.revealsMin, soon)
  // Who opens a share first does not get what all others need.
  const perLinkMax = Math.max(swarm.policy.revealsMin, Math.ceil(ahead / share.views.size))
  const revealed = new Map<View, Array<number>>()
  for (const index of toHandOut(handout)) {
    if (pending >= ahead) break
    const view = neediest(swarm, share, index)
    if (view === undefined) continue
    // The neediest has enough, so all have: looking through what else waits would be in vain.
    if (view.revealed >= perLinkMax) break
    takeOff(handout, index)
    handout.revealed.set(index, { view, atMs: swarm.nowMs })
    view.revealed++
    pending++
    const indexes = revealed.get(view)
    if (indexes === undefined) revealed.set(view, [index])
    else indexes.push(index)
  }
  for (const [view, indexes] of revealed) sendHave(swarm, view.link, share, indexes, false)
}

function* toHandOut({ doubted, waiting }: Handout): Generator<number> {
  yield* waiting
  yield* doubted
}

/**
 * Of the links that do not have it: the one with the fewest chunks on their way to it, of these the one that has passed on what it got. One that is avoided
 * only where there is no other: it may have had a full disk, and waits for nobody else.
 */
const neediest = (swarm: Swarm, share: Share, index: number): View | undefined =>
  neediestOf(swarm, share, index, false) ?? neediestOf(swarm, share, index, true)

const neediestOf = (swarm: Swarm, share: Share, index: number, isAvoided: boolean): View | undefined => {
  let best: View | undefined
  let ties = 1
  for (const view of share.views.values()) {
    if (!view.opened || Bitfield.has(view.bits, index) || (view.avoidUntilMs > swarm.nowMs) !== isAvoided) continue
    const order = best === undefined ? -1 : swarm.policy.neediestServed ? compareNeed(view, best) : 0
    if (order > 0) continue
    ties = order < 0 ? 1 : ties + 1
    if (order < 0 || swarm.random() * ties < 1) best = view
  }
  return best
}

const compareNeed = (a: View, b: View): number => a.revealed - b.revealed || a.unspread - b.unspread

const isFetching = (view: View): boolean => view.queue.size > 0 || view.uploadsCount > 0

/** Ends a quiet that is in vain, and gives chunks that were left unfetched to someone else. */
export const watch = (swarm: Swarm): void => {
  for (const share of swarm.shares.values()) {
    const { handout } = share
    if (share.quiet && share.cast === undefined && swarm.nowMs >= share.openedAtMs + quietMs) speak(swarm, share)
    if (handout === undefined) continue
    swarm.revealing.add(share)
    for (const [index, reveal] of handout.revealed) {
      if (isFetching(reveal.view)) reveal.atMs = swarm.nowMs
      if (swarm.nowMs - reveal.atMs >= revealLostMs) failed(swarm, reveal.view, index)
    }
  }
}

/** A chunk does not get out through a link, or only slowly: another gets it as well. */
export const failed = (swarm: Swarm, view: View, index: number): void => {
  const { handout } = view.share
  if (handout?.revealed.get(index)?.view !== view) return
  putBack(handout, view.share, index)
  view.avoidMs = Math.min(Math.max(2 * view.avoidMs, revealAvoidMinMs), revealAvoidMaxMs)
  view.avoidUntilMs = swarm.nowMs + view.avoidMs
  swarm.revealing.add(view.share)
}
