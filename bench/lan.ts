/**
 * A room on a shaped LAN: one teacher, N students, each with a port of the same rate, all in network namespaces of this
 * machine. Linux and root. Tools that are installed race labfx in the same run, turn by turn.
 *
 *     npm run build && node bench/lan.ts [--tools labfx,libtorrent,aria2,transmission,uftp,nginx] [--scenario plain]
 *         [--students 8] [--rate 100000000] [--bytes 100000000] [--runs 5] [--out results.jsonl] [--folder /dev/shm]
 *
 * Scenarios, several with commas between them: plain, loss (1 % at every machine), unicast, churn, orphan, late, unequal, wide,
 * radio, wireless, filtered, second, slow; each says what it is in the heading of its table. `--out` appends one line of JSON a race, from which `node bench/draw.ts`
 * draws.
 *
 * All programs are started and armed first; the clock runs from the moment the file is shared until a student has all of
 * it, and copies are compared after it has stopped. One copy: bytes at 1448 of each 1514 bytes of the rate, which is what
 * TCP carries. Copies that are sent are bytes of a port, headers and all. Nothing beside it should run: with cores busy near
 * their number, the race was between processors.
 */
import * as Fs from "node:fs"
import * as Os from "node:os"
import { parseArgs } from "node:util"
import { giveUp, limitSeconds, natural } from "./Processes.ts"
import { medianOf, race, type Result } from "./Race.ts"
import { oneCopySeconds, room } from "./Room.ts"
import { scenarios } from "./Scenarios.ts"
import * as Bare from "./tools/Bare.ts"
import * as BitTorrent from "./tools/BitTorrent.ts"
import * as Http from "./tools/Http.ts"
import * as Labfx from "./tools/Labfx.ts"
import type { Tool } from "./tools/Tool.ts"
import * as Uftp from "./tools/Uftp.ts"

/** Who races if nobody is named. */
const contestants: ReadonlyArray<Tool> = [
  Labfx.tool,
  BitTorrent.libtorrent,
  BitTorrent.aria2,
  BitTorrent.transmission,
  Uftp.tool,
  Http.tool
]
const tools: ReadonlyArray<Tool> = [...contestants, Bare.tool, Bare.cast]

const { values } = parseArgs({
  options: {
    tools: { type: "string", default: contestants.map(({ name }) => name).join(",") },
    scenario: { type: "string", default: "plain" },
    students: { type: "string", default: "8" },
    rate: { type: "string", default: "100000000" },
    bytes: { type: "string", default: "100000000" },
    runs: { type: "string", default: "5" },
    out: { type: "string" },
    folder: { type: "string", default: "/dev/shm" }
  }
})
const students = natural(values.students, 2)
const bitsPerSecond = natural(values.rate, 100_000)
const bytes = natural(values.bytes, 1)
const runs = natural(values.runs, 1)
const names = values.scenario.split(",")
for (const name of names) {
  if (!Object.hasOwn(scenarios, name)) giveUp(`no scenario ${name}; there are: ${Object.keys(scenarios).join(", ")}`)
}
const racing = values.tools.split(",").flatMap((name) => {
  const tool = tools.find((each) => each.name === name)
  if (tool === undefined) return giveUp(`no tool ${name}; there are: ${tools.map(({ name }) => name).join(", ")}`)
  const missing = tool.missing()
  if (missing !== undefined) console.log(`${name} does not take part, ${missing}`)
  return missing === undefined ? [tool] : []
})
if (racing.length === 0) giveUp("no tool takes part")
const { bavail, bsize } = Fs.statfsSync(values.folder)
// Some keep what they are writing beside what they have.
const neededBytes = 1.5 * (students + 1) * bytes
if (bavail * bsize < neededBytes) {
  giveUp(`${values.folder} has too little room for ${students + 1} copies; another one: --folder`)
}
const oneCopy = oneCopySeconds(bytes, bitsPerSecond)
limitSeconds(names.length * racing.length * runs * (200 + 4 * students + 2 * Math.max(8, students) * oneCopy))

const columns: ReadonlyArray<readonly [string, (result: Result) => number | null, digits: number]> = [
  ["complete", ({ complete }) => complete, 0],
  ["last/copy", ({ lastCopies }) => lastCopies, 3],
  ["survivors", ({ survivorsCopies }) => survivorsCopies, 3],
  ["late/copy", ({ lateCopies }) => lateCopies, 3],
  ["teacher sent", ({ teacherCopies }) => teacherCopies, 2],
  ["busiest sent", ({ busiestStudentCopies }) => busiestStudentCopies, 2],
  ["CPU s/GB", ({ cpuSecondsPerGB }) => cpuSecondsPerGB, 1],
  ["cores busy", ({ coresBusy }) => coresBusy, 2],
  ["teacher MB", ({ teacherPeakMB }) => teacherPeakMB, 0],
  ["student MB", ({ studentPeakMB }) => studentPeakMB, 0],
  ["Jain", ({ jain }) => jain, 3],
  ["load before", ({ load }) => load, 1]
]

/** Columns of some scenarios alone: the last of those who were not killed, and the one who came late. */
const sometimes = new Set(["survivors", "late/copy"])

for (const name of names) {
  const scenario = scenarios[name]!
  console.log(
    `\n${name}: ${scenario.about}\n${students} students at ${bitsPerSecond / 1e6} Mbit/s, ${bytes} bytes, one copy ${
      oneCopy.toFixed(2)
    } s, ${runs} turns, ${Os.availableParallelism()} cores, node ${process.version}`
  )
  const lab = await room(students + 1, bitsPerSecond)
  scenario.prepare?.(lab, bitsPerSecond)
  const results = new Map(racing.map((tool) => [tool, [] as Array<Result>]))
  for (let run = 0; run < runs; run++) {
    for (const [tool, each] of results) {
      try {
        const result = await race(lab, tool, scenario, {
          scenario: name,
          students,
          bytes,
          bitsPerSecond,
          folder: values.folder
        })
        each.push(result)
        const { complete, lastCopies } = result
        console.log(`turn ${run + 1}: ${tool.name} ${lastCopies?.toFixed(3) ?? `–, ${complete} complete`}`)
        if (values.out !== undefined) Fs.appendFileSync(values.out, `${JSON.stringify(result)}\n`)
      } catch (error) {
        process.exitCode = 1
        console.log(`turn ${run + 1}: ${tool.name} failed, ${(error as Error).message}`)
      }
    }
  }
  lab.close()
  const all = Array.from(results.values()).flat()
  const shown = columns.filter(([title, of]) => !sometimes.has(title) || all.some((result) => of(result) !== null))
  console.log(["".padEnd(12), ...shown.map(([title]) => title.padStart(12))].join(" "))
  for (const [{ name: tool }, each] of results) {
    // A median over those who made it would hide those who did not.
    const isWhole = each.length > 0 && each.every(({ lastCopies }) => lastCopies !== null)
    const cells = shown.map(([title, of, digits]) => {
      const figure = title === "last/copy" && !isWhole ? null : medianOf(each, of)
      return (figure?.toFixed(digits) ?? "–").padStart(12)
    })
    console.log([tool.padEnd(12), ...cells].join(" "))
  }
}
