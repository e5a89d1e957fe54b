/** When the engine collects its heap, as it says itself. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { constants, PerformanceObserver } from "node:perf_hooks"
import * as HeapNode from "../../src/services/node/HeapNode.ts"

interface Collection {
  readonly detail: { readonly kind: number; readonly flags: number }
}

const isForced = ({ detail: { flags, kind } }: Collection): boolean =>
  kind === constants.NODE_PERFORMANCE_GC_MAJOR && (flags & constants.NODE_PERFORMANCE_GC_FLAGS_FORCED) !== 0

/** How many collections of the whole heap somebody asked for while an effect ran. */
const collectionsIn = (effect: Effect.Effect<void>) =>
  Effect.gen(function*() {
    let count = 0
    const observer = new PerformanceObserver((seen) => {
      count += (seen.getEntries() as ReadonlyArray<unknown> as ReadonlyArray<Collection>).filter(isForced).length
    })
    observer.observe({ entryTypes: ["gc"] })
    yield* effect
    // What was observed is told a turn later.
    yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 50)))
    observer.disconnect()
    return count
  })

describe("HeapNode", () => {
  it.effect("collects what the start has left once, two seconds after a session has begun", () =>
    Effect.gen(function*() {
      yield* Layer.build(HeapNode.layerNode)
      assert.strictEqual(yield* collectionsIn(TestClock.adjust(Duration.millis(1_999))), 0)
      assert.strictEqual(yield* collectionsIn(TestClock.adjust(Duration.millis(1))), 1)
      assert.strictEqual(yield* collectionsIn(TestClock.adjust(Duration.hours(1))), 0)
    }))

  it.effect("collects nothing of a session that has ended before", () =>
    Effect.gen(function*() {
      yield* Effect.scoped(Layer.build(HeapNode.layerNode))
      assert.strictEqual(yield* collectionsIn(TestClock.adjust(Duration.hours(1))), 0)
    }))
})
