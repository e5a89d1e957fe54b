/**
 * What a run leaves to the next one, beside keys and files: the session it was in and where its peers were, so that a kill
 * costs no time of looking; and the sessions that have ended, so that nobody can play one back to this device.
 */
import { Context, Effect, Layer, Result, Schema, Semaphore } from "effect"
import { PeerId, PublicKey, SessionId } from "../protocol/Ids.ts"
import * as Limits from "../protocol/Limits.ts"
import { Address } from "../protocol/Wire.ts"
import { Disk, type DiskError } from "./Disk.ts"

const LastSession = Schema.Struct({
  root: PublicKey,
  session: SessionId,
  /** Hints and nothing more: who is there now has to prove it. The one to ask first stands first. */
  peers: Schema.Array(Schema.Struct({ peer: PeerId, address: Address }))
    .check(Schema.isMaxLength(Limits.peersRememberedMax)),
  /** Whether the run ended while it was in the session, by no choice of a person. */
  cutShort: Schema.Boolean
})
export type LastSession = typeof LastSession.Type

const PastSessionsFile = Schema.Struct({
  version: Schema.Literal(1),
  last: Schema.optionalKey(LastSession),
  ended: Schema.Array(SessionId).check(Schema.isMaxLength(Limits.endedSessionsKeptMax))
})
type Past = typeof PastSessionsFile.Type

/** Ids, and for each peer a key and the longest name of a host, twice over. */
const fileBytesMax = 64 * Limits.endedSessionsKeptMax + (1 + Limits.peersRememberedMax) * 1_024

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(PastSessionsFile))

export class PastSessions extends Context.Service<PastSessions, {
  /** What the run before has left; nothing where there is none or it cannot be read: then the session is looked for. */
  readonly last: Effect.Effect<LastSession | undefined>
  /** Sessions that this device has seen end: the newest `Limits.endedSessionsKeptMax`. */
  readonly ended: Effect.Effect<ReadonlySet<SessionId>>
  /**
   * Remembers the first `Limits.peersRememberedMax` of these peers and, as far as there is room, those remembered before of
   * the same session. On disk when this completes.
   */
  readonly keep: (last: Omit<LastSession, "cutShort">) => Effect.Effect<void, DiskError>
  /** The run ends as a person wants it to: the next one may still ask these peers, and goes on with no session unasked. */
  readonly leave: Effect.Effect<void, DiskError>
  /** The session is over: nobody is to look for it again, nor to be led into it. */
  readonly end: (session: SessionId) => Effect.Effect<void, DiskError>
}>()("labfx/services/PastSessions") {
  static readonly layer = (stateFolder: string) =>
    Layer.effect(
      PastSessions,
      Effect.gen(function*() {
        const disk = yield* Disk
        const path = `${stateFolder}/past-sessions.json`
        /** What is read, changed and written back must not change in between. */
        const alone = yield* Semaphore.make(1)
        const none: Past = { version: 1, ended: [] }

        const load = disk.readFile(path, fileBytesMax).pipe(
          Effect.map((bytes) => Result.getOrElse(decode(new TextDecoder().decode(bytes)), () => none)),
          Effect.orElseSucceed(() => none)
        )
        const change = (next: (past: Past) => Past) =>
          load.pipe(
            Effect.flatMap((past) => disk.replaceFile(path, new TextEncoder().encode(JSON.stringify(next(past))))),
            alone.withPermit
          )

        return PastSessions.of({
          last: Effect.map(load, ({ last }) => last),
          ended: Effect.map(load, ({ ended }) => new Set(ended)),
          keep: ({ peers, root, session }) =>
            change((past) => {
              const before = past.last?.session === session ? past.last.peers : []
              const others = before.filter(({ peer }) => peers.every((other) => other.peer !== peer))
              const all = [...peers, ...others].slice(0, Limits.peersRememberedMax)
              return { ...past, last: { root, session, peers: all, cutShort: true } }
            }),
          leave: change((past) =>
            past.last === undefined ? past : { ...past, last: { ...past.last, cutShort: false } }
          ),
          end: (session) =>
            change(({ ended, last, version }) => ({
              version,
              ...(last === undefined || last.session === session ? {} : { last }),
              ended: [...ended.filter((other) => other !== session), session].slice(-Limits.endedSessionsKeptMax)
            }))
        })
      })
    )
}
