/**
 * The swarm as an IO-less state machine: what to ask of whom, whom to serve, and when to give up on a source.
 *
 * One machine a device, for all of its shares and links. State is changed in place: this is the hot path.
 * Inputs carry the time, chance comes from `Options.random`, and outputs are carried out in order.
 *
 * On the wire: a device sends its `Bitfield` of a share, also an empty one, to every neighbor when it opens the share and
 * for every open share to every new neighbor, and `Have` to all of them from then on. What comes for a share that is not
 * open here is remembered, so either side may open first. A device tells the source of a chunk at once that it has
 * it: that is the acknowledgement by which the source paces its uploads. Where a cast brings a share to everybody
 * neighbors have nothing to tell each other: until that is over, and for good where nothing is lacking then, only who sends its
 * `Bitfield` is sent one. Where none does, the host may want to be asked alone: `Direct`.
 *
 * Invariants, checked by `test/protocol/Swarm.test.ts`:
 *
 * 1. **Answered once:** every request on a live link is answered by exactly one `Serve` or `Reject`.
 * 2. **One source:** a chunk is in flight from one source, and from three at most when everything missing is in flight.
 * 3. **Bounded:** bytes in flight stay within `Limits.inFlightBytesMax`.
 * 4. **Claimed:** nothing is asked of a source that did not claim it.
 * 5. **Needed:** nothing is asked for that is here, or whose share is paused.
 * 6. **Verifiable:** content is not asked for before the manifest is known.
 * 7. **Spread first:** the origin serves no content chunk twice before each is out once, unless a receiver fails it or a cast
 *    has shown that its way out has room for more than one copy.
 * 8. **Everybody finishes:** who can reach every chunk over honest links gets them all, under any interleaving.
 * 9. **Quiet ends:** while a share is cast, or for {@link Spread.quietMs} if it is not, it may be quiet; then everybody is told
 *    by who lacks something, and who lacks nothing tells whoever tells.
 *    Nobody waits longer for a manifest than until content comes by a cast, or for {@link Spread.manifestQuietMs} if none begins.
 * 10. **Alone ends:** who asks the host alone asks everybody once the host is silent or gone; and nobody else is asked alone.
 */
import { Result } from "effect"
import { Base64Url } from "effect/encoding"
import * as Bitfield from "./Bitfield.ts"
import type { PeerId, Root } from "./Ids.ts"
import * as Limits from "./Limits.ts"
import * as Picker from "./Picker.ts"
import * as Direct from "./SwarmDirect.ts"
import * as Requests from "./SwarmRequests.ts"
import * as Spread from "./SwarmSpread.ts"
import {
  chunkBytes,
  defaultPolicy,
  isComplete,
  isManifest,
  type Link,
  makeView,
  type Policy,
  send,
  type Share,
  type Swarm,
  type View
} from "./SwarmState.ts"
import * as Uploads from "./SwarmUploads.ts"
import type { GoodbyeCode, SwarmMessage } from "./Wire.ts"

export interface Options {
  /** A number in [0, 1) at each call. */
  readonly random: () => number
}

