/**
 * The newest status of every device as an IO-less state machine.
 *
 * A status is signed by the device it is about, so it can come by any way. Only the newest of a device counts; what is
 * lost or late is replaced by the next. What a device says is of two kinds. Now and then it is for everybody, and floods
 * over every link. In between it is for the hosts' pages alone, and goes only the way that leads there: over the link to
 * the host, or else the one by which the host's own newest status came first (reverse path forwarding, Dalal and Metcalfe
 * 1978). So every status of a host points out a short way to it again, and nobody has to be believed about that.
 *
 * Of two devices that are linked to the host neither tells the other anything: the host has told both. In a usual room that
 * is everybody, and each hears each status once.
 *
 * Signatures are checked outside: {@link sight} says beforehand whether a status is worth it. State is changed in place;
 * time comes in with every input.
 *
 * Invariants, named by `test/protocol/Statuses.test.ts`:
 *
 * 1. **Newest wins:** the number kept for a device never falls while it is remembered.
 * 2. **Everybody knows:** while the mesh stays connected, each status for everybody, or a newer one, reaches every device.
 *    Nothing that a student's device says or withholds on one way keeps it from coming by another.
 * 3. **The host knows first:** while the mesh stays connected and passes on what it should, each device's newest status
 *    reaches every host that is heard of.
 * 4. **Nobody else is told:** what is not for everybody reaches only who is on the way to a host.
 * 5. **Frugal:** over one link statuses go at most once in `statusBatchIntervalMs`, and none that is known to be there. A
 *    whole room says about `statusFloodsPerSecondMax` a second for everybody, however large it is.
 * 6. **Forgotten in time:** a device not heard of for `statusExpiryMs`, longer in a large room, is gone, and old news of it
 *    does not bring it back.
 * 7. **Without clocks:** a device that starts again goes on from the largest number that its neighbors remember of it.
 * 8. **Nothing twice:** what an honest link brings is `Overhead` only where older and newer news of a device cross.
 * 9. **Once in a usual room:** where all are linked to the host, a student's device hears of the others from the host alone.
 */
import type { PeerId, PublicKey, Signature } from "./Ids.ts"
import * as Limits from "./Limits.ts"
import type { Signed } from "./Signed.ts"
import type { Status } from "./Status.ts"
import { utf8Bytes } from "./Text.ts"
import * as TokenBucket from "./TokenBucket.ts"
import type { Statuses } from "./Wire.ts"

/** Key, signature and punctuation of a status in a frame. */
const statusOverheadBytes = 176
const statusesOverheadBytes = 64
/** Recent signatures of one device: an older status that comes by a slower way is recognised without a verification. */
const signaturesKept = 4
/** A host speaks to everybody every `statusRefreshMs`: one that has not for so long is gone, and no way leads there. */
const hostSilentMs = 1.5 * Limits.statusRefreshMs
/** So long after a status came here the host has told it to all whom it has a link to. */
const hostTellsMs = 3 * Limits.statusBatchIntervalMs
/** How long the number of a forgotten device is remembered, so that old news of it is known as such. */
const tombstoneMs = 10 * Limits.statusExpiryMs
/** Messages of one link that are looked at, a second and at once: twice what an honest one sends, and a stall's worth. */
const messagesPerSecondMax = 2 * 1_000 / Limits.statusBatchIntervalMs
const messagesBurstMax = 8

interface Known {
  readonly key: PublicKey
  signed: Signed
  status: Status
  frameBytes: number
  heardMs: number
  /** Whether it has been heard of lately; else only its number matters. */
  live: boolean
  /** The links by which its newest status came, the first one first; none for this device's own. */
  cameBy: Array<PeerId>
  readonly recent: Array<{ readonly signature: Signature; readonly number: number }>
}

interface Link {
  readonly peer: PeerId
  readonly key: PublicKey
  /** The number the other side has, of each device. */
  readonly known: Map<PublicKey, number>
  /** The number it has brought, of each device. */
  readonly brought: Map<PublicKey, number>
  /** The other side says that it has a link to the host. */
  nearHost: boolean
  sentMs: number
  readonly bucket: TokenBucket.TokenBucket
}

export interface State {
  readonly self: PublicKey
  readonly known: Map<PublicKey, Known>
  readonly links: Map<PeerId, Link>
  /** The keys of those who host the session, or have. */
  hosts: ReadonlySet<PublicKey>
  /** The one who hosts it now. */
  host: PublicKey | undefined
  /** The number of this device's newest status, and of the last that was for everybody. */
  number: number
  since: number
  floodedMs: number
  /** When that was signed, and what has changed since. Nothing is said before there is anything to say. */
  signedMs: number
  changed: "nothing" | "figures" | "matters"
}

