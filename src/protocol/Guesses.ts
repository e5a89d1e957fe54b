/**
 * Whose join code is looked at: guessing is throttled, and those who know the code are not kept out by it.
 *
 * Only wrong codes count. A source, a peer key or an address, has a few a minute, so an attacker gains nothing by making
 * more keys. All together have some more; half of these are kept for addresses that were not wrong lately, so a guesser
 * who holds many addresses uses each of them up but once an hour, and never the places of a class that comes to its lesson.
 *
 * Invariants, checked by `test/protocol/Guesses.test.ts`:
 *
 * 1. **Right is free:** a right code costs nobody anything, however many come at once from one address.
 * 2. **Throttled:** of one key, of one address and of all, no more wrong codes are answered in any minute than
 *    `wrongCodesPerSourceMax` and `wrongCodesMax`; of addresses that were wrong lately, `wrongCodesReserved` fewer.
 * 3. **Nothing leaks:** whether a code is looked at does not depend on whether it is right.
 * 4. **Bounded:** what is kept is an hour of wrong codes.
 */
import type { PublicKey } from "./Ids.ts"
import * as Limits from "./Limits.ts"

const minuteMs = 60_000
/** How long an address that was wrong has no part in the reserve. */
const rememberedMs = 60 * minuteMs

/** When the newest wrong codes came, oldest first. */
type Times = Array<number>

export interface State {
  readonly all: Times
  /** The sources that were wrong last stand last. */
  readonly keys: Map<string, Times>
  readonly addresses: Map<string, Times>
}

export const make = (): State => ({ all: [], keys: new Map(), addresses: new Map() })

/**
 * What one device can have only one of: an IPv4 address, or the network part of an IPv6 address, within which a device
 * chooses as it likes.
 */
export const sourceOf = (host: string): string => {
  const mapped = /^::ffff:([0-9.]+)$/i.exec(host)
  if (mapped !== null) return mapped[1]!
  if (!host.includes(":")) return host
  const [left = "", right] = host.toLowerCase().split("::")
  const before = left === "" ? [] : left.split(":")
  const after = right === undefined || right === "" ? [] : right.split(":")
  const zeros = right === undefined ? 0 : Math.max(0, 8 - before.length - after.length)
  return [...before, ...Array.from({ length: zeros }, () => "0"), ...after]
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ""))
    .join(":")
}

/** How many of the times lie within the last minute. */
const lately = (times: Times | undefined, nowMs: number): number =>
  times === undefined ? 0 : times.filter((time) => nowMs - time < minuteMs).length

const note = (sources: Map<string, Times>, source: string, nowMs: number): void => {
  const times = sources.get(source) ?? []
  sources.delete(source)
  sources.set(source, [...times, nowMs].slice(-Limits.wrongCodesPerSourceMax))
  for (const [oldest, of] of sources) {
    if (nowMs - of.at(-1)! < rememberedMs) break
    sources.delete(oldest)
  }
}

export type Answer =
  | "right"
  | "wrong"
  /** Not looked at: try again after some seconds. */
  | "later"

/** Answers a code that came over a link of this key from this host. Changes the state in place. */
export const answer = (state: State, key: PublicKey, host: string, isRight: boolean, nowMs: number): Answer => {
  const address = sourceOf(host)
  const before = state.addresses.get(address)
  const isFresh = before === undefined || nowMs - before.at(-1)! >= rememberedMs
  const allowed = isFresh ? Limits.wrongCodesMax : Limits.wrongCodesMax - Limits.wrongCodesReserved
  if (
    lately(state.all, nowMs) >= allowed ||
    lately(before, nowMs) >= Limits.wrongCodesPerSourceMax ||
    lately(state.keys.get(key), nowMs) >= Limits.wrongCodesPerSourceMax
  ) return "later"
  if (isRight) return "right"
  state.all.push(nowMs)
  if (state.all.length > Limits.wrongCodesMax) state.all.shift()
  note(state.keys, key, nowMs)
  note(state.addresses, address, nowMs)
  return "wrong"
}
