/**
 * Which session a teacher's root key hosted last, so that a restart continues it under a larger epoch.
 *
 * Losing this costs no more than that: the teacher then looks for the session in the room, or begins a new one.
 */
import { Clock, Context, Effect, Layer, Result, Schema } from "effect"
import { Base64Url } from "effect/encoding"
import { PublicKey, SessionId } from "../protocol/Ids.ts"
import * as Limits from "../protocol/Limits.ts"
import { Crypto } from "./Crypto.ts"
import { Disk, type DiskError } from "./Disk.ts"

/** As many root keys as one state folder remembers; the least recently used goes first. */
const hostedMax = 64
const fileBytesMax = 64 * 1024

const Hosted = Schema.Struct({
  version: Schema.Literal(1),
  sessions: Schema.Array(Schema.Struct({
    root: PublicKey,
    session: SessionId,
    /** There is a larger one: a file that says otherwise is damaged. */
    epoch: Schema.Natural.check(Schema.isLessThan(Number.MAX_SAFE_INTEGER)),
    /** Certificates signed for this session so far. */
    certificates: Schema.optionalKey(Schema.Natural)
  })).check(Schema.isMaxLength(hostedMax))
})
type HostedSession = typeof Hosted.Type["sessions"][number]

export interface Continued {
  readonly session: SessionId
  readonly epoch: number
}

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(Hosted))

export class HostedSessions extends Context.Service<HostedSessions, {
  /** Whether this root key has hosted a session that is remembered. */
  readonly knows: (root: PublicKey) => Effect.Effect<boolean, DiskError>
  /**
   * The session to host now with this root key: the one it hosted last, else the one that goes on in the room, else a
   * new one, and an epoch larger than any before. It is on disk when this completes, so that the same epoch is never
   * used twice. A session for which `Limits.certificatesMax` certificates are signed is not continued.
   */
  readonly next: (root: PublicKey, inReach: Continued | undefined) => Effect.Effect<Continued, DiskError>
  /** Remembers an epoch that was taken because a larger one than ours was in reach. */
  readonly raise: (root: PublicKey, epoch: number) => Effect.Effect<void, DiskError>
  /** The session is over: the next one of this root key is a new one, under a larger epoch all the same. */
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

  const fresh = Effect.map(crypto.randomBytes(16), (bytes) => SessionId.make(Base64Url.encode(bytes)))

  const next = Effect.fn("HostedSessions.next")(function*(root: PublicKey, inReach: Continued | undefined) {
    const sessions = yield* load
    const last: HostedSession | undefined = sessions.find((each) => each.root === root) ??
      (inReach === undefined ? undefined : { root, ...inReach })
    const certificates = last?.certificates ?? 1
    const isContinued = last !== undefined && certificates < Limits.certificatesMax
    // The clock only helps where the state was lost: a session that is in reach under a larger epoch raises ours.
    const seconds = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
    const hosted = {
      root,
      session: isContinued ? last.session : yield* fresh,
      epoch: Math.max((last?.epoch ?? 0) + 1, seconds),
      certificates: isContinued ? certificates + 1 : 1
    }
    yield* save([...sessions.filter((each) => each.root !== root), hosted])
    return { session: hosted.session, epoch: hosted.epoch }
  })

  const raise = Effect.fn("HostedSessions.raise")(function*(root: PublicKey, epoch: number) {
    const sessions = yield* load
    yield* save(sessions.map((each) =>
      each.root === root
        ? { ...each, epoch: Math.max(each.epoch, epoch), certificates: (each.certificates ?? 1) + 1 }
        : each
    ))
  })

  const end = Effect.fn("HostedSessions.end")(function*(root: PublicKey) {
    const session = yield* fresh
    yield* save(
      (yield* load).map((each) => each.root === root ? { root, session, epoch: each.epoch, certificates: 0 } : each)
    )
  })

  const knows = (root: PublicKey) => Effect.map(load, (sessions) => sessions.some((each) => each.root === root))

  return HostedSessions.of({ knows, next, raise, end })
})
