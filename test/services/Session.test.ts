/**
 * Whole lessons with the production services of every device: what people see, over generated rooms and faults.
 *
 * A failing run prints its replay token; put it into `{ arbitrary: { replay } }` to see the same lesson again.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Random, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as Limits from "../../src/protocol/Limits.ts"
import * as CryptoNode from "../../src/services/node/CryptoNode.ts"
import { type Device, VirtualLab } from "../../src/simulator/VirtualLab.ts"
import { scopedInTime, stop, until } from "../support/InTime.ts"

const lan = { latencyMsMin: 1, latencyMsMax: 10, bytesPerSecond: 12_500_000 }

const lesson = (seed: string) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(scopedInTime, Random.withSeed(seed), Effect.provide([TestClock.layer(), CryptoNode.layerNode]))

/** Bytes that compress to nothing and repeat nowhere, from a small number. */
const content = (length: number, seed: number): Uint8Array => {
  const bytes = new Uint8Array(length)
  let state = seed * 2 + 1
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

/** Runs an effect that needs virtual time to pass. */
const inTime = <A, E>(effect: Effect.Effect<A, E>, forMs = 2_000) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    yield* TestClock.adjust(forMs)
    return yield* Fiber.join(fiber)
  })

/** What a device hears beside chunks, at most: manifests, bitfields and announcements of a few shares; and, a second, statuses. */
const sayingBytes = 500_000
const sayingBytesPerSecond = 40_000

const isJoined = (device: Device) => device.of("session.joined").length > 0
const completed = (device: Device) => device.of("share.completed").length

