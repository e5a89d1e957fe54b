/**
 * Whom a student joins: the decision machine behind "start the program and have the material".
 *
 * It is told of every session in reach (a certificate whose signature has been checked, from an announcement or from a
 * link to a typed address), of time, and of what a person chooses; it says whom to join, what to ask and what to warn
 * of. A session is its root key: of several certificates of one root the newest counts.
 *
 * - **Words** (`--join`) select and authenticate: nothing else is joined then.
 * - **Trusted** roots (a link, a provisioned key) and **pinned** ones are joined by themselves. What a person has asked
 *   for in this run, a trusted root, goes before a pin of an earlier day.
 * - A **new** root is asked about, or, with `first-use`, joined, but only while it is the only session in reach.
 * - A known session in which the last run was cut short is **resumed**: the choice has been made, and a kill does not undo
 *   it. Hearing of it is not enough for that; a peer of it must have proven its key.
 *
 * Every host announces once a second, so after `Limits.settleFromStartMs` of listening all of them have been heard.
 * Nothing that the next announcement could change is decided before: so the order of arrival decides nothing. Where only
 * one root is known there is nothing to wait for.
 *
 * Invariants, checked by `test/protocol/Trust.test.ts`:
 *
 * 1. **Authorised:** a session is joined only if its root is trusted, pinned, meant by the words, chosen by a person who
 *    was shown it, or, with `first-use`, the only one in reach.
 * 2. **Known means joined:** with one known root in reach and no words given, it is joined, whatever else is in reach.
 * 3. **Order decides nothing:** with several known roots in reach, a person chooses, unless one is resumed.
 * 4. **Alarm:** a new root under the title of a pinned one is never joined, not even by choice: only its words or its
 *    key, given at the start, can vouch for it.
 * 5. **Once:** after a `Join` there is no other output.
 */
import { type Certificate, supersedes, type VerifiedCertificate } from "./Certificate.ts"
import type { PublicKey, SessionId } from "./Ids.ts"
import * as Limits from "./Limits.ts"

/** A root key accepted before, under the title it had then. */
export interface Pin {
  readonly root: PublicKey
  readonly title: string
}

export interface Options {
  readonly pins: ReadonlyArray<Pin>
  /** Roots that this run was started with. */
  readonly trusted: ReadonlyArray<PublicKey>
  /** The fingerprint of the one session to join, as a person typed it. */
  readonly words: string | undefined
  readonly newSessions: "ask" | "first-use"
  /** The fingerprint of a root. */
  readonly fingerprintWords: (root: PublicKey) => string
  /** When listening began. */
  readonly startedMs: number
}

export type Input =
  /** A session is in reach. `resumes`: the last run was in it when it was cut short, and a peer has proven to be there. */
  | {
    readonly _tag: "Seen"
    readonly certificate: VerifiedCertificate
    readonly resumes?: boolean
    readonly nowMs: number
  }
  /** A person's answer to an `Ask` or a `List`. */
  | { readonly _tag: "Chosen"; readonly session: SessionId; readonly nowMs: number }
  /** Time passes; needed at {@link wakeMs}. */
  | { readonly _tag: "Tick"; readonly nowMs: number }

export type Reason = "words" | "trusted" | "pinned" | "chosen" | "first-use"

export type Output =
  /** Join it; with `pinIt`, remember its root and title. */
  | {
    readonly _tag: "Join"
    readonly certificate: VerifiedCertificate
    readonly pinIt: boolean
    readonly reason: Reason
  }
  /** Show a person the words of the only new session in reach and ask. */
  | { readonly _tag: "Ask"; readonly certificate: VerifiedCertificate }
  /** Several could be meant: show all and wait for a choice. */
  | { readonly _tag: "List"; readonly certificates: ReadonlyArray<VerifiedCertificate> }
  /** Somebody else uses the title of a pinned root. Said once for each. */
  | { readonly _tag: "Alarm"; readonly title: string; readonly pinnedRoot: PublicKey; readonly seenRoot: PublicKey }
  /** The choice does not name exactly one session that was shown. */
  | { readonly _tag: "Refused"; readonly session: SessionId }

type Standing = "words" | "trusted" | "pinned" | "new" | "alarm"

interface Candidate {
  readonly certificate: VerifiedCertificate
  readonly standing: Standing
  readonly resumes: boolean
  readonly seenMs: number
}

export interface State {
  readonly options: Options
  readonly candidates: ReadonlyMap<PublicKey, Candidate>
  /** When the first of the sessions now in reach was seen, while there are any. */
  readonly firstSeenMs: number | undefined
  /** What a person was shown last, and may choose from. */
  readonly shown: ReadonlyArray<VerifiedCertificate>
  readonly alarmed: ReadonlySet<PublicKey>
  readonly joined: boolean
}

