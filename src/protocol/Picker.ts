/**
 * Rarest first: the wanted chunks of one share, ordered by how many sources claim each.
 *
 * `order` holds the wanted chunks, those with the fewest claims first; `ends[n]` is the place behind the last of those
 * with `n` claims. Counting a claim up or down swaps a chunk over one boundary; wanting it or not wanting it any more
 * crosses one boundary for each count in use, which is at most the number of links.
 * After the piece picker of libtorrent (Arvid Norberg, "writing a fast piece picker", 2011).
 *
 * Invariants, checked by `test/protocol/Picker.test.ts`:
 *
 * 1. `order` holds each wanted chunk once, sorted by claims, and `place` is its inverse.
 * 2. `pick` gives a wanted chunk of `bits` that no other wanted chunk of `bits` undercuts in claims, or -1 if there is none.
 */
import * as Bitfield from "./Bitfield.ts"

export interface Picker {
  /** How many sources claim each chunk, wanted or not. */
  readonly claims: Uint16Array
  readonly order: Uint32Array
  /** Where a chunk stands in `order`, or -1. */
  readonly place: Int32Array
  readonly ends: Array<number>
  size: number
}

/** Nothing is wanted and nothing claimed yet. */
export const make = (chunksCount: number): Picker => ({
  claims: new Uint16Array(chunksCount),
  order: new Uint32Array(chunksCount),
  place: new Int32Array(chunksCount).fill(-1),
  ends: [0],
  size: 0
})

export const wants = (picker: Picker, index: number): boolean => picker.place[index]! >= 0

/** Idempotent. */
export const want = (picker: Picker, index: number): void => {
  if (wants(picker, index)) return
  const claims = picker.claims[index]!
  reach(picker, claims)
  let free = picker.size++
  for (let count = picker.ends.length - 1; count > claims; count--) {
    const first = picker.ends[count - 1]!
    if (first < free) put(picker, picker.order[first]!, free)
    free = first
    picker.ends[count] = picker.ends[count]! + 1
  }
  picker.ends[claims] = picker.ends[claims]! + 1
  put(picker, index, free)
}

/** Idempotent. */
export const unwant = (picker: Picker, index: number): void => {
  let free = picker.place[index]!
  if (free < 0) return
  for (let count = picker.claims[index]!; count < picker.ends.length; count++) {
    const last = picker.ends[count]! - 1
    if (last > free) put(picker, picker.order[last]!, free)
    free = Math.max(last, free)
    picker.ends[count] = last
  }
  picker.size--
  picker.place[index] = -1
}

/** One more source claims the chunk. */
export const claim = (picker: Picker, index: number): void => {
  const claims = picker.claims[index]!
  if (wants(picker, index)) {
    reach(picker, claims + 1)
    const last = picker.ends[claims]! - 1
    swap(picker, index, last)
    picker.ends[claims] = last
  }
  picker.claims[index] = claims + 1
}

/** One source fewer claims the chunk. */
export const unclaim = (picker: Picker, index: number): void => {
  const claims = picker.claims[index]!
  if (wants(picker, index)) {
    const first = picker.ends[claims - 1]!
    swap(picker, index, first)
    picker.ends[claims - 1] = first + 1
  }
  picker.claims[index] = claims - 1
}

/** The rarest wanted chunk of `bits`, ties by `random` (in [0, 1)), or -1. */
export const pick = (picker: Picker, bits: Uint8Array, random: number): number => {
  let start = 0
  for (const end of picker.ends) {
    const found = pickBetween(picker, bits, start, end, random)
    if (found >= 0) return found
    start = end
  }
  return -1
}

/** Any wanted chunk of `bits`, or -1. */
export const pickAny = (picker: Picker, bits: Uint8Array, random: number): number =>
  pickBetween(picker, bits, 0, picker.size, random)

const pickBetween = (picker: Picker, bits: Uint8Array, start: number, end: number, random: number): number => {
  const length = end - start
  const offset = Math.floor(random * length)
  for (let i = 0; i < length; i++) {
    const index = picker.order[start + (i + offset) % length]!
    if (Bitfield.has(bits, index)) return index
  }
  return -1
}

const reach = (picker: Picker, claims: number): void => {
  while (picker.ends.length <= claims) picker.ends.push(picker.size)
}

const put = (picker: Picker, index: number, place: number): void => {
  picker.order[place] = index
  picker.place[index] = place
}

const swap = (picker: Picker, index: number, place: number): void => {
  const other = picker.order[place]!
  put(picker, other, picker.place[index]!)
  put(picker, index, place)
}