describe("Session", () => {
  it.effect("brings a file, a folder and messages from the teacher to three students, byte for byte", () =>
    Effect.gen(function*() {
      const lab = yield* VirtualLab.make(lan)
      const files = new Map([["data.bin", content(700_000, 1)]])
      const folder = new Map([["a.txt", content(10, 2)], ["sub/b.txt", content(5_000, 3)], [
        "sub/empty",
        new Uint8Array(0)
      ]])
      for (const [path, bytes] of files) lab.teacher.disk.put(`/lesson/${path}`, bytes)
      for (const [path, bytes] of folder) lab.teacher.disk.put(`/lesson/code/${path}`, bytes)
      yield* lab.teacher.start()
      const students = [lab.student(), lab.student(), lab.student()]
      for (const student of students) yield* student.start()
      yield* until(() => students.every(isJoined), 5_000)

      yield* inTime(lab.teacher.session.share("/lesson/data.bin"))
      yield* inTime(lab.teacher.session.share("/lesson/code"))
      yield* inTime(lab.teacher.session.say("hello"))
      yield* inTime(students[0]!.session.say("a question"))
      yield* until(() => students.every((student) => completed(student) === 2), 20_000)
      yield* TestClock.adjust("1 second")

      for (const student of students) {
        const expected = new Map([...files, ...Array.from(folder, ([path, bytes]) => [`code/${path}`, bytes] as const)])
        assert.deepStrictEqual(new Map([...student.downloaded].toSorted()), new Map([...expected].toSorted()))
        assert.sameMembers([...student.texts], ["hello", "a question"])
      }
      yield* stop(lab)
      assert.strictEqual(lab.network.connectionsCount, 0)
    }).pipe(lesson("first")))

  it.effect("says so when what is shared is there already, under its own name or another", () =>
    Effect.gen(function*() {
      const lab = yield* VirtualLab.make(lan)
      for (const name of ["a.bin", "b.bin"]) lab.teacher.disk.put(`/lesson/${name}`, content(50_000, 1))
      yield* lab.teacher.start()
      const student = lab.student()
      yield* student.start()
      yield* until(() => isJoined(student), 5_000)
      for (const name of ["a.bin", "a.bin", "b.bin"]) yield* inTime(lab.teacher.session.share(`/lesson/${name}`))
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(
        lab.teacher.of("warning").filter(({ code }) => code === "already-shared").map(({ text }) => text),
        [
          "\"a.bin\" is shared already, and has not changed since.",
          "\"b.bin\" has the same content as \"a.bin\", which is shared already; it is not handed out again."
        ]
      )
      assert.deepStrictEqual([...student.downloaded.keys()], ["a.bin"])
      yield* stop(lab)
    }).pipe(lesson("twice")))

  /** A teacher whose disk takes so long that shares are seen while they are read. */
  const withSlowDisk = Effect.gen(function*() {
    const lab = yield* VirtualLab.make(lan)
    for (const name of ["a.bin", "b.bin", "c.bin"]) {
      lab.teacher.disk.put(`/lesson/${name}`, new Uint8Array(10_000_000).fill(name.charCodeAt(0)))
    }
    yield* lab.teacher.start()
    const student = lab.student()
    yield* student.start()
    yield* until(() => isJoined(student), 5_000)
    lab.teacher.disk.operationMs = () => 250
    const share = (name: string) =>
      lab.teacher.session.share(`/lesson/${name}`).pipe(Effect.exit, Effect.forkChild({ startImmediately: true }))
    const seen = Effect.map(
      lab.teacher.session.view,
      ({ preparing }) => preparing.map(({ hashedBytes, title, totalBytes }) => ({ title, hashedBytes, totalBytes }))
    )
    return { lab, student, share, seen }
  })

  it.effect("tells no more of a share's rate than that it is 0, once, when nothing has moved for two seconds", () =>
    Effect.gen(function*() {
      const lab = yield* VirtualLab.make(lan)
      lab.teacher.disk.put("/lesson/data.bin", content(5_000_000, 1))
      yield* lab.teacher.start()
      const student = lab.student()
      yield* student.start()
      yield* until(() => isJoined(student), 5_000)
      yield* inTime(lab.teacher.session.share("/lesson/data.bin"))
      yield* until(() => completed(student) === 1, 20_000)
      yield* TestClock.adjust("3 seconds")
      for (const device of [student, lab.teacher]) {
        const progress = device.of("share.progress")
        const rates = ({ receiveBytesPerSecond, sendBytesPerSecond }: (typeof progress)[number]) =>
          receiveBytesPerSecond + sendBytesPerSecond
        assert.isAbove(Math.max(...progress.map(rates)), 100_000)
        assert.strictEqual(progress.findIndex((each, index) => index > 1 && rates(each) === 0), progress.length - 1)
        yield* TestClock.adjust("20 seconds")
        assert.lengthOf(device.of("share.progress"), progress.length)
      }
      yield* stop(lab)
    }).pipe(lesson("still")))

  it.effect("shows the teacher, and nobody else, how far each share is hashed, until it is offered", () =>
    Effect.gen(function*() {
      const { lab, seen, share, student } = yield* withSlowDisk
      yield* share("a.bin")
      yield* TestClock.adjust("1 second")
      yield* share("b.bin")
      yield* TestClock.adjust("1 second")
      const [a, b, ...more] = yield* seen
      assert.isEmpty(more)
      assert.deepStrictEqual([a!.title, b!.title, a!.totalBytes], ["a.bin", "b.bin", 10_000_000])
      assert.isAbove(a!.hashedBytes, b!.hashedBytes)
      yield* TestClock.adjust("1 second")
      assert.isAbove((yield* seen)[0]!.hashedBytes, a!.hashedBytes)
      assert.deepStrictEqual((yield* student.session.view).preparing, [])
      lab.teacher.disk.operationMs = () => 0
      yield* until(() => completed(student) === 2, 20_000)
      assert.deepStrictEqual(yield* seen, [])
      const told = lab.teacher.events.filter(({ event }) => event.startsWith("share.prepar"))
      assert.isAtLeast(told.length, 8)
      assert.isAtMost(told.length, 12)
      yield* stop(lab)
    }).pipe(lesson("slow disk")))

  it.effect("hands out nothing of what was called off, and the same thing when it is shared again", () =>
    Effect.gen(function*() {
      const { lab, seen, share, student } = yield* withSlowDisk
      const kept = () =>
        [...lab.teacher.disk.files("/home/state").keys()].filter((path) => path.startsWith("shares/")).toSorted()
      const before = [[], kept(), lab.teacher.disk.openFiles]
      const sharing = yield* share("a.bin")
      yield* TestClock.adjust("1 second")
      assert.lengthOf(yield* seen, 1)
      yield* inTime(lab.teacher.session.unshare("a.bin"))
      assert.include(JSON.stringify(yield* Fiber.join(sharing)), "called-off")
      assert.deepStrictEqual([yield* seen, kept(), lab.teacher.disk.openFiles], before)
      yield* TestClock.adjust("20 seconds")
      assert.isEmpty(lab.teacher.of("share.offered"))
      assert.deepStrictEqual(lab.teacher.of("share.prepared").map(({ outcome }) => outcome), ["called-off"])
      lab.teacher.disk.operationMs = () => 0
      yield* share("a.bin")
      yield* until(() => completed(student) === 1, 20_000)
      yield* stop(lab)
    }).pipe(lesson("called off")))

  it.effect("calls off what is being hashed when the session ends, for everybody or for the teacher alone", () =>
    Effect.gen(function*() {
      const { lab, seen, share } = yield* withSlowDisk
      const sharing = yield* share("a.bin")
      yield* TestClock.adjust("1 second")
      yield* inTime(lab.teacher.session.end)
      assert.include(JSON.stringify(yield* inTime(Fiber.join(sharing))), "called-off")
      assert.deepStrictEqual(yield* seen, [])
      yield* stop(lab)

      const other = yield* withSlowDisk
      yield* other.share("a.bin")
      yield* TestClock.adjust("1 second")
      yield* stop(other.lab)
      assert.strictEqual(other.lab.teacher.disk.openFiles, 0)
      assert.isEmpty(other.lab.teacher.of("share.offered"))
    }).pipe(lesson("ended")))

  it.effect("goes on without the teacher once a copy is in the room, also for somebody who joins later", () =>
    Effect.gen(function*() {
      const lab = yield* VirtualLab.make(lan)
      const bytes = content(2_000_000, 5)
      lab.teacher.disk.put("/lesson/data.bin", bytes)
      yield* lab.teacher.start()
      const students = Array.from({ length: 4 }, () => lab.student())
      for (const student of students) yield* student.start()
      yield* until(() => students.every(isJoined), 5_000)
      yield* inTime(lab.teacher.session.say("before I go"))
      yield* inTime(lab.teacher.session.share("/lesson/data.bin"), 500)
      yield* until(() => students.some((student) => completed(student) === 1), 20_000, 10)
      yield* lab.teacher.kill(lab.network)
      const late = lab.student()
      yield* late.start()
      yield* until(() => [...students, late].every((student) => completed(student) === 1), 30_000)
      yield* TestClock.adjust("1 second")
      for (const student of [...students, late]) {
        assert.deepStrictEqual(student.downloaded.get("data.bin"), bytes)
        assert.deepStrictEqual([...student.texts], ["before I go"])
      }
      yield* stop(lab)
    }).pipe(lesson("orphan")))

  it.effect("becomes one room again after it was parted, although its teacher has gone meanwhile", () =>
    Effect.gen(function*() {
      const lab = yield* VirtualLab.make(lan)
      yield* lab.teacher.start()
      // In both halves everybody finds as many neighbors as a device wants.
      const students = Array.from({ length: 4 * Limits.linksWantedMax }, () => lab.student())
      for (const student of students) yield* student.start()
      yield* until(() => students.every(isJoined), 5_000)
      const half = students.length / 2
      const across = students.slice(0, half).flatMap(({ port: a }) =>
        students.slice(half).map(({ port: b }) => [a.host, b.host] as const)
      )
      yield* lab.teacher.kill(lab.network)
      for (const [a, b] of across) yield* lab.network.block(a, b)
      yield* TestClock.adjust("1 minute")
      yield* inTime(students[0]!.session.say("is anybody there?"))
      yield* TestClock.adjust("10 seconds")
      const heard = () => students.filter((student) => student.texts.includes("is anybody there?")).length
      assert.strictEqual(heard(), half)
      for (const [a, b] of across) lab.network.unblock(a, b)
      yield* until(() => heard() === students.length, 120_000)
      yield* stop(lab)
    }).pipe(lesson("parted")))

  it.effect("continues after kill -9 with what a student had, and shows no message twice", () =>
    Effect.gen(function*() {
      const lab = yield* VirtualLab.make({ ...lan, bytesPerSecond: 1_000_000 })
      const bytes = content(8_000_000, 6)
      lab.teacher.disk.put("/lesson/data.bin", bytes)
      yield* lab.teacher.start()
      const student = lab.student()
      yield* student.start()
      yield* until(() => isJoined(student), 5_000)
      yield* inTime(lab.teacher.session.say("once"))
      yield* inTime(lab.teacher.session.share("/lesson/data.bin"))
      yield* TestClock.adjust("3 seconds")
      yield* student.kill(lab.network)
      const before = student.port.receivedBytes
      assert.isAbove(before, 3_000_000)
      yield* TestClock.adjust("2 seconds")
      yield* student.start()
      yield* until(() => completed(student) === 1, 30_000)
      assert.deepStrictEqual(student.downloaded.get("data.bin"), bytes)
      assert.deepStrictEqual([...student.texts], ["once"])
      // What was in flight, and half a second of unmarked chunks, is fetched again; the rest is not.
      assert.isBelow(student.port.receivedBytes, 8_000_000 * 1.05 + 1_500_000)
      yield* stop(lab)
    }).pipe(lesson("resume")))

  it.effect("tells a student why a share stays incomplete when the teacher's copy is changed, once, until it is shared again", () =>
    Effect.gen(function*() {
      const lab = yield* VirtualLab.make({ ...lan, bytesPerSecond: 1_000_000 })
      const bytes = content(8_000_000, 7)
      lab.teacher.disk.put("/lesson/data.bin", bytes)
      yield* lab.teacher.start()
      const students = [lab.student(), lab.student()]
      for (const student of students) yield* student.start()
      yield* until(() => students.every(isJoined), 5_000)
      yield* inTime(lab.teacher.session.share("/lesson/data.bin"))
      yield* TestClock.adjust("3 seconds")
      lab.teacher.disk.put("/lesson/data.bin", content(8_000_000, 8))
      const told = (device: Device) => device.of("share.failed").map(({ reason, resumes }) => [reason, resumes])
      yield* until(() => students.every((student) => told(student).length > 0), 60_000)
      yield* TestClock.adjust("2 minutes")

      assert.match(String(told(lab.teacher)), /its source was changed while it was shared .*; share it again,false$/)
      for (const student of students) {
        const [[reason, resumes], ...more] = told(student) as [[string, boolean], ...ReadonlyArray<unknown>]
        assert.strictEqual(
          reason,
          "the teacher's copy was changed while it was handed out; the missing part comes when the teacher shares it again"
        )
        assert.isTrue(resumes)
        assert.isEmpty(more)
        const [share] = (yield* student.session.view).shares
        assert.deepStrictEqual([share!.state, share!.problem], ["paused", reason])
        assert.isEmpty(student.downloaded)
        // What runs on the devices is known, and what the students lack is nobody's fault but the source's.
        const devices = (yield* student.session.view).devices
        assert.deepStrictEqual(devices.map(({ status }) => status?.program), ["test", "test", "test"])
        const problems = devices.map(({ isHost, status }) => [isHost, status?.shares.map(({ problem }) => problem)])
        assert.sameDeepMembers(problems, [[true, ["source-changed"]], [false, [undefined]], [false, [undefined]]])
      }

      // What was signed is there again: the same share goes on.
      lab.teacher.disk.put("/lesson/data.bin", bytes)
      yield* inTime(lab.teacher.session.share("/lesson/data.bin"))
      yield* until(() => students.every((student) => completed(student) === 1), 60_000)
      for (const student of students) {
        assert.deepStrictEqual(student.downloaded.get("data.bin"), bytes)
        assert.lengthOf(told(student), 1)
      }
      yield* stop(lab)
    }).pipe(lesson("edited")))

  it.effect("says nothing of the teacher's changed copy where the room completes the share without it", () =>
    Effect.gen(function*() {
      const lab = yield* VirtualLab.make(lan)
      const bytes = content(2_000_000, 9)
      lab.teacher.disk.put("/lesson/data.bin", bytes)
      yield* lab.teacher.start()
      const first = lab.student()
      yield* first.start()
      yield* until(() => isJoined(first), 5_000)
      yield* inTime(lab.teacher.session.share("/lesson/data.bin"))
      yield* until(() => completed(first) === 1, 20_000)
      lab.teacher.disk.put("/lesson/data.bin", content(2_000_000, 10))
      const late = lab.student()
      yield* late.start()
      yield* until(() => completed(late) === 1, 30_000)
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(late.downloaded.get("data.bin"), bytes)
      assert.isEmpty([...first.of("share.failed"), ...late.of("share.failed")])
      yield* stop(lab)
    }).pipe(lesson("edited late")))

  const Room = {
    students: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 8 })),
    latencyMs: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 40 })),
    bytesPerSecond: Schema.Int.check(Schema.isBetween({ minimum: 1_000_000, maximum: 12_500_000 })),
    // The same content is the same share, and is not handed out twice: files of other lengths are other files.
    sizes: Schema.UniqueArray(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 400_000 }))).check(
      Schema.isMaxLength(4)
    ),
    texts: Schema.Array(Schema.NonEmptyString).check(Schema.isMaxLength(5)),
    blocked: Schema.Array(Schema.Natural).check(Schema.isMaxLength(4)),
    churn: Schema.Array(Schema.Natural).check(Schema.isMaxLength(3)),
    seed: Schema.Natural
  }
  const RoomOfFifty = { ...Room, students: Schema.Literal(49) }
  type Room = Schema.Struct<typeof Room>["Type"]

  const completes = ({ blocked, bytesPerSecond, churn, latencyMs, seed, sizes, students: count, texts }: Room) =>
    Effect.gen(function*() {
      const lab = yield* VirtualLab.make({ latencyMsMin: 1, latencyMsMax: latencyMs, bytesPerSecond })
      for (const [i, size] of sizes.entries()) lab.teacher.disk.put(`/lesson/${i}.bin`, content(size, i))
      yield* lab.teacher.start()
      const students = Array.from({ length: count }, () => lab.student())
      // Everybody but the first may be cut off from the teacher and from others; the first reaches all.
      for (const n of blocked) {
        const student = students[1 + (n % Math.max(1, count - 1))]
        if (student !== undefined) yield* lab.network.block(student.port.host, lab.teacher.port.host)
      }
      for (const student of students) yield* student.start()
      // Who does not hear the teacher waits for a student to speak up.
      yield* until(() => students.every(isJoined), 70_000)
      // Until the links stand, and everybody has heard of everybody.
      yield* TestClock.adjust("5 seconds")
      const received = students.map(({ port }) => port.receivedBytes)
      const sharedAtMs = yield* Clock.currentTimeMillis
      for (const i of sizes.keys()) yield* inTime(lab.teacher.session.share(`/lesson/${i}.bin`), 200)
      for (const text of texts) yield* inTime(lab.teacher.session.say(text.toWellFormed()), 300)
      const killed = new Set(churn.map((n) => students[n % count]!))
      for (const student of killed) {
        yield* student.kill(lab.network)
        yield* TestClock.adjust("700 millis")
        yield* student.start()
      }
      yield* until(() => students.every((student) => completed(student) >= sizes.length), 120_000)
      const seconds = ((yield* Clock.currentTimeMillis) - sharedAtMs) / 1_000
      const neededBytes = sizes.reduce((sum, size) => sum + size, 0)
      for (const [i, { port }] of students.entries()) {
        if (killed.has(students[i]!)) continue
        // A chunk comes once, but in the endgame; the rest is what devices say to each other all the time.
        assert.isBelow(
          port.receivedBytes - received[i]!,
          1.1 * neededBytes + sayingBytes + seconds * sayingBytesPerSecond
        )
      }
      yield* TestClock.adjust("30 seconds")
      for (const student of students) {
        const expected = new Map(sizes.map((size, i) => [`${i}.bin`, content(size, i)]))
        assert.deepStrictEqual(new Map([...student.downloaded].toSorted()), expected)
        assert.deepStrictEqual([...student.texts], texts.map((text) => text.toWellFormed()))
      }
      yield* stop(lab)
      assert.strictEqual(lab.network.connectionsCount, 0)
    }).pipe(lesson(`room ${seed}`))

  it.effect.prop(
    "completes on every reachable device with the right bytes and each message once, whatever the room and its churn",
    Room,
    completes,
    { timeout: 300_000, arbitrary: { runs: 15 } }
  )

  it.effect.prop("does so in a room of fifty", RoomOfFifty, completes, { timeout: 300_000, arbitrary: { runs: 3 } })

  it.effect("keeps the newest conversationMax messages for whoever looks at them", () =>
    Effect.gen(function*() {
      const lab = yield* VirtualLab.make(lan)
      yield* inTime(lab.teacher.start())
      const { session } = lab.teacher
      /** One after the other, as fast as a person may for long. */
      const say = (from: number, to: number) =>
        inTime(
          Effect.forEach(
            Array.from({ length: to - from }, (_, i) => from + i),
            (n) => Effect.delay(session.say(`${n}`), 1_000 / Limits.entriesPerSecondMax)
          ),
          1_000 + (to - from) * 1_000 / Limits.entriesPerSecondMax
        )
      yield* say(0, Limits.conversationMax)
      const all = yield* session.conversation
      assert.deepStrictEqual([all.length, all[0]!.text], [Limits.conversationMax, "0"])
      yield* say(Limits.conversationMax, Limits.conversationMax + 1)
      const newest = yield* session.conversation
      assert.deepStrictEqual([newest.length, newest[0]!.text], [Limits.conversationMax, "1"])
      yield* stop(lab)
    }).pipe(lesson("talkative")))

  it.effect("gives the same lesson for the same seed", () =>
    Effect.gen(function*() {
      const run = Effect.gen(function*() {
        const lab = yield* VirtualLab.make(lan)
        lab.teacher.disk.put("/lesson/data.bin", content(500_000, 1))
        yield* lab.teacher.start()
        const students = [lab.student(), lab.student(), lab.student()]
        for (const student of students) yield* student.start()
        yield* TestClock.adjust("3 seconds")
        yield* inTime(lab.teacher.session.share("/lesson/data.bin"))
        yield* TestClock.adjust("5 seconds")
        yield* stop(lab)
        return lab.devices.map(({ events, port }) => [events, port.sentBytes, port.receivedBytes])
      })
      const first = yield* run.pipe(lesson("same"))
      const second = yield* run.pipe(lesson("same"))
      assert.deepStrictEqual(second, first)
    }))
})
