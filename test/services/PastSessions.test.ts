/** What a run leaves to the next one, and that what is found there is a hint and no more. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Random } from "effect"
import { TestClock } from "effect/testing"
import type { PeerId } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import * as CryptoNode from "../../src/services/node/CryptoNode.ts"
import { type LastSession, PastSessions } from "../../src/services/PastSessions.ts"
import { DiskMemory } from "../../src/simulator/DiskMemory.ts"
import { type Device, stateFolder, VirtualLab } from "../../src/simulator/VirtualLab.ts"
import * as Golden from "../support/Golden.ts"
import { scopedInTime, stop, until } from "../support/InTime.ts"

const root = Golden.announcement.certificate.key
const { session } = Golden
const other = `${session.slice(0, -1)}${session.endsWith("A") ? "Q" : "A"}` as typeof session
const peer = (n: number) => ({
  peer: `${n}`.padStart(43, "P") as PeerId,
  address: { host: `10.0.0.${n}`, port: 1 }
})
const peers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => peer(from + i))

const onDisk = <A, E>(body: (past: PastSessions["Service"], disk: DiskMemory) => Effect.Effect<A, E>) => {
  const disk = new DiskMemory()
  disk.put("/state/lock", new Uint8Array(0))
  return Effect.flatMap(PastSessions, (past) => body(past, disk)).pipe(
    Effect.provide(PastSessions.layer("/state").pipe(Layer.provide(disk.layer)))
  )
}

describe("PastSessions", () => {
  it.effect("remembers peersRememberedMax peers and not one more: those linked now before those linked once", () =>
    onDisk((past) =>
      Effect.gen(function*() {
        yield* past.keep({ root, session, peers: peers(0, Limits.peersRememberedMax) })
        assert.deepStrictEqual((yield* past.last)?.peers, peers(0, Limits.peersRememberedMax))
        yield* past.keep({ root, session, peers: [peer(99), peer(1)] })
        assert.deepStrictEqual(
          (yield* past.last)?.peers,
          [peer(99), peer(1), peer(0), ...peers(2, Limits.peersRememberedMax - 1)]
        )
        yield* past.keep({ root, session: other, peers: [peer(7)] })
        assert.deepStrictEqual(yield* past.last, { root, session: other, peers: [peer(7)], cutShort: true })
      })
    ))

  it.effect("takes no file with more of them, and none that is damaged or newer: the session is looked for then", () =>
    onDisk((past, disk) =>
      Effect.gen(function*() {
        const put = (value: unknown) =>
          disk.put("/state/past-sessions.json", new TextEncoder().encode(JSON.stringify(value)))
        const full = { root, session, peers: peers(0, Limits.peersRememberedMax), cutShort: true }
        put({ version: 1, last: full, ended: [] })
        assert.lengthOf((yield* past.last)!.peers, Limits.peersRememberedMax)
        for (
          const value of [
            { version: 1, last: { ...full, peers: peers(0, Limits.peersRememberedMax + 1) }, ended: [] },
            { version: 2, last: full, ended: [] },
            {
              version: 1,
              last: { ...full, peers: [{ ...peer(1), address: { host: "http://10.0.0.1", port: 1 } }] },
              ended: []
            },
            "x".repeat(100_000)
          ]
        ) {
          put(value)
          assert.isUndefined(yield* past.last)
        }
      })
    ))

  it.effect("says whether the run was cut short, and nothing of a session that is over", () =>
    onDisk((past) =>
      Effect.gen(function*() {
        yield* past.leave
        assert.isUndefined(yield* past.last)
        yield* past.keep({ root, session, peers: [peer(1)] })
        yield* past.leave
        assert.isFalse((yield* past.last)?.cutShort)
        yield* past.end(session)
        assert.isUndefined(yield* past.last)
      })
    ))

  it.effect("remembers endedSessionsKeptMax sessions that are over, and forgets the oldest for one more", () =>
    onDisk((past, disk) =>
      Effect.gen(function*() {
        const over = Array.from({ length: Limits.endedSessionsKeptMax }, (_, n) =>
          `${n}`.padStart(22, "S") as typeof session)
        const file = (ended: ReadonlyArray<string>) =>
          disk.put("/state/past-sessions.json", new TextEncoder().encode(JSON.stringify({ version: 1, ended })))
        file(over)
        yield* past.keep({ root, session: other, peers: [peer(1)] })
        yield* past.end(session)
        assert.deepStrictEqual([...yield* past.ended], [...over.slice(1), session])
        assert.strictEqual((yield* past.last)?.session, other)
        file([...over, session])
        assert.lengthOf([...yield* past.ended], 0)
      })
    ))
})

const lesson = (seed: string) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(scopedInTime, Random.withSeed(seed), Effect.provide([TestClock.layer(), CryptoNode.layerNode]))

const joins = (device: Device) => device.of("session.joined")
const isJoined = (device: Device) => joins(device).length > 0
/** Long enough that it has noted where its peers are. */
const settle = TestClock.adjust("5 seconds")

