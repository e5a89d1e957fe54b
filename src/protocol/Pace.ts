/**
 * How fast a multicast goes: as fast as the sender's own way out takes it and nearly everybody hears it.
 *
 * TCP's question, without its answers: nobody acknowledges a datagram. The rate grows by half each period until something
 * gives way, then by a fiftieth each period, and by less near the rate that was too high, as TCP does (CUBIC, RFC 9438). It
 * shrinks by a tenth, or by what is known to be lost, when listeners say that datagrams are lost or wait in a queue. What counts
 * is the congested part of the room and not its worst receiver, because one laptop that is busy must not hold up fifty. Where the
 * way out itself is the narrowest, the system does not take more datagrams: then the rate is the most that left lately.
 *
 * State is changed in place; times are milliseconds, rates bytes a millisecond.
 *
 * Invariants, checked by `test/protocol/Pace.test.ts`:
 *
 * 1. **Short:** what may leave at once is never more than {@link burstMs} of the rate, or one datagram.
 * 2. **Yields:** while more than a quarter of the listeners are congested, no period ends with a higher rate.
 * 3. **Finds:** behind a bottleneck of the way out the rate comes, on average, to between 80 and 105 % of what it carries.
 */

/** The first rate: 20 Mbit/s, which any wired network takes and a slow radio refuses at the sender's own queue. */
const startBytesPerMs = 2_500
/** 1.2 gigabits, which a gigabit network does not carry: above, links are as quick as disks and processors, and lose nothing. */
const highestBytesPerMs = 150_000
/** The network carries it when it has at so many looks: at fewer it may be a queue of the system that fills. */
const highestCountMin = 3
/** Two megabits: below, a room is as quick without. */
export const worthBytesPerMs = 250
/** How often the rate is looked at. */
export const periodMs = 50
/** A look that comes so much later was not on time. */
const lateMs = 2 * periodMs
/** What was not sent in time is not made up for, beyond this much. */
const burstMs = 20
const startFactor = 1.5
const growFactor = 1.02
const shrinkFactor = 0.9
/** Near the rate that was too high it grows by less, for so long. */
const nearFactor = 1.002
const nearPart = 0.9
const nearMs = 10_000
/** The first time it is too fast by as much as it grew before that was heard of. */
const settleFactor = 0.5
/** After the rate was cut, what is on its way is still of the old one. */
export const holdMs = 200
/** More listeners than this must be congested. */
export const congestedPart = 1 / 4
/** The way out is the limit when it carries less than this of the rate; then the rate is a little less, so that the queue stays short. */
const limitedShare = 0.95
const carriedShare = 0.985
/** A rate that fell to this part of the best one is not the network's. */
const collapsedPart = 1 / 2
/** A rate that was used less was not tried: there was nothing to send. */
const usedShare = 0.7
/** Over how long it is measured what leaves; and from the first departure to the last: a queue that has run dry takes two at once. */
const measureMs = 200
const measuredMsMin = 100
/** What left so soon after the first departure left with it: this process had not had its turn before. */
const togetherMs = 1
/** The way out carries the most of so many measures (as in BBR): who had not its turn measures too little, and never too much. */
const measuresKept = 4
/** What the system may hold: enough while this process waits for its turn, short for who waits behind. */
const queueMs = 25
/** While nothing is measured no more than this: a queue that is longer with each rate seems to carry it. */
const soughtQueueBytesMax = 256 * 1_024

export interface Pace {
  bytesPerMs: number
  /** Nothing has given way yet; something has, and it is not carried yet; or it is. */
  phase: "growing" | "settling" | "steady"
  creditBytes: number
  creditAtMs: number
  periodAtMs: number
  /** Bytes that the system took, the last of them together, and since when; and whether it refused more in this time. */
  leftBytes: number
  datagramBytes: number
  leftSinceMs: number
  blocked: boolean
  /** The system's queue was empty and is not measured yet: the first measure is of what fills it. */
  filling: boolean
  /** From one departure to another, so that a part of a datagram's time counts for none: bytes, and when these two were; `Infinity` for none. */
  carriedBytes: number
  carriedSinceMs: number
  carriedAtMs: number
  /** What was carried in the last measures, bytes a millisecond, the latest last. */
  measures: ReadonlyArray<number>
  cutAtMs: number
  /** The rate that was cut. */
  tooFastBytesPerMs: number
  /** The way out was the narrowest, once at least. */
  limited: boolean
  /** The best that was carried without complaint. */
  bestBytesPerMs: number
  /** Looks in a row at which all of the highest rate had left. */
  highestCount: number
  /** Listeners are congested at the least rate that is worth it. */
  exhausted: boolean
}

