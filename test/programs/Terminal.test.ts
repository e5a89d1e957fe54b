/** The shipped program on a terminal of its own: what a newcomer is asked, and how the terminal is left behind. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import * as NodeChildProcess from "node:child_process"
import * as NodeFs from "node:fs"
import * as NodePath from "node:path"
import { stripVTControlCharacters } from "node:util"
import * as ExitCode from "../../src/programs/ExitCode.ts"
import * as KeptKey from "../../src/programs/KeptKey.ts"
import * as Lab from "../support/Lab.ts"

/** `script` of util-linux gives a process a terminal; that of other systems takes other arguments. */
const missing = process.platform === "linux" && NodeFs.existsSync("/usr/bin/script")
  ? undefined
  : "no script of util-linux"

interface Terminal {
  readonly press: (keys: string) => void
  /** Completes when the text has been written. */
  readonly see: (text: string) => Effect.Effect<void>
  readonly ended: Effect.Effect<void>
}

/** Runs a line of shell on a terminal. */
const terminal = (line: string, cwd: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = NodeChildProcess.spawn("/usr/bin/script", ["-qec", line, "/dev/null"], {
        cwd,
        env: { PATH: process.env["PATH"], HOME: cwd, TERM: "xterm", SHELL: "/bin/sh" }
      })
      const seen = { text: "", over: false }
      child.stdout.setEncoding("utf8").on("data", (text: string) => void (seen.text += stripVTControlCharacters(text)))
      child.on("close", () => void (seen.over = true))
      const until = (test: () => boolean) =>
        Effect.sync(() => test() || seen.over).pipe(
          Effect.repeat({ until: (met) => met, schedule: Schedule.spaced("20 millis") }),
          Effect.timeoutOrElse({ duration: "20 seconds", orElse: () => Effect.void }),
          Effect.andThen(Effect.sync(() => assert.isTrue(test(), seen.text)))
        )
      const made: Terminal = {
        press: (keys) => void child.stdin.write(keys),
        see: (text) => until(() => seen.text.includes(text)),
        ended: until(() => seen.over)
      }
      return { made, child }
    }),
    ({ child }) => Effect.sync(() => void child.kill("SIGKILL"))
  ).pipe(Effect.map(({ made }) => made))

const enter = "\r"
const ctrlC = "\u0003"

/** A command between two looks at the terminal's settings; its exit code is written down, by a shell that Ctrl-C does not end. */
const watched = (command: string) => `trap : INT; stty -g > before; ${command}; echo $? > code; stty -g > after`

const outcome = (folder: string) => {
  const read = (name: string) => NodeFs.readFileSync(NodePath.join(folder, name), "utf8").trim()
  return { code: Number(read("code")), restored: read("before") === read("after") }
}

describe.skipIf(missing !== undefined)(`labfx on a terminal (${missing ?? "by script"})`, { timeout: 60_000 }, () => {
  const program = (lab: Lab.Lab, role: string) =>
    `'${process.execPath}' '${lab.program}' ${role} --state '${lab.folder}/${role}' --discovery-port ${lab.discoveryPort}`

  it.live("leads a teacher and a student into one session, with Enter alone but for a name", () =>
    Effect.gen(function*() {
      const lab = yield* Lab.make
      const teacher = yield* terminal(watched(program(lab, "teacher")), lab.folder)
      yield* teacher.see("Enter for 1:")
      teacher.press(enter)
      yield* teacher.see("What is the session called?")
      teacher.press(`Physics${enter}`)
      yield* teacher.see("Something to hand out")
      teacher.press(enter)
      yield* teacher.see("Session “Physics” is open")
      assert.strictEqual(NodeFs.statSync(KeptKey.pathIn(`${lab.folder}/teacher`)).mode & 0o777, 0o600)

      const student = yield* terminal(program(lab, "student"), lab.folder)
      yield* student.see("What is your name?")
      // Ahead of the second question: nothing that is typed is lost.
      student.press(`Kavya${enter}${enter}`)
      yield* student.see("Are these the words on the board?")
      student.press(`y${enter}`)
      yield* student.see("Joined")
      yield* teacher.see("Kavya")

      teacher.press(ctrlC)
      yield* teacher.ended
      assert.deepStrictEqual(outcome(lab.folder), { code: ExitCode.interrupted, restored: true })
    }).pipe(Effect.scoped))

  it.live.each(["teacher", "student"])(
    "leaves a question of labfx %s with Ctrl-C, and the terminal is as it was",
    (role) =>
      Effect.gen(function*() {
        const lab = yield* Lab.make
        const asked = yield* terminal(watched(program(lab, role)), lab.folder)
        yield* asked.see("> ")
        asked.press(ctrlC)
        yield* asked.ended
        assert.deepStrictEqual(outcome(lab.folder), { code: ExitCode.interrupted, restored: true })
      }).pipe(Effect.scoped)
  )

  it.live.each(["", "open"])(
    "shows the start page to whoever types nothing: labfx %s",
    (command) =>
      Effect.gen(function*() {
        const lab = yield* Lab.make
        // A machine without a desktop, wherever this runs.
        NodeFs.writeFileSync(NodePath.join(lab.folder, "xdg-open"), "#!/bin/sh\nexit 3\n", { mode: 0o755 })
        const line = `PATH='${lab.folder}':"$PATH" '${process.execPath}' '${lab.program}' ${command}`
        const asked = yield* terminal(watched(line), lab.folder)
        yield* asked.see("Open this link in your browser, it works once: http://127.0.0.1:")
        asked.press(ctrlC)
        yield* asked.ended
        assert.deepStrictEqual(outcome(lab.folder), { code: ExitCode.interrupted, restored: true })
      }).pipe(Effect.scoped)
  )

  it.live("asks nothing with --yes, and takes the kept key again", () =>
    Effect.gen(function*() {
      const lab = yield* Lab.make
      for (let time = 0; time < 2; time++) {
        const teacher = yield* terminal(watched(`${program(lab, "teacher")} --yes --title Physics`), lab.folder)
        yield* teacher.see("Session “Physics” is open")
        teacher.press(ctrlC)
        yield* teacher.ended
        assert.strictEqual(outcome(lab.folder).code, ExitCode.interrupted)
      }
    }).pipe(Effect.scoped))
})
