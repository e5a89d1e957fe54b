/** Rooms of real processes on this one machine: several labfx side by side, without root. */
import { assert, describe, it } from "@effect/vitest"
import { Console, Effect } from "effect"
import * as NodeChildProcess from "node:child_process"
import * as NodeFs from "node:fs"
import * as NodePath from "node:path"
import { promisify } from "node:util"
import * as Child from "../../src/programs/Child.ts"
import * as ExitCode from "../../src/programs/ExitCode.ts"
import * as Lab from "../support/Lab.ts"
import * as Scenarios from "../support/LabScenarios.ts"

const MB = 1_000_000
const options = { timeout: 150_000 }
const smallFiles = NodePath.resolve(import.meta.dirname, "../../node_modules/@effect")

const run = promisify(NodeChildProcess.execFile)

const print = (title: string) => (figures: object) => Console.log(`${title}: ${JSON.stringify(figures)}`)

describe.concurrent("several labfx on one machine", () => {
  it.live("share a file, a folder and messages, byte for byte, once and in order", () => {
    const size = { students: 3, fileBytes: 20 * MB, folder: smallFiles, messages: 30, seconds: 120 }
    return Effect.flatMap(Scenarios.classroom(size, []), print("one machine, 3 students"))
  }, options)

  it.live(
    "finish when the teacher is killed, and take in one who comes later",
    () =>
      Effect.flatMap(
        Scenarios.orphaned({ students: 2, fileBytes: 20 * MB, seconds: 120 }, undefined),
        print("without the teacher")
      ),
    options
  )

  it.live(
    "go on where they were when killed half-way",
    () => Effect.flatMap(Scenarios.resumed({ fileBytes: 200 * MB, seconds: 120 }, undefined), print("killed half-way")),
    options
  )

  it.live("keep two sessions apart", () => Scenarios.twoSessions({ fileBytes: 5 * MB, seconds: 90 }, []), options)

  it.live(
    "never let a second teacher of the same title take a student that knows the first",
    () => Scenarios.impostor(60, []),
    options
  )
})

describe.concurrent("a secret on the command line", () => {
  it.live.skipIf(process.platform !== "linux")(
    "is gone from the list of processes while the session runs",
    () =>
      Effect.gen(function*() {
        const lab = yield* Lab.make
        const secret = NodeFs.readFileSync(yield* lab.key("teacher"), "utf8").trim()
        const teacher = yield* Child.start({
          name: "teacher",
          command: [
            process.execPath,
            lab.program,
            "teacher",
            "--json",
            "--secret",
            secret,
            "--state",
            NodePath.join(lab.folder, "s"),
            "--discovery-port",
            String(lab.discoveryPort)
          ]
        })
        const warning = yield* teacher.event("warning").pipe(Lab.within(30, teacher))
        assert.strictEqual(warning.code, "secret-exposed")
        yield* teacher.event("session.started").pipe(Lab.within(30, teacher))
        assert.notInclude(NodeFs.readFileSync(`/proc/${teacher.pid}/cmdline`, "utf8"), secret)
        assert.notInclude(JSON.stringify(teacher.events) + teacher.complaint(), secret)
      }),
    options
  )
})

describe.concurrent("how a session ends", () => {
  const started = Effect.gen(function*() {
    const lab = yield* Lab.make
    const teacher = yield* lab.teacher({ name: "teacher", key: yield* lab.key("teacher") })
    yield* teacher.event("session.started").pipe(Lab.within(30, teacher))
    return { lab, teacher }
  })

  it.live.each(
    [["SIGINT", ExitCode.interrupted], ["SIGTERM", ExitCode.terminated], ["SIGHUP", ExitCode.hangup]] as const
  )(
    "by %s: cleanly, with its own exit code, and ready to start again",
    ([signal, code]) =>
      Effect.gen(function*() {
        const { lab, teacher } = yield* started
        const student = yield* lab.student({ name: "student" })
        yield* student.event("session.joined").pipe(Lab.within(30, student))
        for (const labfx of [student, teacher]) {
          yield* labfx.signal(signal)
          assert.strictEqual((yield* labfx.ended.pipe(Lab.within(6, labfx))).code, code)
          assert.strictEqual(labfx.events.at(-1)?.event, "session.ended")
          assert.strictEqual(labfx.complaint(), "")
        }
        const again = yield* lab.teacher({ name: "teacher", key: yield* lab.key("teacher") })
        yield* again.event("session.started").pipe(Lab.within(30, again))
      }),
    options
  )

  it.live("by /quit", () =>
    Effect.gen(function*() {
      const { teacher } = yield* started
      yield* teacher.type("/quit")
      assert.strictEqual((yield* teacher.ended.pipe(Lab.within(6, teacher))).code, ExitCode.ok)
    }), options)

  it.live("by --once when everything has arrived", () =>
    Effect.gen(function*() {
      const { lab, teacher } = yield* started
      const files = [yield* lab.file("one.bin", MB), yield* lab.file("two.bin", 2 * MB)]
      for (const file of files) yield* teacher.type(`/share ${file}`)
      yield* teacher.event("share.offered", ({ title }) => title === "two.bin").pipe(Lab.within(30, teacher))
      // The second time everything is there already.
      for (const _ of ["first", "second"]) {
        const student = yield* lab.student({ name: "student", arguments: ["--once"] })
        assert.strictEqual((yield* student.ended.pipe(Lab.within(60, student, teacher))).code, ExitCode.ok)
      }
      for (const file of files) {
        assert.deepStrictEqual(
          Lab.digests(NodePath.join(lab.downloads("student"), NodePath.basename(file))),
          Lab.digests(file)
        )
      }
    }), options)

  it.live("at once with a sentence when the state folder is in use", () =>
    Effect.gen(function*() {
      const { lab, teacher } = yield* started
      const second = yield* lab.teacher({ name: "teacher", key: yield* lab.key("teacher") })
      assert.strictEqual((yield* second.ended.pipe(Lab.within(30, second, teacher))).code, ExitCode.state)
      assert.include(second.complaint(), "Another labfx is using")
    }), options)

  it.live("quietly, when nobody reads its output any more", () =>
    Effect.gen(function*() {
      const lab = yield* Lab.make
      const file = yield* lab.file("file.bin", MB)
      const command = [process.execPath, lab.program, "teacher", "--json", "--secret-file", yield* lab.key("teacher")]
      const more = ["--state", NodePath.join(lab.folder, "state"), "--share", file]
      const port = ["--discovery-port", String(lab.discoveryPort)]
      // The reader takes one line and goes; what happens next has nowhere to be said.
      const { stderr, stdout } = yield* Effect.promise(() =>
        run("sh", ["-c", "{ \"$@\"; echo \"ended with $?\" >&2; } | head -n 1", "sh", ...command, ...more, ...port], {
          timeout: 30_000
        })
      )
      assert.strictEqual(JSON.parse(stdout).event, "session.started")
      assert.strictEqual(stderr, "ended with 0\n")
    }), options)

  it.live("labfx demo checks every byte and leaves nothing behind", () =>
    Effect.gen(function*() {
      const lab = yield* Lab.make
      const demo = yield* Effect.promise(() =>
        run(process.execPath, [lab.program, "demo", "--students", "2", "--size", "5MB"], {
          env: { ...process.env, TMPDIR: lab.folder }
        })
      )
      assert.match(demo.stdout, /every one identical to the original/)
      assert.deepStrictEqual(NodeFs.readdirSync(lab.folder), [])
    }), options)
})
