/** Real labfx processes for the benchmarks: started, listened to, measured and ended. */
import { spawn } from "node:child_process"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { createInterface } from "node:readline"

/** The shipped program; `npm run build` makes it. */
export const program = process.env.LABFX_BENCH_PROGRAM ?? Path.resolve(import.meta.dirname, "../dist/labfx.mjs")

/** For both sides' node, e.g. `--cpu-prof --cpu-prof-dir=DIR`. */
const nodeOptions = (process.env["LABFX_BENCH_NODE_OPTIONS"] ?? "").split(" ").filter((option) => option !== "")

export type Event = Readonly<Record<string, unknown>>

/** Runs a command of labfx that prints events, where `prefix` says (e.g. in a network namespace). */
export const labfx = (args: ReadonlyArray<string>, prefix: ReadonlyArray<string> = []) => {
  const [command, ...rest] = [...prefix, process.execPath, ...nodeOptions, program, ...args]
  const child = spawn(command!, rest, { stdio: ["pipe", "pipe", "inherit"] })
  const waiting: Array<{ readonly event: string; readonly heard: (event: Event) => void }> = []
  const seen: Array<Event> = []
  const listeners: Array<(event: Event) => void> = []
  createInterface({ input: child.stdout }).on("line", (line) => {
    const event = JSON.parse(line) as Event
    seen.push(event)
    for (const listener of listeners) listener(event)
    for (const each of waiting.splice(0)) {
      if (each.event === event["event"]) each.heard(event)
      else waiting.push(each)
    }
  })
  return {
    child,
    /** Is told of every event from now on. */
    onEvent: (listener: (event: Event) => void) => void listeners.push(listener),
    until: (event: string) =>
      new Promise<Event>((heard) => {
        const before = seen.find((each) => each["event"] === event)
        if (before === undefined) waiting.push({ event, heard })
        else heard(before)
      }),
    end: () =>
      new Promise<void>((ended) => {
        child.once("exit", () => ended())
        child.kill("SIGINT")
      })
  }
}

/** User and system seconds, and the largest resident set in MB, of a living process. */
export const usage = (pid: number) => {
  const fields = Fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")
  const peak = /VmHWM:\s+(\d+)/.exec(Fs.readFileSync(`/proc/${pid}/status`, "utf8"))![1]!
  return { cpuSeconds: (Number(fields[11]) + Number(fields[12])) / 100, peakMB: Number(peak) / 1_000 }
}

/** A fresh teacher's key. */
export const keygen = (file: string): Promise<unknown> =>
  new Promise((ended) => spawn(process.execPath, [program, "keygen", "--out", file]).once("exit", ended))

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
