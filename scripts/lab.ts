/**
 * The room of the tests at the size of a lesson, with the figures it shows. Linux and root: it makes network namespaces.
 *
 *     node scripts/lab.ts room       8 students, a 100 MB file, this project's node_modules, 100 messages
 *     node scripts/lab.ts line       teacher, S1, S2, S3, each seeing only the next; 100 MB
 *     node scripts/lab.ts orphaned   the teacher killed after one copy of 100 MB, 8 students and a late one
 *     node scripts/lab.ts resumed    a student killed half-way through 1 GB
 */
import { Console, Effect } from "effect"
import * as NodeFs from "node:fs"
import * as NodeOs from "node:os"
import * as NodePath from "node:path"
import * as Lab from "../test/support/Lab.ts"
import * as Scenarios from "../test/support/LabScenarios.ts"

const MB = 1_000_000
const seconds = 600

/** A copy, because tools that run meanwhile write to the original, and what changes while it is shared never arrives. */
const nodeModules = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = NodeFs.mkdtempSync(NodePath.join(NodeOs.tmpdir(), "labfx-lab-"))
    const copy = NodePath.join(folder, "node_modules")
    NodeFs.cpSync(NodePath.resolve(import.meta.dirname, "../node_modules"), copy, { recursive: true })
    return { folder, copy }
  }),
  ({ folder }) => Effect.sync(() => NodeFs.rmSync(folder, { recursive: true }))
)

const scenarios = {
  room: Effect.gen(function*() {
    const machines = yield* Lab.room(9)
    const { copy } = yield* nodeModules
    return yield* Scenarios.classroom(
      { students: 8, fileBytes: 100 * MB, folder: copy, messages: 100, seconds },
      machines
    )
  }),
  line: Effect.flatMap(Lab.line(4), (machines) => Scenarios.line({ fileBytes: 100 * MB, seconds }, machines)),
  orphaned: Effect.flatMap(
    Lab.room(10),
    (machines) => Scenarios.orphaned({ students: 8, fileBytes: 100 * MB, seconds }, machines)
  ),
  resumed: Effect.flatMap(Lab.room(2), (machines) => Scenarios.resumed({ fileBytes: 1_000 * MB, seconds }, machines))
}

const run = Effect.gen(function*() {
  const name = process.argv[2]
  if (name === undefined || !Object.hasOwn(scenarios, name)) {
    return yield* Effect.die(`name one of: ${Object.keys(scenarios).join(", ")}`)
  }
  if (Lab.namespacesMissing !== undefined) return yield* Effect.die(Lab.namespacesMissing)
  const figures = yield* scenarios[name as keyof typeof scenarios]
  yield* Console.log(`${name}: ${JSON.stringify(figures)}`)
})

// Ctrl-C closes the scope, so no process and no namespace is left behind.
const stop = new AbortController()
process.once("SIGINT", () => stop.abort())
await Effect.runPromise(Effect.scoped(run), { signal: stop.signal })
