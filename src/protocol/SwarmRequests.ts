/**
 * Asking: which chunk to request of which source, and when to pass over a source that does not answer.
 *
 * A chunk is asked of one source. While a request waits, others may get the chunk and have nothing to do: then the
 * request is taken back, and when the first source has let it go, one of them is asked. What a link has open is bounded by
 * what it moves in a while, so that a fast source is asked for more and nobody waits behind a slow one.
 */
import * as Bitfield from "./Bitfield.ts"
import type { PeerId, Root } from "./Ids.ts"
import * as Limits from "./Limits.ts"
import * as Picker from "./Picker.ts"
import {
  arrivalRate,
  type Ask,
  chunkBytes,
  countArrival,
  type Link,
  type Share,
  type Swarm,
  type View
} from "./SwarmState.ts"

/** Requests open at one source: half of what it accepts, because answers to cancelled ones may still be on their way. */
const asksPerLinkMax = Limits.requestsPerLinkMax / 2
/** A chunk is in flight from its first source and at most two further ones. */
const sourcesMax = 3
/** Requests at one link at first: where there are few links, more at each. */
const asksPerLinkMin = 1
const asksPerLinkFew = 4
/** Chunks that a source may have on their way or unverified before one of it has passed its hash. */
const unprovenChunksMax = 1
/** The endgame asks a further source when a chunk takes this many times the usual time in flight, and this. */
const overdueFactor = 3
const overdueMinMs = 200
/** How long a source may be silent: several times the usual time in flight, between these; less before it is proven. */
const patienceFactor = 4
const patienceMinMs = 2_000
const patienceUnprovenMinMs = 500
const patienceMaxMs = 60_000
/** A source by which one chunk would take this many times the patience is as good as silent. */
const trickleFactor = 4
/** The usual time in flight is a mean over about this many chunks. */
const flightsRemembered = 16
/** A cancelled request that is not answered in this time never will be: its share was closed here meanwhile. */
const answerMaxMs = 60_000
/** A source that was silent is left alone for a while, twice as long each time. */
const avoidMinMs = 1_000
const avoidMaxMs = 30_000

/** Asks the hungry links for as much as they may have open, one chunk a link in turn. */
export const fill = (swarm: Swarm): void => {
  if (!swarm.allHungry && swarm.hungry.size === 0) return
  let links = Array.from(swarm.allHungry ? swarm.links.values() : swarm.hungry)
  swarm.allHungry = false
  swarm.hungry.clear()
  const first = Math.floor(swarm.random() * links.length)
  links = [...links.slice(first), ...links.slice(0, first)]
  while (links.length > 0) links = links.filter((link) => askOne(swarm, link))
}

/** Urgent shares first, then those that have the least in flight. Says whether the link may have room for more. */
const askOne = (swarm: Swarm, link: Link): boolean => {
  if (link.avoidUntilMs > swarm.nowMs || link.asksCount >= asksPerLinkMax) return false
  const views: Array<View> = []
  for (const view of link.views.values()) {
    const { share } = view
    if (view.count > 0 && isWanting(share, swarm.nowMs) && isAsked(swarm, link, share) && hasRoom(swarm, view)) {
      views.push(view)
    }
  }
  views.sort((a, b) => urgency(a.share) - urgency(b.share) || a.share.flights.size - b.share.flights.size)
  return views.some((view) => askOneOf(swarm, view))
}

const askOneOf = (swarm: Swarm, view: View): boolean => {
  const { picker } = view.share
  const pick = swarm.policy.rarestAsked ? Picker.pick : Picker.pickAny
  let index = pick(picker, view.bits, swarm.random())
  if (index < 0 && view.asks.size === 0) {
    if (picker.size === 0 && swarm.policy.endgame) index = endgameChunk(swarm, view)
    if (index < 0) takeBack(swarm, view)
  }
  // A cancelled request for the same chunk may still have to be answered by this very source.
  if (index < 0 || view.asks.has(index)) return false
  ask(swarm, view, index)
  return true
}

