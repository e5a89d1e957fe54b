/** `labfx keygen`: makes a teacher's secret, once. */
import { Console, Effect, Option, Redacted } from "effect"
import { Command, Flag } from "effect/cli"
import { Secrets } from "../services/Secrets.ts"
import { Layers } from "./layers.ts"
import { Machine } from "./Machine.ts"
import { reporting } from "./reporting.ts"

const fileDefault = "labfx.key"

export const keygen = Command.make("keygen", {
  phrase: Flag.Boolean("phrase").pipe(
    Flag.withDescription("Six words to remember instead of a key file"),
    Flag.withDefault(false)
  ),
  out: Flag.String("out").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription(
      `Where to write the secret; nothing is overwritten (default: ${fileDefault}, none for a phrase)`
    ),
    Flag.optional
  )
}, ({ out, phrase }) =>
  Effect.gen(function*() {
    const layers = yield* Layers
    const machine = yield* Machine
    const secret = yield* Secrets.use((secrets) => secrets.generate(phrase ? "phrase" : "key")).pipe(
      Effect.provide(layers.secrets)
    )
    const file = Option.map(
      Option.orElse(out, () => phrase ? Option.none() : Option.some(fileDefault)),
      machine.resolve
    )
    if (Option.isSome(file)) {
      yield* machine.createSecretFile(file.value, `${Redacted.value(secret.text)}\n`)
      yield* Console.log(`The secret is in ${file.value}. Keep it to yourself: who has it is the teacher.`)
      yield* Console.log(`Start a session with: labfx teacher --secret-file ${file.value}`)
    } else {
      yield* Console.log(`The secret: ${Redacted.value(secret.text)}`)
      yield* Console.log("Remember it and keep it to yourself: who has it is the teacher. It is stored nowhere.")
      yield* Console.log("Start a session with: labfx teacher --secret")
    }
    yield* Console.log(`Its words, which every session shows: ${secret.words}`)
    yield* Console.log(`Public key, for labfx student --trust: ${secret.publicKey}`)
  }).pipe(reporting(false))).pipe(
    Command.withDescription(
      "Make a teacher's secret. Its six words are what students compare; they stay the same for as long as the secret is used."
    ),
    Command.withShortDescription("Make a teacher's secret"),
    Command.withExamples([
      { command: "labfx keygen --out labfx.key", description: "A key file that only you can read" },
      { command: "labfx keygen --phrase", description: "Six words to remember" }
    ])
  )