type Step = readonly [State, ReadonlyArray<Output>]

export const make = (options: Options): State => ({
  options,
  candidates: new Map(),
  firstSeenMs: undefined,
  shown: [],
  alarmed: new Set(),
  joined: false
})

/** Titles that a person would take for the same: by case, spacing, width or invisible characters. */
const titleKey = (title: string): string =>
  title.normalize("NFKC").replace(/\p{Cf}/gu, "").replace(/\s+/gu, " ").trim().toLowerCase()

/** Words as they are compared: people write them in capitals, with hyphens and on several lines. */
const wordsKey = (words: string): string => words.normalize("NFKC").toLowerCase().split(/[^\p{L}]+/u).join(" ").trim()

/** Whether the words, as a person typed them, are the fingerprint of the root. */
export const isMeant = (options: Pick<Options, "fingerprintWords">, words: string, root: PublicKey): boolean =>
  wordsKey(words) === wordsKey(options.fingerprintWords(root))

const pinOfTitle = (options: Options, title: string): Pin | undefined =>
  options.pins.find((pin) => titleKey(pin.title) === titleKey(title))

/** Whether the title is that of a pinned root, so that a session of any unknown root under it is an alarm. */
export const isAlarming = (options: Options, title: string): boolean => pinOfTitle(options, title) !== undefined

const standingOf = (options: Options, certificate: Certificate): Standing => {
  if (options.words !== undefined && isMeant(options, options.words, certificate.root)) return "words"
  if (options.trusted.includes(certificate.root)) return "trusted"
  if (options.pins.some((pin) => pin.root === certificate.root)) return "pinned"
  return isAlarming(options, certificate.title) ? "alarm" : "new"
}

/** Whether a session of this root must stay in sight, however many others are announced. */
export const isKnown = (options: Options, root: PublicKey): boolean =>
  options.words !== undefined
    ? isMeant(options, options.words, root)
    : options.trusted.includes(root) || options.pins.some((pin) => pin.root === root)

const isInReach = ({ seenMs }: Candidate, nowMs: number): boolean => nowMs - seenMs <= Limits.inReachMs

const inReach = (state: State, nowMs: number): ReadonlyArray<Candidate> =>
  Array.from(state.candidates.values()).filter((candidate) => isInReach(candidate, nowMs))

/**
 * When everybody in reach has been heard: after a full turn of every host from the start, and a moment after the first
 * sighting, for a network that has only just come up delivers what it has in one burst.
 */
const settledMs = ({ firstSeenMs, options }: State): number =>
  firstSeenMs === undefined
    ? Infinity
    : Math.max(options.startedMs + Limits.settleFromStartMs, firstSeenMs + Limits.settleFromSightingMs)

/** When the next `Tick` is needed; undefined while only a sighting or a person can change anything. */
export const wakeMs = (state: State, nowMs: number): number | undefined => {
  const present = inReach(state, nowMs)
  if (state.joined || state.options.words !== undefined || present.length === 0) return undefined
  if (settledMs(state) > nowMs) return settledMs(state)
  // What is not heard any more goes out of reach, and may leave a single session.
  return Math.min(...present.map(({ seenMs }) => seenMs)) + Limits.inReachMs + 1
}

const join = (state: State, certificate: VerifiedCertificate, reason: Reason): Step => {
  const isPinned = state.options.pins.some((pin) => pin.root === certificate.certificate.root)
  return [{ ...state, joined: true }, [{ _tag: "Join", certificate, pinIt: !isPinned, reason }]]
}

const looksAlike = (a: VerifiedCertificate, b: VerifiedCertificate): boolean =>
  a.certificate.root === b.certificate.root && a.certificate.session === b.certificate.session &&
  a.certificate.title === b.certificate.title

/** Shows a person what there is, unless all of it has been shown already: what has left the list may still be chosen. */
const show = (state: State, candidates: ReadonlyArray<Candidate>): Step => {
  const shown = candidates.map(({ certificate }) => certificate)
  if (shown.every((one) => state.shown.some((other) => looksAlike(one, other)))) return [state, []]
  const [first, ...others] = shown
  return [
    { ...state, shown },
    [
      first !== undefined && others.length === 0
        ? { _tag: "Ask", certificate: first }
        : { _tag: "List", certificates: shown }
    ]
  ]
}

/**
 * Whether it has just been heard. Of several sessions that all fall silent, as when the network goes, one is the last to
 * go out of reach: that must not make it the only one.
 */
