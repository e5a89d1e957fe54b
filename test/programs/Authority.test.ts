/**
 * Promises P4 and P13 with real processes: only the secret's holder can make a student show a session, whatever is sent
 * over UDP; a teacher comes back into its room; what is ended stays ended; copies of one machine are several devices.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as NodeChildProcess from "node:child_process"
import * as NodeFs from "node:fs"
import * as NodePath from "node:path"
import * as Lab from "../support/Lab.ts"

const reason = Lab.namespacesMissing
// oxlint-disable-next-line no-console -- a skipped test says why
if (reason !== undefined) console.warn(`skipped: ${reason}`)

const options = { timeout: 150_000 }
const support = (file: string) => NodePath.resolve(import.meta.dirname, "../support", file)

const joined = (labfx: Lab.Labfx) => labfx.event("session.joined").pipe(Lab.within(40, labfx))

const events = <Name extends Lab.Labfx["events"][number]["event"]>(labfx: Lab.Labfx, name: Name) =>
  labfx.events.filter((event) => event.event === name)

const stop = (labfx: Lab.Labfx, signal: "SIGTERM" | "SIGKILL" = "SIGTERM") =>
  Effect.andThen(labfx.signal(signal), labfx.ended)

describe.skipIf(reason !== undefined)("announcements", { concurrent: true }, () => {
  it.live(
    "that are forged, replayed or spliced are joined by nobody and make no student leave its session",
    () =>
      Effect.gen(function*() {
        const lab = yield* Lab.make
        const [home, mallory, desk, other] = yield* Lab.room(4)
        const key = yield* lab.key("teacher")
        const start = () => lab.teacher({ name: "teacher", key, at: home!, arguments: ["--title", "Networks"] })
        // The attacker listens to a lesson and keeps what it hears.
        const recorder = yield* forger(mallory!, String(lab.discoveryPort), "record")
        const teacher = yield* start()
        const student = yield* lab.student({ name: "student", at: desk! })
        const { root } = yield* joined(student)
        yield* Effect.sleep("3 seconds")
        yield* stop(student)
        yield* stop(teacher)
        const tape = yield* recorder.finish
        assert.notStrictEqual(tape, "", "it has heard announcements")

        // The next day nobody is there but the attacker, who plays all of it, and everything it can make of it.
        const player = yield* forger(mallory!, String(lab.discoveryPort), "play", tape)
        const known = yield* lab.student({ name: "student", at: desk! })
        const stranger = yield* lab.student({ name: "stranger", at: other! })
        yield* Effect.sleep("8 seconds")
        for (const each of [known, stranger]) {
          assert.deepStrictEqual(events(each, "peer.up"), [], `${each.name} links to nobody`)
          assert.deepStrictEqual(events(each, "share.offered"), [])
          assert.deepStrictEqual(events(each, "message.delivered"), [])
          for (const found of events(each, "session.found")) {
            assert.strictEqual(found.event === "session.found" && found.root, root, "nothing forged is even listed")
          }
        }
        // When the teacher comes, everybody gets what it says, and the noise goes on.
        const back = yield* start()
        for (const each of [known, stranger]) {
          yield* each.event("peer.up", ({ host }) => host).pipe(Lab.within(40, each, back))
        }
        yield* back.type("here I am")
        for (const each of [known, stranger]) {
          yield* each.event("message.delivered", ({ text }) => text === "here I am").pipe(Lab.within(10, each))
        }
        yield* player.finish
      }),
    options
  )
})

/** `forger.ts` on a machine; what it prints when it is told to finish. */
const forger = (machine: Lab.Machine, ...args: ReadonlyArray<string>) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const [port, what, tape = ""] = args
        const [command, ...words] = [...machine.prefix, process.execPath, support("forger.ts"), port!, what!]
        const child = NodeChildProcess.spawn(command!, words, { stdio: ["pipe", "pipe", "inherit"] })
        child.stdin.write(`${tape}\n\n`)
        let said = ""
        child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text))
        const ended = new Promise<string>((resolve) => child.on("close", () => resolve(said)))
        return { child, ended }
      }),
      ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
    ),
    ({ child, ended }) => ({
      finish: Effect.promise(() => {
        child.stdin.end()
        return ended
      })
    })
  )

