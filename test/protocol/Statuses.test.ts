/** The status machine on any connected mesh: everybody learns how everybody stands, at a bounded price. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type { PublicKey, Root, Signature } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import type { Signed } from "../../src/protocol/Signed.ts"
import { sourcesChanged, type Status } from "../../src/protocol/Status.ts"
import * as Statuses from "../../src/protocol/Statuses.ts"
import type { Statuses as Message } from "../../src/protocol/Wire.ts"
import { type Edge, keyOf, line, mesh, MeshDraws, peerOf } from "../support/GossipSimulator.ts"

const statusOf = (
  key: PublicKey,
  number: number,
  links: number,
  since?: number
): { signed: Signed; status: Status } => {
  const status: Status = {
    number,
    ...(since === undefined || since === number ? {} : { since }),
    name: "somebody",
    links,
    receiveBytesPerSecond: 0,
    shares: []
  }
  const signature = `${key}${number}_${links}_${since ?? ""}`.padEnd(86, "_") as Signature
  return { signed: { key, signature, body: JSON.stringify(status) }, status }
}

/** What a status of a usual name and two shares takes in a frame. */
const usualBytes = 530

/** Each device looks around once a second, at its own moment. */
const slotsPerSecond = 10

/** Machines over links that deliver at once; every device says something new by its number of links. */
class Room {
  readonly machines: Array<Statuses.State>
  readonly links = new Set<string>()
  readonly #sentMs = new Map<string, number>()
  /** The signatures that have crossed a link one way. */
  readonly #crossed = new Map<string, Set<Signature>>()
  readonly #underWay: Array<{ readonly from: number; readonly to: number; readonly statuses: Message["statuses"] }> = []
  /** How many statuses a device has received, and how many of them it had to verify. */
  readonly received: Array<number>
  readonly verifiedBy: Array<number>
  messages = 0
  /** What each device has counted as overhead. */
  readonly overheadBytes: Array<number>
  /** How often a device has signed what is for everybody. */
  readonly floods: Array<number>
  /** Those whose every status is for everybody, as of an earlier program. */
  readonly earlier = new Set<number>()
  /** Those that hand on nothing but the host's word and their own. */
  readonly swallowing = new Set<number>()
  nowMs = 1_000_000
  readonly says: Array<number>
  readonly hosts: Set<number>

  constructor(count: number, edges: ReadonlyArray<Edge>, hosts: ReadonlyArray<number> = [0]) {
    const each = <A>(make: (index: number) => A) => Array.from({ length: count }, (_, i) => make(i))
    this.machines = each((i) => Statuses.make(keyOf(i)))
    this.says = each(() => 0)
    this.received = each(() => 0)
    this.verifiedBy = each(() => 0)
    this.floods = each(() => 0)
    this.overheadBytes = each(() => 0)
    this.hosts = new Set(hosts)
    for (let i = 0; i < count; i++) this.#learnHosts(i)
    for (const edge of edges) this.connect(edge)
  }

  get verified(): number {
    return this.verifiedBy.reduce((sum, each) => sum + each)
  }

  connect([a, b]: Edge): void {
    for (const link of [`${a}>${b}`, `${b}>${a}`]) {
      this.links.add(link)
      this.#crossed.set(link, new Set())
    }
    this.#step(a, { _tag: "NeighborUp", peer: peerOf(b), key: keyOf(b) })
    this.#step(b, { _tag: "NeighborUp", peer: peerOf(a), key: keyOf(a) })
    this.#deliver()
    this.#tellNear(a)
    this.#tellNear(b)
  }

  cut([a, b]: Edge): void {
    this.links.delete(`${a}>${b}`)
    this.links.delete(`${b}>${a}`)
    this.input(a, { _tag: "NeighborDown", peer: peerOf(b) })
    this.input(b, { _tag: "NeighborDown", peer: peerOf(a) })
    this.#tellNear(a)
    this.#tellNear(b)
  }

