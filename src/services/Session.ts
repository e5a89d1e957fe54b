/**
 * A session as a person uses it: the one service that the command line, the page and the tests talk to.
 *
 * A teacher's session exists from the start; a student's looks for one, decides whom to trust and joins, all behind
 * this contract.
 */
import { Context, type Effect, type PubSub, type Redacted, Schema, type Scope } from "effect"
import type { PeerId, PublicKey, Root, SessionId } from "../protocol/Ids.ts"
import type { Status } from "../protocol/Status.ts"
import type { Address } from "../protocol/Wire.ts"
import type { FolderError, SourceError } from "./ChunkStore.ts"
import type { WriteRefused } from "./MessageRelay.ts"
import type { MessageDelivered, SessionEvent } from "./SessionEvent.ts"
import type { AcceptError } from "./Transport.ts"

export interface TeacherOptions {
  /** The root key's seed, from the secret. */
  readonly secretSeed: Uint8Array
  readonly title: string
  readonly name: string
  readonly stateFolder: string
  /** With one the session is closed: nobody takes part who has not given it to the teacher. */
  readonly joinCode?: Redacted.Redacted | undefined
  readonly studentsMayWrite: boolean
  /**
   * How long a teacher whose state knows no session of this secret listens for one that goes on in the room, to continue
   * it; 0 begins a new one at once.
   */
  readonly listenFirstMs?: number
  /** TCP, for links. 0 for the usual port, or a free one if that is taken. */
  readonly port: number
  readonly discoveryPort: number
  /** Whether shares may be cast where the network carries a multicast; so if left out. */
  readonly casts?: boolean
  /** Name and version of the program, for the other side's log. */
  readonly program: string
}

export interface StudentOptions {
  readonly name: string
  readonly stateFolder: string
  readonly downloadFolder: string
  /** Six words of the session to join; nothing else is joined then. */
  readonly join: string | undefined
  /** What the teacher of a closed session is told to be let in. */
  readonly joinCode?: Redacted.Redacted | undefined
  /** Root keys trusted from the start, beside those pinned before. */
  readonly trust: ReadonlyArray<PublicKey>
  /** Peers to dial without having heard of them. */
  readonly connect: ReadonlyArray<Address>
  /**
   * Who answers when a session is new. `ask`: a person, by `choose`; until then nothing is joined.
   * `first-use`: joins and pins by itself while exactly one session is visible.
   */
  readonly newSessions: "ask" | "first-use"
  readonly port: number
  readonly discoveryPort: number
  /** Name and version of the program, for the other side's log. */
  readonly program: string
}

export interface ShareView {
  readonly root: Root
  readonly title: string
  readonly kind: "file" | "folder"
  readonly sizeBytes: number
  readonly verifiedBytes: number
  readonly receiveBytesPerSecond: number
  readonly sendBytesPerSecond: number
  readonly sources: number
  readonly state: "waiting" | "receiving" | "complete" | "paused" | "withdrawn" | "failed"
  /** Where it is, once it is complete. */
  readonly path: string | undefined
  readonly problem: string | undefined
}

/** Something that is read and hashed before it is offered. */
export interface PreparingView {
  /** Its name within this run. */
  readonly id: string
  readonly title: string
  readonly hashedBytes: number
  /** Not known while it waits for its turn and while its files are being counted. */
  readonly totalBytes: number | undefined
}

export interface DeviceView {
  readonly peer: PeerId
  readonly name: string
  readonly isHost: boolean
  readonly isSelf: boolean
  /** Whether there is a direct link to it. */
  readonly linked: boolean
  readonly status: Status | undefined
}

/** A closed session that this device has decided for and has not been let into. */
export interface Door {
  readonly session: SessionId
  readonly title: string
  readonly words: string
  /**
   * `asking`: the teacher's device has still to answer. `wrong-code`: it needs another code. `later`: too many wrong codes
   * are being tried in the room; this one is tried again by itself.
   */
  readonly state: "code-needed" | "asking" | "wrong-code" | "later"
}

/** The session as it stands; a value, safe to keep. */
export interface SessionView {
  readonly phase: "looking" | "joined" | "ended"
  readonly isHost: boolean
  readonly session: SessionId | undefined
  readonly title: string | undefined
  readonly words: string | undefined
  readonly mayWrite: boolean
  /** While looking: what stands between this device and the session it has decided for. */
  readonly door?: Door | undefined
  readonly shares: ReadonlyArray<ShareView>
  /** On its way to the shares, for longer than a moment. On the teacher's side only. */
  readonly preparing: ReadonlyArray<PreparingView>
  readonly devices: ReadonlyArray<DeviceView>
}

/** What ends a session that has begun. */
export type SessionFailure = AcceptError | FolderError

/** How many events are kept for whoever subscribes later. */
export const eventsKept = 4_096

/** Asked for something that this session or this side of it does not have. */
export class SessionRefused extends Schema.TaggedError<SessionRefused>()("SessionRefused", {
  reason: Schema.Literals([
    "not-joined",
    "not-host",
    "unknown-share",
    "too-many-shares",
    "called-off",
    "unknown-device",
    "several-devices",
    "unknown-session",
    "not-asked"
  ]),
  detail: Schema.String
}) {}

export class Session extends Context.Service<Session, {
  /** Everything that has happened so far in this run, then what happens. A subscriber that falls 4,096 behind loses the oldest. */
  readonly events: Effect.Effect<PubSub.Subscription<SessionEvent>, never, Scope.Scope>
  readonly view: Effect.Effect<SessionView>
  /** Never succeeds; fails when the session cannot go on, e.g. because the port of links is taken. */
  readonly failed: Effect.Effect<never, SessionFailure>
  /**
   * Hashes a file or folder and announces it. Completes when it is ready to be handed out. It goes on when whoever asked does
   * not wait for it any more; while it is hashed {@link unshare} and the end of the session call it off. Host only.
   */
  readonly share: (path: string) => Effect.Effect<Root, SourceError | WriteRefused | SessionRefused>
  /**
   * Calls off what is being prepared, named by id or title; or else withdraws a share, named by root or title, and tells
   * which. Host only.
   */
  readonly unshare: (name: string) => Effect.Effect<Root | undefined, WriteRefused | SessionRefused>
  /** Shuts a device out, named by its name or the beginning of its id, for the rest of the session. Host only. */
  readonly remove: (device: string) => Effect.Effect<void, WriteRefused | SessionRefused>
  readonly say: (text: string) => Effect.Effect<void, WriteRefused | SessionRefused>
  /** What was said so far, earlier runs included, in the order it was delivered here: the newest `Limits.conversationMax`. */
  readonly conversation: Effect.Effect<ReadonlyArray<typeof MessageDelivered.Type>>
  /** Ends the session for everybody: what is complete stays, nothing more is said or shared. Host only. */
  readonly end: Effect.Effect<void, WriteRefused | SessionRefused>
  /** A person's answer to `session.found`: join this one and pin its teacher. */
  readonly choose: (session: SessionId) => Effect.Effect<void, SessionRefused>
  /** Tries a join code at the door of a closed session; what comes of it is in the view. */
  readonly enter: (code: Redacted.Redacted) => Effect.Effect<void, SessionRefused>
}>()("labfx/services/Session") {}
