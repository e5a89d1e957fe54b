/** The command tree of `labfx`, and how its help, its version and a mistaken command line are shown. */
import { Console, Effect, Layer } from "effect"
import { CliConfig, CliOutput, Command, GlobalFlag, TerminalCapabilities } from "effect/cli"
import { attachSecret } from "./Arguments.ts"
import { demo } from "./demo.ts"
import { doctor } from "./doctor.ts"
import { end } from "./end.ts"
import { keygen } from "./keygen.ts"
import { open } from "./open.ts"
import { description, version } from "./program.ts"
import { say } from "./say.ts"
import { share } from "./share.ts"
import { simulate } from "./simulate.ts"
import { start } from "./start.ts"
import { status } from "./status.ts"
import { Streams } from "./Streams.ts"
import { student } from "./student.ts"
import { teacher } from "./teacher.ts"
import { unshare } from "./unshare.ts"
import { who } from "./who.ts"

const labfx = Command.make("labfx").pipe(
  Command.withDescription(`${description}.`),
  Command.withExamples([
    { command: "labfx keygen --out labfx.key", description: "Once: the teacher's secret" },
    {
      command: "labfx teacher --secret-file labfx.key --share ./lab1",
      description: "Open a session and hand out a folder"
    },
    { command: "labfx student", description: "On every other machine: join and receive" },
    { command: "labfx demo", description: "See all of it on this machine" }
  ]),
  Command.withSubcommands([
    teacher,
    student,
    start,
    keygen,
    demo,
    simulate,
    share,
    unshare,
    say,
    status,
    who,
    open,
    end,
    doctor
  ])
)

/** Help and version go to standard output; a mistaken command line gets its errors and a hint, not the whole help. */
const presenter = CliOutput.layerPresenter({
  present: (event) => {
    if (event._tag !== "InvalidInvocation") return CliOutput.defaultPresenter.present(event)
    return Effect.gen(function*() {
      const { canColor } = yield* TerminalCapabilities.TerminalCapabilities
      yield* Console.error(CliOutput.defaultFormatter({ colors: canColor }).formatErrors(event.errors).trimStart())
      yield* Console.error(`\nSee ${event.commandPath.join(" ")} --help.`)
    })
  }
})

const builtIns = CliConfig.layer({
  builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions, GlobalFlag.LogLevel]
})

/**
 * Runs the command that the arguments name. Fails with a `CliError` for a mistaken command line. No argument at a terminal is
 * somebody who has clicked the program: the page leads on.
 */
export const run = (args: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const streams = yield* Streams
    const isClicked = args.length === 0 && streams.inIsTerminal && streams.outIsTerminal
    return yield* Command.runWith(labfx, { version })(isClicked ? ["open"] : attachSecret(args))
  }).pipe(Effect.provide(Layer.merge(presenter, builtIns)))
