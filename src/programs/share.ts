/** `labfx share`: hands files and folders out in the running session. */
import { Effect } from "effect"
import { Argument, Command } from "effect/cli"
import * as Display from "./Display.ts"
import * as flags from "./flags.ts"
import { Machine } from "./Machine.ts"
import { reporting } from "./reporting.ts"
import { Streams } from "./Streams.ts"

export const share = Command.make("share", {
  paths: Argument.String("path").pipe(
    Argument.withDescription("A file or folder to hand out"),
    Argument.atLeast(1)
  ),
  state: flags.stateFolder
}, ({ paths, state }) =>
  Effect.gen(function*() {
    const { withRunning } = yield* Effect.promise(() => import("./Attached.ts"))
    const machine = yield* Machine
    const streams = yield* Streams
    yield* withRunning(state, ({ client }) =>
      Effect.forEach(paths, (path) =>
        Effect.map(client.share({ payload: { path: machine.resolve(path) } }), () =>
          streams.write(`“${Display.safeLine(path)}” is being handed out.\n`)), { discard: true }))
  }).pipe(reporting(false))).pipe(
    Command.withDescription("Hand out files and folders in the running session (teacher)."),
    Command.withShortDescription("Hand out files and folders in the running session"),
    Command.withExamples([{ command: "labfx share ./lab2 data.csv", description: "Hand out a folder and a file" }])
  )
