/**
 * Which session a teacher's root key hosted last, so that a restart continues it under a larger epoch.
 *
 * Losing this costs no more than that: the teacher then begins a new session.
 */
import { Clock, Context, Effect, Layer, Result, Schema } from "effect"
import { Base64Url } from "effect/encoding"
import { PublicKey, SessionId } from "../protocol/Ids.ts"
import { Crypto } from "./Crypto.ts"
import { Disk, type DiskError } from "./Disk.ts"

/** As many root keys as one state folder remembers; the least recently used goes first. */
const hostedMax = 64
const fileBytesMax = 64 * 1024

const Hosted = Schema.Struct({
  version: Schema.Literal(1),
  sessions: Schema.Array(Schema.Struct({ root: PublicKey, session: SessionId, epoch: Schema.Natural }))
    .check(Schema.isMaxLength(hostedMax))
})

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(Hosted))

export class HostedSessions extends Context.Service<HostedSessions, {
  /**
   * The session to host now with this root key: the one it hosted last, or a new one, and an epoch larger than any
   * before. It is on disk when this completes, so that the same epoch is never used twice.
   */
  readonly next: (
    root: PublicKey
  ) => Effect.Effect<{ readonly session: SessionId; readonly epoch: number }, DiskError>
  /** Remembers an epoch that was taken because a larger one than ours was in reach. */
  readonly raise: (root: PublicKey, epoch: number) => Effect.Effect<void, DiskError>
  /** The session is over: the next one of this root key is a new one. */
  readonly end: (root: PublicKey) => Effect.Effect<void, DiskError>
}>()("labfx/services/HostedSessions") {
  static readonly layer = (stateFolder: string) => Layer.effect(HostedSessions, make(stateFolder))
}

const make = Effect.fnUntraced(function*(stateFolder: string) {
  const disk = yield* Disk
  const crypto = yield* Crypto
  const path = `${stateFolder}/hosted.json`

  const load = disk.readFile(path, fileBytesMax).pipe(
    Effect.map((bytes) => {
      const hosted = decode(new TextDecoder().decode(bytes))
      return Result.isSuccess(hosted) ? hosted.success.sessions : []
    }),
    Effect.catchTag("DiskError", (error) => error.reason === "not-found" ? Effect.succeed([]) : Effect.fail(error))
  )

  const save = Effect.fnUntraced(function*(sessions: typeof Hosted.Type["sessions"]) {
    yield* disk.makeDirectory(stateFolder, 0o700)
    const text = JSON.stringify({ version: 1, sessions: sessions.slice(-hostedMax) })
    yield* disk.replaceFile(path, new TextEncoder().encode(text))
  })

  const next = Effect.fn("HostedSessions.next")(function*(root: PublicKey) {
    const sessions = yield* load
    const last = sessions.find((each) => each.root === root)
    // The clock only helps where the state was lost: a session that is in reach under a larger epoch raises ours.
    const seconds = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
    const hosted = {
      root,
      session: last?.session ?? SessionId.make(Base64Url.encode(yield* crypto.randomBytes(16))),
      epoch: Math.max((last?.epoch ?? 0) + 1, seconds)
    }
    yield* save([...sessions.filter((each) => each.root !== root), hosted])
    return { session: hosted.session, epoch: hosted.epoch }
  })

  const raise = Effect.fn("HostedSessions.raise")(function*(root: PublicKey, epoch: number) {
    const sessions = yield* load
    yield* save(sessions.map((each) => each.root === root ? { ...each, epoch: Math.max(each.epoch, epoch) } : each))
  })

  const end = Effect.fn("HostedSessions.end")(function*(root: PublicKey) {
    yield* save((yield* load).filter((each) => each.root !== root))
  })

  return HostedSessions.of({ next, raise, end })
})
