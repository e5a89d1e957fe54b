/**
 * A crowd: many students as real processes on one machine, and one file for all of them.
 *
 *     npm run build && node bench/crowd.ts [--students 50] [--bytes 20000000] [--folder /dev/shm] [--idle 20] [--limit 600]
 *
 * Prints how long joining and receiving take, CPU seconds and peak memory. All share this machine's cores, so the times
 * say how much work it is, not how fast a room is. `--idle` looks for that many seconds at a room in which nothing happens;
 * `--limit` is when it gives up, in seconds.
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { parseArgs } from "node:util"
import {
  freshFolder,
  freshPort,
  keygen,
  labfx,
  limitSeconds,
  median,
  natural,
  randomFile,
  rest,
  usage
} from "./Processes.ts"

const { values } = parseArgs({
  options: {
    students: { type: "string", default: "50" },
    bytes: { type: "string", default: "20000000" },
    folder: { type: "string", default: "/dev/shm" },
    idle: { type: "string", default: "0" },
    limit: { type: "string", default: "600" }
  }
})
const count = natural(values.students, 1)
const bytes = natural(values.bytes, 1)
limitSeconds(natural(values.limit, 1))
const folder = freshFolder(values.folder)
const all: Array<ReturnType<typeof labfx>> = []

const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((a, b) => a + b, 0)
const idleSeconds = natural(values.idle)
const digest = (file: string) => Crypto.createHash("sha256").update(Fs.readFileSync(file)).digest("hex")
try {
  const key = Path.join(folder, "key")
  const file = Path.join(folder, "data.bin")
  randomFile(file, bytes)
  await keygen(key)
  const port = freshPort()
  const teacher = labfx([
    "teacher",
    "--secret-file",
    key,
    "--state",
    `${folder}/t`,
    "--title",
    "Bench",
    "--json",
    ...port
  ])
  all.push(teacher)
  await teacher.until("session.started")
  const begun = performance.now()
  const students = Array.from(
    { length: count },
    (_, i) =>
      labfx([
        "student",
        "--yes",
        "--state",
        `${folder}/s${i}`,
        "--dir",
        `${folder}/d${i}`,
        "--json",
        "--no-ui",
        ...port
      ])
  )
  all.push(...students)
  await Promise.all(students.map(async (student) => {
    await student.until("session.joined")
    await student.until("peer.up")
  }))
  const joinSeconds = (performance.now() - begun) / 1_000
  const cpuNow = () => all.map(({ child }) => usage(child.pid!).cpuSeconds)
  const joinCpu = sum(cpuNow())
  if (idleSeconds > 0) {
    // Until everybody has the links it wants.
    await rest(10)
    const quiet = sum(cpuNow())
    await rest(idleSeconds)
    console.log(
      `idle              ${((sum(cpuNow()) - quiet) / idleSeconds / all.length * 100).toFixed(2)} % of a core a process`
    )
  }
  const joined = performance.now()
  const before = cpuNow()
  teacher.child.stdin.write(`/share ${file}\n`)
  const times = await Promise.all(students.map(async (student) => {
    await student.until("share.completed")
    return (performance.now() - joined) / 1_000
  }))
  const after = all.map(({ child }) => usage(child.pid!))
  const expected = digest(file)
  const wrong = students.filter((_, i) => digest(`${folder}/d${i}/data.bin`) !== expected).length
  const cpu = sum(after.map(({ cpuSeconds }, i) => cpuSeconds - before[i]!))
  console.log(`${count} students, ${bytes} bytes, node ${process.version}: ${wrong} wrong`)
  console.log(
    `joined            ${joinSeconds.toFixed(1)} s after the first was started, ${
      (joinCpu / all.length).toFixed(2)
    } CPU s a process`
  )
  console.log(
    `complete          first ${Math.min(...times).toFixed(1)} s, median ${median(times).toFixed(1)} s, last ${
      Math.max(...times).toFixed(1)
    } s`
  )
  console.log(
    `CPU               ${cpu.toFixed(1)} s in all, ${(cpu / ((count * bytes) / 1e9)).toFixed(1)} s a GB delivered`
  )
  console.log(
    `peak memory       teacher ${after[0]!.peakMB.toFixed(0)} MB, students at most ${
      Math.max(...after.slice(1).map(({ peakMB }) => peakMB)).toFixed(0)
    } MB`
  )
} finally {
  await Promise.all(all.map((each) => each.end()))
}
