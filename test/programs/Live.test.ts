/** The lines at the bottom of a terminal: what a teacher and a student see of a session. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Live from "../../src/programs/Live.ts"
import type { Status } from "../../src/protocol/Status.ts"
import type { DeviceView, PreparingView, ShareView } from "../../src/services/Session.ts"
import { peer, root, share, view } from "../support/SessionFake.ts"

const MB = 1_000_000

const status = (shares: Status["shares"], receiveBytesPerSecond = 0): Status => ({
  number: 1,
  name: "x",
  links: 3,
  receiveBytesPerSecond,
  shares
})

const student = (name: string, changed: Partial<DeviceView> = {}): DeviceView => ({
  peer: peer(name),
  name,
  isHost: false,
  isSelf: false,
  linked: true,
  status: status([]),
  ...changed
})

const offered = share({ root: root("r"), title: "lab.bin", sizeBytes: 10 * MB, state: "complete" })

describe("what a teacher sees", () => {
  it("those in trouble first, with the reason, then those who have least", () => {
    const devices = [
      student("done", { status: status([{ root: offered.root, verifiedBytes: 11 * MB, complete: true }]) }),
      student("half", { status: status([{ root: offered.root, verifiedBytes: 5 * MB, complete: false }], 2 * MB) }),
      student("full disk", {
        status: status([{ root: offered.root, verifiedBytes: 9 * MB, complete: false, problem: "disk-full" }])
      }),
      student("new", { status: undefined }),
      student("teacher", { isHost: true, isSelf: true })
    ]
    const lines = Live.lines(view({ isHost: true, shares: [offered], devices }), 100, 20)
    assert.include(lines[1], "4 students, 1 with everything")
    const grid = lines.slice(2)
    assert.deepStrictEqual(grid.map((line) => line.split(/ {2,}/)[0]), ["full disk", "new", "half", "done"])
    assert.match(grid[0]!, /90 % {2}disk full$/)
    assert.match(grid[1]!, / 0 % {2}joining$/)
    assert.match(grid[2]!, /50 % {2}2.00 MB\/s$/)
    assert.match(grid[3]!, /100 % {2}has everything$/)
  })

  it("100 % only of one that has published everything", () => {
    const almost = student("almost", {
      status: status([{ root: offered.root, verifiedBytes: 11 * MB, complete: false }])
    })
    const lines = Live.lines(view({ isHost: true, shares: [offered], devices: [almost] }), 100, 20)
    assert.match(lines.at(-1)!, / 99 % {2}waiting$/)
  })
})

describe("what a teacher sees of what is being prepared", () => {
  const preparing = (changed: Partial<PreparingView> = {}): PreparingView => ({
    id: "preparing-1",
    title: "linux.iso",
    hashedBytes: 3_200 * MB,
    totalBytes: 10_000 * MB,
    ...changed
  })

  it.each<[string, Partial<PreparingView>, RegExp]>([
    ["how much of it is hashed", {}, /^linux\.iso +preparing █+░+ {2}32 % {2}3\.20 GB of 10\.0 GB$/],
    ["that its files are still being counted", { hashedBytes: 0, totalBytes: undefined }, /^linux\.iso +preparing …$/]
  ])("%s", (_, changed, expected) => {
    const lines = Live.lines(view({ isHost: true, preparing: [preparing(changed)] }), 100, 20)
    assert.match(lines[0]!, expected)
    assert.deepStrictEqual(lines.slice(1), ["0 students"])
  })

  it("each of them, above what is shared", () => {
    const both = [preparing(), preparing({ id: "preparing-2", title: "photos" })]
    const lines = Live.lines(view({ isHost: true, shares: [offered], preparing: both }), 100, 20)
    assert.deepStrictEqual(lines.map((line) => line.split(" ")[0]), ["linux.iso", "photos", "lab.bin", "0"])
  })
})

describe("what a student sees", () => {
  it.each<[string, Partial<ShareView>, RegExp]>([
    [
      "how fast, from how many and how long",
      { verifiedBytes: 400_000, receiveBytesPerSecond: 100_000, sources: 1 },
      /40 % {2}100 kB\/s, 1 source, 6 s left$/
    ],
    ["that nothing comes", { verifiedBytes: 400_000, sources: 0 }, /40 % {2}waiting, 0 sources$/],
    [
      "that it is complete, and what it gives to others",
      { state: "complete", sendBytesPerSecond: 2_000_000 },
      /complete 1.00 MB, sending 2.00 MB\/s$/
    ],
    ["why it is paused", { state: "paused", problem: "the disk is full" }, /paused: the disk is full$/],
    ["why it failed", { state: "failed", problem: "the teacher changed it" }, /failed: the teacher changed it$/],
    ["that nobody has it yet", { state: "waiting" }, /waiting for a device that has it$/],
    ["that it was withdrawn not at all", { state: "withdrawn" }, /^0 other devices in the session$/]
  ])("%s", (_, changed, expected) => {
    assert.match(Live.lines(view({ shares: [share(changed)] }), 100, 10)[0]!, expected)
  })

  it("that a session is being looked for", () => {
    assert.deepStrictEqual(Live.lines(view({ phase: "looking" }), 40, 10), ["Looking for a session …"])
  })
})

const count = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))

describe("any view", () => {
  it.prop(
    "fits the rows it is given and prints nothing that steers a terminal",
    {
      devices: count(60),
      shares: count(30),
      preparing: count(10),
      rows: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 40 })),
      columns: Schema.Int.check(Schema.isBetween({ minimum: 20, maximum: 200 })),
      isHost: Schema.Boolean
    },
    ({ columns, devices, isHost, preparing, rows, shares }) => {
      const evil = "\u001b[2J\u202eevil\nname"
      const current = view({
        isHost,
        shares: Array.from(
          { length: shares },
          (_, index) =>
            share({
              root: root(`r${index}`),
              title: evil,
              state: index % 2 === 0 ? "paused" : "receiving",
              problem: evil
            })
        ),
        preparing: Array.from({ length: preparing }, (_, index) => ({
          id: `preparing-${index}`,
          title: evil,
          hashedBytes: index,
          totalBytes: index % 2 === 0 ? undefined : 100
        })),
        devices: Array.from({ length: devices }, (_, index) => student(`${evil}${index}`))
      })
      const lines = Live.lines(current, columns, rows)
      assert.isAtMost(lines.length, Math.max(rows, 2))
      for (const line of lines) assert.notMatch(line, /\p{Cc}|\p{Cf}/u)
    }
  )

  it("counts what does not fit", () => {
    const devices = Array.from({ length: 30 }, (_, index) => student(`s${index}`))
    const lines = Live.lines(view({ isHost: true, shares: [offered], devices }), 80, 10)
    assert.lengthOf(lines, 10)
    assert.strictEqual(lines.at(-1), "… and 23 more")
  })
})
