/**
 * The host's side of casts: a cast sends every chunk of a share once, to everybody at once, as datagrams of a multicast.
 *
 * Where that goes well the room has the share when one copy has left. It carries no promise, so nothing depends on it: what
 * a device did not get it asks of the others when the cast is over. A cast begins when nearly all neighbors hear the
 * multicast and can take chunks, and is given up as soon as anything is not as it should be: few hear it, many lose much, some
 * are flooded by what others take easily, all of them have narrower ways in than the way out is, or the network is so fast that
 * links do as well. Then the swarm does all.
 *
 * Pieces are large, because a datagram costs a program as much as its bytes. While many lose some, pieces are small; and where
 * some are lost at any rate, parity pieces follow them.
 *
 * State is changed in place; inputs carry the time. Fragments are not outputs: whoever sends them asks {@link next} for
 * one after the other, because what can leave is a question of the moment.
 *
 * Invariants, checked by `test/protocol/CastSender.test.ts`:
 *
 * 1. **Told first:** no fragment of a share leaves before its neighbors were told of the cast, and none after it is over.
 * 2. **Once:** each chunk is cast at most once, and none that nearly everybody has.
 * 3. **Always over:** every share whose cast has begun is over in the end, for the neighbors and for this device.
 * 4. **Given up:** whatever listeners report, a cast ends within the time that its bytes need at `Pace.worthBytesPerMs`.
 * 5. **Healed:** where datagrams are lost at any rate, up to {@link healedLossMax} of them, nearly all chunks are whole all the same.
 */
import * as Hearing from "./CastHearing.ts"
import { type Clear, type Head, lengthAt } from "./Fragment.ts"
import type { PeerId, Root } from "./Ids.ts"
import * as Limits from "./Limits.ts"
import * as Pace from "./Pace.ts"
import * as Parity from "./Parity.ts"
import type { CastMessage } from "./Wire.ts"

/** Of all neighbors, so many must hear it. */
const hearingPart = 3 / 4
/** A chunk that fewer lack is not cast: they ask for it. */
const lackingPart = 1 / 4
const lackingMin = 3
/** A share that was opened while too few heard is cast all the same if so much later enough do: the room was just coming in. */
const arrivingMs = 10_000
/** How many listeners a cast needs, and how many are not few any more. */
export interface Audience {
  readonly least: number
  readonly few: number
}
const usualAudience: Audience = { least: Limits.castListenersMin, few: Limits.fullMeshPeersMax }
/**
 * Few are served as well by links when a cast stays below this rate for so long: a radio sends multicasts at its lowest rates
 * (of IEEE 802.11 the basic ones, up to 24 Mbit/s) and what goes over links at its highest.
 */
const fewWorthBytesPerMs = 3_125
const fewWorthMs = 1_000
/** So many listeners must be ready; after that the last ones are waited for a little, and all in all not for ever. */
const readyPart = 3 / 4
const readyWaitMs = 200
const readyWaitMsMax = 3_000
/** When a neighbor was told of the multicast, datagrams show whether it hears it: so long after. */
const probesMs = [20, 200, 1_000]
/** While a cast is on, something leaves at least so often. */
const aliveMs = 300
/** The last datagrams are in queues still when the last has left. */
const lastMs = 60
/** And what the listeners then say that they have is on its way for so long, which is waited for where all has left. */
const echoMs = 300
/** What may be given to the system beyond what it takes at once: what leaves in this time. */
const heldMs = 20
/**
 * How often listeners report: all of them together not more than this, and each no more often than the rate is looked at. Each
 * report is acknowledged by TCP, and that takes the host's way out from the cast: 250 a second a fortieth of 5 Mbit/s.
 */
const reportsPerSecond = 125
const reportMsMin = 2 * Pace.periodMs
/** So many of those who report must have heard what left after a cut before there is another. */
const answeringPart = 3 / 4
/** Pieces where the system sends no datagram of `Limits.pieceBytesMax`: macOS stops at 9,216 bytes. */
const shortPieceBytes = 8 * 1_024
/**
 * While many lose some a piece fills an Ethernet frame with what is around it: nothing else is lost with it, and no system
 * holds what is left of it. Linux keeps the frames of a datagram that lacks one for 30 s, and with 4 MiB of them takes no other.
 */
