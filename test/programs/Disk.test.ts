/**
 * Disks that fill, refuse, vanish and change under real processes (P3, P10, P11): each share says why it waits, everything
 * else goes on, and it goes on by itself when the cause is gone.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as NodeChildProcess from "node:child_process"
import * as NodeFs from "node:fs"
import * as NodePath from "node:path"
import { Worker } from "node:worker_threads"
import * as ExitCode from "../../src/programs/ExitCode.ts"
import * as Lab from "../support/Lab.ts"

const MB = 1_000_000
const options = { timeout: 150_000 }

const run = (command: string, ...args: ReadonlyArray<string>) =>
  NodeChildProcess.execFileSync(command, args, { stdio: ["ignore", "pipe", "pipe"] }).toString()

/** Why no disk can be made for a test here; undefined if one can. */
const mountsMissing: string | undefined = (() => {
  if (process.platform !== "linux") return "small disks in memory are made on Linux only"
  if (process.getuid?.() !== 0) return "mounting needs root"
  const probe = NodeFs.mkdtempSync("/tmp/labfx-mount-")
  try {
    run("mount", "-t", "tmpfs", "-o", "size=1m", "labfx-test", probe)
    run("umount", probe)
    return undefined
  } catch (error) {
    return `nothing can be mounted here: ${String((error as Error).message).split("\n")[0]}`
  } finally {
    NodeFs.rmdirSync(probe)
  }
})()
// oxlint-disable-next-line no-console -- a skipped test says why
if (mountsMissing !== undefined) console.warn(`skipped: ${mountsMissing}`)

/** A disk of its own at a path, for as long as the scope lasts. */
const disk = (path: string, size: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      NodeFs.mkdirSync(path, { recursive: true })
      run("mount", "-t", "tmpfs", "-o", `size=${size}`, "labfx-test", path)
      return { change: (how: string) => Effect.sync(() => void run("mount", "-o", `remount,${how}`, path)) }
    }),
    // What still runs may hold it; it is gone for everybody else at once.
    () => Effect.sync(() => void run("umount", "--lazy", path))
  )

/** Another program takes all the room there is. */
const fill = (path: string) => {
  try {
    run("dd", "if=/dev/zero", `of=${path}/filler`, "bs=64k")
  } catch { /* that is how it ends on a full disk */ }
}

const completed = (labfx: Lab.Labfx, title: string, after = 0) =>
  labfx.event("share.completed", (event) => event.title === title && labfx.events.indexOf(event) >= after)

const failed = (labfx: Lab.Labfx, title: string) => labfx.event("share.failed", (event) => event.title === title)

const failures = (labfx: Lab.Labfx, title: string) =>
  labfx.events.filter((event) => event.event === "share.failed" && event.title === title).length

/** A teacher with a session, and a student of that name in it. */
const lesson = Effect.fnUntraced(function*(lab: Lab.Lab, ...shared: ReadonlyArray<string>) {
  const teacher = yield* lab.teacher({
    name: "teacher",
    key: yield* lab.key("teacher"),
    arguments: shared.flatMap((path) => ["--share", path])
  })
  yield* teacher.event("session.started").pipe(Lab.within(30, teacher))
  for (const path of shared) {
    const title = NodePath.basename(path)
    yield* teacher.event("share.offered", (event) => event.title === title).pipe(Lab.within(30, teacher))
  }
  return teacher
})

/**
 * Stops a process as soon as a download has begun in a folder. A thread looks at it, because tests that run meanwhile keep
 * this one busy for longer than the download takes.
 */
const frozenMidway = (pid: number, hidden: string) =>
  Effect.acquireUseRelease(
    Effect.sync(() =>
      new Worker(
        `const { existsSync, readdirSync } = require("node:fs")
        const { pid, hidden } = require("node:worker_threads").workerData
        const look = new Int32Array(new SharedArrayBuffer(4))
        const begun = () =>
          existsSync(hidden) && readdirSync(hidden).some((root) => existsSync(hidden + "/" + root + "/content"))
        while (!begun()) Atomics.wait(look, 0, 0, 2)
        process.kill(pid, "SIGSTOP")`,
        { eval: true, workerData: { pid, hidden } }
      )
    ),
    (worker) =>
      Effect.callback<void>((resume) => {
        worker.once("error", (error) => resume(Effect.die(error)))
        worker.once("exit", () => resume(Effect.void))
      }),
    (worker) => Effect.promise(() => worker.terminate())
  )