export type Input =
  | {
    readonly _tag: "PeerUp"
    readonly peer: PeerId
    /** Whether it hosts the session. */
    readonly isHost: boolean
  }
  | { readonly _tag: "PeerDown"; readonly peer: PeerId }
  | {
    readonly _tag: "ShareOpened"
    readonly root: Root
    readonly manifestChunksCount: number
    /** Manifest and content chunks together. */
    readonly chunksCount: number
    /** The size of a full content chunk and of a full manifest chunk, in bytes; used to bound what is in flight. */
    readonly chunkSizeBytes: number
    readonly manifestChunkSizeBytes: number
    /** Which chunks this device has verified; the machine takes its own copy. */
    readonly have: Uint8Array
    /** Content chunks are asked for only once this is true: before, nobody could verify them. */
    readonly manifestKnown: boolean
    /** This device is where the share comes from: it hands every chunk out once before it repeats one. */
    readonly origin: boolean
    /**
     * A cast brings it, or is likely to in a moment, and with it the manifest or not. Until that is over its neighbors are told
     * only if they tell, and the manifest is left to it.
     */
    readonly cast: { readonly begun: boolean; readonly manifest: boolean } | undefined
  }
  /** The share is withdrawn or forgotten. */
  | { readonly _tag: "ShareClosed"; readonly root: Root }
  /** The manifest is verified; `have` as it stands now. */
  | { readonly _tag: "ManifestKnown"; readonly root: Root; readonly have: Uint8Array }
  | { readonly _tag: "Message"; readonly peer: PeerId; readonly message: SwarmMessage }
  /** A run of bytes of a requested chunk has arrived; `last` when it was the chunk's last. */
  | {
    readonly _tag: "DataArrived"
    readonly peer: PeerId
    readonly root: Root
    readonly index: number
    readonly bytes: number
    readonly last: boolean
  }
  /**
   * A chunk that arrived whole is verified and on disk, or was not what was signed. One of both comes for every chunk that
   * was asked for and came, also when its request was cancelled meanwhile; none when the share was paused or closed.
   */
  | { readonly _tag: "ChunkStored"; readonly peer: PeerId; readonly root: Root; readonly index: number }
  | { readonly _tag: "ChunkCorrupt"; readonly peer: PeerId; readonly root: Root; readonly index: number }
  /** A chunk that was not here, or could not be served, is here after all. */
  | { readonly _tag: "ChunkFound"; readonly root: Root; readonly index: number }
  /** The disk refuses the share for now: nothing of it is asked for until `ShareResumed`. What arrived was not kept. */
  | { readonly _tag: "SharePaused"; readonly root: Root }
  | { readonly _tag: "ShareResumed"; readonly root: Root }
  /**
   * The content comes to everybody at once by another way, and the manifest before it or not, so it is neither asked for nor
   * handed out, and seldom announced, until that is over; what came by it is told by `ChunkFound`.
   */
  | { readonly _tag: "CastBegun"; readonly root: Root; readonly manifest: boolean }
  /** The manifest does not come by it. */
  | { readonly _tag: "CastMissed"; readonly root: Root }
  /** It is over; `spare` where it has shown that the way out of here has room for more than one copy at a time. */
  | { readonly _tag: "CastOver"; readonly root: Root; readonly spare: boolean }
  /** An output `Serve` is done: all bytes, that many, are with the system, or the link ended first. */
  | {
    readonly _tag: "Served"
    readonly peer: PeerId
    readonly root: Root
    readonly index: number
    readonly bytes: number
  }
  /** An output `Serve` could not be done: this device does not have the chunk any more. */
  | { readonly _tag: "ServeFailed"; readonly peer: PeerId; readonly root: Root; readonly index: number }
  /** Time passes; at least every 250 ms while anything is going on. */
  | { readonly _tag: "Tick" }

export type Output =
  /** `patient`: nobody waits for it, so it may go along with whatever leaves next. */
  | { readonly _tag: "Send"; readonly peer: PeerId; readonly message: SwarmMessage; readonly patient: boolean }
  /** Read the chunk and send it, ahead of others if it is urgent; answered by exactly one `Served` or `ServeFailed`. */
  | {
    readonly _tag: "Serve"
    readonly peer: PeerId
    readonly root: Root
    readonly index: number
    readonly urgent: boolean
  }
  | { readonly _tag: "Disconnect"; readonly peer: PeerId; readonly code: GoodbyeCode; readonly detail: string }
  /** Every chunk of the share is here. */
  | { readonly _tag: "Complete"; readonly root: Root }

export type { Policy, Swarm } from "./SwarmState.ts"

/** `policy` is for measurements: devices use the default. */
export const make = (options: Options, policy: Policy = defaultPolicy): Swarm => ({
  random: options.random,
  policy,
  links: new Map(),
  shares: new Map(),
  uplink: {
    uploads: new Set(),
    queuedCount: 0,
    urgentCount: 0,
    openCount: 0,
    openBytes: 0,
    openToStrangersCount: 0,
    unservedBytes: 0,
    ackedBytes: 0,
    ackedAtMs: -Infinity,
    ackedStartMs: -Infinity,
    rates: [],
    bestRate: 0,
    firstAtMs: -Infinity,
    freeAtMs: 0
  },
  inFlightBytes: 0,
  flightMs: 0,
  hungry: new Set(),
  allHungry: false,
  announcing: new Set(),
  revealing: new Set(),
  hushUntilMs: 0,
  found: undefined,
  nowMs: 0,
  outputs: []
})