const urgency = (share: Share): number => share.small || !share.manifestKnown ? 0 : 1

const isWanting = (
  { cast, flights, manifestAskedFromMs, manifestKnown, paused, picker }: Share,
  nowMs: number
): boolean =>
  !paused && (picker.size > 0 || flights.size > 0) &&
  (cast !== undefined ? !manifestKnown && !cast.manifest : manifestKnown || nowMs >= manifestAskedFromMs)

/** A host that is to be asked alone and is silent is not waited for. */
const isAsked = ({ nowMs }: Swarm, link: Link, { direct }: Share): boolean =>
  direct?.only !== true || direct.host === link || direct.host.avoidUntilMs > nowMs

/** The host wants to be asked alone for a share, or not any more. Nobody else is believed: a room would wait for who was. */
export const direct = (swarm: Swarm, link: Link, share: Share, only: boolean): void => {
  if (!link.isHost || share.origin) return
  share.direct = { host: link, only }
  swarm.allHungry = true
  if (only) { for (const view of share.views.values()) if (view.link !== link) recallWaiting(swarm, view) }
  // What was not said meanwhile is said at once.
  else share.freshRare ||= share.fresh.length > 0
}

/** What a link has not begun to send it may let go of, where another has it. */
const recallWaiting = (swarm: Swarm, view: View): void => {
  for (const ask of view.asks.values()) {
    if (ask.arrivedBytes === 0 && isClaimedElsewhere(swarm, view, ask.index)) recall(swarm, ask)
  }
}

const hasRoom = (swarm: Swarm, view: View): boolean => {
  if (!view.link.proven && unprovenCount(view.link) >= unprovenChunksMax) return false
  const bytes = chunkBytes(view.share, view.share.manifestKnown ? view.share.chunksCount : 0)
  if (swarm.inFlightBytes + bytes > Limits.inFlightBytesMax) return false
  const { asksMin, asksAheadMs } = swarm.policy
  const links = view.share.direct?.only === true ? 1 : view.share.views.size
  const asks = Math.min(Math.max(Math.floor(asksMin / links), asksPerLinkMin), asksPerLinkFew)
  return view.asks.size < asks ||
    view.link.askedBytes + bytes <= arrivalRate(view.link.arrivals, swarm.nowMs) * asksAheadMs
}

/** Chunks that were asked of this source and whose hash is not known yet. */
const unprovenCount = (link: Link): number => {
  let count = link.asksCount
  for (const { share } of link.views.values()) {
    for (const asks of share.flights.values()) {
      for (const ask of asks) if (ask.arrived && ask.view.link === link) count++
    }
  }
  return count
}

/** A chunk of this source has passed its hash. */
export const proven = (swarm: Swarm, link: Link): void => {
  link.stalls = 0
  if (link.proven && link.avoidUntilMs <= swarm.nowMs) return
  link.proven = true
  link.avoidUntilMs = 0
  swarm.hungry.add(link)
}

/** The chunk in flight with the fewest sources, the oldest of them, that this link could deliver as well; or -1. */
const endgameChunk = (swarm: Swarm, view: View): number => {
  const overdueMs = overdueMinMs + overdueFactor * swarm.flightMs
  let best = -1
  let sources = sourcesMax
  for (const [index, asks] of view.share.flights) {
    if (asks.length >= sources || !Bitfield.has(view.bits, index)) continue
    if (asks.some((ask) => ask.view === view || ask.arrived || swarm.nowMs - ask.askedAtMs < overdueMs)) continue
    best = index
    sources = asks.length
  }
  return best
}

/** Takes a request back from the source that has most of them waiting: this link has none, and may have it then. */
const takeBack = (swarm: Swarm, view: View): void => {
  let best: Ask | undefined
  for (const [index, asks] of view.share.flights) {
    const ask = asks[0]!
    if (asks.length > 1 || !Bitfield.has(view.bits, index)) continue
    if (ask.recalled || ask.arrivedBytes > 0 || ask.arrived) continue
    if (swarm.nowMs - ask.askedAtMs < swarm.policy.moveAfterMs) continue
    if (best === undefined || ask.view.asks.size > best.view.asks.size) best = ask
  }
  if (best !== undefined) recall(swarm, best)
}

