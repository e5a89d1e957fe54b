/**
 * The session this device was in last and where its peers were, kept with its state: a run that follows upon a kill finds
 * its way back without waiting to hear of anybody.
 */
import { Context, Effect, Layer, Result, Schema } from "effect"
import { PeerId, PublicKey, SessionId } from "../protocol/Ids.ts"
import * as Limits from "../protocol/Limits.ts"
import { Address } from "../protocol/Wire.ts"
import { Disk, type DiskError } from "./Disk.ts"

const Kept = Schema.Struct({
  root: PublicKey,
  session: SessionId,
  /** Hints and nothing more: who is there now has to prove it. The one to ask first stands first. */
  peers: Schema.Array(Schema.Struct({ peer: PeerId, address: Address }))
    .check(Schema.isMaxLength(Limits.peersRememberedMax)),
  /** Whether the run ended while it was in the session, by no choice of a person. */
  cutShort: Schema.Boolean
})
export type Kept = typeof Kept.Type

const LastSessionFile = Schema.Struct({ version: Schema.Literal(1), last: Kept })

/** A key and the longest name of a host for each, twice over. */
const fileBytesMax = (1 + Limits.peersRememberedMax) * 1_024

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(LastSessionFile))

export class LastSession extends Context.Service<LastSession, {
  /** What an earlier run has left; nothing where there is none or it cannot be read: then the session is looked for. */
  readonly kept: Effect.Effect<Kept | undefined>
  /**
   * Remembers the first `Limits.peersRememberedMax` of these peers and, as far as there is room, those remembered before of
   * the same session. On disk when this completes.
   */
  readonly keep: (last: Omit<Kept, "cutShort">) => Effect.Effect<void, DiskError>
  /** The run ends as a person wants it to: the next one may still ask these peers, and goes on with no session unasked. */
  readonly leave: Effect.Effect<void, DiskError>
  /** The session is over: nobody is to look for it again. */
  readonly forget: Effect.Effect<void, DiskError>
}>()("labfx/services/LastSession") {
  static readonly layer = (stateFolder: string) =>
    Layer.effect(
      LastSession,
      Effect.gen(function*() {
        const disk = yield* Disk
        const path = `${stateFolder}/last-session.json`
        const save = (last: Kept) =>
          disk.replaceFile(path, new TextEncoder().encode(JSON.stringify({ version: 1, last })))

        const kept = disk.readFile(path, fileBytesMax).pipe(
          Effect.map((bytes) => Result.getOrUndefined(decode(new TextDecoder().decode(bytes)))?.last),
          Effect.orElseSucceed(() => undefined)
        )

        return LastSession.of({
          kept,
          keep: Effect.fn("LastSession.keep")(function*({ peers, root, session }) {
            const before = yield* kept
            const others = before?.session !== session
              ? []
              : before.peers.filter(({ peer }) => peers.every((other) => other.peer !== peer))
            const all = [...peers, ...others].slice(0, Limits.peersRememberedMax)
            yield* save({ root, session, peers: all, cutShort: true })
          }),
          leave: Effect.flatMap(
            kept,
            (last) => last === undefined ? Effect.void : save({ ...last, cutShort: false })
          ),
          forget: disk.remove(path)
        })
      })
    )
}
