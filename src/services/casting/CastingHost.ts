/** The host's side of {@link Casting}: drives {@link CastSender} over the network's multicast. */
import { Effect } from "effect"
import { Base64Url } from "effect/encoding"
import type * as CastNotice from "../../protocol/CastNotice.ts"
import * as CastSender from "../../protocol/CastSender.ts"
import * as Fragment from "../../protocol/Fragment.ts"
import type { PeerId, Root } from "../../protocol/Ids.ts"
import { type InterfaceAddress, isNeighbor } from "../../protocol/Interfaces.ts"
import * as Limits from "../../protocol/Limits.ts"
import * as Pace from "../../protocol/Pace.ts"
import * as Parity from "../../protocol/Parity.ts"
import type { Signed } from "../../protocol/Signed.ts"
import { type Address, castPort } from "../../protocol/Wire.ts"
import * as Alarm from "../Alarm.ts"
import type { Casting, CastUser } from "../Casting.ts"
import { Crypto } from "../Crypto.ts"
import { Multicast, type Sender } from "../Multicast.ts"
import type { PeerInfo } from "../PeerManager.ts"
import type { SessionContext } from "../SessionContext.ts"
import * as Slot from "./Slot.ts"

/** A chunk that is being cast, or will be in a moment. */
interface Chunk {
  readonly buffer: Uint8Array
  bytes: Uint8Array | undefined
  reading: boolean
}

/** Sending takes no longer at a time: a line that is typed waits for it at each of its steps. */
const turnMs = 10

/** Chunks are read ahead of their turn, what leaves in this time, between these: a disk and a busy processor are slow. */
const readAheadMs = 100
const readAheadBytesMin = 256 * 1024
const readAheadBytesMax = 8 * 1024 * 1024

