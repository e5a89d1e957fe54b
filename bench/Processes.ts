/**
 * Real labfx processes for the benchmarks: started, listened to, measured and ended.
 *
 * However a benchmark ends, also by Ctrl-C or because something threw, what it started is killed and what it made is
 * removed: everything of that kind is told to {@link atEnd}.
 */
import { type ChildProcess, spawn } from "node:child_process"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"

const undoing: Array<() => void> = []

/** To be done when the benchmark ends, the newest first. It cannot wait for anything. */
export const atEnd = (undo: () => void): void => void undoing.push(undo)

process.once("exit", () => {
  for (const undo of undoing.toReversed()) {
    try {
      undo()
    } catch (error) {
      console.error(`left behind: ${String(error)}`)
    }
  }
})
process.once("SIGINT", () => process.exit(130))
process.once("SIGTERM", () => process.exit(143))
process.once("SIGHUP", () => process.exit(129))

/** Ends the benchmark with a sentence that says why. */
export const giveUp = (sentence: string): never => {
  console.error(sentence)
  process.exit(1)
}

/** Gives up when the benchmark takes longer. */
export const limitSeconds = (seconds: number): void =>
  void setTimeout(() => giveUp(`not done after ${seconds.toFixed(0)} s`), seconds * 1_000).unref()

