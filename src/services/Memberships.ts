/** The closed sessions that this device is a member of, kept with its state: a restart needs no join code. */
import { Context, Effect, Layer, Result, Schema } from "effect"
import { SessionId } from "../protocol/Ids.ts"
import * as Limits from "../protocol/Limits.ts"
import { bodyCharactersMax } from "../protocol/MembershipCertificate.ts"
import { Signed } from "../protocol/Signed.ts"
import { Disk, type DiskError } from "./Disk.ts"

const MembershipsFile = Schema.Struct({
  version: Schema.Literal(1),
  memberships: Schema.Array(Schema.Struct({ session: SessionId, membership: Signed }))
    .check(Schema.isMaxLength(Limits.membershipsKeptMax))
})

/** A session id, two keys and a signature for each, twice over. */
const fileBytesMax = Limits.membershipsKeptMax * (bodyCharactersMax + 512)

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(MembershipsFile))

export class Memberships extends Context.Service<Memberships, {
  /** The membership of an earlier run; none where the file is damaged, as the code can be given again. */
  readonly of: (session: SessionId) => Effect.Effect<Signed | undefined, DiskError>
  /** On disk when this completes. */
  readonly keep: (session: SessionId, membership: Signed) => Effect.Effect<void, DiskError>
}>()("labfx/services/Memberships") {
  static readonly layer = (stateFolder: string) =>
    Layer.effect(
      Memberships,
      Effect.gen(function*() {
        const disk = yield* Disk
        const path = `${stateFolder}/memberships.json`

        const load = disk.readFile(path, fileBytesMax).pipe(
          Effect.map((bytes) => {
            const file = decode(new TextDecoder().decode(bytes))
            return Result.isSuccess(file) ? file.success.memberships : []
          }),
          Effect.catchTag(
            "DiskError",
            (error) => error.reason === "not-found" ? Effect.succeed([]) : Effect.fail(error)
          )
        )

        return Memberships.of({
          of: (session) => Effect.map(load, (all) => all.find((each) => each.session === session)?.membership),
          keep: Effect.fn("Memberships.keep")(function*(session, membership) {
            const others = (yield* load).filter((each) => each.session !== session)
            const memberships = [...others, { session, membership }].slice(-Limits.membershipsKeptMax)
            yield* disk.replaceFile(path, new TextEncoder().encode(JSON.stringify({ version: 1, memberships })))
          })
        })
      })
    )
}
