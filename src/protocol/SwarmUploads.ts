/**
 * Serving: whose request is next, and when.
 *
 * All links share one way out, and a chunk that is sent alone is complete, and on its way onward, soonest. So the next
 * upload starts when those under way are about to have left, by the rate that was measured. "Handed to the system" would
 * say little about that, because kernel buffers hold whole chunks: an upload is done when its receiver announces the
 * chunk, which it does at once towards its source. Where receivers are the narrow place, several uploads go on at a time.
 */
import type { PeerId, Root } from "./Ids.ts"
import * as Limits from "./Limits.ts"
import * as Spread from "./SwarmSpread.ts"
import type { Claim, Swarm, Upload, View } from "./SwarmState.ts"
import { chunkBytes, departureRate, isUrgent, send } from "./SwarmState.ts"

/** How much further than the others a link or a share may be before it waits, in its own chunks. */
const lead = 4
/** Uploads at once, whatever the rates: each holds a buffer. As many again may be urgent. */
const uploadsMax = 64
/**
 * What one link may have that the system has not taken, in chunks and in bytes: a device that asks and does not read fills
 * its own share of the places and buffers, and not those of everybody.
 */
const unservedPerLinkMax = 8
const unservedBytesPerLinkMax = Limits.uploadBytesMax / 8
/** What leaves in this time may be under way besides `Policy.uploadsMax`: a fast link has many small chunks on it. */
const openMs = 50
/** An upload that needs this many times its expected time goes to a slow receiver: it no longer holds up the next. */
const staleFactor = 4
const staleMinMs = 500
/** The rate is the best that this many acknowledgements have shown: any of them may have waited for a request. */
const ratesKept = 10
/** Uploads start a little faster than measured, so that a rate that was underestimated is found out. */
const gain = 1.1
/** And much faster until there are as many acknowledgements as are kept: at first a round trip looks like slowness. */
const firstGain = 2

/** Puts a request into the queue. */
export const enqueue = (swarm: Swarm, view: View, index: number): void => {
  const { link, share } = view
  wake(link.claim, swarm.links.values())
  wake(share.claim, swarm.shares.values())
  view.queue.add(index)
  count(swarm, view, index, 1)
}

/** Takes a request out of the queue; says whether it was there. */
export const dequeue = (swarm: Swarm, view: View, index: number): boolean => {
  if (!view.queue.delete(index)) return false
  count(swarm, view, index, -1)
  return true
}

const count = (swarm: Swarm, view: View, index: number, difference: number): void => {
  view.link.claim.queuedCount += difference
  view.share.claim.queuedCount += difference
  swarm.uplink.queuedCount += difference
  if (isUrgent(view.share, index)) swarm.uplink.urgentCount += difference
}

/** One that comes back to the queue starts level with those that waited. */
const wake = (claim: Claim, all: Iterable<{ readonly claim: Claim }>): void => {
  const least = leastServed(all)
  if (claim.queuedCount === 0 && least !== Infinity) claim.servedBytes = Math.max(claim.servedBytes, least)
}

/** Of those that wait for something; `Infinity` if nobody does. */
const leastServed = (all: Iterable<{ readonly claim: Claim }>): number => {
  let least = Infinity
  for (const { claim } of all) {
    if (claim.queuedCount > 0 && !isClogged(claim)) least = Math.min(least, claim.servedBytes)
  }
  return least
}

const isClogged = ({ unservedBytes, unservedCount }: Claim): boolean =>
  unservedCount >= unservedPerLinkMax || unservedBytes >= unservedBytesPerLinkMax

/** Starts what may start now. */
export const pump = (swarm: Swarm): void => {
  const { uplink } = swarm
  while (uplink.queuedCount > 0 && uplink.uploads.size < 2 * uploadsMax) {
    const mayServe = nextStartMs(swarm) <= swarm.nowMs
    if (!mayServe && uplink.urgentCount === 0) return
    const next = choose(swarm, !mayServe)
    if (next === undefined) return
    start(swarm, next.view, next.index)
  }
}

/** When the next upload may start; `Infinity` when only an acknowledgement can tell. */
export const nextStartMs = (swarm: Swarm): number => {
  const { uplink, policy } = swarm
  if (uplink.unservedBytes >= Limits.uploadBytesMax || uplink.uploads.size >= uploadsMax) return Infinity
  if (leastServed(swarm.links.values()) === Infinity) return Infinity
  if (uplink.openCount === 0) return swarm.nowMs
  const rate = departureRate(uplink)
  if (rate === 0 || (uplink.openCount >= policy.uploadsMax && uplink.openBytes > rate * openMs)) return Infinity
  return uplink.freeAtMs - policy.uploadsAheadMs
}

interface Candidate {
  readonly view: View
  readonly index: number
  readonly urgent: boolean
}

const choose = (swarm: Swarm, urgentOnly: boolean): Candidate | undefined => {
  const leastOfLinks = leastServed(swarm.links.values())
  let best: Candidate | undefined
  for (const link of swarm.links.values()) {
    if (link.claim.queuedCount === 0 || isClogged(link.claim)) continue
    for (const view of link.views.values()) {
      if (view.queue.size === 0) continue
      const slack = lead * view.share.chunkSizeBytes
      const mayBulk = !urgentOnly && link.claim.servedBytes <= leastOfLinks + slack
      for (const index of view.queue) {
        const urgent = isUrgent(view.share, index)
        if (!urgent && !mayBulk) continue
        if (best === undefined || isBefore(swarm, { view, index, urgent }, best)) best = { view, index, urgent }
      }
    }
  }
  return best
}