/** Advances the machine by one input. `nowMs` must not run backwards. */
export const step = (swarm: Swarm, input: Input, nowMs: number): ReadonlyArray<Output> => {
  const outputs: Array<Output> = []
  swarm.outputs = outputs
  swarm.nowMs = nowMs
  take(swarm, input)
  Spread.reveal(swarm)
  Requests.fill(swarm)
  Uploads.pump(swarm)
  Spread.announce(swarm)
  return outputs
}

/** How many neighbors lack a chunk, as far as they have said. */
export const lackingCount = (swarm: Swarm, root: Root, index: number): number => {
  const share = swarm.shares.get(root)
  return share === undefined ? 0 : share.views.size - share.picker.claims[index]!
}

/** Whether a chunk is wanted, by whatever way it comes. */
export const isMissing = (swarm: Swarm, root: Root, index: number): boolean => {
  const share = swarm.shares.get(root)
  return share !== undefined && !share.paused && index < share.chunksCount && !Bitfield.has(share.have, index)
}

/** Whether a chunk can be verified: one of a manifest by what the entry says, one of content by the manifest. */
export const isVerifiable = (swarm: Swarm, root: Root, index: number): boolean => {
  const share = swarm.shares.get(root)
  return share !== undefined && (share.manifestKnown || isManifest(share, index))
}

/** Whether bulk waits for a small share. */
export const isHushed = Uploads.isHushed

/** When the machine wants a `Tick` at the latest, besides the regular ones; `Infinity` if it waits for others. */
export const wakeAtMs = (swarm: Swarm): number =>
  Math.min(Spread.nextAnnouncementMs(swarm), swarm.uplink.queuedCount > 0 ? Uploads.nextStartMs(swarm) : Infinity)

const take = (swarm: Swarm, input: Input): void => {
  switch (input._tag) {
    case "PeerUp":
      return peerUp(swarm, input.peer, input.isHost)
    case "PeerDown":
      return peerDown(swarm, input.peer)
    case "ShareOpened":
      return shareOpened(swarm, input)
    case "ShareClosed":
      return shareClosed(swarm, input.root)
    case "Message": {
      const link = swarm.links.get(input.peer)
      if (link !== undefined) message(swarm, link, input.message)
      return
    }
    case "DataArrived": {
      const link = swarm.links.get(input.peer)
      if (link !== undefined) Requests.arrived(swarm, link, input.root, input.index, input.bytes, input.last)
      return
    }
    case "Served":
      Uploads.served(swarm, input.peer, input.root, input.index, input.bytes)
      return
    case "Tick": {
      Requests.watch(swarm)
      const stuck = Uploads.watch(swarm)
      if (stuck !== undefined) disconnect(swarm, stuck, "slow", "it does not read, and others wait")
      Spread.watch(swarm)
      Direct.watch(swarm)
      return
    }
    case "ServeFailed":
      return serveFailed(swarm, input.peer, input.root, input.index)
    default: {
      const share = swarm.shares.get(input.root)
      if (share !== undefined) takeOfShare(swarm, share, input)
    }
  }
}

