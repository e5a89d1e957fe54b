/**
 * What a race asks of a tool: to be armed on every machine without knowing of the file, to begin when it is told, and to
 * say when a student has the whole file.
 */
import { spawnSync } from "node:child_process"
import { rest } from "../Processes.ts"

/** The place of one race. Machine 0 is the teacher's, 1 to `students` are the students'. */
export interface Field {
  readonly students: number
  readonly bytes: number
  readonly bitsPerSecond: number
  /** What is handed out; it lies in the teacher's home. */
  readonly file: string
  /** A folder of that machine's own. It outlives a student that is killed. */
  readonly home: (index: number) => string
  readonly address: (index: number) => string
  readonly prefix: (index: number) => ReadonlyArray<string>
  /** Starts a program on a machine. What it writes goes to a log in its home. */
  readonly start: (index: number, command: ReadonlyArray<string>) => Running
  /**
   * The same for a program that cannot wait for the file by itself: it is started by a line on standard input. If it
   * ends well, the student has the file, unless `marks` is false.
   */
  readonly hold: (index: number, command: ReadonlyArray<string>, options?: { readonly marks: boolean }) => Running
  /** A command that programs can call on a student's machine when the file is complete; it takes any arguments. */
  readonly hook: string
  /** A student has the whole file, at that Unix time in milliseconds. */
  readonly done: (index: number, atMs: number) => void
}

export interface Running {
  /** It has created the file that it finds in `LABFX_BENCH_READY`; fails if it ends before. */
  readonly ready: Promise<void>
  /** Writes a line to its standard input. */
  readonly go: () => void
}

export interface Contestant {
  /** Starts what the teacher needs, until it could share. */
  readonly armTeacher: () => Promise<unknown>
  /** Starts a student, or starts one again that was killed; what is returned lets it begin once the file is shared. */
  readonly armStudent: (index: number) => Promise<() => void>
  /** Shares another file, until all students have it. */
  readonly shareBefore?: (file: string) => Promise<unknown>
  /** Shares the file. The clock runs from here. */
  readonly share: () => void
  /** The student's copy, for the comparison after the race. */
  readonly copy: (index: number) => string
}

export interface Tool {
  readonly name: string
  /** What would have to be installed first, as a sentence; none if it can race. */
  readonly missing: () => string | undefined
  readonly enter: (field: Field) => Promise<Contestant> | Contestant
}

/** The sentence for programs that are not found on the path. */
export const missingPrograms = (...programs: ReadonlyArray<string>): string | undefined => {
  const absent = programs.filter((program) => spawnSync("sh", ["-c", `command -v ${program}`]).status !== 0)
  return absent.length === 0 ? undefined : `not installed: ${absent.join(", ")}`
}

const patienceSeconds = 30

/** Asks five times a second until it is so; fails when that takes too long. */
export const eventually = async (what: string, isSo: () => boolean): Promise<void> => {
  const until = performance.now() + patienceSeconds * 1_000
  while (!isSo()) {
    if (performance.now() > until) throw new Error(`waited ${patienceSeconds} s for ${what}`)
    await rest(0.2)
  }
}
