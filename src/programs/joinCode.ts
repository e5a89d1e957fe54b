/** The join code of a closed session, wherever it comes from. Like the secret it is never printed, logged or put into an error. */
import { Effect, Option, Redacted, Schema } from "effect"
import { Flag } from "effect/cli"
import * as Limits from "../protocol/Limits.ts"
import { shortText } from "../protocol/Text.ts"
import { Machine } from "./Machine.ts"
import { UsageError } from "./Problems.ts"
import * as secret from "./secret.ts"

export const flag = (description: string) =>
  Flag.Redacted("join-code").pipe(
    Flag.withOptionalValue(secret.ask),
    Flag.withDescription(description),
    Flag.optional
  )

const isCode = Schema.is(shortText(Limits.joinCodeBytesMax))

/** What is wrong with a code, blanks around it left out; a student's may be as short as the teacher's was. */
export const problemOf = (code: string, command: "teacher" | "student") =>
  code === "" || !isCode(code)
    ? "bad-join-code"
    : command === "teacher" && [...code.replace(/\s/gu, "")].length < Limits.joinCodeCharactersMin
    ? "short-join-code"
    : undefined

/** Flag, question, environment: the first that is given counts; none is an open session, or no code to give. */
export const find = Effect.fnUntraced(function*(
  given: Option.Option<Redacted.Redacted>,
  command: "teacher" | "student"
) {
  const machine = yield* Machine
  const variable = machine.environment["LABFX_JOIN_CODE"]
  if (Option.isNone(given) && variable === undefined) return undefined
  const asked = Option.isSome(given) && Redacted.value(given.value) === secret.ask
  if (Option.isSome(given) && !asked) yield* secret.cover(`labfx ${command}`)
  const code = asked
    ? yield* secret.answer("Join code")
    : Option.getOrElse(given, () => Redacted.make(variable!, { label: "join code" }))
  const text = Redacted.value(code).trim()
  const reason = problemOf(text, command)
  if (reason !== undefined) return yield* new UsageError({ reason, detail: "" })
  return Redacted.make(text, { label: "join code" })
})