const takeOfShare = (
  swarm: Swarm,
  share: Share,
  input: Extract<
    Input,
    {
      readonly _tag:
        | "ManifestKnown"
        | "ChunkStored"
        | "ChunkFound"
        | "ChunkCorrupt"
        | "SharePaused"
        | "ShareResumed"
        | "CastBegun"
        | "CastMissed"
        | "CastOver"
    }
  >
): void => {
  switch (input._tag) {
    case "ManifestKnown":
      if (share.manifestKnown) return
      share.manifestKnown = true
      for (let index = 0; index < share.chunksCount; index++) {
        if (Bitfield.has(input.have, index)) gain(swarm, share, index)
        else if (!share.flights.has(index)) Picker.want(share.picker, index)
      }
      swarm.allHungry = true
      // What is here of an earlier version nobody need send, nor cast.
      share.freshRare ||= share.fresh.length > 0
      share.announcedAtMs = -Infinity
      return completed(swarm, share)
    case "ChunkStored": {
      const source = swarm.links.get(input.peer)
      if (source !== undefined) {
        Requests.proven(swarm, source)
        Uploads.gave(source, chunkBytes(share, input.index))
        Spread.acknowledge(swarm, source, share, input.index)
      }
      if (gain(swarm, share, input.index)) completed(swarm, share)
      return
    }
    case "ChunkFound":
      if (gain(swarm, share, input.index)) completed(swarm, share)
      return
    case "ChunkCorrupt":
      Requests.wasted(swarm, share, input.index, input.peer)
      return disconnect(swarm, input.peer, "poison", `chunk ${input.index} of ${share.root} is not what was signed`)
    case "SharePaused":
      share.paused = true
      return Requests.abandonShare(swarm, share)
    case "ShareResumed":
      share.paused = false
      swarm.allHungry = true
      return
    case "CastBegun":
      share.cast = { manifest: input.manifest }
      return
    case "CastMissed":
      if (share.cast !== undefined) share.cast = { manifest: false }
      swarm.allHungry = true
      return
    case "CastOver":
      share.cast = undefined
      Direct.castOver(swarm, share, input.spare)
      if (input.spare) Spread.offerAll(swarm, share)
      share.manifestAskedFromMs = -Infinity
      Spread.speak(swarm, share)
      swarm.allHungry = true
      swarm.revealing.add(share)
      share.freshRare ||= share.fresh.length > 0
  }
}

// ---- Links ---------------------------------------------------------------------------------------------------------

const peerUp = (swarm: Swarm, peer: PeerId, isHost: boolean): void => {
  if (swarm.links.has(peer)) peerDown(swarm, peer)
  const link: Link = {
    peer,
    isHost,
    views: new Map(),
    remembered: new Map(),
    rememberedBytes: 0,
    leftovers: new Map(),
    claim: {
      queuedCount: 0,
      servedBytes: 0,
      unservedCount: 0,
      unservedBytes: 0,
      openCount: 0,
      owedCount: 0,
      acknowledges: false
    },
    tell: (swarm, message) => send(swarm, link, message),
    arrivals: { bytes: 0, atMs: swarm.nowMs },
    asksCount: 0,
    askedBytes: 0,
    aliveAtMs: swarm.nowMs,
    avoidUntilMs: 0,
    stalls: 0,
    proven: false
  }
  swarm.links.set(peer, link)
  for (const share of swarm.shares.values()) Spread.tell(swarm, openView(link, share))
}

const openView = (link: Link, share: Share): View => {
  const view = makeView(link, share)
  link.leftovers.delete(share.root)
  link.views.set(share.root, view)
  share.views.set(link.peer, view)
  return view
}

const peerDown = (swarm: Swarm, peer: PeerId): void => {
  const link = swarm.links.get(peer)
  if (link === undefined) return
  swarm.links.delete(peer)
  swarm.hungry.delete(link)
  for (const view of link.views.values()) closeView(swarm, view, false)
}

const closeView = (swarm: Swarm, view: View, reject: boolean): void => {
  const { link, share } = view
  Requests.abandonView(swarm, view)
  Uploads.abandonView(swarm, view, reject)
  for (const index of Bitfield.indexes(view.bits)) removeClaim(swarm, view, index)
  Spread.abandonView(swarm, view)
  if (share.direct?.host === link) {
    Requests.direct(swarm, link, share, false)
    share.direct = undefined
  }
  link.views.delete(share.root)
  share.views.delete(link.peer)
}

const disconnect = (swarm: Swarm, peer: PeerId, code: GoodbyeCode, detail: string): void => {
  if (!swarm.links.has(peer)) return
  peerDown(swarm, peer)
  swarm.outputs.push({ _tag: "Disconnect", peer, code, detail })
}

// ---- Shares --------------------------------------------------------------------------------------------------------

const smallShareBytes = 1024 * 1024

/** Whether a share is over in a moment, so that it goes ahead of others. */
export const isSmall = ({ chunkSizeBytes, chunksCount }: {
  readonly chunkSizeBytes: number
  /** Of the content. */
  readonly chunksCount: number
}): boolean => chunksCount * chunkSizeBytes <= smallShareBytes

