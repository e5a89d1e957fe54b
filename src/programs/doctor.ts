/** `labfx doctor`: what could keep this machine from the room, and what to do about it. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import * as Diagnosis from "./Diagnosis.ts"
import * as ExitCode from "./ExitCode.ts"
import * as flags from "./flags.ts"
import { Machine } from "./Machine.ts"
import { Reported } from "./reporting.ts"
import { Streams } from "./Streams.ts"

const marks: Record<Diagnosis.Finding["level"], string> = { good: "ok  ", warning: "hint", bad: "BAD " }

const lines = (findings: ReadonlyArray<Diagnosis.Finding>): string =>
  findings.map(({ level, next, what }) => `${marks[level]}  ${what}\n${next === undefined ? "" : `      ${next}\n`}`)
    .join("")

export const doctor = Command.make("doctor", {
  dir: Flag.String("dir").pipe(
    Flag.withMetavar("DIR"),
    Flag.withDescription("Where received files are to appear"),
    Flag.optional
  ),
  state: flags.stateFolder,
  discoveryPort: flags.discoveryPort,
  json: flags.json
}, ({ dir, discoveryPort, json, state }) =>
  Effect.gen(function*() {
    const checkup = yield* Effect.promise(() => import("./Checkup.ts"))
    const machine = yield* Machine
    const streams = yield* Streams
    if (!json && streams.outIsTerminal) streams.complain("Listening for a few seconds …\n")
    const folders = [
      Option.match(dir, { onNone: () => machine.downloadFolder, onSome: machine.resolve }),
      Option.match(state, { onNone: () => machine.stateFolder("student"), onSome: machine.resolve })
    ]
    const findings = Diagnosis.diagnose(yield* checkup.facts({ discoveryPort, folders }))
    streams.write(json ? `${JSON.stringify(findings)}\n` : lines(findings))
    if (findings.some(({ level }) => level === "bad")) return yield* new Reported({ exit: ExitCode.failed })
  })).pipe(
    Command.withDescription(
      "Find out what could keep this machine from the room: its networks, announcements, connections, firewall, VPN, disk. " +
        "Takes a few seconds, changes nothing, and ends with 1 if something is wrong."
    ),
    Command.withShortDescription("Find out why this machine is not in the room"),
    Command.withExamples([
      {
        command: "labfx doctor",
        description: "On the machine that does not find the session, while it runs elsewhere"
      },
      { command: "labfx doctor --json", description: "The findings as one JSON array" }
    ])
  )
