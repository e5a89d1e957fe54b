/**
 * Everything one peer says to another over a link: one Schema union.
 *
 * A message is the JSON of a control frame; `Data` is the header of a data frame, whose payload follows it
 * (see `Frame.ts`). Families are handled by different services: `link` by PeerManager, `log` by MessageRelay,
 * `swarm` and `cast` by ChunkScheduler.
 */
import { Schema } from "effect"
import { ChunkIndex, PeerId, PublicKey, Root, SessionId } from "./Ids.ts"
import * as Limits from "./Limits.ts"
import { Program } from "./Program.ts"
import { Signed } from "./Signed.ts"
import { shortText } from "./Text.ts"

/** The versions of the protocol this program speaks. */
export const versionMin = 1
export const versionMax = 1

/**
 * Where labfx is usually found: UDP for announcements and, if it is free, TCP for links. One number for an administrator
 * to open: not assigned to anything, above the ports that need rights and below those that systems hand out.
 */
export const usualPort = 24_726
/** Where casts are heard, UDP; the one beside it. */
export const castPort = 24_727

const Port = Schema.Natural.check(Schema.isBetween({ minimum: 0, maximum: 65_535 }))

/** An IP address and port; IPv4 in dotted form or IPv6 without brackets. */
export const Address = Schema.Struct({
  host: Schema.String.check(Schema.isPattern(/^[0-9a-fA-F.:]{2,45}$/)),
  port: Port.check(Schema.isGreaterThan(0))
})
export type Address = typeof Address.Type

// ---- link: who are you, whom do you know ---------------------------------------------------------------------------

/** The first message of each side. The key behind the PeerId is already proven by TLS. */
export const Hello = Schema.TaggedStruct("Hello", {
  versions: Schema.Tuple([Schema.Natural, Schema.Natural]),
  session: SessionId,
  /** Every certificate of the session this peer knows, oldest first. */
  certificates: Schema.Array(Signed).check(Schema.isMinLength(1), Schema.isMaxLength(Limits.certificatesMax)),
  /** Left out in a closed session: who has not shown that it belongs learns nothing, and gets an `Introduction` after. */
  name: Schema.optionalKey(shortText(Limits.nameBytesMax)),
  /** In a closed session: the host's word that this peer belongs (see `MembershipCertificate.ts`). */
  membership: Schema.optionalKey(Signed),
  /** Where this peer listens, on the address the link comes from; 0 if it accepts no links. */
  listenPort: Port,
  /** For people and logs only, e.g. `labfx 0.1.0`. */
  program: Program
})
export type Hello = typeof Hello.Type

/** Asks the host of a closed session to be let in. Sent to nobody but the key that the certificate names as host. */
export const Join = Schema.TaggedStruct("Join", { code: shortText(Limits.joinCodeBytesMax) })

/** The code was right: what the new member shows from now on. */
export const Admitted = Schema.TaggedStruct("Admitted", { membership: Signed })

/** The name that a hello left out, for a peer that belongs. */
export const Introduction = Schema.TaggedStruct("Introduction", { name: shortText(Limits.nameBytesMax) })

export const GoodbyeCode = Schema.Literals([
  "leaving",
  "version",
  "session",
  "duplicate",
  "surplus",
  "protocol",
  "slow",
  "poison",
  "refused",
  "ended",
  "closed",
  "wrong-code",
  "later",
  "removed"
])
export type GoodbyeCode = typeof GoodbyeCode.Type

/** The last message of a side, if there is time for one. */
export const Goodbye = Schema.TaggedStruct("Goodbye", { code: GoodbyeCode, detail: shortText(256) })

/** Addresses worth dialling, how many links the sender has, and whether one of them is to the host. */
export const Peers = Schema.TaggedStruct("Peers", {
  links: Schema.Natural,
  host: Schema.optionalKey(Schema.Boolean),
  peers: Schema.Array(Schema.Struct({
    peer: PeerId,
    addresses: Schema.Array(Address).check(Schema.isMaxLength(Limits.addressesPerPeerMax))
  })).check(Schema.isMaxLength(Limits.peersPerMessageMax))
})

export const Ping = Schema.TaggedStruct("Ping", {})
export const Pong = Schema.TaggedStruct("Pong", {})

// ---- log: messages, shares, statuses -------------------------------------------------------------------------------

/** The certificates of the session, sent again when a newer one appears. */
export const Certificates = Schema.TaggedStruct("Certificates", {
  certificates: Schema.Array(Signed).check(Schema.isMaxLength(Limits.certificatesMax))
})

/**
 * How far the sender's copy of each author's log goes, without gaps. The first on a link names every author, and an
 * author it does not name is at 0; in later ones nothing is said of an author that is not named.
 *
 * `received` acknowledges: of the entries that came since the receiver's own first heads, the sender has taken so many,
 * kept or not. It bounds what is under way, and with it a receiver of heads knows exactly what did not get through.
 */
export const Heads = Schema.TaggedStruct("Heads", {
  first: Schema.Boolean,
  received: Schema.Natural,
  heads: Schema.Array(Schema.Struct({
    author: PublicKey,
    number: Schema.Natural
  })).check(Schema.isMaxLength(Limits.authorsMax))
})
export type Heads = typeof Heads.Type

/** Entries the receiver has not got yet, each author's in order. */
export const Entries = Schema.TaggedStruct("Entries", {
  entries: Schema.Array(Signed).check(Schema.isMinLength(1), Schema.isMaxLength(Limits.entriesPerMessageMax))
})
export type Entries = typeof Entries.Type

