/**
 * Marks in a download's journal which chunks are here, soon after they came: a killed program loses what came in the last
 * moment, and no more.
 */
import { Duration, Effect, FiberSet } from "effect"
import type { Root } from "../../protocol/Ids.ts"
import * as Limits from "../../protocol/Limits.ts"
import type { Crypto } from "../Crypto.ts"
import type { Disk, DiskError } from "../Disk.ts"
import type { Handles } from "./Handles.ts"
import type { Holding } from "./Holding.ts"
import * as Journal from "./Journal.ts"
import { folderGone, type StoreError } from "./StoreErrors.ts"

/** What was there a moment ago is not: nothing that is known of the rest is worth anything. */
export const noteGone = (holding: Holding, { reason }: StoreError): void => {
  if (reason === "folder-gone" && holding.place._tag === "Staging") holding.displaced = true
}

export type Marks = Effect.Success<ReturnType<typeof make>>

/** Works until the scope closes, and marks what is left before that. `folder` is where people see their downloads. */
export const make = Effect.fnUntraced(function*({ crypto, disk, folder, handles, holdings }: {
  readonly disk: Disk["Service"]
  readonly crypto: Crypto["Service"]
  readonly handles: Handles
  readonly holdings: ReadonlyMap<Root, Holding>
  readonly folder: string
}) {
  const fork = yield* FiberSet.makeRuntime()

  /**
   * What is written to an open file goes on without an error when its folder has been deleted, and is lost: so the folder
   * is looked at whenever chunks are marked, and before they appear. A displaced download is read anew when it is opened.
   */
  const notDisplaced = Effect.fnUntraced(function*(holding: Holding) {
    const found = yield* Effect.result(disk.stat(holding.folder))
    if (found._tag === "Success" && found.success.identity === holding.identity) return
    if (found._tag === "Failure" && found.failure.reason !== "not-found") return yield* found.failure
    holding.displaced = true
    return yield* folderGone(folder)
  })

  /** Writes down which chunks are here. */
  const write = (holding: Holding): Effect.Effect<void, DiskError> =>
    holding.journal.withPermits(1)(Effect.suspend(() => {
      if (holding.place._tag !== "Staging" || holding.forgotten) return Effect.void
      const unmarkedBytes = holding.unmarkedBytes
      const sequence = holding.sequence + 1
      const slot = Journal.encodeSlot(sequence, holding.have, crypto.sha256)
      return notDisplaced(holding).pipe(
        Effect.andThen(handles.use(
          `${holding.folder}/journal`,
          "write",
          (file) => file.write(slot, Journal.slotPosition(sequence, holding.chunksCount))
        )),
        Effect.andThen(Effect.sync(() => {
          holding.sequence = sequence
          holding.unmarkedBytes -= unmarkedBytes
        }))
      )
    }))

  /** Marks what is not marked yet. A failure is no loss: it is tried again with the next chunk. */
  const now = (holding: Holding): Effect.Effect<void> =>
    Effect.suspend(() => holding.unmarkedBytes === 0 ? Effect.void : Effect.ignore(write(holding)))

  /** Takes note of a change of `have`: soon it is also on disk. */
  const changed = (holding: Holding, bytes: number): Effect.Effect<void> => {
    holding.unmarkedBytes += bytes
    if (holding.unmarkedBytes >= Limits.unmarkedBytesMax) return now(holding)
    return Effect.sync(() => soon(holding))
  }

  const soon = (holding: Holding): void => {
    if (holding.marking) return
    holding.marking = true
    fork(Effect.andThen(
      Effect.sleep(Duration.millis(Limits.unmarkedMs)),
      Effect.suspend(() => {
        holding.marking = false
        return now(holding)
      })
    ))
  }

  yield* Effect.addFinalizer(() => Effect.forEach(holdings.values(), now, { discard: true }))

  return { notDisplaced, write, changed, soon }
})
