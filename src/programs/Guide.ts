/** The questions that lead a newcomer into a session: every one has a default, which Enter takes. */
import { Effect, Option, Redacted } from "effect"
import { FolderError } from "../services/ChunkStore.ts"
import { Secrets } from "../services/Secrets.ts"
import * as Asking from "./Asking.ts"
import * as Display from "./Display.ts"
import * as KeptKey from "./KeptKey.ts"
import { Machine } from "./Machine.ts"
import * as Parsing from "./Parsing.ts"
import * as Phrasing from "./Phrasing.ts"
import * as Problems from "./Problems.ts"
import { Streams } from "./Streams.ts"
import * as Typed from "./Typed.ts"

/** What a session is called if nobody says: by the person who opens it. */
export const titleDefault = Effect.map(Machine, ({ hostname, user }) => Parsing.nameOfMachine(user ?? hostname))

/** The download folder, made now: that it cannot be is better said while a person can still name another. */
export const usableFolder = Effect.fnUntraced(function*(path: string) {
  const machine = yield* Machine
  yield* Effect.mapError(machine.makeFolder(path), ({ detail }) => new FolderError({ reason: "io", path, detail }))
  return path
})

/** Asks until the answer is one; what is wrong with the others is said. */
const until = <A, R>(attempt: Effect.Effect<A, Problems.LabfxError, R>) =>
  Effect.flatMap(Streams, (streams) =>
    attempt.pipe(
      Effect.tapError((error) =>
        Effect.sync(() =>
          streams.complain(Phrasing.problem(Problems.explain(error)).map(({ text }) => `${text}\n`).join(""))
        )
      ),
      Effect.eventually
    ))

const withDefault = (question: string, value: string) => `${question} [${Display.safeLine(value)}]`

export interface TeacherGuideOptions {
  readonly stateFolder: string
  readonly allowWeak: boolean
  /** What is given already is not asked. */
  readonly title: Option.Option<string>
  readonly shares: ReadonlyArray<string>
}

/** The seed of the teacher's key, the title, and what is handed out from the start. */
export const teacher = Effect.fnUntraced(
  function*({ allowWeak, shares, stateFolder, title }: TeacherGuideOptions) {
    const machine = yield* Machine
    const secrets = yield* Secrets
    const streams = yield* Streams
    const { ask, askHidden } = yield* Asking.make

    const secretSeed = yield* until(Effect.gen(function*() {
      const kept = yield* KeptKey.find(stateFolder)
      const choice = yield* ask([
        "A teacher's key shows your students that it is you. Which one do you take?",
        kept === undefined
          ? "  1  a new one, kept on this machine for the next time"
          : "  1  the one kept on this machine",
        "  2  one in a file",
        "  3  a phrase that you know by heart",
        "The number, or Enter for 1:"
      ].join("\n"))
      switch (choice) {
        case "":
        case "1": {
          if (kept !== undefined) return yield* secrets.seed(kept, allowWeak)
          const made = yield* KeptKey.make(stateFolder)
          streams.complain(`It is kept in ${KeptKey.pathIn(stateFolder)}. Who has that file is the teacher.\n`)
          return yield* secrets.seed(made, allowWeak)
        }
        case "2": {
          const path = machine.resolveTyped(Typed.unquote(yield* ask("The key file: its path, or drop the file here")))
          const text = yield* machine.readText(path)
          if (text === undefined) return yield* new Problems.UsageError({ reason: "no-secret-file", detail: path })
          return yield* secrets.seed(Redacted.make(text, { label: "secret" }), allowWeak)
        }
        case "3":
          return yield* secrets.seed(Redacted.make(yield* askHidden("Phrase"), { label: "secret" }), allowWeak)
        default:
          return yield* new Problems.UsageError({ reason: "bad-choice", detail: choice })
      }
    }))

    const usual = yield* titleDefault
    const called = Option.isSome(title)
      ? title.value
      : yield* until(Effect.flatMap(
        ask(withDefault("What is the session called?", usual)),
        (text) => Parsing.title(text === "" ? usual : text)
      ))

    const first = shares.length > 0
      ? ""
      : yield* ask("Something to hand out from the start? A path, or drop a file or folder here; Enter for nothing.")
    return {
      secretSeed,
      title: called,
      shares: first === "" ? shares : [machine.resolveTyped(Typed.unquote(first))]
    }
  },
  Effect.scoped
)

/** The name others see, and where received files appear. */
export const student = Effect.gen(function*() {
  const machine = yield* Machine
  const { ask } = yield* Asking.make
  const usual = Parsing.nameOfMachine(machine.hostname)
  const name = yield* until(Effect.flatMap(
    ask(withDefault("What is your name? The others see it.", usual)),
    (text) => Parsing.name(text === "" ? usual : text)
  ))
  const downloadFolder = yield* until(Effect.flatMap(
    ask(withDefault("Where shall received files appear?", machine.downloadFolder)),
    (text) => usableFolder(text === "" ? machine.downloadFolder : machine.resolveTyped(Typed.unquote(text)))
  ))
  return { name, downloadFolder }
}).pipe(Effect.scoped)
