/**
 * The newest status of every device as an IO-less state machine.
 *
 * A status is signed by the device it is about, so it can come by any way. Only the newest of a device counts; what is
 * lost or late is replaced by the next. Signatures are checked outside: {@link sight} says beforehand whether a status
 * is worth it. State is changed in place; time comes in with every input.
 *
 * Invariants, named by `test/protocol/Statuses.test.ts`:
 *
 * 1. **Newest wins:** the number kept for a device never falls while it is remembered.
 * 2. **Everybody knows:** while the mesh stays connected, each device's newest status reaches every device.
 * 3. **Frugal:** over one link statuses go at most once in `statusBatchIntervalMs`, and none that is known to be there.
 * 4. **Forgotten in time:** a device not heard of for `statusExpiryMs` is gone, and old news of it does not bring it back.
 * 5. **Without clocks:** a device that starts again goes on from the largest number that others remember of it.
 */
import type { PeerId, PublicKey, Signature } from "./Ids.ts"
import * as Limits from "./Limits.ts"
import type { Signed } from "./Signed.ts"
import type { Status } from "./Status.ts"
import { utf8Bytes } from "./Text.ts"
import * as TokenBucket from "./TokenBucket.ts"
import type { Statuses } from "./Wire.ts"

/** Key, signature and punctuation of a status in a frame. */
const statusOverheadBytes = 176
const statusesOverheadBytes = 64
/** Recent signatures of one device: an older status that comes by a slower way is recognised without a verification. */
const signaturesKept = 4
/** What is older is not sent to new links: its device has refreshed it or is gone. */
const sendableMs = 1.5 * Limits.statusRefreshMs
/** How long the number of a forgotten device is remembered, so that old news of it is known as such. */
const tombstoneMs = 10 * Limits.statusExpiryMs
/** Messages of one link that are looked at, a second and at once: twice what an honest one sends, and a stall's worth. */
const messagesPerSecondMax = 2 * 1_000 / Limits.statusBatchIntervalMs
const messagesBurstMax = 8

interface Known {
  readonly key: PublicKey
  signed: Signed
  status: Status
  frameBytes: number
  heardMs: number
  /** Whether it has been heard of lately; else only its number matters. */
  live: boolean
  readonly signatures: Array<Signature>
}

interface Link {
  readonly peer: PeerId
  /** The number the other side has, of each device. */
  readonly known: Map<PublicKey, number>
  sentMs: number
  readonly bucket: TokenBucket.TokenBucket
}

export interface State {
  readonly self: PublicKey
  readonly known: Map<PublicKey, Known>
  readonly links: Map<PeerId, Link>
  /** The number of this device's newest status. */
  number: number
  /** When that was signed, and what has changed since. Nothing is said before there is anything to say. */
  signedMs: number
  changed: "nothing" | "figures" | "matters"
}

export interface Item {
  readonly signed: Signed
  /** Left out for what {@link sight} found not worth a verification. */
  readonly status: Status | undefined
}

export type Input =
  | { readonly _tag: "NeighborUp"; readonly peer: PeerId }
  | { readonly _tag: "NeighborDown"; readonly peer: PeerId }
  | { readonly _tag: "Received"; readonly peer: PeerId; readonly items: ReadonlyArray<Item> }
  /** This device stands differently now: by figures alone, or in a way that somebody waits for (`matters`). */
  | { readonly _tag: "Changed"; readonly matters: boolean }
  /** The answer to `Sign`. */
  | { readonly _tag: "Signed"; readonly signed: Signed; readonly status: Status }
  /** Time passes; about once a second. */
  | { readonly _tag: "Tick" }

export type Output =
  | { readonly _tag: "Send"; readonly peer: PeerId; readonly message: Statuses }
  /** Sign how this device stands under this number; answered by `Signed` at once. */
  | { readonly _tag: "Sign"; readonly number: number }
  /** What {@link current} gives has changed. */
  | { readonly _tag: "News" }

export const make = (self: PublicKey): State => ({
  self,
  known: new Map(),
  links: new Map(),
  number: 0,
  signedMs: -Infinity,
  changed: "nothing"
})

/** Whether to look at one more message of this link; asked once for each. What is left out comes again with the next status. */
export const admits = (state: State, peer: PeerId, nowMs: number): boolean => {
  const link = state.links.get(peer)
  return link !== undefined && TokenBucket.take(link.bucket, nowMs)
}

/** What is to be done with a status before its signature is checked. */
export const sight = (state: State, signed: Signed): "known" | "unwanted" | "new" => {
  const known = state.known.get(signed.key)
  if (known === undefined) return state.known.size < Limits.statusPeersMax ? "new" : "unwanted"
  // A forged body under a known signature would be no newer than what it pretends to be: not worth a look either.
  return known.signatures.includes(signed.signature) ? "known" : "new"
}

/** The devices heard of lately, this one included. */
export const current = (state: State): ReadonlyArray<{ readonly key: PublicKey; readonly status: Status }> =>
  Array.from(state.known.values()).filter(({ live }) => live)

