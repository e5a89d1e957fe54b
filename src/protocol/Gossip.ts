/**
 * The session's log as an IO-less state machine: one numbered log an author, spread over whatever mesh there is.
 *
 * An entry goes on as soon as it is seen first: to every link at once from its author and from the host, whom most devices
 * are linked to; from anybody else to a few, and to the rest a moment later if they have not sent it by then. What the host has
 * sent them itself goes to them only if they have not said in time that they have it. Links compare how far their logs go
 * (`Heads`) when they come up and now and then after; each side then sends what the other lacks.
 * Signatures are checked outside: {@link sight} says beforehand whether an entry is worth it, so a duplicate costs a lookup.
 * State is changed in place; time comes in with every input.
 *
 * Invariants, named by `test/protocol/Gossip.test.ts`:
 *
 * 1. **Exactly once, in order:** of each author the entries 1, 2, 3, … are delivered once each, whatever arrives.
 * 2. **Connected means delivered:** while the mesh stays connected, an entry that one device delivered is delivered by
 *    all. Authors who write two entries of one number (5) or exceed the maxima lose this promise for themselves.
 * 3. **No storms:** while nothing is refused, an entry crosses a link at most once in each direction.
 * 4. **Paced:** at most `catchUpWindowBytes` and one frame are under way to a peer unacknowledged, however long the log.
 * 5. **First seen wins:** of two entries of one author and number the first is kept and the second reported, never
 *    delivered. Honest authors never write two: an entry is on disk before it is sent.
 * 6. **Floods are delayed, not lost:** fresh entries of a student go on at `entriesPerSecondMax` with a burst.
 * 7. **The end is the end:** after an `End` nothing is accepted. It is sent last, so who is behind gets the rest first.
 * 8. **Removed is removed:** once a `Remove` is delivered, nothing of that author behind its `after` is delivered or sent
 *    on; what was delivered before stays, and everybody gets the entries up to `after`.
 * 9. **Nothing twice:** what an honest link brings is `Overhead` only where it is refused here.
 *
 * The rate limit (6) in detail. A relay cannot tell a flood from the history of a partition by looking at it: clocks
 * prove nothing, and whoever sends it may lie. So what the other side had when its link came up passes as history, for
 * `historyMs`; everything else of a student takes a token of its author's bucket or waits, verified and in memory, until
 * there is one. What waits is bounded by the author's own maxima and is nowhere told to be here for good: after a crash
 * it comes again as history. The teacher's entries never wait: who can write them holds the secret.
 *
 * How a link knows what is missing. Links are FIFO and lose nothing while they live, and heads acknowledge how many
 * entries were taken. So heads name exactly what did not get through: what they do not reach and what is not under way
 * behind them. The cursor of a link is set to that, forwards or back, and nothing is sent twice out of doubt.
 */
import type { Policy } from "./Certificate.ts"
import { type Content, type Entry, permitted } from "./Entry.ts"
import type { PeerId, PublicKey, Signature } from "./Ids.ts"
import * as Limits from "./Limits.ts"
import type { Signed } from "./Signed.ts"
import { utf8Bytes } from "./Text.ts"
import * as TokenBucket from "./TokenBucket.ts"
import type { Entries, Heads } from "./Wire.ts"

/** Key, signature and punctuation of an entry in a frame; also counted into an author's bytes. */
const entryOverheadBytes = 176
/** `{"_tag":"Entries","entries":[]}`, rounded up. */
const entriesOverheadBytes = 64
/** Entries taken are acknowledged after so many characters of theirs: early enough that a window never runs dry. */
const acknowledgeAfterChars = 32 * 1024
/** How often a peer may ask for what it was sent before: a gap is rare, and asking must not multiply traffic. */
const rewindIntervalMs = 5_000
/** A device that relays sends to so many links at once, and with no more links than that to all. */
const relaysAtOnceMax = 3
/**
 * Then, after this, to those it has dialled, and to those that have dialled it after twice as long: of the two ends of a link
 * one sends, and the other one knows by then that it need not.
 */
const relaysLaterMs = 100
/** The same while chunks move: what comes directly may be stuck behind some, and another way round may be free. */
const relaysBesideBulkMs = 10
/**
 * What came from the host goes so late to those it has a link to: it has sent it to them as well, and within this time their
 * heads say so. Or else that they hear the host no more, and then it goes to them at once.
 */