export const make = (nowMs: number): Pace => ({
  bytesPerMs: startBytesPerMs,
  phase: "growing",
  creditBytes: 0,
  creditAtMs: nowMs,
  periodAtMs: nowMs,
  leftBytes: 0,
  datagramBytes: 0,
  leftSinceMs: nowMs,
  blocked: false,
  filling: true,
  carriedBytes: 0,
  carriedSinceMs: Infinity,
  carriedAtMs: Infinity,
  measures: [],
  cutAtMs: -Infinity,
  tooFastBytesPerMs: Infinity,
  limited: false,
  bestBytesPerMs: 0,
  highestCount: 0,
  exhausted: false
})

/** No cut goes below this: what is to say that it is too fast, too, has to be heard at this rate. */
export const leastBytesPerMs = ({ bestBytesPerMs }: Pace): number =>
  Math.max(collapsedPart * bestBytesPerMs, worthBytesPerMs)

/** Sending begins, or goes on after a rest: nothing that was not sent meanwhile is made up for or counted. */
export const resume = (pace: Pace, nowMs: number): void => {
  pace.creditBytes = 0
  pace.creditAtMs = nowMs
  pace.periodAtMs = nowMs
  pace.filling = true
  measureAnew(pace, nowMs)
}

/** Whether a datagram of so many bytes may leave now; if so, it is counted. */
export const take = (pace: Pace, bytes: number, nowMs: number): boolean => {
  const mostBytes = Math.max(bytes, pace.bytesPerMs * burstMs)
  pace.creditBytes = Math.min(mostBytes, pace.creditBytes + (nowMs - pace.creditAtMs) * pace.bytesPerMs)
  pace.creditAtMs = nowMs
  if (pace.creditBytes < bytes) return false
  pace.creditBytes -= bytes
  return true
}

/** When a datagram of so many bytes may leave. */
export const nextMs = (pace: Pace, bytes: number): number =>
  pace.creditAtMs + Math.max(0, bytes - pace.creditBytes) / pace.bytesPerMs

/** The system has taken so many bytes. */
export const left = (pace: Pace, bytes: number, nowMs: number): void => {
  pace.leftBytes += bytes
  pace.datagramBytes = bytes
  pace.carriedAtMs = nowMs
  if (pace.carriedBytes > 0 || nowMs > pace.carriedSinceMs + togetherMs) pace.carriedBytes += bytes
  else pace.carriedSinceMs = Math.min(pace.carriedSinceMs, nowMs)
}

/** The system holds as much as it may: nothing is given to it although the rate allows it. */
export const block = (pace: Pace): void => {
  pace.blocked = true
}

/**
 * Looks at the rate, once a period: `congested` is the part of the listeners that lose datagrams or get them late, or nothing
 * while what they say is of a rate before the last cut; and `lost` is what they lose, where that is known.
 */
