/**
 * How full the ways of a room are while a file spreads: where the time beyond one copy goes. Network namespaces on this
 * machine; Linux and root.
 *
 *     npm run build && node bench/curve.ts [--students 16] [--rate 40000000] [--bytes 25000000] [--times 1] [--folder /dev/shm]
 *
 * Every twentieth of one copy's time: what the students received and sent and what the teacher sent, as parts of what
 * their ports carry, and the busy cores of all processes. Then when the students were complete, first, median and last,
 * in copies' times. `times` files are shared one after another in one session: the first finds code that V8 has not compiled.
 */
import * as Os from "node:os"
import { parseArgs } from "node:util"
import { freshFolder, lesson, limitSeconds, median, natural, randomFile, rest, usage } from "./Processes.ts"
import { oneCopySeconds, room } from "./Room.ts"

const { values } = parseArgs({
  options: {
    students: { type: "string", default: "16" },
    rate: { type: "string", default: "40000000" },
    bytes: { type: "string", default: "25000000" },
    times: { type: "string", default: "1" },
    folder: { type: "string", default: "/dev/shm" }
  }
})
const students = natural(values.students, 1)
const bitsPerSecond = natural(values.rate, 100_000)
const bytes = natural(values.bytes, 1_000_000)
const times = natural(values.times, 1)
const copySeconds = oneCopySeconds(bytes, bitsPerSecond)
limitSeconds(60 + 3 * students + times * (20 + 5 * copySeconds))

const { machines, traffic } = await room(students + 1, bitsPerSecond)
const folder = freshFolder(values.folder)
const { end, students: everybody, teacher } = await lesson(folder, students, (index) => machines[index]!.prefix)
await rest(5)

const look = () => ({
  atMs: performance.now(),
  ports: traffic(),
  cpuSeconds: [teacher, ...everybody].reduce((sum, { child }) => sum + usage(child.pid!).cpuSeconds, 0)
})
const part = (value: number): string => value.toFixed(2).padStart(8)

for (let time = 0; time < times; time++) {
  const name = `file-${time}.bin`
  randomFile(`${folder}/${name}`, bytes)
  const begunMs = performance.now()
  const copies = () => (performance.now() - begunMs) / 1_000 / copySeconds
  const complete: Array<number> = []
  for (const student of everybody) {
    void student.until("share.completed", ({ title }) => title === name).then(() => complete.push(copies()))
  }
  console.log(`copies  received    sent teacher   cores   load ${Os.loadavg()[0]!.toFixed(1)}`)
  let before = look()
  const first = before
  teacher.child.stdin.write(`/share ${folder}/${name}\n`)
  while (complete.length < students) {
    await rest(copySeconds / 20)
    const now = look()
    const seconds = (now.atMs - before.atMs) / 1_000
    const carried = bitsPerSecond / 8 * seconds
    const moved = now.ports.map(({ receivedBytes, sentBytes }, i) => ({
      received: (receivedBytes - before.ports[i]!.receivedBytes) / carried,
      sent: (sentBytes - before.ports[i]!.sentBytes) / carried
    }))
    const mean = (of: (port: { received: number; sent: number }) => number) =>
      moved.slice(1).reduce((sum, port) => sum + of(port), 0) / students
    const shown = [mean((port) => port.received), mean((port) => port.sent), moved[0]!.sent]
    console.log(
      `${copies().toFixed(2).padStart(6)}  ${
        [...shown, (now.cpuSeconds - before.cpuSeconds) / seconds].map(part).join("")
      }`
    )
    before = now
  }
  const cpuPerGb = (look().cpuSeconds - first.cpuSeconds) / (students * bytes / 1e9)
  const spread = [Math.min(...complete), median(complete), Math.max(...complete)].map((each) => each.toFixed(3))
  console.log(`complete after ${spread.join(" / ")} copies' times, ${cpuPerGb.toFixed(1)} CPU s per GB`)
  await rest(5)
}
await end()
