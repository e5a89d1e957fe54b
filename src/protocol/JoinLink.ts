/**
 * A link that leads to a session without searching: `labfx://join/<root>?s=<session>&a=<host:port>&a=…`.
 *
 * It names the teacher's key, so whoever opens it trusts what it came from (the course page, a message of the teacher)
 * and needs no words to compare. The addresses are hints. An IPv6 address stands in brackets; what else the query may
 * carry one day is passed over.
 */
import { Result, Schema } from "effect"
import { PublicKey, SessionId } from "./Ids.ts"
import * as Limits from "./Limits.ts"
import { Address } from "./Wire.ts"

export const JoinLink = Schema.Struct({
  root: PublicKey,
  session: SessionId,
  addresses: Schema.Array(Address).check(Schema.isMaxLength(Limits.joinLinkAddressesMax))
})
export type JoinLink = typeof JoinLink.Type

const decodeLink = Schema.decodeUnknownResult(JoinLink)

const addressText = ({ host, port }: Address): string => `${host.includes(":") ? `[${host}]` : host}:${port}`

/** The link; of too many addresses the first ones. */
export const encode = ({ addresses, root, session }: JoinLink): string =>
  `labfx://join/${root}?s=${session}` +
  addresses.slice(0, Limits.joinLinkAddressesMax).map((address) => `&a=${addressText(address)}`).join("")

/** Not an address yet, only its parts. */
const parseAddress = (text: string) => {
  const parts = /^(?:\[([0-9a-fA-F.:]*:[0-9a-fA-F.:]*)\]|([0-9.]+)):([1-9]\d{0,4})$/.exec(text)
  return { host: parts?.[1] ?? parts?.[2], port: Number(parts?.[3]) }
}

/** Reads a link as a person pasted it; undefined if it is none, or a damaged one. */
export const parse = (text: string): JoinLink | undefined => {
  const link = text.trim()
  if (link.length > Limits.joinLinkCharactersMax) return undefined
  const parts = /^labfx:\/\/join\/([^/?#]*)\?([^#]*)$/i.exec(link)
  if (parts === null) return undefined
  const query = new URLSearchParams(parts[2])
  const [session, ...others] = query.getAll("s")
  if (others.length > 0) return undefined
  return Result.getOrUndefined(
    decodeLink({ root: parts[1], session, addresses: query.getAll("a").map(parseAddress) })
  )
}
