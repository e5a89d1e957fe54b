/** `labfx`: the process. Signals, the exit code and the layers of the machine; everything else is in the commands. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Cause, Effect, Exit, Layer, Logger, References, Runtime } from "effect"
import * as CliError from "effect/cli/CliError"
import * as cli from "./cli.ts"
import * as ExitCode from "./ExitCode.ts"
import * as Layers from "./layers.ts"
import * as Machine from "./Machine.ts"
import * as Phrasing from "./Phrasing.ts"
import * as Problems from "./Problems.ts"
import { Reported } from "./reporting.ts"
import * as Streams from "./Streams.ts"

/** What is still open then is left to the system: nothing that was complete can be lost by it. */
const endWithinMs = 4_500
/** For the last lines to reach a reader that is slow. */
const flushWithinMs = 1_000

const signals = { SIGINT: ExitCode.interrupted, SIGTERM: ExitCode.terminated, SIGHUP: ExitCode.hangup } as const

const exitCode = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit)) return ExitCode.ok
  if (Cause.hasInterruptsOnly(exit.cause)) return ExitCode.interrupted
  const error = Cause.squash(exit.cause)
  if (error instanceof Reported) return error.exit
  // Help that was asked for by naming no command is an answer; any other mistake is one.
  if (CliError.isCliError(error)) {
    return error._tag === "ShowHelp" && error.errors.length === 0
      ? ExitCode.ok
      : ExitCode.usage
  }
  const problem = Problems.unexpected(Cause.pretty(exit.cause))
  process.stderr.write(Phrasing.problem(problem).map(({ text }) => `${text}\n`).join(""))
  return problem.exit
}

const runMain = Runtime.makeRunMain(({ fiber }) => {
  let ending: number | undefined

  fiber.addObserver((exit) => {
    const code = ending ?? exitCode(exit)
    setTimeout(() => process.exit(code), flushWithinMs).unref()
    process.stdout.write("", () => process.exit(code))
  })

  for (const [signal, code] of Object.entries(signals)) {
    process.on(signal, () => {
      // The first asks for a clean end, the second does not wait for it.
      if (ending !== undefined) process.exit(code)
      ending = code
      setTimeout(() => process.exit(code), endWithinMs).unref()
      fiber.interruptUnsafe(fiber.id)
    })
  }
})

const machine = Layer.mergeAll(
  Layer.provideMerge(Streams.layerNode, NodeServices.layer),
  Machine.layerNode,
  Layers.layerNode
)

Effect.suspend(() => cli.run(process.argv.slice(2))).pipe(
  Effect.provide(machine),
  // Standard output belongs to the program's words and events; its inner log is for whoever asks with --log-level.
  Effect.provideService(Logger.LogToStderr, true),
  Effect.provideService(References.MinimumLogLevel, "None"),
  runMain({ disableErrorReporting: true })
)
