/** `labfx who`: who is in the running session, and who has what. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import * as flags from "./flags.ts"
import { reporting } from "./reporting.ts"
import * as Standing from "./Standing.ts"
import { Streams } from "./Streams.ts"

export const who = Command.make(
  "who",
  { json: flags.json, state: flags.stateFolder },
  ({ json, state }) =>
    Effect.gen(function*() {
      const { withRunning } = yield* Effect.promise(() => import("./Attached.ts"))
      const streams = yield* Streams
      const now = yield* withRunning(state, ({ client }) => client.state())
      streams.write(json ? `${JSON.stringify(now.devices)}\n` : Standing.text(Standing.devices(now)))
    }).pipe(reporting(false))
).pipe(
  Command.withDescription("List the devices of the running session: what each has, and why one is stuck."),
  Command.withShortDescription("Who is in the session, and who has what"),
  Command.withExamples([{ command: "labfx who", description: "One line a device" }])
)
