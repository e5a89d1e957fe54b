/** Casts in whole lessons with the production services of every device, on a virtual network that carries a multicast. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Random } from "effect"
import { TestClock } from "effect/testing"
import * as Fragment from "../../src/protocol/Fragment.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import { Crypto } from "../../src/services/Crypto.ts"
import * as CryptoNode from "../../src/services/node/CryptoNode.ts"
import { content } from "../../src/simulator/Scenario.ts"
import { type Device, VirtualLab } from "../../src/simulator/VirtualLab.ts"
import type { NetworkOptions } from "../../src/simulator/VirtualNetwork.ts"
import { hostileIn } from "../support/HostileIn.ts"
import { scopedInTime, stop, until } from "../support/InTime.ts"

const lan: NetworkOptions = { latencyMsMin: 1, latencyMsMax: 3, bytesPerSecond: 5_000_000, multicastLoss: 0 }

const lesson = (seed: string) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(scopedInTime, Random.withSeed(seed), Effect.provide([TestClock.layer(), CryptoNode.layerNode]))

/** Runs an effect that needs virtual time to pass. */
const inTime = <A, E>(effect: Effect.Effect<A, E>, forMs = 2_000) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    yield* TestClock.adjust(forMs)
    return yield* Fiber.join(fiber)
  })

const sizeBytes = 8_000_000
const bytes = content(sizeBytes, 1)
const path = "/lesson/data.bin"

const isJoined = (device: Device) => device.of("session.joined").length > 0
const isComplete = (device: Device) => device.of("share.completed").length > 0

/** A room in which everybody has had the time to find out who hears the host, and the last `farCount` have no link to it. */
const room = Effect.fnUntraced(function*(network: NetworkOptions, studentsCount: number, farCount = 0) {
  const lab = yield* VirtualLab.make(network)
  lab.teacher.disk.put(path, bytes)
  yield* lab.teacher.start()
  for (let i = 0; i < studentsCount; i++) {
    const student = lab.student()
    // Links need both directions, and a multicast the one that is left.
    if (i >= studentsCount - farCount) lab.network.silence(student.port.host, lab.teacher.port.host)
    yield* student.start()
  }
  yield* until(() => lab.students.every(isJoined), 10_000)
  // Whom the teacher does not hear waits until other students announce themselves.
  if (farCount > 0) yield* until(() => lab.students.every((student) => student.of("peer.up").length > 3), 90_000)
  yield* TestClock.adjust("3 seconds")
  for (const { port } of lab.devices) port.sentBytes = 0
  return lab
})

const share = (lab: VirtualLab) => inTime(lab.teacher.session.share(path), 100)

/** The teacher removes the first student. */
const shutOut = Effect.fnUntraced(function*(lab: VirtualLab) {
  const outcast = lab.students[0]!
  const view = (yield* lab.teacher.session.view).devices.find(({ name }) => name === outcast.name)!
  yield* inTime(lab.teacher.session.remove(view.peer))
  return outcast
})

/** In copies of the material. */
const sent = (device: Device) => device.port.sentBytes / sizeBytes
const sentByStudents = (lab: VirtualLab) => Math.max(...lab.students.map(sent))

const assertIdentical = (lab: VirtualLab) => {
  for (const student of lab.students) assert.deepStrictEqual(student.downloaded, new Map([["data.bin", bytes]]))
}

/** A room in which everybody has got the material within so much time. */
const spread = Effect.fnUntraced(function*(network: NetworkOptions, studentsCount: number, withinMs: number) {
  const lab = yield* room(network, studentsCount)
  yield* share(lab)
  yield* until(() => lab.students.every(isComplete), withinMs)
  assertIdentical(lab)
  return lab
})

