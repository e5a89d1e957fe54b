/** `labfx demo`: a teacher and some students as processes of this machine, over its real network, checked byte for byte. */
import { Clock, Effect, Option, Schedule, type Scope } from "effect"
import { Command, Flag } from "effect/cli"
import * as NodeDgram from "node:dgram"
import * as NodeFs from "node:fs/promises"
import * as NodeOs from "node:os"
import * as NodePath from "node:path"
import * as Child from "./Child.ts"
import * as Display from "./Display.ts"
import * as Material from "./Material.ts"
import * as Parsing from "./Parsing.ts"
import { NotDone } from "./Problems.ts"
import { reporting } from "./reporting.ts"
import * as Screen from "./Screen.ts"
import { Streams } from "./Streams.ts"

/** A full room; every student is a process of its own, about 90 MB each. */
const studentsMax = 60
const sizeBytesMax = 16 * 2 ** 30
/** A machine that verifies fewer bytes a second than this, over all students, is taken to be stuck. */
const bytesPerSecondMin = 2_000_000
const startWithinMs = 30_000

const message = "Welcome to the lab! Everything you need is in the exercise folder."

export const demo = Command.make("demo", {
  students: Flag.Int("students").pipe(
    Flag.withDescription("How many students"),
    Flag.filter(
      (count) => count >= 1 && count <= studentsMax,
      (count) => `“${count}” is not from 1 to ${studentsMax}.`
    ),
    Flag.withDefault(5)
  ),
  size: Flag.String("size").pipe(
    Flag.withMetavar("BYTES"),
    Flag.withDescription("How large a file to share, for example 500MB or 1GiB"),
    Flag.withDefault("32MiB"),
    Flag.filterMap(
      (text) => Option.filter(Parsing.sizeBytes(text), (bytes) => bytes <= sizeBytesMax),
      () => "a size up to 16GiB, such as 500MB or 32MiB"
    )
  )
}, ({ size, students }) =>
  show(students, size).pipe(
    Effect.scoped,
    Effect.catchTag("ChildEnded", ({ message }) => Effect.fail(failed(message))),
    reporting(false)
  )).pipe(
    Command.withDescription(
      "See labfx at work on this one machine: a teacher and students as separate processes share a file, a folder and a " +
        "message over the network, and everything is compared with the original. Leaves nothing behind."
    ),
    Command.withShortDescription("See it all on this machine"),
    Command.withExamples([
      { command: "labfx demo", description: "Five students and a file of 32 MiB" },
      { command: "labfx demo --students 20 --size 100MB", description: "A larger room" }
    ])
  )

const failed = (detail: string) => new NotDone({ reason: "demo-failed", detail })

const temporaryFolder: Effect.Effect<string, NotDone, Scope.Scope> = Effect.acquireRelease(
  Effect.tryPromise({
    try: () => NodeFs.mkdtemp(NodePath.join(NodeOs.tmpdir(), "labfx-demo-")),
    catch: (error) => failed(`no temporary folder can be made: ${String(error)}`)
  }),
  (folder) => Effect.promise(() => NodeFs.rm(folder, { recursive: true, force: true, maxRetries: 3 }))
)

/** A UDP port that nobody uses now, so that the demonstration never meets a real session. */
const freePort: Effect.Effect<number> = Effect.callback((resume) => {
  const socket = NodeDgram.createSocket("udp4")
  socket.bind(0, () => {
    const { port } = socket.address()
    socket.close(() => resume(Effect.succeed(port)))
  })
})

/** The command line of this very program: node, its flags and the script, then words and arguments as they are. */
const self = (words: string, args: ReadonlyArray<string>): readonly [string, ...ReadonlyArray<string>] => [
  process.execPath,
  ...process.execArgv,
  process.argv[1]!,
  ...words.split(" "),
  ...args
]

const within = (milliseconds: number, what: string) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.timeoutOrElse(effect, { duration: milliseconds, orElse: () => Effect.fail(failed(what)) })

