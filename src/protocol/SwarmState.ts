/**
 * What the swarm machine remembers, and the small questions its parts ask of it.
 *
 * `SwarmRequests` asks, `SwarmUploads` serves, `SwarmSpread` announces and hands out; `Swarm` gives each input to them.
 */
import * as Bitfield from "./Bitfield.ts"
import type { PeerId, Root } from "./Ids.ts"
import * as Picker from "./Picker.ts"
import type { Output } from "./Swarm.ts"
import type { Course, Found } from "./SwarmDirect.ts"
import type { SwarmMessage } from "./Wire.ts"

/**
 * The rules of the swarm one by one, so that `bench/model.ts` can show what each is worth. Devices use {@link defaultPolicy}.
 */
export interface Policy {
  /** The origin reveals chunks one by one until each is out once. */
  readonly superSeed: boolean
  /** Ask for the chunk with the fewest claims, not for any. */
  readonly rarestAsked: boolean
  /** Serve the chunk with the fewest claims, not the one asked for first. */
  readonly rarestServed: boolean
  /** Of equal chunks, serve the link that has the least; the origin reveals to the link in greatest need. */
  readonly neediestServed: boolean
  /** Ask further sources for the last chunks. */
  readonly endgame: boolean
  /** Announce chunks also to those who have them, so that they can count copies. */
  readonly announceToHolders: boolean
  /** New chunks are announced together when they come closer to each other than this. */
  readonly announceEveryMs: number
  /** Chunks of a cast come to everybody, so nobody waits for the news. */
  readonly announceCastEveryMs: number
  /** But at once when hardly anybody has one: so many claims or fewer are known of. */
  readonly rareClaimsMax: number
  /** Requests open at all links of a share together, at least, and at one link what it moves in this time. */
  readonly asksMin: number
  readonly asksAheadMs: number
  /** A request that has waited for so long is taken back to be given to an idle link; `Infinity` for never. */
  readonly moveAfterMs: number
  /** Chunks that the origin reveals ahead of sending them, at least; and as many to one link, where its part is less. */
  readonly revealsMin: number
  /** The next upload starts when those under way are expected to have left in this time. */
  readonly uploadsAheadMs: number
  /** Chunks on their way out at most, unless they leave in a moment. */
  readonly uploadsMax: number
}

export const defaultPolicy: Policy = {
  superSeed: true,
  rarestAsked: true,
  rarestServed: true,
  neediestServed: true,
  endgame: true,
  announceToHolders: false,
  announceEveryMs: 200,
  announceCastEveryMs: 3_000,
  rareClaimsMax: 1,
  asksMin: 8,
  asksAheadMs: 200,
  moveAfterMs: 100,
  revealsMin: 8,
  uploadsAheadMs: 15,
  uploadsMax: 24
}

export interface Swarm {
  readonly random: () => number
  readonly policy: Policy
  readonly links: Map<PeerId, Link>
  readonly shares: Map<Root, Share>
  readonly uplink: Uplink
  /** Bytes asked for and not yet stored, over all sources. */
  inFlightBytes: number
  /** How long a chunk takes from its request to its last byte, on average lately. */
  flightMs: number
  /** Links that may be asked for something after this input; all of them when `allHungry`. */
  readonly hungry: Set<Link>
  allHungry: boolean
  /** Shares with something to announce, and those whose origin has something to reveal. */
  readonly announcing: Set<Share>
  readonly revealing: Set<Share>
  /** Until when a small share may keep others from being served. */
  hushUntilMs: number
  /** Whether asking this device alone brought more, the last time that both were tried. */
  found: Found | undefined
  nowMs: number
  outputs: Array<Output>
}

/**
 * Where chunks can come from: something that claims chunks, is asked for them and delivers at some rate.
 *
 * Today every source is a link. All that knows it is `tell`; a source of another kind brings its own.
 */
export interface Source {
  readonly tell: (swarm: Swarm, message: SwarmMessage) => void
  readonly arrivals: Arrivals
  /** Requests it has not answered yet, cancelled ones included. */
  asksCount: number
  /** Bytes asked of it and not yet arrived, cancelled ones excluded. */
  askedBytes: number
  /** When it last delivered or answered anything, or was first asked after having nothing to do. */
  aliveAtMs: number
  /** It was silent for too long: nothing is asked of it until then. */
  avoidUntilMs: number
  /** How often it was silent since a chunk of it passed its hash. */
  stalls: number
  /** A chunk of it has passed its hash. */
  proven: boolean
}

