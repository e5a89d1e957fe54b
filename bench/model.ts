/**
 * Prints how the swarm machine does in a model of a room: `node bench/model.ts --peers 50 --chunks 200 --ablation`.
 *
 * Every student has a link to the teacher, or as many as it may have, as in real rooms; with `teacher-unlinked` the teacher
 * has as many links as anybody.
 * With `cast` the network carries a multicast as well. Rates are in Mbit/s, times in ms, sizes in bytes; `down` is a device's way in as a multiple of its way out. `slow`, `bad`,
 * `mute` and `late` are numbers of students, `orphan` is when the teacher leaves in copies, `churn` is in links cut a second, and
 * `policy` is JSON that switches rules of the machine. A row is the mean over `runs` seeds: when the last student finished
 * in multiples of one copy's time, that over the bound 1 + floor(log2 N) / M, the median student, copies that the teacher
 * and the busiest student sent, bytes received for nothing, bytes sent that are not chunks, Jain's index at half time, and
 * students who never finished.
 */
import { parseArgs } from "node:util"
import { defaultRoom, type Result, type Room, simulate } from "./SwarmModel.ts"

const { values } = parseArgs({
  options: {
    peers: { type: "string", default: "50" },
    chunks: { type: "string", default: "200" },
    "chunk-bytes": { type: "string", default: "65536" },
    rate: { type: "string", default: "10" },
    down: { type: "string", default: "1" },
    links: { type: "string", default: "10" },
    "teacher-unlinked": { type: "boolean", default: false },
    cast: { type: "boolean", default: false },
    latency: { type: "string", default: "0.5" },
    disk: { type: "string", default: "1" },
    kernel: { type: "string", default: "131072" },
    segment: { type: "string", default: "16384" },
    seed: { type: "string", default: "1" },
    runs: { type: "string", default: "3" },
    slow: { type: "string", default: "0" },
    unequal: { type: "boolean", default: false },
    bad: { type: "string", default: "0" },
    mute: { type: "string", default: "0" },
    late: { type: "string", default: "0" },
    orphan: { type: "string", default: "0" },
    churn: { type: "string", default: "0" },
    policy: { type: "string", default: "{}" },
    ablation: { type: "boolean", default: false }
  }
})

const write = (line: string): void => void process.stdout.write(`${line}\n`)

const room: Room = {
  ...defaultRoom,
  students: Number(values.peers),
  chunks: Number(values.chunks),
  chunkBytes: Number(values["chunk-bytes"]),
  bytesPerSecond: Number(values.rate) * 125_000,
  down: Number(values.down),
  links: Number(values.links),
  teacherLinked: !values["teacher-unlinked"],
  cast: values.cast,
  latencyMs: Number(values.latency),
  diskMs: Number(values.disk),
  kernelBytes: Number(values.kernel),
  segmentBytes: Number(values.segment),
  seed: Number(values.seed),
  slow: Number(values.slow),
  unequal: values.unequal,
  bad: Number(values.bad),
  mute: Number(values.mute),
  late: Number(values.late),
  orphanAt: Number(values.orphan),
  churn: Number(values.churn),
  policy: JSON.parse(values.policy) as Room["policy"]
}

const columns = [
  "last/copy",
  "of bound",
  "median",
  "teacher",
  "busiest",
  "wasted",
  "control",
  "Jain",
  "missing",
  "s",
  "inputs/s"
]

const row = (name: string, room: Room): string => {
  const started = process.hrtime.bigint()
  const results: Array<Result> = []
  for (let run = 0; run < Number(values.runs); run++) results.push(simulate({ ...room, seed: room.seed + run }))
  const seconds = Number(process.hrtime.bigint() - started) / 1e9
  const mean = (of: (result: Result) => number) => results.reduce((sum, result) => sum + of(result), 0) / results.length
  const last = mean(({ finished }) => finished.at(-1) ?? Infinity)
  return [
    name.padEnd(34),
    last.toFixed(3),
    (last / results[0]!.bound).toFixed(3),
    mean(({ finished }) => finished[finished.length >> 1] ?? Infinity).toFixed(3),
    mean(({ teacherCopies }) => teacherCopies).toFixed(3),
    mean(({ busiestCopies }) => busiestCopies).toFixed(2),
    `${(100 * mean(({ wasted }) => wasted)).toFixed(2)}%`,
    `${(100 * mean(({ control }) => control)).toFixed(2)}%`,
    mean(({ jain }) => jain).toFixed(3),
    String(mean(({ expected, finished }) => expected - finished.length)),
    seconds.toFixed(1),
    (mean(({ inputs }) => inputs) * results.length / seconds / 1_000).toFixed(0) + "k"
  ].map((cell, i) => i === 0 ? cell : cell.padStart(9)).join(" ")
}

write(["".padEnd(34), ...columns.map((column) => column.padStart(9))].join(" "))
write(row("all rules", room))
if (values.ablation) {
  const ablations: Record<string, Room["policy"]> = {
    "without super-seeding": { superSeed: false },
    "any chunk asked, not the rarest": { rarestAsked: false },
    "oldest request served": { rarestServed: false },
    "without the neediest first": { neediestServed: false },
    "without endgame": { endgame: false },
    "requests wait where they are": { moveAfterMs: Infinity },
    "one upload at a time": { uploadsMax: 1 },
    "all uploads at a time": { uploadsAheadMs: Infinity, uploadsMax: 64 },
    "announced to holders too": { announceToHolders: true },
    "announced at once": { announceEveryMs: 0 },
    "announced every 100 ms": { announceEveryMs: 100 },
    "rare chunks announced with the others": { rareClaimsMax: -1 }
  }
  for (const [name, policy] of Object.entries(ablations)) {
    write(row(name, { ...room, policy: { ...room.policy, ...policy } }))
  }
}
