/** What a person is told of links that did not come about, and what need not be said again at every dial. */
import * as Limits from "../protocol/Limits.ts"
import type { Address } from "../protocol/Wire.ts"

/**
 * Another labfx could not be linked; `address` is where it is. `closed`: this device has no join code and no membership;
 * `wrong-code`: it has the wrong one; `later`: too many wrong codes are being tried; `removed`: the teacher has shut it
 * out. `guess`: a device at that address has tried a wrong code here.
 */
export interface PeerNotice {
  readonly reason: "version" | "refused" | "closed" | "wrong-code" | "later" | "removed" | "guess"
  readonly address: Address
  readonly detail: string
}

/** What has been said: for each reason the machines, or `""` where it is about this device. */
export type Noticed = Map<PeerNotice["reason"], Set<string>>

export const make = (): Noticed => new Map()

/**
 * Whether a person has still to hear it, asked once for each notice: what is about this device once, what is about another
 * machine once for each, and of `machinesNoticedMax` machines for each reason. Guesses are counted where they are answered.
 */
export const isNews = (noticed: Noticed, { address, reason }: PeerNotice): boolean => {
  if (reason === "guess") return true
  const about = reason === "version" || reason === "refused" ? address.host : ""
  const said = noticed.get(reason) ?? new Set()
  if (said.has(about) || said.size >= Limits.machinesNoticedMax) return false
  noticed.set(reason, said.add(about))
  return true
}
