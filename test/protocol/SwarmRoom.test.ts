/**
 * Rooms of 50 devices in model time: what one device's rules are worth to all. The model is the one that
 * `bench/model.ts` prints figures of; here the bounds are loose, so that only a broken rule crosses them.
 */
import { assert, describe, it } from "@effect/vitest"
import { defaultRoom, type Result, type Room, simulate } from "../../bench/SwarmModel.ts"

const room = (options: Partial<Room>): Result => simulate({ ...defaultRoom, chunks: 60, ...options })
const last = ({ finished }: Result): number => finished.at(-1)!
const median = ({ finished }: Result): number => finished[finished.length >> 1]!

describe("A room of 50", () => {
  const plain = room({})

  it("has everything in little more than the time of one copy, and its teacher sends little more than one", () => {
    assert.strictEqual(plain.finished.length, 50)
    assert.isBelow(last(plain) / plain.bound, 1.5)
    assert.isBelow(plain.teacherCopies, 1.5)
    assert.isBelow(plain.busiestCopies, 1.5)
  })

  it("serves equal students equally and sends hardly anything twice", () => {
    assert.isAbove(plain.jain, 0.9)
    assert.isBelow(plain.wasted, 0.02)
  })

  it.each([
    [{ teacherLinked: false }, { bad: 5 }],
    [{ teacherLinked: true }, { bad: 5 }],
    [{ teacherLinked: true, chunks: 150 }, { mute: 5 }]
  ])("loses at most a quarter of its speed to one bad peer in ten (promise P8): %o", (options, peers) => {
    const bad = room({ ...options, ...peers })
    assert.strictEqual(bad.finished.length, 45)
    assert.isBelow(last(bad), 1.25 * last(room(options)))
  })

  it("is not slowed down by a few slow students, and they finish too", () => {
    const slow = room({ slow: 3 })
    assert.strictEqual(slow.finished.length, 50)
    assert.isBelow(median(slow), 1.1 * median(plain))
    assert.isBelow(slow.wasted, 0.05)
  })

  it.each([{ orphanAt: 1.4 }, { late: 5 }, { churn: 5 }])(
    "finishes without its teacher, with students who come late, with links that come and go (promise P6): %o",
    (disturbance) => assert.strictEqual(room(disturbance).finished.length, 50)
  )

  it("gives the same history for the same seed", () => {
    assert.deepStrictEqual(room({}), plain)
  })
})

describe("A room whose network carries a multicast", () => {
  const castRoom = (options: Partial<Room>): Result =>
    room({ teacherLinked: true, cast: true, chunks: 200, ...options })

  it.each([
    { students: 50, bytesPerSecond: 625_000 },
    { students: 50, bytesPerSecond: 1_250_000 },
    { students: 16, bytesPerSecond: 5_000_000 },
    { students: 50, bytesPerSecond: 12_500_000, chunkBytes: 512 * 1024 },
    // 120 of them have no link to the teacher.
    { students: 200, bytesPerSecond: 1_250_000 }
  ])("has everything within the bound of what links could do, by one copy: %o", (options) => {
    const calm = castRoom(options)
    assert.strictEqual(calm.finished.length, options.students)
    assert.isBelow(last(calm) / calm.bound, 1.03)
    assert.isBelow(calm.teacherCopies, 1.05)
    assert.isBelow(calm.busiestCopies, 0.05)
  })

  it.each([{ orphanAt: 1.1 }, { late: 5 }, { churn: 5 }, { slow: 1 }, { unequal: true }, { teacherLinked: false }])(
    "finishes whatever else is so: %o",
    (disturbance) => assert.strictEqual(castRoom(disturbance).finished.length, 50)
  )

  it("finishes when links come and go of a room larger than the teacher has links", () => {
    assert.strictEqual(castRoom({ students: 120, churn: 20 }).finished.length, 120)
  })
})
