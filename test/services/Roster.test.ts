/** Who has been in the room, as the teacher's page shows it. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Limits from "../../src/protocol/Limits.ts"
import { floodIntervalMs } from "../../src/protocol/Statuses.ts"
import * as Roster from "../../src/services/Roster.ts"
import type { DeviceView } from "../../src/services/Session.ts"
import * as Rooms from "../support/Rooms.ts"
import * as SessionFake from "../support/SessionFake.ts"

const device = (index: number, number: number | undefined, linked = false): DeviceView => ({
  peer: SessionFake.peer(`p${index}`),
  name: `d${index}`,
  isHost: false,
  isSelf: false,
  linked,
  status: number === undefined
    ? undefined
    : { number, name: `d${index}`, links: 1, receiveBytesPerSecond: 0, shares: [] }
})

const small = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))

/** Looks at the room, one after another: who is there with which number, and how much later. */
const looks = Schema.Array(
  Schema.Struct({
    laterMs: small(40_000),
    devices: Schema.Array(Schema.Tuple([small(8), small(3), Schema.Boolean])).check(Schema.isMaxLength(8))
  })
).check(Schema.isMaxLength(12))

const devicesOf = (look: (typeof looks)["Type"][number]) => [
  ...new Map(look.devices.map(([index, number, linked]) => [index, device(index, number, linked)])).values()
]

describe("the roster", () => {
  it.prop(
    "R1, R3: has everybody of the view once; here is who was heard, gone is who is not in it",
    { looks },
    ({ looks }) => {
      let roster = Roster.make(0)
      let nowMs = 0
      for (const look of looks) {
        nowMs += look.laterMs
        const devices = devicesOf(look)
        roster = Roster.step(roster, SessionFake.view({ devices }), nowMs)
        const shown = Roster.devices(roster)
        assert.strictEqual(new Set(shown.map(({ peer }) => peer)).size, shown.length)
        for (const { linked, peer } of devices) {
          const entry = shown.find((each) => each.peer === peer)
          assert.isDefined(entry)
          if (linked) assert.strictEqual(entry!.presence, "here")
          assert.notStrictEqual(entry!.presence, "gone")
        }
        const present = new Set(devices.map(({ peer }) => peer))
        for (const { peer, presence } of shown) assert.strictEqual(presence === "gone", !present.has(peer))
      }
    }
  )

  it("R2: makes room at the cost of the longest gone", () => {
    let roster = Roster.make(0)
    for (let index = 0; index < Limits.statusPeersMax + 50; index++) {
      roster = Roster.step(roster, SessionFake.view({ devices: [device(index, 1)] }), index * 1_000)
    }
    const shown = Roster.devices(roster).map(({ name }) => name)
    assert.strictEqual(shown.length, Limits.statusPeersMax)
    assert.include(shown, `d${Limits.statusPeersMax + 49}`)
    assert.notInclude(shown, "d0")
  })

  it("calls silent on a student's device only who has not been heard when it was to speak to everybody", () => {
    const devices = Array.from({ length: 50 }, (_, index) => device(index, 1))
    const view = { ...Rooms.teacherView(), isHost: false, devices }
    const roster = Roster.step(Roster.make(0), view, 0)
    const presences = (nowMs: number) =>
      new Set(
        Roster.devices(Roster.step(roster, view, nowMs)).filter(({ linked }) => !linked).map((each) => each.presence)
      )
    assert.deepStrictEqual([...presences(1.5 * floodIntervalMs(50))], ["here"])
    assert.deepStrictEqual([...presences(1.5 * floodIntervalMs(50) + 1)], ["silent"])
  })

  it("calls silent who has not been heard for half a minute, and remembers what it had", () => {
    const view = Rooms.teacherView()
    let roster = Roster.step(Roster.make(0), view, 0)
    const mute = { ...view, devices: view.devices.map((each) => ({ ...each, linked: false })) }
    roster = Roster.step(roster, mute, 31_000)
    const student = Roster.devices(roster).find(({ isSelf }) => !isSelf)!
    assert.strictEqual(student.presence, "silent")
    assert.strictEqual(student.seenAtMs, 0)
    roster = Roster.step(roster, { ...mute, devices: mute.devices.slice(0, 1) }, 62_000)
    const gone = Roster.devices(roster).find(({ peer }) => peer === student.peer)!
    assert.strictEqual(gone.presence, "gone")
    assert.strictEqual(gone.receiveBytesPerSecond, 0)
    assert.deepStrictEqual(gone.shares, student.shares)
  })

  it("finds the one that holds itself up, and nobody in an even room", () => {
    const roster = Roster.step(Roster.make(0), Rooms.teacherView(), 0)
    assert.deepStrictEqual(Roster.devices(roster).filter(({ slow }) => slow).map(({ name }) => name), ["Diego"])
  })

  it("calls outdated whose labfx is older than this device's, and nobody while one of the two is unknown", () => {
    const running = (index: number, program: string | undefined, isSelf = false): DeviceView => {
      const { status, ...view } = device(index, 1)
      return { ...view, isSelf, status: { ...status!, ...(program === undefined ? {} : { program }) } }
    }
    const others = [
      running(1, "labfx 0.9.0"),
      running(2, "labfx 0.10.0"),
      running(3, "labfx 0.11.0"),
      running(4, undefined)
    ]
    const seen = (own: DeviceView) => {
      const view = SessionFake.view({ devices: [own, ...others] })
      return Roster.devices(Roster.step(Roster.make(0), view, 0)).map(({ outdated, program }) => [program, outdated])
    }
    assert.deepStrictEqual(seen(running(0, "labfx 0.10.0", true)), [
      ["labfx 0.10.0", false],
      ["labfx 0.9.0", true],
      ["labfx 0.10.0", false],
      ["labfx 0.11.0", false],
      [undefined, false]
    ])
    assert.isTrue(seen(running(0, undefined, true)).every(([, outdated]) => outdated === false))
  })

  it("names the physical limit: one copy and what the last chunk costs on its way", () => {
    const { devices, shares } = Rooms.teacherView()
    const view = Rooms.teacherView({ devices: [devices[0]!, ...Rooms.students(50, 1)] })
    const fast = view.devices.map((each, index) =>
      index === 1 ? { ...each, status: { ...each.status!, receiveBytesPerSecond: 10_000_000 } } : each
    )
    const first = Roster.step(Roster.make(0), { ...view, devices: fast }, 0)
    const spread = Roster.spread(Roster.step(first, view, 230_000), shares[1]!)!
    // 2 GB in 477 chunks at 10 MB/s: 200 s, and 5 of 477 more for the doublings of 50 students.
    assert.strictEqual(spread.limitMs, Math.round(200_000 * (1 + 5 / 477)))
    assert.strictEqual(spread.complete, 50)
    assert.strictEqual(spread.elapsedMs, 0)
  })
})
