/** The swarm machine's rules one by one: one machine, its neighbors played by the test. */
import { assert, describe, it } from "@effect/vitest"
import { Base64Url } from "effect/encoding"
import * as Bitfield from "../../src/protocol/Bitfield.ts"
import { type ChunkIndex, PeerId } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import * as Swarm from "../../src/protocol/Swarm.ts"
import type { SwarmMessage } from "../../src/protocol/Wire.ts"
import {
  a,
  b,
  bitfieldsIn,
  bits,
  bulk,
  c,
  d,
  Device,
  disconnected,
  indexesOf,
  peer,
  revealedIn,
  root,
  sent,
  served,
  upTo
} from "../support/SwarmDevice.ts"

const KiB = 1024
const MiB = 1024 * KiB

describe("Swarm, who breaks the protocol", () => {
  it("ends a link that names a chunk beyond the share", () => {
    for (
      const message of [
        { _tag: "Request", share: bulk, index: 41 as ChunkIndex },
        { _tag: "Have", share: bulk, indexes: [3 as ChunkIndex, 41 as ChunkIndex] },
        { _tag: "Bitfield", share: bulk, bits: "AAAA" },
        { _tag: "Bitfield", share: bulk, bits: "!" }
      ] satisfies ReadonlyArray<SwarmMessage>
    ) {
      const device = new Device()
      device.open()
      device.up(a)
      assert.deepStrictEqual(disconnected(device.receive(a, message)), ["a protocol"], message._tag)
      assert.deepStrictEqual(device.receive(a, message), [], "what still comes from a link that ended is ignored")
    }
  })

  it("ends a link with more requests than are allowed, and answers each of the others once", () => {
    const device = new Device()
    const chunksCount = 400
    device.open({ chunksCount, have: upTo(chunksCount) })
    device.up(a)
    const outputs = upTo(Limits.requestsPerLinkMax + 2).flatMap((index) => device.request(a, index))
    assert.deepStrictEqual(disconnected(outputs), ["a protocol"])
    assert.strictEqual(served(outputs).length, 1)
  })

  it("drops the sender of a corrupt chunk and asks someone else", () => {
    const device = new Device()
    device.open()
    device.up(a, b)
    const [request] = sent(device.claim(a, [7]), "Request")
    assert.strictEqual(request!.to, a)
    device.claim(b, [7])
    device.step({ _tag: "DataArrived", peer: a, root: bulk, index: 7, bytes: 64 * KiB, last: true })
    const outputs = device.step({ _tag: "ChunkCorrupt", peer: a, root: bulk, index: 7 })
    assert.deepStrictEqual(disconnected(outputs), ["a poison"])
    assert.deepStrictEqual(sent(outputs, "Request").map(({ to }) => to), [b])
  })

  it("ignores data that nobody asked for, from whomever", () => {
    const device = new Device()
    device.open()
    device.up(a)
    device.claim(a, [])
    for (const peer of [a, b]) {
      assert.deepStrictEqual(
        device.step({ _tag: "DataArrived", peer, root: bulk, index: 5, bytes: 64 * KiB, last: true }),
        []
      )
    }
    assert.strictEqual(device.swarm.inFlightBytes, 0)
  })

  it("refuses requests for shares and chunks that are not here", () => {
    const device = new Device()
    device.open({ have: [0, 5] })
    device.up(a)
    assert.deepStrictEqual(indexesOf(sent(device.request(a, 6), "Reject")), [6])
    assert.deepStrictEqual(indexesOf(sent(device.request(a, 6, root("unknown")), "Reject")), [6])
    assert.deepStrictEqual(served(device.request(a, 5)).map(({ index }) => index), [5])
  })
})

