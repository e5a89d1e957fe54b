/** Everybody else's side of {@link Casting}: drives {@link CastReceiver} with what comes over the network's multicast. */
import { Effect, Result, Schema } from "effect"
import { Base64Url } from "effect/encoding"
import * as CastNotice from "../../protocol/CastNotice.ts"
import * as CastReceiver from "../../protocol/CastReceiver.ts"
import * as Fragment from "../../protocol/Fragment.ts"
import type { PeerId } from "../../protocol/Ids.ts"
import { isNeighbor } from "../../protocol/Interfaces.ts"
import * as Limits from "../../protocol/Limits.ts"
import * as Parity from "../../protocol/Parity.ts"
import type { Signed } from "../../protocol/Signed.ts"
import type { Multicast as MulticastMessage } from "../../protocol/Wire.ts"
import * as Alarm from "../Alarm.ts"
import type { Casting, CastUser } from "../Casting.ts"
import { Crypto } from "../Crypto.ts"
import { Multicast } from "../Multicast.ts"
import type { PeerInfo } from "../PeerManager.ts"
import type { SessionContext } from "../SessionContext.ts"
import * as Slot from "./Slot.ts"

/** Where is cast, and how. */
type Channel = Pick<typeof MulticastMessage.Type, "group" | "groups" | "key">

const decodeNotice = Schema.decodeUnknownResult(Schema.fromJsonString(CastNotice.CastNotice))

export const make = Effect.fnUntraced(function*(user: CastUser, context: SessionContext["Service"]) {
  const multicast = yield* Multicast
  const crypto = yield* Crypto
  const scope = yield* Effect.scope
  const { nowMs } = user

  const machine = CastReceiver.make(user, nowMs())
  const socket = Slot.make(user.fork, scope)
  /** The host, while there is a link to it, and from its first word of casts on: it may have no room for one more. */
  let linked: PeerInfo | undefined
  let host: PeerInfo | undefined
  let key: Uint8Array | undefined

  const perform = (outputs: ReadonlyArray<CastReceiver.Output>): void => {
    for (const output of outputs) {
      switch (output._tag) {
        case "Send":
          if (host !== undefined) user.send(host.peer, output.message)
          break
        case "Await":
          user.begun(output.root)
          break
        case "Release":
          user.over(output.root, false)
          break
        case "AskManifest":
          user.manifestMissed(output.root)
          break
        case "Whole": {
          const { buffer, index, missingCount, parities, pieceBytes, pieces, root } = output.assembly
          if (missingCount > 0) Parity.rebuild(buffer!, pieceBytes, pieces, parities)
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
    if (head.parity > 0) assembly.parities.set(head.parity - 1, piece)
    else assembly.buffer.set(piece, head.offset)
    const outputs = CastReceiver.placed(machine, assembly, head, piece.length)
    if (outputs.length > 0) perform(outputs)
  }

  /** Listens where the host casts, in the network in which it has that address. */
  const listen = (from: string, { group, groups = 1, key: text }: Channel): void => {
    const bytes = Base64Url.decode(text)
    if (bytes._tag === "Failure" || bytes.success.length !== Fragment.keyBytes) return
    key = bytes.success
    const wanted = bytes.success
    user.fork(Effect.map(multicast.interfaces, (interfaces) => {
      const by = interfaces.find((each) => isNeighbor(each, from))
      if (by === undefined || key !== wanted) return
      socket.open(
        multicast.receive(Fragment.groupsOf(group, groups), by, onDatagram),
        () => advance({ _tag: "Listening" })
      )
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
    advance({ _tag: "Noticed", casts: notice.casts })
  }

  /** From now on the host tells itself. */
  const begin = (info: PeerInfo): void => {
    host = info
    followed = undefined
    advance({ _tag: "Noticed", casts: [] })
  }

  const casting: Casting = {
    peerUp: (info) => {
      if (info.isHost) linked = info
    },
    peerDown: (peer) => {
      CastNotice.gone(notices, peer)
      if (linked?.peer === peer) linked = undefined
      if (host?.peer !== peer) return
      advance({ _tag: "HostDown" })
      host = undefined
      key = undefined
      CastNotice.forget(notices)
    },
    nearHost: (peer, near) => passOn(CastNotice.neighbor(notices, peer, near || peer === context.hostPeer())),
    hear: (peer, message) => {
      if (peer === linked?.peer && host !== linked) begin(linked)
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
