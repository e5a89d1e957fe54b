/** The session this device is in: who it is there, who hosts it, and what is allowed. Chosen before anything else runs. */
import { Context } from "effect"
import type { Certificate, VerifiedCertificate } from "../protocol/Certificate.ts"
import type { PeerId, PublicKey, SessionId } from "../protocol/Ids.ts"
import type { Signed } from "../protocol/Signed.ts"
import type { KeyPair } from "./Crypto.ts"

export class SessionContext extends Context.Service<SessionContext, {
  readonly session: SessionId
  /** The root key this device has decided to trust for the session. */
  readonly root: PublicKey
  readonly self: KeyPair
  readonly peer: PeerId
  /** Whether this device holds the key that the newest certificate names as host. */
  readonly isHost: boolean
  /** The name people see. */
  readonly name: string
  /** Every verified certificate of the session, oldest epoch first; at least one. */
  readonly certificates: () => ReadonlyArray<VerifiedCertificate>
  /** The one with the largest epoch. */
  readonly certificate: () => Certificate
  /** Adds the valid ones of these: right signature, root and session. `certified`: there was at least one valid, `news`: or new. */
  readonly learn: (certificates: ReadonlyArray<Signed>) => { readonly certified: boolean; readonly news: boolean }
  /** Whether the key is or was a host of the session. */
  readonly isHostKey: (key: PublicKey) => boolean
}>()("labfx/services/SessionContext") {}