export interface Item {
  readonly signed: Signed
  /** Left out for what {@link sight} found not worth a verification. */
  readonly status: Status | undefined
}

export type Input =
  | { readonly _tag: "NeighborUp"; readonly peer: PeerId; readonly key: PublicKey }
  | { readonly _tag: "NeighborDown"; readonly peer: PeerId }
  | { readonly _tag: "Received"; readonly peer: PeerId; readonly items: ReadonlyArray<Item> }
  /** Who hosts the session, or has; and who does now. */
  | { readonly _tag: "Hosts"; readonly hosts: ReadonlySet<PublicKey>; readonly host: PublicKey }
  /** Whether a neighbor says that it has a link to the host. */
  | { readonly _tag: "NeighborNearHost"; readonly peer: PeerId; readonly near: boolean }
  /** This device stands differently now: by figures alone, or in a way that somebody waits for (`matters`). */
  | { readonly _tag: "Changed"; readonly matters: boolean }
  /** The answer to `Sign`. */
  | { readonly _tag: "Signed"; readonly signed: Signed; readonly status: Status }
  /** Time passes; about once a second. */
  | { readonly _tag: "Tick" }

export type Output =
  | { readonly _tag: "Send"; readonly peer: PeerId; readonly message: Statuses }
  /** Sign how this device stands under this number, with this `since`; answered by `Signed` at once. */
  | { readonly _tag: "Sign"; readonly number: number; readonly since: number }
  /** So many bytes of what the peer has sent are unwanted, older than what is for everybody, or have come over its link before. */
  | { readonly _tag: "Overhead"; readonly peer: PeerId; readonly bytes: number }
  /** What {@link current} gives has changed. */
  | { readonly _tag: "News" }

export const make = (self: PublicKey): State => ({
  self,
  known: new Map(),
  links: new Map(),
  hosts: new Set(),
  host: undefined,
  number: 0,
  since: 0,
  floodedMs: -Infinity,
  signedMs: -Infinity,
  changed: "nothing"
})

/** Whether to look at one more message of this link; asked once for each. What is left out comes again with the next status. */
export const admits = (state: State, peer: PeerId, nowMs: number): boolean => {
  const link = state.links.get(peer)
  return link !== undefined && TokenBucket.take(link.bucket, nowMs)
}

/** What is to be done with a status before its signature is checked. */
export const sight = (state: State, signed: Signed): "known" | "unwanted" | "new" => {
  const known = state.known.get(signed.key)
  if (known === undefined) return state.known.size < Limits.statusPeersMax ? "new" : "unwanted"
  // A forged body under a known signature would be no newer than what it pretends to be: not worth a look either.
  return known.recent.some(({ signature }) => signature === signed.signature) ? "known" : "new"
}

/** The devices heard of lately, this one included. */
export const current = (state: State): ReadonlyArray<{ readonly key: PublicKey; readonly status: Status }> =>
  Array.from(state.known.values()).filter(({ live }) => live)

/** How often a device speaks to everybody: the larger the room, the less often, so that listening costs the same. */
export const floodIntervalMs = (devicesCount: number): number =>
  Math.max(Limits.statusRefreshMs, (devicesCount * 1_000) / Limits.statusFloodsPerSecondMax)

/** What is older is not sent to new links: its device has refreshed it or is gone. Devices that fell silent count. */
const sendableMs = (state: State): number => 1.5 * floodIntervalMs(state.known.size)

const expiryMs = (state: State): number => Math.max(Limits.statusExpiryMs, sendableMs(state))

/** How often this device may tell mere figures, so that a host has as much to listen to in a room of any size. */
const figuresIntervalMs = (state: State): number =>
  Math.max(Limits.statusIntervalMs, (state.known.size * 1_000) / Limits.statusesPerSecondMax)

/** Whether what this device says next is for everybody. A host's word always reaches all in time, and points out the way. */
const isForAll = (state: State, nowMs: number): boolean => {
  const sinceMs = nowMs - state.floodedMs
  if (state.hosts.has(state.self)) return state.changed === "matters" || sinceMs >= Limits.statusRefreshMs
  // Only whoever is still there has to be listened to.
  return sinceMs >= Limits.statusRefreshMs && sinceMs >= floodIntervalMs(current(state).length)
}