const ask = (swarm: Swarm, view: View, index: number): void => {
  const { link, share } = view
  const bytes = chunkBytes(share, index)
  const ask: Ask = {
    view,
    index,
    bytes,
    askedAtMs: swarm.nowMs,
    arrivedBytes: 0,
    arrived: false,
    cancelled: false,
    recalled: false
  }
  if (link.askedBytes === 0) link.aliveAtMs = swarm.nowMs
  view.asks.set(index, ask)
  link.asksCount++
  link.askedBytes += bytes
  swarm.inFlightBytes += bytes
  const flight = share.flights.get(index)
  if (flight === undefined) {
    share.flights.set(index, [ask])
    Picker.unwant(share.picker, index)
    // The endgame begins: sources without work may get some.
    swarm.allHungry ||= share.picker.size === 0
  } else flight.push(ask)
  link.tell(swarm, { _tag: "Request", share: share.root, index: index as never })
}

/** Bytes of a chunk are here. What nobody asked for is ignored. */
export const arrived = (swarm: Swarm, link: Link, root: Root, index: number, bytes: number, last: boolean): void => {
  const ask = askOf(link, root, index)
  if (ask === undefined) return
  countArrival(link.arrivals, bytes, swarm.nowMs)
  if (last || isSteady(swarm, ask)) link.aliveAtMs = swarm.nowMs
  const counted = last ? ask.bytes - ask.arrivedBytes : Math.min(bytes, ask.bytes - ask.arrivedBytes)
  ask.arrivedBytes += counted
  if (!ask.cancelled) link.askedBytes -= counted
  if (last) {
    swarm.flightMs += (swarm.nowMs - ask.askedAtMs - swarm.flightMs) / flightsRemembered
    ask.arrived = true
    answered(swarm, ask)
  }
}

/** Whether its source will have sent it in a while, at the rate at which it sends. */
const isSteady = (swarm: Swarm, { bytes, view: { link } }: Ask): boolean =>
  arrivalRate(link.arrivals, swarm.nowMs) * trickleFactor * patienceMs(swarm, link) >= bytes

const patienceMs = (swarm: Swarm, link: Link): number => {
  const minMs = link.proven ? patienceMinMs : patienceUnprovenMinMs
  return Math.min(Math.max(patienceFactor * swarm.flightMs, minMs), patienceMaxMs)
}

/** A source will not deliver a chunk. Says whether it does not have it: it was not asked to let go of it. */
export const rejected = (swarm: Swarm, link: Link, root: Root, index: number): boolean => {
  const ask = askOf(link, root, index)
  if (ask === undefined) return false
  answered(swarm, ask)
  link.aliveAtMs = swarm.nowMs
  if (ask.cancelled) return false
  link.askedBytes -= ask.bytes - ask.arrivedBytes
  release(swarm, ask)
  return !ask.recalled
}

const askOf = (link: Link, root: Root, index: number): Ask | undefined =>
  (link.views.get(root)?.asks ?? link.leftovers.get(root))?.get(index)

const answered = (swarm: Swarm, ask: Ask): void => {
  const { link, share, asks } = ask.view
  asks.delete(ask.index)
  if (asks.size === 0) link.leftovers.delete(share.root)
  link.asksCount--
  swarm.hungry.add(link)
}

/** The chunk is here, from whomever: whoever else was asked for it need not send it. */
export const settled = (swarm: Swarm, share: Share, index: number): void => {
  Picker.unwant(share.picker, index)
  const flight = share.flights.get(index)
  if (flight === undefined) return
  share.flights.delete(index)
  for (const ask of flight) {
    swarm.inFlightBytes -= ask.bytes
    if (!ask.arrived) cancel(swarm, ask)
  }
  swarm.allHungry ||= swarm.inFlightBytes + 2 * share.chunkSizeBytes > Limits.inFlightBytesMax
}

