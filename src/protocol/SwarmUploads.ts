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
import type { Claim, Link, LinkClaim, Share, Swarm, Uplink, Upload, View } from "./SwarmState.ts"
import { chunkBytes, isComplete, isUrgent, send } from "./SwarmState.ts"

/** How much further than the others a link or a share may be before it waits, in its own chunks. */
const lead = 4
/** Uploads at once, whatever the rates: each holds a buffer. As many again may be urgent. */
const uploadsMax = 64
/**
 * What one link may have that the system has not taken, in chunks and in bytes: a device that asks and does not read fills
 * its own share of the places and buffers, and not those of everybody. What is urgent has room behind a large chunk.
 */
const unservedPerLinkMax = 8
const unservedBytesPerLinkMax = Limits.uploadBytesMax / 8
const unservedBytesUrgentMax = 2 * unservedBytesPerLinkMax
/**
 * Uploads at once to links that have acknowledged nothing yet, one each, while half of `uploadBytesMax` is free; what is
 * urgent comes on top. Whoever only takes holds up a part of the places, and for as long as one upload takes to be stale.
 */
const strangersMax = 4
/** How long an upload that was not acknowledged in time keeps its link from getting anything. */
const owedMaxMs = 60_000
/** What leaves in this time may be under way besides `Policy.uploadsMax`: a fast link has many small chunks on it. */
const openMs = 50
/** An upload that needs this many times its expected time goes to a slow receiver: it no longer holds up the next. */
const staleFactor = 4
const staleMinMs = 500
/**
 * The rate is the best that the acknowledgements of this time have shown, so many of them at least and at most: any of them
 * may have waited for a request, or for its receiver's processor.
 */
const ratesKeptMs = 500
const ratesKeptMin = 10
const ratesKeptMax = 50
/** Uploads start a little faster than measured, so that a rate that was underestimated is found out. */
const gain = 1.1
/** And much faster for the first second, and until ten are known: at first a round trip looks like slowness. */
const firstMs = 1_000
const firstGain = 2

/**
 * For so long at most no bulk is begun while a small share that has just come is not everywhere around: what is in the
 * kernels' buffers by then takes its time, but each message that the share still needs finds them empty.
 */
export const hushMs = 2_000