/** How often this device may tell mere figures: the larger the room, the less often, so that listening costs the same. */
const figuresIntervalMs = (state: State): number =>
  Math.max(Limits.statusIntervalMs, (state.known.size * 1_000) / Limits.statusesPerSecondMax)

/** Whether it is time for this device to speak. */
const isDue = (state: State, nowMs: number): boolean => {
  const sinceMs = nowMs - state.signedMs
  switch (state.changed) {
    case "nothing":
      return state.number > 0 && sinceMs >= Limits.statusRefreshMs
    case "figures":
      return sinceMs >= figuresIntervalMs(state)
    case "matters":
      return sinceMs >= Limits.statusIntervalMs
  }
}

export const step = (state: State, input: Input, nowMs: number): ReadonlyArray<Output> => {
  const outputs: Array<Output> = []
  switch (input._tag) {
    case "NeighborUp":
      state.links.set(input.peer, {
        peer: input.peer,
        known: new Map(),
        sentMs: -Infinity,
        bucket: TokenBucket.make(messagesPerSecondMax, messagesBurstMax, nowMs)
      })
      break
    case "NeighborDown":
      state.links.delete(input.peer)
      break
    case "Received": {
      const link = state.links.get(input.peer)
      if (link !== undefined) receive(state, link, input.items, nowMs, outputs)
      break
    }
    case "Changed":
      if (state.changed !== "matters") state.changed = input.matters ? "matters" : "figures"
      break
    case "Signed":
      state.signedMs = nowMs
      state.changed = "nothing"
      keep(state, input.signed, input.status, nowMs)
      outputs.push({ _tag: "News" })
      break
    case "Tick":
      expire(state, nowMs, outputs)
      break
  }
  if (isDue(state, nowMs)) {
    outputs.push({ _tag: "Sign", number: ++state.number })
    // Until the answer comes there is nothing new to send.
    state.signedMs = nowMs
    return outputs
  }
  for (const link of state.links.values()) serve(state, link, nowMs, outputs)
  return outputs
}

const receive = (
  state: State,
  link: Link,
  items: ReadonlyArray<Item>,
  nowMs: number,
  outputs: Array<Output>
): void => {
  for (const { signed, status } of items) {
    const known = state.known.get(signed.key)
    const number = status?.number ?? (known?.signed.signature === signed.signature ? known.status.number : undefined)
    if (number !== undefined) {
      link.known.set(signed.key, Math.max(number, link.known.get(signed.key) ?? 0))
    }
    if (status === undefined || sight(state, signed) !== "new") continue
    if (signed.key === state.self) {
      // An earlier run of this device has spoken: whoever remembers that would not listen to smaller numbers.
      if (status.number >= state.number) {
        state.number = status.number
        state.changed = "matters"
        state.signedMs = -Infinity
      }
      continue
    }
    if (known !== undefined && status.number <= known.status.number) {
      remember(known, signed.signature)
      continue
    }
    keep(state, signed, status, nowMs)
    outputs.push({ _tag: "News" })
  }
}

const keep = (state: State, signed: Signed, status: Status, nowMs: number): void => {
  const known = state.known.get(signed.key)
  const frameBytes = utf8Bytes(JSON.stringify(signed.body)) + statusOverheadBytes
  if (known === undefined) {
    state.known.set(signed.key, {
      key: signed.key,
      signed,
      status,
      frameBytes,
      heardMs: nowMs,
      live: true,
      signatures: [signed.signature]
    })
    return
  }
  known.signed = signed
  known.status = status
  known.frameBytes = frameBytes
  known.heardMs = nowMs
  known.live = true
  remember(known, signed.signature)
}

const remember = (known: Known, signature: Signature): void => {
  known.signatures.push(signature)
  if (known.signatures.length > signaturesKept) known.signatures.shift()
}

const expire = (state: State, nowMs: number, outputs: Array<Output>): void => {
  for (const known of state.known.values()) {
    const silentMs = nowMs - known.heardMs
    if (known.live && silentMs >= Limits.statusExpiryMs) {
      known.live = false
      outputs.push({ _tag: "News" })
    }
    if (known.live || (silentMs < tombstoneMs && state.known.size < Limits.statusPeersMax)) continue
    state.known.delete(known.key)
    for (const link of state.links.values()) link.known.delete(known.key)
  }
}

const serve = (state: State, link: Link, nowMs: number, outputs: Array<Output>): void => {
  if (nowMs - link.sentMs < Limits.statusBatchIntervalMs) return
  const statuses: Array<Signed> = []
  let bytes = statusesOverheadBytes
  for (const known of state.known.values()) {
    if ((link.known.get(known.key) ?? -1) >= known.status.number || nowMs - known.heardMs >= sendableMs) continue
    if (statuses.length >= Limits.statusesPerMessageMax) break
    if (bytes + known.frameBytes > Limits.controlFrameBytesMax) break
    statuses.push(known.signed)
    bytes += known.frameBytes
    link.known.set(known.key, known.status.number)
  }
  if (statuses.length === 0) return
  link.sentMs = nowMs
  outputs.push({ _tag: "Send", peer: link.peer, message: { _tag: "Statuses", statuses } })
}
