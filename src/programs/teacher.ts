/** `labfx teacher`: opens a session and hands things out in it. */
import { Effect, Option, type Redacted } from "effect"
import { Command, Flag } from "effect/cli"
import { settleFromStartMs } from "../protocol/Limits.ts"
import { Secrets } from "../services/Secrets.ts"
import { attend } from "./attend.ts"
import * as flags from "./flags.ts"
import * as Guide from "./Guide.ts"
import * as joinCode from "./joinCode.ts"
import * as KeptKey from "./KeptKey.ts"
import { Layers } from "./layers.ts"
import { Machine } from "./Machine.ts"
import { withPage } from "./Page.ts"
import * as Parsing from "./Parsing.ts"
import { program } from "./program.ts"
import { reporting } from "./reporting.ts"
import * as secret from "./secret.ts"
import { Streams } from "./Streams.ts"

interface Given {
  readonly secret: Option.Option<Redacted.Redacted>
  readonly secretFile: Option.Option<string>
  readonly allowWeakSecret: boolean
  readonly title: Option.Option<string>
  readonly name: Option.Option<string>
  readonly share: ReadonlyArray<string>
  readonly yes: boolean
  readonly json: boolean
}

/** What the session is opened with: as the flags say, or else as a person answers who is there to be asked. */
const opening = Effect.fnUntraced(function*(given: Given, name: string, stateFolder: string) {
  const machine = yield* Machine
  const secrets = yield* Secrets
  const streams = yield* Streams
  const source = {
    flag: given.secret,
    file: Option.map(given.secretFile, machine.resolve),
    json: given.json
  }
  const title = Option.isSome(given.title) ? Option.some(yield* Parsing.title(given.title.value)) : given.title
  const shares = given.share.map(machine.resolve)
  const allowWeak = given.allowWeakSecret
  const isGiven = yield* secret.isGiven(source)
  if (!isGiven && !given.yes && !given.json && streams.inIsTerminal) {
    return yield* Guide.teacher({ stateFolder, allowWeak, title, shares })
  }
  const secretSeed = !isGiven && given.yes
    ? yield* Effect.flatMap(KeptKey.findOrMake(stateFolder), (kept) => secrets.seed(kept, allowWeak))
    : yield* secret.seed({ ...source, allowWeak })
  const usual = Option.isNone(given.name) && given.yes ? yield* Guide.titleDefault : name
  return { secretSeed, shares, title: Option.getOrElse(title, () => usual) }
})

export const teacher = Command.make("teacher", {
  secret: Flag.Redacted("secret").pipe(
    // No argument can hold a zero byte, so this stands for the flag without a value and for nothing else.
    Flag.withOptionalValue(secret.ask),
    Flag.withDescription("The secret: a phrase or a key. Without a value, labfx asks for it"),
    Flag.optional
  ),
  secretFile: Flag.String("secret-file").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("A file that holds the secret, as labfx keygen writes it"),
    Flag.optional
  ),
  allowWeakSecret: Flag.Boolean("allow-weak-secret").pipe(
    Flag.withDescription("Accept a secret that could be guessed"),
    Flag.withDefault(false)
  ),
  title: Flag.String("title").pipe(
    Flag.withDescription("What the session is called (default: your name)"),
    Flag.optional
  ),
  name: flags.name,
  share: Flag.String("share").pipe(
    Flag.withMetavar("PATH"),
    Flag.withDescription("A file or folder to hand out from the start (repeatable)"),
    Flag.atLeast(0)
  ),
  joinCode: joinCode.flag(
    "Close the session: only who gives this code to the teacher takes part. Without a value, labfx asks for it"
  ),
  studentsMayWrite: Flag.Boolean("students-may-write").pipe(
    Flag.withDescription("Let students write messages"),
    Flag.withDefault(false)
  ),
  yes: Flag.Boolean("yes").pipe(
    Flag.withDescription("Do not ask: without a secret, take the key kept on this machine, and make it the first time"),
    Flag.withDefault(false)
  ),
  state: flags.stateFolder,
  port: flags.listenPort,
  discoveryPort: flags.discoveryPort,
  noMulticast: Flag.Boolean("no-multicast").pipe(
    Flag.withDescription("Send to each student alone, never to all at once, where a network is not to carry that"),
    Flag.withDefault(false)
  ),
  noUi: flags.noUi,
  uiPort: flags.uiPort,
  json: flags.json
}, (given) =>
  Effect.gen(function*() {
    const machine = yield* Machine
    const layers = yield* Layers
    const name = yield* Option.match(given.name, {
      onNone: () => Effect.succeed(Parsing.nameOfMachine(machine.hostname)),
      onSome: Parsing.name
    })
    const stateFolder = Option.match(given.state, {
      onNone: () => machine.stateFolder("teacher"),
      onSome: machine.resolve
    })
    const { secretSeed, shares, title } = yield* opening(given, name, stateFolder).pipe(Effect.provide(layers.secrets))
    const code = yield* joinCode.find(given.joinCode, "teacher")
    const session = layers.teacher({
      secretSeed,
      title,
      name,
      stateFolder,
      joinCode: code,
      studentsMayWrite: given.studentsMayWrite,
      listenFirstMs: settleFromStartMs,
      port: given.port,
      discoveryPort: given.discoveryPort,
      casts: !given.noMulticast,
      program
    })
    const { json, noUi, uiPort } = given
    const attended = attend({
      json: given.json,
      isTeacher: true,
      shares,
      resolvePath: machine.resolveTyped,
      asks: false,
      once: false
    })
    yield* withPage({ noUi, uiPort, json, isTeacher: true, name, stateFolder }, attended).pipe(Effect.provide(session))
  }).pipe(reporting(given.json))).pipe(
    Command.withDescription(
      "Open a session that every student's labfx in reach finds. While it runs, a line you type goes to everybody, and " +
        "/share PATH hands out a file or a folder; /help lists the rest."
    ),
    Command.withShortDescription("Open a session and hand things out"),
    Command.withExamples([
      { command: "labfx teacher", description: "Be led by questions; the key is made and kept the first time" },
      { command: "labfx teacher --secret-file labfx.key", description: "Open a session with the key of labfx keygen" },
      { command: "labfx teacher --secret --title \"Networks 101\"", description: "Be asked for the secret" },
      {
        command: "labfx teacher --secret-file labfx.key --share ./lab1 --share data.csv",
        description: "Hand out a folder and a file from the start"
      },
      { command: "LABFX_SECRET=… labfx teacher", description: "The secret from the environment" }
    ])
  )