export const smallPieceBytes = 1_408
/** And for so long after that. */
const smallMs = 3_000
/** 120 megabits, 11,000 small pieces a second: above, to take so many costs listeners more than what is lost. */
const smallBytesPerMsMax = 15_000
/** A sample takes no longer, or is none. */
const samplingMsMax = 2_000
/** More is not made good by parity; and of the chunks, so many may lack more than it does. */
export const healedLossMax = 0.15
const unhealedPart = 0.02
/** Small pieces leave so many milliseconds' worth at a time: to be woken costs a program more than a piece. */
const togetherMs = 5
/** A listener that is flooded for so long while others are not has a narrower way than they. */
const floodedMs = 600
/** But for so long it bears it: its links live on, and the others have what they wait for. */
const bearableMs = 8_000
/** After a cast was given up none is tried for a while, twice as long each time. */
const tiredMsMin = 60_000
const tiredMsMax = 600_000

interface Cast {
  readonly root: Root
  readonly number: number
  readonly firstIndex: number
  readonly endIndex: number
  readonly bytes: number
  readonly urgent: boolean
  readonly chunkBytes: (index: number) => number
  readonly ready: Set<PeerId>
  readonly begunMs: number
  enoughMs: number
  running: boolean
  /** The next fragment: a piece, or, when all of the chunk's have left, a parity piece from 0; and how the chunk is cut. */
  index: number
  offset: number
  parity: number
  pieceBytes: number
  paritiesCount: number
  /** Everything has left, then. */
  leftMs: number
  /** The neighbors were told that it is over, then; and whether it was given up with room to spare. */
  overMs: number
  spare: boolean
}

type Opened = Extract<Input, { readonly _tag: "ShareOpened" }>

export interface CastSender {
  readonly neighbors: Map<PeerId, Hearing.Listener>
  readonly casts: Map<Root, Cast>
  /** Shares that too few hear yet, and until when they are worth a cast. */
  readonly waiting: Map<Root, { readonly opened: Opened; readonly untilMs: number }>
  pace: Pace.Pace
  /** The largest that the system sends. */
  pieceBytes: number
  /** Until when pieces are small; and which part of them is lost at any rate. */
  smallUntilMs: number
  usualLoss: number
  /** A sample of this cast has lost nothing, or too much: what is lost is lost because it is too fast. */
  tooFast: boolean
  /** Nearly all lost some before the last cut. */
  lostByAll: boolean
  /** The sample is of what left after this one. */
  sampleSequence: number
  /** Since when a rate that was found is too low for so few listeners. */
  unworthySinceMs: number
  /** How many neighbors lack a chunk. */
  readonly lacking: (root: Root, index: number) => number
  readonly audience: Audience
  castsCount: number
  sequence: number
  /** Datagrams that were given to the system and that it has not taken, and the bytes of their pieces. */
  held: number
  heldBytes: number
  aliveMs: number
  sending: boolean
  /** What left last before the rate was cut. */
  cutSequence: number
  /** When the last `Tick` came: the rate is looked at a period later, however often {@link wakeAtMs} is asked meanwhile. */
  watchedMs: number
  probes: Array<number>
  tiredUntilMs: number
  tiredMs: number
  outputs: Array<Output>
}

export type Input =
  /** A neighbor that a multicast can reach. */
  | { readonly _tag: "NeighborUp"; readonly peer: PeerId }
  | { readonly _tag: "NeighborDown"; readonly peer: PeerId }
  | { readonly _tag: "Message"; readonly peer: PeerId; readonly message: CastMessage }
  /**
   * A share of this device is to be handed out: chunks `firstIndex` to before `endIndex`, about so many bytes together. What is
   * urgent leaves while bulk is hushed, too.
   */
  | {
    readonly _tag: "ShareOpened"
    readonly root: Root
    readonly firstIndex: number
    readonly endIndex: number
    readonly bytes: number
    readonly urgent: boolean
    readonly chunkBytes: (index: number) => number
  }
  /** It is not handed out any more, or cannot be read. */
  | { readonly _tag: "ShareClosed"; readonly root: Root }
  | { readonly _tag: "Tick" }

