/**
 * What a device makes of the datagrams it hears: sightings of peers, and a list of the sessions in reach.
 *
 * Hearing must stay cheap under any flood, so the checks stand in the order of their cost: the bytes of an announcement
 * that has been verified before, the shape, the budget, and last the signatures. State is changed in place: this is the
 * hot path. Time, chance and cryptography come in.
 *
 * Invariants, checked by `test/protocol/Discovery.test.ts`:
 *
 * 1. **Genuine:** every sighting carries a certificate and a statement whose signatures have been checked.
 * 2. **Budget:** signatures are checked at most `announcementVerificationsPerSecondMax` times a second beyond the burst,
 *    and never twice for the same bytes while they are remembered.
 * 3. **Bounded:** at most `sessionsListedMax` sessions with `sightingsPerSessionMax` sightings each are kept, and as many
 *    announcements remembered.
 * 4. **Wanted first:** a wanted session is listed whatever else is, and only another wanted one takes its place.
 * 5. **Not oneself:** a device never sights itself.
 */
import * as Announcement from "./Announcement.ts"
import { type Certificate, supersedes, type VerifiedCertificate } from "./Certificate.ts"
import type { PeerId, PublicKey, SessionId } from "./Ids.ts"
import * as Limits from "./Limits.ts"
import type { Kind, Signed } from "./Signed.ts"
import * as TokenBucket from "./TokenBucket.ts"
import type { Address } from "./Wire.ts"

/** A peer that says it is in a session. Its certificate has been checked, its address is only a hint. */
export interface Sighting {
  readonly certificate: VerifiedCertificate
  readonly peer: PeerId
  readonly address: Address
  /** Whether the announcing peer is the session's host. */
  readonly byHost: boolean
}

export interface Options {
  readonly verify: (kind: Kind, session: SessionId | "-", signed: Signed) => boolean
  readonly peerId: (key: PublicKey) => PeerId
  readonly nowMs: number
}

/** What became of a datagram. */
export type Outcome =
  /** `again`: the same peer at the same address, so soon that nobody needs to be told. */
  | { readonly _tag: "Sighted"; readonly sighting: Sighting; readonly again: boolean }
  | { readonly _tag: "Dropped"; readonly reason: DropReason }

export type DropReason =
  /** No announcement, or one in another form than the only one. */
  | "garbage"
  /** A labfx that speaks another version. */
  | "other-version"
  /** This device's own. */
  | "own"
  /** A signature is not its key's. */
  | "forged"
  /** Over the budget for announcements never seen before. */
  | "rate"
  /** Of a session that its root has replaced by another. */
  | "superseded"
  /** Of a session for which there is no place in the list. */
  | "surplus"

/** An announcement whose signatures have been checked. */
interface Known {
  readonly certificate: VerifiedCertificate
  readonly key: PublicKey
  readonly peer: PeerId
  readonly port: number
}

interface Sighted {
  readonly sighting: Sighting
  heardMs: number
  reportedMs: number
}

/** The session of one root: the one of its newest certificate. */
interface Listed {
  certificate: VerifiedCertificate
  wanted: boolean
  /** The address that brought it into the list. */
  readonly source: string
  heardMs: number
  /** By peer and address, the one heard longest ago first. */
  readonly sightings: Map<string, Sighted>
}

export interface State {
  readonly options: Options
  /** The keys this device announces with. */
  readonly own: Set<PublicKey>
  isWanted: (root: PublicKey) => boolean
  /** By the datagram's bytes as text, the one used longest ago first. */
  readonly known: Map<string, Known>
  readonly listed: Map<PublicKey, Listed>
  readonly verifications: TokenBucket.TokenBucket
  /** By source address, the one used longest ago first. */
  readonly unknownBySource: Map<string, TokenBucket.TokenBucket>
  /** Foreign versions and when they were last heard. */
  readonly otherVersions: Map<number, number>
  readonly counts: Record<DropReason | "sighted", number>
}

