/**
 * A room in discrete events: the swarm machine that ships, on a model of its links.
 *
 * Each device has one way out and one way in. A link is a first-in-first-out queue with a kernel buffer, as a TCP
 * connection is: control messages go ahead of chunk frames that the kernel has not taken, and behind those it has. The
 * way out is shared between links in turns of one segment; at the far end segments wait for the receiver's way in. A cast
 * is one more queue of the teacher's, and what leaves it goes to the way in of everybody; who has no link to the teacher hears
 * of it from neighbors. What is not modelled: loss, slow start, headers of packets, and processors that have more to do than
 * they can.
 */
import { Base64Url } from "effect/encoding"
import * as Bitfield from "../src/protocol/Bitfield.ts"
import * as CastNotice from "../src/protocol/CastNotice.ts"
import * as CastReceiver from "../src/protocol/CastReceiver.ts"
import * as CastSender from "../src/protocol/CastSender.ts"
import type { PeerId, PublicKey, Root, Signature } from "../src/protocol/Ids.ts"
import * as Limits from "../src/protocol/Limits.ts"
import { manifestChunkSizeFor } from "../src/protocol/Manifest.ts"
import type { Signed } from "../src/protocol/Signed.ts"
import * as Swarm from "../src/protocol/Swarm.ts"
import { defaultPolicy, type Policy } from "../src/protocol/SwarmState.ts"
import { type CastMessage, castPort, isCastMessage, type SwarmMessage } from "../src/protocol/Wire.ts"
import { chance } from "../src/simulator/Scenario.ts"

export interface Room {
  readonly students: number
  readonly chunks: number
  readonly chunkBytes: number
  /** Bytes a second of a device's way out; and of its way in, as a multiple of that. */
  readonly bytesPerSecond: number
  readonly down: number
  /** Links of a device, in rooms larger than a full mesh. */
  readonly links: number
  /**
   * Whether every student has a link to the teacher besides, or as many as fit, as in real rooms; `bench/model.ts` says so.
   * Else the teacher has as many as anybody: the room whose bounds the tests hold.
   */
  readonly teacherLinked: boolean
  /** Whether the network carries a multicast, with which the teacher casts the share. */
  readonly cast: boolean
  /** From one device to another, one way. */
  readonly latencyMs: number
  /** To verify and store a chunk, and to read one. */
  readonly diskMs: number
  readonly kernelBytes: number
  readonly segmentBytes: number
  readonly seed: number
  readonly policy: Partial<Policy>
  /** Students at a tenth of the rate. */
  readonly slow: number
  /** Rates spread evenly between half and twice the rate. */
  readonly unequal: boolean
  /** Students who claim everything and deliver nothing; half of them refuse, half keep silent. */
  readonly bad: number
  /** Students who ask and answer like good ones, and send no chunk. */
  readonly mute: number
  /** Students who come when half of one copy's time is over. */
  readonly late: number
  /** The teacher leaves at this multiple of one copy's time; 0 if never. */
  readonly orphanAt: number
  /** Links cut a second, over the whole room; each comes back after a second. */
  readonly churn: number
}

export const defaultRoom: Room = {
  students: 50,
  chunks: 200,
  chunkBytes: 64 * 1024,
  bytesPerSecond: 1_250_000,
  down: 1,
  links: 10,
  teacherLinked: false,
  cast: false,
  latencyMs: 0.5,
  diskMs: 1,
  kernelBytes: 128 * 1024,
  segmentBytes: 16 * 1024,
  seed: 1,
  policy: {},
  slow: 0,
  unequal: false,
  bad: 0,
  mute: 0,
  late: 0,
  orphanAt: 0,
  churn: 0
}

export interface Result {
  /** When the students finished, in multiples of one copy's time, ascending; those who never did are missing. */
  readonly finished: ReadonlyArray<number>
  readonly expected: number
  /** 1 + floor(log2 N) / M. */
  readonly bound: number
  /** What the teacher and the busiest student sent, in copies. */
  readonly teacherCopies: number
  readonly busiestCopies: number
  /** Received twice or for nothing, as a share of what was needed. */
  readonly wasted: number
  /** Bytes on the way out that are not chunks, as a share of those that are. */
  readonly control: number
  /** Jain's index of what equal students have when half is spread. */
  readonly jain: number
  readonly inputs: number
}