const relaysSpareMs = Limits.headsIntervalMs + 2_000
/** Of the two ends of a link one is so much later still; and what has come less long ago may be on its way there. */
const relaysApartMs = 2_000
/** How long own entries that another device claims to have are waited for: a claim is no proof. */
const ownClaimMs = 3_000

interface Kept {
  readonly signed: Signed
  readonly number: number
  /** When it came here. */
  readonly atMs: number
  readonly end: boolean
  /** Counted against the maxima; the same on every device. */
  readonly bytes: number
  /** What it takes in a frame, with the escapes of JSON in JSON. */
  readonly frameBytes: number
}

/** One author's log: a run of released entries, then of entries that wait for a token. */
interface Log {
  readonly author: PublicKey
  readonly entries: Array<Kept>
  /** How many are delivered and sent on. */
  released: number
  /** The contents of those that wait. */
  readonly waiting: Array<Entry>
  bytes: number
  readonly bucket: TokenBucket.TokenBucket
  /** Up to this number entries are history and need no token. */
  historyTo: number
  conflicts: number
  /** Why nothing more of this author is taken; its next entry is not here, so those after it are of no use. */
  closed: "policy" | "full" | "conflict" | "removed" | undefined
  /** What is behind this number was written by a device that a host has shut out: neither taken nor sent on. */
  countsTo: number
}

interface Link {
  readonly peer: PeerId
  readonly isHost: boolean
  readonly dialled: boolean
  /** The other side says that it has a link to the host. */
  nearHost: boolean
  readonly upMs: number
  /** Whether the other side's first heads are here; nothing is sent before. */
  ready: boolean
  /** How far the other side's logs go or will go with what is under way. */
  readonly cursors: Map<PublicKey, number>
  /** Logs of which it lacks something, the next to be served first. */
  readonly behind: Set<Log>
  /** When that is sent; and whether so late because the host has sent it there. */
  dueMs: number
  isSpare: boolean
  inFlight: Array<{ readonly author: PublicKey; readonly number: number; readonly bytes: number }>
  inFlightBytes: number
  sentCount: number
  acknowledgedCount: number
  receivedCount: number
  unacknowledgedChars: number
  /** How far it has brought each author's log, or was told in the first heads that this device has it. */
  readonly brought: Map<PublicKey, number>
  /** How far its logs went when the link came up; emptied after `historyMs`. */
  readonly history: Map<PublicKey, number>
  /** Entries beyond a gap, in a row. */
  gaps: number
  headsDue: boolean
  headsSentMs: number
  /** The state's edition when heads were last sent. */
  headsEdition: number
  rewoundMs: number
}

export interface State {
  readonly self: PublicKey
  readonly logs: Map<PublicKey, Log>
  readonly links: Map<PeerId, Link>
  readonly bySignature: Map<Signature, Kept>
  hosts: ReadonlySet<PublicKey>
  /** Oldest first; the last one counts. */
  policies: ReadonlyArray<Policy>
  studentBytes: number
  /** Authors whom a host has shut out, and how far their logs count. */
  readonly removed: Map<PublicKey, number>
  /** Grows with every entry taken. */
  edition: number
  ended: boolean
  /** Chunks moved over this device's links when entries last came. */
  besideBulk: boolean
  /** How far another device says that this device's own log goes. */
  ownClaim: number
  ownClaimedMs: number
}

/** An entry whose signature has been checked, with what its body says. */
export interface Item {
  readonly signed: Signed
  /** Left out for what {@link sight} found known or unwanted: it is counted and nothing else. */
  readonly entry: Entry | undefined
}

