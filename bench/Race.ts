/** One race: a teacher has a fresh random file, N students must get it. */
import { spawn } from "node:child_process"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import { freshFolder, median, randomFile, rest, tied } from "./Processes.ts"
import { oneCopySeconds, type Room } from "./Room.ts"
import type { Scenario } from "./Scenarios.ts"
import type { Contestant, Field, Running, Tool } from "./tools/Tool.ts"

export interface Options {
  readonly scenario: string
  readonly students: number
  readonly bytes: number
  readonly bitsPerSecond: number
  /** Where the files lie, and everything the tools keep. */
  readonly folder: string
}

/** One line of `--out`. Times are in seconds from the moment the file is shared, copies are bytes of a port over the file's. */
export interface Result extends Omit<Options, "folder"> {
  readonly tool: string
  readonly startedAt: string
  readonly cores: number
  /** The system's load average of a minute, before the race. */
  readonly load: number
  readonly oneCopySeconds: number
  /** Students whose copy was there and found equal. */
  readonly complete: number
  /** Each student's time; null if it has no whole copy. */
  readonly times: ReadonlyArray<number | null>
  /** The last of those who are waited for; null if one of them has no whole copy. */
  readonly lastSeconds: number | null
  /** That, over the time of one copy. */
  readonly lastCopies: number | null
  /** Where students were killed: the last of those who were not, over the time of one copy. */
  readonly survivorsCopies: number | null
  /** Of the scenario `late`: the late student's own time, over that of one copy. */
  readonly lateCopies: number | null
  readonly teacherCopies: number
  readonly busiestStudentCopies: number
  /** Jain's index of the students' mean download rates: 1 if they are equal, 1/N if one has everything. */
  readonly jain: number | null
  readonly cpuSecondsPerGB: number | null
  readonly coresTool: number
  /** Of the whole machine. Near the number of cores, the race measured the processor. */
  readonly coresBusy: number
  readonly teacherPeakMB: number
  readonly studentPeakMB: number
}

/** For discovery, and for the meshes to settle. */
const settleSeconds = 3
/** A race in which nothing arrives any more is over. */
const stalledSeconds = 15
/** Less than that, of one copy, is talk. */
const stalledShare = 0.02

const digest = (file: string): string => {
  const hash = Crypto.createHash("sha256")
  const block = Buffer.alloc(1 << 20)
  const handle = Fs.openSync(file, "r")
  for (let read = 1; read > 0;) {
    read = Fs.readSync(handle, block)
    hash.update(block.subarray(0, read))
  }
  Fs.closeSync(handle)
  return hash.digest("hex")
}

const busySeconds = (): number =>
  Os.cpus().reduce((sum, { times: { irq, nice, sys, user } }) => sum + irq + nice + sys + user, 0) / 1_000

const jainIndex = (rates: ReadonlyArray<number>): number =>
  rates.reduce((a, b) => a + b, 0) ** 2 / (rates.length * rates.reduce((sum, rate) => sum + rate ** 2, 0))