/** Framing, TLS, TCP and IP around a message that is sent alone; and around a 64 KiB frame, which is several records. */
const messageOverheadBytes = 110
const frameOverheadBytes = 230
/** Sealing, UDP and IP around a piece that is cast. */
const fragmentOverheadBytes = 100
/** How much the system holds of what is cast, as `Casting` allows it: what leaves in this time, or two pieces. */
const castQueueMs = 25
/** When the share is opened in a room that has had the time to find out who hears the teacher. */
const tunedMs = 2_000

interface Frame {
  readonly index: number
  readonly bytes: number
  readonly last: boolean
}

/** A message or a frame in the kernel, and a part of one under way. */
interface Item {
  readonly message: SwarmMessage | CastMessage | undefined
  readonly frame: Frame | undefined
  remaining: number
  /** Whether the part that is sent with this is the last. */
  last: boolean
}

/** What is under way, and what it brings about when it is in. */
interface Segment {
  readonly bytes: number
  readonly arrive: () => void
}

/** A datagram that the teacher's system has taken, and how much of it has not left. */
interface Datagram {
  readonly fragment: CastSender.Fragment
  remaining: number
}

interface Link {
  readonly from: Device
  readonly to: Device
  /** Chunks whose frames the kernel has not taken; and what it has taken and not sent. */
  readonly chunks: Array<{ readonly index: number; readonly bytes: number; offset: number }>
  readonly kernel: Array<Item>
  kernelBytes: number
  /** Sent and not yet received: bounded as a TCP window is. */
  underWayBytes: number
  waiting: boolean
  up: boolean
}

interface Device {
  readonly id: number
  readonly mute: boolean
  readonly peer: PeerId
  readonly machine: Swarm.Swarm | undefined
  readonly upPerMs: number
  readonly downPerMs: number
  readonly links: Map<PeerId, Link>
  readonly have: Uint8Array
  haveCount: number
  finishedMs: number
  /** Links with something in the kernel that may be sent, in turn. */
  readonly turns: Array<Link>
  /** What is cast, in turn with all links together. */
  readonly datagrams: Array<Datagram>
  datagramTurn: boolean
  readonly receiver: CastReceiver.CastReceiver | undefined
  readonly notices: CastNotice.CastNotices
  sending: boolean
  readonly arriving: Array<Segment>
  receiving: boolean
  sentChunkBytes: number
  sentControlBytes: number
  receivedChunkBytes: number
  wakeMs: number
  castWakeMs: number
}

const manifestChunks = 1

/** What nobody can beat, in multiples of one copy's time: the last of N equal links with M chunks. */
export const boundOf = (students: number, chunks: number): number => 1 + Math.floor(Math.log2(students)) / chunks