export interface Link extends Source {
  readonly peer: PeerId
  readonly isHost: boolean
  readonly views: Map<Root, View>
  /** What the peer said about shares this device has not opened, so that either side may open first. */
  readonly remembered: Map<Root, Uint8Array>
  rememberedBytes: number
  /** Cancelled requests of shares that were closed meanwhile: they are still to be answered. */
  readonly leftovers: Map<Root, Map<number, Ask>>
  readonly claim: LinkClaim
}

/** A link's or a share's claim to this device's way out, for deficit round robin. */
export interface Claim {
  /** Requests waiting here. */
  queuedCount: number
  /**
   * Bytes served, less those that a link has given; raised to the least of the others when something is asked for after a
   * pause: nobody saves up.
   */
  servedBytes: number
}

/** What a link has of this device's way out. */
export interface LinkClaim extends Claim {
  /** Uploads that the system has not taken, and their bytes. */
  unservedCount: number
  unservedBytes: number
  /** Uploads that it is expected to acknowledge, and those that it has not acknowledged in time. */
  openCount: number
  owedCount: number
  /** It has acknowledged something. */
  acknowledges: boolean
}

/** Decaying sum of the bytes that arrived, with a time constant of {@link rateWindowMs}. */
export interface Arrivals {
  bytes: number
  atMs: number
}

/** One share on one link: what its peer claims, wants of us, and is asked for. */
export interface View {
  readonly link: Link
  readonly share: Share
  readonly bits: Uint8Array
  count: number
  /** The peer has opened the share: its bitfield came. */
  opened: boolean
  /** This device's bitfield went to it, and announcements go since. */
  told: boolean
  /** Requests that the peer has not answered. */
  readonly asks: Map<number, Ask>
  /** Requests of the peer that wait here, oldest first, and how many chunks are on their way to it. */
  readonly queue: Set<number>
  uploadsCount: number
  /** Chunks that were sent to it and that it has not acknowledged in time. */
  readonly owed: Map<number, Upload>
  /** Chunks revealed to this peer alone that it has not got yet. */
  revealed: number
  /** Chunks that came to the room through this peer and that nobody else has announced yet. */
  unspread: number
  /** It left a revealed chunk unfetched: nothing is revealed to it until then, twice as long each time. */
  avoidUntilMs: number
  avoidMs: number
}

export interface Ask {
  readonly view: View
  readonly index: number
  readonly bytes: number
  readonly askedAtMs: number
  arrivedBytes: number
  /** The last byte is here, and it is being verified and stored. */
  arrived: boolean
  cancelled: boolean
  /** The source was told to let go of it if it has not begun; it is in flight until the answer. */
  recalled: boolean
}

export interface Share {
  readonly root: Root
  readonly manifestChunksCount: number
  readonly chunksCount: number
  readonly chunkSizeBytes: number
  readonly manifestChunkSizeBytes: number
  readonly small: boolean
  /** It comes from this device. */
  readonly origin: boolean
  readonly openedAtMs: number
  readonly have: Uint8Array
  haveCount: number
  manifestKnown: boolean
  paused: boolean
  /** Its content comes by a cast, or leaves by one, and its manifest before it or not. */
  cast: { readonly manifest: boolean } | undefined
  /** A cast brings it, is about to, or has brought all of it: whoever says nothing of the share is told nothing of it. */
  quiet: boolean
  /** A cast that has not begun may bring the manifest until then. */
  manifestAskedFromMs: number
  readonly views: Map<PeerId, View>
  /** Wanted and not in flight, by the number of claims. */
  readonly picker: Picker.Picker
  /** What is in flight: one ask outside the endgame. */
  readonly flights: Map<number, Array<Ask>>
  /** Verified and not announced yet; and whether one of them is rare. */
  fresh: Array<number>
  freshRare: boolean
  announcedAtMs: number
  /** Set while this device, the origin, hands every chunk out for the first time. */
  handout: Handout | undefined
  /** Where this device is the origin: how it spreads. */
  readonly course: Course | undefined
  /** The host has said whether to ask it alone. It weighs that, so it is told of all that comes, also of what it has. */
  direct: { readonly host: Link; readonly only: boolean } | undefined
  readonly claim: Claim
}