/** The field of a race in a folder, and the times at which students had the file. */
const fieldOf = (room: Room, { bitsPerSecond, bytes, students }: Options, folder: string) => {
  const home = (index: number) => `${folder}/m${index}`
  const marks = `${folder}/marks`
  const hook = `${folder}/hook.sh`
  Fs.mkdirSync(marks)
  for (let index = 0; index <= students; index++) Fs.mkdirSync(home(index))
  Fs.writeFileSync(hook, `#!/bin/sh\n: > "$LABFX_BENCH_DONE"\n`, { mode: 0o755 })

  const doneAtMs = new Map<number, number>()
  const done = (index: number, atMs: number) => void (doneAtMs.has(index) || doneAtMs.set(index, atMs))
  const waiting = new Map<string, () => void>()
  const watcher = Fs.watch(marks, (_, name) => {
    if (name === null) return
    waiting.get(name)?.()
    const [what, index] = name.split("-")
    if (what === "done") done(Number(index), Fs.statSync(`${marks}/${name}`).mtimeMs)
  })

  let started = 0
  const start = (index: number, command: ReadonlyArray<string>, environment: NodeJS.ProcessEnv = {}): Running => {
    const mark = `${index}-${started++}`
    const log = Fs.openSync(`${home(index)}/log`, "a")
    const [ip, ...words] = [...room.machines[index]!.prefix, ...command]
    const child = tied(spawn(ip!, words, {
      stdio: ["pipe", log, log],
      cwd: home(index),
      env: {
        ...process.env,
        HOME: home(index),
        LABFX_BENCH_READY: `${marks}/ready-${mark}`,
        LABFX_BENCH_DONE: `${marks}/done-${mark}`,
        ...environment
      }
    }))
    Fs.closeSync(log)
    child.stdin!.on("error", () => {})
    const ready = new Promise<void>((resolve, reject) => {
      waiting.set(`ready-${mark}`, resolve)
      child.once("exit", (code, signal) => {
        const complaint = Fs.existsSync(home(index)) ? Fs.readFileSync(`${home(index)}/log`, "utf8").slice(-500) : ""
        reject(new Error(`${command[0]} ended (${signal ?? code}) before it was ready: ${complaint}`))
      })
    })
    // Not everybody waits for it.
    ready.catch(() => {})
    return { ready, go: () => void child.stdin!.write("\n") }
  }

  const field: Field = {
    students,
    bytes,
    bitsPerSecond,
    file: `${home(0)}/data.bin`,
    home,
    address: (index) => room.machines[index]!.addresses[0]!,
    prefix: (index) => room.machines[index]!.prefix,
    start,
    hold: (index, command, { marks } = { marks: true }) => {
      // The shell stays when the program has ended, because what it cost is looked up there.
      const script = `: > "$LABFX_BENCH_READY"; read -r line
        "$@" < /dev/null && { ${marks ? `: > "$LABFX_BENCH_DONE"` : ":"}; }; read -r line`
      return start(index, ["sh", "-c", script, "sh", ...command])
    },
    hook,
    done
  }
  return { field, doneAtMs, close: () => watcher.close() }
}

