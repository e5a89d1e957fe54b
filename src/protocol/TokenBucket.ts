/** A rate with a burst: `perSecond` on average, `burst` at once. Time comes in; nothing is scheduled. */

export interface TokenBucket {
  readonly perSecond: number
  readonly burst: number
  tokens: number
  updatedMs: number
}

export const make = (perSecond: number, burst: number, nowMs: number): TokenBucket => ({
  perSecond,
  burst,
  tokens: burst,
  updatedMs: nowMs
})

const refill = (bucket: TokenBucket, nowMs: number): void => {
  const elapsedMs = Math.max(0, nowMs - bucket.updatedMs)
  bucket.tokens = Math.min(bucket.burst, bucket.tokens + (elapsedMs * bucket.perSecond) / 1_000)
  bucket.updatedMs = nowMs
}

/** Takes so many tokens if there are as many. */
export const take = (bucket: TokenBucket, nowMs: number, count = 1): boolean => {
  refill(bucket, nowMs)
  if (bucket.tokens < count) return false
  bucket.tokens -= count
  return true
}

/** Takes so many tokens, also those that are not there yet: gives how long until they are made good, 0 if they were there. */
export const spend = (bucket: TokenBucket, nowMs: number, count: number): number => {
  refill(bucket, nowMs)
  bucket.tokens -= count
  return Math.max(0, Math.ceil((-bucket.tokens * 1_000) / bucket.perSecond))
}

/** How long until a token is there; 0 if there is one now. */
export const waitMs = (bucket: TokenBucket, nowMs: number): number => {
  refill(bucket, nowMs)
  return bucket.tokens >= 1 ? 0 : Math.ceil(((1 - bucket.tokens) * 1_000) / bucket.perSecond)
}