/** The student's download has begun: then the teacher is frozen, the body happens, and the teacher wakes up. */
const midway = Effect.fnUntraced(function*<A, E, R>(
  lab: Lab.Lab,
  teacher: Lab.Labfx,
  body: Effect.Effect<A, E, R>
) {
  yield* frozenMidway(teacher.pid, NodePath.join(lab.downloads("student"), ".labfx"))
  const result = yield* body
  yield* teacher.signal("SIGCONT")
  return result
})

const same = (lab: Lab.Lab, original: string, name = NodePath.basename(original)) =>
  assert.deepStrictEqual(
    Object.values(Lab.digests(NodePath.join(lab.downloads("student"), name))),
    Object.values(Lab.digests(original))
  )

describe.skipIf(mountsMissing !== undefined)("a disk that does not take what comes", { concurrent: true }, () => {
  it.live(
    "P10, P3: too small: the share waits and says so, a smaller one and messages go on, nothing of anybody's is overwritten",
    () =>
      Effect.gen(function*() {
        const lab = yield* Lab.make
        const small = yield* disk(lab.downloads("student"), "64m")
        const [large, little] = [yield* lab.file("large.bin", 60 * MB), yield* lab.file("little.bin", MB)]
        NodeFs.writeFileSync(`${lab.downloads("student")}/large.bin`, "mine")
        const teacher = yield* lesson(lab, large)
        const student = yield* lab.student({ name: "student" })
        yield* Effect.gen(function*() {
          const { reason, resumes } = yield* failed(student, "large.bin")
          assert.match(reason, /^the disk is full: \d+ bytes are needed and \d+ are free$/)
          assert.isTrue(resumes)
          yield* teacher.type(`/share ${little}`)
          yield* teacher.type("still here")
          yield* student.event("message.delivered", ({ text }) => text === "still here")
          yield* completed(student, "little.bin")
          same(lab, little)
          yield* small.change("size=256m")
          const { path } = yield* completed(student, "large.bin")
          assert.strictEqual(NodePath.basename(path), "large (2).bin")
          same(lab, large, "large (2).bin")
          assert.strictEqual(NodeFs.readFileSync(`${lab.downloads("student")}/large.bin`, "utf8"), "mine")
          assert.strictEqual(failures(student, "large.bin"), 1)
        }).pipe(Lab.within(100, student, teacher))
      }),
    options
  )

  it.live(
    "P10: filled by another program half-way: the share waits, and goes on when there is room",
    () =>
      Effect.gen(function*() {
        const lab = yield* Lab.make
        const downloads = lab.downloads("student")
        yield* disk(downloads, "500m")
        const large = yield* lab.file("large.bin", 300 * MB)
        const teacher = yield* lesson(lab, large)
        const student = yield* lab.student({ name: "student" })
        yield* Effect.gen(function*() {
          yield* midway(
            lab,
            teacher,
            Effect.sync(() => fill(downloads))
          )
          assert.match((yield* failed(student, "large.bin")).reason, /^the disk is full: /)
          NodeFs.unlinkSync(`${downloads}/filler`)
          yield* completed(student, "large.bin")
          same(lab, large)
        }).pipe(Lab.within(100, student, teacher))
      }),
    options
  )

  it.live(
    "P10: read-only: the share waits and says so, once, and goes on when it can be written",
    () =>
      Effect.gen(function*() {
        const lab = yield* Lab.make
        const refusing = yield* disk(lab.downloads("student"), "256m")
        const file = yield* lab.file("file.bin", 20 * MB)
        const teacher = yield* lesson(lab)
        const student = yield* lab.student({ name: "student" })
        yield* Effect.gen(function*() {
          yield* student.event("session.joined")
          yield* refusing.change("ro")
          yield* teacher.type(`/share ${file}`)
          const { reason, resumes } = yield* failed(student, "file.bin")
          assert.match(reason, /^the download folder cannot be written to: .*read-only/)
          assert.isTrue(resumes)
          yield* teacher.type("still here")
          yield* student.event("message.delivered", ({ text }) => text === "still here")
          // Tried in vain once more.
          yield* Effect.sleep(3_000)
          yield* refusing.change("rw")
          yield* completed(student, "file.bin")
          same(lab, file)
          assert.strictEqual(failures(student, "file.bin"), 1)
        }).pipe(Lab.within(100, student, teacher))
      }),
    options
  )

  it.live(
    "P10: read-only or full from the start: ends with a sentence and the code for it",
    () =>
      Effect.gen(function*() {
        const lab = yield* Lab.make
        const refusing = yield* disk(lab.downloads("student"), "1m")
        const downloads = lab.downloads("student")
        const teacher = yield* lesson(lab)
        yield* refusing.change("ro")
        const student = yield* lab.student({ name: "student" })
        assert.strictEqual((yield* student.ended.pipe(Lab.within(30, student, teacher))).code, ExitCode.state)
        assert.include(student.complaint(), `${downloads}/.labfx may not be written`)
        assert.include(student.complaint(), "--dir")
        yield* refusing.change("rw")
        fill(downloads)
        const full = yield* lab.student({ name: "student" })
        assert.strictEqual((yield* full.ended.pipe(Lab.within(30, full))).code, ExitCode.state)
        assert.match(full.complaint(), /The disk of .* is full/)
      }),
    options
  )
})

