/** Whether two peers that have proven their keys belong together, and in which version they speak. Pure. */
import type { SessionId } from "./Ids.ts"
import { type GoodbyeCode, type Hello, versionMax, versionMin } from "./Wire.ts"

export type Verdict =
  | { readonly _tag: "Accepted"; readonly version: number }
  | { readonly _tag: "Refused"; readonly code: GoodbyeCode; readonly detail: string }

/** The newest version that both ranges contain. */
export const commonVersion = (
  ours: readonly [number, number],
  theirs: readonly [number, number]
): number | undefined => {
  const version = Math.min(ours[1], theirs[1])
  return version >= Math.max(ours[0], theirs[0]) ? version : undefined
}

/**
 * Judges the other side's first message. `certified` says whether at least one of its certificates is signed by the
 * root key this device trusts for the session: a peer without one may be anybody.
 */
export const judge = (hello: Hello, session: SessionId, certified: boolean): Verdict => {
  const version = commonVersion([versionMin, versionMax], hello.versions)
  if (version === undefined) {
    const [low, high] = hello.versions
    return {
      _tag: "Refused",
      code: "version",
      detail: `this device speaks protocol ${versionMin} to ${versionMax}, the other ${low} to ${high}`
    }
  }
  if (hello.session !== session) return { _tag: "Refused", code: "session", detail: "another session" }
  if (!certified) return { _tag: "Refused", code: "session", detail: "no certificate of this session's teacher" }
  return { _tag: "Accepted", version }
}
