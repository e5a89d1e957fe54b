/** Who is in reach: announces this device's session by UDP broadcast and lists the sessions it hears. */
import { Context, type Effect, type PubSub, type Scope } from "effect"
import type { VerifiedCertificate } from "../protocol/Certificate.ts"
import type { PeerId } from "../protocol/Ids.ts"
import type { Address } from "../protocol/Wire.ts"
import type { KeyPair } from "./Crypto.ts"

/** A peer that says it is in a session. Its certificate has been checked, its address is only a hint. */
export interface Sighting {
  readonly certificate: VerifiedCertificate
  readonly peer: PeerId
  readonly address: Address
  /** Whether the announcing peer is the session's host. */
  readonly byHost: boolean
}

/** What this device announces. */
export interface Announced {
  readonly certificate: VerifiedCertificate
  readonly self: KeyPair
  readonly listenPort: number
}

export class Discovery extends Context.Service<Discovery, {
  /**
   * Sightings as they come, repeated ones included, until the scope closes. A subscriber that falls 256 behind loses
   * the oldest. Forged, replayed beyond recognition, oversized and excess datagrams never get here.
   */
  readonly sightings: Effect.Effect<PubSub.Subscription<Sighting>, never, Scope.Scope>
  /** The newest sighting of each peer of each session heard of in the last 30 seconds. */
  readonly sighted: Effect.Effect<ReadonlyArray<Sighting>>
  /**
   * Announces until the scope closes; `announced` is asked anew each time. The host announces every second; a student
   * only when it has heard nobody announce the session for a while, so a room makes about one announcement a second
   * whatever its size.
   */
  readonly announce: (announced: Effect.Effect<Announced>) => Effect.Effect<void, never, Scope.Scope>
}>()("labfx/services/Discovery") {}
