/**
 * Whether students ask each other for a share of this device, or this device alone.
 *
 * Where each has a way of its own, all of them together send many times what one does. Where they share one medium, as behind an
 * access point, what comes from another student takes it twice, and what comes over the host's wire once. Nobody can see which
 * it is, but the origin hears of every chunk that anybody gains. So where no cast brings the share and the way out may have room
 * for more than one copy, the origin first lets itself be asked alone, then lets all ask each other, and stays with what
 * brought more; until then each chunk goes out once, as ever.
 */
import { isManifest, send, type Share, type Swarm, type View } from "./SwarmState.ts"

/** A rate is of so long at least and of so many chunks, because chunks come in bursts; of a short share of so large a part. */
const windowMs = { alone: 300, among: 500, settled: 500 }
const windowChunks = 16
const windowPart = 1 / 25
/** And begins so long after the first chunk that came this way: then what was asked for before has come. */
const turnMs = { alone: 100, among: 300, settled: 300 }
/** Nothing is tried for longer. */
const triedMsMax = 3_000
/** What all lack together has to be so much: else it is over too soon; and more where nothing speaks for this device alone. */
const triedBytesMin = 32 * 1_024 ** 2
const triedBytesMinUntold = 256 * 1_024 ** 2
/** Two students hardly have anybody else to ask. */
const studentsMin = 3
/** This device alone has to bring so many times as much: it bears all of it. */
const moreFactor = 1.1
/** What was found holds for the next shares for so long. */
const foundMs = 600_000
/** After so many windows in a row in which it brought less than all did, this device is not asked alone any more. */
const worseWindows = 10

/** The origin's book on how a share spreads. */
export interface Course {
  /** Nothing is handed out yet; this device alone is asked; everybody is; one of both for good. */
  phase: "waiting" | "alone" | "among" | "settled"
  /** A cast has shown that the way out has room for more than one copy. */
  spare: boolean
  /** This device is asked alone. */
  only: boolean
  /** Since when; when the present window began, or will, `Infinity` before the first chunk; and bytes gained since then. */
  sinceMs: number
  fromMs: number
  gainedBytes: number
  /** What the room gained by asking this device alone, and by asking everybody; bytes a millisecond. */
  aloneRate: number
  amongRate: number
  worse: number
}

/** What the room gained by asking everybody, and whether this device alone brought more. */
export interface Found {
  readonly only: boolean
  readonly amongRate: number
  readonly atMs: number
}

export const begin = (): Course => ({
  phase: "waiting",
  spare: false,
  only: false,
  sinceMs: 0,
  fromMs: Infinity,
  gainedBytes: 0,
  aloneRate: 0,
  amongRate: 0,
  worse: 0
})

/** A cast of the share is over: `spare` where the way out has room for more than one copy; else it is the narrowest. */
export const castOver = (swarm: Swarm, { course }: Share, spare: boolean): void => {
  if (course === undefined) return
  course.spare = spare
  if (!spare) swarm.found = { only: false, amongRate: 0, atMs: swarm.nowMs }
  else if (swarm.found?.amongRate === 0) swarm.found = undefined
}

/** A student has a chunk that it did not have; `given` where it was sent to it from here. */
export const gained = ({ nowMs }: Swarm, share: Share, index: number, given: boolean): void => {
  const { chunkSizeBytes, course } = share
  if (course === undefined || course.phase === "waiting" || isManifest(share, index)) return
  // Where this device alone is asked nothing else counts: whoever says that it has more may lie.
  if (course.only && !given) return
  if (course.fromMs === Infinity) course.fromMs = nowMs + turnMs[course.phase]
  else if (nowMs >= course.fromMs) course.gainedBytes += chunkSizeBytes
}

/** Looks at how each share spreads. */
export const watch = (swarm: Swarm): void => {
  for (const share of swarm.shares.values()) {
    if (share.course === undefined) continue
    if (share.course.phase === "waiting") choose(swarm, share, share.course)
    else look(swarm, share, share.course)
  }
}

/** What to begin with, once it is handed out to some. */
const choose = (swarm: Swarm, share: Share, course: Course): void => {
  if (share.cast !== undefined || countOf(share, ({ opened }) => opened) < studentsMin) return
  const { found, nowMs } = swarm
  if (found !== undefined && nowMs < found.atMs + foundMs) {
    course.amongRate = found.amongRate
    return enter(swarm, share, course, "settled", found.only)
  }
  const isTried = lackingBytes(share) >= (course.spare ? triedBytesMin : triedBytesMinUntold)
  enter(swarm, share, course, isTried ? "alone" : "settled", isTried)
}

const countOf = ({ views }: Share, is: (view: View) => boolean): number => {
  let count = 0
  for (const view of views.values()) if (is(view)) count++
  return count
}

const lackingBytes = ({ chunkSizeBytes, chunksCount, views }: Share): number => {
  let count = 0
  for (const view of views.values()) count += chunksCount - view.count
  return count * chunkSizeBytes
}

const windowBytes = ({ chunkSizeBytes, chunksCount, manifestChunksCount }: Share): number =>
  chunkSizeBytes * Math.min(windowChunks, windowPart * (chunksCount - manifestChunksCount))

const look = (swarm: Swarm, share: Share, course: Course): void => {
  const { nowMs } = swarm
  const { fromMs, gainedBytes, phase, sinceMs } = course
  if (phase === "waiting" || (phase === "settled" && !course.only)) return
  const isTrial = phase !== "settled"
  const isMeasured = nowMs >= fromMs + windowMs[phase] && (!isTrial || gainedBytes >= windowBytes(share))
  if (!isMeasured && !(isTrial && nowMs >= sinceMs + triedMsMax)) return
  const rate = nowMs > fromMs ? gainedBytes / (nowMs - fromMs) : 0
  switch (phase) {
    case "alone":
      course.aloneRate = rate
      return enter(swarm, share, course, "among", false)
    case "among": {
      course.amongRate = rate
      const only = course.aloneRate > moreFactor * rate
      swarm.found = { only, amongRate: rate, atMs: nowMs }
      return enter(swarm, share, course, "settled", only)
    }
    case "settled":
      course.fromMs = nowMs
      course.gainedBytes = 0
      // Who is still fetching when most have everything is slow, whomever it asks.
      if (2 * countOf(share, ({ count }) => count < share.chunksCount) < share.views.size) return
      course.worse = rate < course.amongRate ? course.worse + 1 : 0
      if (course.worse < worseWindows) return
      swarm.found = undefined
      enter(swarm, share, course, "settled", false)
  }
}

const enter = (swarm: Swarm, share: Share, course: Course, phase: Course["phase"], only: boolean): void => {
  const isTurn = course.only !== only
  Object.assign(course, { phase, only, sinceMs: swarm.nowMs, fromMs: Infinity, gainedBytes: 0, worse: 0 })
  if (isTurn) { for (const view of share.views.values()) tell(swarm, view, only) }
}

/** A neighbor has opened the share: what was said before it has not heard. */
export const opened = (swarm: Swarm, view: View): void => {
  if (view.share.course?.only === true) tell(swarm, view, true)
}

const tell = (swarm: Swarm, { link, opened, share }: View, only: boolean): void => {
  if (opened) send(swarm, link, { _tag: "Direct", share: share.root, only, ignorable: true })
}