const within = async <A>(seconds: number, what: string, promise: Promise<A>): Promise<A> => {
  // A timer that is left would keep the benchmark from ending for as long as was allowed.
  const over = new AbortController()
  const late = rest(seconds, over.signal).then(() => {
    throw new Error(`${what} took more than ${seconds.toFixed(0)} s`)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    over.abort()
  }
}

export const race = async (room: Room, tool: Tool, scenario: Scenario, options: Options): Promise<Result> => {
  const { bitsPerSecond, bytes, students } = options
  const folder = freshFolder(options.folder)
  const { close, doneAtMs, field } = fieldOf(room, options, folder)
  try {
    const startedAt = new Date().toISOString()
    const load = Os.loadavg()[0]!
    randomFile(field.file, bytes)
    const contestant = await tool.enter(field)
    const late = scenario.late === true ? students : undefined
    const everybody = Array.from({ length: students }, (_, i) => i + 1)
    const begin: Array<() => void> = []
    await within(60 + 2 * students, `arming ${tool.name}`, arm(contestant, everybody, late, begin))
    await rest(settleSeconds)
    if (scenario.beforeBytes !== undefined && contestant.shareBefore !== undefined) {
      const before = `${field.home(0)}/before.bin`
      randomFile(before, scenario.beforeBytes)
      await within(60 + 2 * students, `the share before of ${tool.name}`, contestant.shareBefore(before))
      await rest(settleSeconds)
    }

    const oneCopy = oneCopySeconds(bytes, bitsPerSecond)
    const limitMs = (30 + 2 * Math.max(8, students) * oneCopy) * 1_000
    room.look()
    const [before, cpuBefore, busyBefore, sharedAtMs] = [room.traffic(), room.cpuSeconds(), busySeconds(), Date.now()]
    for (const each of begin) each()
    contestant.share()

    let lateAtMs = sharedAtMs
    let traffic = before
    const killed = new Set<number>()
    const received = () =>
      traffic.slice(1).reduce((sum, each, i) => sum + each.receivedBytes - before[i + 1]!.receivedBytes, 0)
    const disturb = scenario.disturb?.({
      students,
      arrived: () => received() / ((late === undefined ? students : students - 1) * bytes),
      sentByTeacher: () => (traffic[0]!.sentBytes - before[0]!.sentBytes) / bytes,
      hasAll: (student) => doneAtMs.has(student),
      kill: (machine) => {
        killed.add(machine)
        room.kill(machine)
      },
      start: (student) => {
        if (student === late) lateAtMs = Date.now()
        // One that does not come back is not complete in the end.
        contestant.armStudent(student).then((go) => go(), () => {})
      }
    })
    const awaited = everybody.slice(0, students - (scenario.leftOut ?? 0))
    let [lookedAtMs, movedAtMs, moved] = [0, sharedAtMs, 0]
    while (!awaited.every((student) => doneAtMs.has(student))) {
      await rest(0.1)
      const now = Date.now()
      traffic = room.traffic()
      disturb?.()
      if (now - lookedAtMs >= 500) {
        lookedAtMs = now
        room.look()
      }
      if (received() - moved > stalledShare * bytes) [moved, movedAtMs] = [received(), now]
      if (now - movedAtMs > stalledSeconds * 1_000 || now - sharedAtMs > limitMs) break
    }
    traffic = room.traffic()
    room.look()
    const wallSeconds = (Date.now() - sharedAtMs) / 1_000
    const busy = busySeconds() - busyBefore
    const cpuSeconds = room.cpuSeconds().reduce((sum, each, i) => sum + each - cpuBefore[i]!, 0)
    const peaksMB = room.machines.map((_, index) => room.peakMB(index))
    room.empty()

    const original = digest(field.file)
    const times = everybody.map((student) => {
      const at = doneAtMs.get(student)
      if (at === undefined || digest(contestant.copy(student)) !== original) return null
      return (at - sharedAtMs) / 1_000
    })
    const finished = times.filter((time) => time !== null)
    const lastOf = (students: ReadonlyArray<number>): number | null => {
      const theirs = students.map((student) => times[student - 1] ?? null)
      return theirs.includes(null) ? null : Math.max(...theirs.map(Number))
    }
    const counted = awaited.filter((student) => student !== late)
    const last = lastOf(counted)
    const survivors = counted.filter((student) => !killed.has(student))
    const lastSurvivor = survivors.length === counted.length ? null : lastOf(survivors)
    const lateTime = late === undefined ? null : times[late - 1]!
    const copies = traffic.map((each, i) => (each.sentBytes - before[i]!.sentBytes) / bytes)
    return {
      tool: tool.name,
      scenario: options.scenario,
      students,
      bytes,
      bitsPerSecond,
      startedAt,
      cores: Os.availableParallelism(),
      load,
      oneCopySeconds: oneCopy,
      complete: finished.length,
      times,
      lastSeconds: last,
      lastCopies: last === null ? null : last / oneCopy,
      survivorsCopies: lastSurvivor === null ? null : lastSurvivor / oneCopy,
      lateCopies: lateTime === null ? null : (lateTime - (lateAtMs - sharedAtMs) / 1_000) / oneCopy,
      teacherCopies: copies[0]!,
      busiestStudentCopies: Math.max(...copies.slice(1)),
      jain: finished.length === students ? jainIndex(finished.map((time) => bytes / time)) : null,
      cpuSecondsPerGB: finished.length === 0 ? null : cpuSeconds / ((finished.length * bytes) / 1e9),
      coresTool: cpuSeconds / wallSeconds,
      coresBusy: busy / wallSeconds,
      teacherPeakMB: peaksMB[0]!,
      studentPeakMB: Math.max(...peaksMB.slice(1))
    }
  } finally {
    close()
    room.empty()
    Fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** Arms everybody who is there from the start; what lets them begin is collected. */
const arm = async (
  contestant: Contestant,
  everybody: ReadonlyArray<number>,
  late: number | undefined,
  begin: Array<() => void>
): Promise<void> => {
  await contestant.armTeacher()
  begin.push(...await Promise.all(everybody.filter((student) => student !== late).map(contestant.armStudent)))
}

/** The median of what is known of several races. */
export const medianOf = (results: ReadonlyArray<Result>, of: (result: Result) => number | null): number | null => {
  const known = results.map(of).filter((figure) => figure !== null)
  return known.length === 0 ? null : median(known)
}