export type Output =
  | { readonly _tag: "Send"; readonly peer: PeerId; readonly message: CastMessage }
  /** The share is being cast: nothing else hands its content out; and no more. */
  | { readonly _tag: "Begun"; readonly root: Root }
  /** `spare` where the rate was kept down by something beyond the way out, which may have room for more than one copy. */
  | { readonly _tag: "Over"; readonly root: Root; readonly spare: boolean }

/** What leaves next: a piece or a parity piece of a chunk, or a sign of life, which is of no share. */
export interface Fragment {
  readonly clear: Clear
  readonly head: Head
  readonly root: Root | undefined
  readonly bytes: number
  /** The chunk is out with it. */
  readonly isLast: boolean
}

export const make = (
  lacking: CastSender["lacking"],
  nowMs: number,
  audience: Audience = usualAudience
): CastSender => ({
  neighbors: new Map(),
  casts: new Map(),
  waiting: new Map(),
  pace: Pace.make(nowMs),
  pieceBytes: shortPieceBytes,
  smallUntilMs: -Infinity,
  usualLoss: 0,
  tooFast: false,
  lostByAll: false,
  sampleSequence: 0,
  unworthySinceMs: Infinity,
  lacking,
  audience,
  castsCount: 0,
  sequence: 0,
  held: 0,
  heldBytes: 0,
  aliveMs: nowMs,
  sending: false,
  cutSequence: 0,
  watchedMs: nowMs,
  probes: [],
  tiredUntilMs: -Infinity,
  tiredMs: tiredMsMin,
  outputs: []
})

export const step = (sender: CastSender, input: Input, nowMs: number): ReadonlyArray<Output> => {
  const outputs: Array<Output> = []
  sender.outputs = outputs
  take(sender, input, nowMs)
  for (const [root, { opened, untilMs }] of sender.waiting) {
    if (nowMs >= untilMs || nowMs < sender.tiredUntilMs) sender.waiting.delete(root)
    else if (isHeard(sender)) begin(sender, opened, nowMs)
  }
  for (const cast of Array.from(sender.casts.values())) advance(sender, cast, nowMs)
  return outputs
}

const take = (sender: CastSender, input: Input, nowMs: number): void => {
  switch (input._tag) {
    case "NeighborUp":
      sender.neighbors.set(input.peer, { ...Hearing.notHeard })
      sender.probes = probesMs.map((afterMs) => nowMs + afterMs)
      return
    case "NeighborDown":
      sender.neighbors.delete(input.peer)
      for (const cast of sender.casts.values()) cast.ready.delete(input.peer)
      return
    case "Message":
      return message(sender, input.peer, input.message, nowMs)
    case "ShareOpened":
      if (!sender.casts.has(input.root)) sender.waiting.set(input.root, { opened: input, untilMs: nowMs + arrivingMs })
      return
    case "ShareClosed": {
      sender.waiting.delete(input.root)
      const cast = sender.casts.get(input.root)
      if (cast !== undefined) end(sender, cast, nowMs)
      return
    }
    case "Tick":
      sender.watchedMs = nowMs
      return watch(sender, nowMs)
  }
}

const message = (sender: CastSender, peer: PeerId, message: CastMessage, nowMs: number): void => {
  const listener = sender.neighbors.get(peer)
  if (listener === undefined) return
  switch (message._tag) {
    case "Tuned":
      if (message.hears === listener.hears) return
      Object.assign(listener, Hearing.notHeard, { hears: message.hears })
      for (const cast of sender.casts.values()) {
        cast.ready.delete(peer)
        if (message.hears && cast.overMs === Infinity) tell(sender, peer, cast, false)
      }
      return
    case "Ready":
      for (const cast of sender.casts.values()) if (cast.number === message.cast && listener.hears) cast.ready.add(peer)
      return
    case "Report":
      return Hearing.report(listener, message, {
        sequence: sender.sequence,
        leftSequence: sender.sequence - sender.held,
        pieceBytes: sizeNow(sender, nowMs),
        bytesPerMs: sender.pace.bytesPerMs,
        usualLoss: sender.usualLoss,
        sampleSequence: sender.sampleSequence
      }, nowMs)
  }
}

const hearingCount = (sender: CastSender): number => {
  let count = 0
  for (const { hears } of sender.neighbors.values()) if (hears) count++
  return count
}

