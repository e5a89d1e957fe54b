/**
 * What a room of real machines does, from start to finish, in one size for every run of the tests and another for the
 * measurements in scripts/. Each scenario fails with a sentence, or returns the figures it saw.
 */
import { Clock, Effect } from "effect"
import * as NodeAssert from "node:assert/strict"
import * as NodeFs from "node:fs"
import * as NodePath from "node:path"
import * as Limits from "../../src/protocol/Limits.ts"
import * as Lab from "./Lab.ts"

const completed = (labfx: Lab.Labfx, title: string) => labfx.event("share.completed", (event) => event.title === title)

/** On the teacher: it has been read and can be handed out. */
const offered = (labfx: Lab.Labfx, title: string) => labfx.event("share.offered", (event) => event.title === title)

const joined = (labfx: Lab.Labfx) => labfx.event("session.joined")

const all = <A, E, R>(labs: ReadonlyArray<Lab.Labfx>, each: (labfx: Lab.Labfx) => Effect.Effect<A, E, R>) =>
  Effect.forEach(labs, each, { concurrency: "unbounded" })

const sameAs = (original: string) => {
  const expected = Lab.digests(original)
  return ({ path }: { readonly path: string }) =>
    Effect.sync(() => NodeAssert.deepEqual(Lab.digests(path), expected, `${path} differs from ${original}`))
}

const elapsed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const start = yield* Clock.currentTimeMillis
    yield* effect
    return ((yield* Clock.currentTimeMillis) - start) / 1_000
  })

/** The place of a process in a room; without a room, or beyond its machines, this machine. */
const placed = (hosts: ReadonlyArray<Lab.Host> | undefined, index: number): { readonly at: Lab.Host } => ({
  at: hosts?.[index] ?? Lab.here
})

export interface RoomSize {
  readonly students: number
  readonly fileBytes: number
  /** A folder of many small files to hand out beside it. */
  readonly folder: string
  readonly messages: number
  readonly seconds: number
}

/**
 * A teacher and students who know no address: a file, a folder and messages reach everybody, byte for byte, each message
 * once and in order.
 */
export const classroom = (size: RoomSize, hosts: ReadonlyArray<Lab.Host>) =>
  Effect.gen(function*() {
    const lab = yield* Lab.make
    const key = yield* lab.key("teacher")
    const teacher = yield* lab.teacher({ name: "teacher", key, ...placed(hosts, 0) })
    const students = yield* Effect.forEach(
      Array.from({ length: size.students }, (_, index) => index + 1),
      (index) => lab.student({ name: `student-${index}`, ...placed(hosts, index) })
    )
    const file = yield* lab.file("file.bin", size.fileBytes)
    const texts = Array.from({ length: size.messages }, (_, index) => `message ${index}`)

    return yield* Effect.gen(function*() {
      const joinSeconds = yield* elapsed(all(students, joined))
      yield* teacher.type(`/share ${file}`)
      yield* teacher.type(`/share ${size.folder}`)
      yield* Effect.forEach(texts, teacher.type, { discard: true })
      const spreadSeconds = yield* elapsed(all(students, (student) =>
        Effect.gen(function*() {
          yield* sameAs(file)(yield* completed(student, "file.bin"))
          yield* sameAs(size.folder)(yield* completed(student, NodePath.basename(size.folder)))
        })))
      yield* all(students, (student) => student.event("message.delivered", ({ text }) => text === texts.at(-1)))
      for (const student of students) {
        const heard = student.events.filter((event) => event.event === "message.delivered").map(({ text }) => text)
        NodeAssert.deepEqual(heard, texts, `${student.name} heard the messages once and in order`)
      }
      return { joinSeconds, spreadSeconds }
    }).pipe(Lab.within(size.seconds, teacher, ...students))
  })

export interface TransferSize {
  readonly students: number
  readonly fileBytes: number
  readonly seconds: number
}

/** A line of machines, each seeing only the next: what the teacher shares and says reaches the last one. */
export const line = (size: Pick<TransferSize, "fileBytes" | "seconds">, hosts: ReadonlyArray<Lab.Host>) =>
  Effect.gen(function*() {
    const lab = yield* Lab.make
    const key = yield* lab.key("teacher")
    const file = yield* lab.file("file.bin", size.fileBytes)
    const teacher = yield* lab.teacher({ name: "teacher", key, ...placed(hosts, 0), arguments: ["--share", file] })
    const students = yield* Effect.forEach(
      hosts.slice(1),
      (at, index) => lab.student({ name: `student-${index + 1}`, at })
    )
    return yield* Effect.gen(function*() {
      const joinSeconds = yield* elapsed(all(students, joined))
      yield* teacher.type("hello, last one")
      const last = students.at(-1)!
      yield* last.event("message.delivered", ({ text }) => text === "hello, last one")
      const spreadSeconds = yield* elapsed(
        all(students, (student) => Effect.flatMap(completed(student, "file.bin"), sameAs(file)))
      )
      return { joinSeconds, spreadSeconds }
    }).pipe(Lab.within(size.seconds, teacher, ...students))
  })

