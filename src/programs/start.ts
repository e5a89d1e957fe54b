/** `labfx start`: a page on which a person begins as the teacher or as a student; the session then runs in this process. */
import { Context, Deferred, Effect, Exit, Layer, Redacted, Schema, Scope } from "effect"
import { Command, Flag } from "effect/cli"
import { settleFromStartMs } from "../protocol/Limits.ts"
import * as LaterSession from "../services/LaterSession.ts"
import type { StartChoice } from "../services/LocalApi.ts"
import { StartError, StartRefused } from "../services/LocalErrors.ts"
import type { Begun } from "../services/LocalServer.ts"
import { Secrets } from "../services/Secrets.ts"
import { Session } from "../services/Session.ts"
import { attend } from "./attend.ts"
import * as flags from "./flags.ts"
import * as Guide from "./Guide.ts"
import * as joinCode from "./joinCode.ts"
import * as KeptKey from "./KeptKey.ts"
import { Layers } from "./layers.ts"
import { Machine } from "./Machine.ts"
import { withTelemetry } from "./Page.ts"
import * as Parsing from "./Parsing.ts"
import { program } from "./program.ts"
import { reporting } from "./reporting.ts"
import { Streams } from "./Streams.ts"
import * as Typed from "./Typed.ts"

interface StartOptions {
  readonly print: boolean
  readonly port: number
  readonly discoveryPort: number
  readonly uiPort: number
}

type Teacher = Extract<StartChoice, { readonly _tag: "Teacher" }>
type Student = Extract<StartChoice, { readonly _tag: "Student" }>

const refuse = (reason: StartRefused["reason"], detail: string) => new StartRefused({ reason, detail })

const codeOf = (given: string | undefined, role: "teacher" | "student") => {
  const code = given?.trim() ?? ""
  if (code === "") return Effect.succeed(undefined)
  return joinCode.problemOf(code, role) === undefined
    ? Effect.succeed(Redacted.make(code, { label: "join code" }))
    : Effect.fail(refuse("bad-join-code", ""))
}

/** The layers of what was chosen, and who this device then is. */
const teacher = Effect.fnUntraced(function*(choice: Teacher, { discoveryPort, port }: StartOptions) {
  const layers = yield* Layers
  const machine = yield* Machine
  const secrets = yield* Secrets
  const stateFolder = machine.stateFolder("teacher")
  const name = yield* Guide.titleDefault
  const title = yield* Effect.mapError(Parsing.title(choice.title), () => refuse("bad-title", choice.title))
  const code = yield* codeOf(choice.joinCode, "teacher")
  const secret = choice.secret === undefined
    ? yield* KeptKey.findOrMake(stateFolder)
    : Redacted.make(choice.secret, { label: "secret" })
  const session = layers.teacher({
    secretSeed: yield* secrets.seed(secret, false),
    title,
    name,
    stateFolder,
    joinCode: code,
    studentsMayWrite: choice.studentsMayWrite,
    listenFirstMs: settleFromStartMs,
    port,
    discoveryPort,
    program
  })
  return { session, begun: { isTeacher: true, name, stateFolder } }
})

const student = Effect.fnUntraced(function*(choice: Student, { discoveryPort, port }: StartOptions) {
  const layers = yield* Layers
  const machine = yield* Machine
  const stateFolder = machine.stateFolder("student")
  const name = yield* Effect.mapError(Parsing.name(choice.name), () => refuse("bad-name", choice.name))
  const folder = Typed.unquote(choice.folder.trim())
  const code = yield* codeOf(choice.joinCode, "student")
  const session = layers.student({
    name,
    stateFolder,
    downloadFolder: yield* Guide.usableFolder(folder === "" ? machine.downloadFolder : machine.resolveTyped(folder)),
    join: undefined,
    joinCode: code,
    trust: [],
    connect: [],
    newSessions: "ask",
    port,
    discoveryPort,
    program
  })
  return { session, begun: { isTeacher: false, name, stateFolder } }
})

const isStartError = Schema.is(StartError)