export const make = (options: Options): State => ({
  options,
  own: new Set(),
  isWanted: () => false,
  known: new Map(),
  listed: new Map(),
  verifications: TokenBucket.make(
    Limits.announcementVerificationsPerSecondMax,
    Limits.announcementVerificationsBurstMax,
    options.nowMs
  ),
  unknownBySource: new Map(),
  otherVersions: new Map(),
  counts: {
    "sighted": 0,
    "garbage": 0,
    "other-version": 0,
    "own": 0,
    "forged": 0,
    "rate": 0,
    "superseded": 0,
    "surplus": 0
  }
})

/** Which roots always have a place in the list: asked once for each that appears, and now for those already there. */
export const want = (state: State, isWanted: (root: PublicKey) => boolean): void => {
  state.isWanted = isWanted
  for (const [root, listed] of state.listed) listed.wanted = isWanted(root)
}

const knownMax = Limits.sessionsListedMax * Limits.sightingsPerSessionMax

/** One character a byte: equal texts are equal bytes. */
const latin1 = new TextDecoder("latin1")

const dropOldest = <K, V>(map: Map<K, V>, sizeMax: number): void => {
  if (map.size > sizeMax) map.delete(map.keys().next().value!)
}

const touch = <K, V>(map: Map<K, V>, key: K, value: V, sizeMax: number): void => {
  map.delete(key)
  map.set(key, value)
  dropOldest(map, sizeMax)
}

/** Whether a datagram never seen before may be looked into. */
const admit = (state: State, source: string, nowMs: number): boolean => {
  const perSecond = Limits.announcementsPerAddressPerSecondMax
  const bucket = state.unknownBySource.get(source) ?? TokenBucket.make(perSecond, perSecond, nowMs)
  touch(state.unknownBySource, source, bucket, Limits.announcingAddressesMax)
  return TokenBucket.take(bucket, nowMs)
}

const isSameStatement = (a: Signed, b: Signed): boolean => a.signature === b.signature && a.body === b.body

const verifyWithin = (
  state: State,
  kind: Kind,
  session: SessionId | "-",
  signed: Signed,
  nowMs: number
): DropReason | undefined =>
  !TokenBucket.take(state.verifications, nowMs)
    ? "rate"
    : state.options.verify(kind, session, signed)
    ? undefined
    : "forged"

/** Checks an announcement that is not known yet. */
const verify = (state: State, announcement: Announcement.Announcement, nowMs: number): Known | DropReason => {
  const { certificate, certificateSigned, statement, statementSigned } = announcement
  // The certificate is nearly always one that is listed already, and then the statement alone is to be checked.
  const listed = state.listed.get(certificate.root)?.certificate
  const isListed = listed !== undefined && isSameStatement(listed.signed, certificateSigned)
  const fault = (isListed ? undefined : verifyWithin(state, "certificate", "-", certificateSigned, nowMs)) ??
    verifyWithin(state, "announcement", certificate.session, statementSigned, nowMs)
  if (fault !== undefined) return fault
  return {
    certificate: isListed ? listed : { certificate, signed: certificateSigned },
    key: statementSigned.key,
    peer: state.options.peerId(statementSigned.key),
    port: statement.port
  }
}

const recognise = (state: State, bytes: Uint8Array, source: string, nowMs: number): Known | DropReason => {
  if (bytes.length > Limits.datagramBytesMax) return "garbage"
  const text = latin1.decode(bytes)
  const remembered = state.known.get(text)
  const found = remembered ?? examine(state, bytes, source, nowMs)
  if (typeof found === "object") touch(state.known, text, found, knownMax)
  return found
}

const examine = (state: State, bytes: Uint8Array, source: string, nowMs: number): Known | DropReason => {
  if (!admit(state, source, nowMs)) return "rate"
  const decoded = Announcement.decode(bytes)
  if (decoded._tag === "Announcement") return verify(state, decoded.announcement, nowMs)
  if (decoded._tag === "Garbage") return "garbage"
  state.otherVersions.set(decoded.version, nowMs)
  return "other-version"
}

