/** How a command that failed ends: one sentence for the person, one event for the script, one number for the shell. */
import { Cause, Data, Effect } from "effect"
import * as OutputEvent from "./OutputEvent.ts"
import * as Phrasing from "./Phrasing.ts"
import * as Problems from "./Problems.ts"
import { Streams } from "./Streams.ts"

/** Everything has been said; what is left is the exit code. */
export class Reported extends Data.TaggedError("Reported")<{ readonly exit: number }> {}

/** Says what went wrong, on standard error and with `--json` also as the last event. Interruption passes through. */
export const reporting = (json: boolean) => <R>(command: Effect.Effect<void, Problems.LabfxError, R>) =>
  Effect.catchCause(command, (cause) =>
    Effect.gen(function*() {
      if (Cause.hasInterruptsOnly(cause)) return yield* Effect.interrupt
      const streams = yield* Streams
      const error = Cause.squash(cause)
      const problem = Problems.isLabfxError(error) ? Problems.explain(error) : Problems.unexpected(Cause.pretty(cause))
      streams.complain(Phrasing.problem(problem).map(({ text }) => `${text}\n`).join(""))
      if (json) {
        const { code, exit, next, what } = problem
        streams.write(yield* OutputEvent.line({ event: "run.failed", code, text: `${what} ${next}`, exit }))
      }
      return yield* new Reported({ exit: problem.exit })
    }))
