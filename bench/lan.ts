/**
 * A room on a shaped LAN: one teacher, N students, each with a port of the same rate, all in network namespaces of this
 * machine. Linux and root. Prints the last student's time as a multiple of the time for one copy.
 *
 *     npm run build && node bench/lan.ts [--students 8] [--rate 100000000] [--bytes 100000000] [--runs 5] [--slow 0]
 *
 * `--slow K` gives the last K students a tenth of the rate and leaves them out of "last". One copy: bytes at 1448 of each
 * 1514 bytes of the rate, which is what TCP carries.
 */
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { parseArgs } from "node:util"
import * as Lab from "../test/support/Lab.ts"
import { freshPort, keygen, labfx, median, randomFile, usage } from "./Processes.ts"

const { values } = parseArgs({
  options: {
    students: { type: "string", default: "8" },
    rate: { type: "string", default: "100000000" },
    bytes: { type: "string", default: "100000000" },
    runs: { type: "string", default: "5" },
    slow: { type: "string", default: "0" },
    folder: { type: "string", default: "/dev/shm" }
  }
})
const [students, rate, bytes, slow] = [values.students, values.rate, values.bytes, values.slow].map(Number) as [
  number,
  number,
  number,
  number
]
const oneCopySeconds = (bytes * 8) / (rate * (1_448 / 1_514))
const limitSeconds = 60 + 12 * oneCopySeconds

const once = async (machines: ReadonlyArray<Lab.Machine>) => {
  const folder = Fs.mkdtempSync(Path.join(values.folder, "labfx-bench-"))
  const all: Array<ReturnType<typeof labfx>> = []
  try {
    const key = Path.join(folder, "key")
    const file = Path.join(folder, "data.bin")
    randomFile(file, bytes)
    await keygen(key)
    const port = freshPort()
    const start = (index: number, ...args: ReadonlyArray<string>) => {
      const each = labfx(
        [...args, "--state", `${folder}/s${index}`, "--json", "--no-ui", ...port],
        machines[index]!.prefix
      )
      all.push(each)
      return each
    }
    const teacher = start(0, "teacher", "--secret-file", key, "--title", "Bench")
    await teacher.until("session.started")
    const room = Array.from(
      { length: students },
      (_, i) => start(i + 1, "student", "--yes", "--dir", `${folder}/d${i}`)
    )
    await Promise.all(room.map((student) => student.until("peer.up")))
    await new Promise((rested) => setTimeout(rested, 3_000))
    const before = all.map(({ child }) => usage(child.pid!).cpuSeconds)
    const sentBefore = machines[0]!.traffic().sentBytes
    const begun = performance.now()
    teacher.child.stdin.write(`/share ${file}\n`)
    const done = room.map(async (student) => {
      await student.until("share.completed")
      return (performance.now() - begun) / 1_000
    })
    const times = await Promise.race([
      Promise.all(done.slice(0, students - slow)),
      new Promise<never>((_, fail) =>
        setTimeout(() => fail(new Error("not done in time")), limitSeconds * 1_000).unref()
      )
    ])
    const after = all.map(({ child }) => usage(child.pid!))
    const cpu = after.reduce((sum, { cpuSeconds }, i) => sum + cpuSeconds - before[i]!, 0)
    return {
      ratio: Math.max(...times) / oneCopySeconds,
      teacherCopies: (machines[0]!.traffic().sentBytes - sentBefore) / bytes,
      cpuPerGB: cpu / ((students * bytes) / 1e9),
      coresBusy: cpu / Math.max(...times),
      studentPeakMB: Math.max(...after.slice(1).map(({ peakMB }) => peakMB))
    }
  } finally {
    await Promise.all(all.map((each) => each.end()))
    Fs.rmSync(folder, { recursive: true })
  }
}

const results: Array<Awaited<ReturnType<typeof once>>> = []
await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
  const machines = yield* Lab.room(students + 1)
  machines.forEach((machine, index) => machine.shape(index > students - slow ? rate / 10 : rate))
  for (let run = 0; run < Number(values.runs); run++) results.push(yield* Effect.promise(() => once(machines)))
})))
console.log(
  `${students} students at ${rate / 1e6} Mbit/s, ${bytes} bytes, one copy ${
    oneCopySeconds.toFixed(2)
  } s; minimum / median / maximum of ${results.length}`
)
for (const key of Object.keys(results[0]!) as Array<keyof (typeof results)[number]>) {
  const all = results.map((result) => result[key])
  console.log(
    `${key.padEnd(14)} ${[Math.min(...all), median(all), Math.max(...all)].map((n) => n.toFixed(2)).join(" / ")}`
  )
}
