/** The teacher's secret, wherever it comes from. It is never printed, logged or put into an error. */
import { Effect, Option, Queue, Redacted } from "effect"
import { Secrets } from "../services/Secrets.ts"
import * as Asking from "./Asking.ts"
import { Machine } from "./Machine.ts"
import * as OutputEvent from "./OutputEvent.ts"
import { UsageError } from "./Problems.ts"
import { Streams } from "./Streams.ts"

/** Stands for `--secret` without a value: no argument can hold a zero byte. */
export const ask = "\u0000"

export interface Source {
  readonly flag: Option.Option<Redacted.Redacted>
  readonly file: Option.Option<string>
  readonly json: boolean
}

const exposed =
  "The secret stood on the command line, where other users of this machine may have read it in the list of " +
  "processes. Use --secret-file, or --secret without a value."

/** One line of standard input; what follows it is typed into the session. */
const firstLine = Effect.gen(function*() {
  const streams = yield* Streams
  const lines = yield* streams.lines
  return yield* Queue.take(lines).pipe(
    Effect.map((line) => line._tag === "Line" ? line.text : ""),
    Effect.catchTag("Done", () => Effect.succeed(""))
  )
})

const hidden = (what: string) => Effect.scoped(Effect.flatMap(Asking.make, ({ askHidden }) => askHidden(what)))

const redact = (text: string) => Redacted.make(text, { label: "secret" })

/** What a flag without a value stands for: an answer at the terminal, or the next line of a script. */
export const answer = (what: string) =>
  Effect.gen(function*() {
    const streams = yield* Streams
    return redact(yield* streams.inIsTerminal ? hidden(what) : firstLine)
  })

/**
 * Takes the place of the command line in the list of processes, as far as the system allows: a lesson is long.
 */
export const cover = (title: string) =>
  Effect.sync(() => {
    process.title = title
  })

/** Whether there is one anywhere; an empty one counts, and is refused later. */
export const isGiven = ({ file, flag }: Source) =>
  Effect.map(
    Machine,
    ({ environment }) => Option.isSome(flag) || Option.isSome(file) || environment["LABFX_SECRET"] !== undefined
  )

/** Flag, question, file, environment: the first that is given counts. */
export const find = Effect.fnUntraced(function*(source: Source) {
  const machine = yield* Machine
  const streams = yield* Streams
  if (Option.isSome(source.flag)) {
    if (Redacted.value(source.flag.value) === ask) {
      return yield* answer("Secret")
    }
    yield* cover("labfx teacher")
    if (source.json) streams.write(yield* OutputEvent.line({ event: "warning", code: "secret-exposed", text: exposed }))
    else streams.complain(`Warning: ${exposed}\n`)
    return source.flag.value
  }
  if (Option.isSome(source.file)) {
    const text = yield* machine.readText(source.file.value)
    if (text === undefined) return yield* new UsageError({ reason: "no-secret-file", detail: source.file.value })
    return redact(text)
  }
  const variable = machine.environment["LABFX_SECRET"]
  if (variable !== undefined) return redact(variable)
  return yield* new UsageError({ reason: "no-secret", detail: "" })
})

/** The seed of the root key, from wherever the secret is. */
export const seed = Effect.fnUntraced(function*(source: Source & { readonly allowWeak: boolean }) {
  const secrets = yield* Secrets
  return yield* secrets.seed(yield* find(source), source.allowWeak)
})
