/**
 * A device's side of the host's casts: puts the fragments of a multicast together to chunks, says how it hears them, and
 * knows for how long a share is better waited for than asked for.
 *
 * Where datagrams are lost parity pieces come after those of each chunk, and replace as many.
 *
 * Nothing here is believed: a fragment may be lost, repeated, late, or made up by somebody in the room. A chunk counts when
 * its hash is right, and a device that hears nothing, or false chunks, asks its neighbors as if there were no multicast.
 *
 * The manifest comes first, and nobody waits for it: until it is known chunks are put together as far as their pieces tell,
 * and held. What it says of their sizes then decides which are whole.
 *
 * State is changed in place; inputs carry the time. Fragments are not inputs but calls of {@link hear}: this is a hot path.
 *
 * Invariants, checked by `test/protocol/CastReceiver.test.ts`:
 *
 * 1. **Whole:** a chunk is complete when each of its bytes has come once, in whatever order and however often.
 * 2. **Bounded:** chunks under way, and those that wait for their manifest, stay within `Limits.castBytesMax`.
 * 3. **Let go:** a share that is waited for is let go when its cast is over, its host gone, or nothing came for {@link silentMs}.
 * 4. **Distrust:** after `Limits.castChunksFalseMax` false chunks nothing is heard any more.
 * 5. **Asked for:** a manifest that the cast did not bring is asked for once content comes.
 */
import { type Clear, type Head, lengthAt } from "./Fragment.ts"
import type { Root } from "./Ids.ts"
import * as Limits from "./Limits.ts"
import * as Parity from "./Parity.ts"
import * as TokenBucket from "./TokenBucket.ts"
import type { CastMessage } from "./Wire.ts"

/** Nothing came for so long, not even a sign of life: the multicast does not arrive. */
export const silentMs = 1_500
/** While a cast is young its rate may be far too high: who hears nothing for so long says so. */
const hushMs = 80
/** What is reported has been heard up to a moment so long ago: sockets are read one after the other, and out of order. */
const settledMs = 20
/** How long the quickest way is remembered, against which a queue is measured; clocks drift. */
const baselineMs = 10_000
/** Sequences that are remembered, so that what comes twice counts once. */
const windowLength = 4_096

/** A chunk under way. Whoever has the buffer keeps it here. */
export interface Assembly {
  readonly root: Root
  readonly index: number
  /** The chunk's bytes, or the most that it can have. */
  readonly bytes: number
  readonly pieceBytes: number
  /** Which pieces are here. */
  readonly pieces: Uint8Array
  /** The parity pieces that are here, from 0. Whoever has the bytes keeps them here. */
  readonly parities: Map<number, Uint8Array>
  /** What is held of it, parity included. */
  heldBytes: number
  /** How many are not; `Infinity` until the chunk's size is known. */
  missingCount: number
  /** Where the last piece that is here ends; what is shorter than a piece ends its chunk. */
  endBytes: number
  buffer: Uint8Array | undefined
}

/** What is known of an open share without its manifest. */
export interface Outline {
  readonly manifestChunksCount: number
  /** Of a full chunk of content. */
  readonly chunkSizeBytes: number
}

interface Cast {
  readonly root: Root
  readonly number: number
  readonly sinceMs: number
  awaited: boolean
  ready: boolean
  /** The share is open here. */
  outline: Outline | undefined
  /** Chunks of the manifest that this cast has brought. */
  readonly manifestWhole: Set<number>
  /** Content has come, after which there is no more of the manifest. */
  passed: boolean
  /** When something of it came first; `-Infinity` before that. */
  heardSinceMs: number
}

/** What the machine asks of whoever has the shares. */
export interface Shares {
  /** The size of a chunk in bytes; 0 while it is not known. */
  readonly chunkBytes: (root: Root, index: number) => number
  /** Whether a chunk would be taken and is not here. */
  readonly isMissing: (root: Root, index: number) => boolean
}

/** From a notice of the host. */
type Noticed = ReadonlyArray<{ readonly share: Root; readonly cast: number }>