/** The newest statuses the receiver has not got yet. */
export const Statuses = Schema.TaggedStruct("Statuses", {
  statuses: Schema.Array(Signed).check(Schema.isMinLength(1), Schema.isMaxLength(Limits.statusesPerMessageMax))
})
export type Statuses = typeof Statuses.Type

// ---- swarm: who has what -------------------------------------------------------------------------------------------

/** Which chunks the sender serves: bit `i` of byte `i >> 3`, counted from the highest bit, base64url. */
export const Bitfield = Schema.TaggedStruct("Bitfield", {
  share: Root,
  bits: Schema.String.check(
    Schema.isPattern(/^[A-Za-z0-9_-]*$/),
    Schema.isMaxLength(Math.ceil((Limits.chunksPerShareMax + Limits.manifestChunksMax) / 6) + 4)
  )
})

/** Chunks the sender serves from now on. */
export const Have = Schema.TaggedStruct("Have", {
  share: Root,
  indexes: Schema.Array(ChunkIndex).check(Schema.isMinLength(1), Schema.isMaxLength(Limits.haveIndexesMax))
})

/** Asks for one chunk. Answered exactly once: with all of its data or with a reject. */
export const Request = Schema.TaggedStruct("Request", { share: Root, index: ChunkIndex })
/** The request is not needed any more; it is still answered, with whichever was under way. */
export const Cancel = Schema.TaggedStruct("Cancel", { share: Root, index: ChunkIndex })
export const Reject = Schema.TaggedStruct("Reject", { share: Root, index: ChunkIndex })

/** From the host: until it says otherwise, this share is asked of it alone, or of everybody again. */
export const Direct = Schema.TaggedStruct("Direct", {
  share: Root,
  only: Schema.Boolean,
  /** A program that does not know it asks everybody. */
  ignorable: Schema.Literal(true)
})

/** The header of a data frame: a run of the chunk's bytes. Frames of one chunk come in order and without gaps. */
export const Data = Schema.TaggedStruct("Data", { share: Root, index: ChunkIndex, offset: Schema.Natural })
export type Data = typeof Data.Type

// ---- cast: from the host to everybody at once ------------------------------------------------------------------------

/** A number of 32 bits, as fragments carry them. */
export const Uint32 = Schema.Natural.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 32 - 1 }))

/** From the host: the multicast on which it casts, and the key that seals its fragments (see `Fragment.ts`). */
export const Multicast = Schema.TaggedStruct("Multicast", {
  group: Address,
  /** How many groups from that one on (see `Fragment.groupsOf`); left out for one. */
  groups: Schema.optionalKey(Schema.Natural.check(Schema.isBetween({ minimum: 1, maximum: Limits.castGroupsMax }))),
  key: Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{43}$/)),
  /** A program that knows no casts passes over it, and asks for chunks as ever. */
  ignorable: Schema.Literal(true)
})

/** The host's word on what it casts (see `CastNotice.ts`), from it or from who has heard of it: for who has no link to the host. */
export const Casts = Schema.TaggedStruct("Casts", {
  notice: Signed,
  /** As in `Multicast`. */
  ignorable: Schema.Literal(true)
})

/** To the host: whether its multicast is heard here. */
export const Tuned = Schema.TaggedStruct("Tuned", { hears: Schema.Boolean })

/**
 * From the host: the content of a share is cast under this number, or is not any more; and how often it wants to hear how
 * that is heard.
 */
export const Cast = Schema.TaggedStruct("Cast", {
  share: Root,
  cast: Uint32,
  over: Schema.Boolean,
  reportMs: Schema.Natural.check(
    Schema.isBetween({ minimum: Limits.castReportMsMin, maximum: Limits.castReportMsMax })
  )
})

/** To the host: the share's manifest is here, so that chunks of the cast can be verified. */
export const Ready = Schema.TaggedStruct("Ready", { cast: Uint32 })

/**
 * To the host: the largest sequence heard so far, how many datagrams came, and how many milliseconds longer than usual the
 * quickest of the last ones took.
 */
export const Report = Schema.TaggedStruct("Report", { sequence: Uint32, received: Uint32, delayMs: Schema.Natural })

export const LinkMessage = Schema.Union([Hello, Join, Admitted, Introduction, Goodbye, Peers, Ping, Pong])
export type LinkMessage = typeof LinkMessage.Type
export const LogMessage = Schema.Union([Certificates, Heads, Entries, Statuses])
export type LogMessage = typeof LogMessage.Type
export const SwarmMessage = Schema.Union([Bitfield, Have, Request, Cancel, Reject, Direct])
export type SwarmMessage = typeof SwarmMessage.Type
export const CastMessage = Schema.Union([Multicast, Casts, Tuned, Cast, Ready, Report])
export type CastMessage = typeof CastMessage.Type

const castTags: ReadonlySet<string> = new Set(CastMessage.members.map(({ fields }) => fields._tag.schema.literal))
export const isCastMessage = (message: SwarmMessage | CastMessage): message is CastMessage => castTags.has(message._tag)

const swarmTags: ReadonlySet<string> = new Set([
  ...SwarmMessage.members.map(({ fields }) => fields._tag.schema.literal),
  ...castTags
])
/** Whether a message is for ChunkScheduler; it has a lane of its own on each link. */
export const isSwarmMessage = (message: Message): message is SwarmMessage | CastMessage => swarmTags.has(message._tag)

/** Everything a control frame may carry. */
export const Message = Schema.Union([
  ...LinkMessage.members,
  ...LogMessage.members,
  ...SwarmMessage.members,
  ...CastMessage.members
])
export type Message = typeof Message.Type
