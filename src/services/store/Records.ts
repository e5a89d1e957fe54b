/** The files that say where shares lie: each beside what the store keeps of its share. */
import { Duration, Effect } from "effect"
import type { Share } from "../../protocol/Entry.ts"
import * as Limits from "../../protocol/Limits.ts"
import type { Disk } from "../Disk.ts"
import type { Holding } from "./Holding.ts"
import * as Record from "./Record.ts"

/** The most that a record may be: a source of 200,000 files of which each has another name on disk. */
const recordBytesMax = Limits.manifestBytesMax

/** Whether there is something of the share's kind. */
export const isThere = (disk: Disk["Service"], path: string, kind: Share["kind"]) =>
  Effect.map(
    Effect.option(disk.stat(path)),
    (stat) => stat._tag === "Some" && stat.value.kind === (kind === "file" ? "file" : "directory")
  )

export type Records = Effect.Success<ReturnType<typeof make>>

/** Of the store whose folder is `home`, until the scope closes. */
export const make = Effect.fnUntraced(function*(disk: Disk["Service"], home: string) {
  const scope = yield* Effect.scope

  /** Nothing where there is none, or none that can be read. */
  const read = (root: string) =>
    Effect.map(
      Effect.option(disk.readFile(`${home}/${root}/record`, recordBytesMax)),
      (bytes) => bytes._tag === "Some" ? Record.decode(bytes.value) : undefined
    )

  const write = (holding: Holding, place: Record.Record["place"]) =>
    disk.replaceFile(
      `${holding.folder}/record`,
      Record.encode({ version: 1, share: holding.share, place })
    )

  /** After a while there is nothing left that a power cut could spoil. */
  const settle = (holding: Holding) =>
    Effect.suspend(() =>
      holding.place._tag === "Published" && !holding.forgotten
        ? Effect.ignore(write(holding, { ...holding.place, state: "settled" }))
        : Effect.void
    ).pipe(Effect.delay(Duration.millis(Limits.settledAfterMs)), Effect.forkIn(scope))

  return { read, write, settle }
})
