/**
 * What Node itself costs. No discovery, no choice, no messages but what is handed out, nobody may leave.
 *
 * - `bare`: `barePeer.ts` hands the file on along trees that are known beforehand, over TLS, hashing and writing each chunk
 *   before it goes on.
 * - `bareCast`: `bareListener.ts` opens, hashes and writes what the teacher casts at a rate that it is told.
 */
import * as Path from "node:path"
import * as Limits from "../../src/protocol/Limits.ts"
import { chunkSizeFor } from "../../src/protocol/Manifest.ts"
import type { Field, Tool } from "./Tool.ts"

/** A program of this folder that has everything on its command line and begins at a line on standard input. */
const bare = (
  name: string,
  program: string,
  words: (field: Field, index: number, file: string, chunkBytes: number) => ReadonlyArray<string | number>
): Tool => ({
  name,
  missing: () => undefined,
  enter: (field) => {
    const copy = (index: number) => `${field.home(index)}/copy.bin`
    const chunkBytes = chunkSizeFor(field.bytes, Limits.chunkBytesMin)
    const start = (index: number, file: string) =>
      field.start(index, [
        process.execPath,
        Path.join(import.meta.dirname, program),
        ...words(field, index, file, chunkBytes).map(String)
      ])
    let share = () => {}
    return {
      armTeacher: () => {
        const teacher = start(0, field.file)
        share = teacher.go
        return teacher.ready
      },
      armStudent: async (index) => {
        await start(index, copy(index)).ready
        return () => {}
      },
      share: () => share(),
      copy
    }
  }
})

export const tool = bare("bare", "barePeer.ts", ({ address, bytes, students }, index, file, chunkBytes) => [
  index,
  students,
  bytes,
  chunkBytes,
  file,
  ...Array.from({ length: students + 1 }, (_, i) => address(i))
])

/** Of the port's rate, as for other tools that have to be told it. */
const rateShare = 0.97

export const cast = bare(
  "bareCast",
  "bareListener.ts",
  ({ address, bitsPerSecond, bytes }, index, file, chunkBytes) => [
    index,
    file,
    bytes,
    chunkBytes,
    bitsPerSecond * rateShare,
    address(index)
  ]
)