const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(1)} s`

const show = Effect.fnUntraced(function*(count: number, sizeBytes: number) {
  const board = yield* makeBoard
  const folder = yield* temporaryFolder
  const port = String(yield* freePort)

  board.say(`Making a key and ${Display.bytes(sizeBytes)} of random data …`)
  const key = NodePath.join(folder, "teacher.key")
  const keygen = yield* Child.start({ name: "labfx keygen", command: self("keygen --out", [key]) })
  const { code } = yield* keygen.ended
  if (code !== 0) return yield* failed(`labfx keygen ended with ${code}: ${keygen.complaint()}`)
  const material = yield* Material.make(folder, sizeBytes)

  board.say(`Starting a teacher and ${Display.plural(count, "student")} …`)
  const where = (name: string, ...rest: ReadonlyArray<string>) => NodePath.join(folder, name, ...rest)
  const teacher = yield* Child.start({
    name: "the teacher",
    command: self(
      "teacher --json --title Demonstration --name teacher",
      ["--secret-file", key, "--discovery-port", port, "--state", where("teacher")]
    )
  })
  const { words } = yield* teacher.event("session.started").pipe(within(startWithinMs, "the teacher did not start"))
  board.say(`The teacher's session is open. Its words: ${words}`)
  const students = yield* Effect.forEach(
    Array.from({ length: count }, (_, index) => `student ${index + 1}`),
    (name) =>
      Child.start({
        name,
        command: self(
          "student --yes --json",
          ["--name", name, "--discovery-port", port, "--dir", where(name, "files"), "--state", where(name, "state")]
        )
      })
  )
  const joining = yield* Clock.currentTimeMillis
  yield* Effect.forEach(students, (student) =>
    student.event("session.joined").pipe(
      within(startWithinMs + 1_000 * count, `${student.name} did not find the session`)
    ), { concurrency: "unbounded" })
  board.say(`Everybody has found it without an address: ${seconds((yield* Clock.currentTimeMillis) - joining)}.`)

  const started = yield* Clock.currentTimeMillis
  yield* teacher.type(message)
  for (const path of material) yield* teacher.type(`/share ${path}`)
  board.say("The teacher shares a file, a folder and a message …")
  board.watch(students)

  const receive = Effect.fnUntraced(function*(student: Child.Child) {
    yield* student.event("message.delivered", ({ byHost, text }) => byHost && text === message)
    const paths = yield* Effect.forEach(material, (path) =>
      Effect.map(
        student.event("share.completed", ({ title }) => title === NodePath.basename(path)),
        (completed) => completed.path
      ))
    const took = (yield* Clock.currentTimeMillis) - started
    board.say(`${student.name} has everything after ${seconds(took)}.`)
    return paths
  })
  const limit = startWithinMs + (1000 * count * sizeBytes) / bytesPerSecondMin
  const received = yield* Effect.forEach(students, receive, { concurrency: "unbounded" }).pipe(
    within(limit, `not every student had everything after ${seconds(limit)}`)
  )
  const took = (yield* Clock.currentTimeMillis) - started
  board.watch([])

  board.say("Comparing every file with the original …")
  const originals = yield* Effect.forEach(material, Material.digests)
  for (const [index, paths] of received.entries()) {
    for (const [share, path] of paths.entries()) {
      const copy = yield* Material.digests(path)
      const differing = [...originals[share]!].filter(([name, digest]) => copy.get(name) !== digest)
      if (differing.length > 0 || copy.size !== originals[share]!.size) {
        return yield* failed(
          `${students[index]!.name} has another ${NodePath.basename(path)}: ${differing.length} files differ`
        )
      }
    }
  }
  const files = originals.reduce((sum, files) => sum + files.size, 0)
  const totalBytes = sizeBytes + 2 * 2_000 * 55
  board.say(
    `Done: ${Display.plural(count, "student")} received ${Display.plural(files, "file")}, ${
      Display.bytes(totalBytes)
    }, ` +
      `every one identical to the original, in ${seconds(took)} ` +
      `(${Display.rate((1000 * count * totalBytes) / Math.max(1, took))} in all).`
  )
})

interface Board {
  readonly say: (text: string) => void
  /** Shows how these students stand until it is told of others. */
  readonly watch: (students: ReadonlyArray<Child.Child>) => void
}

/** Lines that scroll by, and on a terminal one for each student below them. */
const makeBoard = Effect.gen(function*() {
  const streams = yield* Streams
  let watched: ReadonlyArray<Child.Child> = []
  let screen = Screen.empty
  const draw = (log: ReadonlyArray<string>) => {
    if (!streams.outIsTerminal) return streams.write(log.map((line) => `${line}\n`).join(""))
    const { columns, rows } = streams.size()
    const lines = watched.slice(0, Math.max(1, Math.floor(rows / 2))).map((student) => standing(student, columns))
    const drawn = Screen.frame(screen, log, { lines, cursorCells: 0 }, columns)
    screen = drawn.screen
    streams.write(drawn.text)
  }
  yield* Effect.sync(() => draw([])).pipe(Effect.repeat(Schedule.spaced("250 millis")), Effect.forkScoped)
  const board: Board = {
    say: (text) => draw([text]),
    watch: (students) => {
      watched = students
      draw([])
    }
  }
  // Whatever ends the demonstration, no half-drawn line is left behind.
  yield* Effect.addFinalizer(() => Effect.sync(() => board.watch([])))
  return board
})

/** What a student has of everything that is shared, by its own events. */
const standing = (student: Child.Child, columns: number): string => {
  let verified = 0
  let whole = 0
  let speed = 0
  for (const event of student.events) {
    if (event.event === "share.offered") whole += event.bytes
    if (event.event === "share.completed") verified += event.bytes
    if (event.event !== "share.progress") continue
    const isComplete = student.events.some((other) => other.event === "share.completed" && other.root === event.root)
    if (isComplete) continue
    verified += event.verifiedBytes
    speed += event.receiveBytesPerSecond
  }
  const percentage = whole === 0 ? 0 : Display.percent(verified, whole)
  const bar = Display.bar(percentage, Math.max(0, Math.min(30, columns - 36)))
  return `${student.name.padEnd(10)} ${bar} ${String(percentage).padStart(3)} % ${
    speed === 0 ? "" : Display.rate(speed)
  }`
}