/** Shows the start page, begins what is chosen there, and goes on as that session until it ends. */
export const runStart = Effect.fnUntraced(function*(options: StartOptions) {
  const { localServer } = yield* Effect.promise(() => import("./Serving.ts"))
  const { showPage } = yield* Effect.promise(() => import("./OpenPage.ts"))
  const layers = yield* Layers
  const machine = yield* Machine
  const streams = yield* Streams
  const scope = yield* Effect.scope
  const later = yield* LaterSession.make
  const chosen = yield* Deferred.make<Begun>()
  const stateFolder = machine.stateFolder("teacher")
  const usual = yield* Guide.titleDefault

  const begin = (choice: StartChoice) =>
    Effect.gen(function*() {
      const { begun, session } = yield* choice._tag === "Teacher" ? teacher(choice, options) : student(choice, options)
      // A session that cannot be had leaves nothing behind: the next choice may need its port and its folders.
      const own = yield* Scope.fork(scope)
      const built = yield* Layer.buildWithScope(session, own).pipe(
        Effect.onExit((exit) => Exit.isSuccess(exit) ? Effect.void : Scope.close(own, exit))
      )
      yield* later.begin(Context.get(built, Session)).pipe(Scope.provide(scope))
      yield* Deferred.succeed(chosen, begun)
      return begun
    }).pipe(
      Effect.catch((error) => isStartError(error) ? Effect.fail<StartError>(error) : Effect.die(error)),
      Effect.provide(layers.secrets),
      Effect.provideService(Machine, machine),
      Effect.provideService(Layers, layers)
    )

  const server = yield* localServer({
    uiPort: options.uiPort,
    isTeacher: false,
    name: usual,
    // What is dropped onto the page is a teacher's.
    stateFolder,
    starting: {
      defaults: Effect.map(KeptKey.find(stateFolder), (kept) => ({
        title: usual,
        name: Parsing.nameOfMachine(machine.hostname),
        folder: machine.downloadFolder,
        keyKept: kept !== undefined
      })).pipe(Effect.provideService(Machine, machine)),
      begin
    }
  }, machine.resolveTyped).pipe(Effect.provideService(Session, later.session))

  const url = yield* server.link
  if (options.print) streams.write(`${url}\n`)
  else {
    yield* machine.makeFolder(stateFolder)
    const place = yield* showPage(stateFolder, url).pipe(
      Effect.as("The page is open in your browser."),
      Effect.catchIf(
        ({ _tag }) => _tag === "OpenRefused" && streams.outIsTerminal,
        () => Effect.succeed(`Open this link in your browser, it works once: ${url}`)
      )
    )
    streams.write(`${place}\nCtrl-C ends labfx; labfx --help lists what else it can do.\n`)
  }
  const begun = yield* Effect.raceFirst(Deferred.await(chosen), Effect.as(streams.readerGone, undefined))
  if (begun === undefined) return
  yield* attend({
    json: false,
    isTeacher: begun.isTeacher,
    shares: [],
    resolvePath: machine.resolveTyped,
    asks: streams.inIsTerminal && streams.outIsTerminal,
    once: false
  }).pipe(withTelemetry, Effect.provideService(Session, later.session))
}, Effect.scoped)

export const start = Command.make("start", {
  print: Flag.Boolean("print").pipe(
    Flag.withDescription("Print the link of the page instead of opening it; it works once"),
    Flag.withDefault(false)
  ),
  port: flags.listenPort,
  discoveryPort: flags.discoveryPort,
  uiPort: flags.uiPort
}, (options) => runStart(options).pipe(reporting(false))).pipe(
  Command.withDescription(
    "Open a page in your browser on which you begin as the teacher or as a student. The session then runs here, and the page " +
      "goes on as its page."
  ),
  Command.withShortDescription("Begin on a page in your browser"),
  Command.withExamples([
    { command: "labfx start", description: "In your browser" },
    { command: "labfx start --print", description: "The link, for a browser of your choice" }
  ])
)