export const judge = (pace: Pace, congested: number | undefined, nowMs: number, lost = 0): void => {
  if (nowMs < pace.periodAtMs + periodMs) return
  // This process had not its turn: what did not leave meanwhile says nothing of the way out.
  const isLate = nowMs > pace.periodAtMs + lateMs
  pace.periodAtMs = nowMs
  if (isLate) return measureAnew(pace, nowMs)
  const measuredMs = nowMs - pace.leftSinceMs
  const carriedMs = pace.carriedBytes === 0 ? 0 : pace.carriedAtMs - pace.carriedSinceMs
  const isMeasured = measuredMs >= measureMs && carriedMs >= measuredMsMin
  // No more than was to leave: the rest is what a queue took that had run dry.
  const carried = carriedMs === 0 ? 0 : Math.min(pace.bytesPerMs, pace.carriedBytes / carriedMs)
  const isNarrow = pace.blocked && carried < limitedShare * pace.bytesPerMs
  const isFilling = isNarrow && pace.filling
  // Whatever listeners say, it is of the queue here.
  if (isNarrow && isMeasured && !isFilling) return narrow(pace, carried, nowMs)
  if (congested === undefined) return
  if (congested > congestedPart) return cut(pace, lost, nowMs)
  if (pace.phase === "settling" && nowMs >= pace.cutAtMs + holdMs) pace.phase = "steady"
  const isGrowing = pace.phase === "growing"
  const isUsed = pace.leftBytes + 2 * pace.datagramBytes >= usedShare * pace.bytesPerMs * measuredMs
  pace.highestCount = !isNarrow && isUsed && pace.bytesPerMs >= highestBytesPerMs ? pace.highestCount + 1 : 0
  if (isNarrow) {
    if (!isMeasured) return
    pace.filling = false
    pace.phase = "steady"
  } else if (isUsed) {
    setRate(pace, pace.bytesPerMs * (isGrowing ? startFactor : isNear(pace, nowMs) ? nearFactor : growFactor))
  }
  if (!isGrowing && !isMeasured) return
  if (isMeasured && !isGrowing && !isFilling) remember(pace, carried)
  measureOn(pace, nowMs)
}

/** The way out carries so much and no more. */
const narrow = (pace: Pace, carried: number, nowMs: number): void => {
  const before = pace.bytesPerMs
  setRate(pace, Math.min(before, Math.max(carried, ...pace.measures) * carriedShare))
  if (pace.bytesPerMs < shrinkFactor * before) pace.cutAtMs = nowMs
  pace.phase = "steady"
  pace.limited = true
  remember(pace, carried)
  measureOn(pace, nowMs)
}

const cut = (pace: Pace, lost: number, nowMs: number): void => {
  if (pace.phase === "growing") pace.phase = "settling"
  if (nowMs < pace.cutAtMs + holdMs) return
  pace.cutAtMs = nowMs
  const least = leastBytesPerMs(pace)
  pace.exhausted = pace.bytesPerMs <= least
  pace.tooFastBytesPerMs = pace.bytesPerMs
  const factor = pace.phase === "settling" ? settleFactor : Math.max(settleFactor, Math.min(shrinkFactor, 1 - lost))
  setRate(pace, Math.min(pace.bytesPerMs, Math.max(least, pace.bytesPerMs * factor)))
  measureAnew(pace, nowMs)
}

const remember = (pace: Pace, carried: number): void => {
  pace.measures = [...pace.measures, carried].slice(-(measuresKept - 1))
  pace.bestBytesPerMs = Math.max(pace.bestBytesPerMs, carried)
}

/** How much the system may hold, in bytes. */
export const queueBytes = ({ bytesPerMs, measures }: Pace): number =>
  Math.min(Math.round(bytesPerMs * queueMs), measures.length === 0 ? soughtQueueBytesMax : Infinity)

/** The network carries the highest rate. */
export const isTooFast = ({ highestCount }: Pace): boolean => highestCount >= highestCountMin

const isNear = ({ bytesPerMs, cutAtMs, tooFastBytesPerMs }: Pace, nowMs: number): boolean =>
  nowMs < cutAtMs + nearMs && bytesPerMs >= nearPart * tooFastBytesPerMs

/** The rate was cut for nothing: it is sought anew from where it is. */
export const regrow = (pace: Pace): void => {
  pace.phase = "growing"
  pace.tooFastBytesPerMs = Infinity
}

const measureAnew = (pace: Pace, nowMs: number): void => {
  pace.leftBytes = 0
  pace.leftSinceMs = nowMs
  pace.blocked = false
  pace.carriedBytes = 0
  pace.carriedSinceMs = Infinity
  pace.carriedAtMs = Infinity
}

/** The next measure begins where this one ended. */
const measureOn = (pace: Pace, nowMs: number): void => {
  const sinceMs = pace.carriedAtMs
  measureAnew(pace, nowMs)
  pace.carriedSinceMs = sinceMs
}

const setRate = (pace: Pace, bytesPerMs: number): void => {
  pace.bytesPerMs = Math.min(bytesPerMs, highestBytesPerMs)
}
