/** `labfx open`: opens the page of the running session. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { usualPort } from "../protocol/Wire.ts"
import * as flags from "./flags.ts"
import { reporting } from "./reporting.ts"
import { runStart } from "./start.ts"
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
    const opened = withRunning(state, ({ client, stateFolder }) =>
      Effect.flatMap(client.link(), ({ url }) =>
        print
          ? Effect.sync(() => streams.write(`${url}\n`))
          : openPage(stateFolder, url)))
    // A script wants to know that nothing runs; a person wants to begin.
    const begins = !print && Option.isNone(state) && streams.inIsTerminal && streams.outIsTerminal
    yield* Effect.catchIf(
      opened,
      (error) => begins && error._tag === "NothingRunning" && error.reason === "none",
      () => runStart({ print: false, port: 0, discoveryPort: usualPort, uiPort: 0 })
    )
  }).pipe(reporting(false))).pipe(
    Command.withDescription(
      "Open the page of the running session in your browser. At a terminal with none running, it is the start page, on which " +
        "you begin as the teacher or as a student."
    ),
    Command.withShortDescription("Open the page of the running session"),
    Command.withExamples([
      { command: "labfx open", description: "In your browser" },
      { command: "labfx open --print", description: "The link, for a browser of your choice" }
    ])
  )