const shareOpened = (swarm: Swarm, input: Extract<Input, { readonly _tag: "ShareOpened" }>): void => {
  if (swarm.shares.has(input.root)) return
  const { chunksCount, manifestChunksCount } = input
  const share: Share = {
    root: input.root,
    manifestChunksCount,
    chunksCount,
    chunkSizeBytes: input.chunkSizeBytes,
    manifestChunkSizeBytes: input.manifestChunkSizeBytes,
    small: isSmall({ chunkSizeBytes: input.chunkSizeBytes, chunksCount: chunksCount - manifestChunksCount }),
    origin: input.origin,
    openedAtMs: swarm.nowMs,
    have: input.have.slice(),
    haveCount: Bitfield.size(input.have),
    manifestKnown: input.manifestKnown,
    paused: false,
    cast: input.cast?.begun === true ? input.cast : undefined,
    quiet: input.cast !== undefined,
    manifestAskedFromMs: input.cast?.manifest === true ? swarm.nowMs + Spread.manifestQuietMs : -Infinity,
    views: new Map(),
    picker: Picker.make(chunksCount),
    flights: new Map(),
    fresh: [],
    freshRare: false,
    announcedAtMs: -Infinity,
    handout: undefined,
    course: input.origin ? Direct.begin() : undefined,
    direct: undefined,
    claim: { queuedCount: 0, servedBytes: 0 }
  }
  swarm.shares.set(share.root, share)
  if (share.small) swarm.hushUntilMs = swarm.nowMs + Uploads.hushMs
  for (let index = 0; index < chunksCount; index++) {
    if (!Bitfield.has(share.have, index) && (isManifest(share, index) || share.manifestKnown)) {
      Picker.want(share.picker, index)
    }
  }
  if (input.origin && swarm.policy.superSeed) share.handout = Spread.makeHandout(share)
  swarm.revealing.add(share)
  for (const link of Array.from(swarm.links.values())) {
    const view = openView(link, share)
    const bits = link.remembered.get(share.root)
    if (bits === undefined) continue
    link.remembered.delete(share.root)
    link.rememberedBytes -= bits.length
    bitfield(swarm, view, bits)
  }
  for (const view of share.views.values()) Spread.tell(swarm, view)
  if (!input.origin) completed(swarm, share)
}

const shareClosed = (swarm: Swarm, root: Root): void => {
  const share = swarm.shares.get(root)
  if (share === undefined) return
  Requests.abandonShare(swarm, share)
  for (const view of Array.from(share.views.values())) {
    if (view.opened) remember(view.link, root, view.bits.slice())
    if (view.asks.size > 0) view.link.leftovers.set(root, view.asks)
    closeView(swarm, view, true)
  }
  swarm.shares.delete(root)
  swarm.announcing.delete(share)
  swarm.revealing.delete(share)
}

/** A chunk is verified and here. Says whether it was not before. */
const gain = (swarm: Swarm, share: Share, index: number): boolean => {
  Requests.settled(swarm, share, index)
  if (Bitfield.has(share.have, index)) return false
  Bitfield.add(share.have, index)
  share.haveCount++
  Spread.gained(swarm, share, index)
  return true
}

const completed = (swarm: Swarm, share: Share): void => {
  if (isComplete(share)) swarm.outputs.push({ _tag: "Complete", root: share.root })
}

/** A chunk that was here cannot be read any more. */
const serveFailed = (swarm: Swarm, peer: PeerId, root: Root, index: number): void => {
  const view = Uploads.served(swarm, peer, root, index, undefined)
  if (view === undefined || swarm.shares.get(root) !== view.share) return
  const { share } = view
  if (swarm.links.get(peer) === view.link) {
    send(swarm, view.link, { _tag: "Reject", share: root, index: index as never })
  }
  if (!Bitfield.has(share.have, index)) return
  Bitfield.remove(share.have, index)
  share.haveCount--
  Spread.lost(swarm, share, index)
  for (const other of share.views.values()) {
    if (Uploads.dequeue(swarm, other, index)) {
      send(swarm, other.link, { _tag: "Reject", share: root, index: index as never })
    }
  }
  if (isManifest(share, index) || share.manifestKnown) Picker.want(share.picker, index)
  swarm.allHungry = true
}

// ---- Messages ------------------------------------------------------------------------------------------------------

