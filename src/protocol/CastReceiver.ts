/**
 * A device's side of the host's casts: puts the fragments of a multicast together to chunks, says how it hears them, and
 * knows for how long a share is better waited for than asked for.
 *
 * Nothing here is believed: a fragment may be lost, repeated, late, or made up by somebody in the room. A chunk counts when
 * its hash is right, and a device that hears nothing, or false chunks, asks its neighbors as if there were no multicast.
 *
 * State is changed in place; inputs carry the time. Fragments are not inputs but calls of {@link hear}: this is a hot path.
 *
 * Invariants, checked by `test/protocol/CastReceiver.test.ts`:
 *
 * 1. **Whole:** a chunk is complete when each of its bytes has come once, in whatever order and however often.
 * 2. **Bounded:** chunks under way stay within `Limits.castBytesMax`.
 * 3. **Let go:** a share that is waited for is let go when its cast is over, its host gone, or nothing came for {@link silentMs}.
 * 4. **Distrust:** after `Limits.castChunksFalseMax` false chunks nothing is heard any more.
 */
import { type Clear, type Head, lengthAt } from "./Fragment.ts"
import type { Root } from "./Ids.ts"
import * as Limits from "./Limits.ts"
import * as TokenBucket from "./TokenBucket.ts"
import type { CastMessage } from "./Wire.ts"

/** Nothing came for so long, not even a sign of life: the multicast does not arrive. */
export const silentMs = 1_500
/** How long the quickest way is remembered, against which a queue is measured; clocks drift. */
const baselineMs = 10_000
/** Sequences that are remembered, so that what comes twice counts once. */
const windowLength = 4_096

/** A chunk under way. Whoever has the buffer keeps it here. */
export interface Assembly {
  readonly root: Root
  readonly index: number
  readonly bytes: number
  /** Which pieces are here. */
  readonly pieces: Uint8Array
  missingCount: number
  buffer: Uint8Array | undefined
}

interface Cast {
  readonly root: Root
  readonly number: number
  readonly sinceMs: number
  awaited: boolean
  ready: boolean
}