export type Input =
  | { readonly _tag: "NeighborUp"; readonly peer: PeerId; readonly isHost: boolean; readonly dialled: boolean }
  | { readonly _tag: "NeighborDown"; readonly peer: PeerId }
  /** The neighbor has a link to the host, as it says, or has none any more. None at first. */
  | { readonly _tag: "NeighborNearHost"; readonly peer: PeerId; readonly near: boolean }
  | { readonly _tag: "Heads"; readonly peer: PeerId; readonly heads: Heads }
  /** `besideBulk`: chunks are moving over this device's links. */
  | {
    readonly _tag: "Entries"
    readonly peer: PeerId
    readonly items: ReadonlyArray<Item>
    readonly besideBulk: boolean
  }
  /** Who is or was host, and the policies of all certificates, oldest first. Before anything else, and when they change. */
  | { readonly _tag: "Authority"; readonly hosts: ReadonlySet<PublicKey>; readonly policies: ReadonlyArray<Policy> }
  /** The log as it was kept on disk, in that order. */
  | { readonly _tag: "Restored"; readonly items: ReadonlyArray<{ readonly signed: Signed; readonly entry: Entry }> }
  /** An entry of this device, allowed by {@link refusal}, numbered {@link nextNumber}, signed and on disk. */
  | { readonly _tag: "Wrote"; readonly signed: Signed; readonly entry: Entry }
  /** Time passes; about once a second, and at {@link wakeAtMs}. */
  | { readonly _tag: "Tick" }

export type Output =
  | { readonly _tag: "Send"; readonly peer: PeerId; readonly message: Heads | Entries }
  /** To disk, before anything that follows. */
  | { readonly _tag: "Persist"; readonly entries: ReadonlyArray<Signed> }
  | { readonly _tag: "Deliver"; readonly author: PublicKey; readonly entry: Entry }
  /** The peer sent what no honest one sends: its link is to be ended, and is already forgotten here. */
  | { readonly _tag: "Disconnect"; readonly peer: PeerId; readonly detail: string }
  /** So many bytes of what the peer has sent brought nothing that this device could use, or nothing for the first time. */
  | { readonly _tag: "Overhead"; readonly peer: PeerId; readonly bytes: number }
  /** The author has written two entries of one number: devices may show different ones. */
  | { readonly _tag: "Conflict"; readonly author: PublicKey; readonly number: number }

export const make = (self: PublicKey, nowMs: number): State => {
  const state: State = {
    self,
    logs: new Map(),
    links: new Map(),
    bySignature: new Map(),
    hosts: new Set(),
    policies: [],
    studentBytes: 0,
    removed: new Map(),
    edition: 0,
    ended: false,
    besideBulk: false,
    ownClaim: 0,
    ownClaimedMs: -Infinity
  }
  // This device's own log exists from the start, so that other authors cannot take its place.
  openLog(state, self, nowMs)
  return state
}

// ---- Questions -----------------------------------------------------------------------------------------------------

/** What is to be done with an entry before its signature is checked. */
export const sight = (state: State, signed: Signed): "known" | "unwanted" | "new" => {
  const kept = state.bySignature.get(signed.signature)
  if (kept !== undefined && kept.signed.key === signed.key && kept.signed.body === signed.body) return "known"
  if (state.ended) return "unwanted"
  const log = state.logs.get(signed.key)
  if (log !== undefined) return log.closed === undefined ? "new" : "unwanted"
  return authorsFull(state, signed.key) || state.removed.get(signed.key) === 0 ? "unwanted" : "new"
}

/** How many entries of an author are delivered here. */
export const delivered = (state: State, author: PublicKey): number => state.logs.get(author)?.released ?? 0

/** The number of this device's next entry. */
export const nextNumber = (state: State): number => ownLog(state).entries.length + 1

/**
 * Whether another device says that it has entries of this device that are not here: this device has lost them, and they
 * are on their way. To write meanwhile would be to use a number twice.
 */
export const ownMissing = (state: State, nowMs: number): boolean =>
  state.ownClaim >= nextNumber(state) && nowMs - state.ownClaimedMs < ownClaimMs

/** Why this device must not write this now. */
export const refusal = (
  state: State,
  content: Content,
  body: string,
  nowMs: number
): "ended" | "removed" | "not-allowed" | "too-long" | "log-full" | "too-fast" | undefined => {
  const log = ownLog(state)
  const byHost = state.hosts.has(state.self)
  const bodyBytes = utf8Bytes(body)
  if (state.ended) return "ended"
  if (state.removed.has(state.self)) return "removed"
  if (!permitted(content, byHost, state.policies.at(-1)!)) return "not-allowed"
  if (bodyBytes > Limits.entryBodyBytesMax) return "too-long"
  if (!fits(state, log, bodyBytes + entryOverheadBytes)) return "log-full"
  return limited(content, byHost) && TokenBucket.waitMs(log.bucket, nowMs) > 0 ? "too-fast" : undefined
}

