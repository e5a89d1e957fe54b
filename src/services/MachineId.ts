/** What tells this machine and this user from others, so that a copied state folder can be told from its original. */
import { Context, type Effect } from "effect"

export interface MachineFacts {
  /** The system's own name for this installation; a cloned disk brings it along. */
  readonly installation: string
  /** Addresses of its network hardware, in no order. May be empty, and may differ from start to start. */
  readonly hardware: ReadonlyArray<string>
  readonly user: string
}

export class MachineId extends Context.Service<MachineId, {
  /** Never fails: what cannot be found out is left empty. */
  readonly facts: Effect.Effect<MachineFacts>
}>()("labfx/services/MachineId") {}