export interface CastReceiver {
  readonly shares: Shares
  /** There is a host that casts, and it is listened to. */
  listening: boolean
  hears: boolean
  readonly casts: Map<number, Cast>
  /** What neighbors say that is cast. */
  noticed: Noticed
  readonly assemblies: Map<string, Assembly>
  assembledBytes: number
  highest: number
  received: number
  reportMs: number
  reportAtMs: number
  /** The next report is up to this sequence, as of that moment, `Infinity` for none; and how many above it were received since. */
  markedSequence: number
  markedAtMs: number
  receivedAbove: number
  /** Up to where was reported. */
  reportedSequence: number
  /** Byte `sequence % windowLength`: 1 for what was heard of the last so many. */
  readonly window: Uint8Array
  /** The shortest way lately and before that, and the shortest since the last report: the sender's clock is another one. */
  shortestMs: number
  shortestBeforeMs: number
  shortestSinceMs: number
  quickestMs: number
  heardAtMs: number
  falseCount: number
  readonly strays: TokenBucket.TokenBucket
  outputs: Array<Output>
}

export type Input =
  /** The host says where it casts: listen there from now on. */
  | { readonly _tag: "Listening" }
  /** The host's link is down. */
  | { readonly _tag: "HostDown" }
  | { readonly _tag: "Message"; readonly message: CastMessage }
  /** What is being cast, all of it, as neighbors pass it on: who has no link to the host is told of nothing else. */
  | { readonly _tag: "Noticed"; readonly casts: Noticed }
  /** The share is open here: its chunks can be taken, before its manifest is known unless `patient`. */
  | { readonly _tag: "ShareOpened"; readonly root: Root; readonly outline: Outline; readonly patient: boolean }
  /** The manifest of a share that is open is known: its chunks can be verified. */
  | { readonly _tag: "ManifestKnown"; readonly root: Root }
  /** A chunk that was put together was not what was signed. */
  | { readonly _tag: "ChunkFalse" }
  | { readonly _tag: "Tick" }

export type Output =
  /** To the host. */
  | { readonly _tag: "Send"; readonly message: CastMessage }
  /** Chunks of the share come by themselves: do not ask for them; and do. */
  | { readonly _tag: "Await"; readonly root: Root }
  | { readonly _tag: "Release"; readonly root: Root }
  /** The manifest did not come with the cast: ask for it. */
  | { readonly _tag: "AskManifest"; readonly root: Root }
  /** A chunk is whole, or will be when what is missing is made of its parity pieces: verify and keep it. */
  | { readonly _tag: "Whole"; readonly assembly: Assembly }
  /** Give the buffers of these back: they are not going to be whole. */
  | { readonly _tag: "Drop"; readonly assembly: Assembly }
  /** Close the socket. */
  | { readonly _tag: "Deafen" }

export const make = (shares: Shares, nowMs: number): CastReceiver => ({
  shares,
  listening: false,
  hears: false,
  casts: new Map(),
  noticed: [],
  assemblies: new Map(),
  assembledBytes: 0,
  highest: 0,
  received: 0,
  reportMs: Limits.castReportMsMax,
  reportAtMs: Infinity,
  markedSequence: 0,
  markedAtMs: Infinity,
  receivedAbove: 0,
  reportedSequence: 0,
  window: new Uint8Array(windowLength),
  shortestMs: Infinity,
  shortestBeforeMs: Infinity,
  shortestSinceMs: nowMs,
  quickestMs: Infinity,
  heardAtMs: nowMs,
  falseCount: 0,
  strays: TokenBucket.make(Limits.strayFragmentsPerSecondMax, Limits.strayFragmentsBurstMax, nowMs),
  outputs: []
})

