/**
 * A small hand-out during a large one: how long until everybody has 10 KiB that the teacher shares while 1 GiB is on its
 * way. Network namespaces on this machine; Linux and root.
 *
 *     npm run build && node bench/shares.ts [--students 4] [--rate 100000000] [--bytes 1073741824] [--small 10240]
 *         [--times 5] [--folder /dev/shm]
 *
 * The first small one is shared when an eighth of the large one has arrived, the others one after another, all before it
 * is complete; those that came too late for that do not count.
 */
import * as Os from "node:os"
import { parseArgs } from "node:util"
import { freshFolder, giveUp, lesson, limitSeconds, median, natural, randomFile, rest } from "./Processes.ts"
import { oneCopySeconds, room } from "./Room.ts"

const { values } = parseArgs({
  options: {
    students: { type: "string", default: "4" },
    rate: { type: "string", default: "100000000" },
    bytes: { type: "string", default: String(1024 ** 3) },
    small: { type: "string", default: "10240" },
    times: { type: "string", default: "5" },
    folder: { type: "string", default: "/dev/shm" }
  }
})
const students = natural(values.students, 1)
const bitsPerSecond = natural(values.rate, 100_000)
const bytes = natural(values.bytes, 1_000_000)
const times = natural(values.times, 1)
limitSeconds(90 + 2 * students + 10 * oneCopySeconds(bytes, bitsPerSecond))

const { machines, traffic } = await room(students + 1, bitsPerSecond)
const folder = freshFolder(values.folder)
const large = `${folder}/large.bin`
randomFile(large, bytes)
const { end, students: everybody, teacher } = await lesson(folder, students, (index) => machines[index]!.prefix)
await rest(3)

const completed = (title: string) =>
  Promise.all(everybody.map((student) => student.until("share.completed", (event) => event["title"] === title)))
const arrived = () => traffic().slice(1).reduce((sum, { receivedBytes }) => sum + receivedBytes, 0) / (students * bytes)

const load = Os.loadavg()[0]!
const before = arrived()
const whole = completed("large.bin").then(() => performance.now())
teacher.child.stdin.write(`/share ${large}\n`)
while (arrived() - before < 1 / 8) await rest(0.05)
const all: Array<{ readonly begun: number; readonly end: number }> = []
for (let i = 0; i < times; i++) {
  const small = `small-${i}.bin`
  randomFile(`${folder}/${small}`, natural(values.small, 1))
  const begun = performance.now()
  teacher.child.stdin.write(`/share ${folder}/${small}\n`)
  await completed(small)
  all.push({ begun, end: performance.now() })
  await rest(0.5)
}
const largeAt = await whole
const seconds = all.filter(({ end }) => end < largeAt).map(({ begun, end }) => (end - begun) / 1_000)
if (seconds.length === 0) giveUp("the large one was complete before a small one; take a larger one")
console.log(
  `${students} students at ${bitsPerSecond / 1e6} Mbit/s, ${bytes} bytes on their way, ${seconds.length} of ${times} ` +
    `small ones of ${values.small} bytes in that time, load before ${load.toFixed(1)}; minimum / median / maximum`
)
console.log(
  `everybody has the small one after ${
    [Math.min(...seconds), median(seconds), Math.max(...seconds)].map((each) => each.toFixed(2)).join(" / ")
  } s`
)
await end()
