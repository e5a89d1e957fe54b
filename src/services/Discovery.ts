/** Who is in reach: announces this device's session by UDP broadcast and lists the sessions it hears. */
import { Clock, Context, Effect, Layer, PubSub, Random, type Scope } from "effect"
import * as Announcement from "../protocol/Announcement.ts"
import type { VerifiedCertificate } from "../protocol/Certificate.ts"
import * as Hearing from "../protocol/Discovery.ts"
import type { PublicKey } from "../protocol/Ids.ts"
import * as Turns from "../protocol/Turns.ts"
import { Crypto, type KeyPair } from "./Crypto.ts"
import { Datagrams, type ListenError } from "./Datagrams.ts"

export type { Sighting } from "../protocol/Discovery.ts"

/** What this device announces. */
export interface Announced {
  readonly certificate: VerifiedCertificate
  readonly self: KeyPair
  /** Where this device accepts links; with 0 it accepts none and announces nothing. */
  readonly listenPort: number
}

export class Discovery extends Context.Service<Discovery, {
  /**
   * Sightings as they come until the scope closes; of one peer at one address at most four a second. A subscriber that
   * falls 256 behind loses the oldest. Forged, oversized and excess datagrams never get here, nor does this device.
   */
  readonly sightings: Effect.Effect<PubSub.Subscription<Hearing.Sighting>, never, Scope.Scope>
  /** The newest sighting of each peer of each session, at each of its addresses, heard of in the last 30 seconds. */
  readonly sighted: Effect.Effect<ReadonlyArray<Hearing.Sighting>>
  /**
   * Keeps a place in the list for the sessions of these roots, however many others are announced. Asked once for each
   * root that appears; a later call replaces an earlier one.
   */
  readonly want: (isWanted: (root: PublicKey) => boolean) => Effect.Effect<void>
  /**
   * Announces until the scope closes; `announced` is asked anew each time. The host announces every second; a student
   * only when it has heard nobody announce the session for a while, so each network hears about one announcement a
   * second, however many are in the session.
   */
  readonly announce: (announced: Effect.Effect<Announced>) => Effect.Effect<void, never, Scope.Scope>
  /** Versions of labfx other than this one that have been heard in the last 30 seconds. */
  readonly otherVersions: Effect.Effect<ReadonlyArray<number>>
  /** What became of all datagrams so far. */
  readonly counts: Effect.Effect<Readonly<Hearing.State["counts"]>>
  /** Why nothing is heard, while that is so. Listening is tried again; typed addresses and links work all the same. */
  readonly problem: Effect.Effect<ListenError | undefined>
}>()("labfx/services/Discovery") {
  static readonly layer = (options: { readonly port: number }) =>
    Layer.effect(
      Discovery,
      Effect.gen(function*() {
        const datagrams = yield* Datagrams
        const crypto = yield* Crypto
        const clock = yield* Clock.Clock
        const random = yield* Random.Random
        // Not the wall clock: a clock that is set must neither silence a room nor make it shout.
        const nowMs = () => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)
        const hearing = Hearing.make({ verify: crypto.verify, peerId: crypto.peerId, nowMs: nowMs() })
        const turnsTaken = new Set<Turns.Turns>()
        const sightings = yield* PubSub.sliding<Hearing.Sighting>(256)
        let problem: ListenError | undefined

        const hear = (bytes: Uint8Array, source: string) => {
          const outcome = Hearing.receive(hearing, bytes, source, nowMs())
          if (outcome._tag === "Dropped") return
          for (const turns of turnsTaken) {
            Turns.heard(turns, outcome.sighting.certificate.certificate, source, nowMs())
          }
          if (!outcome.again) PubSub.publishUnsafe(sightings, outcome.sighting)
        }

        const listen = Effect.gen(function*() {
          yield* datagrams.listen(options.port, ({ bytes, from }) => hear(bytes, from.host))
          problem = undefined
          yield* Effect.never
        })
        yield* listen.pipe(
          Effect.scoped,
          Effect.catchTag("ListenError", (error) => Effect.sync(() => (problem = error))),
          Effect.andThen(Effect.sleep("5 seconds")),
          Effect.forever,
          Effect.forkScoped({ startImmediately: true })
        )

        const announce = Effect.fnUntraced(function*(announced: Effect.Effect<Announced>) {
          const turns = Turns.make(() => random.nextDoubleUnsafe())
          yield* Effect.acquireRelease(
            Effect.sync(() => turnsTaken.add(turns)),
            () => Effect.sync(() => turnsTaken.delete(turns))
          )
          let last: { readonly announced: Announced; readonly bytes: Uint8Array } | undefined
          // Signed again only when something changes, so that those who know the announcement know its bytes.
          const bytesOf = (next: Announced): Uint8Array => {
            if (
              last?.announced.certificate.signed.signature !== next.certificate.signed.signature ||
              last.announced.self.publicKey !== next.self.publicKey || last.announced.listenPort !== next.listenPort
            ) {
              const { certificate, signed } = next.certificate
              const body = Announcement.statementBody({ port: next.listenPort, epoch: certificate.epoch })
              const statement = crypto.sign(next.self, "announcement", certificate.session, body)
              last = { announced: next, bytes: Announcement.encode(signed, statement) }
            }
            return last.bytes
          }
          const turn = Effect.gen(function*() {
            const next = yield* announced
            const { certificate } = next.certificate
            hearing.own.add(next.self.publicKey)
            const isHost = certificate.host === next.self.publicKey
            const due = Turns.take(turns, certificate, isHost, yield* datagrams.interfaces, nowMs())
            if (due.length > 0 && next.listenPort > 0) yield* datagrams.broadcast(options.port, bytesOf(next), due)
            yield* Effect.sleep(Turns.waitMs(turns, nowMs()))
          })
          yield* turn.pipe(Effect.forever, Effect.forkScoped({ startImmediately: true }))
        })

        return Discovery.of({
          sightings: PubSub.subscribe(sightings),
          sighted: Effect.sync(() => Hearing.sighted(hearing, nowMs())),
          want: (isWanted) => Effect.sync(() => Hearing.want(hearing, isWanted)),
          announce: (announced) => announce(announced),
          otherVersions: Effect.sync(() => Hearing.otherVersions(hearing, nowMs())),
          counts: Effect.sync(() => ({ ...hearing.counts })),
          problem: Effect.sync(() => problem)
        })
      })
    )
}
