/**
 * Who links to whom, as an IO-less machine: whom to dial, which link to give up, and which addresses to pass on.
 *
 * Up to `fullMeshPeersMax` devices everybody links to everybody. In a larger room each device keeps between
 * `linksWantedMin` and `linksWantedMax` links, which is enough for 500 devices to survive the crash of half of them. While
 * the host can have a link to everybody, each device wants one of these to be to the host, however many others it has.
 *
 * Invariants, checked by `test/protocol/Membership.test.ts`:
 *
 * 1. **One link a peer:** of two links between the same two peers both sides keep the one that the smaller PeerId dialled.
 * 2. **No hammering:** one peer is dialled at most once at a time, and after a failure not before its delay is over; one
 *    machine at most `dialsPerIntervalMax` times in `dialIntervalMs`, however many peers are said to be there.
 * 3. **Not surrounded:** while it knows enough addresses, a device dials at least `linksDialledMin` of its links itself,
 *    and the host first, whoever else has dialled it.
 * 4. **Never alone by choice:** a link is given up as surplus only by a device with more than `linksWantedMax` of them,
 *    towards a peer that has said it has more than `linksWantedMin`; and never one between the host and anybody, so that a
 *    usual room stays one hop from its teacher.
 * 5. **Bounded:** at most `peersKnownMax` peers are known; those never reached and longest unheard of go first.
 * 6. **Banned stays banned:** a peer that lied is neither dialled nor accepted again in this session.
 * 7. **One room:** a device without a link to the host dials one of those it is not linked to about every `mixIntervalMs`, however
 *    often that failed before and however many links it has. So two halves of a room that a fault has parted become one
 *    again when it is over, also where the teacher, who would hold them together, is gone.
 */
import type { PeerId } from "./Ids.ts"
import * as Limits from "./Limits.ts"
import type { Address, GoodbyeCode } from "./Wire.ts"

/** A failed or finished dial is tried again after 1 s, then twice as long each time, up to this. */
export const redialMsMax = 15_000
/** A link that was given up as surplus is not dialled again for this long, unless the device is short of links. */
export const surplusRestMs = 60_000
/** A peer that ended the link because of what this device did will hardly change its mind. */
export const refusedRestMs = 60_000
/**
 * In a full mesh the smaller PeerId dials at once and the larger after this, so that few pairs dial twice. And a device
 * that has just come dials `linksDialledFirst` others for so long: where all come at once, as many dial it.
 */
export const politenessMs = 1_500
/** Links younger than this are never given up as surplus: a room that has just met is still sorting itself out. */
export const settledMs = 20_000
/** How often a device that has no link to the host dials somebody new, on average. */
export const mixIntervalMs = 30_000

interface Known {
  /**
   * The next one to dial first: what failed goes to the end, and hearing of it once more does not bring it back. What the
   * peer has announced itself goes before what others say: they may lie.
   */
  addresses: ReadonlyArray<Address>
  /** When it was first or last heard of. */
  heardMs: number
  failures: number
  notBeforeMs: number
  /** Until when it is left alone because one side had links enough. */
  restUntilMs: number
  dialling: boolean
  reached: boolean
}

interface Link {
  readonly dialled: boolean
  readonly isHost: boolean
  /** Whether the peer is on this machine. */
  readonly local: boolean
  readonly sinceMs: number
  /** How many links the peer says it has. */
  links: number | undefined
}

interface Typed {
  readonly address: Address
  failures: number
  notBeforeMs: number
  dialling: boolean
  /** Whose address it turned out to be. */
  peer: PeerId | undefined
}

export interface Membership {
  readonly self: PeerId
  readonly isHost: boolean
  readonly random: () => number
  /** Who is the host now, as far as this device knows. */
  readonly host: () => PeerId | undefined
  readonly known: Map<PeerId, Known>
  readonly links: Map<PeerId, Link>
  readonly typed: Array<Typed>
  readonly banned: Set<PeerId>
  /** How often each machine was dialled since a moment ago. */
  readonly recent: Map<string, { sinceMs: number; count: number }>
  /** Until when it has just come: `politenessMs` after it heard of anybody. */
  newUntilMs: number
  /** When it dials somebody new, unless it has a link to the host then. */
  mixAtMs: number
}

export const make = (
  self: PeerId,
  isHost: boolean,
  random: () => number,
  host: () => PeerId | undefined = () => undefined
): Membership => ({
  self,
  isHost,
  random,
  host,
  known: new Map(),
  links: new Map(),
  typed: [],
  banned: new Set(),
  recent: new Map(),
  newUntilMs: Infinity,
  mixAtMs: Infinity
})