const isHeard = (sender: CastSender): boolean => {
  const count = hearingCount(sender)
  return count >= sender.audience.least && count >= hearingPart * sender.neighbors.size
}

const begin = (
  sender: CastSender,
  { bytes, chunkBytes, endIndex, firstIndex, root, urgent }: Opened,
  nowMs: number
): void => {
  sender.waiting.delete(root)
  const cast: Cast = {
    root,
    number: ++sender.castsCount,
    firstIndex,
    endIndex,
    bytes,
    urgent,
    chunkBytes,
    ready: new Set(),
    begunMs: nowMs,
    enoughMs: Infinity,
    running: false,
    index: firstIndex,
    offset: 0,
    parity: 0,
    pieceBytes: 0,
    paritiesCount: 0,
    leftMs: Infinity,
    overMs: Infinity,
    spare: false
  }
  if (sender.casts.size === 0) {
    sender.watchedMs = nowMs
    sender.tooFast = false
    sender.lostByAll = false
    sender.unworthySinceMs = Infinity
  }
  sender.casts.set(root, cast)
  sender.outputs.push({ _tag: "Begun", root })
  for (const [peer, { hears }] of sender.neighbors) if (hears) tell(sender, peer, cast, false)
}

/** How often each listener is to report. */
const reportMsOf = (sender: CastSender): number =>
  Math.max(reportMsMin, Math.ceil((1_000 * hearingCount(sender)) / reportsPerSecond))

const tell = (sender: CastSender, peer: PeerId, { number, root }: Cast, over: boolean): void => {
  const message = { _tag: "Cast", share: root, cast: number, over, reportMs: reportMsOf(sender) } as const
  sender.outputs.push({ _tag: "Send", peer, message })
}

/** What is being cast, the oldest first. */
export const current = ({ casts }: CastSender): ReadonlyArray<{ readonly share: Root; readonly cast: number }> =>
  Array.from(casts.values())
    .filter(({ overMs }) => overMs === Infinity)
    .map(({ number, root }) => ({ share: root, cast: number }))

/** Begins a cast when enough can take it, and ends it bit by bit. */
const advance = (sender: CastSender, cast: Cast, nowMs: number): void => {
  if (cast.overMs < Infinity) {
    if (cast.leftMs < Infinity && nowMs < cast.overMs + echoMs) return
    sender.casts.delete(cast.root)
    sender.outputs.push({ _tag: "Over", root: cast.root, spare: cast.spare })
    return
  }
  const hearing = hearingCount(sender)
  if (nowMs >= cast.leftMs + lastMs || hearing < sender.audience.least) return end(sender, cast, nowMs)
  if (cast.running) return
  const enough = cast.ready.size >= Math.max(sender.audience.least, readyPart * hearing)
  if (enough) cast.enoughMs = Math.min(cast.enoughMs, nowMs)
  cast.running = enough && (cast.ready.size === hearing || nowMs >= cast.enoughMs + readyWaitMs)
  if (!cast.running && nowMs >= cast.begunMs + readyWaitMsMax) {
    cast.running = cast.ready.size >= sender.audience.least
    if (!cast.running) end(sender, cast, nowMs)
  }
}

/** The neighbors ask each other from now on; this device hands out what is left, a moment later if that is only what was lost. */
const end = (sender: CastSender, cast: Cast, nowMs: number): void => {
  if (cast.overMs < Infinity) return
  cast.running = false
  cast.overMs = nowMs
  for (const [peer, { hears }] of sender.neighbors) if (hears) tell(sender, peer, cast, true)
}

const isFull = ({ held, heldBytes, pace }: CastSender): boolean => held > 1 && heldBytes >= pace.bytesPerMs * heldMs

/** What a piece takes of the cable: beside its bytes a seal, UDP, and IP and Ethernet of each of its frames. */
const cableBytes = (bytes: number): number => bytes * 1.03

