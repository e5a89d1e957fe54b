/** Whether a room asks the host alone: the host as it weighs that, and a student that is told. */
import { assert, describe, it } from "@effect/vitest"
import type { PeerId } from "../../src/protocol/Ids.ts"
import type * as Swarm from "../../src/protocol/Swarm.ts"
import { a, b, bits, bulk, c, d, Device, peer, root, sent, upTo } from "../support/SwarmDevice.ts"

const MiB = 1_024 ** 2

/** What a neighbor was told last. */
const toldIn = (outputs: ReadonlyArray<Swarm.Output>) =>
  sent(outputs, "Direct").map(({ message, to }) => [to, message._tag === "Direct" && message.only] as const)

interface Rates {
  /** Chunks that each student gets in 100 ms when it asks the host alone, and when it asks everybody; of these from the host. */
  readonly alone: number
  readonly among: number
  readonly given: number
}

/** A host whose students get chunks of a share at the rates of a room; the room's network is these rates. */
class Host extends Device {
  readonly told = new Map<PeerId, boolean>()
  readonly chunksCount: number
  private readonly counts = new Map<PeerId, number>()
  private readonly rates: Rates

  constructor(rates: Rates, { chunkMiB = 1, chunksCount = 401, spare = true, students = [a, b, c, d] } = {}) {
    super()
    this.rates = rates
    this.chunksCount = chunksCount
    this.look(this.open({
      chunksCount,
      chunkSizeBytes: chunkMiB * MiB,
      have: upTo(chunksCount),
      origin: true
    }))
    this.up(...students)
    for (const student of students) {
      this.counts.set(student, 1)
      this.look(this.claim(student, [], chunksCount))
    }
    this.castOver(spare)
  }

  castOver(spare: boolean): void {
    this.look(this.step({ _tag: "CastBegun", root: bulk, manifest: true }))
    this.look(this.step({ _tag: "CastOver", root: bulk, spare }))
  }

  look(outputs: ReadonlyArray<Swarm.Output>): ReadonlyArray<Swarm.Output> {
    for (const [to, only] of toldIn(outputs)) this.told.set(to, only)
    return outputs
  }

  /** Students that ask the host alone, of those that were told anything. */
  get only(): Array<PeerId> {
    return Array.from(this.told).flatMap(([student, only]) => only ? [student] : [])
  }

  run(ms: number): void {
    for (let i = 0; i < ms; i += 100) {
      for (const student of this.counts.keys()) {
        const only = this.told.get(student) === true
        const { alone, among, given } = this.rates
        for (let i = 0; i < (only ? alone : among); i++) this.gain(student, only || i < given)
      }
      this.look(this.tick(100))
    }
  }

  /** A student gets its next chunk, from here or from another. */
  gain(student: PeerId, fromHere: boolean): void {
    const index = this.counts.get(student)!
    if (index >= this.chunksCount) return
    this.counts.set(student, index + 1)
    if (fromHere) {
      this.look(this.request(student, index))
      this.look(this.step({ _tag: "Served", peer: student, root: bulk, index, bytes: MiB }))
    }
    this.look(this.have(student, index))
  }
}

