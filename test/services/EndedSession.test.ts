/**
 * Promise P4: a session that has ended is over. Somebody who was in it plays it back: its announcements, its certificate,
 * its log without the end, over real links and under a key that was always welcome there.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Random } from "effect"
import { TestClock } from "effect/testing"
import type { SessionId } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import * as CryptoNode from "../../src/services/node/CryptoNode.ts"
import { type Device, stateFolder, VirtualLab } from "../../src/simulator/VirtualLab.ts"
import { hostileIn } from "../support/HostileIn.ts"
import { scopedInTime, stop, until } from "../support/InTime.ts"

const lesson = (seed: string) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(scopedInTime, Random.withSeed(seed), Effect.provide([TestClock.layer(), CryptoNode.layerNode]))

const listenFirstMs = 3_000
/** Runs an effect that needs virtual time to pass. */
const inTime = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    yield* until(() => fiber.pollUnsafe() !== undefined, 15_000)
    return yield* Fiber.join(fiber)
  })

const joins = (device: Device) => device.of("session.joined")
const isJoined = (device: Device) => joins(device).length > 0
const sessionOf = (device: Device) => joins(device).at(-1)?.session
const endsOf = (device: Device, session: SessionId) =>
  device.of("session.ended").filter((event) => event.session === session && event.reason === "ended-by-teacher").length

/** A lesson with two students and one who means harm: a share, a message, and the end. Then the teacher has gone. */
const ended = Effect.gen(function*() {
  const room = yield* VirtualLab.make(
    { latencyMsMin: 1, latencyMsMax: 5, bytesPerSecond: 12_500_000 },
    { listenFirstMs }
  )
  const [stays, leaves] = [room.student(), room.student()]
  room.teacher.disk.put("/lesson/data.bin", new Uint8Array(200_000).fill(7))
  yield* inTime(room.teacher.start())
  for (const each of [stays, leaves]) yield* each.start()
  yield* until(() => [stays, leaves].every(isJoined), 5_000)
  yield* hostileIn(room, "resurrect")
  yield* inTime(room.teacher.session.share("/lesson/data.bin"))
  yield* inTime(room.teacher.session.say("before the end"))
  yield* until(() => [stays, leaves].every((each) => each.of("share.completed").length === 1), 10_000)
  // It has links to everybody and has heard everything by now.
  yield* TestClock.adjust("10 seconds")
  yield* inTime(room.teacher.session.end)
  const session = sessionOf(stays)!
  assert.strictEqual(endsOf(stays, session), 1)
  assert.strictEqual(endsOf(leaves, session), 1)
  yield* inTime(room.teacher.stop())
  return { room, stays, leaves, session }
})

describe("an ended session that is played back", () => {
  it.effect("is joined by nobody who has seen its end, and stays over for those who are still in it", () =>
    Effect.gen(function*() {
      const { leaves, room, session, stays } = yield* ended
      yield* leaves.kill(room.network)
      yield* leaves.start()
      yield* TestClock.adjust("60 seconds")
      assert.lengthOf(joins(leaves), 1)
      assert.deepStrictEqual(leaves.of("session.found").length, 1, "it is not even listed again")
      assert.strictEqual((yield* stays.session.view).phase, "ended")
      assert.strictEqual(endsOf(stays, session), 1)
      assert.deepStrictEqual([...stays.texts], ["before the end"])
      yield* stop(room)
    }).pipe(lesson("seen")))

  it.effect("is over within a minute for a late joiner, too, where anybody is still there who has seen its end", () =>
    Effect.gen(function*() {
      const { room, session } = yield* ended
      const late = room.student()
      yield* late.start()
      yield* until(() => isJoined(late), 20_000)
      // It announces itself once in so long, whatever it hears; then it is told.
      yield* until(() => endsOf(late, session) === 1, Limits.muteMsMax + 10_000)
      assert.strictEqual((yield* late.session.view).phase, "ended")
      yield* stop(room)
    }).pipe(lesson("late")))

  it.effect("gives way to the teacher's next session, for everybody, and nothing of it is told there", () =>
    Effect.gen(function*() {
      const { leaves, room, session, stays } = yield* ended
      // Nobody is left who could tell this one of the end.
      yield* stays.kill(room.network)
      yield* leaves.kill(room.network)
      const late = room.student()
      yield* late.start()
      yield* until(() => isJoined(late), 20_000)
      assert.strictEqual(sessionOf(late), session, "the limit of what can be known")
      for (const each of [stays, leaves]) yield* each.start()
      yield* inTime(room.teacher.start())
      const everybody = [stays, leaves, late]
      yield* until(() => everybody.every((each) => isJoined(each) && sessionOf(each) !== session), 20_000)
      yield* inTime(room.teacher.session.say("a new lesson"))
      yield* TestClock.adjust("30 seconds")
      for (const each of everybody) {
        assert.strictEqual(sessionOf(each), room.teacher.of("session.started").at(-1)!.session)
        assert.strictEqual(each.texts.at(-1), "a new lesson")
        assert.isAtMost(each.texts.filter((text) => text === "before the end").length, 1)
      }
      yield* stop(room)
    }).pipe(lesson("next")))

  it.effect("is left again by a teacher who has lost the state and was led into it, once anybody has seen its end", () =>
    Effect.gen(function*() {
      const { room, session, stays } = yield* ended
      room.teacher.disk.delete(stateFolder)
      yield* inTime(room.teacher.start())
      assert.strictEqual(room.teacher.of("session.started").at(-1)!.session, session, "the limit of what can be known")
      yield* until(() => endsOf(room.teacher, session) === 2, 20_000)
      yield* inTime(room.teacher.stop())
      yield* inTime(room.teacher.start())
      const next = room.teacher.of("session.started").at(-1)!.session
      assert.notStrictEqual(next, session)
      yield* until(() => sessionOf(stays) === next, 20_000)
      yield* stop(room)
    }).pipe(lesson("lost")))
})
