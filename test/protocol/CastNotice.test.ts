/** Notices of casts among neighbors: who passes what on to whom. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as CastNotice from "../../src/protocol/CastNotice.ts"
import { PeerId, PublicKey, Root, Signature } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import { chance } from "../../src/simulator/Scenario.ts"

const peer = (n: number) => PeerId.make(`${n}`.padStart(43, "p"))

const noticed = (number: number, host = 1): CastNotice.Noticed => {
  const notice: CastNotice.CastNotice = {
    number,
    from: "10.0.0.1",
    group: { host: "239.255.1.2", port: 24_727 },
    key: "k".repeat(43),
    casts: []
  }
  const key = PublicKey.make(`${host}`.padStart(43, "h"))
  return { signed: { key, signature: Signature.make("s".repeat(86)), body: JSON.stringify(notice) }, notice }
}

const Seed = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 2 ** 31 - 1 }))

describe("CastNotice", () => {
  it("is passed on to who has no link to the host, and not to who has one or has not said (invariant 3)", () => {
    const notices = CastNotice.make()
    assert.deepStrictEqual(CastNotice.neighbor(notices, peer(1), false), [])
    assert.deepStrictEqual(CastNotice.neighbor(notices, peer(2), true), [])
    assert.deepStrictEqual(CastNotice.heard(notices, peer(9), noticed(1)), [peer(1)])
    // One that says so later, that has lost its link, and that has found one.
    assert.deepStrictEqual(CastNotice.neighbor(notices, peer(3), false), [peer(3)])
    assert.deepStrictEqual(CastNotice.neighbor(notices, peer(2), false), [peer(2)])
    assert.deepStrictEqual(CastNotice.neighbor(notices, peer(1), true), [])
    assert.deepStrictEqual(CastNotice.heard(notices, peer(9), noticed(2)), [peer(3), peer(2)])
    CastNotice.gone(notices, peer(3))
    assert.deepStrictEqual(CastNotice.heard(notices, peer(9), noticed(3)), [peer(2)])
  })

  it("is told to nobody twice, nor back to who told of it (invariant 2)", () => {
    const notices = CastNotice.make()
    for (const n of [1, 2]) CastNotice.neighbor(notices, peer(n), false)
    assert.deepStrictEqual(CastNotice.heard(notices, peer(1), noticed(1)), [peer(2)])
    assert.deepStrictEqual(CastNotice.neighbor(notices, peer(2), false), [])
    assert.isUndefined(CastNotice.heard(notices, peer(2), noticed(1)))
    // Who has told of a later one knows the earlier as well.
    assert.deepStrictEqual(CastNotice.heard(notices, peer(2), noticed(5)), [peer(1)])
    assert.isUndefined(CastNotice.heard(notices, peer(2), noticed(4)))
    assert.deepStrictEqual(CastNotice.heard(notices, peer(9), noticed(6)), [peer(1), peer(2)])
  })

  it("gives way to one of a host that has started anew, and is forgotten with the host's link", () => {
    const notices = CastNotice.make()
    CastNotice.neighbor(notices, peer(1), false)
    CastNotice.heard(notices, peer(9), noticed(7))
    assert.deepStrictEqual(CastNotice.heard(notices, peer(9), noticed(1, 2)), [peer(1)])
    assert.strictEqual(notices.newest?.notice.number, 1)
    CastNotice.forget(notices)
    assert.deepStrictEqual(CastNotice.neighbor(notices, peer(2), false), [])
    assert.deepStrictEqual(CastNotice.heard(notices, peer(9), noticed(1, 2)), [peer(1), peer(2)])
  })

  it.prop(
    "reaches everybody of any connected room, the newest in the end (invariant 1)",
    [Seed],
    ([seed]) => {
      const random = chance(seed)
      const below = (count: number) => Math.floor(random() * count)
      const devices = Array.from({ length: 12 }, () => CastNotice.make())
      const links = devices.map(() => new Set<number>())
      for (let i = 1; i < devices.length; i++) {
        for (const j of [below(i), below(i)]) {
          links[i]!.add(j)
          links[j]!.add(i)
        }
      }
      const waiting: Array<readonly [from: number, to: number, noticed: CastNotice.Noticed]> = []
      const told = new Set<string>()
      const tell = (from: number, peers: ReadonlyArray<PeerId>) => {
        for (const id of peers) {
          const to = Number(id.replaceAll("p", ""))
          const { newest } = devices[from]!
          assert.isTrue(links[from]!.has(to))
          const fact = `${from} ${to} ${newest!.notice.number}`
          assert.isFalse(told.has(fact))
          told.add(fact)
          waiting.push([from, to, newest!])
        }
      }
      for (const [i, all] of links.entries()) {
        for (const j of all) tell(i, CastNotice.neighbor(devices[i]!, peer(j), false))
      }
      let highest = 0
      for (let number = 1; number <= 5 || waiting.length > 0;) {
        if (number <= 5 && (waiting.length === 0 || random() < 0.2)) {
          tell(0, CastNotice.heard(devices[0]!, peer(99), noticed(number++))!)
          continue
        }
        const [[from, to, each]] = waiting.splice(below(waiting.length), 1) as [(typeof waiting)[number]]
        const before = devices[to]!.newest?.notice.number ?? 0
        const untold = CastNotice.heard(devices[to]!, peer(from), each)
        assert.strictEqual(devices[to]!.newest!.notice.number, Math.max(before, each.notice.number))
        if (untold !== undefined) tell(to, untold)
        highest = Math.max(highest, each.notice.number)
      }
      for (const { newest } of devices) assert.strictEqual(newest?.notice.number, 5)
      assert.strictEqual(highest, 5)
    }
  )

  it("lists casts up to a limit, and no more", () => {
    const decode = Schema.decodeUnknownOption(CastNotice.CastNotice)
    const of = (count: number) => ({
      ...noticed(1).notice,
      casts: Array.from({ length: count }, (_, i) => ({ share: Root.make(`${i}`.padStart(43, "r")), cast: i }))
    })
    const longest = of(Limits.castsNoticedMax)
    assert.strictEqual(decode(longest)._tag, "Some")
    assert.strictEqual(decode(of(Limits.castsNoticedMax + 1))._tag, "None")
    assert.isBelow(JSON.stringify(longest).length, Limits.castNoticeCharactersMax)
  })
})