describe("Swarm, asking", () => {
  it("asks for the rarest chunk first", () => {
    const device = new Device()
    device.open({ manifestKnown: false, have: [] })
    device.up(a, b, c, d)
    for (const peer of [a, b, c]) device.claim(peer, upTo(40))
    device.claim(d, upTo(41))
    device.deliver(a, 0, 4 * KiB)
    const outputs = device.step({ _tag: "ManifestKnown", root: bulk, have: bits(41, [0]) })
    assert.include(indexesOf(sent(outputs, "Request").filter(({ to }) => to === d)), 40)
  })

  it("keeps bytes in flight within the limit, and asks for more as soon as there is room (invariant 3)", () => {
    const device = new Device()
    const most = Limits.inFlightBytesMax / (4 * MiB)
    device.up(a, b, c, d)
    device.prove(a, b, c, d)
    device.open({ chunkSizeBytes: 4 * MiB })
    const outputs = [a, b, c, d].flatMap((peer) => device.claim(peer, upTo(41)))
    assert.strictEqual(sent(outputs, "Request").length, most)
    const first = sent(outputs, "Request")[0]!
    const more = device.deliver(first.to, indexesOf([first])[0]!, 4 * MiB)
    assert.strictEqual(sent(more, "Request").length, 1)
  })

  it("asks one chunk of a source before that has passed its hash, and more from then on", () => {
    const device = new Device()
    device.open()
    device.up(a)
    const asked = indexesOf(sent(device.claim(a, upTo(41)), "Request"))
    assert.strictEqual(asked.length, 1)
    const arrived = device.step({
      _tag: "DataArrived",
      peer: a,
      root: bulk,
      index: asked[0]!,
      bytes: 64 * KiB,
      last: true
    })
    assert.isEmpty(sent(arrived, "Request"))
    const stored = device.step({ _tag: "ChunkStored", peer: a, root: bulk, index: asked[0]! })
    assert.isAbove(sent(stored, "Request").length, 1)
  })

  it("knows what a neighbor has, whichever side opened the share first, and after it was closed", () => {
    const device = new Device()
    device.up(a)
    device.prove(a)
    device.claim(a, [3])
    device.have(a, 4)
    assert.sameMembers(indexesOf(sent(device.open(), "Request")), [3, 4])
    assert.sameMembers(indexesOf(sent(device.step({ _tag: "ShareClosed", root: bulk }), "Cancel")), [3, 4])
    for (const index of [3, 4]) {
      device.receive(a, { _tag: "Reject", share: bulk, index: index as ChunkIndex })
    }
    assert.sameMembers(indexesOf(sent(device.open(), "Request")), [3, 4])
  })

  it("remembers only so much about shares it has not opened", () => {
    const device = new Device()
    device.open()
    device.up(a)
    // Proven by a chunk, so that as much is asked of it as there is.
    device.claim(a, [1])
    device.deliver(a, 1)
    const chunksCount = 8 * Limits.rememberedBytesMax / 4
    for (let i = 0; i < 5; i++) device.claim(a, [3], chunksCount, root(`s${i}`))
    const outputs = upTo(5).map((i) => device.open({ share: root(`s${i}`), chunksCount }))
    assert.deepStrictEqual(outputs.map((output) => sent(output, "Request").length), [1, 1, 1, 1, 0])
  })

  it("passes over a source that answers nothing, and comes back to it when it delivers after all", () => {
    for (const isProven of [false, true]) {
      const device = new Device()
      device.up(a, b)
      if (isProven) device.prove(a)
      device.open()
      assert.deepStrictEqual(indexesOf(sent(device.claim(a, [3]), "Request")), [3])
      device.claim(b, [3])
      const outputs: Array<Swarm.Output> = []
      const pass = (ms: number) => {
        for (let passed = 0; passed < ms; passed += 100) outputs.push(...device.tick(100))
        return [sent(outputs, "Cancel").map(({ to }) => to), sent(outputs, "Request").map(({ to }) => to)]
      }
      // It is first asked to let go, and then left: after a second if it has never delivered, after four if it has.
      assert.deepStrictEqual(pass(isProven ? 4_000 : 1_000), [[a], []])
      assert.deepStrictEqual(pass(100), [[a], [b]])
      device.claim(a, [3, 4])
      assert.deepStrictEqual(pass(300), [[a], [b]])
      assert.deepStrictEqual(indexesOf(sent(device.deliver(a, 3), "Request")), [4])
      assert.deepStrictEqual(disconnected(outputs), [], "slowness alone ends no link")
    }
  })

  it("takes a source that trickles for a silent one, and one that is slow for what it is", () => {
    const passedOver = (bytes: number) => {
      const device = new Device()
      device.open()
      device.up(a, b)
      device.claim(a, [3])
      device.claim(b, [3])
      const outputs: Array<Swarm.Output> = []
      for (let i = 0; i < 15; i++) {
        outputs.push(...device.step({ _tag: "DataArrived", peer: a, root: bulk, index: 3, bytes, last: false }))
        outputs.push(...device.tick(100))
      }
      return sent(outputs, "Request").map(({ to }) => to)
    }
    // Two seconds for 64 KiB are 3.3 kB every 100 ms.
    assert.deepStrictEqual(passedOver(2_000), [b])
    assert.deepStrictEqual(passedOver(4_000), [])
  })

  it("tells every source what became of a chunk that came: it waits to hear of it", () => {
    const device = new Device()
    device.up(a, b)
    device.prove(a, b)
    device.open({ have: upTo(40) })
    device.claim(a, [40])
    device.claim(b, [40])
    const asked = upTo(10).flatMap(() => sent(device.tick(100), "Request"))
    assert.deepStrictEqual(asked.map(({ to }) => to), [b])
    for (const peer of [a, b]) {
      device.step({ _tag: "DataArrived", peer, root: bulk, index: 40, bytes: 64 * KiB, last: true })
    }
    for (const peer of [a, b]) {
      const outputs = device.step({ _tag: "ChunkStored", peer, root: bulk, index: 40 })
      assert.deepStrictEqual(sent(outputs, "Have").map(({ to }) => to), [peer])
      assert.isEmpty(sent(outputs, "Cancel"))
    }
  })

  it("tells the source of a chunk that came and is not kept", () => {
    const device = new Device()
    device.open()
    device.up(a)
    device.claim(a, [3])
    device.step({ _tag: "DataArrived", peer: a, root: bulk, index: 3, bytes: 64 * KiB, last: true })
    assert.deepStrictEqual(indexesOf(sent(device.step({ _tag: "SharePaused", root: bulk }), "Cancel")), [3])
  })

  it("asks a source again for a chunk only after it has answered the cancelled request", () => {
    const device = new Device()
    device.open()
    device.up(a)
    device.claim(a, [3])
    assert.deepStrictEqual(indexesOf(sent(device.step({ _tag: "SharePaused", root: bulk }), "Cancel")), [3])
    assert.deepStrictEqual(sent(device.step({ _tag: "ShareResumed", root: bulk }), "Request"), [])
    const answered = device.receive(a, { _tag: "Reject", share: bulk, index: 3 as ChunkIndex })
    assert.deepStrictEqual(indexesOf(sent(answered, "Request")), [3])
  })

  it("takes a waiting request back for an idle link, and asks that one only when it was let go", () => {
    const device = new Device()
    device.up(a, b)
    device.prove(a)
    device.open()
    device.claim(a, [3, 4])
    device.claim(b, [])
    device.nowMs = 150
    const recalled = sent(device.receive(b, { _tag: "Have", share: bulk, indexes: [3 as ChunkIndex] }), "Cancel")
    assert.deepStrictEqual(recalled.map(({ to }) => to), [a])
    const given = device.receive(a, { _tag: "Reject", share: bulk, index: 3 as ChunkIndex })
    assert.deepStrictEqual(sent(given, "Request").map(({ to }) => to), [b])
  })

  it("asks two further sources for an overdue last chunk and cancels the others when one delivers", () => {
    const device = new Device()
    device.up(a, b, c, d)
    device.prove(a, b, c, d)
    device.open({ have: upTo(40) })
    const outputs = [a, b, c, d].flatMap((peer) => device.claim(peer, [40]))
    for (let i = 0; i < 10; i++) outputs.push(...device.tick(100))
    const asked = sent(outputs, "Request").map(({ to }) => to)
    assert.strictEqual(new Set(asked).size, 3)
    assert.strictEqual(asked.length, 3)
    const done = device.deliver(asked[1]!, 40)
    const late = sent([...outputs, ...done], "Cancel").map(({ to }) => to)
    assert.sameMembers(late, asked.filter((to) => to !== asked[1]))
    assert.strictEqual(done.filter(({ _tag }) => _tag === "Complete").length, 1)
    assert.strictEqual(device.swarm.inFlightBytes, 0)
  })
})