  /** A device tells its neighbors whether it has a link to the one who hosts now; that one need not know. */
  #tellNear(index: number): void {
    const host = Array.from(this.hosts).at(-1)!
    const near = this.links.has(`${index}>${host}`)
    for (let other = 0; other < this.machines.length; other++) {
      if (other === host || !this.links.has(`${index}>${other}`)) continue
      this.input(other, { _tag: "NeighborNearHost", peer: peerOf(index), near })
    }
  }

  isolate(index: number): void {
    for (let other = 0; other < this.machines.length; other++) {
      if (this.links.has(`${index}>${other}`)) this.cut([index, other])
    }
  }

  /** The process ends and starts again; its links are gone. */
  restart(index: number): void {
    this.isolate(index)
    this.machines[index] = Statuses.make(keyOf(index))
    this.#learnHosts(index)
  }

  addHost(index: number): void {
    this.hosts.add(index)
    for (let i = 0; i < this.machines.length; i++) this.#learnHosts(i)
    for (let i = 0; i < this.machines.length; i++) this.#tellNear(i)
  }

  #learnHosts(index: number): void {
    const hosts = Array.from(this.hosts, keyOf)
    this.input(index, { _tag: "Hosts", hosts: new Set(hosts), host: hosts.at(-1)! })
  }

  change(index: number, links: number, matters = false): void {
    this.says[index] = links
    this.input(index, { _tag: "Changed", matters })
  }

  pass(seconds: number, except: ReadonlyArray<number> = []): void {
    for (let i = 1; i <= seconds * slotsPerSecond; i++) {
      this.nowMs += 1_000 / slotsPerSecond
      for (let index = (i * 7) % slotsPerSecond; index < this.machines.length; index += slotsPerSecond) {
        if (!except.includes(index)) this.input(index, { _tag: "Tick" })
      }
    }
  }

  /** As long as something new takes over so many links, each of which may just have been used. */
  reach(linksCount: number): void {
    this.pass((linksCount + 1) * (Limits.statusBatchIntervalMs / 1_000 + 1))
  }

  /** How far the device farthest from this one is. */
  depthFrom(index: number): number {
    const seen = new Set([index])
    let depth = 0
    for (let edge = [index];; depth++) {
      edge = Array.from(this.machines.keys()).filter((i) =>
        !seen.has(i) && edge.some((from) => this.links.has(`${from}>${i}`))
      )
      if (edge.length === 0) return depth
      for (const i of edge) seen.add(i)
    }
  }

  get depth(): number {
    return Math.max(...this.machines.map((_, index) => this.depthFrom(index)))
  }

  /** What a device knows of the others: their numbers of links. */
  view(index: number): Record<string, number> {
    return Object.fromEntries(
      Statuses.current(this.machines[index]!).map(({ key, status }) => [key, status.links]).toSorted()
    )
  }

  /** The number that a device knows of another. */
  knows(index: number, other: number): number {
    return this.machines[index]!.known.get(keyOf(other))?.status.number ?? -1
  }

  receive(to: number, from: number, statuses: ReadonlyArray<Signed>): void {
    this.#take(to, from, statuses)
    this.#deliver()
  }

  input(index: number, input: Statuses.Input): void {
    this.#step(index, input)
    this.#deliver()
  }

  #take(to: number, from: number, statuses: ReadonlyArray<Signed>): void {
    const state = this.machines[to]!
    if (!Statuses.admits(state, peerOf(from), this.nowMs)) return
    this.received[to]! += statuses.length
    const items = statuses.map((signed) => {
      const fresh = Statuses.sight(state, signed) === "new"
      if (fresh) this.verifiedBy[to]!++
      return { signed, status: fresh ? (JSON.parse(signed.body) as Status) : undefined }
    })
    this.#step(to, { _tag: "Received", peer: peerOf(from), items })
  }

  #step(index: number, input: Statuses.Input): void {
    const state = this.machines[index]!
    const before = new Map(Array.from(state.known.values(), ({ key, status }) => [key, status.number]))
    const outputs = Statuses.step(state, input, this.nowMs)
    for (const { key, status } of state.known.values()) {
      if (status.number < (before.get(key) ?? 0)) throw new Error(`an older status of ${key}`)
    }
    for (const output of outputs) {
      if (output._tag === "Sign") {
        const { number } = output
        const since = this.earlier.has(index) ? number : output.since
        if (since === number) this.floods[index]!++
        this.#step(index, { _tag: "Signed", ...statusOf(keyOf(index), number, this.says[index]!, since) })
      } else if (output._tag === "Send") {
        this.#send(index, Number.parseInt(output.peer.slice(1), 10), output.message)
      } else if (output._tag === "Overhead") this.overheadBytes[index]! += output.bytes
    }
  }

  #send(from: number, to: number, { statuses }: Message): void {
    const link = `${from}>${to}`
    if (!this.links.has(link)) return
    if (this.nowMs - (this.#sentMs.get(link) ?? -Infinity) < Limits.statusBatchIntervalMs) throw new Error("too often")
    this.#sentMs.set(link, this.nowMs)
    for (const { key, signature } of statuses) {
      // The other way it may be crossing just now.
      if (this.#crossed.get(link)!.has(signature)) throw new Error(`the same of ${key} again`)
      this.#crossed.get(link)!.add(signature)
    }
    const own = (key: PublicKey) => key === keyOf(from) || Array.from(this.hosts, keyOf).includes(key)
    const kept = this.swallowing.has(from) ? statuses.filter(({ key }) => own(key)) : statuses
    this.messages++
    this.#underWay.push({ from, to, statuses: kept as typeof statuses })
  }

  #deliver(): void {
    for (let next = this.#underWay.shift(); next !== undefined; next = this.#underWay.shift()) {
      if (!this.links.has(`${next.from}>${next.to}`)) continue
      for (const { signature } of next.statuses) this.#crossed.get(`${next.to}>${next.from}`)!.add(signature)
      this.#take(next.to, next.from, next.statuses)
    }
  }
}