/** A lab in which nobody hears anybody from some moment on. */
const lab = Effect.fnUntraced(function*() {
  const network = { latencyMsMin: 1, latencyMsMax: 5, bytesPerSecond: 12_500_000, datagramLoss: 0 }
  const lab = yield* VirtualLab.make(network)
  return { lab, silence: () => void (network.datagramLoss = 1) }
})

describe("a student that starts again", () => {
  it.effect("is back a moment after a kill, where nobody is heard and the teacher has gone", () =>
    Effect.gen(function*() {
      const { lab: room, silence } = yield* lab()
      const [student, friend] = [room.student(), room.student()]
      yield* room.teacher.start()
      for (const each of [student, friend]) yield* each.start()
      yield* until(() => [student, friend].every(isJoined), 5_000)
      yield* settle
      yield* student.kill(room.network)
      yield* room.teacher.kill(room.network)
      silence()
      yield* TestClock.adjust("20 seconds")
      yield* student.start()
      yield* TestClock.adjust("200 millis")
      assert.lengthOf(joins(student), 2)
      assert.strictEqual(joins(student)[1]!.session, joins(student)[0]!.session)
      yield* until(() => student.of("peer.up").at(-1)?.name === friend.name, 1_000)
      yield* stop(room)
    }).pipe(lesson("back")))

  it.effect("goes on in the session it was killed in, also where another teacher that it knows is in reach", () =>
    Effect.gen(function*() {
      const { lab: room } = yield* lab()
      const student = room.student()
      const other = room.nextDoor()
      yield* other.start()
      yield* student.start()
      yield* until(() => isJoined(student), 5_000)
      yield* settle
      yield* student.kill(room.network)
      yield* other.kill(room.network)
      yield* TestClock.adjust("30 seconds")
      // The second teacher that it gets to know.
      yield* room.teacher.start()
      yield* student.start()
      yield* until(() => student.of("session.found").some(({ title }) => title === "Lesson"), 5_000)
      yield* TestClock.adjust("2 seconds")
      yield* Effect.forkChild(student.session.choose(student.of("session.found").at(-1)!.session))
      yield* until(() => joins(student).length === 2, 5_000)
      yield* settle

      yield* other.start()
      yield* student.kill(room.network)
      yield* settle
      yield* student.start()
      yield* TestClock.adjust("200 millis")
      assert.deepStrictEqual(joins(student).map(({ title }) => title), ["Next door", "Lesson", "Lesson"])

      // A person who has left it may want another one now.
      yield* Effect.forkChild(student.stop())
      yield* settle
      yield* student.start()
      yield* settle
      assert.lengthOf(joins(student), 3)
      assert.strictEqual(student.of("warning").at(-1)?.code, "several-sessions")
      yield* stop(room)
    }).pipe(lesson("two teachers")))

  it.effect("listens to nobody who has come to the address of a peer, whatever certificate it shows", () =>
    Effect.gen(function*() {
      const { lab: room, silence } = yield* lab()
      const [student, friend] = [room.student(), room.student()]
      yield* room.teacher.start()
      for (const each of [student, friend]) yield* each.start()
      yield* until(() => [student, friend].every(isJoined), 5_000)
      yield* settle
      yield* student.kill(room.network)
      yield* room.teacher.kill(room.network)
      silence()
      const path = `${stateFolder}/past-sessions.json`
      const kept = JSON.parse(new TextDecoder().decode(student.disk.files(stateFolder).get("past-sessions.json")))
      const { address } = kept.last.peers.find(({ address }: LastSession["peers"][number]) =>
        address.host === friend.port.host
      )
      const starts = (who: PeerId) =>
        Effect.gen(function*() {
          const file = { ...kept, last: { ...kept.last, peers: [{ peer: who, address }] } }
          student.disk.put(path, new TextEncoder().encode(JSON.stringify(file)))
          const before = joins(student).length
          yield* student.start()
          yield* settle
          yield* student.kill(room.network)
          return joins(student).length - before
        })
      // What is there is in the session, but is not the one that was there before, and not the host.
      assert.strictEqual(yield* starts(peer(1).peer), 0)
      assert.strictEqual(yield* starts(joins(friend)[0]!.peer), 1)
      yield* stop(room)
    }).pipe(lesson("stranger")))

  it.effect("loses no time by addresses at which nobody is any more: it joins when the other one does that remembers none", () =>
    Effect.gen(function*() {
      const { lab: room } = yield* lab()
      const [student, other] = [room.student(), room.student()]
      yield* room.teacher.start()
      for (const each of [student, other]) yield* each.start()
      yield* until(() => [student, other].every(isJoined), 5_000)
      yield* settle
      for (const each of [student, other]) yield* each.kill(room.network)
      const path = `${stateFolder}/past-sessions.json`
      const kept = JSON.parse(new TextDecoder().decode(student.disk.files(stateFolder).get("past-sessions.json")))
      const silent = room.network.port("10.8.0.1")
      room.network.silence(silent.host, student.port.host)
      // Half of them are not there, half do not answer.
      const gone = peers(100, 100 + Limits.peersRememberedMax).map(({ peer }, n) => ({
        peer,
        address: n % 2 === 0 ? { host: `10.7.0.${n}`, port: 1 } : { host: silent.host, port: 24_726 }
      }))
      student.disk.put(
        path,
        new TextEncoder().encode(JSON.stringify({ ...kept, last: { ...kept.last, peers: gone } }))
      )
      other.disk.delete(path)
      for (const each of [student, other]) yield* each.start()
      const joinedAfterMs = new Map<Device, number>()
      for (let ms = 0; joinedAfterMs.size < 2; ms += 10) {
        yield* TestClock.adjust(10)
        for (const each of [student, other]) {
          if (joins(each).length === 2 && !joinedAfterMs.has(each)) joinedAfterMs.set(each, ms)
        }
        assert.isBelow(ms, 3_000)
      }
      assert.closeTo(joinedAfterMs.get(student)!, joinedAfterMs.get(other)!, 20)
      yield* stop(room)
    }).pipe(lesson("gone")))

  it.effect("looks for no session that it has seen end", () =>
    Effect.gen(function*() {
      const { lab: room } = yield* lab()
      const [student, friend] = [room.student(), room.student()]
      yield* room.teacher.start()
      for (const each of [student, friend]) yield* each.start()
      yield* until(() => [student, friend].every(isJoined), 5_000)
      yield* settle
      yield* Effect.forkChild(room.teacher.session.end)
      yield* until(() => student.of("session.ended").length > 0, 5_000)
      yield* student.kill(room.network)
      yield* student.start()
      yield* settle
      assert.lengthOf(joins(student), 1)
      yield* stop(room)
    }).pipe(lesson("ended")))
})
