/** Whether everything shared so far has arrived: what `labfx student --once` waits for. */
import type { SessionEvent } from "../services/SessionEvent.ts"

export interface Arrival {
  /** Shares that are still to come. */
  readonly pending: ReadonlySet<string>
  readonly arrived: ReadonlySet<string>
  /** Shares that will never be complete. */
  readonly failed: ReadonlySet<string>
}

export const start: Arrival = { pending: new Set(), arrived: new Set(), failed: new Set() }

const without = (set: ReadonlySet<string>, root: string) => new Set([...set].filter((other) => other !== root))

export const after = (arrival: Arrival, event: SessionEvent): Arrival => {
  switch (event.event) {
    case "share.offered":
      return arrival.arrived.has(event.root)
        ? arrival
        : { ...arrival, pending: new Set([...arrival.pending, event.root]) }
    case "share.completed":
      return {
        ...arrival,
        pending: without(arrival.pending, event.root),
        failed: without(arrival.failed, event.root),
        arrived: new Set([...arrival.arrived, event.root])
      }
    case "share.withdrawn":
      return { ...arrival, pending: without(arrival.pending, event.root), failed: without(arrival.failed, event.root) }
    case "share.failed":
      return event.resumes
        ? arrival
        : {
          ...arrival,
          pending: without(arrival.pending, event.root),
          failed: new Set([...arrival.failed, event.root])
        }
    default:
      return arrival
  }
}

/** Something was shared and nothing of it is still to come. */
export const isSettled = (arrival: Arrival): boolean =>
  arrival.pending.size === 0 && arrival.arrived.size + arrival.failed.size > 0