const isBefore = (swarm: Swarm, a: Candidate, b: Candidate): boolean => {
  if (a.urgent !== b.urgent) return a.urgent
  const ahead = a.view.share.claim.servedBytes - b.view.share.claim.servedBytes
  if (Math.abs(ahead) > lead * a.view.share.chunkSizeBytes) return ahead < 0
  if (swarm.policy.rarestServed) {
    const claims = a.view.share.picker.claims[a.index]! - b.view.share.picker.claims[b.index]!
    if (claims !== 0) return claims < 0
  }
  if (swarm.policy.neediestServed && a.view.share === b.view.share && a.view.count !== b.view.count) {
    return a.view.count < b.view.count
  }
  return a.view.link.claim.servedBytes < b.view.link.claim.servedBytes
}

const start = (swarm: Swarm, view: View, index: number): void => {
  const { uplink } = swarm
  const bytes = chunkBytes(view.share, index)
  dequeue(swarm, view, index)
  view.link.claim.servedBytes += bytes
  view.link.claim.unservedCount++
  view.link.claim.unservedBytes += bytes
  view.share.claim.servedBytes += bytes
  if (uplink.openCount === 0) uplink.ackedAtMs = uplink.ackedStartMs = swarm.nowMs
  view.uploadsCount++
  uplink.openCount++
  uplink.openBytes += bytes
  uplink.unservedBytes += bytes
  const rate = departureRate(uplink)
  const startRate = rate * (uplink.rates.length < ratesKept ? firstGain : gain)
  if (rate > 0) uplink.freeAtMs = Math.max(uplink.freeAtMs, swarm.nowMs) + bytes / startRate
  const allowedMs = rate === 0 ? 0 : staleFactor * uplink.openBytes / rate
  const staleAtMs = swarm.nowMs + Math.max(allowedMs, staleMinMs)
  const { ackedAtMs, ackedBytes, ackedStartMs } = uplink
  uplink.uploads.add({
    view,
    index,
    bytes,
    startedAtMs: swarm.nowMs,
    ackedBytes,
    ackedAtMs,
    ackedStartMs,
    staleAtMs,
    served: false,
    open: true
  })
  swarm.outputs.push({ _tag: "Serve", peer: view.link.peer, root: view.share.root, index })
}

/** The receiver has the chunk: it says so, or does not want it any more. */
export const acknowledged = (swarm: Swarm, view: View, index: number): void => {
  const { uplink } = swarm
  for (const upload of uplink.uploads) {
    if (upload.view !== view || upload.index !== index || !upload.open) continue
    uplink.ackedBytes += upload.bytes
    uplink.ackedAtMs = swarm.nowMs
    uplink.ackedStartMs = upload.startedAtMs
    // Neither faster than it was started nor faster than it was acknowledged: acknowledgements may come in a bunch. So
    // does BBR measure (draft-cheng-iccrg-delivery-rate-estimation); it takes the best of the latest for the rate, too.
    const ms = Math.max(upload.startedAtMs - upload.ackedStartMs, swarm.nowMs - upload.ackedAtMs)
    if (ms > 0) uplink.rates.push((uplink.ackedBytes - upload.ackedBytes) / ms)
    if (uplink.rates.length > ratesKept) uplink.rates.shift()
    close(swarm, upload)
  }
}

/** The system has taken the chunk, or never will. Its receiver, if this was known to be under way. */
export const served = (swarm: Swarm, peer: PeerId, root: Root, index: number, failed: boolean): View | undefined => {
  for (const upload of swarm.uplink.uploads) {
    const { link, share } = upload.view
    if (upload.served || upload.index !== index || share.root !== root || link.peer !== peer) continue
    upload.served = true
    link.claim.unservedCount--
    link.claim.unservedBytes -= upload.bytes
    swarm.uplink.unservedBytes -= upload.bytes
    if (failed) close(swarm, upload)
    if (!upload.open) swarm.uplink.uploads.delete(upload)
    return upload.view
  }
  return undefined
}

/** No longer waits for an acknowledgement. */
const close = (swarm: Swarm, upload: Upload): void => {
  if (!upload.open) return
  upload.open = false
  upload.view.uploadsCount--
  swarm.uplink.openCount--
  swarm.uplink.openBytes -= upload.bytes
  if (upload.served) swarm.uplink.uploads.delete(upload)
}

/** Slow receivers do not hold up the others. */
export const watch = (swarm: Swarm): void => {
  for (const upload of swarm.uplink.uploads) {
    if (!upload.open || swarm.nowMs <= upload.staleAtMs) continue
    close(swarm, upload)
    Spread.failed(swarm, upload.view, upload.index)
  }
}

/** A link has ended, or the share has: nothing of it waits here any more. `reject` when the peer is to be told. */
export const abandonView = (swarm: Swarm, view: View, reject: boolean): void => {
  for (const index of Array.from(view.queue)) {
    dequeue(swarm, view, index)
    if (reject) send(swarm, view.link, { _tag: "Reject", share: view.share.root, index: index as never })
  }
  for (const upload of swarm.uplink.uploads) if (upload.view === view) close(swarm, upload)
}
