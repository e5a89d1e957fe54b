/** `labfx open`: opens the page of the running session. */
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import * as flags from "./flags.ts"
import { reporting } from "./reporting.ts"
import { Streams } from "./Streams.ts"

export const open = Command.make("open", {
  print: Flag.Boolean("print").pipe(
    Flag.withDescription("Print the link instead of opening it; it works once"),
    Flag.withDefault(false)
  ),
  state: flags.stateFolder
}, ({ print, state }) =>
  Effect.gen(function*() {
    const { withRunning } = yield* Effect.promise(() => import("./Attached.ts"))
    const { openPage } = yield* Effect.promise(() => import("./OpenPage.ts"))
    const streams = yield* Streams
    yield* withRunning(state, ({ client, stateFolder }) =>
      Effect.flatMap(client.link(), ({ url }) =>
        print
          ? Effect.sync(() => streams.write(`${url}\n`))
          : openPage(stateFolder, url)))
  }).pipe(reporting(false))).pipe(
    Command.withDescription("Open the page of the running session in your browser."),
    Command.withShortDescription("Open the page of the running session"),
    Command.withExamples([
      { command: "labfx open", description: "In your browser" },
      { command: "labfx open --print", description: "The link, for a browser of your choice" }
    ])
  )