export const make = Effect.fnUntraced(function*(user: CastUser, context: SessionContext["Service"]) {
  const multicast = yield* Multicast
  const crypto = yield* Crypto
  const makeChannel = Effect.gen(function*() {
    const [high, low] = yield* crypto.randomBytes(2)
    // Scoped to the site (RFC 2365), and any of 4,096 sixteens: rooms beside each other hear their own.
    const group: Address = { host: `239.255.${high}.${low}`, port: castPort }
    return { group, groups: Limits.castGroupsMax, key: yield* crypto.randomBytes(Fragment.keyBytes) }
  })
  let channel = yield* makeChannel
  const scope = yield* Effect.scope
  const { nowMs } = user

  const machine = CastSender.make(user.lacking, nowMs())
  const socket = Slot.make(user.fork, scope)
  let sender: Sender | undefined
  /** The network that is cast to: the first that as many are linked in as a cast needs. */
  let by: InterfaceAddress | undefined
  const linked = new Map<PeerId, PeerInfo>()

  const advance = (input: CastSender.Input): void => {
    const outputs = CastSender.step(machine, input, nowMs())
    for (const output of outputs) {
      if (output._tag === "Send") user.send(output.peer, output.message)
      else if (output._tag === "Begun") user.begun(output.root)
      else user.over(output.root, output.spare)
    }
    if (outputs.length > 0) sayNotice()
    // Reports come by the hundred a second: where sending takes a while, it would keep everything else waiting.
    if (input._tag === "Message") alarm.at(CastSender.wakeAtMs(machine, moment()))
    else pump()
  }

  let noticesCount = 0
  /** What was said last, while there is a network that is cast to. */
  let notice: { readonly about: string; readonly signed: Signed } | undefined
  /** Who has no link to here hears of casts from those who have one. */
  const sayNotice = (): void => {
    if (by === undefined || sender === undefined) return
    const casts = CastSender.current(machine).slice(-Limits.castsNoticedMax)
    const now: Omit<CastNotice.CastNotice, "number"> = { from: by.address, ...channelNow(), casts }
    const about = JSON.stringify(now)
    if (about === notice?.about) return
    const body = JSON.stringify({ number: ++noticesCount, ...now })
    notice = { about, signed: crypto.sign(context.self, "cast-notice", context.session, body) }
    for (const peer of linked.keys()) tellNotice(peer)
  }
  const tellNotice = (peer: PeerId): void => {
    if (notice !== undefined) user.send(peer, { _tag: "Casts", notice: notice.signed, ignorable: true })
  }

  /** Chunks in memory, read ahead of their turn. What leaves is a sealed copy. */
  const chunks = new Map<string, Chunk>()
  const keyOf = (root: Root, index: number) => `${index} ${root}`
  const isHere = (root: Root, index: number): boolean => chunks.get(keyOf(root, index))?.bytes !== undefined
  const readAhead = (): void => {
    const bytes = Math.min(Math.max(machine.pace.bytesPerMs * readAheadMs, readAheadBytesMin), readAheadBytesMax)
    const ahead = CastSender.ahead(machine, bytes, user.isHushed())
    const keys = new Set(ahead.map(({ index, root }) => keyOf(root, index)))
    for (const [key, chunk] of chunks) {
      if (keys.has(key) || chunk.reading) continue
      chunks.delete(key)
      user.release(chunk.buffer)
    }
    for (const { index, root } of ahead) {
      const key = keyOf(root, index)
      if (chunks.has(key)) continue
      const chunk: Chunk = { buffer: user.acquire(user.chunkBytes(root, index)), bytes: undefined, reading: true }
      chunks.set(key, chunk)
      user.read(root, index, chunk.buffer, (bytes) => {
        chunk.bytes = bytes
        chunk.reading = false
        if (bytes === undefined) advance({ _tag: "ShareClosed", root })
        else pump()
      })
    }
  }

  const moment = (): CastSender.Moment => ({ hushed: user.isHushed(), isHere, nowMs: nowMs() })

  let queuedBytes = 0
  let pumping = false
  const pump = (): void => {
    if (pumping) return
    pumping = true
    readAhead()
    if (sender !== undefined) transmitAll(sender)
    pumping = false
    alarm.at(CastSender.wakeAtMs(machine, moment()))
  }
  const alarm = Alarm.make(user.fork, nowMs, () => Effect.sync(() => advance({ _tag: "Tick" })))

  const transmitAll = (to: Sender): void => {
    const queueBytes = Pace.queueBytes(machine.pace)
    if (Math.abs(queueBytes - queuedBytes) > queuedBytes / 4) to.setQueue(queuedBytes = queueBytes)
    // Of one moment: where sending takes longer than its bytes at the rate, more would be due with each that has left.
    const now = moment()
    for (;;) {
      const fragment = CastSender.next(machine, now)
      if (fragment === undefined) return
      transmit(to, fragment)
      if (fragment.isLast) readAhead()
      // The alarm goes on, so that a timer comes between: to be called again at once would keep others waiting as well.
      if (nowMs() >= now.nowMs + turnMs) return
    }
  }

  const transmit = (to: Sender, fragment: CastSender.Fragment): void => {
    const { bytes, clear, head, root } = fragment
    const chunk = root === undefined ? undefined : chunks.get(keyOf(root, head.index))
    const piece = chunk?.bytes === undefined
      ? new Uint8Array(0)
      : head.parity > 0
      ? Parity.encode(chunk.bytes, head.pieceBytes, head.parity - 1)
      : chunk.bytes.subarray(head.offset, head.offset + bytes)
    const plain = Fragment.encodeClear(clear)
    const sealed = crypto.seal(channel.key, Fragment.nonce(clear.sequence), plain, [Fragment.encodeHead(head), piece])
    to.send([plain, ...sealed], (left) => {
      CastSender.left(machine, fragment, left, nowMs())
      // Not at once: what the system takes at once is told at once, and other things have their turn too.
      alarm.at(CastSender.wakeAtMs(machine, moment()))
    })
  }

  const channelNow = () => ({ ...channel, key: Base64Url.encode(channel.key) })

  const tell = (peer: PeerId): void => {
    user.send(peer, { _tag: "Multicast", ...channelNow(), ignorable: true })
    advance({ _tag: "NeighborUp", peer })
  }

  /** Chooses a network once enough are linked in it. */
  const settle = (interfaces: ReadonlyArray<InterfaceAddress>): void => {
    for (const each of interfaces) {
      const near = Array.from(linked.values()).filter(({ address }) => isNeighbor(each, address.host))
      if (near.length < machine.audience.least) continue
      by = each
      return socket.open(multicast.sender(Fragment.groupsOf(channel.group, channel.groups), each), (opened) => {
        sender = opened
        queuedBytes = 0
        if (opened.datagramBytesMax >= Limits.fragmentDatagramBytesMax) machine.pieceBytes = Limits.pieceBytesMax
        for (const { address, peer } of linked.values()) if (isNeighbor(each, address.host)) tell(peer)
        sayNotice()
      })
    }
  }

  const look = () => {
    if (linked.size < machine.audience.least) return
    user.fork(Effect.map(multicast.interfaces, (interfaces) => by === undefined && settle(interfaces)))
  }

  /** Ends what is cast, and begins anew in a network that is chosen anew; with another key if nobody may use this one. */
  const leave = (anew: boolean): void => {
    for (const { peer } of linked.values()) advance({ _tag: "NeighborDown", peer })
    by = undefined
    sender = undefined
    notice = undefined
    socket.close()
    if (!anew) return look()
    user.fork(Effect.map(makeChannel, (made) => {
      channel = made
      look()
    }))
  }

  const casting: Casting = {
    peerUp: (info) => {
      linked.set(info.peer, info)
      tellNotice(info.peer)
      if (by === undefined) look()
      else if (sender !== undefined && isNeighbor(by, info.address.host)) tell(info.peer)
    },
    peerDown: (peer) => {
      const info = linked.get(peer)
      linked.delete(peer)
      advance({ _tag: "NeighborDown", peer })
      const network = by
      if (info === undefined || network === undefined) return
      // Whoever is shut out knows the key.
      if (context.isRemoved(info.key)) return leave(true)
      if (!Array.from(linked.values()).some(({ address }) => isNeighbor(network, address.host))) leave(false)
    },
    nearHost: () => {},
    hear: (peer, message) => advance({ _tag: "Message", peer, message }),
    hears: () => false,
    offer: (root, firstIndex, endIndex, bytes, urgent) =>
      advance({
        _tag: "ShareOpened",
        root,
        firstIndex,
        endIndex,
        bytes,
        urgent,
        chunkBytes: (index) => user.chunkBytes(root, index)
      }),
    withdraw: (root) => advance({ _tag: "ShareClosed", root }),
    opened: () => {},
    manifestKnown: () => {},
    chunkFalse: () => {}
  }
  return casting
})
