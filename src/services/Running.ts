/**
 * Where the running session of this user is found by the other commands: a file in the state folder that only this user
 * can read, with the port and the key of the local API.
 *
 * The file is removed when the run ends. One that was left behind by a kill names a port where nobody knows its key, and
 * whoever asks there finds that out.
 */
import { Effect, Result, Schema } from "effect"
import { Disk, type DiskError } from "./Disk.ts"

export const Running = Schema.Struct({
  version: Schema.Literal(1),
  port: Schema.Natural.check(Schema.isBetween({ minimum: 1, maximum: 65_535 })),
  key: Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{43}$/)),
  role: Schema.Literals(["teacher", "student"])
})
export type Running = typeof Running.Type

const fileBytesMax = 4_096
const path = (stateFolder: string): string => `${stateFolder}/running.json`
const decode = Schema.decodeUnknownResult(Schema.fromJsonString(Running))

/** Says where this run is found, until the scope closes. */
export const announce = Effect.fnUntraced(function*(stateFolder: string, running: Running) {
  const disk = yield* Disk
  yield* Effect.acquireRelease(
    disk.replaceFile(path(stateFolder), new TextEncoder().encode(JSON.stringify(running))),
    () => Effect.ignore(disk.remove(path(stateFolder)))
  )
})

/** The run that the state folder names; nothing if there is none or it cannot be read. It may be over by now. */
export const read = (stateFolder: string): Effect.Effect<Running | undefined, never, Disk> =>
  Effect.gen(function*() {
    const disk = yield* Disk
    const bytes = yield* disk.readFile(path(stateFolder), fileBytesMax)
    return Result.getOrUndefined(decode(new TextDecoder().decode(bytes)))
  }).pipe(Effect.catch((_: DiskError) => Effect.succeed(undefined)))