export const simulate = (room: Room): Result => {
  const random = chance(room.seed)
  const below = (count: number) => Math.floor(random() * count)
  const root = "r".repeat(43) as Root
  const chunksCount = room.chunks + manifestChunks
  const manifestBytes = 200 + 44 * room.chunks
  const oneCopyMs = room.chunks * room.chunkBytes / room.bytesPerSecond * 1_000
  const events = makeHeap()
  let nowMs = 0
  let inputs = 0
  let usefulBytes = 0

  const bytesOf = (index: number) => index < manifestChunks ? manifestBytes : room.chunkBytes
  const after = (delayMs: number, act: () => void) => events.push(nowMs + delayMs, act)

  const devices = Array.from({ length: room.students + 1 }, (_, id): Device => {
    const isBad = id > room.students - room.bad
    const rate = room.bytesPerSecond / 1_000 *
      (id > 0 && id <= room.slow ? 0.1 : room.unequal ? 0.5 * 4 ** ((id % 11) / 10) : 1)
    const machine = isBad ? undefined : Swarm.make({ random: chance(room.seed * 1_000 + id) }, {
      ...defaultPolicy,
      ...room.policy
    })
    return {
      id,
      mute: id > 0 && id <= room.mute,
      peer: String(id).padStart(43, "p") as PeerId,
      machine,
      upPerMs: rate,
      downPerMs: rate * room.down,
      links: new Map(),
      have: id === 0 ? Bitfield.full(chunksCount) : Bitfield.make(chunksCount),
      haveCount: 0,
      finishedMs: id === 0 || isBad ? 0 : Infinity,
      turns: [],
      datagrams: [],
      datagramTurn: false,
      receiver: !room.cast || id === 0 || machine === undefined ? undefined : CastReceiver.make({
        chunkBytes: (_, index) => Swarm.isVerifiable(machine, root, index) ? bytesOf(index) : 0,
        isMissing: (_, index) => Swarm.isMissing(machine, root, index)
      }, 0),
      notices: CastNotice.make(),
      sending: false,
      arriving: [],
      receiving: false,
      sentChunkBytes: 0,
      sentControlBytes: 0,
      receivedChunkBytes: 0,
      wakeMs: Infinity,
      castWakeMs: Infinity
    }
  })
  const byPeer = new Map(devices.map((device) => [device.peer, device]))
  const teacher = devices[0]!
  const good = devices.slice(1).filter(({ machine, mute }) => machine !== undefined && !mute)

  // ---- Links -------------------------------------------------------------------------------------------------------

  const offer = (link: Link) => {
    if (link.waiting || link.kernel.length === 0 || link.underWayBytes >= 8 * room.segmentBytes) return
    link.waiting = true
    link.from.turns.push(link)
    send(link.from)
  }

  const send = (device: Device) => {
    if (device.sending) return
    device.datagramTurn = device.datagrams.length > 0 && (!device.datagramTurn || device.turns.length === 0)
    if (device.datagramTurn) return sendDatagram(device, device.datagrams[0]!)
    const link = device.turns.shift()
    if (link === undefined) return
    link.waiting = false
    if (!link.up) return send(device)
    const items: Array<Item> = []
    let bytes = 0
    while (link.kernel.length > 0 && bytes < room.segmentBytes) {
      const item = link.kernel[0]!
      const part = Math.min(item.remaining, room.segmentBytes - bytes)
      bytes += part
      item.remaining -= part
      items.push({ ...item, remaining: part, last: item.remaining === 0 })
      if (item.remaining === 0) link.kernel.shift()
    }
    link.kernelBytes -= bytes
    link.underWayBytes += bytes
    device.sending = true
    after(bytes / device.upPerMs, () => {
      device.sending = false
      const arrive = () => {
        link.underWayBytes -= bytes
        offer(link)
        if (link.up) { for (const item of items) take(link, item) }
      }
      if (link.up) after(room.latencyMs, () => reach(link.to, { bytes, arrive }))
      feed(link)
      offer(link)
      send(device)
    })
  }

  const sendDatagram = (device: Device, datagram: Datagram) => {
    const bytes = Math.min(datagram.remaining, room.segmentBytes)
    device.sending = true
    after(bytes / device.upPerMs, () => {
      device.sending = false
      datagram.remaining -= bytes
      const isOut = datagram.remaining === 0
      if (isOut) device.datagrams.shift()
      for (const to of devices) {
        const arrive = () => isOut && hear(to, datagram.fragment)
        if (to !== device) after(room.latencyMs, () => reach(to, { bytes, arrive }))
      }
      if (isOut) handDatagrams()
      send(device)
    })
  }

  const reach = (to: Device, segment: Segment) => {
    to.arriving.push(segment)
    receive(to)
  }

  const receive = (device: Device) => {
    const segment = device.receiving ? undefined : device.arriving.shift()
    if (segment === undefined) return
    device.receiving = true
    after(segment.bytes / device.downPerMs, () => {
      device.receiving = false
      segment.arrive()
      receive(device)
    })
  }

  const take = (link: Link, item: Item) => {
    const { from, to } = link
    if (item.message !== undefined && item.last) hearMessage(from, to, item.message)
    if (item.frame === undefined || !item.last) return
    const { frame } = item
    const { index, bytes, last } = frame
    to.receivedChunkBytes += bytes
    if (to.machine === undefined) return
    const wanted = !Bitfield.has(to.have, index) && isAsked(to, index)
    input(to, { _tag: "DataArrived", peer: from.peer, root, index, bytes, last })
    if (last && wanted) after(room.diskMs, () => store(from, to, index))
  }

  const hearMessage = (from: Device, to: Device, message: SwarmMessage | CastMessage) => {
    if (!isCastMessage(message)) return input(to, { _tag: "Message", peer: from.peer, message })
    if (to === teacher) return stepSender({ _tag: "Message", peer: from.peer, message })
    if (message._tag === "Casts") return hearNotice(from, to, message.notice)
    stepReceiver(to, { _tag: "Message", message })
  }

  const isAsked = (device: Device, index: number) => device.machine!.shares.get(root)!.flights.has(index)

  /** From a link, or from nobody by a cast. */
  const store = (from: Device | undefined, to: Device, index: number) => {
    if (Bitfield.has(to.have, index)) return
    Bitfield.add(to.have, index)
    usefulBytes += bytesOf(index)
    if (from === undefined) input(to, { _tag: "ChunkFound", root, index })
    else input(to, { _tag: "ChunkStored", peer: from.peer, root, index })
    if (index < manifestChunks) {
      input(to, { _tag: "ManifestKnown", root, have: to.have })
      return stepReceiver(to, { _tag: "ManifestKnown", root })
    }
    to.haveCount++
    watch()
    if (to.haveCount === room.chunks) to.finishedMs = nowMs
  }

  /** Hands frames to the kernel while it takes them. */
  const feed = (link: Link) => {
    const { from, to } = link
    while (link.up && link.chunks.length > 0 && link.kernelBytes < room.kernelBytes) {
      const chunk = link.chunks[0]!
      const bytes = Math.min(Limits.dataFrameBytesMax, chunk.bytes - chunk.offset)
      chunk.offset += bytes
      const last = chunk.offset === chunk.bytes
      const remaining = bytes + frameOverheadBytes
      link.kernel.push({ message: undefined, frame: { index: chunk.index, bytes, last }, remaining, last: false })
      link.kernelBytes += remaining
      from.sentChunkBytes += bytes
      from.sentControlBytes += frameOverheadBytes
      if (!last) continue
      link.chunks.shift()
      after(0, () => input(from, { _tag: "Served", peer: to.peer, root, index: chunk.index, bytes: chunk.bytes }))
    }
    offer(link)
  }

  const say = (link: Link, message: SwarmMessage | CastMessage) => {
    const bytes = JSON.stringify(message).length + messageOverheadBytes
    link.kernel.push({ message, frame: undefined, remaining: bytes, last: false })
    link.kernelBytes += bytes
    link.from.sentControlBytes += bytes
    offer(link)
  }

  const connect = (a: Device, b: Device) => {
    if (a === b || a.links.has(b.peer)) return
    for (const [from, to] of [[a, b], [b, a]] as const) {
      from.links.set(to.peer, {
        from,
        to,
        chunks: [],
        kernel: [],
        kernelBytes: 0,
        underWayBytes: 0,
        waiting: false,
        up: true
      })
    }
    if (a === teacher || b === teacher) tune(a === teacher ? b : a)
    for (const [from, to] of [[a, b], [b, a]] as const) {
      if (from.machine !== undefined) input(from, { _tag: "PeerUp", peer: to.peer, isHost: to === teacher })
      else {say(from.links.get(to.peer)!, {
          _tag: "Bitfield",
          share: root,
          bits: Base64Url.encode(Bitfield.full(chunksCount))
        })}
    }
  }

  const cut = (a: Device, b: Device) => {
    if (!a.links.has(b.peer)) return
    for (const [from, to] of [[a, b], [b, a]] as const) {
      from.links.get(to.peer)!.up = false
      from.links.delete(to.peer)
      CastNotice.gone(from.notices, to.peer)
    }
    for (const [from, to] of [[a, b], [b, a]] as const) input(from, { _tag: "PeerDown", peer: to.peer })
    const student = a === teacher ? b : a
    if (!room.cast || (a !== teacher && b !== teacher)) return
    stepSender({ _tag: "NeighborDown", peer: student.peer })
    stepReceiver(student, { _tag: "HostDown" })
    CastNotice.forget(student.notices)
  }

  // ---- The cast, as `Casting` drives it ----------------------------------------------------------------------------

  const sender = CastSender.make((_, index) => Swarm.lackingCount(teacher.machine!, root, index), 0)
  sender.pieceBytes = Limits.pieceBytesMax
  /** Datagrams that the system has not taken. */
  const held: Array<CastSender.Fragment> = []
  let senderWakeMs = Infinity

  const tune = (student: Device) => {
    if (!room.cast) return
    stepReceiver(student, { _tag: "Listening" })
    stepSender({ _tag: "NeighborUp", peer: student.peer })
  }

  const stepSender = (value: CastSender.Input) => {
    for (const output of CastSender.step(sender, value, nowMs)) {
      if (output._tag === "Begun") input(teacher, { _tag: "CastBegun", root, manifest: true })
      else if (output._tag === "Over") input(teacher, { _tag: "CastOver", root, spare: output.spare })
      else {
        const link = teacher.links.get(output.peer)
        if (link !== undefined) say(link, output.message)
      }
    }
    notice()
    pump()
  }

  let noticesCount = 0
  let noticed = ""
  const notice = () => {
    const casts = CastSender.current(sender)
    if (JSON.stringify(casts) === noticed) return
    noticed = JSON.stringify(casts)
    const group = { host: "239.255.0.0", port: castPort }
    const key = "k".repeat(43)
    const body = JSON.stringify({ number: ++noticesCount, from: "10.0.0.1", group, key, casts })
    const signed = { key: "h".repeat(43) as PublicKey, signature: "s".repeat(86) as Signature, body }
    for (const link of teacher.links.values()) say(link, { _tag: "Casts", notice: signed, ignorable: true })
  }
  const isFar = (device: Device) => !device.links.has(teacher.peer)

  const hearNotice = (from: Device, to: Device, signed: Signed) => {
    const { links, notices, receiver } = to
    if (receiver === undefined) return
    const notice: CastNotice.CastNotice = JSON.parse(signed.body)
    const tell = (peers: ReadonlyArray<PeerId>) => {
      const newest = notices.newest?.signed
      for (const peer of peers) say(links.get(peer)!, { _tag: "Casts", notice: newest!, ignorable: true })
    }
    for (const { to: other } of links.values()) tell(CastNotice.neighbor(notices, other.peer, !isFar(other)))
    const untold = CastNotice.heard(notices, from.peer, { signed, notice })
    if (untold === undefined) return
    tell(untold)
    if (!isFar(to)) return
    if (!receiver.listening) stepReceiver(to, { _tag: "Listening" })
    stepReceiver(to, { _tag: "Noticed", casts: notice.casts })
  }

  const pump = () => {
    for (;;) {
      const hushed = Swarm.isHushed(teacher.machine!, nowMs)
      const fragment = CastSender.next(sender, { hushed, isHere: () => true, nowMs })
      if (fragment === undefined) break
      held.push(fragment)
      after(0, handDatagrams)
    }
    const wakeMs = Math.max(CastSender.wakeAtMs(sender, { hushed: false, isHere: () => true }), nowMs + 0.1)
    if (wakeMs >= senderWakeMs) return
    senderWakeMs = wakeMs
    after(wakeMs - nowMs, () => {
      senderWakeMs = Infinity
      stepSender({ _tag: "Tick" })
    })
  }

  /** Gives the system as much as it takes. */
  const handDatagrams = () => {
    const { datagrams } = teacher
    const mostBytes = Math.max(2 * sender.pieceBytes, sender.pace.bytesPerMs * castQueueMs)
    const queuedBytes = () => datagrams.reduce((sum, { remaining }) => sum + remaining, 0)
    while (held.length > 0 && queuedBytes() + held[0]!.bytes <= mostBytes) {
      const fragment = held.shift()!
      datagrams.push({ fragment, remaining: fragment.bytes + fragmentOverheadBytes })
      teacher.sentChunkBytes += fragment.bytes
      teacher.sentControlBytes += fragmentOverheadBytes
      CastSender.left(sender, fragment, true, nowMs)
      send(teacher)
    }
    pump()
  }

  const stepReceiver = (device: Device, value: CastReceiver.Input) => {
    if (device.receiver !== undefined) perform(device, CastReceiver.step(device.receiver, value, nowMs))
  }

  const perform = (device: Device, outputs: ReadonlyArray<CastReceiver.Output>) => {
    for (const output of outputs) {
      const link = device.links.get(teacher.peer)
      if (output._tag === "Send" && link !== undefined) say(link, output.message)
      else if (output._tag === "Await") {
        input(device, { _tag: "CastBegun", root, manifest: true })
        const outline = { manifestChunksCount: manifestChunks, chunkSizeBytes: room.chunkBytes }
        stepReceiver(device, { _tag: "ShareOpened", root, outline, patient: false })
      } else if (output._tag === "Release") input(device, { _tag: "CastOver", root, spare: false })
      else if (output._tag === "AskManifest") input(device, { _tag: "CastMissed", root })
      else if (output._tag === "Whole") after(room.diskMs, () => store(undefined, device, output.assembly.index))
    }
    const wakeMs = Math.max(CastReceiver.wakeAtMs(device.receiver!), nowMs + 1)
    if (wakeMs >= device.castWakeMs) return
    device.castWakeMs = wakeMs
    after(wakeMs - nowMs, () => {
      device.castWakeMs = Infinity
      stepReceiver(device, { _tag: "Tick" })
    })
  }

  const noBytes = new Uint8Array(0)
  const hear = (device: Device, { bytes, clear, head }: CastSender.Fragment) => {
    const { receiver } = device
    if (receiver === undefined) return
    perform(device, CastReceiver.hear(receiver, clear, nowMs))
    const assembly = CastReceiver.place(receiver, head, bytes)
    if (assembly === undefined) return
    if (head.parity > 0) assembly.parities.set(head.parity - 1, noBytes)
    device.receivedChunkBytes += bytes
    perform(device, CastReceiver.placed(receiver, assembly, head, bytes))
  }

  // ---- Devices -----------------------------------------------------------------------------------------------------

  const input = (device: Device, value: Swarm.Input) => {
    if (device.machine === undefined) {
      if (value._tag === "Message" && value.message._tag === "Request" && device.id % 2 === 0) {
        const link = devices.find(({ peer }) => peer === value.peer)!
        say(device.links.get(link.peer)!, { ...value.message, _tag: "Reject" })
      }
      return
    }
    inputs++
    for (const output of Swarm.step(device.machine, value, nowMs)) {
      if (output._tag === "Send") {
        const link = device.links.get(output.peer)
        if (link !== undefined) say(link, output.message)
      } else if (output._tag === "Serve") {
        const { peer, index } = output
        const link = device.links.get(peer)!
        after(room.diskMs / 2, () => {
          if (!link.up || device.mute) {
            return input(device, { _tag: "Served", peer, root, index, bytes: bytesOf(index) })
          }
          link.chunks.push({ index, bytes: bytesOf(index), offset: 0 })
          feed(link)
        })
      } else if (output._tag === "Disconnect") cut(device, byPeer.get(output.peer)!)
    }
    const wakeMs = Math.max(Swarm.wakeAtMs(device.machine), nowMs + 1)
    if (wakeMs < device.wakeMs) {
      device.wakeMs = wakeMs
      events.push(wakeMs, () => {
        if (device.wakeMs !== wakeMs) return
        device.wakeMs = Infinity
        input(device, { _tag: "Tick" })
      })
    }
  }

  const open = (device: Device) => {
    if (device.machine === undefined) return
    input(device, {
      _tag: "ShareOpened",
      root,
      manifestChunksCount: manifestChunks,
      chunksCount,
      chunkSizeBytes: room.chunkBytes,
      manifestChunkSizeBytes: manifestChunkSizeFor(manifestBytes),
      have: device.have,
      manifestKnown: device === teacher,
      origin: device === teacher,
      cast: device.receiver?.hears === true ? { begun: false, manifest: true } : undefined
    })
    if (device === teacher && room.cast) {
      const bytes = manifestBytes + room.chunks * room.chunkBytes
      stepSender({
        _tag: "ShareOpened",
        root,
        firstIndex: 0,
        endIndex: chunksCount,
        bytes,
        urgent: false,
        chunkBytes: bytesOf
      })
    }
    const tick = () => {
      input(device, { _tag: "Tick" })
      after(250, tick)
    }
    after(random() * 250, tick)
  }

  let jain = 0
  const watch = () => {
    if (jain > 0) return
    const equals = good.filter(({ id }) => id > room.slow && id <= room.students - room.late)
    const sum = equals.reduce((sum, { haveCount }) => sum + haveCount, 0)
    if (sum < equals.length * room.chunks / 2) return
    jain = sum ** 2 / (equals.length * equals.reduce((sum, { haveCount }) => sum + haveCount ** 2, 0))
  }

  // ---- The room ----------------------------------------------------------------------------------------------------

  const isLate = (device: Device) => device.id > room.students - room.late
  const early = devices.filter((device) => !isLate(device))
  const join = (device: Device, others: ReadonlyArray<Device>, wanted: number) => {
    if (room.teacherLinked && teacher.links.size < Limits.linksMax && others.includes(teacher)) connect(device, teacher)
    for (let tries = 0; device.links.size < wanted && tries < 200; tries++) {
      const other = others[below(others.length)]!
      if (other.links.size < wanted + 2) connect(device, other)
    }
  }
  const startMs = room.cast ? tunedMs : 0
  if (!room.cast) { for (const device of early) open(device) }
  if (early.length <= Limits.fullMeshPeersMax) { for (const a of early) for (const b of early) connect(a, b) }
  else {
    for (let i = 1; i < early.length; i++) connect(early[i]!, early[below(i)]!)
    for (const device of early) join(device, early, room.links)
  }
  if (room.cast) after(startMs, () => early.forEach(open))
  after(startMs + oneCopyMs / 2, () => {
    for (const device of devices) {
      if (!isLate(device)) continue
      open(device)
      join(device, devices.filter((other) => other !== device && other.links.size > 0), room.links)
    }
  })
  if (room.orphanAt > 0) {
    after(startMs + oneCopyMs * room.orphanAt, () => {
      for (const peer of Array.from(teacher.links.keys())) cut(teacher, byPeer.get(peer)!)
    })
  }
  if (room.churn > 0) {
    const churn = () => {
      const a = good[below(good.length)]!
      const peers = Array.from(a.links.keys())
      const b = byPeer.get(peers[below(peers.length)]!)
      if (b !== undefined) {
        cut(a, b)
        after(1_000, () => connect(a, b))
      }
      after(1_000 / room.churn, churn)
    }
    after(1_000 / room.churn, churn)
  }

  const limitMs = oneCopyMs * 40 + 60_000
  while (nowMs < limitMs && good.some(({ finishedMs }) => finishedMs === Infinity)) {
    const remaining = good.length
    // Looking whether all are done costs more than an event: look now and then.
    for (let i = 0; i < 20 * remaining; i++) {
      const event = events.pop()
      if (event === undefined) break
      nowMs = event.atMs
      event.act()
    }
  }

  const copy = room.chunks * room.chunkBytes
  const sum = (of: (device: Device) => number) => devices.reduce((sum, device) => sum + of(device), 0)
  return {
    finished: good.map(({ finishedMs }) => (finishedMs - startMs) / oneCopyMs).filter(Number.isFinite).toSorted((
      a,
      b
    ) => a - b),
    expected: good.length,
    bound: boundOf(room.students, room.chunks),
    teacherCopies: teacher.sentChunkBytes / copy,
    busiestCopies: Math.max(...devices.slice(1).map(({ sentChunkBytes }) => sentChunkBytes)) / copy,
    wasted: (sum(({ receivedChunkBytes }) => receivedChunkBytes) - usefulBytes) / usefulBytes,
    control: sum(({ sentControlBytes }) => sentControlBytes) / sum(({ sentChunkBytes }) => sentChunkBytes),
    jain,
    inputs
  }
}

interface Event {
  readonly atMs: number
  readonly order: number
  readonly act: () => void
}

/** Events by time, those of one time in the order they were pushed. */
export const makeHeap = () => {
  const heap: Array<Event> = []
  let order = 0
  const isBefore = (a: Event, b: Event) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
  return {
    push: (atMs: number, act: () => void): void => {
      const event = { atMs, order: order++, act }
      let place = heap.length
      while (place > 0) {
        const parent = (place - 1) >> 1
        if (!isBefore(event, heap[parent]!)) break
        heap[place] = heap[parent]!
        place = parent
      }
      heap[place] = event
    },
    pop: (): Event | undefined => {
      const first = heap[0]
      const last = heap.pop()
      if (last === undefined || heap.length === 0) return first
      let place = 0
      for (;;) {
        let child = 2 * place + 1
        if (child >= heap.length) break
        if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
        if (!isBefore(heap[child]!, last)) break
        heap[place] = heap[child]!
        place = child
      }
      heap[place] = last
      return first
    }
  }
}
