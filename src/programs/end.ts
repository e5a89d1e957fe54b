/** `labfx end`: ends the running session for everybody. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import * as flags from "./flags.ts"
import { reporting } from "./reporting.ts"
import { Streams } from "./Streams.ts"

export const end = Command.make("end", { state: flags.stateFolder }, ({ state }) =>
  Effect.gen(function*() {
    const { withRunning } = yield* Effect.promise(() => import("./Attached.ts"))
    const streams = yield* Streams
    yield* withRunning(state, ({ client }) => client.end())
    streams.write("The session has ended for everybody. What is complete stays.\n")
  }).pipe(reporting(false))).pipe(
    Command.withDescription(
      "End the running session for everybody (teacher). What is complete stays; a teacher who only leaves (Ctrl-C) lets " +
        "the room carry on."
    ),
    Command.withShortDescription("End the session for everybody"),
    Command.withExamples([{ command: "labfx end", description: "The lesson is over" }])
  )
