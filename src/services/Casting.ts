/**
 * Casts chunks to everybody at once and hears what the host casts: drives the two cast machines over the network's multicast.
 * A part of {@link ChunkScheduler}, which owns shares, buffers and the disk.
 */
import { Effect, Exit, type Fiber, Result, Schema, Scope } from "effect"
import { Base64Url } from "effect/encoding"
import * as CastNotice from "../protocol/CastNotice.ts"
import * as CastReceiver from "../protocol/CastReceiver.ts"
import * as CastSender from "../protocol/CastSender.ts"
import * as Fragment from "../protocol/Fragment.ts"
import type { PeerId, Root } from "../protocol/Ids.ts"
import { type InterfaceAddress, isNeighbor } from "../protocol/Interfaces.ts"
import * as Limits from "../protocol/Limits.ts"
import type { Signed } from "../protocol/Signed.ts"
import { type Address, type CastMessage, castPort, type Multicast as MulticastMessage } from "../protocol/Wire.ts"
import * as Alarm from "./Alarm.ts"
import { Crypto } from "./Crypto.ts"
import { Multicast, type Sender } from "./Multicast.ts"
import type { PeerInfo } from "./PeerManager.ts"
import { SessionContext } from "./SessionContext.ts"

/** Where is cast, and how. */
type Channel = Pick<typeof MulticastMessage.Type, "group" | "key" | "pieceBytes">

/** What casting asks of whoever moves chunks. Plain calls. */
export interface CastUser {
  readonly send: (peer: PeerId, message: CastMessage) => void
  /** So many bytes of what the peer has sent brought nothing new. */
  readonly overhead: (peer: PeerId, bytes: number) => void
  /** The share is cast, from here or to here; and not any more. */
  readonly begun: (root: Root) => void
  readonly over: (root: Root) => void
  /** The manifest did not come with the share's cast: it is to be asked for. */
  readonly manifestMissed: (root: Root) => void
  /** The size of a chunk in bytes; 0 for one of content whose manifest is not known. */
  readonly chunkBytes: (root: Root, index: number) => number
  /** Whether a chunk would be taken and is not here. */
  readonly isMissing: (root: Root, index: number) => boolean
  /** How many neighbors lack a chunk, as far as they have said. */
  readonly lacking: (root: Root, index: number) => number
  /** Whether something more urgent than bulk is on its way. */
  readonly isHushed: () => boolean
  /** Gives the chunk's bytes as they were signed, in the buffer; or nothing, if it cannot be read now. */
  readonly read: (
    root: Root,
    index: number,
    buffer: Uint8Array,
    done: (bytes: Uint8Array | undefined) => void
  ) => void
  /** A chunk came whole from the host: verify it and keep it. The buffer is the receiver's from now on. */
  readonly keep: (from: PeerId, root: Root, index: number, buffer: Uint8Array) => void
  readonly acquire: (sizeBytes: number) => Uint8Array
  readonly release: (buffer: Uint8Array) => void
  readonly nowMs: () => number
  /** Runs in the background until it is done or the scope closes. */
  readonly fork: <A>(effect: Effect.Effect<A>) => Fiber.Fiber<A>
}

export interface Casting {
  readonly peerUp: (info: PeerInfo) => void
  readonly peerDown: (peer: PeerId) => void
  /** The peer has said, perhaps again, whether it has a link to the host. */
  readonly nearHost: (peer: PeerId, near: boolean) => void
  readonly hear: (peer: PeerId, message: CastMessage) => void
  /** Whether the host's casts come here. */
  readonly hears: () => boolean
  /** This device hands the chunks `firstIndex` to before `endIndex` of a share of so many bytes out. */
  readonly offer: (root: Root, firstIndex: number, endIndex: number, bytes: number) => void
  /** The share is closed, or cannot be read. */
  readonly withdraw: (root: Root) => void
  /** Chunks of the share can be taken here, before they can be verified unless `patient`; and can be verified. */
  readonly opened: (root: Root, outline: CastReceiver.Outline, patient: boolean) => void
  readonly manifestKnown: (root: Root) => void
  /** A chunk that was kept was not what was signed. */
  readonly chunkFalse: () => void
}

export const make = Effect.fnUntraced(function*(user: CastUser) {
  const context = yield* SessionContext
  return context.isHost ? yield* makeHost(user, context) : yield* makeListener(user, context)
})

