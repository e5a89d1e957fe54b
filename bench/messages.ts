/**
 * Messages: how long a line that the teacher types takes to the last of many students, as real processes.
 *
 *     npm run build && node bench/messages.ts [--students 50] [--messages 100] [--everyMs 250] [--bulk 0] [--rate 0] [--bare]
 *
 * `--bulk BYTES` shares a file of that size at the same moment, so that messages have bulk data to pass: only those that
 * were typed while it was on its way are counted then. Without a rate all run on loopback; `--rate` gives each a port of
 * so many bits a second in a network namespace (Linux and root), as in `lan.ts`. The time ends when the last student prints
 * the event, by the event's own time in whole milliseconds: this process, which has to read fifty pipes on cores that are
 * busy with what it measures, is often late itself. `--bare` runs `tools/bareHearer.ts` in place of labfx: what Node itself
 * needs.
 */
import * as Os from "node:os"
import * as Path from "node:path"
import { parseArgs } from "node:util"
import {
  bareLesson,
  freshFolder,
  freshPort,
  giveUp,
  lesson,
  limitSeconds,
  natural,
  randomFile,
  rest
} from "./Processes.ts"
import { oneCopySeconds, room } from "./Room.ts"

const { values } = parseArgs({
  options: {
    students: { type: "string", default: "50" },
    messages: { type: "string", default: "100" },
    everyMs: { type: "string", default: "250" },
    bulk: { type: "string", default: "0" },
    rate: { type: "string", default: "0" },
    bare: { type: "boolean", default: false },
    folder: { type: "string", default: "/dev/shm" }
  }
})
const count = natural(values.students, 1)
const messages = natural(values.messages, 1)
const everyMs = natural(values.everyMs)
const bulk = natural(values.bulk)
const rate = natural(values.rate)
if (values.bare && (bulk > 0 || rate > 0)) giveUp("--bare is for lines alone, on loopback: leave --bulk and --rate out")
limitSeconds(90 + 2 * count + 2 * messages * everyMs / 1_000 + (rate > 0 ? 4 * oneCopySeconds(bulk, rate) : 0))
const folder = freshFolder(values.folder)
const file = Path.join(folder, "bulk.bin")
const lab = rate > 0 ? await room(count + 1, rate) : undefined
const load = Os.loadavg()[0]!

const { end, students, teacher } = values.bare
  ? await bareLesson(folder, count, "bareHearer.ts")
  : await lesson(
    folder,
    count,
    (index) => lab?.machines[index]!.prefix ?? [],
    ...lab === undefined ? freshPort() : []
  )
await rest(5)
const progress = { isBulkWhole: false }
if (bulk > 0) {
  randomFile(file, bulk)
  Promise.all(students.map((student) => student.until("share.completed"))).then(() => {
    progress.isBulkWhole = true
  })
  teacher.child.stdin.write(`/share ${file}\n`)
  await rest(0.5)
}

const sentAt = new Map<string, number>()
const arrivals = new Map<string, Array<number>>()
for (const student of students) {
  student.onEvent((event) => {
    if (event["event"] !== "message.delivered") return
    const text = String(event["text"])
    arrivals.set(text, [...(arrivals.get(text) ?? []), Date.parse(String(event["time"])) - sentAt.get(text)!])
  })
}
for (let i = 0; i < messages && !progress.isBulkWhole; i++) {
  const text = `message ${i} ${"x".repeat(200)}`
  sentAt.set(text, Date.now())
  teacher.child.stdin.write(`${text}\n`)
  await rest(everyMs / 1_000)
}
for (
  let waited = 0;
  waited < 20_000 && Array.from(sentAt.keys()).some((text) => (arrivals.get(text)?.length ?? 0) < count);
  waited += 100
) {
  await rest(0.1)
}
const last = Array.from(arrivals.values(), (each) => Math.max(...each)).toSorted((a, b) => a - b)
if (last.length === 0) giveUp("no message reached anybody")
const complete = Array.from(arrivals.values()).filter((each) => each.length === count).length
/** Nearest rank: so large a share of the messages took no longer. */
const at = (share: number) => last[Math.max(0, Math.ceil(share * last.length) - 1)]!.toFixed(1)
console.log(
  `${count} ${values.bare ? "bare " : ""}students${
    rate > 0 ? ` at ${rate / 1e6} Mbit/s` : ""
  }, ${sentAt.size} messages of 200 bytes, one each ` +
    `${everyMs} ms${bulk > 0 ? `, beside ${bulk} bytes of bulk` : ""}: ${complete} reached everybody, load before ${
      load.toFixed(1)
    }`
)
console.log(`to the last student: p50 ${at(0.5)} ms, p90 ${at(0.9)} ms, p99 ${at(0.99)} ms, at most ${at(1)} ms`)
await end()
