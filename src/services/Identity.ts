/** Who this device is: its peer key, kept with its state and bound to machine, user and folder. */
import { Context, type Effect, Schema } from "effect"
import type { PublicKey } from "../protocol/Ids.ts"
import type { KeyPair } from "./Crypto.ts"
import type { DiskError } from "./Disk.ts"

/** A root key that this device trusts, under the name it was first seen with. */
export interface Pin {
  readonly root: PublicKey
  readonly title: string
}

/** The state folder cannot be used. Nothing in it was changed. */
export class StateError extends Schema.TaggedError<StateError>()("StateError", {
  path: Schema.String,
  reason: Schema.Literals(["in-use", "damaged", "newer-version", "disk"]),
  detail: Schema.String
}) {}

export class Identity extends Context.Service<Identity, {
  /**
   * The device's own peer key. Made at the first start and kept; made afresh when the state folder is found on another
   * machine, under another user or in another place, so that a cloned disk image does not give thirty devices one name.
   */
  readonly device: Effect.Effect<KeyPair, StateError>
  /** A key for one run only; the teacher's peer key. Never written down. */
  readonly ephemeral: Effect.Effect<KeyPair>
  readonly pins: Effect.Effect<ReadonlyArray<Pin>, StateError>
  readonly pin: (pin: Pin) => Effect.Effect<void, StateError | DiskError>
}>()("labfx/services/Identity") {}
