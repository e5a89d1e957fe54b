/**
 * What labfx holds in memory, with its page: a teacher and a student as real processes on loopback, first idle, then while
 * the student receives a file.
 *
 *     npm run build && node bench/memory.ts [--bytes 1073741824] [--idle 20] [--folder /dev/shm]
 *
 * MB of resident set, 10^6 bytes, as Linux shows them in /proc; peaks are since the start of the process.
 */
import * as Fs from "node:fs"
import * as Os from "node:os"
import { parseArgs } from "node:util"
import { freshFolder, limitSeconds, natural, pair, randomFile, rest } from "./Processes.ts"

const { values } = parseArgs({
  options: {
    bytes: { type: "string", default: String(1024 ** 3) },
    idle: { type: "string", default: "20" },
    folder: { type: "string", default: "/dev/shm" }
  }
})
const bytes = natural(values.bytes, 1)
const idleSeconds = natural(values.idle)
limitSeconds(60 + idleSeconds + bytes / 2e6)

const folder = freshFolder(values.folder)
const { end, student, teacher } = await pair(folder)
const look = (what: string): void => {
  for (const [who, { child }] of [["teacher", teacher], ["student", student]] as const) {
    const status = Fs.readFileSync(`/proc/${child.pid}/status`, "utf8")
    const megabytes = (name: string) =>
      ((Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)![1]) * 1_024) / 1e6).toFixed(0).padStart(4)
    console.log(
      `${who} ${what.padEnd(24)} now ${megabytes("VmRSS")} MB, of it private ${megabytes("RssAnon")} MB, ` +
        `peak ${megabytes("VmHWM")} MB`
    )
  }
}
console.log(`node ${process.version}, load ${Os.loadavg()[0]!.toFixed(1)}`)
await rest(idleSeconds)
look(`idle for ${idleSeconds} s`)
randomFile(`${folder}/data.bin`, bytes)
teacher.child.stdin.write(`/share ${folder}/data.bin\n`)
await student.until("share.completed")
look(`after ${(bytes / 1e6).toFixed(0)} MB`)
await end()
