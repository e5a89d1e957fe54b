/**
 * The live state as values: what changed between two states, and the state after a change.
 *
 * Invariants, each with a property in the tests:
 * L1  Applying the changes between two states to the first gives the second.
 * L2  Equal states have no changes.
 * L3  Before the snapshot there is no state, and a snapshot alone gives it whole.
 *
 * Nothing here needs Effect, so the page carries it as it is.
 */
import type { Change, LocalState } from "./LocalApi.ts"

const same = (a: unknown, b: unknown): boolean => a === b || JSON.stringify(a) === JSON.stringify(b)

/** Those that are new or other than before, found by their key. */
const changed = <A>(before: ReadonlyArray<A>, after: ReadonlyArray<A>, key: (item: A) => string): ReadonlyArray<A> => {
  const known = new Map(before.map((item) => [key(item), item]))
  return after.filter((item) => !same(known.get(key(item)), item))
}

const replaced = <A>(before: ReadonlyArray<A>, news: ReadonlyArray<A>, key: (item: A) => string): ReadonlyArray<A> => {
  const items = new Map(before.map((item) => [key(item), item]))
  for (const item of news) items.set(key(item), item)
  return [...items.values()]
}

/** Lists that only grow at their end and lose their oldest: how many of the old remain, and what was added. */
const appended = <A>(before: ReadonlyArray<A>, after: ReadonlyArray<A>, key: (item: A) => string) => {
  const last = before.at(-1)
  const at = last === undefined ? -1 : after.findLastIndex((item) => key(item) === key(last))
  return { kept: at + 1, added: after.slice(at + 1) }
}

const shareKey = ({ root }: LocalState["shares"][number]) => root
const deviceKey = ({ peer }: LocalState["devices"][number]) => peer
const messageKey = ({ author, number }: LocalState["messages"][number]) => `${author} ${number}`
const noticeKey = ({ number }: LocalState["notices"][number]) => String(number)

export const snapshot = (state: LocalState): Change => ({ _tag: "Snapshot", state })

/** What leads from one state to the next. Shares never go, messages and notices are only ever added. */
export const changes = (before: LocalState, after: LocalState): ReadonlyArray<Change> => {
  const found: Array<Change> = []
  if (!same(before.header, after.header)) found.push({ _tag: "Header", header: after.header })
  const shares = changed(before.shares, after.shares, shareKey)
  if (shares.length > 0) found.push({ _tag: "Shares", changed: shares })
  if (!same(before.preparing, after.preparing)) found.push({ _tag: "Preparing", preparing: after.preparing })
  const devices = changed(before.devices, after.devices, deviceKey)
  const there = new Set(after.devices.map(deviceKey))
  const gone = before.devices.map(deviceKey).filter((peer) => !there.has(peer))
  if (devices.length > 0 || gone.length > 0) found.push({ _tag: "Devices", changed: devices, gone })
  const messages = appended(before.messages, after.messages, messageKey)
  if (messages.kept !== before.messages.length || messages.added.length > 0) {
    found.push({ _tag: "Messages", ...messages })
  }
  const notices = appended(before.notices, after.notices, noticeKey)
  if (notices.kept !== before.notices.length || notices.added.length > 0) found.push({ _tag: "Notices", ...notices })
  if (!same(before.found, after.found)) found.push({ _tag: "Found", found: after.found })
  return found
}

const grown = <A>(before: ReadonlyArray<A>, kept: number, added: ReadonlyArray<A>): ReadonlyArray<A> => [
  ...before.slice(before.length - kept),
  ...added
]

/** The state after a change; a change before the first snapshot changes nothing. */
export const apply = (state: LocalState | undefined, change: Change): LocalState | undefined => {
  if (change._tag === "Snapshot") return change.state
  if (state === undefined) return undefined
  switch (change._tag) {
    case "Header":
      return { ...state, header: change.header }
    case "Shares":
      return { ...state, shares: replaced(state.shares, change.changed, shareKey) }
    case "Preparing":
      return { ...state, preparing: change.preparing }
    case "Devices": {
      const gone = new Set(change.gone)
      const devices = state.devices.filter(({ peer }) => !gone.has(peer))
      return { ...state, devices: replaced(devices, change.changed, deviceKey) }
    }
    case "Messages":
      return { ...state, messages: grown(state.messages, change.kept, change.added) }
    case "Notices":
      return { ...state, notices: grown(state.notices, change.kept, change.added) }
    case "Found":
      return { ...state, found: change.found }
  }
}
