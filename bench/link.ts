/**
 * One link: a teacher hands one file to one student on loopback, encrypted, verified and stored.
 *
 *     npm run build && node bench/link.ts [--bytes 1073741824] [--runs 5] [--folder /dev/shm]
 *
 * Real processes of the shipped program. The clock runs from `/share` on the teacher's standard input, so hashing the
 * source is in it, to `share.completed` on the student. `LABFX_BENCH_NODE_OPTIONS` goes to both processes' node, e.g.
 * `--cpu-prof --cpu-prof-dir=DIR`.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { parseArgs } from "node:util"
import { freshFolder, limitSeconds, median, natural, pair, randomFile, rest, usage } from "./Processes.ts"

const { values } = parseArgs({
  options: {
    bytes: { type: "string", default: String(1024 ** 3) },
    runs: { type: "string", default: "5" },
    folder: { type: "string", default: "/dev/shm" }
  }
})
const bytes = natural(values.bytes, 1)
const runs = natural(values.runs, 1)
limitSeconds(runs * (60 + bytes / 2e6))

const once = async () => {
  const folder = freshFolder(values.folder)
  try {
    const file = Path.join(folder, "data.bin")
    randomFile(file, bytes)
    const { end: leave, student, teacher } = await pair(folder)
    await rest(0.5)
    const before = [usage(teacher.child.pid!), usage(student.child.pid!)]
    const start = performance.now()
    teacher.child.stdin.write(`/share ${file}\n`)
    await student.until("share.offered")
    const offered = performance.now()
    await student.until("share.completed")
    const end = performance.now()
    const after = [usage(teacher.child.pid!), usage(student.child.pid!)]
    await leave()
    const gigabytes = bytes / 1e9
    return {
      MBps: bytes / 1e3 / (end - start),
      afterHashingMBps: bytes / 1e3 / (end - offered),
      teacherCpuPerGB: (after[0]!.cpuSeconds - before[0]!.cpuSeconds) / gigabytes,
      studentCpuPerGB: (after[1]!.cpuSeconds - before[1]!.cpuSeconds) / gigabytes,
      idleStudentMB: before[1]!.peakMB,
      studentPeakMB: after[1]!.peakMB,
      teacherPeakMB: after[0]!.peakMB
    }
  } finally {
    Fs.rmSync(folder, { recursive: true })
  }
}

const results: Array<Awaited<ReturnType<typeof once>>> = []
for (let run = 0; run < runs; run++) results.push(await once())
console.log(`${bytes} bytes, ${results.length} runs, node ${process.version}; minimum / median / maximum`)
for (const key of Object.keys(results[0]!) as Array<keyof (typeof results)[number]>) {
  const all = results.map((result) => result[key])
  console.log(
    `${key.padEnd(18)} ${[Math.min(...all), median(all), Math.max(...all)].map((n) => n.toFixed(2)).join(" / ")}`
  )
}