/** What came from this source was not kept: the chunk is wanted again. */
export const wasted = (swarm: Swarm, share: Share, index: number, peer: PeerId): void => {
  const ask = share.flights.get(index)?.find((ask) => ask.arrived && ask.view.link.peer === peer)
  if (ask !== undefined) release(swarm, ask)
}

/** Nothing of a share is asked for any more. */
export const abandonShare = (swarm: Swarm, share: Share): void => {
  for (const asks of Array.from(share.flights.values())) {
    for (const ask of Array.from(asks)) {
      cancel(swarm, ask)
      release(swarm, ask)
    }
  }
}

/** A link has ended. What arrived whole from it is still being stored. */
export const abandonView = (swarm: Swarm, view: View): void => {
  for (const ask of view.asks.values()) {
    if (!ask.cancelled) release(swarm, ask)
  }
}

/** Of what has arrived, too, its source is told if it is not kept: it waits to hear of it. */
const cancel = (swarm: Swarm, ask: Ask): void => {
  const { link } = ask.view
  ask.cancelled = true
  link.askedBytes -= ask.bytes - ask.arrivedBytes
  if (swarm.links.get(link.peer) === link) recall(swarm, ask)
}

const recall = (swarm: Swarm, ask: Ask): void => {
  if (ask.recalled) return
  ask.recalled = true
  ask.view.link.tell(swarm, { _tag: "Cancel", share: ask.view.share.root, index: ask.index as never })
}

/** Takes an ask out of flight; a chunk that nobody else was asked for is wanted again. */
const release = (swarm: Swarm, ask: Ask): void => {
  const { share } = ask.view
  const flight = share.flights.get(ask.index)
  const place = flight?.indexOf(ask) ?? -1
  if (flight === undefined || place < 0) return
  flight.splice(place, 1)
  swarm.inFlightBytes -= ask.bytes
  if (flight.length > 0) return
  share.flights.delete(ask.index)
  if (!Bitfield.has(share.have, ask.index)) Picker.want(share.picker, ask.index)
  swarm.allHungry = true
}

/** Passes over the sources that have been silent for too long, and looks again for something to ask. */
export const watch = (swarm: Swarm): void => {
  swarm.allHungry = true
  for (const link of swarm.links.values()) {
    for (const { asks } of link.views.values()) forgetUnanswered(swarm, asks)
    for (const asks of link.leftovers.values()) forgetUnanswered(swarm, asks)
    const silentMs = link.askedBytes > 0 ? swarm.nowMs - link.aliveAtMs : 0
    if (silentMs > 2 * patienceMs(swarm, link)) passOver(swarm, link)
    else if (silentMs > patienceMs(swarm, link)) recallAll(swarm, link)
  }
}

const forgetUnanswered = (swarm: Swarm, asks: ReadonlyMap<number, Ask>): void => {
  for (const ask of asks.values()) {
    if (ask.cancelled && swarm.nowMs - ask.askedAtMs > answerMaxMs) answered(swarm, ask)
  }
}

/** A source that is busy lets go of what waits, which others may have; one that does not answer even that is gone. */
const recallAll = (swarm: Swarm, link: Link): void => {
  for (const view of link.views.values()) recallWaiting(swarm, view)
}

const passOver = (swarm: Swarm, link: Link): void => {
  link.avoidUntilMs = swarm.nowMs + Math.min(avoidMinMs * 2 ** link.stalls, avoidMaxMs)
  link.stalls++
  link.aliveAtMs = swarm.nowMs
  for (const view of link.views.values()) {
    for (const ask of view.asks.values()) {
      if (ask.cancelled || !isClaimedElsewhere(swarm, view, ask.index)) continue
      cancel(swarm, ask)
      release(swarm, ask)
    }
  }
}

const isClaimedElsewhere = (swarm: Swarm, view: View, index: number): boolean => {
  for (const other of view.share.views.values()) {
    if (other !== view && other.link.avoidUntilMs <= swarm.nowMs && Bitfield.has(other.bits, index)) return true
  }
  return false
}