export type Input =
  /** Addresses of peers, `announced` by themselves or told by another peer. */
  | {
    readonly _tag: "Heard"
    readonly heard: ReadonlyArray<{ readonly peer: PeerId; readonly address: Address }>
    readonly announced: boolean
  }
  /** A person typed an address: it is tried for as long as the session lasts. */
  | { readonly _tag: "Typed"; readonly address: Address }
  | {
    readonly _tag: "DialFailed"
    readonly address: Address
    readonly expected: PeerId | undefined
    readonly self: boolean
  }
  /** Both hellos are through. `address` is where the peer can be dialled, if it accepts links. */
  | {
    readonly _tag: "LinkUp"
    readonly peer: PeerId
    readonly isHost: boolean
    readonly dialled: boolean
    readonly remote: Address
    readonly address: Address | undefined
  }
  | { readonly _tag: "LinkDown"; readonly peer: PeerId; readonly code: GoodbyeCode | undefined }
  /** A dial reached a peer that is linked already; the other link stays. */
  | { readonly _tag: "Duplicate"; readonly peer: PeerId; readonly remote: Address }
  | { readonly _tag: "PeerLinks"; readonly peer: PeerId; readonly links: number }
  | { readonly _tag: "Banned"; readonly peer: PeerId }
  | { readonly _tag: "Tick" }

export type Output =
  | { readonly _tag: "Dial"; readonly address: Address; readonly expected: PeerId | undefined }
  | { readonly _tag: "Close"; readonly peer: PeerId; readonly code: "surplus"; readonly detail: string }

const sameAddress = (a: Address, b: Address): boolean => a.host === b.host && a.port === b.port

const isLoopback = ({ host }: Address): boolean => host.startsWith("127.") || host === "::1"

/** Which of two links between the same peers stays: `true` for the one `self` dialled. Both sides agree on it. */
export const keepsDialled = (self: PeerId, peer: PeerId): boolean => self < peer

/**
 * Addresses worth telling a peer about that it was not `told` of: of linked peers first, then of others that were reached,
 * newest first. Loopback addresses mean another machine at every machine, so only a peer on this one hears of them.
 */
export const toTell = (
  state: Membership,
  to: PeerId,
  told: ReadonlySet<PeerId>
): ReadonlyArray<{ readonly peer: PeerId; readonly addresses: ReadonlyArray<Address> }> => {
  const local = state.links.get(to)?.local === true
  return Array.from(state.known)
    .filter(([peer, known]) => peer !== to && !told.has(peer) && (known.reached || state.links.has(peer)))
    .toSorted(([a, x], [b, y]) => Number(state.links.has(b)) - Number(state.links.has(a)) || y.heardMs - x.heardMs)
    .map(([peer, { addresses }]) => ({
      peer,
      addresses: local ? addresses : addresses.filter((address) => !isLoopback(address))
    }))
    .filter(({ addresses }) => addresses.length > 0)
    .slice(0, Limits.peersPerMessageMax)
}

/** Advances the machine in place by one input at `nowMs`. */
export const step = (state: Membership, input: Input, nowMs: number): ReadonlyArray<Output> => {
  switch (input._tag) {
    case "Heard":
      state.newUntilMs = Math.min(state.newUntilMs, nowMs + politenessMs)
      for (const { address, peer } of input.heard) hear(state, peer, address, input.announced, nowMs)
      return dials(state, nowMs)
    case "Typed":
      if (!state.typed.some((typed) => sameAddress(typed.address, input.address))) {
        state.typed.push({ address: input.address, failures: 0, notBeforeMs: 0, dialling: false, peer: undefined })
      }
      return dials(state, nowMs)
    case "DialFailed":
      dialFailed(state, input, nowMs)
      return dials(state, nowMs)
    case "LinkUp":
      linkUp(state, input, nowMs)
      return dials(state, nowMs)
    case "LinkDown":
      linkDown(state, input.peer, input.code, nowMs)
      return dials(state, nowMs)
    case "Duplicate":
      settleTyped(state, input.peer, input.remote)
      settleKnown(state, input.peer)
      return []
    case "PeerLinks": {
      const link = state.links.get(input.peer)
      if (link !== undefined) link.links = input.links
      return []
    }
    case "Banned":
      state.banned.add(input.peer)
      if (state.banned.size > Limits.peersBannedMax) state.banned.delete(state.banned.values().next().value!)
      state.known.delete(input.peer)
      return []
    case "Tick":
      return [...dials(state, nowMs), ...mix(state, nowMs), ...surplus(state, nowMs)]
  }
}

