/** What the store remembers of a share beyond a run of the program: where it lies. */
import { Result, Schema } from "effect"
import { Share } from "../../protocol/Entry.ts"

/** Read where it lies. */
const Source = Schema.TaggedStruct("Source", {
  path: Schema.String,
  /** Files that are called otherwise on this disk than in the manifest, whose names are in normal form C. */
  renamed: Schema.Array(Schema.Tuple([Schema.Natural, Schema.String]))
})

export const Published = Schema.TaggedStruct("Published", {
  path: Schema.String,
  /**
   * `intended`: it was about to appear under that name, or its small files were being repaired there. `fresh`: it has
   * appeared, and a power cut may still spoil its small files. `settled`: it has, and the system has written everything.
   */
  state: Schema.Literals(["intended", "fresh", "settled"])
})

export type Published = typeof Published.Type

export const Record = Schema.Struct({
  version: Schema.Literal(1),
  share: Share,
  place: Schema.Union([Source, Published])
})
export type Record = typeof Record.Type

const decodeRecord = Schema.decodeUnknownResult(Schema.fromJsonString(Record))

export const encode = (record: Record): Uint8Array => new TextEncoder().encode(JSON.stringify(record))

/** Nothing where the bytes are no record: the share is then begun anew, and what is published is recognised by its content. */
export const decode = (bytes: Uint8Array): Record | undefined =>
  Result.getOrUndefined(decodeRecord(new TextDecoder().decode(bytes)))
