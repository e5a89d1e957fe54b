/** Short calls of the system by the thousand, one or a few for each small file. */
import { Effect } from "effect"
import type { Patience } from "./Patience.ts"

/** How long synchronous calls follow one another before the program gets its turn. */
export const sliceMs = 4

/**
 * Where even the quickest file of a slice takes longer, the files wait for the disk (or a virus scanner) and not for the
 * processor, which would have slowed down one or two of them.
 */
export const slowFileMs = 0.5

/** So many files are under way at once while the disk is slow: as many as keep its threads in node, four, always busy. */
export const patientFilesMax = 8

/**
 * Does `sync(i)` for each index in slices, and `patient(i)`, the same asynchronously, for a while after a slow one. The
 * processor's time is asked of the system itself: it is no decision, and a virtual clock would never end a slice.
 */
export const inSlices = Effect.fnUntraced(function*<E>(
  patience: Patience,
  count: number,
  sync: (index: number) => E | undefined,
  patient: (index: number) => Effect.Effect<void, E>
) {
  for (let i = 0; i < count;) {
    const patientFiles: Array<number> = []
    while (i < count && patience.isNeeded()) patientFiles.push(i++)
    yield* Effect.forEach(patientFiles, patient, { concurrency: patientFilesMax, discard: true })

    const start = performance.now()
    const first = i
    let quickestMs = Infinity
    let isSlow = false
    for (let before = start; i < count && before - start < sliceMs && !isSlow;) {
      const error = sync(i++)
      if (error !== undefined) return yield* Effect.fail(error)
      const after = performance.now()
      quickestMs = Math.min(quickestMs, after - before)
      isSlow = patience.isSlow(after - before)
      before = after
    }
    // One quick or fairly slow file alone says nothing: it may have waited for the processor.
    if (isSlow || i - first > 1) patience.note(isSlow || quickestMs > slowFileMs)
    // After the last one too: callers with thousands of small batches do not hold up the program either.
    yield* Effect.yieldNow
  }
})