describe("Direct, the host that weighs whom to ask", () => {
  // Behind an access point: what goes from one to another takes the air twice.
  const air: Rates = { alone: 4, among: 2, given: 1 }
  // Each with a way of its own.
  const wires: Rates = { alone: 2, among: 4, given: 1 }

  it("lets itself be asked alone, then all ask each other, and stays with what brought more", () => {
    for (const [rates, stays] of [[air, true], [wires, false]] as const) {
      const host = new Host(rates)
      host.run(100)
      assert.sameMembers(host.only, [a, b, c, d])
      host.run(600)
      assert.deepStrictEqual([host.only, host.told.size], [[], 4], "both are tried")
      host.run(1_000)
      assert.sameMembers(host.only, stays ? [a, b, c, d] : [])
      host.run(3_000)
      assert.sameMembers(host.only, stays ? [a, b, c, d] : [], "and that is that")
    }
  })

  it("spares the host where the other way is about as good", () => {
    const host = new Host({ alone: 21, among: 20, given: 1 }, { chunksCount: 1_201 })
    host.run(4_000)
    assert.deepStrictEqual([host.only, host.told.size], [[], 4])
  })

  it("offers everything where a cast has shown room for more than one copy, else each chunk to one at first", () => {
    for (const spare of [true, false]) {
      const host = new Host(air, { spare })
      const rejected = [a, b, c, d].flatMap((student) => sent(host.request(student, 7), "Reject"))
      assert.strictEqual(rejected.length, spare ? 0 : 3)
    }
  })

  it("lets students ask each other where a cast has shown that its way out is the narrowest, also for the next shares", () => {
    const host = new Host(air, { spare: false })
    host.run(5_000)
    assert.strictEqual(host.told.size, 0)
    assert.deepStrictEqual(host.swarm.found?.only, false)
  })

  it.each([
    // What each of four lacks: with a cast that speaks for it, 32 MiB all together, else 256.
    { spare: true, chunksCount: 9, tried: true },
    { spare: true, chunksCount: 8, tried: false },
    { spare: undefined, chunksCount: 65, tried: true },
    { spare: undefined, chunksCount: 64, tried: false }
  ])("of a share of $chunksCount chunks with a cast that has shown $spare: $tried", ({ chunksCount, spare, tried }) => {
    const host = new Device()
    host.open({ chunksCount, chunkSizeBytes: MiB, have: upTo(chunksCount), origin: true })
    host.up(a, b, c, d)
    for (const student of [a, b, c, d]) host.claim(student, [0], chunksCount)
    if (spare !== undefined) {
      host.step({ _tag: "CastBegun", root: bulk, manifest: true })
      host.step({ _tag: "CastOver", root: bulk, spare })
    }
    assert.strictEqual(toldIn(host.tick(100)).length, tried ? 4 : 0)
  })

  it("does not try it while fewer than three have opened the share, and tells it whoever opens it later", () => {
    const host = new Host(air, { students: [a, b] })
    host.run(1_000)
    assert.strictEqual(host.told.size, 0)
    host.up(c, d)
    host.run(100)
    assert.strictEqual(host.told.size, 0, "a link alone is none")
    host.look(host.claim(c, [], host.chunksCount))
    host.run(100)
    assert.sameMembers(host.only, [a, b, c], "who has not opened it would not know of what")
    host.look(host.claim(d, [], host.chunksCount))
    assert.sameMembers(host.only, [a, b, c, d])
  })

  it("begins the next share with what was found, for ten minutes", () => {
    for (const [waitMs, known] of [[590_000, true], [610_000, false]] as const) {
      const host = new Host(air)
      host.run(3_000)
      assert.strictEqual(host.only.length, 4)
      host.step({ _tag: "ShareClosed", root: bulk })
      host.nowMs += waitMs
      const [next, chunksCount] = [root("next"), 20]
      host.open({ share: next, chunksCount, chunkSizeBytes: MiB, have: upTo(chunksCount), origin: true })
      for (const student of [a, b, c, d]) host.claim(student, [0], chunksCount, next)
      assert.strictEqual(toldIn(host.tick(100)).length, known ? 4 : 0, "too small to be tried")
    }
  })

  it("lets them ask each other after five seconds in which it brings less than they did, not for a shorter weakness", () => {
    let alone = 4
    const host = new Host({
      get alone() {
        return alone
      },
      among: 2,
      given: 1
    }, { chunksCount: 1_001 })
    host.run(3_000)
    assert.strictEqual(host.only.length, 4)
    alone = 1
    host.run(4_000)
    assert.strictEqual(host.only.length, 4)
    alone = 4
    host.run(600)
    alone = 1
    host.run(4_000)
    assert.strictEqual(host.only.length, 4, "it was better in between")
    host.run(2_000)
    assert.strictEqual(host.only.length, 0)
    assert.strictEqual(host.swarm.found, undefined, "the next share tries it anew")
  })

  it("does not mind who is slow when most have everything", () => {
    let alone = 4
    const host = new Host({
      get alone() {
        return alone
      },
      among: 2,
      given: 1
    })
    host.run(3_000)
    alone = 0
    for (const student of [a, b, c]) host.look(host.claim(student, upTo(host.chunksCount), host.chunksCount))
    for (let i = 0; i < 80; i++) {
      host.gain(d, true)
      host.run(100)
    }
    assert.strictEqual(host.only.length, 4)
  })

  it("measures sixteen chunks at least", () => {
    const host = new Host({ alone: 0, among: 0, given: 0 })
    host.run(100)
    for (let i = 0; i < 17; i++) {
      assert.strictEqual(host.only.length, 4, `${i} chunks`)
      host.gain(a, true)
      host.run(100)
    }
    assert.strictEqual(host.only.length, 0)
  })

  it("does not count what comes just after it was told, which was asked for before", () => {
    let host: Host | undefined
    let turnedAtMs = Infinity
    const rates: Rates = {
      alone: 4,
      get among() {
        if (host!.told.size > 0 && host!.only.length === 0) turnedAtMs = Math.min(turnedAtMs, host!.nowMs)
        return host!.nowMs < turnedAtMs + 200 ? 20 : 2
      },
      given: 1
    }
    host = new Host(rates)
    host.run(3_000)
    assert.strictEqual(host.only.length, 4)
  })

  it("tries it where a cast shows room although an earlier one had gone well", () => {
    const host = new Host(air, { spare: false })
    host.run(500)
    host.step({ _tag: "ShareClosed", root: bulk })
    const chunksCount = 100
    const next = root("next")
    host.step({
      _tag: "ShareOpened",
      root: next,
      manifestChunksCount: 1,
      chunksCount,
      chunkSizeBytes: MiB,
      manifestChunkSizeBytes: 4_096,
      have: bits(chunksCount, upTo(chunksCount)),
      manifestKnown: true,
      origin: true,
      cast: { begun: true, manifest: true }
    })
    for (const student of [a, b, c, d]) host.claim(student, [0], chunksCount, next)
    host.step({ _tag: "CastOver", root: next, spare: true })
    assert.strictEqual(toldIn(host.tick(100)).length, 4)
  })

  it("counts nothing but what it has sent while it is asked alone: who claims more may lie", () => {
    const host = new Host({ alone: 1, among: 2, given: 1 })
    for (let i = 0; i < 20; i++) {
      host.run(100)
      for (let j = 0; j < 10; j++) if (host.only.length > 0) host.gain(d, false)
    }
    host.run(2_000)
    assert.deepStrictEqual(host.only, [])
  })

  it("tries nothing for longer than three seconds, whoever brings nothing", () => {
    const host = new Host({ alone: 0, among: 0, given: 0 })
    host.run(2_900)
    assert.strictEqual(host.only.length, 4)
    host.run(300)
    assert.strictEqual(host.only.length, 0)
    host.run(6_000)
    assert.strictEqual(host.only.length, 0)
  })
})