export const step = (receiver: CastReceiver, input: Input, nowMs: number): ReadonlyArray<Output> => {
  const outputs: Array<Output> = []
  receiver.outputs = outputs
  switch (input._tag) {
    case "Listening":
      letGo(receiver)
      receiver.listening = receiver.falseCount < Limits.castChunksFalseMax
      if (!receiver.listening) receiver.outputs.push({ _tag: "Deafen" })
      receiver.heardAtMs = nowMs
      break
    case "HostDown":
      stop(receiver)
      break
    case "Message":
      if (input.message._tag === "Cast") cast(receiver, input.message, nowMs)
      break
    case "Noticed":
      receiver.noticed = input.casts
      follow(receiver, nowMs)
      break
    case "ShareOpened":
      for (const cast of receiver.casts.values()) {
        if (cast.root !== input.root) continue
        cast.outline = input.outline
        if (!input.patient) ready(receiver, cast)
      }
      break
    case "ManifestKnown":
      for (const cast of receiver.casts.values()) if (cast.root === input.root) ready(receiver, cast)
      for (const [key, assembly] of receiver.assemblies) {
        if (assembly.root === input.root) settle(receiver, key, assembly)
      }
      break
    case "ChunkFalse":
      // It may have been the manifest's.
      for (const cast of receiver.casts.values()) askManifest(receiver, cast, () => false)
      if (++receiver.falseCount >= Limits.castChunksFalseMax) distrust(receiver)
      break
    case "Tick":
      watch(receiver, nowMs)
  }
  return outputs
}

const send = (receiver: CastReceiver, message: CastMessage): void => {
  receiver.outputs.push({ _tag: "Send", message })
}

/** Waits for what was noticed, as far as it is heard here, and no more for what was not. */
const follow = (receiver: CastReceiver, nowMs: number): void => {
  const { casts, noticed } = receiver
  for (const [number, known] of casts) if (!noticed.some(({ cast }) => cast === number)) release(receiver, known)
  for (const each of noticed) {
    cast(receiver, { _tag: "Cast", ...each, over: false, reportMs: Limits.castReportMsMax }, nowMs)
  }
}

const cast = (
  receiver: CastReceiver,
  { cast: number, over, reportMs, share: root }: Extract<CastMessage, { readonly _tag: "Cast" }>,
  nowMs: number
): void => {
  const known = receiver.casts.get(number)
  if (over) {
    // What is still on its way is taken all the same: the number stays known.
    if (known !== undefined) release(receiver, known)
    return
  }
  receiver.reportMs = reportMs
  receiver.reportAtMs = Math.min(receiver.reportAtMs, nowMs + reportMs)
  if (known?.awaited === true || !receiver.hears) return
  if (known === undefined && receiver.casts.size >= Limits.castsMax) {
    const oldest = receiver.casts.values().next().value!
    release(receiver, oldest)
    receiver.casts.delete(oldest.number)
  }
  receiver.casts.set(number, {
    root,
    number,
    sinceMs: nowMs,
    awaited: true,
    ready: false,
    outline: undefined,
    manifestWhole: new Set(),
    passed: false,
    heardSinceMs: -Infinity
  })
  receiver.outputs.push({ _tag: "Await", root })
}

const ready = (receiver: CastReceiver, cast: Cast): void => {
  if (cast.ready || !cast.awaited) return
  cast.ready = true
  send(receiver, { _tag: "Ready", cast: cast.number })
}

/** Has the manifest asked for if some of it is neither here nor on its way to the disk. */
const askManifest = (
  { outputs, shares }: CastReceiver,
  { awaited, outline, root }: Cast,
  isOnItsWay: (index: number) => boolean
): void => {
  if (!awaited || outline === undefined) return
  for (let index = 0; index < outline.manifestChunksCount; index++) {
    if (shares.isMissing(root, index) && !isOnItsWay(index)) return void outputs.push({ _tag: "AskManifest", root })
  }
}

const release = (receiver: CastReceiver, cast: Cast): void => {
  if (!cast.awaited) return
  cast.awaited = false
  receiver.outputs.push({ _tag: "Release", root: cast.root })
}

const drop = (receiver: CastReceiver, key: string, assembly: Assembly): void => {
  receiver.assemblies.delete(key)
  receiver.assembledBytes -= assembly.heldBytes
  receiver.outputs.push({ _tag: "Drop", assembly })
}

/** Forgets what it heard, and whom of. */
const letGo = (receiver: CastReceiver): void => {
  for (const cast of receiver.casts.values()) release(receiver, cast)
  receiver.casts.clear()
  for (const [key, assembly] of receiver.assemblies) drop(receiver, key, assembly)
  receiver.hears = false
  receiver.reportAtMs = Infinity
  receiver.markedAtMs = Infinity
}

