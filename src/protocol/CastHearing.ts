/**
 * How a cast is heard, by what its listeners report: whether it is too fast, for how many, and what is lost though it is not.
 *
 * Nobody acknowledges a datagram. Each listener says from time to time up to which one it heard how many, and how long they took;
 * who hears nothing more says so, too. State is changed in place; times are milliseconds.
 *
 * Invariants, checked by `test/protocol/CastHearing.test.ts`:
 *
 * 1. **Possible:** a report that no honest listener makes changes nothing.
 * 2. **Since:** what is told of a moment is of datagrams that left after it.
 * 3. **Uneven:** no room is uneven in which most have lost something, or at most a quarter is flooded.
 * 4. **Narrow:** no room is narrow in which more than a quarter has always lost something and hears still, or is not flooded.
 */
import * as Pace from "./Pace.ts"
import type { CastMessage } from "./Wire.ts"

type Report = Extract<CastMessage, { readonly _tag: "Report" }>

/** A report that is older says nothing. In a large room each listener reports less often (`everyMs`), and two such intervals count. */
export const reportAgeMs = (everyMs: number): number => Math.max(800, 2 * everyMs)
/** Of a listener's datagrams, lost: congested, and flooded. */
const congestedLoss = 0.03
const floodedLoss = 0.3
/** Who says that nothing new came has lost what left meanwhile, if that was so much: some waits in queues of the host. */
const silentBytes = 256 * 1_024
/** And of its way: how much longer than usual a datagram takes, and behind how many others, which may be in the host's own queue. */
const congestedDelayMs = 150
const congestedDelayDatagrams = 6
/** Many at once that are flooded for so long are not flooded by chance. */
const unevenMs = 100
/** So many datagrams of which none is lost show that none is lost at any rate; and so many of the room lose much then, together. */
const calmDatagrams = 8
export const narrowPart = 3 / 4
/** So many datagrams of each listener tell what is lost; and of them, so many lost are none. */
const sampleDatagrams = 300
export const leastLoss = 0.002

export interface Listener {
  hears: boolean
  /** What it reported last, what had left by then, after which datagram that begins, and when it came. */
  sequence: number
  leftSequence: number
  sinceSequence: number
  received: number
  reportedMs: number
  /** Of its last report, which part was lost; whether that was too much, or late; and whether it ever was too much. */
  loss: number
  losing: boolean
  /** It has heard nothing of what left last. */
  silent: boolean
  congested: boolean
  hurt: boolean
  floodedSinceMs: number
  /** It has reported on so many datagrams, and lost hardly any. */
  calm: boolean
  /** Datagrams since the sample began, and those of them that were lost. */
  sampled: number
  sampledLost: number
}

/** Whoever begins to listen begins to count. */
export const notHeard: Readonly<Listener> = {
  hears: false,
  sequence: 0,
  leftSequence: 0,
  sinceSequence: 0,
  received: 0,
  reportedMs: -Infinity,
  loss: 0,
  losing: false,
  silent: false,
  congested: false,
  hurt: false,
  floodedSinceMs: Infinity,
  calm: false,
  sampled: 0,
  sampledLost: 0
}

/** What the sender knows while a report comes. */
export interface Sent {
  /** The last datagram that was made, and the last that the system took. */
  readonly sequence: number
  readonly leftSequence: number
  readonly pieceBytes: number
  readonly bytesPerMs: number
  /** Which part is lost at any rate. */
  readonly usualLoss: number
  /** The sample is of what left after this one. */
  readonly sampleSequence: number
}

export const report = (
  listener: Listener,
  { delayMs, received, sequence }: Report,
  { bytesPerMs, leftSequence, pieceBytes, sampleSequence, sequence: newest, usualLoss }: Sent,
  nowMs: number
): void => {
  const isSilent = sequence === listener.sequence && (leftSequence - sequence) * pieceBytes >= silentBytes
  // Who was silent before is asked of what left since then.
  const knownSequence = isSilent && listener.silent ? listener.leftSequence : listener.sequence
  const sent = (isSilent ? leftSequence : sequence) - knownSequence
  const got = received - listener.received
  // What is impossible is not said by an honest listener, and does not count. A little may have come late.
  if (!listener.hears || sequence > newest || sent <= 0 || got < 0 || received > sequence) return
  const isFirst = listener.reportedMs === -Infinity
  listener.sinceSequence = knownSequence
  listener.sequence = sequence
  listener.leftSequence = leftSequence
  listener.received = received
  listener.reportedMs = nowMs
  listener.silent = isSilent
  // What had left before it listened, it has not lost.
  if (isFirst) return
  const lost = Math.max(0, sent - got)
  listener.loss = lost / sent
  listener.losing = listener.loss > congestedLoss + 2 * usualLoss && lost > 1
  listener.hurt ||= listener.losing
  listener.calm ||= sent >= calmDatagrams && listener.loss <= congestedLoss
  const lateMs = Math.max(congestedDelayMs, congestedDelayDatagrams * pieceBytes / bytesPerMs)
  listener.congested = listener.losing || delayMs > lateMs
  if (listener.loss < floodedLoss || sent < 4) listener.floodedSinceMs = Infinity
  else if (listener.floodedSinceMs === Infinity) listener.floodedSinceMs = nowMs
  if (isSilent || listener.sinceSequence < sampleSequence) return
  listener.sampled += sent
  listener.sampledLost += lost
}