/** A folder that is gone afterwards. */
export const freshFolder = (parent: string): string => {
  const folder = Fs.mkdtempSync(Path.join(parent, "labfx-bench-"))
  atEnd(() => Fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}

/** It is killed with the benchmark, if it is still there. */
export const tied = <Child extends ChildProcess>(child: Child): Child => {
  atEnd(() => child.kill("SIGKILL"))
  return child
}

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

/** The shipped program; `npm run build` makes it. */
export const program = process.env.LABFX_BENCH_PROGRAM ?? Path.resolve(import.meta.dirname, "../dist/labfx.mjs")

/** For both sides' node, e.g. `--cpu-prof --cpu-prof-dir=DIR`. */
const nodeOptions = (process.env["LABFX_BENCH_NODE_OPTIONS"] ?? "").split(" ").filter((option) => option !== "")

const checkProgram = (): void => {
  if (!Fs.existsSync(program)) giveUp(`${program} is not there: \`npm run build\` makes it`)
}

export type Event = Readonly<Record<string, unknown>>

/** How long a labfx may take to leave after it has been asked to; it promises five seconds. */
const leaveSeconds = 6

/** Runs a command of labfx that prints events, where `prefix` says (e.g. in a network namespace). */
export const labfx = (args: ReadonlyArray<string>, prefix: ReadonlyArray<string> = []) => {
  checkProgram()
  return eventful(`labfx ${args[0]}`, [...prefix, process.execPath, ...nodeOptions, program, ...args])
}

/** Runs a command that prints events, one JSON text a line. */
export const eventful = (name: string, [command, ...args]: ReadonlyArray<string>) => {
  const child = tied(spawn(command!, args, { stdio: ["pipe", "pipe", "inherit"] }))
  // Whoever writes to one that has just been killed learns it from what it waits for.
  child.stdin.on("error", () => {})
  const waiting = new Set<
    {
      readonly event: string
      readonly test: (event: Event) => boolean
      readonly heard: (event: Event) => void
      readonly failed: (error: Error) => void
    }
  >()
  const seen: Array<Event> = []
  const listeners: Array<(event: Event) => void> = []
  createInterface({ input: child.stdout }).on("line", (line) => {
    const event = JSON.parse(line) as Event
    seen.push(event)
    for (const listener of listeners) listener(event)
    for (const each of waiting) {
      if (each.event !== event["event"] || !each.test(event)) continue
      waiting.delete(each)
      each.heard(event)
    }
  })
  // `close` comes after the last line of output, `exit` may come before it.
  const ended = new Promise<void>((resolve) =>
    child.once("close", () => {
      for (const { event, failed } of waiting) {
        failed(new Error(`${name} ended (${child.signalCode ?? child.exitCode}) before ${event}`))
      }
      waiting.clear()
      resolve()
    })
  )
  return {
    child,
    /** Is told of every event from now on. */
    onEvent: (listener: (event: Event) => void) => void listeners.push(listener),
    /** The first event of that name that passes the test, past or to come; fails if the process ends without it. */
    until: (event: string, test: (event: Event) => boolean = () => true) =>
      new Promise<Event>((heard, failed) => {
        const before = seen.find((each) => each["event"] === event && test(each))
        if (before !== undefined) heard(before)
        else if (hasEnded(child)) failed(new Error(`${name} has ended without ${event}`))
        else waiting.add({ event, test, heard, failed })
      }),
    end: async () => {
      if (!hasEnded(child)) child.kill("SIGINT")
      const patience = setTimeout(() => child.kill("SIGKILL"), leaveSeconds * 1_000)
      await ended
      clearTimeout(patience)
    }
  }
}

/** A session on loopback: a teacher, and one student who is linked to it. */
export const pair = async (folder: string, ...more: ReadonlyArray<string>) => {
  const key = Path.join(folder, "key")
  await keygen(key)
  const port = [...freshPort(), ...more]
  const teacher = labfx(
    ["teacher", "--secret-file", key, "--state", `${folder}/t`, "--title", "Bench", "--json", ...port]
  )
  await teacher.until("session.started")
  const student = labfx(["student", "--yes", "--state", `${folder}/s`, "--dir", `${folder}/d`, "--json", ...port])
  await student.until("peer.up")
  return { teacher, student, end: () => Promise.all([teacher.end(), student.end()]) }
}

/**
 * A teacher and students without pages, when every student has a link. `runIn` says what each command begins with, 0 for the
 * teacher's; the students' downloads are in `d1`, `d2`, … of the folder.
 */
export const lesson = async (
  folder: string,
  students: number,
  runIn: (index: number) => ReadonlyArray<string>,
  ...more: ReadonlyArray<string>
) => {
  const key = Path.join(folder, "key")
  await keygen(key)
  const start = (index: number, ...args: ReadonlyArray<string>) =>
    labfx([...args, "--state", `${folder}/s${index}`, "--json", "--no-ui", ...more], runIn(index))
  const teacher = start(0, "teacher", "--secret-file", key, "--title", "Bench")
  await teacher.until("session.started")
  const everybody = Array.from(
    { length: students },
    (_, i) => start(i + 1, "student", "--yes", "--dir", `${folder}/d${i + 1}`)
  )
  await Promise.all(everybody.map((student) => student.until("peer.up")))
  return { teacher, students: everybody, end: () => Promise.all([teacher, ...everybody].map((each) => each.end())) }
}

/** As {@link lesson}, on loopback, of a program in `tools/` that does nothing else; each student has a folder, `d1`, `d2`, …. */
export const bareLesson = async (folder: string, students: number, tool: string) => {
  const start = (...args: ReadonlyArray<string>) =>
    eventful(tool, [process.execPath, Path.join(import.meta.dirname, "tools", tool), ...args])
  const teacher = start("teacher")
  const { port } = await teacher.until("session.started")
  const everybody = Array.from({ length: students }, (_, i) => {
    const own = Path.join(folder, `d${i + 1}`)
    Fs.mkdirSync(own)
    return start("student", String(port), own)
  })
  await Promise.all(everybody.map((student) => student.until("peer.up")))
  return { teacher, students: everybody, end: () => Promise.all([teacher, ...everybody].map((each) => each.end())) }
}

/** User and system seconds, and the largest resident set in MB, of a living process. */
export const usage = (pid: number) => {
  const fields = Fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")
  const peak = /VmHWM:\s+(\d+)/.exec(Fs.readFileSync(`/proc/${pid}/status`, "utf8"))![1]!
  return { cpuSeconds: (Number(fields[11]) + Number(fields[12])) / 100, peakMB: Number(peak) / 1_000 }
}

/** A fresh teacher's key. */
export const keygen = (file: string): Promise<void> => {
  checkProgram()
  return new Promise((made, failed) =>
    tied(spawn(process.execPath, [program, "keygen", "--out", file])).once(
      "exit",
      (code) => code === 0 ? made() : failed(new Error(`labfx keygen ended with ${code}`))
    )
  )
}

/** A whole number of an option, at least `min`. */
export const natural = (text: string, min = 0): number => {
  const number = Number(text)
  return Number.isSafeInteger(number) && number >= min ? number : giveUp(`${text} is not a whole number from ${min} on`)
}

export const rest = (seconds: number, signal?: AbortSignal): Promise<void> =>
  sleep(seconds * 1_000, undefined, signal === undefined ? {} : { signal })

/** A file of random bytes. */
export const randomFile = (file: string, bytes: number): void => {
  const out = Fs.openSync(file, "w")
  for (let left = bytes; left > 0; left -= 1 << 20) Fs.writeSync(out, Crypto.randomBytes(Math.min(left, 1 << 20)))
  Fs.closeSync(out)
}

export const freshPort = (): ReadonlyArray<
  string
> => ["--discovery-port", String(20_000 + Math.floor(Math.random() * 20_000))]

export const median = (numbers: ReadonlyArray<number>): number =>
  numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!
