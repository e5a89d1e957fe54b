/**
 * Which strangers may shake hands now, which wait and which are turned away.
 *
 * A handshake costs milliseconds of processor time and lasts as long as the stranger likes, up to its timeout. So places
 * are few, an address gets only some of them, and those who come too many at once (fifty devices behind one address)
 * wait for a short while instead of coming back later.
 *
 * A1 at most `handshakesMax` are under way, and at most `handshakesPerAddressMax` of one address;
 * A2 at most `handshakesWaitingMax` wait;
 * A3 nobody waits who could start;
 * A4 of one address, whoever came first starts first.
 */
import * as Limits from "./Limits.ts"

/** `Stranger` is whatever the caller tells its strangers apart by. Changed in place. */
export interface State<Stranger> {
  readonly underWay: Map<Stranger, string>
  readonly underWayOf: Map<string, number>
  /** In the order they came. */
  readonly waiting: Map<Stranger, string>
}

export const make = <Stranger>(): State<Stranger> => ({
  underWay: new Map(),
  underWayOf: new Map(),
  waiting: new Map()
})

const hasPlace = <Stranger>(state: State<Stranger>, address: string): boolean =>
  state.underWay.size < Limits.handshakesMax &&
  (state.underWayOf.get(address) ?? 0) < Limits.handshakesPerAddressMax

const start = <Stranger>(state: State<Stranger>, stranger: Stranger, address: string): void => {
  state.underWay.set(stranger, address)
  state.underWayOf.set(address, (state.underWayOf.get(address) ?? 0) + 1)
}

/** A stranger has come. `refuse` keeps nothing of it. */
export const arrive = <Stranger>(
  state: State<Stranger>,
  stranger: Stranger,
  address: string
): "start" | "wait" | "refuse" => {
  if (hasPlace(state, address)) {
    start(state, stranger, address)
    return "start"
  }
  if (state.waiting.size >= Limits.handshakesWaitingMax) return "refuse"
  state.waiting.set(stranger, address)
  return "wait"
}

/** A stranger has proven itself, given up or been given up; gives whoever starts in its place. Idempotent. */
export const leave = <Stranger>(state: State<Stranger>, stranger: Stranger): Stranger | undefined => {
  if (state.waiting.delete(stranger)) return undefined
  const address = state.underWay.get(stranger)
  if (address === undefined) return undefined
  state.underWay.delete(stranger)
  const left = state.underWayOf.get(address)! - 1
  if (left === 0) state.underWayOf.delete(address)
  else state.underWayOf.set(address, left)
  for (const [next, from] of state.waiting) {
    if (!hasPlace(state, from)) continue
    state.waiting.delete(next)
    start(state, next, from)
    return next
  }
  return undefined
}