/** A teacher who hands out forty files or ends the session at once is not flooding anybody. */
const limited = (content: Content, byHost: boolean): boolean => !byHost || content._tag === "Text"

/** When the machine wants a `Tick` at the latest, besides the regular ones; `Infinity` if it waits for others. */
export const wakeAtMs = (state: State): number => {
  let next = Infinity
  for (const link of state.links.values()) if (mayServe(link)) next = Math.min(next, link.dueMs)
  return next
}

// ---- Steps ---------------------------------------------------------------------------------------------------------

/** What one step leads to, in the order in which it is carried out: say and send, keep, deliver. */
interface Effects {
  readonly outputs: Array<Output>
  readonly persist: Array<Signed>
  readonly deliver: Array<Output>
}

export const step = (state: State, input: Input, nowMs: number): ReadonlyArray<Output> => {
  const effects: Effects = { outputs: [], persist: [], deliver: [] }
  switch (input._tag) {
    case "NeighborUp":
      neighborUp(state, input, nowMs, effects)
      break
    case "NeighborDown":
      state.links.delete(input.peer)
      break
    case "NeighborNearHost": {
      const link = state.links.get(input.peer)
      if (link === undefined) break
      link.nearHost = input.near
      if (!input.near && link.isSpare) link.dueMs = nowMs
      break
    }
    case "Heads": {
      const link = state.links.get(input.peer)
      if (link !== undefined) takeHeads(state, link, input.heads, nowMs)
      break
    }
    case "Entries": {
      state.besideBulk = input.besideBulk
      const link = state.links.get(input.peer)
      if (link !== undefined) takeEntries(state, link, input.items, nowMs, effects)
      break
    }
    case "Authority":
      takeAuthority(state, input.hosts, input.policies)
      break
    case "Restored":
      for (const { entry, signed } of input.items) restore(state, signed, entry, nowMs, effects)
      effects.persist.length = 0
      break
    case "Wrote": {
      const log = ownLog(state)
      if (limited(input.entry.content, state.hosts.has(state.self))) TokenBucket.take(log.bucket, nowMs)
      append(state, log, input.signed, input.entry, nowMs)
      release(state, log, undefined, nowMs, effects)
      effects.persist.length = 0
      break
    }
    case "Tick":
      for (const log of state.logs.values()) if (log.waiting.length > 0) release(state, log, undefined, nowMs, effects)
      break
  }
  for (const link of state.links.values()) {
    if (nowMs - link.upMs >= Limits.historyMs) link.history.clear()
    if (nowMs >= link.dueMs) serve(link, effects)
    if (headsWanted(state, link, nowMs)) sendHeads(state, link, false, nowMs, effects)
    else if (link.unacknowledgedChars >= acknowledgeAfterChars) acknowledge(link, [], effects)
  }
  if (effects.persist.length > 0) effects.outputs.push({ _tag: "Persist", entries: effects.persist })
  return effects.deliver.length > 0 ? [...effects.outputs, ...effects.deliver] : effects.outputs
}

const neighborUp = (
  state: State,
  { dialled, isHost, peer }: Extract<Input, { readonly _tag: "NeighborUp" }>,
  nowMs: number,
  effects: Effects
): void => {
  const link: Link = {
    peer,
    isHost,
    dialled,
    nearHost: false,
    upMs: nowMs,
    ready: false,
    cursors: new Map(),
    behind: new Set(),
    dueMs: nowMs,
    isSpare: false,
    inFlight: [],
    inFlightBytes: 0,
    sentCount: 0,
    acknowledgedCount: 0,
    receivedCount: 0,
    unacknowledgedChars: 0,
    brought: new Map(Array.from(state.logs.values(), ({ author, entries }) => [author, entries.length])),
    history: new Map(),
    gaps: 0,
    headsDue: false,
    headsSentMs: nowMs,
    headsEdition: -1,
    rewoundMs: -Infinity
  }
  state.links.set(peer, link)
  sendHeads(state, link, true, nowMs, effects)
}

