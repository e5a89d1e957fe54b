/**
 * Loaded into a victim with `--import`: writes its memory and the longest stall of its event loop, four times a second.
 *
 * A stall counts by the processor time that the main thread used in it: on a crowded machine a process also waits for
 * others, and that is not what a peer has done to it.
 */
import * as Fs from "node:fs"
import * as V8 from "node:v8"
import * as Vm from "node:vm"

const path = process.env["LABFX_PROBE"]
const intervalMs = 10
const recordMs = 250
const lookMs = 2_000

/** One line of the record: what was seen since the line before. */
export interface Probe {
  readonly atMs: number
  readonly stallMs: number
  readonly rssBytes: number
  /** What is left of the heap and of buffers after everything unused has been collected: looked at every two seconds. */
  readonly liveBytes: number
}

if (path !== undefined && import.meta.main === false && process.argv[1]?.endsWith("labfx.mjs") === true) {
  let lastMs = performance.now()
  let lastCpuMs = 0
  let stallMs = 0
  let recordedMs = lastMs
  let lookedMs = -Infinity
  let liveBytes = 0
  V8.setFlagsFromString("--expose-gc")
  const collect = Vm.runInNewContext("gc") as () => void
  const cpu = () => {
    const { system, user } = process.threadCpuUsage()
    return (system + user) / 1_000
  }
  const timer = setInterval(() => {
    const nowMs = performance.now()
    const cpuMs = cpu()
    stallMs = Math.max(stallMs, Math.min(nowMs - lastMs - intervalMs, cpuMs - lastCpuMs))
    lastMs = nowMs
    lastCpuMs = cpuMs
    if (nowMs - recordedMs < recordMs) return
    recordedMs = nowMs
    const rssBytes = process.memoryUsage.rss()
    if (nowMs - lookedMs >= lookMs) {
      lookedMs = nowMs
      collect()
      const { external, heapUsed } = process.memoryUsage()
      liveBytes = heapUsed + external
    }
    const probe: Probe = { atMs: Date.now(), stallMs: Math.round(stallMs), rssBytes, liveBytes }
    Fs.appendFileSync(path, `${JSON.stringify(probe)}\n`)
    stallMs = 0
    // What the probe itself takes is nobody's fault.
    lastMs = performance.now()
    lastCpuMs = cpu()
  }, intervalMs)
  timer.unref()
}

/** What a victim's probe has written since a moment. */
export const since = (path: string, sinceMs: number): ReadonlyArray<Probe> =>
  Fs.readFileSync(path, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line) as Probe).filter(({ atMs }) =>
    atMs >= sinceMs
  )
