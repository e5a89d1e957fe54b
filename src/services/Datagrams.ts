/** UDP as discovery uses it: small datagrams to everybody in reach, by every interface. Only a hint, never a proof. */
import { Context, type Effect, Schema, type Scope } from "effect"
import type { InterfaceAddress } from "../protocol/Interfaces.ts"
import type { Address } from "../protocol/Wire.ts"

export interface Datagram {
  readonly bytes: Uint8Array
  /** Where it came from, as the network says. Can be forged. */
  readonly from: Address
}

/** The discovery port could not be bound, so announcements cannot be heard. Typed addresses still work. */
export class ListenError extends Schema.TaggedError<ListenError>()("ListenError", {
  port: Schema.Natural,
  detail: Schema.String
}) {}

export class Datagrams extends Context.Service<Datagrams, {
  /**
   * Hears datagrams of at most `Limits.datagramBytesMax` sent to `port` on every interface, until the scope closes. Several processes of one machine may
   * listen at once. `hear` is a plain call for each, because a room of fifty wakes an idle device for hardly anything else;
   * what comes while it is busy waits in the system's buffer or is lost there: a flood costs no memory.
   */
  readonly listen: (
    port: number,
    hear: (datagram: Datagram) => void
  ) => Effect.Effect<void, ListenError, Scope.Scope>
  /**
   * Sends to everybody in reach of the given addresses: from each to its directed broadcast and to 255.255.255.255, on
   * loopback to the first alone. Addresses that are gone are skipped. Never fails and never waits for long: what could
   * not leave by one interface is left to the next time. Resolves to how many datagrams left.
   */
  readonly broadcast: (
    port: number,
    bytes: Uint8Array,
    from: ReadonlyArray<InterfaceAddress>
  ) => Effect.Effect<number>
  /** What can be broadcast from, as the system has said within the last half second: interfaces come and go. */
  readonly interfaces: Effect.Effect<ReadonlyArray<InterfaceAddress>>
}>()("labfx/services/Datagrams") {}