const disconnect = (state: State, link: Link, detail: string, effects: Effects): void => {
  state.links.delete(link.peer)
  effects.outputs.push({ _tag: "Disconnect", peer: link.peer, detail })
}

const takeAuthority = (state: State, hosts: ReadonlySet<PublicKey>, policies: ReadonlyArray<Policy>): void => {
  state.hosts = hosts
  state.policies = policies
  state.studentBytes = 0
  let reopened = false
  for (const log of state.logs.values()) {
    if (!hosts.has(log.author)) state.studentBytes += log.bytes
    if (log.closed === "policy" || log.closed === "full") {
      log.closed = undefined
      reopened = true
    }
  }
  // What was refused so far counts as sent; heads that name these authors again bring it back.
  if (reopened) { for (const link of state.links.values()) link.headsDue = true }
}

// ---- Heads ---------------------------------------------------------------------------------------------------------

/** After a reconnection, messages meant for the earlier link may come first: they are never a reason to end this one. */
const takeHeads = (state: State, link: Link, message: Heads, nowMs: number): void => {
  if (message.first) {
    link.receivedCount = 0
    link.unacknowledgedChars = 0
  } else if (!link.ready) {
    return
  }
  const acknowledged = Math.min(message.received, link.sentCount) - link.acknowledgedCount
  if (acknowledged > 0) {
    for (const { bytes } of link.inFlight.splice(0, acknowledged)) link.inFlightBytes -= bytes
    link.acknowledgedCount += acknowledged
  }
  const reached = new Map(message.heads.map(({ author, number }) => [author, number]))
  for (const { author, number } of link.inFlight) {
    const before = reached.get(author)
    if (before !== undefined && number === before + 1) reached.set(author, number)
  }

  const mayRewind = !link.ready || nowMs - link.rewoundMs >= rewindIntervalMs
  for (const { author, number } of message.heads) {
    const log = state.logs.get(author)
    if (log === undefined && !link.cursors.has(author) && link.cursors.size >= Limits.authorsMax) continue
    const cursor = reached.get(author)!
    if (cursor < (link.cursors.get(author) ?? 0)) {
      if (!mayRewind) continue
      link.rewoundMs = nowMs
    }
    link.cursors.set(author, cursor)
    if (log !== undefined) compare(link, log)
    if (message.first && link.history.size < Limits.authorsMax) link.history.set(author, number)
    if (message.first && author === state.self && number > state.ownClaim) {
      state.ownClaim = number
      state.ownClaimedMs = nowMs
    }
  }
  if (!link.ready) {
    link.ready = true
    for (const log of state.logs.values()) compare(link, log)
  }
  // What heads show to be missing is missing.
  link.dueMs = judgedMs(link, nowMs)
}

const headsWanted = (state: State, link: Link, nowMs: number): boolean =>
  link.headsDue ||
  (nowMs - link.headsSentMs >= Limits.headsIntervalMs &&
    (link.headsEdition !== state.edition || link.unacknowledgedChars > 0))

/**
 * Closed logs are left out of all but the first: to name them would be to ask for what is refused. What waits for a
 * token is named: it is here, and to get it again would not make it go on sooner.
 */
const sendHeads = (state: State, link: Link, first: boolean, nowMs: number, effects: Effects): void => {
  const heads = []
  for (const { author, closed, entries } of state.logs.values()) {
    if (first || (closed === undefined && !state.ended)) heads.push({ author, number: entries.length })
  }
  link.headsDue = false
  link.headsSentMs = nowMs
  link.headsEdition = state.edition
  acknowledge(link, heads, effects, first)
}

const acknowledge = (link: Link, heads: Heads["heads"], effects: Effects, first = false): void => {
  link.unacknowledgedChars = 0
  effects.outputs.push({
    _tag: "Send",
    peer: link.peer,
    message: { _tag: "Heads", first, received: link.receivedCount, heads }
  })
}

// ---- Entries in ----------------------------------------------------------------------------------------------------

