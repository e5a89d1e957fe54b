/**
 * What a chunk's lost pieces are made of again: any `n` parity pieces replace any `n` pieces.
 *
 * A systematic Reed-Solomon code over GF(2^8) with a Cauchy matrix, of which every square part can be inverted (J. Blömer et al.,
 * "An XOR-based erasure-resilient coding scheme", ICSI TR-95-048, 1995). Parity `p` (from 0) of pieces `i` is the sum of
 * `piece[i] / ((192 + p) xor i)`, byte by byte, in the field of the polynomial `x^8 + x^4 + x^3 + x^2 + 1`; the last piece of
 * a chunk counts as filled up with zeros.
 *
 * Invariant, checked by `test/protocol/Parity.test.ts`:
 *
 * 1. **Any for any:** whichever pieces are missing, and whichever parity pieces there are, as many of these as of those give
 *    the chunk back byte for byte.
 */

/** Of one chunk: the field has 256 elements, and each piece and each parity piece has one. A chunk of 256 KiB has 187 small pieces. */
export const piecesMax = 192
export const paritiesMax = 64

const polynomial = 0x11d
const exponentials = new Uint8Array(2 * 255)
const logarithms = new Uint8Array(256)
for (let power = 0, element = 1; power < 255; power++) {
  exponentials[power] = exponentials[power + 255] = element
  logarithms[element] = power
  element <<= 1
  if (element > 255) element ^= polynomial
}

const multiply = (a: number, b: number): number =>
  a === 0 || b === 0 ? 0 : exponentials[logarithms[a]! + logarithms[b]!]!
const invert = (a: number): number => exponentials[255 - logarithms[a]!]!

/** What a factor makes of each byte, once it was needed. */
const products = new Map<number, Uint8Array>()
const productsOf = (factor: number): Uint8Array => {
  let row = products.get(factor)
  if (row === undefined) {
    products.set(
      factor,
      row = Uint8Array.from({ length: 256 }, (_, byte) => multiply(factor, byte))
    )
  }
  return row
}

const factorOf = (parity: number, piece: number): number => invert((piecesMax + parity) ^ piece)

/** Adds `factor` times the one to the other, as far as the shorter goes: the hot loop of both directions. */
const add = (sum: Uint8Array, bytes: Uint8Array, factor: number): void => {
  const row = productsOf(factor)
  const length = Math.min(sum.length, bytes.length)
  for (let i = 0; i < length; i++) sum[i]! ^= row[bytes[i]!]!
}

const pieceAt = (chunk: Uint8Array, pieceBytes: number, piece: number): Uint8Array =>
  chunk.subarray(piece * pieceBytes, (piece + 1) * pieceBytes)

/** Parity piece `parity` (0 to before {@link paritiesMax}) of a chunk of at most {@link piecesMax} pieces: as long as its first. */
export const encode = (chunk: Uint8Array, pieceBytes: number, parity: number): Uint8Array => {
  const sum = new Uint8Array(Math.min(pieceBytes, chunk.length))
  for (let piece = 0; piece * pieceBytes < chunk.length; piece++) {
    add(sum, pieceAt(chunk, pieceBytes, piece), factorOf(parity, piece))
  }
  return sum
}

/**
 * Puts the pieces that are not here (0 in `here`, one byte a piece) in their places in `chunk`, from at least as many parity
 * pieces.
 */
export const rebuild = (
  chunk: Uint8Array,
  pieceBytes: number,
  here: Uint8Array,
  parities: ReadonlyMap<number, Uint8Array>
): void => {
  const missing = Array.from(here.keys()).filter((piece) => here[piece] === 0)
  const rows = Array.from(parities).slice(0, missing.length).map(([parity, bytes]) => {
    // What of the sum is of the missing ones.
    const sum = bytes.slice()
    for (const piece of here.keys()) {
      if (here[piece] !== 0) add(sum, pieceAt(chunk, pieceBytes, piece), factorOf(parity, piece))
    }
    return { sum, factors: missing.map((piece) => factorOf(parity, piece)) }
  })
  solve(rows)
  for (const [i, piece] of missing.entries()) {
    const place = pieceAt(chunk, pieceBytes, piece)
    place.set(rows[i]!.sum.subarray(0, place.length))
  }
}

/** Gauss and Jordan: afterwards row `i` is unknown `i` alone. No part of the matrix is singular, so each pivot is found at once. */
const solve = (rows: ReadonlyArray<{ readonly sum: Uint8Array; readonly factors: Array<number> }>): void => {
  for (const [i, pivot] of rows.entries()) {
    scale(pivot, invert(pivot.factors[i]!))
    for (const row of rows) {
      const factor = row.factors[i]!
      if (row === pivot || factor === 0) continue
      add(row.sum, pivot.sum, factor)
      for (const [column, value] of pivot.factors.entries()) row.factors[column]! ^= multiply(factor, value)
    }
  }
}

const scale = (row: { readonly sum: Uint8Array; readonly factors: Array<number> }, factor: number): void => {
  const bytes = productsOf(factor)
  for (let i = 0; i < row.sum.length; i++) row.sum[i] = bytes[row.sum[i]!]!
  for (const [column, value] of row.factors.entries()) row.factors[column] = multiply(factor, value)
}

/** How many parity pieces make good what is lost of so many pieces, but for so many of the chunks: lost pieces come as Poisson has it. */
export const countFor = (piecesCount: number, loss: number, unhealedPart: number): number => {
  for (let count = 0; count < paritiesMax; count++) {
    const mean = loss * (piecesCount + count)
    let term = Math.exp(-mean)
    let healed = term
    for (let lost = 1; lost <= count; lost++) healed += term *= mean / lost
    if (1 - healed <= unhealedPart) return count
  }
  return paritiesMax
}