describe("Swarm, serving", () => {
  it("serves one chunk at a time, and the next when the receiver has it", () => {
    const device = new Device()
    device.open({ have: upTo(41) })
    device.up(a, b)
    assert.deepStrictEqual(served([...device.request(a, 3), ...device.request(b, 4)]).map(({ to }) => to), [a])
    assert.deepStrictEqual(
      device.step({ _tag: "Served", peer: a, root: bulk, index: 3, bytes: 64 * KiB }),
      [],
      "kernels hold chunks"
    )
    device.nowMs = 50
    const next = device.receive(a, { _tag: "Have", share: bulk, indexes: [3 as ChunkIndex] })
    assert.deepStrictEqual(served(next).map(({ to }) => to), [b])
  })

  it("does not let a receiver that acknowledges nothing hold up the others", () => {
    const device = new Device()
    device.open({ have: upTo(41) })
    device.up(a, b)
    device.request(a, 3)
    device.request(b, 4)
    const outputs = upTo(10).flatMap(() => device.tick(100))
    assert.deepStrictEqual(served(outputs).map(({ to }) => to), [b])
  })

  it("lets a manifest and a small share overtake bulk data", () => {
    const device = new Device()
    const small = root("small")
    device.open({ have: upTo(41) })
    device.open({ share: small, chunksCount: 3, have: upTo(3) })
    device.up(a, b, c)
    for (const index of [3, 4, 5]) device.request(a, index)
    assert.deepStrictEqual(served(device.request(b, 2, small)).map(({ root }) => root), [small])
    assert.deepStrictEqual(served(device.request(c, 0)).map(({ index }) => index), [0])
  })

  it("begins no bulk while a small share is missing here, or at a neighbor of where it comes from, for two seconds", () => {
    const small = root("small")
    const complete = (device: Device, peer: PeerId) =>
      device.receive(peer, { _tag: "Bitfield", share: small, bits: Base64Url.encode(Bitfield.full(2)) })
    const over = {
      complete: (device: Device) => complete(device, a),
      closed: (device: Device) => [...device.step({ _tag: "ShareClosed", root: small }), ...device.tick(0)],
      late: (device: Device) => {
        assert.deepStrictEqual(served(device.tick(1_999)), [])
        return device.tick(1)
      }
    }
    for (const [origin, how] of [[true, "complete"], [true, "late"], [false, "late"], [false, "closed"]] as const) {
      const device = new Device()
      device.open({ have: upTo(41) })
      device.up(a, b)
      device.nowMs = 1_000
      device.open({ share: small, chunksCount: 2, have: origin ? upTo(2) : [], manifestKnown: origin, origin })
      if (origin) complete(device, b)
      assert.deepStrictEqual(served(device.request(a, 3)), [])
      assert.deepStrictEqual(served(over[how](device)).map(({ to }) => to), [a], `${origin} ${how}`)
    }
  })

  it("serves links in turns, however much one asks for", () => {
    const device = new Device()
    device.open({ have: upTo(41) })
    device.up(a, b)
    device.claim(a, [])
    device.claim(b, upTo(41).slice(21))
    const to: Array<PeerId> = []
    const follow = (outputs: ReadonlyArray<Swarm.Output>): void => {
      for (const { to: peer, index } of served(outputs)) {
        to.push(peer)
        device.nowMs += 10
        follow(device.step({ _tag: "Served", peer, root: bulk, index, bytes: 64 * KiB }))
        follow(device.receive(peer, { _tag: "Have", share: bulk, indexes: [index as ChunkIndex] }))
      }
    }
    follow(upTo(20).flatMap((i) => device.request(i < 10 ? a : b, i + 1)))
    // All are as rare, and `a` has less and is preferred: but by no more than the lead of deficit round robin.
    assert.deepStrictEqual([to.length, to.slice(0, 10).filter((peer) => peer === a).length], [20, 6])
  })

  it("serves a link sooner that has given something", () => {
    const servedOfTen = (gives: ReadonlyArray<number>) => {
      const device = new Device()
      device.open({ have: upTo(31) })
      device.up(a, b)
      const order: Array<PeerId> = []
      const waiting: Array<{ readonly to: PeerId; readonly index: number }> = []
      const follow = (outputs: ReadonlyArray<Swarm.Output>): void => {
        waiting.push(...served(outputs))
        order.push(...served(outputs).map(({ to }) => to))
      }
      // `b` claims more, so that it is `a` that is preferred.
      device.claim(b, upTo(41).slice(31))
      device.claim(a, [31])
      for (const index of gives) device.deliver(b, index)
      for (const index of upTo(20)) for (const peer of [a, b]) follow(device.request(peer, index + 1))
      for (let i = 0; i < 20; i++) {
        follow(device.tick(20))
        const { index, to } = waiting.shift()!
        device.step({ _tag: "Served", peer: to, root: bulk, index, bytes: 64 * KiB })
        follow(device.have(to, index))
      }
      return order.slice(0, 10).filter((peer) => peer === b).length
    }
    assert.deepStrictEqual([servedOfTen([]), servedOfTen([32, 33, 34, 35, 36, 37, 38, 39])], [1, 6])
  })

  it("gives one chunk at a time to a link that has acknowledged none, and serves four of these links at once", () => {
    const device = new Device()
    const strangers = upTo(6).map((i) => peer(`s${i}`))
    device.open({ have: upTo(41) })
    device.up(a, ...strangers)
    // A rate is known, so that several may be under way.
    for (const index of [1, 2, 3]) {
      device.request(a, index)
      device.nowMs += 1
      device.have(a, index)
    }
    const asked = strangers.flatMap((peer) => [10, 11].flatMap((index) => served(device.request(peer, index))))
    for (let i = 0; i < 40; i++) {
      device.nowMs += 5
      asked.push(...served(device.step({ _tag: "Tick" })))
    }
    assert.strictEqual(asked.length, 4)
    assert.strictEqual(new Set(asked.map(({ to }) => to)).size, 4)
    assert.deepStrictEqual(served(device.request(a, 20)).map(({ to }) => to), [a], "who acknowledges is served on")
    const [first] = asked
    const next = device.have(first!.to, first!.index)
    assert.isNotEmpty(served(next))
  })

  it("gives nothing more to a link that owes an acknowledgement, until it gives or cancels, or for a minute", () => {
    const settle: ReadonlyArray<(device: Device) => ReadonlyArray<Swarm.Output>> = [
      (device) => device.have(a, 3),
      (device) => device.receive(a, { _tag: "Cancel", share: bulk, index: 3 as ChunkIndex }),
      (device) => upTo(40).flatMap(() => device.tick(1_000))
    ]
    for (const one of settle) {
      const device = new Device()
      device.open({ have: upTo(41) })
      device.up(a, b)
      device.request(a, 2)
      device.nowMs += 10
      device.have(a, 2)
      assert.deepStrictEqual(served(device.request(a, 3)).map(({ index }) => index), [3])
      device.step({ _tag: "Served", peer: a, root: bulk, index: 3, bytes: 64 * KiB })
      assert.isEmpty(served(upTo(30).flatMap(() => device.tick(1_000))))
      assert.isEmpty(served(device.request(a, 4)))
      for (const index of [6, 7, 8]) {
        assert.deepStrictEqual(served(device.request(b, index)).map(({ to }) => to), [b])
        device.have(b, index)
      }
      assert.deepStrictEqual(served(one(device)).map(({ index }) => index), [4])
    }
  })

  it("does not measure by what was cancelled", () => {
    const device = new Device()
    device.open({ have: upTo(41) })
    device.up(a)
    device.request(a, 3)
    device.nowMs += 1
    device.receive(a, { _tag: "Cancel", share: bulk, index: 3 as ChunkIndex })
    assert.deepStrictEqual(device.swarm.uplink.rates, [])
    assert.isEmpty(served(device.request(a, 4)), "it may still come, and is not acknowledged")
    device.nowMs += 9
    device.have(a, 3)
    assert.deepStrictEqual(device.swarm.uplink.rates.map(({ bytesPerMs }) => bytesPerMs), [64 * KiB / 10])
  })

  it("measures by what was sent and not by the size of a full chunk", () => {
    const device = new Device()
    device.open({ have: upTo(41) })
    device.up(a)
    device.request(a, 0)
    device.nowMs += 1
    device.step({ _tag: "Served", peer: a, root: bulk, index: 0, bytes: 2 * KiB })
    device.nowMs += 9
    device.have(a, 0)
    assert.deepStrictEqual(device.swarm.uplink.rates.map(({ bytesPerMs }) => bytesPerMs), [2 * KiB / 10])
  })

  it("starts the next chunk at once when one was short", () => {
    const startedAfter = (bytes: number): ReadonlyArray<PeerId> => {
      const device = new Device()
      device.open({ have: upTo(41) })
      device.up(a, b)
      device.request(a, 1)
      device.nowMs = 100
      device.step({ _tag: "Served", peer: a, root: bulk, index: 1, bytes: 64 * KiB })
      device.have(a, 1)
      device.request(a, 2)
      device.step({ _tag: "Served", peer: a, root: bulk, index: 2, bytes })
      return served(device.request(b, 3)).map(({ to }) => to)
    }
    assert.deepStrictEqual(startedAfter(64 * KiB), [])
    assert.deepStrictEqual(startedAfter(KiB), [b])
  })

  it("starts at twice the rate for the first second and until ten acknowledgements are known, then a little faster", () => {
    /** How long the second of two chunks waits after so many uploads, one after another, of so many milliseconds each. */
    const waitAfter = (uploads: number, ms: number): number => {
      const device = new Device()
      device.open({ have: upTo(41) })
      device.up(a)
      for (const index of upTo(uploads)) {
        device.request(a, index)
        device.step({ _tag: "Served", peer: a, root: bulk, index, bytes: 64 * KiB })
        device.nowMs += ms
        device.have(a, index)
      }
      const from = device.nowMs
      assert.lengthOf(served(device.request(a, 30)), 1)
      device.request(a, 31)
      while (device.nowMs < from + 1_000) if (served(device.tick(1)).length > 0) return device.nowMs - from
      return Infinity
    }
    // Each starts when the one before it is expected to have left in 15 ms.
    const firstMs = (ms: number) => Math.ceil(ms / 2 - 15)
    const laterMs = (ms: number) => Math.ceil(ms / 1.1 - 15)
    assert.strictEqual(waitAfter(1, 100), firstMs(100))
    assert.strictEqual(waitAfter(9, 100), firstMs(100))
    assert.strictEqual(waitAfter(10, 100), laterMs(100))
    assert.strictEqual(waitAfter(9, 200), firstMs(200), "nine are too few")
    assert.strictEqual(waitAfter(12, 80), firstMs(80), "the first second is not over")
    assert.strictEqual(waitAfter(13, 80), laterMs(80))
  })

  it.each([{ chunkMs: 10, most: 24 }, { chunkMs: 1, most: 51 }])(
    "has 24 chunks under way at most, or what leaves in 50 ms: %o",
    ({ chunkMs, most }) => {
      const device = new Device()
      device.open({ chunksCount: 81, have: upTo(81) })
      device.up(a, b)
      const started: Array<ReturnType<typeof served>[number]> = []
      const serve = (outputs: ReadonlyArray<Swarm.Output>) => {
        for (const each of served(outputs)) {
          started.push(each)
          device.step({ _tag: "Served", peer: each.to, root: bulk, index: each.index, bytes: 64 * KiB })
        }
      }
      for (const peer of [a, b]) {
        serve(device.request(peer, 0))
        device.nowMs += chunkMs
        serve(device.have(peer, 0))
      }
      for (const index of upTo(35)) for (const peer of [a, b]) serve(device.request(peer, 1 + index))
      for (let i = 0; i < 450; i++) serve(device.tick(1))
      assert.lengthOf(started, 2 + most)
      serve(device.have(started[2]!.to, started[2]!.index))
      for (let i = 0; i < 20; i++) serve(device.tick(1))
      assert.lengthOf(started, 3 + most)
    }
  )

  it("takes the best rate of the last half second, or of the last ten acknowledgements", () => {
    const device = new Device()
    device.open({ have: upTo(41) })
    device.up(a)
    const upload = (index: number, ms: number): number => {
      device.request(a, index)
      device.step({ _tag: "Served", peer: a, root: bulk, index, bytes: 64 * KiB })
      device.nowMs += ms
      device.have(a, index)
      return Math.max(...device.swarm.uplink.rates.map(({ bytesPerMs }) => bytesPerMs))
    }
    assert.strictEqual(upload(0, 1), 64 * KiB)
    for (const index of upTo(20)) assert.strictEqual(upload(1 + index, 10), 64 * KiB, "it was just now")
    device.nowMs += 600
    assert.strictEqual(upload(30, 10), 64 * KiB / 10)
    assert.lengthOf(device.swarm.uplink.rates, 10)
  })

  it("learns from late acknowledgements that the way out is slower than it was taken for", () => {
    const device = new Device()
    device.open({ have: upTo(41) })
    device.up(a, b)
    const rate = () => Math.max(...device.swarm.uplink.rates.map(({ bytesPerMs }) => bytesPerMs))
    // A dozen are acknowledged in a millisecond each.
    for (const index of upTo(12)) {
      device.request(a, index)
      device.nowMs += 1
      device.step({ _tag: "Served", peer: a, root: bulk, index, bytes: 64 * KiB })
      device.have(a, index)
    }
    assert.strictEqual(rate(), 64 * KiB)
    // Then ten take a second each, which is too late.
    for (const index of upTo(10)) {
      const from = index % 2 === 0 ? a : b
      assert.deepStrictEqual(served(device.request(from, 20 + index)).map(({ to }) => to), [from])
      device.step({ _tag: "Served", peer: from, root: bulk, index: 20 + index, bytes: 64 * KiB })
      for (let i = 0; i < 10; i++) device.tick(100)
      assert.strictEqual(device.swarm.uplink.openCount, 0, "it is stale")
      device.have(from, 20 + index)
    }
    assert.strictEqual(rate(), 64 * KiB / 1_000)
  })

  it("goes on serving the others while one asks and does not read, and serves that one again when it does", () => {
    const device = new Device()
    device.open({ have: upTo(41) })
    device.up(a, b)
    const stuck: Array<number> = []
    for (const index of upTo(20)) {
      stuck.push(...served(device.request(a, index)).map(({ index }) => index))
      device.nowMs += 10_000
      stuck.push(...served(device.have(a, index)).map(({ index }) => index))
    }
    assert.strictEqual(stuck.length, 8, "it says that it has what the system has not even taken")
    for (const index of upTo(20)) {
      assert.deepStrictEqual(served(device.request(b, index)).map(({ to }) => to), [b])
      device.step({ _tag: "Served", peer: b, root: bulk, index, bytes: 64 * KiB })
      device.have(b, index)
    }
    const again = served(device.step({ _tag: "Served", peer: a, root: bulk, index: stuck[0]!, bytes: 64 * KiB }))
    assert.deepStrictEqual(again.map(({ to }) => to), [a])
  })

  it("serves what is urgent behind a large chunk that the system has not taken, as long as it has little to take", () => {
    const device = new Device()
    const smalls = upTo(3).map((i) => root(`small${i}`))
    device.open({ chunksCount: 9, chunkSizeBytes: 2 * MiB, have: upTo(9) })
    device.up(a)
    device.fetch(a, 1, 2 * MiB)
    const serves = (outputs: ReadonlyArray<Swarm.Output>) => served(outputs).length
    assert.strictEqual(serves(device.request(a, 2)), 1)
    device.have(a, 2)
    assert.strictEqual(serves(device.request(a, 3)), 0, "the system has 2 MiB to take")
    for (const share of smalls) device.open({ share, chunksCount: 2, chunkSizeBytes: MiB, have: upTo(2) })
    for (const share of smalls.slice(0, 2)) {
      const outputs = device.request(a, 1, share)
      assert.deepInclude(outputs, { _tag: "Serve", peer: a, root: share, index: 1, urgent: true })
      device.receive(a, { _tag: "Have", share, indexes: [1 as ChunkIndex] })
    }
    assert.strictEqual(serves(device.request(a, 1, smalls[2])), 0, "it has 4 MiB")
    const taken = device.step({ _tag: "Served", peer: a, root: smalls[0]!, index: 1, bytes: MiB })
    assert.deepStrictEqual(served(taken), [{ to: a, root: smalls[2], index: 1 }])
  })

  it("keeps as many places from a link for what is urgent as for bulk", () => {
    const device = new Device()
    const small = root("small")
    device.open({ share: small, chunksCount: 16, have: upTo(16) })
    device.up(a)
    const started = upTo(16).flatMap((index) => {
      const outputs = [
        ...device.request(a, index, small),
        ...device.receive(a, { _tag: "Have", share: small, indexes: [index as ChunkIndex] })
      ]
      return served(outputs)
    })
    assert.lengthOf(started, 8)
  })

  it("ends the link that has not read for longest, once what is not read leaves no room for others", () => {
    const device = new Device()
    const peers = upTo(6).map((i) => peer(`s${i}`))
    const chunksCount = 9
    device.open({ chunksCount, chunkSizeBytes: 4 * MiB, have: upTo(chunksCount) })
    device.up(...peers)
    for (const peer of peers) {
      device.request(peer, 0)
      device.nowMs += 10
      device.have(peer, 0)
      device.step({ _tag: "Served", peer, root: bulk, index: 0, bytes: 64 * KiB })
    }
    const ended: Array<string> = []
    for (const peer of peers.slice(0, 3)) {
      assert.strictEqual(served(device.request(peer, 1)).length, 1)
      for (let i = 0; i < 140; i++) ended.push(...disconnected(device.tick(1_000)))
    }
    assert.deepStrictEqual(ended, [], "there is room for one more")
    assert.strictEqual(served(device.request(peers[3]!, 1)).length, 1)
    assert.strictEqual(served(device.request(peers[4]!, 1)).length, 0)
    const outputs = upTo(2).flatMap(() => device.tick(100_000))
    assert.deepStrictEqual(disconnected(outputs), ["0 slow"])
    const freed = device.step({ _tag: "Served", peer: peers[0]!, root: bulk, index: 1, bytes: 64 * KiB })
    assert.deepStrictEqual(served(freed).map(({ to }) => to), [peers[4]])
  })

  it("answers a cancelled request that waits, and forgets a chunk that cannot be read any more", () => {
    const device = new Device()
    device.open({ have: upTo(41) })
    device.up(a, b)
    device.request(a, 3)
    device.request(b, 3)
    device.request(a, 4)
    const cancelled = device.receive(a, { _tag: "Cancel", share: bulk, index: 4 as ChunkIndex })
    assert.deepStrictEqual(sent(cancelled, "Reject").map(({ to }) => to), [a])
    const failed = device.step({ _tag: "ServeFailed", peer: a, root: bulk, index: 3 })
    assert.deepStrictEqual(sent(failed, "Reject").map(({ to }) => to), [a, b])
    assert.deepStrictEqual(sent(device.request(a, 3), "Reject").length, 1)
  })

  it("asks nobody for a chunk of a paused share that cannot be read, and announces it when it can be", () => {
    const device = new Device()
    device.open({ chunksCount: 4, have: upTo(4) })
    device.up(a, b)
    device.claim(a, upTo(4), 4)
    device.claim(b, [], 4)
    device.request(b, 3)
    device.step({ _tag: "SharePaused", root: bulk })
    const failed = device.step({ _tag: "ServeFailed", peer: b, root: bulk, index: 3 })
    assert.deepStrictEqual(sent(failed, "Reject").map(({ to }) => to), [b])
    assert.isEmpty(sent(failed, "Request"))
    device.nowMs += 1_000
    const found = device.step({ _tag: "ChunkFound", root: bulk, index: 3 })
    assert.deepStrictEqual(sent(found, "Have").map(({ to }) => to), [b])
    assert.deepStrictEqual(served(device.request(b, 3)).map(({ index }) => index), [3])
  })

  it("rejects what waits when a share is closed", () => {
    const device = new Device()
    device.open({ have: upTo(41) })
    device.up(a)
    for (const index of [3, 4, 5]) device.request(a, index)
    assert.deepStrictEqual(indexesOf(sent(device.step({ _tag: "ShareClosed", root: bulk }), "Reject")), [4, 5])
  })
})