const stop = (receiver: CastReceiver): void => {
  letGo(receiver)
  receiver.noticed = []
  receiver.listening = false
  receiver.outputs.push({ _tag: "Deafen" })
}

/** Somebody makes up fragments: what others have is asked for, and the host is told not to count on this device. */
const distrust = (receiver: CastReceiver): void => {
  if (receiver.hears) send(receiver, { _tag: "Tuned", hears: false })
  stop(receiver)
}

/** A datagram that the key does not open: some come astray, a flood of them costs a processor. */
export const stray = (receiver: CastReceiver, nowMs: number): ReadonlyArray<Output> => {
  receiver.outputs = []
  if (!TokenBucket.take(receiver.strays, nowMs)) distrust(receiver)
  return receiver.outputs
}

const watch = (receiver: CastReceiver, nowMs: number): void => {
  if (!receiver.hears) return
  if (nowMs >= hushAtMs(receiver)) {
    if (receiver.markedAtMs === Infinity) mark(receiver, nowMs)
    else {
      const isNews = receiver.markedSequence > receiver.reportedSequence
      report(receiver)
      // What is no news says that nothing came.
      if (isNews && nowMs >= receiver.heardAtMs + hushMs) report(receiver)
    }
  }
  for (const cast of receiver.casts.values()) {
    if (!cast.awaited || nowMs < Math.max(cast.sinceMs, receiver.heardAtMs) + silentMs) continue
    receiver.hears = false
    send(receiver, { _tag: "Tuned", hears: false })
    for (const each of receiver.casts.values()) release(receiver, each)
    return
  }
}

/**
 * When it is to be told that nothing more came, for all of it may be lost; or before that marked: this device may only not have had
 * its turn, and then something is there that it is about to read.
 */
const hushAtMs = ({ casts, heardAtMs, markedAtMs, reportAtMs }: CastReceiver): number => {
  const atMs = markedAtMs < Infinity ? markedAtMs + settledMs : Math.max(heardAtMs + hushMs, reportAtMs)
  for (const { awaited, heardSinceMs } of casts.values()) if (awaited && atMs < heardSinceMs + silentMs) return atMs
  return Infinity
}

/** The next report is of what has been sent so far. */
const mark = (receiver: CastReceiver, nowMs: number): void => {
  receiver.markedSequence = receiver.highest
  receiver.markedAtMs = nowMs
  receiver.receivedAbove = 0
  receiver.reportAtMs = nowMs + receiver.reportMs
}

const report = (receiver: CastReceiver): void => {
  const { markedSequence, quickestMs, received, receivedAbove, shortestBeforeMs, shortestMs } = receiver
  const delayMs = quickestMs === Infinity
    ? 0
    : Math.max(0, Math.round(quickestMs - Math.min(shortestMs, shortestBeforeMs)))
  receiver.quickestMs = Infinity
  receiver.markedAtMs = Infinity
  receiver.reportedSequence = markedSequence
  send(receiver, { _tag: "Report", sequence: markedSequence, received: received - receivedAbove, delayMs })
}

// ---- Fragments -----------------------------------------------------------------------------------------------------

