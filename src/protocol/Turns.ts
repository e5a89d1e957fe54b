/**
 * When a device announces its session: turns, one for each network it stands in.
 *
 * The host announces about once a second. Every other device begins after a random silence in which it has heard nobody
 * announce the session there, goes on once a second while it hears nobody, and falls silent again when it does. So a
 * network hears about one announcement a second, whoever speaks, however many could, and also after the host has left.
 * A device that stands in two networks keeps the silence of each, and so carries the news from one to the other.
 *
 * Hearing is not mutual: who is behind a wall, or is played old announcements by an attacker, must still be heard. So
 * nobody is ever silent for longer than `Limits.muteMsMax`.
 *
 * State is changed in place; time and chance come in.
 *
 * Invariants, checked by `test/protocol/Turns.test.ts`:
 *
 * 1. **Host:** the host speaks at once, and again within `Limits.announceIntervalMsMax`, whatever it hears.
 * 2. **Silence:** no other device speaks within `Limits.silenceMsMin` of an announcement heard in that network, except
 *    after `Limits.muteMsMin` of its own silence.
 * 3. **Liveness:** every device speaks after `Limits.silenceMsMax` of silence at most, and once it does, like a host; on
 *    loopback, while another network is up, `Limits.loopbackWaitMs` later each time.
 * 4. **Never mute:** every device speaks at least every `Limits.muteMsMax`, whatever it hears.
 */
import { type Certificate, supersedes } from "./Certificate.ts"
import { type InterfaceAddress, isNeighbor } from "./Interfaces.ts"
import * as Limits from "./Limits.ts"

interface Turn {
  readonly from: InterfaceAddress
  /** What this device waits longer here than in a network that needs it. */
  readonly waitsLongerMs: number
  dueMs: number
  /** When the device speaks whatever it hears. */
  latestMs: number
}

export interface Turns {
  /** A number in [0, 1) at each call. */
  readonly random: () => number
  readonly byNetwork: Map<string, Turn>
  announced: { readonly certificate: Certificate; readonly isHost: boolean } | undefined
}

export const make = (random: () => number): Turns => ({ random, byNetwork: new Map(), announced: undefined })

/** A whole number: timers count milliseconds. */
const between = (turns: Turns, low: number, high: number): number => low + Math.floor(turns.random() * (high - low + 1))

/** How long after an announcement of its own a device makes the next. */
const intervalMs = (turns: Turns): number => between(turns, Limits.announceIntervalMsMin, Limits.announceIntervalMsMax)

/** How long after an announcement of somebody else's a device makes one. */
const silenceMs = (turns: Turns): number => between(turns, Limits.silenceMsMin, Limits.silenceMsMax)

/** How long a device may stay silent because of what it hears. */
const muteMs = (turns: Turns): number => between(turns, Limits.muteMsMin, Limits.muteMsMax)

/** Takes every turn that is due: where to announce from, now. `interfaces` is what is up at this moment. */
export const take = (
  turns: Turns,
  certificate: Certificate,
  isHost: boolean,
  interfaces: ReadonlyArray<InterfaceAddress>,
  nowMs: number
): ReadonlyArray<InterfaceAddress> => {
  turns.announced = { certificate, isHost }
  const due: Array<InterfaceAddress> = []
  const present = new Set<string>()
  const isAlone = interfaces.every(({ loopback }) => loopback)
  for (const from of interfaces) {
    const network = `${from.name}/${from.address}/${from.prefixLength}`
    present.add(network)
    const turn = turns.byNetwork.get(network)
    const waitsLongerMs = from.loopback && !isHost && !isAlone ? Limits.loopbackWaitMs : 0
    const dueMs = turn?.dueMs ?? (isHost ? nowMs : nowMs + silenceMs(turns) + waitsLongerMs)
    const isDue = dueMs <= nowMs
    if (isDue) due.push(from)
    if (turn !== undefined && !isDue) continue
    turns.byNetwork.set(network, {
      from,
      waitsLongerMs,
      dueMs: isDue ? nowMs + intervalMs(turns) + waitsLongerMs : dueMs,
      latestMs: nowMs + muteMs(turns)
    })
  }
  for (const network of turns.byNetwork.keys()) if (!present.has(network)) turns.byNetwork.delete(network)
  return due
}

/**
 * Somebody else has announced a session, from the address `host`. An announcement of an older certificate does not
 * count: whoever hears only that one would look for a host that is gone.
 */
export const heard = (turns: Turns, certificate: Certificate, host: string, nowMs: number): void => {
  const announced = turns.announced
  if (announced === undefined || announced.isHost) return
  if (certificate.root !== announced.certificate.root || certificate.session !== announced.certificate.session) return
  if (supersedes(announced.certificate, certificate)) return
  const all = Array.from(turns.byNetwork.values())
  const near = all.filter((turn) => isNeighbor(turn.from, host))
  // An address of no network of ours has come by some way we cannot tell. Too quiet is cheaper than everybody at once.
  for (const turn of near.length > 0 ? near : all) {
    turn.dueMs = Math.min(nowMs + silenceMs(turns) + turn.waitsLongerMs, Math.max(nowMs, turn.latestMs))
  }
}

/** How long to wait before the next {@link take}: until a turn may be due, and not longer than a new interface may wait. */
export const waitMs = (turns: Turns, nowMs: number): number => {
  let dueMs = nowMs + (turns.announced?.isHost === false ? Limits.silenceMsMin : Limits.announceIntervalMsMin)
  for (const turn of turns.byNetwork.values()) dueMs = Math.min(dueMs, turn.dueMs)
  return Math.max(0, dueMs - nowMs)
}
