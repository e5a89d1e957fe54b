/**
 * A member that repeats what everybody has is held back by its own link, and by nothing else: real services on the virtual
 * network, and a cable of its own that would fill everybody's.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Random } from "effect"
import { TestClock } from "effect/testing"
import * as Limits from "../../src/protocol/Limits.ts"
import { Crypto } from "../../src/services/Crypto.ts"
import * as CryptoNode from "../../src/services/node/CryptoNode.ts"
import * as CryptoSeeded from "../../src/simulator/CryptoSeeded.ts"
import * as Hostile from "../../src/simulator/Hostile.ts"
import { type Device, VirtualLab } from "../../src/simulator/VirtualLab.ts"
import { scopedInTime, stop, until } from "../support/InTime.ts"

const lesson = (seed: string) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(scopedInTime, Random.withSeed(seed), Effect.provide([TestClock.layer(), CryptoNode.layerNode]))

/** Runs an effect that needs virtual time to pass. */
const inTime = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    yield* until(() => fiber.pollUnsafe() !== undefined, 15_000)
    return yield* Fiber.join(fiber)
  })

const isJoined = (device: Device) => device.of("session.joined").length > 0

/** A conversation that is worth repeating: it fills a frame, which a replayer sends four times a second. */
const conversation = Array.from({ length: 60 }, (_, i) => `${i} `.padEnd(600, "words "))

const room = Effect.gen(function*() {
  const lab = yield* VirtualLab.make({ latencyMsMin: 1, latencyMsMax: 5, bytesPerSecond: 2_500_000 })
  yield* inTime(lab.teacher.start())
  const students = [lab.student(), lab.student(), lab.student()]
  for (const student of students) yield* student.start()
  yield* until(() => students.every(isJoined), 5_000)
  for (const text of conversation) yield* Effect.andThen(inTime(lab.teacher.session.say(text)), TestClock.adjust(200))
  return { lab, students, devices: [lab.teacher, ...students] }
})

/** What each device received in a time. */
const received = Effect.fnUntraced(function*(devices: ReadonlyArray<Device>, seconds: number) {
  const before = devices.map(({ port }) => port.receivedBytes)
  yield* TestClock.adjust(seconds * 1_000)
  return devices.map(({ port }, i) => (port.receivedBytes - before[i]!) / seconds)
})

describe("a member that repeats what everybody has", () => {
  it.effect(
    "is held back by each link of its own, while nobody else is and nothing is lost",
    () =>
      Effect.gen(function*() {
        const { devices, lab, students } = yield* room
        const crypto = Context.get(lab.crypto, Crypto)
        const random = yield* Random.Random
        yield* Hostile.run({
          name: "hostile",
          role: "replay",
          port: lab.network.port("10.9.0.1", 100_000_000),
          network: lab.network,
          crypto,
          self: crypto.keyPair(CryptoSeeded.seed(1_000)),
          random: () => random.nextDoubleUnsafe(),
          discoveryPort: 4_000
        })
        // Links, the burst, and what was read before anybody could know what it was.
        yield* TestClock.adjust("20 seconds")
        for (const bytesPerSecond of yield* received(devices, 60)) {
          assert.isAtMost(bytesPerSecond, 4 * Limits.overheadBytesPerSecondMax)
        }
        lab.teacher.disk.put("/lesson/data.bin", new Uint8Array(5_000_000).fill(7))
        yield* inTime(lab.teacher.session.share("/lesson/data.bin"))
        // Two seconds of cable, and its first chunks.
        yield* until(() => students.every((each) => each.of("share.completed").length === 1), 5_000)
        yield* inTime(students[0]!.session.say("still here"))
        yield* until(() => devices.every((each) => each.texts.includes("still here")), 1_000)
        const lost = devices.flatMap((each) => each.of("peer.down").map(({ name }) => name))
        assert.deepStrictEqual(lost.filter((name) => name !== "hostile"), [])
        yield* stop(lab)
      }).pipe(lesson("replay")),
    60_000
  )

  it.effect(
    "is nobody in an honest room: late joiners and devices that start again are heard at once",
    () =>
      Effect.gen(function*() {
        const { lab, students } = yield* room
        for (const student of students) {
          yield* student.kill(lab.network)
          yield* TestClock.adjust("2 seconds")
          yield* student.start()
        }
        const late = [lab.student(), lab.student()]
        for (const student of late) yield* student.start()
        yield* until(() => [...students, ...late].every(isJoined), 5_000)
        yield* until(() => late.every((each) => conversation.every((text) => each.texts.includes(text))), 2_000)
        yield* inTime(late[0]!.session.say("hello"))
        yield* until(() => [lab.teacher, ...students, ...late].every((each) => each.texts.includes("hello")), 1_000)
        yield* stop(lab)
      }).pipe(lesson("honest")),
    60_000
  )
})