describe.concurrent("a teacher who comes back", () => {
  const lesson = Effect.gen(function*() {
    const lab = yield* Lab.make
    const key = yield* lab.key("teacher")
    const file = yield* lab.file("file.bin", 2_000_000)
    const start = (more: ReadonlyArray<string> = []) => lab.teacher({ name: "teacher", key, arguments: more })
    const teacher = yield* start(["--share", file])
    const { session } = yield* teacher.event("session.started").pipe(Lab.within(30, teacher))
    const student = yield* lab.student({ name: "student" })
    yield* student.event("share.completed").pipe(Lab.within(30, student, teacher))
    yield* teacher.type("before")
    yield* student.event("message.delivered").pipe(Lab.within(10, student))
    return { lab, start, teacher, student, session }
  })

  const goesOn = (loseState: boolean) =>
    Effect.gen(function*() {
      const { lab, session, start, student, teacher } = yield* lesson
      yield* stop(teacher, "SIGKILL")
      if (loseState) NodeFs.rmSync(NodePath.join(lab.folder, "state", "teacher"), { recursive: true })
      // Long enough that a student has taken over the announcements.
      yield* Effect.sleep("5 seconds")
      const back = yield* start()
      assert.strictEqual((yield* back.event("session.started").pipe(Lab.within(30, back))).session, session)
      yield* back.event("peer.up", ({ name }) => name === "student").pipe(Lab.within(30, back, student))
      yield* back.type("after")
      yield* student.event("message.delivered", ({ text }) => text === "after").pipe(Lab.within(20, student, back))
      const late = yield* lab.student({ name: "late" })
      yield* late.event("share.completed").pipe(Lab.within(30, late, student, back))
      for (const text of ["before", "after"]) {
        yield* late.event("message.delivered", (message) => message.text === text).pipe(Lab.within(20, late))
      }
      assert.lengthOf(events(student, "session.joined"), 1, "the student has never left")
    })

  it.live("continues the room: same session, shares and messages still there", () => goesOn(false), options)

  it.live("continues the room also when its state is lost", () => goesOn(true), options)

  it.live(
    "begins another session after it has ended one, and everybody follows; the ended one stays ended",
    () =>
      Effect.gen(function*() {
        const { lab, session, start, student, teacher } = yield* lesson
        NodeChildProcess.execFileSync(process.execPath, [
          lab.program,
          "end",
          "--state",
          NodePath.join(lab.folder, "state", "teacher")
        ])
        yield* student.event("session.ended", ({ reason }) => reason === "ended-by-teacher").pipe(
          Lab.within(20, student)
        )
        yield* stop(teacher)
        // A student of an ended session does not announce it: who comes now finds nothing.
        const early = yield* lab.student({ name: "early" })
        yield* Effect.sleep("5 seconds")
        assert.isEmpty(events(early, "session.found"))

        const back = yield* start()
        const next = yield* back.event("session.started").pipe(Lab.within(30, back))
        assert.notStrictEqual(next.session, session)
        for (const each of [student, early]) {
          yield* each.event("session.joined", (event) => event.session === next.session).pipe(
            Lab.within(40, each, back)
          )
        }
        yield* back.type("a new lesson")
        for (const each of [student, early]) {
          yield* each.event("message.delivered", ({ text }) => text === "a new lesson").pipe(Lab.within(20, each, back))
        }
        const texts = events(early, "message.delivered").map((event) =>
          event.event === "message.delivered" && event.text
        )
        assert.deepStrictEqual(texts, ["a new lesson"], "nothing of the ended session comes back")
      }),
    options
  )
})

describe.skipIf(reason !== undefined)("a cloned machine", { concurrent: true }, () => {
  it.live("is a device of its own on each of them, and all get everything (P13)", () =>
    Effect.gen(function*() {
      const lab = yield* Lab.make
      const machines = yield* Lab.room(6)
      const file = yield* lab.file("file.bin", 2_000_000)
      const key = yield* lab.key("teacher")
      const teacher = yield* lab.teacher({ name: "teacher", key, at: machines[0]!, arguments: ["--share", file] })
      // The image is made on a machine that has been in a session.
      const original = yield* lab.student({ name: "original", at: machines[1]! })
      const peers = new Set([(yield* joined(original)).peer])
      yield* original.event("share.completed").pipe(Lab.within(30, original))
      yield* stop(original)
      const image = NodePath.join(lab.folder, "state", "original")
      for (const [index, at] of machines.slice(2).entries()) {
        const name = `clone-${index}`
        NodeFs.cpSync(image, NodePath.join(lab.folder, "state", name), { recursive: true })
        const clone = yield* lab.student({ name, at })
        peers.add((yield* joined(clone)).peer)
        yield* clone.event("share.completed").pipe(Lab.within(40, clone, teacher))
      }
      assert.strictEqual(peers.size, machines.length - 1, "no two of them have one name")
    }), options)
})
