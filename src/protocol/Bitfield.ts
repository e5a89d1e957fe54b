/**
 * A set of chunk indexes as bytes: bit `i` is bit `7 - (i & 7)` of byte `i >> 3`, as in BitTorrent (BEP 3).
 *
 * Plain `Uint8Array`s, changed in place: one chunk is one bit on the hot path.
 */

export const make = (count: number): Uint8Array => new Uint8Array((count + 7) >> 3)

export const full = (count: number): Uint8Array => {
  const bits = make(count)
  bits.fill(0xff)
  if ((count & 7) !== 0) bits[bits.length - 1] = 0xff << (8 - (count & 7))
  return bits
}

/** False beyond the end. */
export const has = (bits: Uint8Array, index: number): boolean => ((bits[index >> 3] ?? 0) & (0x80 >> (index & 7))) !== 0

export const add = (bits: Uint8Array, index: number): void => {
  bits[index >> 3] = bits[index >> 3]! | (0x80 >> (index & 7))
}

export const remove = (bits: Uint8Array, index: number): void => {
  bits[index >> 3] = bits[index >> 3]! & ~(0x80 >> (index & 7))
}

/** How many indexes are in the set. */
export const size = (bits: Uint8Array): number => {
  let count = 0
  for (let byte of bits) {
    while (byte !== 0) {
      byte &= byte - 1
      count++
    }
  }
  return count
}

/** Whether `bits` has exactly the length of a set of `count` indexes and nothing beyond the last of them. */
export const fits = (bits: Uint8Array, count: number): boolean =>
  bits.length === (count + 7) >> 3 &&
  ((count & 7) === 0 || (bits[bits.length - 1]! & (0xff >> (count & 7))) === 0)

/** The indexes in the set, ascending. */
export function* indexes(bits: Uint8Array): Generator<number> {
  for (let byte = 0; byte < bits.length; byte++) {
    if (bits[byte] === 0) continue
    for (let bit = 0; bit < 8; bit++) if (has(bits, byte * 8 + bit)) yield byte * 8 + bit
  }
}
