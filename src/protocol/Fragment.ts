/**
 * The datagram of a multicast: a piece of one chunk, or a parity piece of it, for everybody who listens.
 *
 * ```
 * bytes 0-3    magic: 9b 6c 66 63, ".lfc"
 * byte  4      version: 1
 * bytes 5-8    sequence, big endian: counts the datagrams of one multicast
 * bytes 9-12   when it was sent, in milliseconds of the sender's clock, big endian, modulo 2^32
 * then, sealed with the multicast's key (AES-256-GCM; the bytes before are authenticated, the nonce is the sequence):
 *   bytes 0-3    the cast: which share this is of; 0 in a datagram that says only that the sender is there
 *   bytes 4-7    the chunk's index in the share
 *   bytes 8-11   where in the chunk the piece lies, in bytes: a multiple of `pieceBytes`; 0 for a parity piece
 *   bytes 12-13  `pieceBytes`: into pieces of how many bytes this chunk is cut; 0 in a sign of life
 *   bytes 14-15  0 for a piece; for a parity piece (see `Parity.ts`) which one it is, from 1
 *   then         the piece: so many bytes, or what is left of the chunk; or the parity piece, as long as the first piece
 * ```
 *
 * Who is in the session knows the key, so that nobody outside can read a fragment or slip one in. Who is in it could; what a
 * chunk is worth is shown by its hash alone.
 *
 * Invariants, checked by `test/protocol/Fragment.test.ts`:
 *
 * 1. **There and back:** what was encoded is decoded to the same, whatever the numbers.
 * 2. **Total:** decoding gives a value for any bytes and never throws.
 * 3. **Small:** no datagram is longer than `Limits.fragmentDatagramBytesMax`.
 */
import * as Limits from "./Limits.ts"
import type { Address } from "./Wire.ts"

const magic = [0x9b, 0x6c, 0x66, 0x63] as const
export const version = 1

/** What stands before the sealed part, and what the sealed part begins with. */
export const clearBytes = magic.length + 1 + 4 + 4
export const headBytes = 16
/** What sealing adds. */
export const sealBytes = 16
/** AES-256. */
export const keyBytes = 32
/** What a datagram has beyond its piece. */
export const aroundBytes = clearBytes + headBytes + sealBytes

/**
 * The groups among which the fragments of a multicast are dealt out, in turn: who listens has a socket for each. What comes while
 * its program does something else waits in the queues of the sockets, and Linux, where no administrator has said otherwise, gives
 * each of them 208 KiB, some four datagrams.
 *
 * Each is the first with the last byte changed (`xor`, from 0), so that all are of one network whatever the first is.
 */
export const groupsOf = ({ host, port }: Address, count: number): ReadonlyArray<Address> => {
  const end = host.lastIndexOf(".") + 1
  const last = Number(host.slice(end))
  return Array.from({ length: count }, (_, index) => ({ host: `${host.slice(0, end)}${last ^ index}`, port }))
}

/** What is read before a datagram is opened. */
export interface Clear {
  readonly sequence: number
  readonly sentMs: number
}

/** What a datagram carries, its piece aside. */
export interface Head {
  /** 0 for a sign of life. */
  readonly cast: number
  readonly index: number
  readonly offset: number
  readonly pieceBytes: number
  /** 0 for a piece. */
  readonly parity: number
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

export const encodeClear = ({ sentMs, sequence }: Clear): Uint8Array => {
  const bytes = new Uint8Array(clearBytes)
  bytes.set(magic)
  bytes[4] = version
  const numbers = view(bytes)
  numbers.setUint32(5, sequence)
  numbers.setUint32(9, sentMs)
  return bytes
}

/** Of a datagram as it came; nothing for one that is no fragment of this version. */
export const decodeClear = (datagram: Uint8Array): Clear | undefined => {
  if (datagram.length < aroundBytes) return undefined
  if (datagram.length > Limits.fragmentDatagramBytesMax || datagram[4] !== version) return undefined
  for (let i = 0; i < magic.length; i++) if (datagram[i] !== magic[i]) return undefined
  const numbers = view(datagram)
  return { sequence: numbers.getUint32(5), sentMs: numbers.getUint32(9) }
}

export const encodeHead = ({ cast, index, offset, parity, pieceBytes }: Head): Uint8Array => {
  const bytes = new Uint8Array(headBytes)
  const numbers = view(bytes)
  numbers.setUint32(0, cast)
  numbers.setUint32(4, index)
  numbers.setUint32(8, offset)
  numbers.setUint16(12, pieceBytes)
  numbers.setUint16(14, parity)
  return bytes
}

/** Of an opened datagram, at least {@link headBytes} long. */
export const decodeHead = (opened: Uint8Array): Head => {
  const numbers = view(opened)
  return {
    cast: numbers.getUint32(0),
    index: numbers.getUint32(4),
    offset: numbers.getUint32(8),
    pieceBytes: numbers.getUint16(12),
    parity: numbers.getUint16(14)
  }
}

/** No two datagrams of one key have the same: the sequence does not come round. */
export const nonce = (sequence: number): Uint8Array => {
  const bytes = new Uint8Array(12)
  view(bytes).setUint32(8, sequence)
  return bytes
}

/** How many bytes the piece at an offset has, of a chunk of so many; 0 where there is none. */
export const lengthAt = (pieceBytes: number, chunkBytes: number, offset: number): number =>
  offset % pieceBytes === 0 ? Math.max(0, Math.min(pieceBytes, chunkBytes - offset)) : 0