/** Puts a request into the queue. */
export const enqueue = (swarm: Swarm, view: View, index: number): void => {
  const { link, share } = view
  wake(link.claim, leastServedLink(swarm))
  wake(share.claim, leastServed(swarm.shares.values()))
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
const wake = (claim: Claim, least: number): void => {
  if (claim.queuedCount === 0 && least !== Infinity) claim.servedBytes = Math.max(claim.servedBytes, least)
}

/** A link has given this device a chunk: it gets one more before it waits for the others. */
export const gave = ({ claim }: Link, bytes: number): void => {
  claim.servedBytes -= bytes
}

/** Of those that wait for something; `Infinity` if nobody does. */
const leastServed = (all: Iterable<{ readonly claim: Claim }>): number => {
  let least = Infinity
  for (const { claim } of all) if (claim.queuedCount > 0) least = Math.min(least, claim.servedBytes)
  return least
}

/** Of the links that may get something now. */
const leastServedLink = (swarm: Swarm): number => {
  let least = Infinity
  for (const { claim } of swarm.links.values()) {
    if (claim.queuedCount > 0 && mayServe(swarm, claim)) least = Math.min(least, claim.servedBytes)
  }
  return least
}

/** Who does not read, or does not say what it has got, waits until it does. */
const isClogged = (claim: LinkClaim, unservedBytesMax: number): boolean =>
  claim.owedCount > 0 || (!claim.acknowledges && claim.openCount > 0) ||
  claim.unservedCount >= unservedPerLinkMax || claim.unservedBytes >= unservedBytesMax

const mayServe = ({ uplink }: Swarm, claim: LinkClaim): boolean =>
  !isClogged(claim, unservedBytesPerLinkMax) && (
    claim.acknowledges ||
    (uplink.openToStrangersCount < strangersMax && uplink.unservedBytes < Limits.uploadBytesMax / 2)
  )

/** Starts what may start now. */
export const pump = (swarm: Swarm): void => {
  const { uplink } = swarm
  while (uplink.queuedCount > 0 && uplink.uploads.size < 2 * uploadsMax) {
    const isFree = nextStartMs(swarm) <= swarm.nowMs
    if (!isFree && uplink.urgentCount === 0) return
    const next = choose(swarm, !isFree)
    if (next === undefined) return
    start(swarm, next.view, next.index)
  }
}

/** When the next upload may start; `Infinity` when only an acknowledgement can tell. */
export const nextStartMs = (swarm: Swarm): number => {
  const { uplink, policy } = swarm
  if (uplink.unservedBytes >= Limits.uploadBytesMax || uplink.uploads.size >= uploadsMax) return Infinity
  if (isHushed(swarm, swarm.nowMs) || leastServedLink(swarm) === Infinity) return Infinity
  if (uplink.openCount === 0) return swarm.nowMs
  const rate = uplink.bestRate
  if (rate === 0 || (uplink.openCount >= policy.uploadsMax && uplink.openBytes > rate * openMs)) return Infinity
  return uplink.freeAtMs - policy.uploadsAheadMs
}

/** Whether bulk waits for a small share. */
export const isHushed = ({ hushUntilMs, shares }: Swarm, nowMs: number): boolean => {
  if (nowMs >= hushUntilMs) return false
  for (const share of shares.values()) {
    if (share.small && nowMs < share.openedAtMs + hushMs && isAwaited(share)) return true
  }
  return false
}

/** Whether it is missing here, or, where it comes from, at a neighbor. */
const isAwaited = (share: Share): boolean => {
  if (!share.origin) return !share.paused && !isComplete(share)
  for (const view of share.views.values()) if (view.count < share.chunksCount) return true
  return false
}

interface Candidate {
  readonly view: View
  readonly index: number
  readonly urgent: boolean
}

const choose = (swarm: Swarm, urgentOnly: boolean): Candidate | undefined => {
  const leastOfLinks = leastServedLink(swarm)
  let best: Candidate | undefined
  for (const link of swarm.links.values()) {
    if (link.claim.queuedCount === 0 || isClogged(link.claim, unservedBytesUrgentMax)) continue
    const mayServeBulk = !urgentOnly && mayServe(swarm, link.claim)
    for (const view of link.views.values()) {
      if (view.queue.size === 0) continue
      const slack = lead * view.share.chunkSizeBytes
      const mayBulk = mayServeBulk && link.claim.servedBytes <= leastOfLinks + slack
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
  const { claim } = view.link
  claim.servedBytes += bytes
  claim.unservedCount++
  claim.unservedBytes += bytes
  claim.openCount++
  if (!claim.acknowledges) uplink.openToStrangersCount++
  view.share.claim.servedBytes += bytes
  if (uplink.openCount === 0) uplink.ackedAtMs = uplink.ackedStartMs = swarm.nowMs
  if (uplink.rates.length === 0) uplink.firstAtMs = swarm.nowMs
  view.uploadsCount++
  uplink.openCount++
  uplink.openBytes += bytes
  uplink.unservedBytes += bytes
  const rate = uplink.bestRate
  const isFirst = uplink.rates.length < ratesKeptMin || swarm.nowMs < uplink.firstAtMs + firstMs
  const startRate = rate * (isFirst ? firstGain : gain)
  const leavingMs = rate === 0 ? 0 : bytes / startRate
  if (rate > 0) uplink.freeAtMs = Math.max(uplink.freeAtMs, swarm.nowMs) + leavingMs
  const allowedMs = rate === 0 ? 0 : staleFactor * uplink.openBytes / rate
  const staleAtMs = swarm.nowMs + Math.max(allowedMs, staleMinMs)
  const { ackedAtMs, ackedBytes, ackedStartMs } = uplink
  uplink.uploads.add({
    view,
    index,
    bytes,
    leavingMs,
    startedAtMs: swarm.nowMs,
    ackedBytes,
    ackedAtMs,
    ackedStartMs,
    staleAtMs,
    served: false,
    open: true,
    wanted: true
  })
  const urgent = isUrgent(view.share, index)
  swarm.outputs.push({ _tag: "Serve", peer: view.link.peer, root: view.share.root, index, urgent })
}

/** The receiver has the chunk. Says whether it was sent to it from here. */
export const acknowledged = (swarm: Swarm, view: View, index: number): boolean => {
  const { uplink } = swarm
  const { claim } = view.link
  // Also late it shows the rate. One that was taken for higher than it is makes everything late.
  const late = view.owed.get(index)
  let isSent = late !== undefined
  if (late !== undefined) measure(swarm, late)
  forgive(view, index)
  for (const upload of uplink.uploads) {
    if (upload.view !== view || upload.index !== index || !upload.open) continue
    isSent = true
    measure(swarm, upload)
    close(swarm, upload)
    if (claim.acknowledges) continue
    claim.acknowledges = true
    uplink.openToStrangersCount -= claim.openCount
  }
  return isSent
}

/**
 * The rate that an acknowledgement shows: neither faster than the uploads were started nor faster than they were
 * acknowledged, because acknowledgements may come in a bunch. So does BBR measure
 * (draft-cheng-iccrg-delivery-rate-estimation); it takes the best of the latest for the rate, too.
 */
const measure = ({ nowMs, uplink }: Swarm, upload: Upload): void => {
  uplink.ackedBytes += upload.bytes
  uplink.ackedAtMs = nowMs
  uplink.ackedStartMs = upload.startedAtMs
  const ms = Math.max(upload.startedAtMs - upload.ackedStartMs, nowMs - upload.ackedAtMs)
  const { rates } = uplink
  if (ms > 0) rates.push({ bytesPerMs: (uplink.ackedBytes - upload.ackedBytes) / ms, atMs: nowMs })
  const isOld = () => rates.length > ratesKeptMin && nowMs - rates[0]!.atMs > ratesKeptMs
  while (rates.length > ratesKeptMax || isOld()) rates.shift()
  uplink.bestRate = rates.reduce((best, { bytesPerMs }) => Math.max(best, bytesPerMs), 0)
}

/** The receiver does not want the chunk any more: it may come all the same, but need not be acknowledged. */
export const cancelled = (swarm: Swarm, view: View, index: number): void => {
  forgive(view, index)
  for (const upload of swarm.uplink.uploads) {
    if (upload.view === view && upload.index === index) upload.wanted = false
  }
}

const forgive = (view: View, index: number): void => {
  if (view.owed.delete(index)) view.link.claim.owedCount--
}

/** The system has taken the chunk, so many bytes, or never will. Its receiver, if this was known to be under way. */
export const served = (
  swarm: Swarm,
  peer: PeerId,
  root: Root,
  index: number,
  bytes: number | undefined
): View | undefined => {
  const { uplink } = swarm
  for (const upload of uplink.uploads) {
    const { link, share } = upload.view
    if (upload.served || upload.index !== index || share.root !== root || link.peer !== peer) continue
    upload.served = true
    link.claim.unservedCount--
    link.claim.unservedBytes -= upload.bytes
    uplink.unservedBytes -= upload.bytes
    if (bytes === undefined) close(swarm, upload)
    else shorten(uplink, upload, bytes)
    if (!upload.open) uplink.uploads.delete(upload)
    return upload.view
  }
  return undefined
}

/** Now it is known how long it really was: a manifest of two kilobytes leaves sooner than a full chunk. */
const shorten = (uplink: Uplink, upload: Upload, bytes: number): void => {
  uplink.freeAtMs -= upload.leavingMs * (1 - bytes / upload.bytes)
  if (upload.open) uplink.openBytes -= upload.bytes - bytes
  upload.bytes = bytes
}

/** No longer waits for an acknowledgement. */
const close = (swarm: Swarm, upload: Upload): void => {
  if (!upload.open) return
  const { claim } = upload.view.link
  upload.open = false
  claim.openCount--
  if (!claim.acknowledges) swarm.uplink.openToStrangersCount--
  upload.view.uploadsCount--
  swarm.uplink.openCount--
  swarm.uplink.openBytes -= upload.bytes
  if (upload.served) swarm.uplink.uploads.delete(upload)
}

/**
 * Slow receivers do not hold up the others. When there is no room for anything more to be sent, it says who has not read
 * for longest.
 */
export const watch = (swarm: Swarm): PeerId | undefined => {
  let stuck: Upload | undefined
  for (const upload of swarm.uplink.uploads) {
    if (swarm.nowMs <= upload.staleAtMs) continue
    if (!upload.served) stuck ??= upload
    if (!upload.open) continue
    const { index, view } = upload
    close(swarm, upload)
    if (upload.wanted) {
      forgive(view, index)
      view.owed.set(index, upload)
      view.link.claim.owedCount++
    }
    Spread.failed(swarm, view, index)
  }
  for (const link of swarm.links.values()) if (link.claim.owedCount > 0) forgiveOld(swarm, link)
  return swarm.uplink.unservedBytes >= Limits.uploadBytesMax ? stuck?.view.link.peer : undefined
}

const forgiveOld = (swarm: Swarm, link: Link): void => {
  for (const view of link.views.values()) {
    for (const [index, { staleAtMs }] of view.owed) if (swarm.nowMs - staleAtMs > owedMaxMs) forgive(view, index)
  }
}

/** A link has ended, or the share has: nothing of it waits here any more. `reject` when the peer is to be told. */
export const abandonView = (swarm: Swarm, view: View, reject: boolean): void => {
  for (const index of Array.from(view.queue)) {
    dequeue(swarm, view, index)
    if (reject) send(swarm, view.link, { _tag: "Reject", share: view.share.root, index: index as never })
  }
  for (const upload of swarm.uplink.uploads) if (upload.view === view) close(swarm, upload)
  view.link.claim.owedCount -= view.owed.size
  view.owed.clear()
}