const takeEntries = (
  state: State,
  link: Link,
  items: ReadonlyArray<Item>,
  nowMs: number,
  effects: Effects
): void => {
  let overheadBytes = 0
  for (const { entry, signed } of items) {
    // What comes before the other side's first heads was meant for an earlier link and is not counted there either.
    if (link.ready) {
      link.receivedCount++
      link.unacknowledgedChars += signed.body.length
    }
    const number = entry?.number ?? state.bySignature.get(signed.signature)?.number
    if (number !== undefined) reach(state, link, signed.key, number)
    const blame = entry === undefined ? undefined : takeEntry(state, link, signed, entry, nowMs, effects)
    if (blame !== undefined) return disconnect(state, link, blame, effects)
    if (!brings(state, link, signed.key, number)) overheadBytes += signed.body.length + entryOverheadBytes
  }
  if (overheadBytes > 0) effects.outputs.push({ _tag: "Overhead", peer: link.peer, bytes: overheadBytes })
}

/**
 * Whether an honest peer sends this: what is or was of use here, once, and not what it knows to be here. Several may bring
 * the same at the same time, so that another one was quicker is nobody's fault.
 */
const brings = (state: State, link: Link, author: PublicKey, number: number | undefined): boolean => {
  const held = state.logs.get(author)?.entries.length ?? 0
  if (number === undefined || number > held || number <= (link.brought.get(author) ?? 0)) return false
  link.brought.set(author, number)
  return true
}

/** The other side has the entry, so it need not be sent there. */
const reach = (state: State, link: Link, author: PublicKey, number: number): void => {
  const log = state.logs.get(author)
  if (log === undefined && link.cursors.size >= 2 * Limits.authorsMax) return
  // What it had when the link came up is history, and so is everything before that.
  if (log !== undefined && number <= (link.history.get(author) ?? 0)) log.historyTo = Math.max(log.historyTo, number)
  if (number > (link.cursors.get(author) ?? 0)) {
    link.cursors.set(author, number)
    if (log !== undefined) compare(link, log)
  }
}

/** Takes an entry or leaves it; what the sender is to blame for is returned. */
const takeEntry = (
  state: State,
  link: Link,
  signed: Signed,
  entry: Entry,
  nowMs: number,
  effects: Effects
): string | undefined => {
  const author = signed.key
  // The batch may have ended the session or closed the author since it was sighted.
  if (sight(state, signed) !== "new") return undefined
  const found = state.logs.get(author)
  const expected = (found?.entries.length ?? 0) + 1
  if (entry.number < expected) {
    const { body } = found!.entries[entry.number - 1]!.signed
    if (body === signed.body) return undefined
    if (found!.conflicts === 0) effects.outputs.push({ _tag: "Conflict", author, number: entry.number })
    if (++found!.conflicts >= Limits.conflictsPerAuthorMax) found!.closed = "conflict"
    return undefined
  }
  if (entry.number > expected) {
    link.headsDue = true
    return ++link.gaps > Limits.gapsPerLinkMax ? "entries beyond a gap" : undefined
  }
  link.gaps = 0
  const byHost = state.hosts.has(author)
  if (!permitted(entry.content, byHost, state.policies.at(-1)!)) {
    // Under an earlier policy it may have been allowed, and then the sender has every right to have it.
    if (!state.policies.some((policy) => permitted(entry.content, byHost, policy))) {
      return `an entry that its author may not write: ${entry.content._tag}`
    }
    openLog(state, author, nowMs).closed = "policy"
    return undefined
  }
  const log = openLog(state, author, nowMs)
  if (!fits(state, log, utf8Bytes(signed.body) + entryOverheadBytes)) {
    log.closed = "full"
    return undefined
  }
  append(state, log, signed, entry, nowMs)
  release(state, log, link, nowMs, effects)
  return undefined
}

const restore = (state: State, signed: Signed, entry: Entry, nowMs: number, effects: Effects): void => {
  if (sight(state, signed) !== "new") return
  const log = openLog(state, signed.key, nowMs)
  if (entry.number !== log.entries.length + 1 || !fits(state, log, utf8Bytes(signed.body) + entryOverheadBytes)) return
  log.historyTo = entry.number
  append(state, log, signed, entry, nowMs)
  release(state, log, undefined, nowMs, effects)
}

// ---- Logs ----------------------------------------------------------------------------------------------------------

const ownLog = (state: State): Log => state.logs.get(state.self)!