const reporting = (listeners: Iterable<Listener>, everyMs: number, nowMs: number): ReadonlyArray<Listener> =>
  Array.from(listeners).filter(({ hears, reportedMs }) => hears && nowMs <= reportedMs + reportAgeMs(everyMs))

/** What is said of what left after a datagram: how many report at all, and how many on nothing but that; parts are of these. */
export interface Answers {
  readonly reporting: number
  readonly answering: number
  readonly congestedPart: number
  readonly losingPart: number
  /** Which part of the datagrams so many have lost that the rate is too high. */
  readonly lost: number
}

export const answers = (
  listeners: Iterable<Listener>,
  everyMs: number,
  afterSequence: number,
  nowMs: number
): Answers => {
  const all = reporting(listeners, everyMs, nowMs)
  const answering = all.filter(({ sinceSequence }) => sinceSequence >= afterSequence)
  const part = (is: (listener: Listener) => boolean) =>
    answering.length === 0 ? 0 : answering.filter(is).length / answering.length
  const losses = answering.map(({ loss }) => loss).toSorted((a, b) => b - a)
  return {
    reporting: all.length,
    answering: answering.length,
    congestedPart: part(({ congested }) => congested),
    losingPart: part(({ losing }) => losing),
    lost: losses[Math.floor(Pace.congestedPart * losses.length)] ?? 0
  }
}

/** Many are flooded by what most have taken easily all the time. */
export const isUneven = (listeners: Iterable<Listener>, everyMs: number, nowMs: number): boolean => {
  const all = reporting(listeners, everyMs, nowMs)
  const flooded = all.filter(({ floodedSinceMs }) => nowMs >= floodedSinceMs + unevenMs)
  const unhurt = all.filter(({ hurt }) => !hurt)
  return flooded.length > Pace.congestedPart * all.length && unhurt.length >= all.length / 2
}

/** Nearly all lose much who lost nothing at a lower rate, or hear nothing more: it is lost in one place, or in front of each of them. */
export const isNarrow = (listeners: Iterable<Listener>, everyMs: number, nowMs: number): boolean => {
  const all = reporting(listeners, everyMs, nowMs)
  const narrowed = all.filter(({ calm, loss, silent }) => (calm || silent) && loss >= floodedLoss)
  return narrowed.length > 0 && narrowed.length >= narrowPart * all.length
}

/** Begins a sample of what is lost. */
export const beginSample = (listeners: Iterable<Listener>): void => {
  for (const listener of listeners) listener.sampled = listener.sampledLost = 0
}

/** What a sample has shown: which part is lost, and whether the better half of the room loses something, too. */
export interface Sample {
  readonly loss: number
  readonly everywhere: boolean
}

/** The sample, once so many listeners have told enough. Who is flooded does not count: no parity helps there. */
export const takeSample = (listeners: Iterable<Listener>, listenersMin: number): Sample | undefined => {
  const each = Array.from(listeners)
    .filter(({ sampled, sampledLost }) => sampled > 0 && sampledLost < floodedLoss * sampled)
    .toSorted((a, b) => a.sampledLost / a.sampled - b.sampledLost / b.sampled)
  const sampled = each.reduce((sum, { sampled }) => sum + sampled, 0)
  if (each.length < listenersMin || sampled < sampleDatagrams * each.length) return undefined
  return { loss: lossOf(each), everywhere: lossOf(each.slice(0, Math.ceil(each.length / 2))) >= leastLoss }
}

const lossOf = (listeners: ReadonlyArray<Listener>): number =>
  listeners.reduce((sum, { sampledLost }) => sum + sampledLost, 0) /
  listeners.reduce((sum, { sampled }) => sum + sampled, 0)