export interface CastReceiver {
  /** There is a host that casts, and it is listened to. */
  listening: boolean
  pieceBytes: number
  hears: boolean
  readonly casts: Map<number, Cast>
  readonly assemblies: Map<string, Assembly>
  assembledBytes: number
  highest: number
  received: number
  reportMs: number
  reportAtMs: number
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
  | { readonly _tag: "Listening"; readonly pieceBytes: number }
  /** The host's link is down. */
  | { readonly _tag: "HostDown" }
  | { readonly _tag: "Message"; readonly message: CastMessage }
  /** The share is open here and its manifest is known; chunks can be verified. */
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
  /** Give the buffers of these back: they are not going to be whole. */
  | { readonly _tag: "Drop"; readonly assembly: Assembly }
  /** Close the socket. */
  | { readonly _tag: "Deafen" }

export const make = (nowMs: number): CastReceiver => ({
  listening: false,
  pieceBytes: Limits.pieceBytesMax,
  hears: false,
  casts: new Map(),
  assemblies: new Map(),
  assembledBytes: 0,
  highest: 0,
  received: 0,
  reportMs: Limits.castReportMsMax,
  reportAtMs: Infinity,
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
      receiver.pieceBytes = input.pieceBytes
      receiver.heardAtMs = nowMs
      break
    case "HostDown":
      stop(receiver)
      break
    case "Message":
      if (input.message._tag === "Cast") cast(receiver, input.message, nowMs)
      break
    case "ManifestKnown":
      for (const cast of receiver.casts.values()) if (cast.root === input.root) ready(receiver, cast)
      break
    case "ChunkFalse":
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
  receiver.casts.set(number, { root, number, sinceMs: nowMs, awaited: true, ready: false })
  receiver.outputs.push({ _tag: "Await", root })
}

const ready = (receiver: CastReceiver, cast: Cast): void => {
  if (cast.ready || !cast.awaited) return
  cast.ready = true
  send(receiver, { _tag: "Ready", cast: cast.number })
}

const release = (receiver: CastReceiver, cast: Cast): void => {
  if (!cast.awaited) return
  cast.awaited = false
  receiver.outputs.push({ _tag: "Release", root: cast.root })
}

const drop = (receiver: CastReceiver, key: string, assembly: Assembly): void => {
  receiver.assemblies.delete(key)
  receiver.assembledBytes -= assembly.bytes
  receiver.outputs.push({ _tag: "Drop", assembly })
}

/** Forgets what it heard, and whom of. */
const letGo = (receiver: CastReceiver): void => {
  for (const cast of receiver.casts.values()) release(receiver, cast)
  receiver.casts.clear()
  for (const [key, assembly] of receiver.assemblies) drop(receiver, key, assembly)
  receiver.hears = false
  receiver.reportAtMs = Infinity
}

const stop = (receiver: CastReceiver): void => {
  letGo(receiver)
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
  for (const cast of receiver.casts.values()) {
    if (!cast.awaited || nowMs < Math.max(cast.sinceMs, receiver.heardAtMs) + silentMs) continue
    receiver.hears = false
    send(receiver, { _tag: "Tuned", hears: false })
    for (const each of receiver.casts.values()) release(receiver, each)
    return
  }
}

const report = (receiver: CastReceiver, nowMs: number): void => {
  const { highest, received } = receiver
  const delayMs = Math.max(
    0,
    Math.round(receiver.quickestMs - Math.min(receiver.shortestMs, receiver.shortestBeforeMs))
  )
  receiver.quickestMs = Infinity
  receiver.reportAtMs = nowMs + receiver.reportMs
  send(receiver, { _tag: "Report", sequence: highest, received, delayMs })
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
    send(receiver, { _tag: "Tuned", hears: true })
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
  if (nowMs >= receiver.reportAtMs) report(receiver, nowMs)
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
  return true
}

/** Which share a fragment is of, if it is cast. */
export const rootOf = (receiver: CastReceiver, cast: number): Root | undefined => receiver.casts.get(cast)?.root

/**
 * Where a piece goes: the chunk it is of, which lacks it, and which has `chunkBytes`; or nothing for one that nobody needs.
 * Whoever puts it there says so with {@link placed}.
 */
export const place = (
  receiver: CastReceiver,
  { cast, index, offset }: Head,
  bytes: number,
  chunkBytes: number
): Assembly | undefined => {
  const root = rootOf(receiver, cast)
  const { pieceBytes } = receiver
  if (root === undefined || bytes === 0 || bytes !== lengthAt(pieceBytes, chunkBytes, offset)) return undefined
  const key = `${cast} ${index}`
  const known = receiver.assemblies.get(key)
  if (known !== undefined) return known.pieces[offset / pieceBytes] === 0 ? known : undefined
  if (chunkBytes > Limits.castChunkBytesMax) return undefined
  const count = Math.ceil(chunkBytes / pieceBytes)
  const assembly: Assembly = {
    root,
    index,
    bytes: chunkBytes,
    pieces: new Uint8Array(count),
    missingCount: count,
    buffer: undefined
  }
  receiver.assemblies.set(key, assembly)
  receiver.assembledBytes += chunkBytes
  return assembly
}

/** The piece is in its place. Says whether the chunk is whole now: then it is no concern of this machine any more. */
export const placed = (receiver: CastReceiver, assembly: Assembly, { cast, index, offset }: Head): boolean => {
  assembly.pieces[offset / receiver.pieceBytes] = 1
  if (--assembly.missingCount > 0) return false
  receiver.assemblies.delete(`${cast} ${index}`)
  receiver.assembledBytes -= assembly.bytes
  return true
}

/** When the machine wants a `Tick`. */
export const wakeAtMs = (receiver: CastReceiver): number => {
  let wakeMs = Infinity
  for (const { awaited, sinceMs } of receiver.casts.values()) {
    if (awaited) wakeMs = Math.min(wakeMs, Math.max(sinceMs, receiver.heardAtMs) + silentMs)
  }
  return wakeMs
}