describe("casts", () => {
  it.effect("bring a share to everybody by one copy that leaves the teacher, and hardly anything the students send", () =>
    Effect.gen(function*() {
      const lab = yield* spread(lan, 12, 6_000)
      assert.isBelow(sent(lab.teacher), 1.1)
      assert.isBelow(sentByStudents(lab), 0.05)
      yield* stop(lab)
      assert.strictEqual(lab.network.connectionsCount, 0)
    }).pipe(lesson("calm")))

  it.effect("bring the manifest first, so that the teacher need not send it to each", () =>
    Effect.gen(function*() {
      const lab = yield* room(lan, 12)
      const filesCount = 3_000
      for (let i = 0; i < filesCount; i++) lab.teacher.disk.put(`/lesson/many/file ${i}.txt`, content(1_000, i))
      yield* inTime(lab.teacher.session.share("/lesson/many"), 1_000)
      yield* until(() => lab.students.every(isComplete), 10_000)
      for (const { downloaded } of lab.students) assert.strictEqual(downloaded.size, filesCount)
      // Its content is 3 MB, its manifest 0.2 MB.
      assert.isBelow(lab.teacher.port.sentBytes, 3_600_000)
      yield* stop(lab)
    }).pipe(lesson("many")))

  it.effect("are waited for quietly: until one is over nobody tells a neighbor of the share", () =>
    Effect.gen(function*() {
      const lab = yield* room({ ...lan, bytesPerSecond: 1_000_000 }, 12)
      yield* share(lab)
      yield* until(() => sent(lab.teacher) > 0.05, 20_000, 50)
      // A bitfield to each neighbor alone would be more, and each of the host's entries that is passed on.
      for (const { port } of lab.students) assert.isAtMost(port.sentBytes, 1_000)
      yield* until(() => lab.students.every(isComplete), 20_000)
      yield* stop(lab)
    }).pipe(lesson("quiet")))

  it.effect("leave what is lost to the neighbors", () =>
    Effect.gen(function*() {
      const lab = yield* spread({ ...lan, multicastLoss: 0.01 }, 11, 12_000)
      assert.isBelow(sent(lab.teacher), 1.2)
      assert.isAbove(sentByStudents(lab), 0.005)
      yield* stop(lab)
    }).pipe(lesson("loss")))

  it.effect("are healed where datagrams are lost at any rate, by parity that the teacher sends once for all", () =>
    Effect.gen(function*() {
      const lab = yield* spread({ ...lan, multicastLoss: 0.06 }, 11, 60_000)
      assert.isBelow(sent(lab.teacher), 1.3)
      // Without parity it was 0.82.
      assert.isBelow(sentByStudents(lab), 0.5)
      yield* stop(lab)
    }).pipe(lesson("healed")))

  it.effect("are given up where much is lost, and the swarm does it", () =>
    Effect.gen(function*() {
      const lab = yield* spread({ ...lan, multicastLoss: 0.3 }, 11, 20_000)
      assert.isAbove(sentByStudents(lab), 0.3)
      // Nobody waits quietly for the next, which is not cast.
      lab.teacher.disk.put("/lesson/next.bin", content(sizeBytes, 2))
      yield* inTime(lab.teacher.session.share("/lesson/next.bin"), 100)
      for (const { port } of lab.devices) port.sentBytes = 0
      yield* TestClock.adjust(300)
      for (const { port } of lab.students) assert.isAbove(port.sentBytes, 1_000)
      yield* stop(lab)
    }).pipe(lesson("much loss")))

  it.effect("are begun for as few as four students", () =>
    Effect.gen(function*() {
      const lab = yield* spread(lan, Limits.castListenersMin, 6_000)
      assert.isBelow(sent(lab.teacher), 1.1)
      assert.isBelow(sentByStudents(lab), 0.05)
      yield* stop(lab)
    }).pipe(lesson("four")))

  it.effect("bring a hand-out of two pages while a large share is on its way", () =>
    Effect.gen(function*() {
      const lab = yield* room({ ...lan, bytesPerSecond: 1_000_000 }, 12)
      yield* share(lab)
      yield* until(() => sent(lab.teacher) > 0.2, 20_000, 50)
      lab.teacher.disk.put("/lesson/page.txt", bytes.slice(0, Limits.uncastBytesMax + 1))
      const before = lab.teacher.port.sentBytes
      yield* inTime(lab.teacher.session.share("/lesson/page.txt"), 100)
      yield* until(() => lab.students.every((student) => student.of("share.completed").length === 1), 2_000, 20)
      for (const student of lab.students) assert.include([...student.downloaded.keys()], "page.txt")
      // To each by a link it would be twelve times as much.
      assert.isBelow(lab.teacher.port.sentBytes - before, 6 * Limits.uncastBytesMax)
      yield* until(() => lab.students.every((student) => student.of("share.completed").length === 2), 20_000)
      yield* stop(lab)
    }).pipe(lesson("page")))

  it.effect("are given up for a few where the network carries less than links may, and the swarm does it", () =>
    Effect.gen(function*() {
      const lab = yield* spread({ ...lan, bytesPerSecond: 2_000_000 }, Limits.castListenersMin, 12_000)
      assert.isAbove(sentByStudents(lab), 0.2)
      yield* stop(lab)
    }).pipe(lesson("slow and few")))

  it.effect("are not begun for three students, nor for a share that is over in a moment", () =>
    Effect.gen(function*() {
      const three = yield* room(lan, Limits.castListenersMin - 1)
      yield* share(three)
      yield* until(() => three.students.every(isComplete), 20_000)
      assert.isAbove(sentByStudents(three), 0.3)
      yield* stop(three)

      const lab = yield* room(lan, 11)
      lab.teacher.disk.put("/lesson/page.txt", bytes.slice(0, Limits.uncastBytesMax))
      yield* inTime(lab.teacher.session.share("/lesson/page.txt"), 100)
      yield* until(() => lab.students.every(isComplete), 5_000)
      assert.isAbove(Math.max(...lab.students.map(({ port }) => port.sentBytes)), 10_000)
      yield* stop(lab)
    }).pipe(lesson("few")))

  it.effect("are left when the teacher goes, and everybody finishes with what is in the room", () =>
    Effect.gen(function*() {
      const lab = yield* room({ ...lan, bytesPerSecond: 1_000_000, multicastLoss: 0.02 }, 11)
      yield* share(lab)
      // When nothing leaves any more, all of it has; what one has lost the others have.
      let before = 0
      let idleLooks = 0
      yield* until(
        () => {
          idleLooks = before > sizeBytes && lab.teacher.port.sentBytes - before < 20_000 ? idleLooks + 1 : 0
          before = lab.teacher.port.sentBytes
          // The last chunk is a small one, and on its way at the first.
          return idleLooks === 2
        },
        30_000,
        50
      )
      assert.isFalse(lab.students.every(isComplete))
      yield* lab.teacher.kill(lab.network)
      yield* until(() => lab.students.every(isComplete), 20_000)
      assertIdentical(lab)
      yield* stop(lab)
    }).pipe(lesson("teacher gone")))

  it.effect("reach who comes in the middle, who asks for what it missed", () =>
    Effect.gen(function*() {
      const lab = yield* room(lan, 11)
      yield* share(lab)
      yield* until(() => sent(lab.teacher) > 0.5, 6_000)
      const late = lab.student()
      yield* late.start()
      yield* until(() => lab.students.every(isComplete), 20_000)
      assertIdentical(lab)
      // Of the half that it missed it may ask the teacher as well as the others.
      assert.isBelow(sent(lab.teacher), 1.4)
      assert.isAbove(sentByStudents(lab), 0.02)
      yield* stop(lab)
    }).pipe(lesson("late")))

  it.effect("reach who has no link to the teacher, by what neighbors pass on, and ends for them as for everybody", () =>
    Effect.gen(function*() {
      const lab = yield* room({ ...lan, multicastLoss: 0.001 }, 16, 5)
      assert.strictEqual((yield* lab.teacher.session.view).devices.filter(({ linked }) => linked).length, 11)
      yield* share(lab)
      yield* until(() => lab.students.every(isComplete), 10_000)
      assertIdentical(lab)
      // Without casts the five alone are five copies that the others send.
      const copies = lab.students.reduce((sum, student) => sum + sent(student), 0)
      assert.isBelow(copies, 0.5)
      assert.isAbove(copies, 0.02)

      // Nobody waits for what is not cast any more.
      lab.teacher.disk.put("/lesson/page.txt", bytes.slice(0, 900_000))
      yield* inTime(lab.teacher.session.share("/lesson/page.txt"), 100)
      yield* until(() => lab.students.every((student) => student.of("share.completed").length === 2), 5_000)
      yield* stop(lab)
    }).pipe(lesson("far")))

  it.effect("are believed of the teacher alone: nobody listens where somebody else says that the teacher casts", () =>
    Effect.gen(function*() {
      const lab = yield* room(lan, 14, 3)
      const hostile = yield* hostileIn(lab, "impersonate")
      // It dials everybody, tells its lies four times a second, and is banned for others of them in the end.
      yield* until(() => hostile.poisoned.length > 10, 20_000)
      for (let looks = 0; looks < 50; looks++) {
        assert.lengthOf(lab.network.groups, Limits.castGroupsMax)
        yield* TestClock.adjust(100)
      }
      yield* share(lab)
      yield* until(() => lab.students.every(isComplete), 20_000)
      assertIdentical(lab)
      yield* stop(lab)
    }).pipe(lesson("impersonated")))

  it.effect("are heard anew by who has no link to the teacher when the key is another one", () =>
    Effect.gen(function*() {
      const lab = yield* room(lan, 16, 4)
      const groups = () => lab.network.groups
      const before = groups()
      const outcast = yield* shutOut(lab)
      yield* until(() => groups().length === Limits.castGroupsMax && groups()[0] !== before[0], 10_000)
      yield* TestClock.adjust("3 seconds")
      for (const { port } of lab.devices) port.sentBytes = 0
      yield* share(lab)
      const others = lab.students.slice(1)
      yield* until(() => others.every(isComplete), 10_000)
      assert.isBelow(others.reduce((sum, student) => sum + sent(student), 0), 0.5)
      assert.isFalse(isComplete(outcast))
      yield* stop(lab)
    }).pipe(lesson("far and removed")))

  it.effect("let a page overtake a share that is being cast", () =>
    Effect.gen(function*() {
      const lab = yield* room(lan, 11)
      lab.teacher.disk.put("/lesson/page.txt", bytes.slice(0, 10_000))
      yield* share(lab)
      yield* until(() => sent(lab.teacher) > 0.2, 6_000)
      yield* inTime(lab.teacher.session.share("/lesson/page.txt"), 100)
      yield* until(() => lab.students.every(isComplete), 2_000)
      for (const student of lab.students) assert.isTrue(student.downloaded.has("page.txt"))
      assert.isBelow(sent(lab.teacher), 0.7)
      yield* until(() => lab.students.every((student) => student.of("share.completed").length === 2), 10_000)
      yield* stop(lab)
    }).pipe(lesson("page")))

  it.effect("send no chunk that the room has of an earlier version", () =>
    Effect.gen(function*() {
      const lab = yield* room(lan, 11)
      yield* share(lab)
      yield* until(() => lab.students.every(isComplete), 10_000)
      const changed = bytes.slice()
      changed[sizeBytes - 1]! ^= 1
      lab.teacher.disk.put("/lesson/new/data.bin", changed)
      for (const { disk, port } of lab.devices) {
        port.sentBytes = 0
        // To find out what is here takes a disk a while, in which much could be cast for nothing.
        disk.operationMs = () => 5
      }
      yield* inTime(lab.teacher.session.share("/lesson/new/data.bin"), 1_000)
      yield* until(() => lab.students.every((student) => student.of("share.completed").length === 2), 30_000)
      assert.isBelow(sent(lab.teacher), 0.1)
      yield* stop(lab)
    }).pipe(lesson("version")))

  it.effect("take another key and another group when a device is shut out, and what comes later is not for it", () =>
    Effect.gen(function*() {
      const lab = yield* room(lan, 11)
      const groups = () => lab.network.groups
      const before = groups()
      assert.lengthOf(before, Limits.castGroupsMax)
      const outcast = yield* shutOut(lab)
      yield* until(() => groups().length === Limits.castGroupsMax && groups()[0] !== before[0], 5_000)
      yield* TestClock.adjust("3 seconds")
      yield* share(lab)
      const others = lab.students.slice(1)
      yield* until(() => others.every(isComplete), 10_000)
      assert.isBelow(sent(lab.teacher), 1.15)
      assert.isFalse(isComplete(outcast))
      yield* stop(lab)
    }).pipe(lesson("removed")))

  it.effect("P1 P8: false fragments, made by somebody in the room, are never kept, and a device stops listening after a few", () =>
    Effect.gen(function*() {
      const lab = yield* room(lan, 11)
      // Who knows the key could put any bytes into a fragment; here, every fourth is another than the host's.
      const crypto = Context.get(lab.crypto, Crypto)
      const { unseal } = crypto
      let opened = 0
      Object.assign(crypto, {
        unseal: (...args: Parameters<typeof unseal>) => {
          const plain = unseal(...args)
          if (plain !== undefined && plain.length > Fragment.headBytes && ++opened % 4 === 0) {
            plain[plain.length - 1]! ^= 1
          }
          return plain
        }
      })
      yield* share(lab)
      yield* until(() => lab.students.every(isComplete), 20_000)
      assertIdentical(lab)
      // After the last of them nothing is opened any more.
      assert.isBelow(opened, 11 * 4 * 4 * (Limits.castChunksFalseMax + 1))
      assert.isAbove(sentByStudents(lab), 0.3)
      yield* stop(lab)
    }).pipe(lesson("false")))
})