describe("Swarm, spreading", () => {
  it("acknowledges a chunk to its source at once and announces it to those who lack it", () => {
    const device = new Device()
    device.open()
    device.up(a, b, c)
    device.claim(a, [3, 4])
    device.claim(b, [])
    device.claim(c, [3, 4])
    assert.sameMembers(sent(device.deliver(a, 3), "Have").map(({ to }) => to), [a, b])
    assert.deepStrictEqual(sent(device.deliver(a, 4), "Have").map(({ to }) => to), [a], "the others hear of it soon")
    device.nowMs = Swarm.wakeAtMs(device.swarm)
    assert.sameMembers(sent(device.tick(0), "Have").map(({ to }) => to), [b])
    assert.strictEqual(Swarm.wakeAtMs(device.swarm), Infinity)
  })

  it("announces a chunk at once that only its source has, and whatever waits with it", () => {
    const device = new Device()
    device.open()
    device.up(a, b, c)
    device.claim(a, [3, 4, 5])
    device.claim(b, [])
    device.claim(c, [3, 4])
    device.deliver(a, 3)
    device.deliver(a, 4)
    const outputs = sent(device.deliver(a, 5), "Have")
    assert.sameDeepMembers(outputs.map(({ message, to }) => [to, message._tag === "Have" ? message.indexes : []]), [
      [a, [5 as ChunkIndex]],
      [b, [4, 5].map((index) => index as ChunkIndex)],
      [c, [5 as ChunkIndex]]
    ])
    assert.strictEqual(Swarm.wakeAtMs(device.swarm), Infinity)
  })

  it("reveals each chunk of a new share to one neighbor only, in turns, until all are out", () => {
    const device = new Device()
    const chunksCount = 9
    device.open({ chunksCount, have: upTo(chunksCount), origin: true })
    device.up(a, b)
    const outputs = [...device.claim(a, [], chunksCount), ...device.claim(b, [], chunksCount)]
    const revealed = revealedIn(outputs)
    assert.sameMembers(revealed.map(({ index }) => index), upTo(chunksCount).slice(1))
    const owner = revealed.find(({ index }) => index === 1)!
    const other = owner.to === a ? b : a
    assert.strictEqual(sent(device.request(other, 1), "Reject").length, 1, "it was not revealed to this one")
    const out = revealed.map(({ index, to }) => device.fetch(to, index))
    const full = Base64Url.encode(Bitfield.full(chunksCount))
    assert.deepStrictEqual(out.flatMap(bitfieldsIn), [full, full])
    assert.deepStrictEqual(bitfieldsIn(out.at(-1)!), [full, full], "not before the last of them was out")
  })

  it("hands a chunk out again when the only one who had it is gone", () => {
    const device = new Device()
    device.open({ chunksCount: 41, have: upTo(41), origin: true })
    device.up(a)
    const { index } = revealedIn(device.claim(a, []))[0]!
    device.fetch(a, index)
    device.up(b)
    device.claim(b, [])
    device.step({ _tag: "PeerDown", peer: a })
    const revealed: Array<number> = []
    for (let i = 0; i < 40; i++) {
      for (const each of revealedIn(device.tick(100))) {
        revealed.push(each.index)
        device.fetch(b, each.index)
      }
    }
    assert.include(revealed, index)
  })

  it("hands out what one neighbor claims who was not given it, to the others, and ends when it is with them", () => {
    const device = new Device()
    device.open({ chunksCount: 9, have: upTo(9), origin: true })
    device.up(a, b, c, d)
    assert.deepStrictEqual(device.claim(a, upTo(9), 9), [])
    const revealed = [b, c, d].flatMap((peer) => revealedIn(device.claim(peer, [], 9)))
    assert.sameMembers(revealed.map(({ index }) => index), upTo(9).slice(1))
    assert.notInclude(revealed.map(({ to }) => to), a)
    const out = revealed.map(({ index, to }) => device.fetch(to, index))
    assert.strictEqual(out.flatMap(bitfieldsIn).length, 4)
    assert.strictEqual(bitfieldsIn(out.at(-1)!).length, 4)
  })

  it.each([
    { links: 1, first: 40 },
    { links: 4, first: 10 },
    { links: 5, first: 8 },
    { links: 9, first: 8 }
  ])(
    "does not reveal to who opens a share first what all others need, at a rate that is known: %o",
    ({ first, links }) => {
      const peers = upTo(links).map((i) => peer(`n${i}`))
      const device = new Device()
      // As many as leave in 200 ms are forty.
      device.swarm.uplink.bestRate = 40 * 64 * KiB / 200
      device.open({ chunksCount: 101, have: upTo(101), origin: true })
      device.up(...peers)
      const revealed = revealedIn(device.claim(peers[0]!, [], 101))
      assert.strictEqual(revealed.length, first)
      const others = peers.slice(1).flatMap((each) => revealedIn(device.claim(each, [], 101)))
      assert.strictEqual(first + others.length, 40, "the others have the rest")
    }
  )

  it.each([{ claiming: 2, links: 7 }, { claiming: 3, links: 8 }])(
    "hands out what nobody claims first, and nothing that more than a quarter of the links have kept: %o",
    ({ claiming, links }) => {
      const peers = upTo(links).map((i) => peer(`n${i}`))
      const kept = [1, 2, 3]
      for (const [few, isBelieved] of [[claiming, true], [claiming - 1, false]] as const) {
        const device = new Device()
        device.open({ chunksCount: 41, have: upTo(41), origin: true })
        device.up(...peers)
        const queue = peers.flatMap((each, i) => revealedIn(device.claim(each, i < few ? kept : [])))
        const order: Array<number> = []
        for (let i = 0; i < 100; i++) {
          for (const { index, to } of queue.splice(0)) {
            order.push(index)
            queue.push(...revealedIn(device.fetch(to, index)))
          }
          queue.push(...revealedIn(device.tick(100)))
        }
        const rest = upTo(41).slice(4)
        assert.sameMembers(order.slice(0, rest.length), rest)
        assert.sameMembers(order.slice(rest.length), isBelieved ? [] : kept)
      }
    }
  )

  it("gives a revealed chunk that is left unfetched to someone else", () => {
    const device = new Device()
    device.open({ chunksCount: 2, have: [0, 1], origin: true })
    device.up(a, b)
    assert.deepStrictEqual(sent(device.claim(a, [], 2), "Have").map(({ to }) => to), [a])
    device.claim(b, [], 2)
    const outputs = upTo(25).flatMap(() => device.tick(100))
    assert.deepStrictEqual(sent(outputs, "Have").map(({ to }) => to), [b])
  })

  it("offers everything although a chunk is left unfetched, when its receiver is the only one without it", () => {
    const device = new Device()
    device.open({ chunksCount: 3, have: upTo(3), origin: true })
    device.up(a)
    const [left, fetched] = revealedIn(device.claim(a, [], 3)).map(({ index }) => index)
    device.fetch(a, fetched!)
    // The other has what is left from elsewhere, and lacks what is out.
    device.up(b)
    device.claim(b, [0, left!], 3)
    assert.deepStrictEqual(bitfieldsIn(upTo(19).flatMap(() => device.tick(100))), [])
    assert.strictEqual(sent(device.request(b, fetched!), "Reject").length, 1)
    const outputs = upTo(5).flatMap(() => device.tick(100))
    assert.sameMembers(sent(outputs, "Bitfield").map(({ to }) => to), [a, b])
    assert.deepInclude(served(device.request(b, fetched!)), { to: b, root: bulk, index: fetched! })
  })
})