/** Places for students; hosts have theirs apart, so made-up students cannot keep the teacher out. */
const authorsFull = (state: State, author: PublicKey): boolean => {
  if (state.hosts.has(author)) return false
  let students = 0
  for (const other of state.logs.keys()) if (!state.hosts.has(other)) students++
  return students >= Limits.authorsMax - Limits.certificatesMax
}

const openLog = (state: State, author: PublicKey, nowMs: number): Log => {
  const found = state.logs.get(author)
  if (found !== undefined) return found
  const log: Log = {
    author,
    entries: [],
    released: 0,
    waiting: [],
    bytes: 0,
    bucket: TokenBucket.make(Limits.entriesPerSecondMax, Limits.entriesBurstMax, nowMs),
    historyTo: 0,
    conflicts: 0,
    closed: undefined,
    countsTo: state.removed.get(author) ?? Infinity
  }
  state.logs.set(author, log)
  return log
}

const fits = (state: State, log: Log, bytes: number): boolean => {
  if (state.hosts.has(log.author)) {
    return log.entries.length < Limits.entriesPerHostMax && log.bytes + bytes <= Limits.logBytesPerHostMax
  }
  return log.entries.length < Limits.entriesPerStudentMax &&
    log.bytes + bytes <= Limits.logBytesPerStudentMax &&
    state.studentBytes + bytes <= Limits.logBytesStudentsMax
}

const append = (state: State, log: Log, signed: Signed, entry: Entry, nowMs: number): void => {
  const bytes = utf8Bytes(signed.body) + entryOverheadBytes
  const kept: Kept = {
    // One text for the author, not one an entry.
    signed: { ...signed, key: log.author },
    number: entry.number,
    atMs: nowMs,
    end: entry.content._tag === "End",
    bytes,
    frameBytes: utf8Bytes(JSON.stringify(signed.body)) + entryOverheadBytes
  }
  log.entries.push(kept)
  log.waiting.push(entry)
  log.bytes += bytes
  if (!state.hosts.has(log.author)) state.studentBytes += bytes
  state.bySignature.set(signed.signature, kept)
  state.edition++
}

/**
 * Delivers and sends on what may go: history, the teacher's, this device's own, and fresh entries that have a token. The
 * newest of it has come `from` this link, if from any.
 */
const release = (state: State, log: Log, from: Link | undefined, nowMs: number, effects: Effects): void => {
  const free = state.hosts.has(log.author) || log.author === state.self
  let count = 0
  for (; count < log.waiting.length && !state.ended; count++) {
    const kept = log.entries[log.released]!
    if (!free && kept.number > log.historyTo && !TokenBucket.take(log.bucket, nowMs)) break
    log.released++
    effects.persist.push(kept.signed)
    effects.deliver.push({ _tag: "Deliver", author: log.author, entry: log.waiting[count]! })
    if (kept.end) state.ended = true
  }
  const released = log.waiting.splice(0, count)
  if (count > 0) relay(state, log, from, nowMs)
  closeRemoved(log)
  for (const { content } of released) {
    if (content._tag === "Remove" && state.hosts.has(log.author)) {
      remove(state, content.key, content.after)
    }
  }
}

/** Lets every link that lacks something of this log have it, now or a moment later. */
const relay = (state: State, log: Log, from: Link | undefined, nowMs: number): void => {
  // The few are others each time, so that no link always comes late.
  let place = state.edition
  for (const link of state.links.values()) {
    const waited = link.behind.size > 0
    compare(link, log)
    if (link.behind.size === 0) continue
    const delayMs = relayDelayMs(state, link, log, from, place++ % state.links.size)
    const dueMs = delayMs === "spare" ? nowMs + spareMs(link) : nowMs + delayMs
    if (waited && link.dueMs <= dueMs) continue
    link.dueMs = dueMs
    link.isSpare = delayMs === "spare"
  }
}

const relayDelayMs = (
  state: State,
  link: Link,
  log: Log,
  from: Link | undefined,
  place: number
): number | "spare" => {
  const isAuthor = log.author === state.self
  // The host has what a host has written.
  const isNewToHost = link.isHost && !state.hosts.has(log.author)
  if (isAuthor || isNewToHost || state.hosts.has(state.self) || state.links.size <= relaysAtOnceMax) return 0
  // What comes from the host comes to the others at the same time.
  const isFromHost = from?.isHost === true
  if (!isFromHost && place < relaysAtOnceMax) return 0
  if (isFromHost && link.nearHost && !state.besideBulk) return "spare"
  const laterMs = state.besideBulk ? relaysBesideBulkMs : relaysLaterMs
  return link.dialled ? laterMs : 2 * laterMs
}