const message = (swarm: Swarm, link: Link, message: SwarmMessage): void => {
  const view = link.views.get(message.share)
  switch (message._tag) {
    case "Bitfield": {
      const bits = Result.getOrUndefined(Base64Url.decode(message.bits))
      if (bits === undefined) return disconnect(swarm, link.peer, "protocol", "a bitfield is not base64url")
      return view === undefined ? remember(link, message.share, bits) : bitfield(swarm, view, bits)
    }
    case "Have": {
      if (view === undefined) return rememberHave(link, message.share, message.indexes)
      if (message.indexes.some((index) => index >= view.share.chunksCount)) return garbage(swarm, link)
      for (const index of message.indexes) {
        const given = Uploads.acknowledged(swarm, view, index)
        if (!Bitfield.has(view.bits, index)) Direct.gained(swarm, view.share, index, given)
        addClaim(swarm, view, index, given)
      }
      return
    }
    case "Direct":
      if (view !== undefined) Requests.direct(swarm, link, view.share, message.only)
      return
    case "Request":
      if (view === undefined) return send(swarm, link, { _tag: "Reject", share: message.share, index: message.index })
      return request(swarm, view, message.index)
    case "Cancel":
      if (view === undefined) return
      if (Uploads.dequeue(swarm, view, message.index)) {
        return send(swarm, link, { _tag: "Reject", share: message.share, index: message.index })
      }
      return Uploads.cancelled(swarm, view, message.index)
    case "Reject":
      if (Requests.rejected(swarm, link, message.share, message.index) && view !== undefined) {
        removeClaim(swarm, view, message.index)
      }
  }
}

const garbage = (swarm: Swarm, link: Link): void =>
  disconnect(swarm, link.peer, "protocol", "a message names a chunk that the share does not have")

const request = (swarm: Swarm, view: View, index: number): void => {
  const { link, share } = view
  if (index >= share.chunksCount) return garbage(swarm, link)
  if (link.claim.queuedCount >= Limits.requestsPerLinkMax) {
    return disconnect(swarm, link.peer, "protocol", "too many requests at a time")
  }
  if (!Bitfield.has(share.have, index) || view.queue.has(index) || !Spread.isOffered(share, view, index)) {
    return send(swarm, link, { _tag: "Reject", share: share.root, index: index as never })
  }
  Uploads.enqueue(swarm, view, index)
}

/** The whole of what a peer serves, in place of what it said before. */
const bitfield = (swarm: Swarm, view: View, bits: Uint8Array): void => {
  const { share } = view
  if (!Bitfield.fits(bits, share.chunksCount)) {
    return disconnect(swarm, view.link.peer, "protocol", "a bitfield has another length than its share")
  }
  view.opened = true
  Spread.tell(swarm, view)
  Direct.opened(swarm, view)
  view.avoidUntilMs = 0
  swarm.revealing.add(share)
  for (let index = 0; index < share.chunksCount; index++) {
    if (Bitfield.has(bits, index)) addClaim(swarm, view, index, false)
    else removeClaim(swarm, view, index)
  }
}

const addClaim = (swarm: Swarm, view: View, index: number, given: boolean): void => {
  if (Bitfield.has(view.bits, index)) return
  const { link, share } = view
  Bitfield.add(view.bits, index)
  view.count++
  Picker.claim(share.picker, index)
  Spread.claimed(swarm, view, index, given)
  if (!Bitfield.has(share.have, index)) swarm.hungry.add(link)
}

const removeClaim = (swarm: Swarm, view: View, index: number): void => {
  if (!Bitfield.has(view.bits, index)) return
  Bitfield.remove(view.bits, index)
  view.count--
  Picker.unclaim(view.share.picker, index)
  Spread.unclaimed(swarm, view, index)
}

const remember = (link: Link, root: Root, bits: Uint8Array): void => {
  const before = link.remembered.get(root)?.length ?? 0
  const bytes = link.rememberedBytes - before + bits.length
  if (bytes > Limits.rememberedBytesMax || (before === 0 && link.remembered.size >= Limits.sharesMax)) return
  link.remembered.set(root, bits)
  link.rememberedBytes = bytes
}

const rememberHave = (link: Link, root: Root, indexes: ReadonlyArray<number>): void => {
  const bits = link.remembered.get(root)
  if (bits === undefined) return
  for (const index of indexes) if (index < bits.length * 8) Bitfield.add(bits, index)
}
