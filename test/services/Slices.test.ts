import { afterEach, assert, beforeEach, describe, it, vi } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { Patience, patientCallsMin } from "../../src/services/node/Patience.ts"
import { inSlices, patientFilesMax, sliceMs, slowFileMs } from "../../src/services/node/Slices.ts"

/** The time that files take is the only one that passes here: a processor that is busy with something else makes no file slow. */
let nowMs = 0
const busyFor = (ms: number): void => {
  nowMs += ms
}
beforeEach(() => {
  vi.spyOn(performance, "now").mockImplementation(() => nowMs)
})
afterEach(() => {
  vi.restoreAllMocks()
})

/** Runs over `count` files of which `isSlow` says whether a synchronous call takes that long, and says how each was done. */
const run = (count: number, slowMs: (index: number) => number) => {
  const done: Array<"sync" | "patient"> = []
  const inOrder: Array<number> = []
  const note = (index: number, how: "sync" | "patient") => {
    assert.isUndefined(done[index], `${index} is done once`)
    done[index] = how
    inOrder.push(index)
  }
  return inSlices<never>(
    new Patience(30),
    count,
    (index) => {
      busyFor(slowMs(index))
      note(index, "sync")
      return undefined
    },
    (index) => Effect.sync(() => note(index, "patient"))
  ).pipe(Effect.as({ done, inOrder }))
}

describe("inSlices", () => {
  it.effect("does quick files synchronously, in order", () =>
    Effect.gen(function*() {
      const { done, inOrder } = yield* run(1_000, () => 0)
      assert.deepStrictEqual(inOrder, Array.from({ length: 1_000 }, (_, i) => i))
      assert.isTrue(done.every((how) => how === "sync"))
    }))

  it.effect("is patient where every file of a slice is slow, and tries again", () =>
    Effect.gen(function*() {
      const { done } = yield* run(500, () => 2 * slowFileMs)
      assert.lengthOf(done, 500)
      assert.strictEqual(done[0], "sync")
      const patient = done.indexOf("patient")
      assert.isAtMost(patient, sliceMs / slowFileMs)
      // The second time it is so for twice as many.
      const again = done.indexOf("sync", patient)
      assert.strictEqual(again - patient, patientCallsMin)
      const patientAgain = done.indexOf("patient", again)
      assert.strictEqual(done.indexOf("sync", patientAgain) - patientAgain, 2 * patientCallsMin)
    }))

  it.effect("is patient after one file that takes longer than a processor lets anybody wait", () =>
    Effect.gen(function*() {
      const { done } = yield* run(100, (index) => (index === 10 ? 31 : 0))
      assert.deepStrictEqual(done, [
        ...Array.from({ length: 11 }, () => "sync" as const),
        ...Array.from({ length: patientCallsMin }, () => "patient" as const),
        ...Array.from({ length: 100 - 11 - patientCallsMin }, () => "sync" as const)
      ])
    }))

  it.effect("takes no notice of a file here and there that waits for the processor", () =>
    Effect.gen(function*() {
      const { done } = yield* run(1_000, (index) => (index % 100 === 0 ? 2 * sliceMs : 0))
      assert.isTrue(done.every((how) => how === "sync"))
    }))

  it.effect("has a few files under way at once while it is patient", () =>
    Effect.gen(function*() {
      const patience = new Patience(30)
      patience.note(true)
      const gate = Deferred.makeUnsafe<void>()
      const underWay = new Set<number>()
      const fiber = yield* Effect.forkChild(inSlices<never>(patience, patientCallsMin, () => undefined, (index) => {
        underWay.add(index)
        return Deferred.await(gate)
      }))
      for (let i = 0; i < 2 * patientCallsMin; i++) yield* Effect.yieldNow
      assert.strictEqual(underWay.size, patientFilesMax)
      Deferred.doneUnsafe(gate, Effect.void)
      yield* Fiber.join(fiber)
      assert.strictEqual(underWay.size, patientCallsMin)
    }))

  it.effect("ends with the first error", () =>
    Effect.gen(function*() {
      const calls: Array<number> = []
      const sync = (index: number) => {
        calls.push(index)
        return index === 3 ? "the disk is full" : undefined
      }
      const error = yield* Effect.flip(inSlices(new Patience(30), 10, sync, () => Effect.die("not patient")))
      assert.strictEqual(error, "the disk is full")
      assert.deepStrictEqual(calls, [0, 1, 2, 3])

      const patience = new Patience(30)
      patience.note(true)
      const patient = (index: number) => index === 3 ? Effect.fail("the disk is full") : Effect.void
      assert.strictEqual(yield* Effect.flip(inSlices(patience, 10, () => undefined, patient)), "the disk is full")
    }))
})
