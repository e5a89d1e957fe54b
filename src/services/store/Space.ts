/** Space on the disk: what a share still needs, and what earlier runs of the program have left that may go for it. */
import { Clock, Duration, Effect, Schema, Semaphore } from "effect"
import * as Bitfield from "../../protocol/Bitfield.ts"
import { Root } from "../../protocol/Ids.ts"
import * as Limits from "../../protocol/Limits.ts"
import type { Disk } from "../Disk.ts"
import type { Holding } from "./Holding.ts"
import { StoreError, storeError } from "./StoreErrors.ts"

const dayMs = 86_400_000

/** Of the store whose folder is `home`, until the scope closes. */
export const make = Effect.fnUntraced(function*({ disk, holdings, home }: {
  readonly disk: Disk["Service"]
  readonly home: string
  readonly holdings: ReadonlyMap<Root, Holding>
}) {
  const scope = yield* Effect.scope

  const tidying = Semaphore.makeUnsafe(1)
  /** Nothing is being removed: what an earlier run left may be looked at. */
  const tidy = tidying.withPermits(1)(Effect.void)

  /**
   * Removes what earlier runs have left of shares that are not open now and were not opened for that long, the longest
   * unopened first, until there is enough room. What is published stays; should its share come again, it is received
   * anew and found there.
   */
  const removeLeftovers = <E>(unopenedMs: number, isEnough: Effect.Effect<boolean, E>): Effect.Effect<void, E> =>
    Effect.gen(function*() {
      if (yield* isEnough) return
      const now = yield* Clock.currentTimeMillis
      const left: Array<{ readonly root: string; readonly modifiedMs: number }> = []
      for (const root of yield* disk.list(home).pipe(Effect.orElseSucceed(() => []))) {
        if (!Schema.is(Root)(root)) continue
        const stat = yield* Effect.option(disk.stat(`${home}/${root}`))
        if (stat._tag === "Some") left.push({ root, modifiedMs: Number(stat.value.modifiedNs / 1_000_000n) })
      }
      for (const { modifiedMs, root } of left.toSorted((a, b) => a.modifiedMs - b.modifiedMs)) {
        if (now - modifiedMs <= unopenedMs) return
        yield* tidying.withPermits(1)(
          Effect.suspend(() => holdings.has(Root.make(root)) ? Effect.void : disk.remove(`${home}/${root}`))
        ).pipe(Effect.ignore)
        if (yield* isEnough) return
      }
    })

  /** Removes what may be removed where so many bytes are not free; gives how many are, enough or not. */
  const free = (neededBytes: number) => {
    const freeBytes = disk.freeBytes(home)
    return Effect.andThen(
      removeLeftovers(Limits.leftoversKeptWhenFullMs, Effect.map(freeBytes, (bytes) => bytes >= neededBytes)),
      freeBytes
    )
  }

  /** Fails unless the disk has room for all that is missing: better now than when it is full. */
  const requireFor = Effect.fnUntraced(function*(holding: Holding) {
    let missingBytes = 0
    for (let index = holding.manifestChunksCount; index < holding.chunksCount; index++) {
      if (Bitfield.has(holding.have, index)) continue
      // A pack is stored twice: as such, and as the files that are in it.
      missingBytes += holding.chunkBytes(index) * (holding.ownFile(index) === undefined ? 2 : 1)
    }
    if (missingBytes > 0) {
      const neededBytes = missingBytes + Limits.freeBytesReserve
      const freeBytes = yield* free(neededBytes).pipe(Effect.mapError(storeError(holding)))
      if (freeBytes < neededBytes) {
        return yield* new StoreError({
          root: holding.share.root,
          reason: "disk-full",
          detail: `${neededBytes} bytes are needed and ${freeBytes} are free`
        })
      }
    }
    holding.hasRoom = true
  })

  /** Notes that a share is opened, at most once a day: {@link removeLeftovers} goes by that. */
  const touch = Effect.fnUntraced(function*(holding: Holding) {
    const { modifiedNs } = yield* disk.stat(holding.folder)
    const ageMs = (yield* Clock.currentTimeMillis) - Number(modifiedNs / 1_000_000n)
    if (ageMs > dayMs) yield* disk.replaceFile(`${holding.folder}/opened`, new Uint8Array())
  }, (effect) => Effect.ignore(effect))

  // By then everything that this session needs is open, however wrong the clock is or was.
  yield* removeLeftovers(Limits.leftoversKeptMs, Effect.succeed(false)).pipe(
    Effect.delay(Duration.millis(Limits.leftoversRemovedAfterMs)),
    Effect.forkIn(scope)
  )

  return { free, requireFor, tidy, touch }
})