const watch = (sender: CastSender, nowMs: number): void => {
  const { neighbors, pace } = sender
  if (!sender.sending) return
  // What the system could take it has taken since the last turn of the event loop.
  if (sender.held > 0) Pace.block(pace)
  if (nowMs < pace.periodAtMs + Pace.periodMs) return
  const everyMs = reportMsOf(sender)
  const small = isSmall(sender, nowMs)
  const { answering, congestedPart: part, losingPart, lost, reporting } = Hearing.answers(
    neighbors.values(),
    everyMs,
    sender.cutSequence,
    nowMs
  )
  // Most have reported on nothing but what left after the last cut, or they do not report any more.
  const isAnswered = answering >= answeringPart * reporting || nowMs >= pace.cutAtMs + Hearing.reportAgeMs(everyMs)
  // Perhaps it is lost at any rate: the sample will tell.
  const isSampling = small && sender.usualLoss === 0 && !sender.tooFast && lost <= 2 * healedLossMax &&
    nowMs < pace.cutAtMs + samplingMsMax
  // A large piece is lost with any of its frames, and does not tell how many were.
  Pace.judge(pace, isAnswered && !isSampling ? part : undefined, nowMs, small ? lost : 0)
  if (pace.cutAtMs === nowMs) {
    sender.cutSequence = sender.sequence
    sender.lostByAll = losingPart >= Hearing.narrowPart
    // How it goes now tells whether it was too fast; and while it may be, the less goes with a lost frame the better.
    if (losingPart > Pace.congestedPart && pace.bytesPerMs <= smallBytesPerMsMax) {
      sender.smallUntilMs = Math.max(sender.smallUntilMs, nowMs + smallMs)
    }
  }
  weigh(sender, nowMs)
  if (Pace.isTooFast(pace)) sender.tiredMs = tiredMsMax
  const isSlow = isNarrow(sender, nowMs) || isUnworthy(sender, nowMs) || pace.exhausted ||
    pace.bytesPerMs < Pace.leastBytesPerMs(pace)
  // Links give each what its way carries.
  const isUneven = Hearing.isUneven(neighbors.values(), everyMs, nowMs)
  const isWorthless = isSlow || isUneven || isDrowned(sender, part, nowMs) || Pace.isTooFast(pace) || !isHeard(sender)
  if (isWorthless) giveUp(sender, isSlow && !isUneven && !pace.limited, nowMs)
}

/**
 * Whether the room's ways in are narrower than the way out, each of them or one that leads to all: links keep every one of them
 * full, and the way out has room for more than one copy. What is lost at any rate is lost at the lowest, too, and a sample shows it.
 */
const isNarrow = (sender: CastSender, nowMs: number): boolean => {
  const { lostByAll, neighbors, pace, tooFast } = sender
  if (pace.limited) return false
  // Growth also ends when the system's queue is full, before it is known why it is.
  const isSought = pace.phase !== "steady" || pace.measures.length === 0
  if (isSought && Hearing.isNarrow(neighbors.values(), reportMsOf(sender), nowMs)) return true
  return lostByAll && tooFast
}

/** Whether one is flooded for longer than it bears, while others are not. */
const isDrowned = (sender: CastSender, congestedPart: number, nowMs: number): boolean => {
  if (congestedPart > Pace.congestedPart || remainingMs(sender) <= bearableMs) return false
  // Also when it says nothing more: what it says is drowned as well.
  for (const { floodedSinceMs, hears } of sender.neighbors.values()) {
    if (hears && nowMs >= floodedSinceMs + floodedMs) return true
  }
  return false
}

/** Whether the rate has been too low for long, as few as hear it. */
const isUnworthy = (sender: CastSender, nowMs: number): boolean => {
  const { bytesPerMs, phase } = sender.pace
  const isLow = phase === "steady" && bytesPerMs < fewWorthBytesPerMs && hearingCount(sender) < sender.audience.few
  sender.unworthySinceMs = isLow ? Math.min(sender.unworthySinceMs, nowMs) : Infinity
  return nowMs >= sender.unworthySinceMs + fewWorthMs
}

const isSmall = ({ smallUntilMs }: CastSender, nowMs: number): boolean => nowMs < smallUntilMs

/** Into pieces of how many bytes chunks are cut now. */
const sizeNow = (sender: CastSender, nowMs: number): number =>
  isSmall(sender, nowMs) ? smallPieceBytes : sender.pieceBytes

