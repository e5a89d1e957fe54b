/**
 * What Node itself costs: `barePeer.ts` hands the file on along trees that are known beforehand, over TLS, hashing and
 * writing each chunk before it goes on. No discovery, no choice, no messages but chunks, nobody may leave.
 */
import * as Path from "node:path"
import * as Limits from "../../src/protocol/Limits.ts"
import { chunkSizeFor } from "../../src/protocol/Manifest.ts"
import type { Tool } from "./Tool.ts"

const program = Path.join(import.meta.dirname, "barePeer.ts")

export const tool: Tool = {
  name: "bare",
  missing: () => undefined,
  enter: (field) => {
    const copy = (index: number) => `${field.home(index)}/copy.bin`
    const start = (index: number, file: string) =>
      field.start(index, [
        process.execPath,
        program,
        String(index),
        String(field.students),
        String(field.bytes),
        String(chunkSizeFor(field.bytes, Limits.chunkBytesMin)),
        file,
        ...Array.from({ length: field.students + 1 }, (_, i) => field.address(i))
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
}
