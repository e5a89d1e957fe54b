/**
 * Which chunks of an unfinished download are on disk, as bytes that survive anything.
 *
 * Two slots are written in turn, so that a write cut short spoils one and the other still says where the download stood.
 * A slot is a sequence number, the bits, and the SHA-256 of both. It is written behind the data it speaks of, so after a
 * killed program it never names a chunk that is not there. After a power cut it may: the store verifies every chunk that
 * it finds here before the chunk is served or published.
 */
import * as Bitfield from "../../protocol/Bitfield.ts"

type Sha256 = (bytes: Uint8Array) => Uint8Array

const sequenceBytes = 4
const digestBytes = 32

/** The size of one slot for that many chunks; the second slot begins there. */
export const slotBytes = (chunksCount: number): number => sequenceBytes + ((chunksCount + 7) >> 3) + digestBytes

/** Where the slot of a sequence number lies. */
export const slotPosition = (sequence: number, chunksCount: number): number => (sequence % 2) * slotBytes(chunksCount)

export const encodeSlot = (sequence: number, bits: Uint8Array, sha256: Sha256): Uint8Array => {
  const slot = new Uint8Array(sequenceBytes + bits.length + digestBytes)
  new DataView(slot.buffer).setUint32(0, sequence)
  slot.set(bits, sequenceBytes)
  slot.set(sha256(slot.subarray(0, -digestBytes)), sequenceBytes + bits.length)
  return slot
}

/** The newest whole slot of a journal; nothing where there is none. */
export const decode = (
  bytes: Uint8Array,
  chunksCount: number,
  sha256: Sha256
): { readonly sequence: number; readonly bits: Uint8Array } | undefined => {
  let newest: { readonly sequence: number; readonly bits: Uint8Array } | undefined
  const size = slotBytes(chunksCount)
  for (const position of [0, size]) {
    const slot = bytes.subarray(position, position + size)
    if (slot.length < size) continue
    const digest = sha256(slot.subarray(0, -digestBytes))
    if (!digest.every((byte, i) => slot[size - digestBytes + i] === byte)) continue
    const sequence = new DataView(slot.buffer, slot.byteOffset).getUint32(0)
    const bits = slot.slice(sequenceBytes, -digestBytes)
    if (Bitfield.fits(bits, chunksCount) && (newest === undefined || sequence > newest.sequence)) {
      newest = { sequence, bits }
    }
  }
  return newest
}
