/** `labfx status`: the running session as it stands. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import * as flags from "./flags.ts"
import { reporting } from "./reporting.ts"
import * as Standing from "./Standing.ts"
import { Streams } from "./Streams.ts"

export const status = Command.make(
  "status",
  { json: flags.json, state: flags.stateFolder },
  ({ json, state }) =>
    Effect.gen(function*() {
      const { withRunning } = yield* Effect.promise(() => import("./Attached.ts"))
      const streams = yield* Streams
      const now = yield* withRunning(state, ({ client }) => client.state())
      streams.write(json ? `${JSON.stringify(now)}\n` : Standing.text(Standing.session(now)))
    }).pipe(reporting(false))
).pipe(
  Command.withDescription("Show the running session: its words, what is shared and how far it has come."),
  Command.withShortDescription("Show the running session"),
  Command.withExamples([
    { command: "labfx status", description: "In words" },
    { command: "labfx status --json", description: "All there is to know, as one JSON object" }
  ])
)
