/** `labfx simulate`: a lesson of many devices in this one process, under faults and attackers that a seed decides. */
import { Effect, Option, Random } from "effect"
import { Command, Flag } from "effect/cli"
import { defaults, type Options, roles } from "../simulator/Scenario.ts"
import type { Report } from "../simulator/Simulation.ts"
import * as Display from "./Display.ts"
import * as ExitCode from "./ExitCode.ts"
import * as Parsing from "./Parsing.ts"
import { Reported } from "./reporting.ts"
import { Streams } from "./Streams.ts"

const peersMax = 500
const minutesMax = 600
/** Every device holds its own copy in memory. */
const sizeBytesMax = 64 * 2 ** 20
const seedMax = 2 ** 32 - 1

/** `2%` or `0.02`. */
const fraction = (text: string): Option.Option<number> => {
  const [, number, sign] = /^(\d+(?:\.\d+)?)(%?)$/.exec(text) ?? []
  const value = Number(number) / (sign === "%" ? 100 : 1)
  return value >= 0 && value <= 10 ? Option.some(value) : Option.none()
}
const noFraction = (text: string) => `“${text}” is no share such as 5%.`

const share = (name: string, description: string, otherwise: number) =>
  Flag.String(name).pipe(
    Flag.withMetavar("PERCENT"),
    Flag.withDescription(`${description} (default: ${otherwise * 100}%)`),
    Flag.withDefault(`${otherwise * 100}%`),
    Flag.filterMap(fraction, noFraction)
  )

const number = (name: string, description: string, otherwise: number, min: number, max: number) =>
  Flag.Finite(name).pipe(
    Flag.withDescription(`${description} (default: ${otherwise})`),
    Flag.withDefault(otherwise),
    Flag.filter((value) => value >= min && value <= max, (value) => `“${value}” is not from ${min} to ${max}.`)
  )

const whole = (name: string, description: string, otherwise: number, min: number, max: number) =>
  Flag.Int(name).pipe(
    Flag.withDescription(`${description} (default: ${otherwise})`),
    Flag.withDefault(otherwise),
    Flag.filter((value) => value >= min && value <= max, (value) => `“${value}” is not from ${min} to ${max}.`)
  )