describe.concurrent("a download folder that changes under a running student", () => {
  it.live("P10: deleted half-way: says so, and begins again by itself", () =>
    Effect.gen(function*() {
      const lab = yield* Lab.make
      const large = yield* lab.file("large.bin", 200 * MB)
      const teacher = yield* lesson(lab, large)
      const student = yield* lab.student({ name: "student" })
      yield* Effect.gen(function*() {
        yield* midway(lab, teacher, Effect.sync(() => NodeFs.rmSync(lab.downloads("student"), { recursive: true })))
        const { reason, resumes } = yield* failed(student, "large.bin")
        assert.match(reason, /^the download folder is not there any more: /)
        assert.isTrue(resumes)
        yield* completed(student, "large.bin")
        same(lab, large)
      }).pipe(Lab.within(100, student, teacher))
    }), options)

  it.live(
    "P3, P10: replaced by a link half-way: writes nothing where it leads, and goes on when it is gone",
    () =>
      Effect.gen(function*() {
        const lab = yield* Lab.make
        const downloads = lab.downloads("student")
        const elsewhere = NodePath.join(lab.folder, "elsewhere")
        const large = yield* lab.file("large.bin", 200 * MB)
        const teacher = yield* lesson(lab, large)
        const student = yield* lab.student({ name: "student" })
        yield* Effect.gen(function*() {
          yield* midway(
            lab,
            teacher,
            Effect.sync(() => {
              NodeFs.mkdirSync(elsewhere)
              NodeFs.renameSync(downloads, `${downloads}-moved`)
              NodeFs.symlinkSync(elsewhere, downloads)
            })
          )
          assert.match((yield* failed(student, "large.bin")).reason, /^the download folder is not there any more: /)
          // Tried again, in vain.
          yield* Effect.sleep(3_000)
          assert.deepStrictEqual(NodeFs.readdirSync(elsewhere, { recursive: true }), [".labfx"])
          NodeFs.unlinkSync(downloads)
          NodeFs.renameSync(`${downloads}-moved`, downloads)
          yield* completed(student, "large.bin")
          same(lab, large)
        }).pipe(Lab.within(100, student, teacher))
      }),
    options
  )

  it.live(
    "a second student in the same folder ends at once with a sentence, and the first goes on",
    () =>
      Effect.gen(function*() {
        const lab = yield* Lab.make
        const file = yield* lab.file("file.bin", 20 * MB)
        const teacher = yield* lesson(lab)
        const student = yield* lab.student({ name: "student" })
        yield* Effect.gen(function*() {
          yield* student.event("session.joined")
          NodeFs.symlinkSync(lab.downloads("student"), lab.downloads("second"))
          const second = yield* lab.student({ name: "second" })
          assert.strictEqual((yield* second.ended.pipe(Lab.within(30, second))).code, ExitCode.state)
          assert.include(second.complaint(), `Another labfx is using ${lab.downloads("second")}`)
          assert.include(second.complaint(), "--dir")
          yield* teacher.type(`/share ${file}`)
          yield* completed(student, "file.bin")
          same(lab, file)
        }).pipe(Lab.within(100, student, teacher))
      }),
    options
  )
})

