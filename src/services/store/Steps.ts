/** Drives the long computations of the protocol, letting the program do everything else between their steps. */
import { Effect } from "effect"
import type { Work } from "../../protocol/Work.ts"

export const runSteps = Effect.fnUntraced(function*<A>(work: Work<A>) {
  let step = work.next()
  while (step.done !== true) {
    yield* Effect.yieldNow
    step = work.next()
  }
  return step.value
})