export const simulate = Command.make("simulate", {
  peers: whole("peers", "How many devices, the teacher and the hostile ones counted", defaults.peers, 2, peersMax),
  hostile: whole("hostile", "How many of them mean harm, each in its own way", defaults.hostile, 0, peersMax - 2),
  roles: Flag.String("roles").pipe(
    Flag.withMetavar("ROLES"),
    Flag.withDescription(`What the hostile do, in turn, from ${roles.join(", ")} (default: all)`),
    Flag.withDefault(roles.join(",")),
    Flag.filterMap(
      (text) => {
        const named = text.split(",").map((name) => roles.find((role) => role === name.trim()))
        return named.includes(undefined) ? Option.none() : Option.some(named.filter((role) => role !== undefined))
      },
      (text) => `“${text}” is not a list of ${roles.join(", ")}.`
    )
  ),
  seed: Flag.Int("seed").pipe(
    Flag.withDescription("Which lesson: the same seed gives the same one (default: a new one)"),
    Flag.filter((seed) => seed >= 0 && seed <= seedMax, (seed) => `“${seed}” is not from 0 to ${seedMax}.`),
    Flag.optional
  ),
  loss: share("loss", "Datagrams lost, and as many that come twice", defaults.loss),
  multicastLoss: Flag.String("multicast-loss").pipe(
    Flag.withMetavar("PERCENT"),
    Flag.withDescription("Fragments of a cast lost on their way to a device (default: the network carries none)"),
    Flag.filterMap(fraction, noFraction),
    Flag.optional
  ),
  churn: share(
    "churn",
    "Devices that crash in a minute, by kill or power cut; the teacher leaves and returns",
    defaults.churn
  ),
  faults: share("faults", "Devices that network, disk and clock fail in a minute, each", defaults.faults),
  bytes: Flag.String("bytes").pipe(
    Flag.withMetavar("BYTES"),
    Flag.withDescription("How much to hand out (default: 2MB)"),
    Flag.withDefault("2MB"),
    Flag.filterMap(
      (text) => Option.filter(Parsing.sizeBytes(text), (bytes) => bytes >= 1_000 && bytes <= sizeBytesMax),
      () => "a size from 1kB to 64MiB"
    )
  ),
  minutes: number(
    "minutes",
    "For how long things go wrong, in minutes of virtual time",
    defaults.minutes,
    0.1,
    minutesMax
  ),
  latency: number("latency", "Milliseconds from device to device", defaults.latencyMs, 0, 10_000),
  jitter: number("jitter", "Milliseconds that may be added to it", defaults.jitterMs, 0, 10_000),
  mbit: number("mbit", "Megabits a second of every device, up and down", defaults.bytesPerSecond * 8 / 1e6, 0.1, 1e6),
  trace: Flag.Boolean("trace").pipe(
    Flag.withDescription("Print everything that happens, one line an event"),
    Flag.withDefault(false)
  )
}, ({ jitter, latency, mbit, multicastLoss, seed, trace, ...rest }) =>
  Effect.gen(function*() {
    const streams = yield* Streams
    const fresh = yield* Random.nextIntBetween(0, seedMax)
    const options: Options = {
      ...rest,
      seed: Option.getOrElse(seed, () => fresh),
      multicastLoss: Option.getOrUndefined(multicastLoss),
      latencyMs: latency,
      jitterMs: jitter,
      bytesPerSecond: mbit * 1e6 / 8
    }
    // Only who asks for it loads it.
    const [Simulation, CryptoNode] = yield* Effect.promise(() =>
      Promise.all([import("../simulator/Simulation.ts"), import("../services/node/CryptoNode.ts")])
    )
    // A large lesson takes minutes: whoever watches sees that it goes on, and which one it is.
    const isWatched = streams.outIsTerminal && !trace
    const show = trace ? (line: string) => streams.write(`${line}\n`) : undefined
    const passed = isWatched
      ? (virtualMs: number) => streams.write(`\rSeed ${options.seed}: ${seconds(virtualMs)} of virtual time …  `)
      : undefined
    const report = yield* Simulation.run(options, show, passed).pipe(Effect.provide(CryptoNode.layerNode))
    if (isWatched) streams.write("\r\u001b[K")
    streams.write(summary(options, report).map((line) => `${line}\n`).join(""))
    if (report.violations.length === 0) return
    streams.complain(
      [
        `Seed ${report.seed} broke ${Display.plural(report.violations.length, "promise")}:`,
        ...report.violations.slice(0, 20).map((violation) => `  ${violation}`),
        "The same command with --trace and this --seed shows how it came to that."
      ].map((line) => `${line}\n`).join("")
    )
    return yield* new Reported({ exit: ExitCode.failed })
  })).pipe(
    Command.withDescription(
      "Simulate a lesson in this one process: the program's own code on a simulated network, on disks, clocks and chance " +
        "that fail as a seed decides, among devices that mean harm. Checks at every step that nothing wrong is ever " +
        "shown, and in the end that everybody has everything. Exits with 1 if not."
    ),
    Command.withShortDescription("Try a lesson under faults and attackers"),
    Command.withExamples([
      { command: "labfx simulate", description: "Fifty devices, three bad minutes, a new seed" },
      {
        command: "labfx simulate --peers 50 --seed 42 --loss 2% --churn 20% --hostile 5 --bytes 2MB --minutes 3",
        description: "The same lesson every time"
      }
    ])
  )

const seconds = (milliseconds: number): string => `${(milliseconds / 1_000).toFixed(1)} s`

const summary = (options: Options, report: Report): ReadonlyArray<string> => [
  `Seed ${report.seed}: a teacher, ${Display.plural(report.honest - 1, "student")} and ${report.hostile} hostile; ` +
  `${seconds(report.virtualMs)} of virtual time.`,
  `Faults: ${
    report.faults.size === 0
      ? "none"
      : Array.from(report.faults, ([kind, count]) => `${kind} ${count}`).toSorted().join(", ")
  }.`,
  `Handed out: ${Display.plural(report.shares, "share")}, ${Display.bytes(options.bytes)} in all, and ${
    Display.plural(report.messages, "message")
  }.`,
  report.completeMs === undefined
    ? "Not everybody has everything."
    : `Everybody had everything at ${seconds(report.completeMs)}; from offer to the slowest who was there: ${
      report.slowestMs.map(seconds).join(", ")
    }.`,
  `Sent by the teacher: ${report.teacherCopies.toFixed(2)} times the material; received by a student: ${
    report.studentCopies.toFixed(2)
  } times.`,
  ...(report.poisoners === 0 ? [] : [
    `Poisoners: ${report.poisonersNamed} of ${report.poisoners} named; at most ${
      Display.plural(report.poisonedChunksMax, "false chunk")
    } before one was dropped.`
  ]),
  `Trace: ${Display.plural(report.linesCount, "event")}, digest ${report.digest}.`
]
