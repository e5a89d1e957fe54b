/** P13: a classroom whose machines were all copied from one that had been in a lesson, and a device that lost its state. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Random } from "effect"
import { TestClock } from "effect/testing"
import * as CryptoNode from "../../src/services/node/CryptoNode.ts"
import { type Device, downloads, stateFolder, VirtualLab } from "../../src/simulator/VirtualLab.ts"
import { scopedInTime, stop, until } from "../support/InTime.ts"
import { noise } from "../support/Stores.ts"

const lan = { latencyMsMin: 1, latencyMsMax: 10, bytesPerSecond: 12_500_000 }
const lesson = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(scopedInTime, Random.withSeed("clones"), Effect.provide([TestClock.layer(), CryptoNode.layerNode]))

/** Does something on the device, with the time that it takes. */
const inTime = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.andThen(Effect.forkChild(effect, { startImmediately: true }), TestClock.adjust("2 seconds"))

const peerOf = (device: Device) => device.of("session.joined").at(-1)?.peer
const bytes = noise(300_000, 1)

/** A teacher that shares a file, and a student that has it and has said something. */
const begun = Effect.gen(function*() {
  const lab = yield* VirtualLab.make(lan)
  lab.teacher.disk.put("/lesson/data.bin", bytes)
  const original = lab.student()
  yield* lab.teacher.start()
  yield* original.start()
  yield* until(() => peerOf(original) !== undefined, 5_000)
  yield* inTime(lab.teacher.session.share("/lesson/data.bin"))
  yield* inTime(original.session.say("from the original"))
  yield* until(() => original.of("share.completed").length === 1, 10_000)
  return { lab, original }
})

describe("a cloned state folder", () => {
  it.effect(
    "makes thirty devices, each with a key of its own and a voice, and all have everything (P13)",
    () =>
      Effect.gen(function*() {
        const { lab, original } = yield* begun
        yield* Effect.forkChild(original.stop(), { startImmediately: true })
        yield* TestClock.adjust("5 seconds")
        const before = peerOf(original)
        const clones = Array.from({ length: 29 }, () => lab.student())
        for (const clone of clones) {
          for (const [path, copy] of original.disk.files("/home")) clone.disk.put(`/home/${path}`, copy)
        }
        const room = [original, ...clones]
        for (const device of room) yield* device.start()
        yield* until(() => room.every((device) => peerOf(device) !== undefined), 10_000)
        assert.strictEqual(peerOf(original), before)
        assert.strictEqual(new Set(room.map(peerOf)).size, room.length)
        for (const device of room) yield* Effect.forkChild(device.session.say(`hello from ${device.name}`))
        // The original's word came with the image, as history; everybody's own is news to all.
        yield* until(() => room.every(({ texts }) => new Set(texts).size >= room.length), 60_000)
        yield* until(() => room.every((device) => device.of("share.completed").length > 0), 30_000)
        const hellos = room.map(({ name }) => `hello from ${name}`)
        for (const device of room) {
          const texts = device.texts.filter((text) => text.startsWith("hello"))
          assert.sameMembers([...texts], hellos)
          assert.deepStrictEqual([...device.downloaded], [["data.bin", bytes]])
          assert.isEmpty(device.of("warning").filter(({ code }) => code !== "first-use"))
        }
        yield* stop(lab)
      }).pipe(lesson),
    60_000
  )
})

describe("a lost state folder", () => {
  it.effect("makes a new device that finds its download where it is, and hears everything said so far", () =>
    Effect.gen(function*() {
      const { lab, original } = yield* begun
      yield* Effect.forkChild(original.stop(), { startImmediately: true })
      yield* TestClock.adjust("5 seconds")
      const before = peerOf(original)
      original.events.length = 0
      original.disk.delete(stateFolder)
      yield* original.start()
      yield* until(() => original.of("share.completed").length === 1, 20_000)
      yield* inTime(original.session.say("from the new one"))
      yield* until(() => original.texts.length === 2, 10_000)
      assert.notStrictEqual(peerOf(original), before)
      assert.deepStrictEqual([...original.texts], ["from the original", "from the new one"])
      assert.deepStrictEqual([...original.downloaded], [["data.bin", bytes]])
      assert.strictEqual(original.of("share.completed")[0]!.path, `${downloads}/data.bin`)
      yield* stop(lab)
    }).pipe(lesson))
})