const isSpeaking = ({ seenMs }: Candidate, nowMs: number): boolean => nowMs - seenMs <= Limits.silenceMsMax

/** How many roots could yet be heard and take the place of one of this standing, itself included. */
const rivalsCount = ({ pins, trusted }: Options, standing: "trusted" | "pinned"): number =>
  new Set(standing === "trusted" ? trusted : [...trusted, ...pins.map(({ root }) => root)]).size

const decide = (state: State, nowMs: number): Step => {
  const { options } = state
  const present = inReach(state, nowMs)
  const standing = (wanted: Standing) => present.filter((candidate) => candidate.standing === wanted)
  if (options.words !== undefined) {
    const [meant] = standing("words")
    return meant === undefined ? [state, []] : join(state, meant.certificate, "words")
  }
  const best = options.trusted.length > 0 ? "trusted" : "pinned"
  const resumed = standing(best).find(({ resumes }) => resumes)
  if (resumed !== undefined) return join(state, resumed.certificate, best)
  const isSettled = nowMs >= settledMs(state)
  for (const reason of ["trusted", "pinned"] as const) {
    const [first, ...others] = standing(reason)
    if (first === undefined) continue
    if (others.length > 0) return isSettled ? show(state, [first, ...others]) : [state, []]
    return (isSettled || rivalsCount(options, reason) === 1) && isSpeaking(first, nowMs)
      ? join(state, first.certificate, reason)
      : [state, []]
  }
  if (!isSettled) return [state, []]
  const strangers = standing("new")
  const [only] = strangers
  return only !== undefined && present.length === 1 && options.newSessions === "first-use" && isSpeaking(only, nowMs)
    ? join(state, only.certificate, "first-use")
    : show(state, strangers)
}

/** The candidates with one more, if there is a place for it: known roots go before strangers, and present before gone. */
const place = (state: State, root: PublicKey, candidate: Candidate): State["candidates"] => {
  const candidates = new Map(state.candidates)
  const isStranger = ({ standing }: Candidate) => standing === "new" || standing === "alarm"
  if (!candidates.has(root) && candidates.size >= Limits.sessionsListedMax) {
    const [oldest] = Array.from(candidates)
      .filter(([, other]) => isStranger(other) && (!isStranger(candidate) || !isInReach(other, candidate.seenMs)))
      .toSorted(([, a], [, b]) => a.seenMs - b.seenMs)
    if (oldest === undefined) return candidates
    candidates.delete(oldest[0])
  }
  return candidates.set(root, candidate)
}

const see = (state: State, { certificate, nowMs, resumes = false }: Input & { readonly _tag: "Seen" }): Step => {
  const { options } = state
  const root = certificate.certificate.root
  const before = state.candidates.get(root)
  const isOlder = before !== undefined && isInReach(before, nowMs) &&
    supersedes(before.certificate.certificate, certificate.certificate)
  const newest = isOlder ? before.certificate : certificate
  const standing = standingOf(options, newest.certificate)
  const firstSeenMs = inReach(state, nowMs).length === 0 ? nowMs : state.firstSeenMs
  const next = {
    ...state,
    firstSeenMs,
    candidates: place(state, root, {
      certificate: newest,
      standing,
      resumes: resumes && newest === certificate,
      seenMs: nowMs
    })
  }
  const pin = standing === "alarm" ? pinOfTitle(options, newest.certificate.title) : undefined
  if (pin === undefined || state.alarmed.has(root) || state.alarmed.size >= Limits.sessionsListedMax) return [next, []]
  return [
    { ...next, alarmed: new Set(state.alarmed).add(root) },
    [{ _tag: "Alarm", title: newest.certificate.title, pinnedRoot: pin.root, seenRoot: root }]
  ]
}

const choose = (state: State, session: SessionId): Step => {
  const named = state.shown.filter(({ certificate }) => certificate.session === session)
  const [first] = named
  const chosen = first === undefined ? undefined : state.candidates.get(first.certificate.root)
  return named.length === 1 && chosen?.certificate.certificate.session === session && chosen.standing !== "alarm"
    ? join(state, chosen.certificate, "chosen")
    : [state, [{ _tag: "Refused", session }]]
}

/** Advances the machine by one input. Deterministic in `(state, input)`. */
export const step = (state: State, input: Input): Step => {
  if (state.joined) return [state, []]
  const [next, outputs] = input._tag === "Seen"
    ? see(state, input)
    : input._tag === "Chosen"
    ? choose(state, input.session)
    : [state, []] as const
  if (next.joined) return [next, outputs]
  const [decided, more] = decide(next, input.nowMs)
  return [decided, [...outputs, ...more]]
}