/** Whether it is time for this device to speak. */
const isDue = (state: State, nowMs: number): boolean => {
  const sinceMs = nowMs - state.signedMs
  switch (state.changed) {
    case "nothing":
      return state.number > 0 && (sinceMs >= Limits.statusRefreshMs || isForAll(state, nowMs))
    case "figures":
      return sinceMs >= figuresIntervalMs(state) || (sinceMs >= Limits.statusIntervalMs && isForAll(state, nowMs))
    case "matters":
      return sinceMs >= Limits.statusIntervalMs
  }
}

export const step = (state: State, input: Input, nowMs: number): ReadonlyArray<Output> => {
  const outputs: Array<Output> = []
  switch (input._tag) {
    case "NeighborUp":
      state.links.set(input.peer, {
        peer: input.peer,
        key: input.key,
        known: new Map(),
        brought: new Map(),
        nearHost: false,
        // It may be about to say that the host tells it everything.
        sentMs: input.key !== state.host && isNearHost(state) ? nowMs : -Infinity,
        bucket: TokenBucket.make(messagesPerSecondMax, messagesBurstMax, nowMs)
      })
      break
    case "NeighborDown":
      state.links.delete(input.peer)
      for (const known of state.known.values()) known.cameBy = known.cameBy.filter((peer) => peer !== input.peer)
      break
    case "Received": {
      const link = state.links.get(input.peer)
      if (link !== undefined) receive(state, link, input.items, nowMs, outputs)
      break
    }
    case "NeighborNearHost": {
      const link = state.links.get(input.peer)
      if (link !== undefined) link.nearHost = input.near
      break
    }
    case "Hosts":
      state.hosts = input.hosts
      state.host = input.host
      break
    case "Changed":
      if (state.changed !== "matters") state.changed = input.matters ? "matters" : "figures"
      break
    case "Signed":
      state.signedMs = nowMs
      state.changed = "nothing"
      keep(state, input.signed, input.status, undefined, nowMs)
      outputs.push({ _tag: "News" })
      break
    case "Tick":
      expire(state, nowMs, outputs)
      break
  }
  if (isDue(state, nowMs)) {
    state.number++
    if (isForAll(state, nowMs)) {
      state.since = state.number
      state.floodedMs = nowMs
    }
    outputs.push({ _tag: "Sign", number: state.number, since: state.since })
    // Until the answer comes there is nothing new to send.
    state.signedMs = nowMs
    return outputs
  }
  const ways = waysToHosts(state, nowMs)
  const near = isNearHost(state)
  for (const link of state.links.values()) {
    const leadsToHost = ways.has(link.peer)
    const hostTells = near && link.nearHost && !leadsToHost
    // What has just come goes on to a host at once and to others with the next tick: all who were told in one moment would
    // tell each other in the next.
    if (leadsToHost || input._tag !== "Received") serve(state, link, { leadsToHost, hostTells }, nowMs, outputs)
  }
  return outputs
}

const isNearHost = (state: State): boolean => {
  for (const { key } of state.links.values()) if (key === state.host) return true
  return false
}

const receive = (
  state: State,
  link: Link,
  items: ReadonlyArray<Item>,
  nowMs: number,
  outputs: Array<Output>
): void => {
  let overheadBytes = 0
  for (const { signed, status } of items) {
    const known = state.known.get(signed.key)
    const number = status?.number ?? known?.recent.find(({ signature }) => signature === signed.signature)?.number
    // Who is not on the way to a host knows of each device what was last for everybody, and says that to a new link.
    const current = known === undefined ? 0 : sinceOf(known.status)
    if (number === undefined || number < current || number <= (link.brought.get(signed.key) ?? -1)) {
      overheadBytes += signed.body.length + statusOverheadBytes
    } else link.brought.set(signed.key, number)
    if (number !== undefined) {
      const before = link.known.get(signed.key) ?? -1
      // Who has it not from here is nearer to its device by another way, and may be the next best way there.
      if (before < number && number === known?.status.number) known.cameBy.push(link.peer)
      link.known.set(signed.key, Math.max(number, before))
    }
    if (status === undefined || sight(state, signed) !== "new") continue
    if (signed.key === state.self) {
      // An earlier run of this device has spoken: whoever remembers that would not listen to smaller numbers.
      if (status.number >= state.number) {
        state.number = status.number
        state.changed = "matters"
        state.signedMs = -Infinity
        state.floodedMs = -Infinity
      }
      continue
    }
    if (known !== undefined && status.number <= known.status.number) {
      remember(known, signed.signature, status.number)
      continue
    }
    keep(state, signed, status, link.peer, nowMs)
    outputs.push({ _tag: "News" })
  }
  if (overheadBytes > 0) outputs.push({ _tag: "Overhead", peer: link.peer, bytes: overheadBytes })
}

