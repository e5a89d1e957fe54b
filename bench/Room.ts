/**
 * A room of network namespaces for benchmarks: what its machines send, and what the processes in them cost.
 *
 * It is read from /proc, because one look at all processes and all ports has to be cheap enough to be repeated while a
 * race is on. Linux and root.
 */
import { Effect, Exit, Scope } from "effect"
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Lab from "../test/support/Lab.ts"
import { atEnd, giveUp, rest, tied } from "./Processes.ts"

export interface Traffic {
  readonly sentBytes: number
  readonly receivedBytes: number
}

export interface Room {
  /** The first is the teacher's. */
  readonly machines: ReadonlyArray<Lab.Machine>
  /** Bytes each machine's port has sent and received so far, headers and all. */
  readonly traffic: () => ReadonlyArray<Traffic>
  /** Looks at all processes; what those have spent that end before the next look is lost. */
  readonly look: () => void
  /** CPU seconds of each machine's processes since {@link Room.empty}, as of the last look. */
  readonly cpuSeconds: () => ReadonlyArray<number>
  /** The largest resident set any process of a machine has had since then, in MB. */
  readonly peakMB: (index: number) => number
  /** Kills every process of a machine with -9, after a look. */
  readonly kill: (index: number) => void
  /** Kills every process of every machine, and forgets what they cost. */
  readonly empty: () => void
  /** Ends it before the benchmark ends. */
  readonly close: () => void
}

/** Ethernet's share for what TCP carries: 1448 of each 1514 bytes. */
export const payloadShare = 1_448 / 1_514

/** Seconds that one copy takes through a port of that rate. */
export const oneCopySeconds = (bytes: number, bitsPerSecond: number): number =>
  (bytes * 8) / (bitsPerSecond * payloadShare)

/** The table of neighbours is one for all namespaces; a mesh of 50 has more than the default 1,024. */
const makeRoomForNeighbours = (machines: number): void => {
  for (const threshold of [1, 2, 3]) {
    const file = `/proc/sys/net/ipv4/neigh/default/gc_thresh${threshold}`
    const before = Fs.readFileSync(file, "utf8")
    if (Number(before) >= 4 * machines ** 2) continue
    Fs.writeFileSync(file, String(4 * machines ** 2))
    atEnd(() => Fs.writeFileSync(file, before))
  }
}

interface Cost {
  readonly cpuSeconds: number
  readonly peakMB: number
}

/** What a process and the children it has waited for have cost; none if it has just ended. */
const costOf = (pid: number): Cost | undefined => {
  try {
    const fields = Fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)!.split(" ")
    const peak = /VmHWM:\s+(\d+)/.exec(Fs.readFileSync(`/proc/${pid}/status`, "utf8"))
    const ticks = [11, 12, 13, 14].reduce((sum, field) => sum + Number(fields[field]), 0)
    return { cpuSeconds: ticks / 100, peakMB: (Number(peak?.[1] ?? 0) * 1_024) / 1e6 }
  } catch {
    return undefined
  }
}

/** Machines on one switch, each with a port of that rate and a route to everywhere by it, gone with the benchmark. */
export const room = async (count: number, bitsPerSecond: number): Promise<Room> => {
  if (Lab.namespacesMissing !== undefined) giveUp(`This benchmark makes machines of its own: ${Lab.namespacesMissing}.`)
  makeRoomForNeighbours(count)
  const scope = Scope.makeUnsafe()
  const close = () => Effect.runSync(Scope.close(scope, Exit.void))
  atEnd(close)
  const machines = Effect.runSync(Effect.provideService(Lab.room(count), Scope.Scope, scope))
  for (const machine of machines) {
    machine.ip("route add default dev eth0")
    machine.shape(bitsPerSecond)
  }

  /** By the number of its namespace, as /proc shows it: a process anywhere else is not ours to count or to kill. */
  const indexes = new Map(
    machines.map(({ namespace }, index) => [`net:[${Fs.statSync(`/run/netns/${namespace}`).ino}]`, index])
  )
  const indexOf = (pid: number): number | undefined => {
    try {
      return indexes.get(Fs.readlinkSync(`/proc/${pid}/ns/net`))
    } catch {
      return undefined
    }
  }
  // /proc shows a machine's port only through a process that runs there: this one does nothing else.
  const keepers = machines.map(({ prefix }) => {
    const keeper = tied(spawn(prefix[0]!, [...prefix.slice(1), "sleep", "infinity"], { stdio: "ignore" }))
    // The benchmark does not wait for it.
    keeper.unref()
    return keeper.pid!
  })
  while (!keepers.every((pid, index) => indexOf(pid) === index)) await rest(0.01)

  const empty = (): Array<Map<number, Cost>> => machines.map(() => new Map())
  let living = empty()
  let spent = machines.map((): Cost => ({ cpuSeconds: 0, peakMB: 0 }))

  const processes = (): ReadonlyArray<ReadonlyArray<number>> => {
    const found = machines.map((): Array<number> => [])
    for (const name of Fs.readdirSync("/proc")) {
      const pid = Number(name)
      if (!Number.isInteger(pid) || keepers.includes(pid)) continue
      const index = indexOf(pid)
      if (index !== undefined) found[index]!.push(pid)
    }
    return found
  }
  const look = () => {
    processes().forEach((pids, index) => {
      const costs = pids.flatMap((pid): Array<[number, Cost]> => {
        const cost = costOf(pid)
        return cost === undefined ? [] : [[pid, cost]]
      })
      living[index] = new Map(costs)
      const { cpuSeconds, peakMB } = spent[index]!
      spent[index] = { cpuSeconds, peakMB: Math.max(peakMB, ...costs.map(([, cost]) => cost.peakMB)) }
    })
  }
  const sum = (costs: Map<number, Cost>) =>
    Array.from(costs.values()).reduce((total, { cpuSeconds }) => total + cpuSeconds, 0)
  const kill = (pid: number) => {
    try {
      process.kill(pid, "SIGKILL")
    } catch { /* it has ended by itself */ }
  }

  return {
    machines,
    traffic: () =>
      keepers.map((pid) => {
        const line = Fs.readFileSync(`/proc/${pid}/net/dev`, "utf8").split("\n").find((each) => each.includes("eth0:"))
        const fields = line!.split(":")[1]!.trim().split(/\s+/).map(Number)
        return { receivedBytes: fields[0]!, sentBytes: fields[8]! }
      }),
    look,
    cpuSeconds: () => spent.map(({ cpuSeconds }, index) => cpuSeconds + sum(living[index]!)),
    peakMB: (index) => spent[index]!.peakMB,
    kill: (index) => {
      look()
      const { cpuSeconds, peakMB } = spent[index]!
      spent[index] = { cpuSeconds: cpuSeconds + sum(living[index]!), peakMB }
      for (const pid of living[index]!.keys()) kill(pid)
      living[index] = new Map()
    },
    empty: () => {
      for (const pids of processes()) pids.forEach(kill)
      living = empty()
      spent = machines.map(() => ({ cpuSeconds: 0, peakMB: 0 }))
    },
    close
  }
}
