/** `labfx student`: finds a session, joins it and receives what is shared. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { attend } from "./attend.ts"
import * as flags from "./flags.ts"
import * as Guide from "./Guide.ts"
import * as joinCode from "./joinCode.ts"
import { Layers } from "./layers.ts"
import { Machine } from "./Machine.ts"
import { withPage } from "./Page.ts"
import * as Parsing from "./Parsing.ts"
import { UsageError } from "./Problems.ts"
import { program } from "./program.ts"
import { reporting } from "./reporting.ts"
import { Streams } from "./Streams.ts"

export const student = Command.make("student", {
  name: flags.name,
  dir: Flag.String("dir").pipe(
    Flag.withMetavar("DIR"),
    Flag.withDescription("Where received files appear (default: labfx in your Downloads folder)"),
    Flag.optional
  ),
  state: flags.stateFolder,
  join: Flag.String("join").pipe(
    Flag.withMetavar("\"SIX WORDS\""),
    Flag.withDescription("Join the session with these words and no other"),
    Flag.optional
  ),
  joinCode: joinCode.flag(
    "What the teacher of a closed session has given to the class. Without a value, labfx asks for it"
  ),
  connect: Flag.String("connect").pipe(
    Flag.withMetavar("HOST:PORT"),
    Flag.withDescription("A device of the session, where broadcast is blocked (repeatable)"),
    Flag.atLeast(0)
  ),
  trust: Flag.String("trust").pipe(
    Flag.withMetavar("FILE_OR_KEY"),
    Flag.withDescription("A teacher's public key to trust from the start (repeatable)"),
    Flag.atLeast(0)
  ),
  yes: Flag.Boolean("yes").pipe(
    Flag.withDescription("Do not ask: take every default, and join a new session if exactly one is in reach"),
    Flag.withDefault(false)
  ),
  once: Flag.Boolean("once").pipe(
    Flag.withDescription("Leave when everything shared so far has arrived"),
    Flag.withDefault(false)
  ),
  port: flags.listenPort,
  discoveryPort: flags.discoveryPort,
  noUi: flags.noUi,
  uiPort: flags.uiPort,
  json: flags.json
}, (given) =>
  Effect.gen(function*() {
    const machine = yield* Machine
    const streams = yield* Streams
    const layers = yield* Layers
    const readKeyFile = (path: string) =>
      Effect.flatMap(machine.readText(machine.resolve(path)), (text) =>
        text === undefined
          ? Effect.fail(new UsageError({ reason: "bad-trust", detail: path }))
          : Effect.succeed(text))
    // Asked where nobody sees the question, nobody would answer.
    const asks = !given.yes && !given.json && streams.inIsTerminal && streams.outIsTerminal
    const isLed = asks && !given.once && Option.isNone(given.name) && Option.isNone(given.dir) &&
      Option.isNone(given.join) && given.connect.length + given.trust.length === 0
    const { downloadFolder, name } = isLed ? yield* Guide.student : {
      name: yield* Option.match(given.name, {
        onNone: () => Effect.succeed(Parsing.nameOfMachine(machine.hostname)),
        onSome: Parsing.name
      }),
      downloadFolder: Option.match(given.dir, { onNone: () => machine.downloadFolder, onSome: machine.resolve })
    }
    const stateFolder = Option.match(given.state, {
      onNone: () => machine.stateFolder("student"),
      onSome: machine.resolve
    })
    const code = yield* joinCode.find(given.joinCode, "student")
    const session = layers.student({
      name,
      stateFolder,
      downloadFolder,
      join: Option.isNone(given.join) ? undefined : yield* Parsing.words(given.join.value),
      joinCode: code,
      trust: yield* Effect.forEach(given.trust, (trust) => Parsing.publicKey(trust, readKeyFile)),
      connect: yield* Effect.forEach(given.connect, Parsing.address),
      newSessions: asks ? "ask" : "first-use",
      port: given.port,
      discoveryPort: given.discoveryPort,
      program
    })
    const { json, noUi, uiPort } = given
    const attended = attend({
      json: given.json,
      isTeacher: false,
      shares: [],
      resolvePath: machine.resolveTyped,
      asks,
      once: given.once
    })
    yield* withPage({ noUi, uiPort, json, isTeacher: false, name, stateFolder }, attended).pipe(Effect.provide(session))
  }).pipe(reporting(given.json))).pipe(
    Command.withDescription(
      "Find the session on this network, join it and receive what the teacher shares. Everything received is passed on to others."
    ),
    Command.withShortDescription("Join a session and receive what is shared"),
    Command.withExamples([
      { command: "labfx student", description: "Say your name, compare the words of the session, join" },
      { command: "labfx student --dir ~/lab --once", description: "Receive what is shared so far, then leave" },
      {
        command: "labfx student --join \"one two three four five six\"",
        description: "Join the session with these words only"
      },
      { command: "labfx student --connect 192.168.1.20:4711", description: "Where broadcast is blocked" },
      { command: "labfx student --yes --json", description: "For scripts: no questions, events as JSON" }
    ])
  )