const spareMs = ({ dialled }: Link): number => relaysSpareMs + (dialled ? 0 : relaysApartMs)

/** When what the other side lacks is sent: heads do not name what the host has sent there just now. */
const judgedMs = (link: Link, nowMs: number): number => {
  if (!link.isSpare) return nowMs
  let oldestMs = Infinity
  for (const { author, entries } of link.behind) {
    oldestMs = Math.min(oldestMs, entries[link.cursors.get(author) ?? 0]!.atMs)
  }
  return nowMs - oldestMs >= relaysApartMs ? nowMs : oldestMs + spareMs(link)
}

/** Takes no more of an author than `after`: what waits beyond it is forgotten. */
const remove = (state: State, author: PublicKey, given: number): void => {
  // Nobody is above the host, and of two statements the stricter one counts, in whichever order they come.
  if (state.hosts.has(author)) return
  const after = Math.min(given, state.removed.get(author) ?? Infinity)
  state.removed.set(author, after)
  const log = state.logs.get(author)
  if (log === undefined) return
  log.countsTo = after
  const kept = Math.max(log.released, Math.min(after, log.entries.length))
  for (const { bytes, signed } of log.entries.splice(kept)) {
    log.bytes -= bytes
    state.studentBytes -= bytes
    state.bySignature.delete(signed.signature)
  }
  log.waiting.splice(kept - log.released)
  closeRemoved(log)
  for (const link of state.links.values()) compare(link, log)
}

const closeRemoved = (log: Log): void => {
  if (log.entries.length >= log.countsTo) log.closed = "removed"
}

// ---- Entries out ---------------------------------------------------------------------------------------------------

/** Up to where this log is for others. */
const offered = (log: Log): number => Math.min(log.released, log.countsTo)

/** Notes whether the other side lacks something of this log. */
const compare = (link: Link, log: Log): void => {
  if (link.ready && (link.cursors.get(log.author) ?? 0) < offered(log)) link.behind.add(log)
  else link.behind.delete(log)
}

const mayServe = (link: Link): boolean => link.behind.size > 0 && link.inFlightBytes < Limits.catchUpWindowBytes

/** Sends what the other side lacks, an entry of each author in turn, as far as the window allows. */
const serve = (link: Link, effects: Effects): void => {
  while (mayServe(link)) {
    const batch = nextBatch(link)
    const last = effects.outputs.at(-1)
    // The same value for link after link lets it be encoded once.
    const message: Entries = last?._tag === "Send" && last.message._tag === "Entries" &&
        last.message.entries.length === batch.length &&
        last.message.entries.every((signed, index) => signed === batch[index])
      ? last.message
      : { _tag: "Entries", entries: batch }
    effects.outputs.push({ _tag: "Send", peer: link.peer, message })
  }
}

/** The next frame's worth; at least one entry, since every entry fits a frame. */
const nextBatch = (link: Link): ReadonlyArray<Signed> => {
  const batch: Array<Signed> = []
  let bytes = entriesOverheadBytes
  for (const log of link.behind) {
    if (batch.length >= Limits.entriesPerMessageMax) break
    const cursor = link.cursors.get(log.author) ?? 0
    const kept = log.entries[cursor]!
    // The end comes last: what comes after it would not be taken.
    if (kept.end && link.behind.size > 1) {
      link.behind.delete(log)
      link.behind.add(log)
      continue
    }
    if (bytes + kept.frameBytes > Limits.controlFrameBytesMax) break
    batch.push(kept.signed)
    bytes += kept.frameBytes
    link.inFlight.push({ author: log.author, number: kept.number, bytes: kept.frameBytes })
    link.inFlightBytes += kept.frameBytes
    link.sentCount++
    link.cursors.set(log.author, kept.number)
    // A set goes on with what is added while it is walked, so this is a turn for everybody else first.
    link.behind.delete(log)
    if (kept.number < offered(log)) link.behind.add(log)
  }
  return batch
}