/** What a byte takes on the wire, at least, with the headers of TCP and TLS and the protocol's own. */
const headersFactor = 1.02

/** Completes when the test holds; looked at often, since nothing reports a counter of the system. */
const until = (test: () => boolean) =>
  Effect.gen(function*() {
    while (!test()) yield* Effect.sleep(20)
  })

/**
 * The teacher is killed as soon as one full copy has left it; everybody finishes, and one who starts only then finds the
 * room through another student and finishes too.
 */
export const orphaned = (size: TransferSize, hosts: ReadonlyArray<Lab.Machine> | undefined) =>
  Effect.gen(function*() {
    const lab = yield* Lab.make
    const key = yield* lab.key("teacher")
    const file = yield* lab.file("file.bin", size.fileBytes)
    const teacher = yield* lab.teacher({ name: "teacher", key, ...placed(hosts, 0) })
    const students = yield* Effect.forEach(
      Array.from({ length: size.students }, (_, index) => index + 1),
      (index) => lab.student({ name: `student-${index}`, ...placed(hosts, index) })
    )
    return yield* Effect.gen(function*() {
      yield* all(students, joined)
      const sentBefore = hosts?.[0]!.traffic().sentBytes ?? 0
      yield* teacher.type(`/share ${file}`)
      // When a first student has it all, a copy has left in any case; with counters, it is seen sooner.
      const oneHasAll = Effect.raceAllFirst(students.map((student) => completed(student, "file.bin")))
      yield* hosts === undefined
        ? oneHasAll
        : Effect.raceFirst(oneHasAll, until(() => hosts[0]!.traffic().sentBytes - sentBefore >= 1.06 * size.fileBytes))
      const copiesSent = hosts === undefined ? undefined : (hosts[0]!.traffic().sentBytes - sentBefore) / size.fileBytes
      yield* teacher.signal("SIGKILL")
      yield* teacher.ended
      const done = students.filter(({ events }) => events.some(({ event }) => event === "share.completed")).length
      yield* all(students, (student) => Effect.flatMap(completed(student, "file.bin"), sameAs(file)))
      const late = yield* lab.student({ name: "late", ...placed(hosts, size.students + 1) })
      yield* joined(late).pipe(Lab.within(30, late))
      yield* Effect.flatMap(completed(late, "file.bin"), sameAs(file)).pipe(Lab.within(30, late))
      return { copiesSent, doneWhenTheTeacherDied: done }
    }).pipe(Lab.within(size.seconds, teacher, ...students))
  })

/** What a student last said it had of everything. */
const verifiedBytes = ({ events }: Lab.Labfx): number =>
  events.reduce((sum, event) => event.event === "share.progress" ? sum + event.verifiedBytes : sum, 0)

/** A student is killed half-way and started again: it goes on where it was. */
export const resumed = (
  size: Pick<TransferSize, "fileBytes" | "seconds">,
  hosts: ReadonlyArray<Lab.Machine> | undefined
) =>
  Effect.gen(function*() {
    const lab = yield* Lab.make
    const key = yield* lab.key("teacher")
    const file = yield* lab.file("file.bin", size.fileBytes)
    const teacher = yield* lab.teacher({
      name: "teacher",
      key,
      ...placed(hosts, 0),
      arguments: ["--share", file]
    })
    const at = placed(hosts, 1)
    return yield* Effect.gen(function*() {
      yield* offered(teacher, "file.bin")
      const staged = lab.downloads("student")
      const received = () => hosts?.[1]!.traffic().receivedBytes ?? 0
      const before = received()
      const first = yield* lab.student({ name: "student", ...at })
      yield* joined(first)
      yield* hosts === undefined
        ? first.event("share.progress", ({ verifiedBytes }) => verifiedBytes > 0)
        : until(() => received() - before >= size.fileBytes / 2)
      yield* first.signal("SIGKILL")
      yield* first.ended
      const visible = NodeFs.existsSync(staged)
        ? NodeFs.readdirSync(staged).filter((name) => !name.startsWith("."))
        : []
      const wasComplete = first.events.some(({ event }) => event === "share.completed")
      if (!wasComplete) NodeAssert.deepEqual(visible, [], "nothing is shown before it is complete")
      const atDeath = verifiedBytes(first)
      const again = yield* lab.student({ name: "student", ...at })
      const { path } = yield* completed(again, "file.bin").pipe(Lab.within(size.seconds, again))
      yield* sameAs(file)({ path })
      if (hosts === undefined) return { wasComplete, verifiedBeforeTheKill: atDeath }
      const receivedTwiceBytes = Math.max(0, received() - before - headersFactor * size.fileBytes)
      NodeAssert.ok(
        receivedTwiceBytes <= Limits.inFlightBytesMax,
        `${receivedTwiceBytes} bytes were fetched twice: a kill costs at most what was in flight`
      )
      return { wasComplete, verifiedBeforeTheKill: atDeath, receivedTwiceBytes }
    }).pipe(Lab.within(size.seconds, teacher))
  })