const keep = (state: State, signed: Signed, status: Status, from: PeerId | undefined, nowMs: number): void => {
  const before = state.known.get(signed.key)
  const known: Known = {
    key: signed.key,
    signed,
    status,
    frameBytes: utf8Bytes(JSON.stringify(signed.body)) + statusOverheadBytes,
    heardMs: nowMs,
    live: true,
    cameBy: from === undefined ? [] : [from],
    recent: before?.recent ?? []
  }
  remember(known, signed.signature, status.number)
  state.known.set(signed.key, known)
}

const remember = (known: Known, signature: Signature, number: number): void => {
  known.recent.push({ signature, number })
  if (known.recent.length > signaturesKept) known.recent.shift()
}

const expire = (state: State, nowMs: number, outputs: Array<Output>): void => {
  for (const known of state.known.values()) {
    const silentMs = nowMs - known.heardMs
    if (known.live && silentMs >= expiryMs(state)) {
      known.live = false
      outputs.push({ _tag: "News" })
    }
    if (known.live || (silentMs < tombstoneMs && state.known.size < Limits.statusPeersMax)) continue
    state.known.delete(known.key)
    for (const link of state.links.values()) {
      link.known.delete(known.key)
      link.brought.delete(known.key)
    }
  }
}

/** The links that lead to the hosts which are heard of. */
const waysToHosts = (state: State, nowMs: number): ReadonlySet<PeerId> => {
  const ways = new Set<PeerId>()
  const near = new Set<PublicKey>()
  for (const { key, peer } of state.links.values()) {
    if (!state.hosts.has(key)) continue
    near.add(key)
    ways.add(peer)
  }
  for (const host of state.hosts) {
    const known = state.known.get(host)
    if (near.has(host) || known === undefined || nowMs - known.heardMs >= hostSilentMs) continue
    const [first] = known.cameBy
    if (first !== undefined) ways.add(first)
  }
  return ways
}

/** The number that everybody is to have at least. Who has asked for more than it has said gets no more than that. */
const sinceOf = ({ number, since }: Status): number => since ?? number

/** How a link stands to the host: it is on the way there, or both of its ends hear from the host itself. */
interface Way {
  readonly leadsToHost: boolean
  readonly hostTells: boolean
}

/** Whether the other side of a link is to be sent the newest that is known of a device. */
const isWanted = (state: State, link: Link, { hostTells, leadsToHost }: Way, known: Known, nowMs: number): boolean => {
  const { heardMs, key, status } = known
  const has = link.known.get(key) ?? -1
  if (has >= status.number || hostTells) return false
  // A device that starts again needs its last number, however long ago that was.
  if (key === link.key) return true
  const ageMs = nowMs - heardMs
  if (has < sinceOf(status) && ageMs < sendableMs(state)) return true
  // What has waited for longer has been replaced, and the host knows that by another way.
  return leadsToHost && ageMs < Limits.statusRefreshMs
}

const serve = (state: State, link: Link, way: Way, nowMs: number, outputs: Array<Output>): void => {
  if (nowMs - link.sentMs < Limits.statusBatchIntervalMs) return
  if (way.hostTells) noteTold(state, link, nowMs)
  const statuses: Array<Signed> = []
  let bytes = statusesOverheadBytes
  for (const known of state.known.values()) {
    if (!isWanted(state, link, way, known, nowMs)) continue
    if (statuses.length >= Limits.statusesPerMessageMax) break
    if (bytes + known.frameBytes > Limits.controlFrameBytesMax) break
    statuses.push(known.signed)
    bytes += known.frameBytes
    link.known.set(known.key, known.status.number)
  }
  if (statuses.length === 0) return
  link.sentMs = nowMs
  outputs.push({ _tag: "Send", peer: link.peer, message: { _tag: "Statuses", statuses } })
}

/** When the host leaves, what it has told is not told again. */
const noteTold = (state: State, link: Link, nowMs: number): void => {
  for (const { heardMs, key, status } of state.known.values()) {
    if (nowMs - heardMs < hostTellsMs) continue
    link.known.set(key, Math.max(link.known.get(key) ?? -1, sinceOf(status)))
  }
}