/** Fifty devices with ten links each on average, at random. */
const usualMesh = (): ReadonlyArray<Edge> => {
  let state = 1
  const draw = () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32
  return mesh({
    parents: Array.from({ length: 49 }, draw),
    shortcuts: Array.from({ length: 215 }, () => [draw(), draw()] as const)
  })
}

const madeUp = (from: number, count: number, number: number): ReadonlyArray<Signed> =>
  Array.from({ length: count }, (_, i) => statusOf(keyOf(100 + from + i), number, i).signed)

const sum = (all: ReadonlyArray<number>): number => all.reduce((sum, each) => sum + each, 0)

const Index = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 10_000 }))
const Changes = Schema.Array(Schema.Tuple([Index, Index])).check(Schema.isMaxLength(40))

describe("Statuses", () => {
  it.prop(
    "that are for everybody reach all of 50 devices on any connected mesh, each verified about once (invariants 1 and 2)",
    { draws: MeshDraws(50, 60), changes: Changes },
    ({ changes, draws }) => {
      const room = new Room(50, mesh(draws))
      for (let i = 0; i < 50; i++) room.change(i, 1_000 + i)
      for (const [peer, links] of changes) {
        room.change(peer % 50, links)
        room.pass(1)
      }
      const since = room.machines.map((state) => state.since)
      room.reach(room.depth)
      for (let i = 0; i < 50; i++) {
        for (let j = 0; j < 50; j++) assert.isAtLeast(room.knows(i, j), since[j]!, `${j} at ${i}`)
      }
      // Whatever becomes of it, everybody hears it within the interval of the next one.
      room.pass(Statuses.floodIntervalMs(50) / 1_000)
      room.reach(room.depth)
      const expected = Object.fromEntries(room.says.map((links, i) => [keyOf(i), links] as const).toSorted())
      for (let i = 0; i < 50; i++) assert.deepStrictEqual(room.view(i), expected, `device ${i}`)
      assert.isAtMost(room.verified, 50 * sum(room.machines.map(({ number }) => number)))
    },
    { arbitrary: { runs: 10 } }
  )

  it.prop(
    "reach every host as fast as links allow, on any connected mesh and with two hosts (invariant 3)",
    { draws: MeshDraws(50, 60), changes: Changes, second: Index },
    ({ changes, draws, second }) => {
      const hosts = [0, second % 50]
      const room = new Room(50, mesh(draws), hosts)
      const depth = Math.max(...hosts.map((host) => room.depthFrom(host)))
      for (let i = 0; i < 50; i++) room.change(i, 1_000 + i)
      // Until the hosts have pointed out the ways.
      room.reach(depth)
      for (const [peer, links] of changes) {
        room.change(peer % 50, links)
        room.pass(1)
      }
      const numbers = room.machines.map(({ number }) => number)
      room.reach(depth)
      for (const host of hosts) {
        for (let i = 0; i < 50; i++) {
          // What only a host has to say to all the others is not for another host.
          if (!hosts.includes(i)) assert.isAtLeast(room.knows(host, i), numbers[i]!, `${i} at ${host}`)
        }
      }
    },
    { arbitrary: { runs: 10 } }
  )

  it.prop(
    "that are not for everybody reach nobody who is not on the way to a host (invariant 4)",
    { draws: MeshDraws(50, 60) },
    ({ draws }) => {
      const room = new Room(50, mesh(draws))
      for (let i = 0; i < 50; i++) room.change(i, 1_000 + i)
      room.pass(60)
      const verified = room.verifiedBy.slice()
      const floods = room.floods.slice()
      for (let second = 0; second < 100; second++) {
        for (let i = 0; i < 50; i++) room.change(i, second)
        room.pass(1)
      }
      const flooded = sum(room.floods) - sum(floods)
      // Whoever is linked to nobody but one device is on nobody's way.
      for (let i = 1; i < 50; i++) {
        if (room.machines[i]!.links.size > 1) continue
        // Of each device one may have come late.
        assert.isAtMost(room.verifiedBy[i]! - verified[i]!, flooded + 49, `device ${i}`)
      }
      // Everybody has said far more than that, and the host has heard it.
      assert.isAbove(room.verifiedBy[0]! - verified[0]!, 4 * flooded)
    },
    { arbitrary: { runs: 10 } }
  )

  it("cost each of 50 devices less than 3.5 KB a second, while nothing happens and while all receive (invariant 5)", () => {
    const room = new Room(50, usualMesh())
    for (let i = 0; i < 50; i++) room.change(i, i)
    room.pass(100)
    const perSecond = (seconds: number, each: () => void) => {
      const received = room.received.slice()
      const verified = room.verifiedBy.slice()
      const floods = sum(room.floods)
      const messages = room.messages
      for (let second = 0; second < seconds; second++) {
        each()
        room.pass(1)
      }
      const mean = (now: ReadonlyArray<number>, before: ReadonlyArray<number>, from: number) =>
        (sum(now.slice(from)) - sum(before.slice(from))) / (50 - from) / seconds
      return {
        studentBytes: usualBytes * mean(room.received, received, 1),
        studentVerified: mean(room.verifiedBy, verified, 1),
        hostBytes: usualBytes * (room.received[0]! - received[0]!) / seconds,
        hostVerified: (room.verifiedBy[0]! - verified[0]!) / seconds,
        messages: (room.messages - messages) / 50 / seconds,
        floods: (sum(room.floods) - floods) / seconds
      }
    }
    const idle = perSecond(200, () => {})
    const busy = perSecond(200, () => room.says.forEach((links, i) => room.change(i, links + 1)))
    assert.isBelow(idle.studentBytes, 3_500)
    assert.isBelow(idle.hostBytes, 5_000)
    assert.isBelow(busy.studentBytes, 3_500)
    assert.isBelow(Math.max(idle.messages, busy.messages), 1.5)
    assert.isBelow(busy.hostBytes, 2 * usualBytes * Limits.statusesPerSecondMax)
    for (const { floods } of [idle, busy]) assert.isAtMost(floods, 1.1 * Limits.statusFloodsPerSecondMax)
    assert.isAtLeast(busy.hostVerified, 0.8 * Limits.statusesPerSecondMax)
  })

  /** Fifty devices with ten links each and all of them linked to the host. */
  const usualRoom = (): Room => {
    const mesh = usualMesh().filter(([a, b]) => a !== 0 && b !== 0)
    return new Room(50, [...Array.from({ length: 49 }, (_, i): Edge => [0, i + 1]), ...mesh])
  }

  it("come once each, and from the host, where everybody is linked to it (invariant 9)", () => {
    const room = usualRoom()
    for (let i = 0; i < 50; i++) room.change(i, i)
    room.pass(20)
    assert.strictEqual(Object.keys(room.view(7)).length, 50)
    for (const received of room.received.slice(1)) assert.isAtMost(received, 2 * 49)
    const { floods, received } = { floods: room.floods.slice(), received: room.received.slice() }
    for (let second = 0; second < 200; second++) {
      for (let i = 1; i < 50; i++) room.change(i, second)
      room.pass(1)
    }
    for (let i = 1; i < 50; i++) {
      const others = sum(room.floods) - sum(floods) - (room.floods[i]! - floods[i]!)
      assert.isAtMost(room.received[i]! - received[i]!, others + 49, `device ${i}`)
      assert.isAtLeast(room.received[i]! - received[i]!, others - 49, `device ${i}`)
    }
  })

  it("go from device to device as soon as the host is gone, and what it had told does not go again", () => {
    const room = usualRoom()
    for (let i = 0; i < 50; i++) room.change(i, i)
    room.pass(20)
    // Its next word for everybody is among those that the host has told, or was about to tell.
    room.change(7, 7_777, true)
    room.pass(Statuses.floodIntervalMs(50) / 1_000)
    const received = sum(room.received)
    room.isolate(0)
    room.pass(1)
    assert.isBelow(sum(room.received) - received, 0.25 * 48 * room.links.size)
    room.reach(4)
    for (let i = 1; i < 50; i++) assert.strictEqual(room.view(i)[keyOf(7)], 7_777, `device ${i}`)
    const since = room.machines.map((state) => state.since)
    room.pass(Statuses.floodIntervalMs(50) / 1_000)
    room.reach(4)
    for (let i = 1; i < 50; i++) {
      for (let j = 1; j < 50; j++) assert.isAtLeast(room.knows(i, j), since[j]!, `${j} at ${i}`)
    }
  })

  it("cross a line of ten devices within its batches, and a change too", () => {
    const room = new Room(10, line(10))
    for (let i = 0; i < 10; i++) room.change(i, i)
    room.pass(2 * 10 + 5)
    assert.strictEqual(Object.keys(room.view(9)).length, 10)
    // What matters of the host's reaches everybody, and of a student's the host; a figure does not go further.
    room.change(0, 77, true)
    room.change(5, 78, true)
    room.pass(10)
    assert.strictEqual(room.view(9)[keyOf(0)], 77)
    assert.strictEqual(room.view(0)[keyOf(5)], 78)
    assert.strictEqual(room.view(6)[keyOf(5)], 5)
  })

  it("are signed at most every three seconds, however often they change, and the last change counts", () => {
    const room = new Room(2, line(2))
    for (let i = 0; i < 30; i++) {
      room.change(1, i)
      room.pass(1)
    }
    assert.isAtMost(room.machines[1]!.number, 11)
    room.pass(5)
    assert.strictEqual(room.view(0)[keyOf(1)], 29)
  })

  it("are signed by each device as seldom as statusesPerSecondMax asks of the whole room, and no more seldom", () => {
    const fullRate = (Limits.statusesPerSecondMax * Limits.statusIntervalMs) / 1_000
    for (
      const [count, intervalMs] of [
        [fullRate, Limits.statusIntervalMs],
        [fullRate + 1, Limits.statusIntervalMs + 1_000 / Limits.statusesPerSecondMax],
        [2 * fullRate, 2 * Limits.statusIntervalMs]
      ] as const
    ) {
      const state = Statuses.make(keyOf(0))
      const signs = (input: Statuses.Input, nowMs: number) =>
        Statuses.step(state, input, nowMs).some(({ _tag }) => _tag === "Sign")
      Statuses.step(state, { _tag: "NeighborUp", peer: peerOf(1), key: keyOf(1) }, 0)
      const items = Array.from({ length: count - 1 }, (_, i) => statusOf(keyOf(i + 1), 1, 1))
      Statuses.step(state, { _tag: "Received", peer: peerOf(1), items }, 0)
      assert.isTrue(signs({ _tag: "Changed", matters: false }, 0))
      Statuses.step(state, { _tag: "Signed", ...statusOf(keyOf(0), 1, 1) }, 0)
      assert.isFalse(signs({ _tag: "Changed", matters: false }, intervalMs - 1))
      assert.isTrue(signs({ _tag: "Tick" }, intervalMs))
    }
  })

  it.each([0, 1])(
    "are signed for everybody when it is time, however seldom figures are told (host: device %d)",
    (host) => {
      const state = Statuses.make(keyOf(0))
      Statuses.step(state, { _tag: "Hosts", hosts: new Set([keyOf(host)]), host: keyOf(host) }, 0)
      Statuses.step(state, { _tag: "NeighborUp", peer: peerOf(1), key: keyOf(1) }, 0)
      const count = 250
      const intervalMs = host === 0 ? Limits.statusRefreshMs : Statuses.floodIntervalMs(count)
      const heard: Array<number> = []
      for (let nowMs = 0; nowMs <= 3 * intervalMs; nowMs += 1_000) {
        if (nowMs % 60_000 === 0) {
          const items = Array.from({ length: count - 1 }, (_, i) => statusOf(keyOf(i + 1), 1 + nowMs, 1))
          Statuses.step(state, { _tag: "Received", peer: peerOf(1), items }, nowMs)
        }
        for (const output of Statuses.step(state, { _tag: "Changed", matters: false }, nowMs)) {
          if (output._tag !== "Sign") continue
          if (output.since === output.number) heard.push(nowMs)
          Statuses.step(state, { _tag: "Signed", ...statusOf(keyOf(0), output.number, 1, output.since) }, nowMs)
        }
      }
      assert.isAtLeast(heard.length, 3)
      heard.slice(1).forEach((atMs, i) => assert.isAtMost(atMs - heard[i]!, intervalMs + Limits.statusIntervalMs))
    }
  )

  it("are signed as soon as statusIntervalMs allows in a room of any size when something matters", () => {
    const state = Statuses.make(keyOf(0))
    const signs = (input: Statuses.Input, nowMs: number) =>
      Statuses.step(state, input, nowMs).some(({ _tag }) => _tag === "Sign")
    Statuses.step(state, { _tag: "NeighborUp", peer: peerOf(1), key: keyOf(1) }, 0)
    const items = Array.from({ length: 60 }, (_, i) => statusOf(keyOf(i + 1), 1, 1))
    Statuses.step(state, { _tag: "Received", peer: peerOf(1), items }, 0)
    assert.isTrue(signs({ _tag: "Changed", matters: true }, 0))
    Statuses.step(state, { _tag: "Signed", ...statusOf(keyOf(0), 1, 1) }, 0)
    assert.isFalse(signs({ _tag: "Changed", matters: true }, Limits.statusIntervalMs - 1))
    // What came after it does not make it matter less.
    assert.isTrue(signs({ _tag: "Changed", matters: false }, Limits.statusIntervalMs))
  })

  it("are forgotten a minute after their device fell silent, and old news does not bring them back (invariant 6)", () => {
    const room = new Room(4, line(3))
    for (let i = 0; i < 3; i++) room.change(i, i)
    room.pass(10)
    const old = room.machines[1]!.known.get(keyOf(0))!.signed
    room.cut([0, 1])
    room.pass(60, [0])
    assert.deepStrictEqual(Object.keys(room.view(1)), [keyOf(1), keyOf(2)])
    assert.deepStrictEqual(Object.keys(room.view(2)), [keyOf(1), keyOf(2)])
    room.receive(1, 2, [old])
    room.connect([1, 3])
    assert.deepStrictEqual(Object.keys(room.view(1)), [keyOf(1), keyOf(2)])
    assert.deepStrictEqual(Object.keys(room.view(3)), [keyOf(1), keyOf(2)])
    room.connect([0, 1])
    room.pass(30)
    assert.strictEqual(Object.keys(room.view(2)).length, 3)
  })

  it.each([3, 40, 400])(
    "go on from the number that neighbors remember when a device starts again %d s later (invariant 7)",
    (awaySeconds) => {
      const room = new Room(3, line(3))
      room.change(0, 0)
      for (let i = 0; i < 30; i++) {
        room.change(2, i)
        room.pass(3)
      }
      room.pass(3)
      const before = room.machines[2]!.number
      assert.isAbove(before, 20)
      room.restart(2)
      room.pass(awaySeconds, [2])
      room.change(2, 555)
      room.connect([1, 2])
      room.pass(6)
      assert.isAbove(room.machines[2]!.number, before)
      for (const other of [0, 1]) assert.strictEqual(room.view(other)[keyOf(2)], 555)
    }
  )

  it("reach everybody now and then though a device attracts and keeps what is for the host (invariant 2)", () => {
    const room = new Room(12, [
      [0, 1],
      [0, 11],
      ...Array.from({ length: 10 }, (_, i): Edge => [1, i + 2]),
      ...Array.from({ length: 9 }, (_, i): Edge => [i + 2, i + 3])
    ])
    room.swallowing.add(1)
    let numbers: ReadonlyArray<number> = []
    let kept = 0
    for (let second = 0; second < 200; second++) {
      for (let i = 0; i < 12; i++) room.change(i, second)
      room.pass(1)
      if (second % 40 !== 39) continue
      for (let i = 0; i < 12; i++) {
        for (let j = 0; j < 12; j++) assert.isAtLeast(room.knows(i, j), numbers[j] ?? 0, `${j} at ${i}`)
        if (room.knows(0, i) < room.machines[i]!.number - 2) kept++
      }
      numbers = room.machines.map(({ number }) => number)
    }
    assert.isAbove(kept, 0)
  })

  it("that claim to be wanted by everybody for ever cross a link once (invariant 5)", () => {
    const room = new Room(4, line(4))
    room.receive(1, 0, [statusOf(keyOf(200), 1, 0, 1_000_000).signed])
    room.pass(20)
    assert.strictEqual(room.knows(3, 200), 1)
    assert.strictEqual(sum(room.received), 3)
  })

  it("of a device that knows nothing of this are all for everybody", () => {
    const room = new Room(6, line(6))
    room.earlier.add(5).add(3)
    for (let i = 0; i < 6; i++) room.change(i, i)
    room.pass(10)
    room.change(5, 555)
    room.change(2, 222)
    room.pass(9)
    for (let i = 0; i < 6; i++) assert.strictEqual(room.view(i)[keyOf(5)], 555)
    assert.strictEqual(room.view(0)[keyOf(2)], 222)
    assert.strictEqual(room.view(3)[keyOf(2)], 2)
  })

  it("take another way at once when the link to the next device ends (invariant 3)", () => {
    // Between the host and device 4 there are three ways of two links.
    const between = [1, 2, 3].flatMap((i): ReadonlyArray<Edge> => [[0, i], [i, 4]])
    const room = new Room(6, [...between, [4, 5]])
    for (let i = 0; i < 6; i++) room.change(i, i)
    // Until the same word of the host has just come by all of them.
    for (let second = 0; second < 60; second++) {
      room.pass(1)
      if (room.machines[4]!.known.get(keyOf(0))?.cameBy.length === 3) break
    }
    for (const [links, next] of [[100, 1], [200, 2]] as const) {
      const [way] = room.machines[4]!.known.get(keyOf(0))!.cameBy
      room.cut([Number.parseInt(way!.slice(1), 10), 4])
      room.change(5, links)
      room.pass(8)
      assert.strictEqual(room.view(0)[keyOf(5)], links, `way ${next}`)
    }
  })

  it("find a host that has come back under a new key, and nobody is told of figures once no host is left", () => {
    const room = new Room(12, line(11))
    for (let i = 0; i < 12; i++) room.change(i, i)
    room.pass(40)
    room.change(3, 333)
    room.pass(20)
    assert.strictEqual(room.view(0)[keyOf(3)], 333)
    room.isolate(0)
    room.pass(40, [0])
    const verified = sum(room.verifiedBy)
    const floods = sum(room.floods)
    for (let second = 0; second < 60; second++) {
      for (let i = 1; i < 11; i++) room.change(i, 1_000 + second)
      room.pass(1, [0])
    }
    assert.isAtMost(sum(room.verifiedBy) - verified, 9 * (sum(room.floods) - floods + 10))
    room.addHost(11)
    room.connect([10, 11])
    room.pass(30, [0])
    room.change(1, 111)
    room.pass(20, [0])
    assert.strictEqual(room.view(11)[keyOf(1)], 111)
    assert.strictEqual(room.view(11)[keyOf(9)], 1_059)
  })

  it("tell of changed sources where they are the host's, and where they are of anybody else tell nothing of that", () => {
    const share = (index: number, problem?: "source-changed" | "disk-full"): Status["shares"][number] => ({
      root: keyOf(index) as string as Root,
      verifiedBytes: 0,
      complete: false,
      ...(problem === undefined ? {} : { problem })
    })
    const said = (index: number, shares: Status["shares"]) => ({
      key: keyOf(index),
      status: { ...statusOf(keyOf(index), 1, 0).status, shares }
    })
    const all = [
      said(1, [share(7, "source-changed"), share(8, "source-changed")]),
      said(0, [share(7, "source-changed"), share(8), share(9, "disk-full")]),
      said(2, [share(7)])
    ]
    const roots = [7, 8, 9].map((index) => share(index).root)
    assert.deepStrictEqual([...sourcesChanged(all, keyOf(0))], [[roots[0], true], [roots[1], false], [roots[2], false]])
    assert.deepStrictEqual([...sourcesChanged(all, keyOf(3))], [])
  })

  it("that a link brings again count as overhead, and not those that another was quicker with (invariant 8)", () => {
    const room = new Room(4, [[0, 1], [0, 2], [0, 3]])
    const some = madeUp(0, 10, 5)
    const bytes = some.reduce((sum, { body }) => sum + body.length + 176, 0)
    room.receive(0, 1, some)
    room.receive(0, 2, some)
    assert.strictEqual(room.overheadBytes[0], 0)
    room.receive(0, 1, some)
    assert.strictEqual(room.overheadBytes[0], bytes)
    room.receive(0, 1, [...some, ...madeUp(10, 1, 5)])
    assert.strictEqual(room.overheadBytes[0], 2 * bytes, "one that is new excuses none of the others")
    room.receive(0, 3, madeUp(0, 10, 4))
    assert.strictEqual(room.overheadBytes[0], 3 * bytes, "older than what everybody is to have")
  })

  it("come to next to no overhead in a room of 50 with a crowd of late joiners (invariant 8)", () => {
    const room = new Room(50, usualMesh())
    for (let i = 0; i < 50; i++) room.change(i, i)
    room.pass(60)
    for (let i = 1; i <= 10; i++) {
      const edges = Array.from({ length: 8 }, (_, n) => [i, (i + 5 * n + 5) % 50] as const)
      room.restart(i)
      room.pass(3)
      for (const edge of edges) if (!room.links.has(`${edge[0]}>${edge[1]}`)) room.connect(edge)
      room.change(i, 1_000 + i)
    }
    room.pass(60)
    // Of all links of a device together, in two minutes.
    assert.isAtMost(Math.max(...room.overheadBytes), Limits.overheadBytesBurstMax / 4)
  })

  it("of made-up devices do not take more than their room, and a flood of them is not looked at", () => {
    const room = new Room(2, line(2))
    for (let i = 0; i < 100; i++) room.receive(0, 1, madeUp(0, 64, i))
    assert.isAtMost(room.verified, 8 * 64)
    room.pass(100)
    for (let i = 0; i < 8; i++) room.receive(0, 1, madeUp(64 * i, 64, 1_000))
    assert.isAtMost(room.machines[0]!.known.size, Limits.statusPeersMax)
  })
})