const hear = (state: Membership, peer: PeerId, address: Address, announced: boolean, nowMs: number): void => {
  if (peer === state.self || state.banned.has(peer)) return
  const known = state.known.get(peer)
  if (known === undefined) {
    if (state.known.size >= Limits.peersKnownMax) forgetOne(state)
    state.known.set(peer, {
      addresses: [address],
      heardMs: nowMs,
      failures: 0,
      // In a small room everybody hears of everybody at the same moment: the larger PeerId lets the smaller one dial.
      notBeforeMs: state.links.size < Limits.linksDialledMin || keepsDialled(state.self, peer) || peer === state.host()
        ? 0
        : nowMs + politenessMs,
      restUntilMs: 0,
      dialling: false,
      reached: false
    })
    return
  }
  known.heardMs = nowMs
  if (known.addresses.some((other) => sameAddress(other, address))) return
  // A new address is a new chance: the peer may have restarted elsewhere.
  known.notBeforeMs = Math.min(known.notBeforeMs, nowMs)
  const others = known.addresses.slice(0, Limits.addressesPerPeerMax - 1)
  known.addresses = announced ? [address, ...others] : [...others, address]
}

const forgetOne = (state: Membership): void => {
  let worst: readonly [PeerId, Known] | undefined
  for (const [peer, known] of state.known) {
    if (state.links.has(peer) || known.dialling) continue
    if (
      worst === undefined || (worst[1].reached && !known.reached) ||
      (worst[1].reached === known.reached && known.heardMs < worst[1].heardMs)
    ) worst = [peer, known]
  }
  if (worst !== undefined) state.known.delete(worst[0])
}

const redialMs = (failures: number): number => Math.min(redialMsMax, 1_000 * 2 ** Math.min(failures - 1, 10))

const dialFailed = (state: Membership, input: Input & { _tag: "DialFailed" }, nowMs: number): void => {
  const typed = state.typed.find((typed) => sameAddress(typed.address, input.address))
  if (typed !== undefined && input.expected === undefined) {
    typed.dialling = false
    typed.failures++
    typed.notBeforeMs = nowMs + redialMs(typed.failures)
    if (input.self) state.typed.splice(state.typed.indexOf(typed), 1)
  }
  const known = input.expected === undefined ? undefined : state.known.get(input.expected)
  if (known !== undefined) {
    known.dialling = false
    known.failures++
    known.notBeforeMs = nowMs + redialMs(known.failures)
    // Another address of the same peer may work: this one goes to the end of the line.
    known.addresses = [...known.addresses.filter((other) => !sameAddress(other, input.address)), input.address]
  }
}

const linkUp = (state: Membership, input: Input & { _tag: "LinkUp" }, nowMs: number): void => {
  state.links.set(input.peer, {
    dialled: input.dialled,
    isHost: input.isHost,
    local: isLoopback(input.remote),
    sinceMs: nowMs,
    links: undefined
  })
  if (input.address !== undefined) hear(state, input.peer, input.address, true, nowMs)
  settleKnown(state, input.peer, input.dialled)
  if (input.dialled) settleTyped(state, input.peer, input.remote)
}

const settleKnown = (state: Membership, peer: PeerId, dialled = false): void => {
  const known = state.known.get(peer)
  if (known === undefined) return
  known.dialling = false
  known.failures = 0
  known.reached = known.reached || dialled
}

const settleTyped = (state: Membership, peer: PeerId, remote: Address): void => {
  const typed = state.typed.find((typed) => sameAddress(typed.address, remote))
  if (typed === undefined) return
  typed.dialling = false
  typed.failures = 0
  typed.peer = peer
}

const linkDown = (state: Membership, peer: PeerId, code: GoodbyeCode | undefined, nowMs: number): void => {
  state.links.delete(peer)
  const known = state.known.get(peer)
  if (code === "surplus" && known !== undefined) known.restUntilMs = nowMs + surplusRestMs
  const final = code === "poison" || code === "protocol" || code === "refused"
  const notBeforeMs = nowMs + (final ? refusedRestMs : 1_000 * (0.5 + state.random()))
  for (const target of [known, state.typed.find((typed) => typed.peer === peer)]) {
    if (target === undefined) continue
    target.dialling = false
    target.notBeforeMs = notBeforeMs
  }
}