describe("Direct, a student that is told", () => {
  const host = peer("host")
  const chunksCount = 41
  const student = () => {
    const device = new Device()
    device.hostUp(host)
    device.up(a, b)
    device.prove(host, a, b)
    device.open()
    for (const each of [host, a, b]) device.claim(each, upTo(chunksCount))
    return device
  }
  const direct = (device: Device, only: boolean, from = host) =>
    device.receive(from, { _tag: "Direct", share: bulk, only, ignorable: true })
  const asked = (outputs: ReadonlyArray<Swarm.Output>) => sent(outputs, "Request").map(({ to }) => to)
  /** A source lets go of what it has not begun. */
  const letGo = (device: Device, outputs: ReadonlyArray<Swarm.Output>) =>
    sent(outputs, "Cancel").flatMap(({ message, to }) =>
      device.receive(to, { ...message, _tag: "Reject" } as Parameters<Device["receive"]>[1])
    )

  it("asks the host alone, takes back what others have not begun, and asks everybody again when it is told", () => {
    const device = student()
    const outputs = direct(device, true)
    assert.sameMembers(Array.from(new Set(sent(outputs, "Cancel").map(({ to }) => to))), [a, b])
    const more = [...outputs, ...letGo(device, outputs), ...device.tick(250)]
    assert.deepStrictEqual(Array.from(new Set(asked(more))), [host])
    assert.includeMembers(asked(direct(device, false)), [a, b])
  })

  it("asks it for four at a time, however many others there are", () => {
    const device = new Device()
    device.hostUp(host)
    const others = upTo(12).map((i) => peer(`other${i}`))
    device.up(...others)
    device.prove(host, ...others)
    device.open()
    device.claim(host, [])
    direct(device, true)
    assert.deepStrictEqual(asked(device.claim(host, upTo(chunksCount))), [host, host, host, host])
  })

  it("believes nobody but the host (invariant 10)", () => {
    const device = student()
    const outputs = direct(device, true, a)
    assert.deepStrictEqual(sent(outputs, "Cancel"), [])
    assert.strictEqual(device.swarm.shares.get(bulk)!.direct, undefined)
  })

  it("asks the others again when the host is gone, or is silent for as long as a source that is passed over (invariant 10)", () => {
    const gone = student()
    letGo(gone, direct(gone, true))
    assert.includeMembers(asked(gone.step({ _tag: "PeerDown", peer: host })), [a, b])
    const silent = student()
    letGo(silent, direct(silent, true))
    let askedAtMs = Infinity
    for (let i = 0; i < 100; i++) {
      const others = asked(silent.tick(250)).filter((to) => to !== host)
      if (others.length > 0) askedAtMs = Math.min(askedAtMs, silent.nowMs)
    }
    assert.isAtLeast(askedAtMs, 2_000)
    assert.isAtMost(askedAtMs, 10_000)
  })

  it("tells the host of all that comes, also of what it has, and the others every three seconds while it is asked alone", () => {
    const device = student()
    device.up(c)
    device.claim(c, [])
    letGo(device, direct(device, true))
    const told: Array<readonly [PeerId, number]> = []
    const note = (outputs: ReadonlyArray<Swarm.Output>) => {
      for (const { to } of sent(outputs, "Have")) told.push([to, device.nowMs])
    }
    note(device.deliver(host, 1))
    device.nowMs += 100
    note(device.deliver(host, 2))
    for (let i = 0; i < 20; i++) note(device.tick(100))
    assert.strictEqual(told.filter(([to]) => to === host).length, 3, "its source at once, and with the first the news")
    assert.deepStrictEqual(told.filter(([to]) => to === c).map(([, atMs]) => atMs), [0])
    for (let i = 0; i < 15; i++) note(device.tick(100))
    assert.strictEqual(told.filter(([to]) => to === c).length, 2)
    note(device.deliver(host, 3))
    while (told.filter(([to]) => to === c).length < 3) note(device.tick(100))
    device.nowMs += 10
    note(device.deliver(host, 4))
    const before = told.length
    note(direct(device, false))
    assert.includeMembers(told.slice(before).map(([to]) => to), [c, host], "what was not said is said at once")
  })
})