/** The origin's book about chunks that are not out yet: each is in one of the first three. */
export interface Handout {
  /** Chunks that nobody claims. */
  readonly waiting: Set<number>
  /** Chunks that only few claim, who were not given them from here. */
  readonly doubted: Set<number>
  /** Chunks that one link may ask for. */
  readonly revealed: Map<number, Reveal>
  /** Chunks that are out through one peer and that nobody else claims yet. */
  readonly through: Map<number, View>
}

export interface Reveal {
  readonly view: View
  /** Since when it could have been asked for: its receiver asks for one after the other. */
  atMs: number
}

/** What this device sends, over all links: they share one way out. */
export interface Uplink {
  readonly uploads: Set<Upload>
  /** Requests that wait, and those of them that are urgent. */
  queuedCount: number
  urgentCount: number
  /** The uploads that wait for their acknowledgement, and those of them to links that have acknowledged nothing yet. */
  openCount: number
  openBytes: number
  openToStrangersCount: number
  /** Bytes the system has not taken yet. */
  unservedBytes: number
  /** All that was ever acknowledged, and when the last of it was, or the first upload after a pause began. */
  ackedBytes: number
  ackedAtMs: number
  /** When the upload that was acknowledged last had started, or the first one after a pause. */
  ackedStartMs: number
  /** Bytes a millisecond, as the latest acknowledgements show it, newest last. */
  readonly rates: Array<{ readonly bytesPerMs: number; readonly atMs: number }>
  /** The best of them: what leaves when there is enough to send; 0 while nothing is known. */
  bestRate: number
  /** When the last upload began before any rate was known. */
  firstAtMs: number
  /** When all that was started will have left, at the rate that was measured. */
  freeAtMs: number
}

/** A chunk on its way out, until its receiver says that it has it. */
export interface Upload {
  readonly view: View
  readonly index: number
  /** At most, until it is served: then so many. */
  bytes: number
  /** How long it takes to leave, by the rate that was known when it started. */
  readonly leavingMs: number
  readonly startedAtMs: number
  /** `Uplink.ackedBytes`, `ackedAtMs` and `ackedStartMs` when it started: what left since then shows the rate. */
  readonly ackedBytes: number
  readonly ackedAtMs: number
  readonly ackedStartMs: number
  /** From then on its receiver is slow and holds up nobody. */
  readonly staleAtMs: number
  /** The system has taken its last byte, or will never. */
  served: boolean
  /** Its receiver has not acknowledged it yet and is still expected to. */
  open: boolean
  /** Its receiver has not said that it need not come. */
  wanted: boolean
}

export const rateWindowMs = 500

export const isManifest = (share: Share, index: number): boolean => index < share.manifestChunksCount

/** At most: the last chunk of its kind may be shorter. */
export const chunkBytes = (share: Share, index: number): number =>
  isManifest(share, index) ? share.manifestChunkSizeBytes : share.chunkSizeBytes

/** Whether a chunk goes ahead of bulk data: a manifest, or a share that is over in a moment. */
export const isUrgent = (share: Share, index: number): boolean => share.small || isManifest(share, index)

export const isComplete = (share: Share): boolean => share.manifestKnown && share.haveCount === share.chunksCount

/** Bytes a millisecond that have arrived lately. */
export const arrivalRate = (arrivals: Arrivals, nowMs: number): number =>
  arrivals.bytes * Math.exp((arrivals.atMs - nowMs) / rateWindowMs) / rateWindowMs

export const countArrival = (arrivals: Arrivals, bytes: number, nowMs: number): void => {
  arrivals.bytes = arrivalRate(arrivals, nowMs) * rateWindowMs + bytes
  arrivals.atMs = nowMs
}

export const send = (swarm: Swarm, link: Link, message: SwarmMessage, patient = false): void => {
  swarm.outputs.push({ _tag: "Send", peer: link.peer, message, patient })
}

export const makeView = (link: Link, share: Share): View => ({
  link,
  share,
  bits: Bitfield.make(share.chunksCount),
  count: 0,
  opened: false,
  told: false,
  asks: link.leftovers.get(share.root) ?? new Map(),
  queue: new Set(),
  uploadsCount: 0,
  owed: new Map(),
  revealed: 0,
  unspread: 0,
  avoidUntilMs: 0,
  avoidMs: 0
})
