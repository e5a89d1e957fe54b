/** UDP to everybody of a network at once, as casts use it: large datagrams, many a second. Carries no promise. */
import { Context, Effect, Layer, Schema, type Scope } from "effect"
import type { InterfaceAddress } from "../protocol/Interfaces.ts"
import type { Address } from "../protocol/Wire.ts"

/** The system or the network does not do it here. Nobody needs it. */
export class MulticastError extends Schema.TaggedError<MulticastError>()("MulticastError", {
  detail: Schema.String
}) {}

export interface Sender {
  /** The longest datagram that the system sends. */
  readonly datagramBytesMax: number
  /**
   * Sends the parts as one datagram and calls `done` when the system has taken it, or could not. The parts must not change
   * until then. A plain call that never waits.
   */
  readonly send: (parts: ReadonlyArray<Uint8Array>, done: (left: boolean) => void) => void
  /** About how many bytes may wait in the system; one or two datagrams always may. */
  readonly setQueue: (bytes: number) => void
}

export class Multicast extends Context.Service<Multicast, {
  /** Sends to groups, one datagram to each in turn, by one interface and not beyond its network, until the scope closes. */
  readonly sender: (
    groups: ReadonlyArray<Address>,
    by: InterfaceAddress
  ) => Effect.Effect<Sender, MulticastError, Scope.Scope>
  /**
   * Hands over each datagram that comes to one of the groups by that interface, in about the order in which they came, until the scope closes. Bytes are valid during the call
   * only. A plain call while datagrams arrive, thousands a second: it must not wait nor throw.
   */
  readonly receive: (
    groups: ReadonlyArray<Address>,
    by: InterfaceAddress,
    onDatagram: (bytes: Uint8Array) => void
  ) => Effect.Effect<void, MulticastError, Scope.Scope>
  /** What can be sent from at this moment. */
  readonly interfaces: Effect.Effect<ReadonlyArray<InterfaceAddress>>
}>()("labfx/services/Multicast") {
  /** A machine that is in no network which carries it, or whose person does not want it. */
  static readonly layerNone = Layer.succeed(Multicast, {
    sender: () => Effect.fail(new MulticastError({ detail: "multicast is switched off" })),
    receive: () => Effect.fail(new MulticastError({ detail: "multicast is switched off" })),
    interfaces: Effect.succeed([])
  })
}