/** Opens something in a scope of its own and closes the one before; what fails stays closed. */
const slot = (user: CastUser, scope: Scope.Scope) => {
  let open: Scope.Closeable | undefined
  const close = (): void => {
    const closing = open
    open = undefined
    if (closing !== undefined) user.fork(Scope.close(closing, Exit.void))
  }
  return {
    close,
    open: <A, E>(effect: Effect.Effect<A, E, Scope.Scope>, opened: (value: A) => void): void => {
      close()
      user.fork(Effect.gen(function*() {
        const own = yield* Scope.fork(scope)
        open = own
        const value = yield* Effect.option(Scope.provide(effect, own))
        if (value._tag === "Some" && open === own) opened(value.value)
      }))
    }
  }
}

// ---- The host ------------------------------------------------------------------------------------------------------

/** A chunk that is being cast, or will be in a moment. */
interface Chunk {
  readonly buffer: Uint8Array
  bytes: Uint8Array | undefined
  reading: boolean
}

/** How much the system may hold of what is cast: enough while this process waits for its turn, short for who waits behind. */
const queueMs = 25
/** Chunks are read ahead of their turn, what leaves in this time, between these: a disk and a busy processor are slow. */
const readAheadMs = 100
const readAheadBytesMin = 256 * 1024
const readAheadBytesMax = 8 * 1024 * 1024

const makeHost = Effect.fnUntraced(function*(user: CastUser, context: SessionContext["Service"]) {
  const multicast = yield* Multicast
  const crypto = yield* Crypto
  const makeChannel = Effect.gen(function*() {
    const [high, low] = yield* crypto.randomBytes(2)
    // Scoped to the site (RFC 2365), and any of 65,536: rooms beside each other hear their own.
    const group: Address = { host: `239.255.${high}.${low}`, port: castPort }
    return { group, key: yield* crypto.randomBytes(Fragment.keyBytes) }
  })
  let channel = yield* makeChannel
  const scope = yield* Effect.scope
  const { nowMs } = user

  const machine = CastSender.make(user.lacking, nowMs())
  const socket = slot(user, scope)
  let sender: Sender | undefined
  let pieceBytes: typeof Limits.pieceBytesMin | typeof Limits.pieceBytesMax = Limits.pieceBytesMin
  /** The network that is cast to: the first that as many are linked in as a cast needs. */
  let by: InterfaceAddress | undefined
  const linked = new Map<PeerId, PeerInfo>()

  const advance = (input: CastSender.Input): void => {
    const outputs = CastSender.step(machine, input, nowMs())
    for (const output of outputs) {
      if (output._tag === "Send") user.send(output.peer, output.message)
      else if (output._tag === "Begun") user.begun(output.root)
      else user.over(output.root)
    }
    if (outputs.length > 0) notice()
    pump()
  }

  let signedNotice: Signed | undefined
  let noticed = ""
  let noticesCount = 0
  /** Who has no link to here hears of casts from those who have one. */
  const notice = (): void => {
    if (by === undefined || sender === undefined) return
    const said = {
      from: by.address,
      ...channelNow(),
      casts: CastSender.current(machine).slice(-Limits.castsNoticedMax)
    }
    const text = JSON.stringify(said)
    if (text === noticed) return
    noticed = text
    const body = JSON.stringify({ number: ++noticesCount, ...said } satisfies CastNotice.CastNotice)
    signedNotice = crypto.sign(context.self, "cast-notice", context.session, body)
    for (const peer of linked.keys()) tellNotice(peer)
  }
  const tellNotice = (peer: PeerId): void => {
    if (signedNotice !== undefined) user.send(peer, { _tag: "Casts", notice: signedNotice, ignorable: true })
  }

  /** Chunks in memory, read ahead of their turn. What leaves is a sealed copy. */
  const chunks = new Map<string, Chunk>()
  const keyOf = (root: Root, index: number) => `${index} ${root}`
  const isHere = (root: Root, index: number): boolean => chunks.get(keyOf(root, index))?.bytes !== undefined
  const readAhead = (): void => {
    const bytes = Math.min(Math.max(machine.pace.bytesPerMs * readAheadMs, readAheadBytesMin), readAheadBytesMax)
    const ahead = CastSender.ahead(machine, bytes)
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
    const queueBytes = Math.round(machine.pace.bytesPerMs * queueMs)
    if (Math.abs(queueBytes - queuedBytes) > queuedBytes / 4) to.setQueue(queuedBytes = queueBytes)
    for (;;) {
      const fragment = CastSender.next(machine, moment())
      if (fragment === undefined) return
      transmit(to, fragment)
      if (fragment.isLast) readAhead()
    }
  }

  const transmit = (to: Sender, fragment: CastSender.Fragment): void => {
    const { bytes, clear, head, root } = fragment
    const chunk = root === undefined ? undefined : chunks.get(keyOf(root, head.index))
    const piece = chunk?.bytes?.subarray(head.offset, head.offset + bytes) ?? new Uint8Array(0)
    const plain = Fragment.encodeClear(clear)
    const sealed = crypto.seal(channel.key, Fragment.nonce(clear.sequence), plain, [Fragment.encodeHead(head), piece])
    to.send([plain, ...sealed], (left) => {
      CastSender.left(machine, fragment, left, nowMs())
      // Not at once: what the system takes at once is told at once, and other things have their turn too.
      alarm.at(CastSender.wakeAtMs(machine, moment()))
    })
  }

  const channelNow = () => ({ group: channel.group, key: Base64Url.encode(channel.key), pieceBytes })

  const tell = (peer: PeerId): void => {
    user.send(peer, { _tag: "Multicast", ...channelNow(), ignorable: true })
    advance({ _tag: "NeighborUp", peer })
  }

  /** Chooses a network once enough are linked in it. */
  const settle = (interfaces: ReadonlyArray<InterfaceAddress>): void => {
    for (const each of interfaces) {
      const near = Array.from(linked.values()).filter(({ address }) => isNeighbor(each, address.host))
      if (near.length < machine.listenersMin) continue
      by = each
      return socket.open(multicast.sender(channel.group, each), (opened) => {
        sender = opened
        queuedBytes = 0
        if (opened.datagramBytesMax >= Limits.fragmentDatagramBytesMax) pieceBytes = Limits.pieceBytesMax
        machine.pieceBytes = pieceBytes
        for (const { address, peer } of linked.values()) if (isNeighbor(each, address.host)) tell(peer)
        notice()
      })
    }
  }

  const look = () => {
    if (linked.size < machine.listenersMin) return
    user.fork(Effect.map(multicast.interfaces, (interfaces) => by === undefined && settle(interfaces)))
  }

  /** Ends what is cast, and begins anew in a network that is chosen anew; with another key if nobody may use this one. */
  const leave = (anew: boolean): void => {
    for (const { peer } of linked.values()) advance({ _tag: "NeighborDown", peer })
    by = undefined
    sender = undefined
    signedNotice = undefined
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
    offer: (root, firstIndex, endIndex, bytes) =>
      advance({
        _tag: "ShareOpened",
        root,
        firstIndex,
        endIndex,
        bytes,
        chunkBytes: (index) => user.chunkBytes(root, index)
      }),
    withdraw: (root) => advance({ _tag: "ShareClosed", root }),
    opened: () => {},
    manifestKnown: () => {},
    chunkFalse: () => {}
  }
  return casting
})