/** Forgets what has not been heard for long. */
const expire = (state: State, nowMs: number): void => {
  const goneMs = nowMs - Limits.sightingAgeMs
  for (const [root, listed] of state.listed) {
    if (listed.heardMs < goneMs) state.listed.delete(root)
    else for (const [place, sighted] of listed.sightings) if (sighted.heardMs < goneMs) listed.sightings.delete(place)
  }
  for (const [version, heardMs] of state.otherVersions) if (heardMs < goneMs) state.otherVersions.delete(version)
}

/** Makes room for one more session, if it may have a place. */
const hasPlace = (state: State, wanted: boolean, source: string, nowMs: number): boolean => {
  expire(state, nowMs)
  const unwanted = Array.from(state.listed).filter(([, listed]) => !listed.wanted)
  if (!wanted && unwanted.filter(([, listed]) => listed.source === source).length >= Limits.sessionsPerAddressMax) {
    return false
  }
  if (state.listed.size < Limits.sessionsListedMax) return true
  if (!wanted || unwanted.length === 0) return false
  const [evicted] = unwanted.reduce((oldest, entry) => (entry[1].heardMs < oldest[1].heardMs ? entry : oldest))
  state.listed.delete(evicted)
  return true
}

/** The root's place in the list, as this certificate leaves it. */
const list = (state: State, verified: VerifiedCertificate, source: string, nowMs: number): Listed | DropReason => {
  const certificate: Certificate = verified.certificate
  const present = state.listed.get(certificate.root)
  if (present !== undefined && present.heardMs >= nowMs - Limits.sightingAgeMs) {
    const newer = supersedes(certificate, present.certificate.certificate)
    if (certificate.session !== present.certificate.certificate.session) {
      if (!newer) return "superseded"
      present.sightings.clear()
    }
    if (newer) present.certificate = verified
    present.heardMs = nowMs
    return present
  }
  state.listed.delete(certificate.root)
  const wanted = state.isWanted(certificate.root)
  if (!hasPlace(state, wanted, source, nowMs)) return "surplus"
  const listed: Listed = { certificate: verified, wanted, source, heardMs: nowMs, sightings: new Map() }
  state.listed.set(certificate.root, listed)
  return listed
}

const sight = (state: State, known: Known, source: string, nowMs: number): Outcome => {
  const listed = list(state, known.certificate, source, nowMs)
  if (typeof listed === "string") return { _tag: "Dropped", reason: listed }
  const place = `${known.key}@${source}:${known.port}`
  const before = listed.sightings.get(place)
  const again = before !== undefined && before.sighting.certificate === known.certificate &&
    nowMs - before.reportedMs < Limits.sightingReportMs
  const sighting: Sighting = again ? before.sighting : {
    certificate: known.certificate,
    peer: known.peer,
    address: { host: source, port: known.port },
    byHost: known.key === known.certificate.certificate.host
  }
  const sighted = { sighting, heardMs: nowMs, reportedMs: again ? before.reportedMs : nowMs }
  touch(listed.sightings, place, sighted, Limits.sightingsPerSessionMax)
  return { _tag: "Sighted", sighting, again }
}

/** Takes in one datagram that has come from the address `source`. */
export const receive = (state: State, bytes: Uint8Array, source: string, nowMs: number): Outcome => {
  const known = recognise(state, bytes, source, nowMs)
  const outcome: Outcome = typeof known === "string"
    ? { _tag: "Dropped", reason: known }
    : state.own.has(known.key)
    ? { _tag: "Dropped", reason: "own" }
    : sight(state, known, source, nowMs)
  state.counts[outcome._tag === "Sighted" ? "sighted" : outcome.reason]++
  return outcome
}

/** The newest sighting of each listed session's peers at each of their addresses. */
export const sighted = (state: State, nowMs: number): ReadonlyArray<Sighting> => {
  expire(state, nowMs)
  return Array.from(state.listed.values()).flatMap((listed) =>
    Array.from(listed.sightings.values(), ({ sighting }) => sighting)
  )
}

/** The versions, other than this program's, of which announcements have been heard lately. */
export const otherVersions = (state: State, nowMs: number): ReadonlyArray<number> => {
  expire(state, nowMs)
  return Array.from(state.otherVersions.keys())
}
