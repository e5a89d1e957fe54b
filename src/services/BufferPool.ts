/**
 * Buffers of chunks, used again: fresh ones are the largest avoidable cost of moving bytes.
 *
 * A buffer has room for the next power of two, so that packs, of which hardly two have one size, use each other's.
 */

export interface BufferPool {
  /** A buffer of so many bytes, whatever is in them. */
  readonly acquire: (sizeBytes: number) => Uint8Array
  /** Gives back what {@link acquire} gave, once. */
  readonly release: (buffer: Uint8Array) => void
}

/** Keeps at most so many bytes for later; the rest is left to the garbage collector. */
export const make = (keptBytesMax: number): BufferPool => {
  /** By size in bytes, a power of two. */
  const kept = new Map<number, Array<ArrayBufferLike>>()
  let keptBytes = 0

  return {
    acquire: (sizeBytes) => {
      const roomBytes = 2 ** Math.ceil(Math.log2(Math.max(1, sizeBytes)))
      const found = kept.get(roomBytes)?.pop()
      if (found !== undefined) keptBytes -= roomBytes
      return new Uint8Array(found ?? new ArrayBuffer(roomBytes), 0, sizeBytes)
    },
    release: ({ buffer }) => {
      if (keptBytes + buffer.byteLength > keptBytesMax) return
      keptBytes += buffer.byteLength
      const alike = kept.get(buffer.byteLength)
      if (alike === undefined) kept.set(buffer.byteLength, [buffer])
      else alike.push(buffer)
    }
  }
}