// ---- Everybody else ------------------------------------------------------------------------------------------------

const decodeNotice = Schema.decodeUnknownResult(Schema.fromJsonString(CastNotice.CastNotice))

const makeListener = Effect.fnUntraced(function*(user: CastUser, context: SessionContext["Service"]) {
  const multicast = yield* Multicast
  const crypto = yield* Crypto
  const scope = yield* Effect.scope
  const { nowMs } = user

  const machine = CastReceiver.make(user, nowMs())
  const socket = slot(user, scope)
  let host: PeerInfo | undefined
  let key: Uint8Array | undefined

  const perform = (outputs: ReadonlyArray<CastReceiver.Output>): void => {
    for (const output of outputs) {
      switch (output._tag) {
        case "Send":
          if (host !== undefined) user.send(host.peer, output.message)
          else if (output.message._tag === "Tuned") followCasts()
          break
        case "Await":
          user.begun(output.root)
          break
        case "Release":
          user.over(output.root)
          break
        case "AskManifest":
          user.manifestMissed(output.root)
          break
        case "Whole": {
          const { buffer, index, root } = output.assembly
          user.keep(context.hostPeer(), root, index, buffer!)
          break
        }
        case "Drop":
          if (output.assembly.buffer !== undefined) user.release(output.assembly.buffer)
          break
        case "Deafen":
          socket.close()
      }
    }
    alarm.at(CastReceiver.wakeAtMs(machine))
  }
  const advance = (input: CastReceiver.Input): void => perform(CastReceiver.step(machine, input, nowMs()))
  const alarm = Alarm.make(user.fork, nowMs, () => Effect.sync(() => advance({ _tag: "Tick" })))

  const onDatagram = (datagram: Uint8Array): void => {
    const clear = Fragment.decodeClear(datagram)
    const opened = clear === undefined || key === undefined ? undefined : crypto.unseal(
      key,
      Fragment.nonce(clear.sequence),
      datagram.subarray(0, Fragment.clearBytes),
      datagram.subarray(Fragment.clearBytes)
    )
    if (clear === undefined || opened === undefined) return perform(CastReceiver.stray(machine, nowMs()))
    perform(CastReceiver.hear(machine, clear, nowMs()))
    const head = Fragment.decodeHead(opened)
    const piece = opened.subarray(Fragment.headBytes)
    const assembly = CastReceiver.place(machine, head, piece.length)
    if (assembly === undefined) return
    assembly.buffer ??= user.acquire(assembly.bytes)
    assembly.buffer.set(piece, head.offset)
    const outputs = CastReceiver.placed(machine, assembly, head, piece.length)
    if (outputs.length > 0) perform(outputs)
  }

  /** Listens where the host casts, in the network in which it has that address. */
  const listen = (from: string, { group, key: text, pieceBytes }: Channel): void => {
    const bytes = Base64Url.decode(text)
    if (bytes._tag === "Failure" || bytes.success.length !== Fragment.keyBytes) return
    key = bytes.success
    const wanted = bytes.success
    user.fork(Effect.map(multicast.interfaces, (interfaces) => {
      const by = interfaces.find((each) => isNeighbor(each, from))
      if (by === undefined || key !== wanted) return
      socket.open(multicast.receive(group, by, onDatagram), () => advance({ _tag: "Listening", pieceBytes }))
    }))
  }

  // ---- without a link to the host, from what neighbors pass on -------------------------------------------------------

  const notices = CastNotice.make()
  const passOn = (peers: ReadonlyArray<PeerId>): void => {
    for (const peer of peers) user.send(peer, { _tag: "Casts", notice: notices.newest!.signed, ignorable: true })
  }

  /** Only the host is believed: who else would send a room away from its neighbors? */
  const hearNotice = (from: PeerId, signed: Signed): void => {
    // Who has a link to the host needs the others' word for nothing, and the host's own no proof.
    const isHost = from === host?.peer
    const isWanted = isHost || host === undefined
    const isGenuine = isWanted && signed.key === context.certificate().host &&
      signed.body.length <= Limits.castNoticeCharactersMax &&
      (isHost || crypto.verify("cast-notice", context.session, signed))
    const decoded = isGenuine ? decodeNotice(signed.body) : undefined
    const untold = decoded === undefined || Result.isFailure(decoded)
      ? undefined
      : CastNotice.heard(notices, from, { signed, notice: decoded.success })
    if (untold === undefined) return user.overhead(from, signed.body.length)
    passOn(untold)
    if (host === undefined) follow()
  }

  /** What is listened to by a notice. */
  let followed: string | undefined
  const follow = (): void => {
    const { notice } = notices.newest!
    if (notice.key !== followed) {
      followed = notice.key
      listen(notice.from, notice)
    }
    followCasts()
  }
  /** Waits for what is cast, as far as it is heard here, and no more for what is not. */
  const followCasts = (): void => {
    const casts = notices.newest?.notice.casts ?? []
    const reportMs = Limits.castReportMsMax
    for (const { cast, share } of casts) {
      advance({ _tag: "Message", message: { _tag: "Cast", share, cast, over: false, reportMs } })
    }
    for (const { number, root } of Array.from(machine.casts.values())) {
      if (casts.some(({ cast }) => cast === number)) continue
      advance({ _tag: "Message", message: { _tag: "Cast", share: root, cast: number, over: true, reportMs } })
    }
  }

  const casting: Casting = {
    peerUp: (info) => {
      if (!info.isHost) return
      host = info
      followed = undefined
    },
    peerDown: (peer) => {
      CastNotice.gone(notices, peer)
      if (host?.peer !== peer) return
      advance({ _tag: "HostDown" })
      host = undefined
      key = undefined
      CastNotice.forget(notices)
    },
    nearHost: (peer, near) => passOn(CastNotice.neighbor(notices, peer, near || peer === host?.peer)),
    hear: (peer, message) => {
      if (message._tag === "Casts") return hearNotice(peer, message.notice)
      if (host?.peer !== peer) return
      if (message._tag === "Multicast") return listen(host.address.host, message)
      advance({ _tag: "Message", message })
    },
    hears: () => machine.hears,
    offer: () => {},
    withdraw: () => {},
    opened: (root, outline, patient) => advance({ _tag: "ShareOpened", root, outline, patient }),
    manifestKnown: (root) => advance({ _tag: "ManifestKnown", root }),
    chunkFalse: () => advance({ _tag: "ChunkFalse" })
  }
  return casting
})
