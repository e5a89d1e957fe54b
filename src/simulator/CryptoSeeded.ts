/** Real keys and hashes whose draws come from the seeded {@link Random}: the same seed gives the same keys. */
import { Effect, Layer, Random } from "effect"
import { Crypto } from "../services/Crypto.ts"

/** 32 bytes that a number stands for. */
export const seed = (n: number): Uint8Array => {
  const bytes = new Uint8Array(32)
  new DataView(bytes.buffer).setUint32(0, n)
  return bytes
}

/** Verdicts remembered at most: some minutes of a full room. */
const verdictsMax = 65_536

/**
 * What one device has verified, fifty devices of a simulation verify as well: the verdict on the same bytes is the same,
 * so it is worked out once.
 */
export const layer = Layer.effect(
  Crypto,
  Effect.gen(function*() {
    const crypto = yield* Crypto
    const random = yield* Random.Random
    const verdicts = new Map<string, boolean>()
    return Crypto.of({
      ...crypto,
      verify: (kind, session, signed) => {
        const statement = `${kind} ${session} ${signed.key} ${signed.signature} ${signed.body}`
        const known = verdicts.get(statement)
        if (known !== undefined) return known
        if (verdicts.size >= verdictsMax) verdicts.clear()
        const verdict = crypto.verify(kind, session, signed)
        verdicts.set(statement, verdict)
        return verdict
      },
      randomBytes: (length) =>
        Effect.sync(() => Uint8Array.from({ length }, () => Math.floor(random.nextDoubleUnsafe() * 256)))
    })
  })
)