/** Two sessions on one network: who was told the words of one joins that one, and gets nothing of the other. */
export const twoSessions = (size: Pick<TransferSize, "fileBytes" | "seconds">, hosts: ReadonlyArray<Lab.Host>) =>
  Effect.gen(function*() {
    const lab = yield* Lab.make
    const start = (name: string, index: number) =>
      Effect.gen(function*() {
        const file = yield* lab.file(`${name}.bin`, size.fileBytes)
        const teacher = yield* lab.teacher({
          name: `teacher-${name}`,
          key: yield* lab.key(name),
          ...placed(hosts, index),
          arguments: ["--title", name, "--share", file]
        })
        const { words } = yield* teacher.event("session.started").pipe(Lab.within(30, teacher))
        return { teacher, file, words, name }
      })
    const sessions = [yield* start("algebra", 0), yield* start("biology", 1)]
    const undecided = yield* lab.student({ name: "undecided", ...placed(hosts, 4) })
    for (const [index, { file, name, teacher, words }] of sessions.entries()) {
      const student = yield* lab.student({
        name: `student-${name}`,
        ...placed(hosts, 2 + index),
        arguments: ["--join", words]
      })
      yield* Effect.gen(function*() {
        NodeAssert.equal((yield* joined(student)).title, name)
        yield* Effect.flatMap(completed(student, `${name}.bin`), sameAs(file))
        const offered = student.events.filter((event) => event.event === "share.offered").map(({ title }) => title)
        NodeAssert.deepEqual(offered, [`${name}.bin`])
      }).pipe(Lab.within(size.seconds, student, teacher))
    }
    yield* undecided.event("warning", ({ code }) => code === "several-sessions").pipe(
      Lab.within(size.seconds, undecided)
    )
    NodeAssert.ok(!undecided.events.some(({ event }) => event === "session.joined"), "never first come, first served")
  })

/** A second teacher with another secret and the same title is never joined by a student that knows the first. */
export const impostor = (seconds: number, hosts: ReadonlyArray<Lab.Host>) =>
  Effect.gen(function*() {
    const lab = yield* Lab.make
    const title = ["--title", "Networks 101"]
    const start = (name: string, index: number) =>
      Effect.flatMap(lab.key(name), (key) => lab.teacher({ name, key, ...placed(hosts, index), arguments: title }))
    const first = yield* start("first", 0)
    const { root } = yield* first.event("session.started").pipe(Lab.within(30, first))
    const student = yield* lab.student({ name: "student", ...placed(hosts, 2) })
    yield* joined(student).pipe(Lab.within(seconds, student, first))
    yield* student.signal("SIGTERM")
    yield* student.ended
    yield* first.signal("SIGTERM")
    yield* first.ended

    const second = yield* start("second", 1)
    yield* second.event("session.started").pipe(Lab.within(30, second))
    const again = yield* lab.student({ name: "student", ...placed(hosts, 2) })
    const alarm = yield* again.event("session.found", ({ trust }) => trust === "alarm").pipe(
      Lab.within(seconds, again, second)
    )
    NodeAssert.equal(alarm.title, "Networks 101")
    NodeAssert.notEqual(alarm.root, root)
    yield* again.event("warning", ({ code }) => code === "other-teacher").pipe(Lab.within(seconds, again))

    // The right one comes back, and with the other still there it is the one that is joined.
    const back = yield* start("first", 0)
    NodeAssert.equal((yield* joined(again).pipe(Lab.within(seconds, again, back))).root, root)
  })