describe.concurrent("a source that changes while it is shared", () => {
  it.live(
    "P11: what changed is told and never arrives, what did not arrives; shared again, it does",
    () =>
      Effect.gen(function*() {
        const lab = yield* Lab.make
        const names = ["edited.bin", "cut.bin", "grown.bin", "deleted.bin", "pipe.bin", "untouched.bin"] as const
        const files: Record<string, string> = {}
        for (const name of names) files[name] = yield* lab.file(name, 3 * MB)
        const before = Object.fromEntries(names.map((name) => [name, Object.values(Lab.digests(files[name]!))[0]]))
        const teacher = yield* lesson(lab, ...Object.values(files))

        // An edit that keeps size and time: only the content tells.
        const { atime, mtime } = NodeFs.statSync(files["edited.bin"]!)
        const handle = NodeFs.openSync(files["edited.bin"]!, "r+")
        NodeFs.writeSync(handle, "edited", 2 * MB)
        NodeFs.closeSync(handle)
        NodeFs.utimesSync(files["edited.bin"]!, atime, mtime)
        NodeFs.truncateSync(files["cut.bin"]!, MB)
        NodeFs.appendFileSync(files["grown.bin"]!, "more")
        NodeFs.unlinkSync(files["deleted.bin"]!)
        NodeFs.unlinkSync(files["pipe.bin"]!)
        if (process.platform !== "win32") run("mkfifo", files["pipe.bin"]!)

        const student = yield* lab.student({ name: "student" })
        yield* Effect.gen(function*() {
          for (const name of ["edited.bin", "cut.bin", "deleted.bin", "pipe.bin"]) {
            const { reason, resumes } = yield* failed(teacher, name)
            assert.match(reason, /its source was changed while it was shared .*share it again/)
            assert.isFalse(resumes)
            const told = yield* failed(student, name)
            assert.match(told.reason, /^the teacher's copy was changed .* when the teacher shares it again$/)
            assert.isTrue(told.resumes)
          }
          // What was signed is still there at the beginning of the grown one.
          for (const name of ["grown.bin", "untouched.bin"]) {
            const { path } = yield* completed(student, name)
            assert.strictEqual(Object.values(Lab.digests(path))[0], before[name])
          }
          yield* teacher.type(`/share ${files["edited.bin"]!}`)
          yield* completed(student, "edited.bin")
          same(lab, files["edited.bin"]!)
          const seen = NodeFs.readdirSync(lab.downloads("student")).filter((name) => name !== ".labfx")
          assert.deepStrictEqual(seen.toSorted(), ["edited.bin", "grown.bin", "untouched.bin"])
        }).pipe(Lab.within(100, student, teacher))
      }),
    options
  )

  it.live.skipIf(process.platform === "win32")(
    "pipes, sockets, devices, links and names that are no text are left out and named; the rest arrives",
    () =>
      Effect.gen(function*() {
        const lab = yield* Lab.make
        const folder = NodePath.join(lab.folder, "lesson")
        NodeFs.mkdirSync(`${folder}/sub`, { recursive: true })
        NodeFs.writeFileSync(`${folder}/sub/good.txt`, "good")
        run("mkfifo", `${folder}/pipe`)
        NodeFs.symlinkSync("/etc/passwd", `${folder}/link`)
        NodeFs.writeFileSync(Buffer.concat([Buffer.from(`${folder}/latin-`), Buffer.from([0xe9])]), "latin")
        if (process.getuid?.() === 0) run("mknod", `${folder}/device`, "c", "1", "3")
        else NodeFs.writeFileSync(`${folder}/device`, "unreadable", { mode: 0o000 })
        const teacher = yield* lesson(lab, folder)
        const student = yield* lab.student({ name: "student" })
        yield* Effect.gen(function*() {
          const { text } = yield* teacher.event("warning", ({ code }) => code === "files-not-shared")
          assert.match(
            text,
            /^4 files of "lesson" are not shared: device \(.*\), latin-\ufffd \(the name is not valid text\)/
          )
          const { path } = yield* completed(student, "lesson")
          assert.deepStrictEqual(Object.keys(Lab.digests(path)), ["sub/good.txt"])
          yield* teacher.type(`/share ${folder}/pipe`)
          const refused = yield* teacher.event("warning", ({ code }) => code === "SourceError.not-a-file-or-folder")
          assert.include(refused.text, "is neither a file nor a folder")
        }).pipe(Lab.within(100, student, teacher))
      }),
    options
  )
})

describe.concurrent("a state folder that is not what it should be", () => {
  it.live(
    "damaged or written by a newer labfx: ends with a sentence, touches nothing, and says what to do",
    () =>
      Effect.gen(function*() {
        const lab = yield* Lab.make
        const state = NodePath.join(lab.folder, "state", "student")
        NodeFs.mkdirSync(state, { recursive: true })
        for (
          const [contents, sentence] of [
            ["{\"version\":1,\"pins\":", "is damaged"],
            ["{\"version\":2,\"pins\":[]}", "was written by a newer labfx"]
          ] as const
        ) {
          NodeFs.writeFileSync(`${state}/pins.json`, contents)
          const student = yield* lab.student({ name: "student" })
          assert.strictEqual((yield* student.ended.pipe(Lab.within(30, student))).code, ExitCode.state)
          assert.include(student.complaint(), sentence)
          assert.strictEqual(NodeFs.readFileSync(`${state}/pins.json`, "utf8"), contents)
        }
      }),
    options
  )
})
