/** The teacher's key that is kept for this machine, so that a teacher need not know of keys to be one. */
import { Effect, Redacted } from "effect"
import { Secrets } from "../services/Secrets.ts"
import { Machine } from "./Machine.ts"

/** Beside the rest of the teacher's state, in a folder and with a mode that lets nobody else read it. */
export const pathIn = (stateFolder: string): string => `${stateFolder}/teacher.key`

/** The key of an earlier start; none if there is none or it cannot be read. */
export const find = (stateFolder: string) =>
  Effect.gen(function*() {
    const machine = yield* Machine
    const text = yield* machine.readText(pathIn(stateFolder))
    return text === undefined ? undefined : Redacted.make(text, { label: "secret" })
  })

/** Makes a key and keeps it. One that is there is never overwritten. */
export const make = (stateFolder: string) =>
  Effect.gen(function*() {
    const machine = yield* Machine
    const secrets = yield* Secrets
    const { text } = yield* secrets.generate("key")
    yield* machine.makeFolder(stateFolder)
    yield* machine.createSecretFile(pathIn(stateFolder), `${Redacted.value(text)}\n`)
    return text
  })

/** The key kept for this machine; the first time it is made. */
export const findOrMake = (stateFolder: string) =>
  Effect.flatMap(find(stateFolder), (kept) => kept === undefined ? make(stateFolder) : Effect.succeed(kept))