describe("Swarm, quiet while a cast brings a share (invariant 9)", () => {
  const likely = { begun: false, manifest: false }
  const quietDevice = () => {
    const device = new Device()
    device.up(a, b)
    assert.deepStrictEqual(device.open({ have: [], manifestKnown: false, cast: likely }), [])
    return device
  }
  const found = (index: number): Swarm.Input => ({ _tag: "ChunkFound", root: bulk, index })
  const told = (outputs: ReadonlyArray<Swarm.Output>) => sent(outputs, "Bitfield").map(({ to }) => to)

  it("tells only neighbors that tell, those that came meanwhile included, and all when the cast is over", () => {
    const device = quietDevice()
    assert.deepStrictEqual(told(device.claim(a, [0])), [a])
    assert.deepStrictEqual(told(device.claim(a, [0, 1])), [], "nobody twice")
    device.step({ _tag: "CastBegun", root: bulk, manifest: false })
    device.up(c, d)
    assert.deepStrictEqual(told(device.claim(c, [])), [c])
    assert.sameMembers(sent(device.deliver(a, 0), "Have").map(({ to }) => to), [a, c], "and from then on what comes")
    device.step({ _tag: "ManifestKnown", root: bulk, have: bits(41, [0]) })
    device.step({ _tag: "ChunkFound", root: bulk, index: 1 })
    device.step({ _tag: "ChunkFound", root: bulk, index: 2 })
    const outputs = device.step({ _tag: "CastOver", root: bulk, spare: false })
    assert.sameMembers(told(outputs), [b, d])
    assert.sameMembers(bitfieldsIn(outputs), Array(2).fill(Base64Url.encode(bits(41, [0, 1, 2]))))
    assert.sameMembers(sent(outputs, "Have").map(({ to }) => to), [a, c], "who was told hears of the rest alone")
    assert.strictEqual(Swarm.wakeAtMs(device.swarm), Infinity)
  })

  it("ends after a second if no cast begins, and goes on while one does", () => {
    const vain = quietDevice()
    assert.deepStrictEqual(told(vain.tick(999)), [])
    assert.sameMembers(told(vain.tick(1)), [a, b])
    const cast = quietDevice()
    cast.tick(900)
    cast.step({ _tag: "CastBegun", root: bulk, manifest: false })
    assert.deepStrictEqual(told(upTo(100).flatMap(() => cast.tick(250))), [])
    assert.sameMembers(told(cast.step({ _tag: "CastOver", root: bulk, spare: false })), [a, b])
  })

  it("goes on answering only, for ever, where nothing is lacking when the cast is over, and tells all once it lacks something", () => {
    const device = quietDevice()
    device.claim(a, [0])
    device.step({ _tag: "CastBegun", root: bulk, manifest: true })
    device.step(found(0))
    device.step({ _tag: "ManifestKnown", root: bulk, have: bits(41, [0]) })
    for (const index of upTo(41).slice(1)) device.step(found(index))
    const over = device.step({ _tag: "CastOver", root: bulk, spare: false })
    assert.deepStrictEqual(told(over), [])
    assert.deepStrictEqual(sent(over, "Have").map(({ to }) => to), [a], "who was told hears the rest")
    device.up(c)
    assert.deepStrictEqual(told(upTo(100).flatMap(() => device.tick(250))), [])
    assert.deepStrictEqual(told(device.claim(c, [])), [c])
    assert.deepStrictEqual(sent(device.request(c, 7), "Reject"), [])
    device.step({ _tag: "ServeFailed", peer: c, root: bulk, index: 7 })
    assert.deepStrictEqual(told(device.tick(250)), [b])
  })

  it("tells whoever told before it had opened the share", () => {
    const device = new Device()
    device.up(a, b)
    device.claim(b, [0])
    assert.deepStrictEqual(told(device.open({ have: [], manifestKnown: false, cast: likely })), [b])
  })

  const manifestAsks = (outputs: ReadonlyArray<Swarm.Output>) =>
    sent(outputs, "Request").flatMap(({ message }) => message._tag === "Request" ? [Number(message.index)] : [])
  const waiting = (cast: { readonly begun: boolean; readonly manifest: boolean } | undefined) => {
    const device = new Device()
    device.up(a)
    device.claim(a, upTo(41))
    return { device, asked: manifestAsks(device.open({ have: [], manifestKnown: false, cast })) }
  }

  it("asks for the manifest at once unless a cast brings it as well", () => {
    for (const begun of [false, true]) assert.deepStrictEqual(waiting({ begun, manifest: false }).asked, [0])
    for (const begun of [false, true]) assert.deepStrictEqual(waiting({ begun, manifest: true }).asked, [])
    assert.deepStrictEqual(waiting(undefined).asked, [0])
  })

  it("asks for the manifest after a moment if no cast begins, and not while one does", () => {
    const vain = waiting({ begun: false, manifest: true }).device
    assert.deepStrictEqual(manifestAsks(vain.tick(299)), [])
    assert.deepStrictEqual(manifestAsks(vain.tick(1)), [0])
    const cast = waiting({ begun: false, manifest: true }).device
    cast.step({ _tag: "CastBegun", root: bulk, manifest: true })
    assert.deepStrictEqual(upTo(100).flatMap(() => manifestAsks(cast.tick(250))), [])
  })

  it("asks for the manifest when the cast has not brought it, and when it is over", () => {
    for (const end of ["CastMissed", "CastOver"] as const) {
      const { device } = waiting({ begun: true, manifest: true })
      assert.deepStrictEqual(
        manifestAsks(
          device.step(end === "CastOver" ? { _tag: end, root: bulk, spare: false } : { _tag: end, root: bulk })
        ),
        [0]
      )
    }
  })

  it("does not ask for content that a cast brings, whether or not it brought the manifest", () => {
    for (const manifest of [false, true]) {
      const { device } = waiting({ begun: true, manifest })
      if (manifest) device.step(found(0))
      else device.deliver(a, 0)
      device.step({ _tag: "ManifestKnown", root: bulk, have: bits(41, [0]) })
      assert.deepStrictEqual(upTo(4).flatMap(() => manifestAsks(device.tick(250))), [])
      assert.isNotEmpty(manifestAsks(device.step({ _tag: "CastOver", root: bulk, spare: false })))
    }
  })

  it("wants a chunk that is not here and could be kept, and can verify content once the manifest is known", () => {
    const { device } = waiting({ begun: true, manifest: true })
    const { swarm } = device
    const wanted = () => [0, 1, 40, 41].map((index) => Swarm.isMissing(swarm, bulk, index))
    const verifiable = () => [0, 1].map((index) => Swarm.isVerifiable(swarm, bulk, index))
    assert.deepStrictEqual([wanted(), verifiable()], [[true, true, true, false], [true, false]])
    device.step(found(0))
    device.step({ _tag: "ManifestKnown", root: bulk, have: bits(41, [0, 1]) })
    assert.deepStrictEqual([wanted(), verifiable()], [[false, false, true, false], [true, true]])
    device.step({ _tag: "SharePaused", root: bulk })
    assert.deepStrictEqual(wanted(), [false, false, false, false])
    device.step({ _tag: "ShareClosed", root: bulk })
    assert.deepStrictEqual([wanted(), verifiable()], [[false, false, false, false], [false, false]])
  })
})