/** Looks at what is lost of small pieces: where it is lost everywhere and was from the first, it is not lost because of the rate. */
const weigh = (sender: CastSender, nowMs: number): void => {
  const { neighbors, pace } = sender
  const anew = (): void => {
    sender.sampleSequence = sender.sequence
    Hearing.beginSample(neighbors.values())
  }
  if (!isSmall(sender, nowMs)) {
    sender.usualLoss = 0
    return
  }
  // Until then queues are full that were full before the cut.
  if (nowMs < pace.cutAtMs + Pace.holdMs) return anew()
  const sample = Hearing.takeSample(neighbors.values(), sender.audience.least)
  if (sample === undefined) return
  anew()
  if (sample.loss > healedLossMax) {
    sender.tooFast = true
    return
  }
  if (sample.loss < Hearing.leastLoss) {
    sender.tooFast = true
    sender.smallUntilMs = Math.min(sender.smallUntilMs, nowMs + smallMs)
  } else if (sample.everywhere && !sender.tooFast) {
    // The rate was cut for nothing.
    if (sender.usualLoss === 0) Pace.regrow(pace)
    sender.smallUntilMs = Infinity
  }
  sender.usualLoss = sample.loss
}

/** The swarm takes over, and for a while nothing is cast. */
const giveUp = (sender: CastSender, spare: boolean, nowMs: number): void => {
  sender.tiredUntilMs = nowMs + sender.tiredMs
  sender.tiredMs = Math.min(2 * sender.tiredMs, tiredMsMax)
  // By then it may be another network.
  sender.pace = Pace.make(nowMs)
  sender.smallUntilMs = -Infinity
  for (const cast of sender.casts.values()) {
    if (cast.overMs === Infinity) cast.spare = spare
    end(sender, cast, nowMs)
  }
}

// ---- Fragments -----------------------------------------------------------------------------------------------------

/** The system has taken a datagram, or could not: its interface is gone. */
export const left = (sender: CastSender, { bytes }: Fragment, taken: boolean, nowMs: number): void => {
  sender.held--
  sender.heldBytes -= bytes
  if (taken) Pace.left(sender.pace, cableBytes(bytes), nowMs)
}

/** What {@link next} has to know of the moment. */
export interface Moment {
  /** Something urgent is on its way: nothing else leaves. */
  readonly hushed: boolean
  /** Whether a chunk is in memory. */
  readonly isHere: (root: Root, index: number) => boolean
  readonly nowMs: number
}

/** The next datagram, if one may leave now. */
export const next = (sender: CastSender, { hushed, isHere, nowMs }: Moment): Fragment | undefined => {
  const isDue = (nowMs >= sender.aliveMs + aliveMs && sender.casts.size > 0) || nowMs >= (sender.probes[0] ?? Infinity)
  const cast = nextCast(sender, hushed)
  if (cast === undefined || !isHere(cast.root, cast.index)) {
    if (cast === undefined) sender.sending = false
    return isDue ? leave(sender, signOfLife, undefined, 0, false, nowMs) : undefined
  }
  if (!sender.sending) {
    sender.sending = true
    Pace.resume(sender.pace, nowMs)
  }
  if (isFull(sender)) return undefined
  const { index, offset, parity } = cast
  const chunkBytes = cast.chunkBytes(index)
  if (offset === 0) slice(sender, cast, chunkBytes, nowMs)
  const { paritiesCount, pieceBytes } = cast
  const isParity = offset >= chunkBytes
  const bytes = lengthAt(pieceBytes, chunkBytes, isParity ? 0 : offset)
  if (!Pace.take(sender.pace, cableBytes(bytes), nowMs)) return undefined
  if (isParity) cast.parity++
  else cast.offset += bytes
  const isLast = cast.offset >= chunkBytes && cast.parity >= paritiesCount
  if (isLast) {
    cast.index = lackingFrom(sender, cast, index + 1)
    cast.offset = 0
    cast.parity = 0
    if (cast.index >= cast.endIndex) cast.leftMs = nowMs
  }
  const head = {
    cast: cast.number,
    index,
    offset: isParity ? 0 : offset,
    pieceBytes,
    parity: isParity ? parity + 1 : 0
  }
  return leave(sender, head, cast.root, bytes, isLast, nowMs)
}