const dials = (state: Membership, nowMs: number): ReadonlyArray<Output> => {
  const outputs: Array<Output> = []
  for (const typed of state.typed) {
    if (typed.dialling || nowMs < typed.notBeforeMs) continue
    if (typed.peer !== undefined && (state.links.has(typed.peer) || state.banned.has(typed.peer))) continue
    typed.dialling = true
    outputs.push({ _tag: "Dial", address: typed.address, expected: undefined })
  }

  const candidates: Array<readonly [PeerId, Known]> = []
  let dialling = 0
  for (const [peer, known] of state.known) {
    if (known.dialling) dialling++
    else if (isCandidate(state, peer, known)) candidates.push([peer, known])
  }
  const small = state.known.size < Limits.fullMeshPeersMax
  let links = state.links.size + dialling
  let dialled = dialling
  for (const link of state.links.values()) if (link.dialled) dialled++
  const short = links < Limits.linksDialledMin
  const isNew = nowMs < state.newUntilMs
  const isWanted = (): boolean =>
    !(isNew && dialled >= Limits.linksDialledFirst) && (small
      ? state.links.size + dialling < Limits.fullMeshPeersMax
      : links < Limits.linksWantedMin || (dialled < Limits.linksDialledMin && links < Limits.linksWantedMax))
  const dial = (peer: PeerId, known: Known): void => {
    if (!mayBeDialled(state, known, short, nowMs)) return
    links++
    dialled++
    dialling++
    outputs.push(begin(peer, known))
  }
  const host = state.known.size < Limits.linksMax ? state.host() : undefined
  for (const [peer, known] of candidates) if (peer === host) dial(peer, known)
  // Most of the time a device has all the links it wants, and this is asked every second.
  if (candidates.length === 0 || !isWanted()) return outputs

  shuffle(candidates, state.random)
  // Whoever has failed least goes first.
  candidates.sort(([, a], [, b]) => a.failures - b.failures)
  for (const [peer, known] of candidates) {
    if (!isWanted()) break
    if (!known.dialling) dial(peer, known)
  }
  return outputs
}

const isCandidate = (state: Membership, peer: PeerId, known: Known): boolean =>
  !known.dialling && !state.links.has(peer) && known.addresses.length > 0

/** Whether it is this peer's time; `short`: this device has too few links to leave anybody alone. */
const mayBeDialled = (state: Membership, known: Known, short: boolean, nowMs: number): boolean =>
  nowMs >= known.notBeforeMs && (short || nowMs >= known.restUntilMs) && mayDial(state, known.addresses[0]!.host, nowMs)

const begin = (peer: PeerId, known: Known): Output => {
  known.dialling = true
  return { _tag: "Dial", address: known.addresses[0]!, expected: peer }
}

/** Dials anybody at all, now and then, while there is no link to the host. */
const mix = (state: Membership, nowMs: number): ReadonlyArray<Output> => {
  const isMesh = state.known.size >= Limits.fullMeshPeersMax
  if (state.isHost || !isMesh || Array.from(state.links.values()).some(({ isHost }) => isHost)) {
    state.mixAtMs = Infinity
    return []
  }
  const nextMs = () => nowMs + mixIntervalMs * (0.5 + state.random())
  if (state.mixAtMs === Infinity) state.mixAtMs = nextMs()
  if (nowMs < state.mixAtMs) return []
  const others = Array.from(state.known).filter(([peer, known]) => isCandidate(state, peer, known))
  shuffle(others, state.random)
  const found = others.find(([, known]) => mayBeDialled(state, known, false, nowMs))
  if (found === undefined) return []
  state.mixAtMs = nextMs()
  return [begin(...found)]
}

const mayDial = (state: Membership, host: string, nowMs: number): boolean => {
  const recent = state.recent.get(host)
  if (recent === undefined || nowMs - recent.sinceMs >= Limits.dialIntervalMs) {
    if (state.recent.size >= Limits.peersKnownMax) state.recent.delete(state.recent.keys().next().value!)
    state.recent.delete(host)
    state.recent.set(host, { sinceMs: nowMs, count: 1 })
    return true
  }
  recent.count++
  return recent.count <= Limits.dialsPerIntervalMax
}

const shuffle = <A>(items: Array<A>, random: () => number): void => {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    const item = items[i]!
    items[i] = items[j]!
    items[j] = item
  }
}

/** Gives up the link to the peer that has most others, one at a tick, so that a crowded device empties gently. */
const surplus = (state: Membership, nowMs: number): ReadonlyArray<Output> => {
  const isCrowded = state.known.size >= Limits.fullMeshPeersMax && state.links.size > Limits.linksWantedMax
  if (state.isHost || !isCrowded) return []
  let richest: PeerId | undefined
  let most = Limits.linksWantedMin
  for (const [peer, link] of state.links) {
    if (link.isHost || nowMs - link.sinceMs < settledMs || link.links === undefined || link.links <= most) continue
    most = link.links
    richest = peer
  }
  return richest === undefined
    ? []
    : [{ _tag: "Close", peer: richest, code: "surplus", detail: `${state.links.size} links here, ${most} there` }]
}