/** A datagram that the key has opened is here. Says what has to be done at once. */
export const hear = (
  receiver: CastReceiver,
  { sentMs, sequence }: Clear,
  nowMs: number
): ReadonlyArray<Output> => {
  receiver.outputs = []
  if (!receiver.listening) return receiver.outputs
  if (!receiver.hears) {
    receiver.hears = true
    receiver.received = 0
    receiver.highest = 0
    receiver.window.fill(0)
    receiver.shortestMs = Infinity
    receiver.shortestBeforeMs = Infinity
    receiver.shortestSinceMs = nowMs
    receiver.quickestMs = Infinity
    receiver.markedAtMs = Infinity
    receiver.reportedSequence = 0
    send(receiver, { _tag: "Tuned", hears: true })
    if (receiver.noticed.length > 0) follow(receiver, nowMs)
  }
  // Room for one more, whatever comes next.
  for (const [oldest, assembly] of receiver.assemblies) {
    if (receiver.assembledBytes + Limits.castChunkBytesMax <= Limits.castBytesMax) break
    drop(receiver, oldest, assembly)
  }
  if (!count(receiver, sequence)) return receiver.outputs
  receiver.heardAtMs = nowMs
  // Modulo 2^32, as the sender's clock is.
  const wayMs = (Math.floor(nowMs) - sentMs) | 0
  if (nowMs > receiver.shortestSinceMs + baselineMs) {
    // After a long rest it is no measure any more.
    receiver.shortestBeforeMs = nowMs > receiver.shortestSinceMs + 2 * baselineMs ? Infinity : receiver.shortestMs
    receiver.shortestMs = Infinity
    receiver.shortestSinceMs = nowMs
  }
  receiver.shortestMs = Math.min(receiver.shortestMs, wayMs)
  receiver.quickestMs = Math.min(receiver.quickestMs, wayMs)
  if (receiver.reportAtMs === Infinity) receiver.reportAtMs = nowMs + receiver.reportMs
  if (nowMs >= receiver.markedAtMs + settledMs) report(receiver)
  if (nowMs >= receiver.reportAtMs && receiver.markedAtMs === Infinity) mark(receiver, nowMs)
  return receiver.outputs
}

/** Counts a datagram once. */
const count = (receiver: CastReceiver, sequence: number): boolean => {
  const { highest, window } = receiver
  if (sequence > highest) {
    if (sequence - highest >= windowLength) window.fill(0)
    else for (let passed = highest + 1; passed < sequence; passed++) window[passed % windowLength] = 0
    receiver.highest = sequence
  } else if (highest - sequence >= windowLength || window[sequence % windowLength] === 1) return false
  window[sequence % windowLength] = 1
  receiver.received++
  if (sequence > receiver.markedSequence) receiver.receivedAbove++
  return true
}

/**
 * Where a piece goes: the chunk it is of, and which lacks it; or nothing for one that nobody needs. Whoever puts it there, a
 * parity piece among the others of its kind, says so with {@link placed}.
 */
export const place = (receiver: CastReceiver, head: Head, bytes: number): Assembly | undefined => {
  const { cast: number, index, offset, parity, pieceBytes } = head
  const { shares } = receiver
  const cast = receiver.casts.get(number)
  if (cast?.heardSinceMs === -Infinity) cast.heardSinceMs = receiver.heardAtMs
  if (cast?.outline === undefined || bytes === 0 || !shares.isMissing(cast.root, index)) return undefined
  const knownBytes = shares.chunkBytes(cast.root, index)
  const mostBytes = knownBytes === 0 ? cast.outline.chunkSizeBytes : knownBytes
  const key = `${number} ${index}`
  const known = receiver.assemblies.get(key)
  if (mostBytes > Limits.castChunkBytesMax || offset + bytes > mostBytes) return undefined
  if (!fits(head, bytes, knownBytes, mostBytes, known?.endBytes ?? 0)) return undefined
  if (known !== undefined) {
    const isHere = parity > 0 ? known.parities.has(parity - 1) : known.pieces[offset / pieceBytes] !== 0
    return known.pieceBytes !== pieceBytes || isHere ? undefined : known
  }
  const count = Math.ceil(mostBytes / pieceBytes)
  const assembly: Assembly = {
    root: cast.root,
    index,
    bytes: mostBytes,
    pieceBytes,
    pieces: new Uint8Array(count),
    parities: new Map(),
    heldBytes: mostBytes,
    missingCount: knownBytes > 0 ? count : Infinity,
    endBytes: 0,
    buffer: undefined
  }
  receiver.assemblies.set(key, assembly)
  receiver.assembledBytes += mostBytes
  return assembly
}

