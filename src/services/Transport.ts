/** Encrypted byte streams between peers whose keys are proven: TLS 1.3 over TCP, or their virtual twin. */
import { Context, Effect, type Queue, Schema, type Scope } from "effect"
import { PeerId, type PublicKey } from "../protocol/Ids.ts"
import { Address } from "../protocol/Wire.ts"
import type { KeyPair } from "./Crypto.ts"

/**
 * Why a dial did not give a connection. `refused`: nobody listens there, or somebody closed without a word, as a device
 * with too many strangers at its door does; worth another try. `not-labfx`: somebody answered in another language.
 */
export class DialError extends Schema.TaggedError<DialError>()("DialError", {
  address: Address,
  reason: Schema.Literals(["refused", "unreachable", "timeout", "not-labfx", "wrong-peer", "self"]),
  detail: Schema.String
}) {}

/** No link can be accepted on that port. */
export class AcceptError extends Schema.TaggedError<AcceptError>()("AcceptError", {
  port: Schema.Natural,
  reason: Schema.Literals(["in-use", "permission", "other"]),
  detail: Schema.String
}) {}

/** The connection is gone. */
export class ConnectionLost extends Schema.TaggedError<ConnectionLost>()("ConnectionLost", {
  peer: PeerId,
  detail: Schema.String
}) {}

/** One established connection. It ends when its scope closes or the other side ends it, whichever is first. */
export interface Connection {
  /** Proven: the other side holds this key. */
  readonly peer: PeerId
  readonly key: PublicKey
  /** Where the other side is, as this side sees it. For a dialled connection, the dialled address. */
  readonly remote: Address
  readonly dialled: boolean
  /**
   * Hands every run of received bytes to `onBytes` as it arrives, in order, until the connection ends. The bytes are
   * only valid during the call: the buffer is used again. Call once. Fails when the connection is lost, completes when
   * the other side or `close` ended it. An exception of `onBytes` ends the connection and is a defect of this effect.
   */
  readonly receive: (onBytes: (bytes: Uint8Array) => void) => Effect.Effect<void, ConnectionLost>
  /** Stops or goes on handing over bytes: back-pressure towards the sender. Idempotent. */
  readonly setReading: (reading: boolean) => void
  /**
   * Writes the parts in order and calls `done` once the system has taken all of them, so that at most one write and the
   * kernel's own buffer are ahead of whatever is written next; or with what became of the connection. The parts must not
   * change until then. One at a time. A plain call that never waits: a link writes thousands of times a second.
   */
  readonly write: (parts: ReadonlyArray<Uint8Array>, done: (lost: ConnectionLost | undefined) => void) => void
}

/** {@link Connection.write} as an effect. Interrupting it takes nothing back: what was handed over is still sent whole. */
export const write = (
  connection: Connection,
  parts: ReadonlyArray<Uint8Array>
): Effect.Effect<void, ConnectionLost> =>
  Effect.callback((resume) =>
    connection.write(parts, (lost) => resume(lost === undefined ? Effect.void : Effect.fail(lost)))
  )

export class Transport extends Context.Service<Transport, {
  /**
   * Accepts connections until the scope closes. `port` 0 lets the system choose. Strangers that do not prove a key within
   * `Limits.handshakeTimeoutMs`, or that come too many at once, are closed without a word. Each accepted connection lives
   * in the listener's scope until it is closed by `close`.
   */
  readonly listen: (
    self: KeyPair,
    port: number
  ) => Effect.Effect<
    { readonly port: number; readonly accepted: Queue.Dequeue<Connection> },
    AcceptError,
    Scope.Scope
  >
  /** Connects. With `expected`, a peer that proves any other key is refused (`wrong-peer`). */
  readonly dial: (
    self: KeyPair,
    address: Address,
    expected: PeerId | undefined
  ) => Effect.Effect<Connection, DialError, Scope.Scope>
  /** Ends a connection: what was written before is sent if that is quickly possible. Idempotent. */
  readonly close: (connection: Connection) => Effect.Effect<void>
}>()("labfx/services/Transport") {}
