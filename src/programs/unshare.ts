/** `labfx unshare`: stops handing something out in the running session. */
import { Effect } from "effect"
import { Argument, Command } from "effect/cli"
import * as flags from "./flags.ts"
import { reporting } from "./reporting.ts"

export const unshare = Command.make("unshare", {
  name: Argument.String("name").pipe(Argument.withDescription("What it is called, as labfx status shows it")),
  state: flags.stateFolder
}, ({ name, state }) =>
  Effect.gen(function*() {
    const { withRunning } = yield* Effect.promise(() => import("./Attached.ts"))
    yield* withRunning(state, ({ client }) => client.unshare({ params: { name } }))
  }).pipe(reporting(false))).pipe(
    Command.withDescription("Stop handing something out in the running session (teacher). What is complete stays."),
    Command.withShortDescription("Stop handing something out"),
    Command.withExamples([{ command: "labfx unshare lab2", description: "Nobody starts it anew" }])
  )