/** Whether a piece, or a parity piece, of so many bytes may be of the chunk: `knownBytes` is 0 while its size is not known. */
const fits = (
  { offset, parity, pieceBytes }: Head,
  bytes: number,
  knownBytes: number,
  mostBytes: number,
  endBytes: number
): boolean => {
  if (pieceBytes < Limits.pieceBytesMin || pieceBytes > Limits.pieceBytesMax || offset % pieceBytes !== 0) return false
  if (parity === 0) {
    return knownBytes > 0
      ? bytes === lengthAt(pieceBytes, knownBytes, offset)
      : fitsSoFar(pieceBytes, offset, bytes, endBytes)
  }
  const isLength = knownBytes > 0 ? bytes === lengthAt(pieceBytes, knownBytes, 0) : bytes <= pieceBytes
  return isLength && offset === 0 && parity <= Parity.paritiesMax && mostBytes <= Parity.piecesMax * pieceBytes
}

/** Whether a piece may be of a chunk of unknown size that ends at `endBytes` as far as it is here: only its last piece is short. */
const fitsSoFar = (pieceBytes: number, offset: number, bytes: number, endBytes: number): boolean =>
  bytes < pieceBytes ? offset >= endBytes : bytes === pieceBytes && (endBytes % pieceBytes === 0 || offset < endBytes)

/** The piece is in its place. Says what has to be done at once. */
export const placed = (
  receiver: CastReceiver,
  assembly: Assembly,
  { cast: number, index, offset, parity }: Head,
  bytes: number
): ReadonlyArray<Output> => {
  receiver.outputs = []
  if (parity > 0) {
    assembly.heldBytes += bytes
    receiver.assembledBytes += bytes
  } else {
    assembly.pieces[offset / assembly.pieceBytes] = 1
    assembly.endBytes = Math.max(assembly.endBytes, offset + bytes)
    assembly.missingCount--
  }
  const cast = receiver.casts.get(number)!
  const isContent = index >= cast.outline!.manifestChunksCount
  if (isContent && !cast.passed) {
    cast.passed = true
    askManifest(receiver, cast, (manifestIndex) => cast.manifestWhole.has(manifestIndex))
  }
  if (assembly.missingCount > assembly.parities.size) return receiver.outputs
  if (!isContent) cast.manifestWhole.add(index)
  whole(receiver, `${number} ${index}`, assembly)
  return receiver.outputs
}

const whole = (receiver: CastReceiver, key: string, assembly: Assembly): void => {
  receiver.assemblies.delete(key)
  receiver.assembledBytes -= assembly.heldBytes
  receiver.outputs.push({ _tag: "Whole", assembly })
}

/** The size of a chunk is known now: it is whole, or lacks so many pieces, or is not what it seemed to be. */
const settle = (receiver: CastReceiver, key: string, assembly: Assembly): void => {
  if (assembly.missingCount < Infinity) return
  const { shares } = receiver
  const { pieceBytes } = assembly
  const bytes = shares.chunkBytes(assembly.root, assembly.index)
  const count = Math.ceil(bytes / pieceBytes)
  const isMissing = bytes > 0 && shares.isMissing(assembly.root, assembly.index)
  const isAtEnd = assembly.endBytes % pieceBytes !== 0 || assembly.pieces[count - 1] === 1
  const parityBytes = Math.min(pieceBytes, bytes)
  const isFitting = (isAtEnd ? assembly.endBytes === bytes : assembly.endBytes <= bytes) &&
    Array.from(assembly.parities.values()).every(({ length }) => length === parityBytes)
  if (!isMissing || !isFitting) return drop(receiver, key, assembly)
  const settled: Assembly = {
    ...assembly,
    bytes,
    pieces: assembly.pieces.subarray(0, count),
    missingCount: count,
    heldBytes: assembly.heldBytes + bytes - assembly.bytes,
    buffer: assembly.buffer?.subarray(0, bytes)
  }
  for (const piece of settled.pieces) settled.missingCount -= piece
  receiver.assemblies.set(key, settled)
  receiver.assembledBytes += bytes - assembly.bytes
  if (settled.missingCount <= settled.parities.size) whole(receiver, key, settled)
}

/** When the machine wants a `Tick`. */
export const wakeAtMs = (receiver: CastReceiver): number => {
  let wakeMs = hushAtMs(receiver)
  for (const { awaited, sinceMs } of receiver.casts.values()) {
    if (awaited) wakeMs = Math.min(wakeMs, Math.max(sinceMs, receiver.heardAtMs) + silentMs)
  }
  return wakeMs
}
