/** Who moves chunks, for tests of casts: has none, lacks all, and says nothing. */
import { Effect } from "effect"
import type { CastUser } from "../../src/services/Casting.ts"
import { Crypto } from "../../src/services/Crypto.ts"

export const castUser = (crypto: Crypto["Service"], does: Partial<CastUser> = {}): CastUser => ({
  send: () => {},
  overhead: () => {},
  begun: () => {},
  over: () => {},
  manifestMissed: () => {},
  chunkBytes: () => 0,
  isMissing: () => true,
  lacking: () => 0,
  isHushed: () => false,
  read: (_root, _index, _buffer, done) => done(undefined),
  keep: () => {},
  acquire: (sizeBytes) => new Uint8Array(sizeBytes),
  release: () => {},
  nowMs: () => 0,
  fork: (effect) => Effect.runFork(Effect.scoped(Effect.provideService(effect, Crypto, crypto))),
  ...does
})
