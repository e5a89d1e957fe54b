/**
 * Rooms of real processes in network namespaces: nothing but a wire between the machines, no default route, no server.
 * The larger versions of these are `scripts/lab.ts`.
 */
import { describe, it } from "@effect/vitest"
import { Console, Effect } from "effect"
import * as NodePath from "node:path"
import * as Lab from "../support/Lab.ts"
import * as Scenarios from "../support/LabScenarios.ts"

const reason = Lab.namespacesMissing
// oxlint-disable-next-line no-console -- a skipped test says why
if (reason !== undefined) console.warn(`skipped: ${reason}`)

const MB = 1_000_000
const options = { timeout: 150_000 }
const smallFiles = NodePath.resolve(import.meta.dirname, "../../node_modules/@effect")

const print = (title: string) => (figures: object) => Console.log(`${title}: ${JSON.stringify(figures)}`)

describe.skipIf(reason !== undefined)("a room of machines", () => {
  it.live(
    "without a default route: file, folder and messages reach 8 students, byte for byte, once and in order",
    () =>
      Effect.gen(function*() {
        const machines = yield* Lab.room(9)
        const size = { students: 8, fileBytes: 20 * MB, folder: smallFiles, messages: 40, seconds: 120 }
        yield* Effect.flatMap(Scenarios.classroom(size, machines), print("room of 8"))
      }),
    options
  )

  it.live("in a line, each seeing only the next: everything reaches the last", () =>
    Effect.gen(function*() {
      const machines = yield* Lab.line(4)
      yield* Effect.flatMap(Scenarios.line({ fileBytes: 20 * MB, seconds: 120 }, machines), print("line of 4"))
    }), options)

  // Three are too few for a cast. Of one that nothing but the processor limits, some of what has left reaches nobody: its
  // room is as fast as a school's network.
  for (const [how, students, bitsPerSecond] of [["by links", 3, undefined], ["by a cast", 4, 100_000_000]] as const) {
    it.live(
      `finishes when the teacher is killed after one copy ${how}, and takes in one who comes later`,
      () =>
        Effect.gen(function*() {
          const machines = yield* Lab.room(students + 2)
          if (bitsPerSecond !== undefined) { for (const machine of machines) machine.shape(bitsPerSecond) }
          const size = { students, fileBytes: 20 * MB, seconds: 120 }
          yield* Effect.flatMap(Scenarios.orphaned(size, machines), print("without the teacher"))
        }),
      options
    )
  }

  it.live("goes on where it was when a student is killed half-way", () =>
    Effect.gen(function*() {
      const machines = yield* Lab.room(2)
      yield* Effect.flatMap(
        Scenarios.resumed({ fileBytes: 200 * MB, seconds: 120 }, machines),
        print("killed half-way")
      )
    }), options)

  it.live(
    "keeps two sessions apart, with tunnels, default routes and unplugged interfaces on the machines",
    () =>
      Effect.gen(function*() {
        const machines = yield* Lab.room(5)
        yield* Effect.forEach(machines, Lab.disturb)
        yield* Scenarios.twoSessions({ fileBytes: 5 * MB, seconds: 90 }, machines)
      }),
    options
  )

  it.live(
    "never lets a second teacher of the same title take a student that knows the first",
    () =>
      Effect.gen(function*() {
        yield* Scenarios.impostor(60, yield* Lab.room(3))
      }),
    options
  )
})
