/** `labfx say`: sends a line to everybody in the running session. */
import { Effect } from "effect"
import { Argument, Command } from "effect/cli"
import * as flags from "./flags.ts"
import { reporting } from "./reporting.ts"

export const say = Command.make("say", {
  words: Argument.String("text").pipe(Argument.withDescription("What to say"), Argument.atLeast(1)),
  state: flags.stateFolder
}, ({ state, words }) =>
  Effect.gen(function*() {
    const { withRunning } = yield* Effect.promise(() => import("./Attached.ts"))
    yield* withRunning(state, ({ client }) => client.say({ payload: { text: words.join(" ") } }))
  }).pipe(reporting(false))).pipe(
    Command.withDescription("Send a line to everybody in the running session."),
    Command.withShortDescription("Send a line to everybody"),
    Command.withExamples([{ command: "labfx say \"Open exercise 2 now\"", description: "Everybody sees it" }])
  )
