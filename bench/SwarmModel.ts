/**
 * A room in discrete events: the swarm machine that ships, on a model of its links.
 *
 * Each device has one way out and one way in. A link is a first-in-first-out queue with a kernel buffer, as a TCP
 * connection is: control messages go ahead of chunk frames that the kernel has not taken, and behind those it has. The
 * way out is shared between links in turns of one segment; at the far end segments wait for the receiver's way in. What
 * is not modelled: loss, slow start, and processors that have more to do than they can.
 */
import { Base64Url } from "effect/encoding"
import * as Bitfield from "../src/protocol/Bitfield.ts"
import type { PeerId, Root } from "../src/protocol/Ids.ts"
import * as Limits from "../src/protocol/Limits.ts"
import { manifestChunkSizeFor } from "../src/protocol/Manifest.ts"
import * as Swarm from "../src/protocol/Swarm.ts"
import { defaultPolicy, type Policy } from "../src/protocol/SwarmState.ts"
import type { SwarmMessage } from "../src/protocol/Wire.ts"

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
   * Whether every student has a link to the teacher besides, as in real rooms; `bench/model.ts` says so. Else the teacher has
   * as many as anybody: the room whose bounds the tests hold.
   */
  readonly teacherLinked: boolean
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

interface Frame {
  readonly index: number
  readonly bytes: number
  readonly last: boolean
}

/** A message or a frame in the kernel, and a part of one under way. */
interface Item {
  readonly message: SwarmMessage | undefined
  readonly frame: Frame | undefined
  remaining: number
  /** Whether the part that is sent with this is the last. */
  last: boolean
}

interface Segment {
  readonly link: Link
  readonly items: Array<Item>
  readonly bytes: number
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
  sending: boolean
  readonly arriving: Array<Segment>
  receiving: boolean
  sentChunkBytes: number
  sentControlBytes: number
  receivedChunkBytes: number
  wakeMs: number
}

const manifestChunks = 1

/** What nobody can beat, in multiples of one copy's time: the last of N equal links with M chunks. */
export const boundOf = (students: number, chunks: number): number => 1 + Math.floor(Math.log2(students)) / chunks

export const simulate = (room: Room): Result => {
  const random = generator(room.seed)
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
    return {
      id,
      mute: id > 0 && id <= room.mute,
      peer: String(id).padStart(43, "p") as PeerId,
      machine: isBad ? undefined : Swarm.make({ random: generator(room.seed * 1_000 + id) }, {
        ...defaultPolicy,
        ...room.policy
      }),
      upPerMs: rate,
      downPerMs: rate * room.down,
      links: new Map(),
      have: id === 0 ? Bitfield.full(chunksCount) : Bitfield.make(chunksCount),
      haveCount: 0,
      finishedMs: id === 0 || isBad ? 0 : Infinity,
      turns: [],
      sending: false,
      arriving: [],
      receiving: false,
      sentChunkBytes: 0,
      sentControlBytes: 0,
      receivedChunkBytes: 0,
      wakeMs: Infinity
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
      if (link.up) after(room.latencyMs, () => reach({ link, items, bytes }))
      feed(link)
      offer(link)
      send(device)
    })
  }

  const reach = (segment: Segment) => {
    segment.link.to.arriving.push(segment)
    receive(segment.link.to)
  }

  const receive = (device: Device) => {
    const segment = device.receiving ? undefined : device.arriving.shift()
    if (segment === undefined) return
    device.receiving = true
    after(segment.bytes / device.downPerMs, () => {
      device.receiving = false
      const { link } = segment
      link.underWayBytes -= segment.bytes
      offer(link)
      if (link.up) { for (const item of segment.items) take(link, item) }
      receive(device)
    })
  }

  const take = (link: Link, item: Item) => {
    const { from, to } = link
    if (item.message !== undefined && item.last) input(to, { _tag: "Message", peer: from.peer, message: item.message })
    if (item.frame === undefined || !item.last) return
    const { frame } = item
    const { index, bytes, last } = frame
    to.receivedChunkBytes += bytes
    if (to.machine === undefined) return
    const wanted = !Bitfield.has(to.have, index) && isAsked(to, index)
    input(to, { _tag: "DataArrived", peer: from.peer, root, index, bytes, last })
    if (last && wanted) after(room.diskMs, () => store(from, to, index))
  }

  const isAsked = (device: Device, index: number) => device.machine!.shares.get(root)!.flights.has(index)

  const store = (from: Device, to: Device, index: number) => {
    if (Bitfield.has(to.have, index)) return
    Bitfield.add(to.have, index)
    usefulBytes += bytesOf(index)
    input(to, { _tag: "ChunkStored", peer: from.peer, root, index })
    if (index < manifestChunks) return input(to, { _tag: "ManifestKnown", root, have: to.have })
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

  const say = (link: Link, message: SwarmMessage) => {
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
    for (const [from, to] of [[a, b], [b, a]] as const) {
      if (from.machine !== undefined) input(from, { _tag: "PeerUp", peer: to.peer })
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
    }
    for (const [from, to] of [[a, b], [b, a]] as const) input(from, { _tag: "PeerDown", peer: to.peer })
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
      quiet: false
    })
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
    if (room.teacherLinked && devices.length <= Limits.linksMax && others.includes(teacher)) connect(device, teacher)
    for (let tries = 0; device.links.size < wanted && tries < 200; tries++) {
      const other = others[below(others.length)]!
      if (other.links.size < wanted + 2) connect(device, other)
    }
  }
  for (const device of early) open(device)
  if (early.length <= Limits.fullMeshPeersMax) { for (const a of early) for (const b of early) connect(a, b) }
  else {
    for (let i = 1; i < early.length; i++) connect(early[i]!, early[below(i)]!)
    for (const device of early) join(device, early, room.links)
  }
  after(oneCopyMs / 2, () => {
    for (const device of devices) {
      if (!isLate(device)) continue
      open(device)
      join(device, devices.filter((other) => other !== device && other.links.size > 0), room.links)
    }
  })
  if (room.orphanAt > 0) {
    after(oneCopyMs * room.orphanAt, () => {
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
    finished: good.map(({ finishedMs }) => finishedMs / oneCopyMs).filter(Number.isFinite).toSorted((a, b) => a - b),
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

/** A small generator of numbers in [0, 1) (mulberry32). */
export const generator = (seed: number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
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