/** Decides into which pieces a chunk is cut, and how many parity pieces follow. */
const slice = (sender: CastSender, cast: Cast, chunkBytes: number, nowMs: number): void => {
  cast.pieceBytes = sender.pieceBytes
  cast.paritiesCount = 0
  if (!isSmall(sender, nowMs)) return
  // Of a large chunk a piece is as many frames as leave no more pieces than parity can be of.
  const frames = Math.ceil(chunkBytes / (smallPieceBytes * Parity.piecesMax))
  cast.pieceBytes = frames * smallPieceBytes
  // Before it is known what is lost, something is.
  const loss = Math.max(sender.usualLoss, Hearing.leastLoss)
  cast.paritiesCount = Parity.countFor(Math.ceil(chunkBytes / cast.pieceBytes), loss, unhealedPart)
}

/** The chunk that leaves next and those after it, until they are so many bytes. */
export const ahead = (
  sender: CastSender,
  bytes: number,
  hushed: boolean
): ReadonlyArray<{ readonly root: Root; readonly index: number }> => {
  const cast = nextCast(sender, hushed)
  const chunks: Array<{ readonly root: Root; readonly index: number }> = []
  if (cast === undefined) return chunks
  let roomBytes = bytes
  for (let index = cast.index; index < cast.endIndex && roomBytes > 0;) {
    chunks.push({ root: cast.root, index })
    roomBytes -= cast.chunkBytes(index)
    index = lackingFrom(sender, cast, index + 1)
  }
  return chunks
}

const signOfLife: Head = { cast: 0, index: 0, offset: 0, pieceBytes: 0, parity: 0 }

const leave = (
  sender: CastSender,
  head: Head,
  root: Root | undefined,
  bytes: number,
  isLast: boolean,
  nowMs: number
): Fragment => {
  while ((sender.probes[0] ?? Infinity) <= nowMs) sender.probes.shift()
  sender.aliveMs = nowMs
  sender.held++
  sender.heldBytes += bytes
  const clear = { sequence: ++sender.sequence, sentMs: Math.floor(nowMs) % 2 ** 32 }
  return { clear, head, root, bytes, isLast }
}

/** The one with the least left: who shares a page during a disk image does not wait for it. */
const nextCast = (sender: CastSender, hushed: boolean): Cast | undefined => {
  let best: Cast | undefined
  for (const cast of sender.casts.values()) {
    if (!cast.running || cast.leftMs < Infinity || (hushed && !cast.urgent)) continue
    if (cast.offset === 0) cast.index = lackingFrom(sender, cast, cast.index)
    if (cast.index >= cast.endIndex) cast.leftMs = sender.aliveMs
    else if (best === undefined || leftBytes(cast) < leftBytes(best)) best = cast
  }
  return best
}

/** How long casts will go on at this rate. */
const remainingMs = ({ casts, pace }: CastSender): number => {
  let bytes = 0
  for (const cast of casts.values()) if (cast.running) bytes += leftBytes(cast)
  return bytes / pace.bytesPerMs
}

const leftBytes = ({ bytes, endIndex, firstIndex, index }: Cast): number =>
  bytes * (endIndex - index) / (endIndex - firstIndex)

/** The first chunk from there on that enough lack; the others are left to be asked for. */
const lackingFrom = (sender: CastSender, { endIndex, root }: Cast, index: number): number => {
  const least = Math.max(lackingMin, lackingPart * sender.neighbors.size)
  while (index < endIndex && sender.lacking(root, index) < least) index++
  return index
}

/** When the machine wants {@link next} or a `Tick`; `Infinity` if it waits for others. */
export const wakeAtMs = (sender: CastSender, { hushed, isHere }: Omit<Moment, "nowMs">): number => {
  const probeMs = sender.probes[0] ?? Infinity
  if (sender.casts.size === 0) return probeMs
  const cast = isFull(sender) ? undefined : nextCast(sender, hushed)
  const isReady = cast !== undefined && isHere(cast.root, cast.index)
  const nextMs = isReady
    ? Pace.nextMs(sender.pace, Math.max(cableBytes(cast.pieceBytes), sender.pace.bytesPerMs * togetherMs))
    : Infinity
  return Math.min(nextMs, sender.watchedMs + Pace.periodMs, probeMs)
}
