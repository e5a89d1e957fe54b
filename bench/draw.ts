/**
 * Draws when each student had the file, tool by tool, from what races have written down:
 *
 *     node bench/lan.ts --out results.jsonl && node bench/draw.ts results.jsonl [--scenario plain] [--to docs/completion.svg]
 *
 * A row is a tool, a dot one student of the race whose last student came in as the median. The line is one copy's time.
 * Races of different sizes are not mixed: those like the newest line of the scenario count.
 */
import * as Fs from "node:fs"
import { parseArgs } from "node:util"
import { giveUp } from "./Processes.ts"
import type { Result } from "./Race.ts"

const { positionals: [file], values } = parseArgs({
  allowPositionals: true,
  options: {
    scenario: { type: "string", default: "plain" },
    to: { type: "string", default: "docs/completion.svg" }
  }
})
if (file === undefined || !Fs.existsSync(file)) giveUp("name the file that `node bench/lan.ts --out FILE` has written")

const written = Fs.readFileSync(file!, "utf8").split("\n").filter((line) => line !== "")
  .map((line) => JSON.parse(line) as Result)
  .filter(({ scenario }) => scenario === values.scenario)
const newest = written.at(-1) ?? giveUp(`${file} has no race of the scenario ${values.scenario}`)
const results = written.filter(({ bitsPerSecond, bytes, students }) =>
  bitsPerSecond === newest.bitsPerSecond && bytes === newest.bytes && students === newest.students
)

const last = ({ lastCopies }: Result): number => lastCopies ?? Infinity
const rows = Array.from(Map.groupBy(results, ({ tool }) => tool).values())
  .map((races) => races.toSorted((a, b) => last(a) - last(b))[(races.length - 1) >> 1]!)
  .toSorted((a, b) => last(a) - last(b))

const copiesOf = ({ oneCopySeconds, times }: Result): ReadonlyArray<number> =>
  times.filter((time) => time !== null).map((time) => time / oneCopySeconds)
const copiesMax = Math.ceil(Math.max(2, ...rows.flatMap(copiesOf)))

const [left, right, top, rowHeight, width] = [110, 650, 56, 28, 720]
const bottom = top + rows.length * rowHeight
const x = (copies: number): string => (left + (copies / copiesMax) * (right - left)).toFixed(1)
const tickEvery = Math.ceil(copiesMax / 8)
const ticks = Array.from({ length: Math.floor(copiesMax / tickEvery) + 1 }, (_, i) => i * tickEvery)

const loads = results.map(({ load }) => load)
const about = `${newest.students} students at ${newest.bitsPerSecond / 1e6} Mbit/s, ${newest.bytes / 1e6} MB, ` +
  `${values.scenario}; ${newest.cores} cores, load before ${Math.min(...loads).toFixed(1)} to ${
    Math.max(...loads).toFixed(1)
  }`

const row = (result: Result, index: number): string => {
  const y = top + (index + 0.5) * rowHeight
  const dots = copiesOf(result).map((copies) => `<circle cx="${x(copies)}" cy="${y}" r="4"/>`).join("")
  const figure = result.lastCopies === null
    ? `${result.complete} of ${result.students}`
    : result.lastCopies.toFixed(2)
  return `<g class="${result.tool === "labfx" ? "ours" : "other"}">` +
    `<text x="${left - 12}" y="${y + 4}" text-anchor="end">${result.tool}</text>${dots}` +
    `<text x="${right + 14}" y="${y + 4}">${figure}</text></g>`
}

Fs.writeFileSync(
  values.to,
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${
    bottom + 52
  }" role="img" font-family="sans-serif" font-size="13">
<title>When each student has the file, in multiples of the time one copy takes: ${about}</title>
<style>
text { fill: #24292f } .note { fill: #57606a; font-size: 12px } line { stroke: #d0d7de } .copy { stroke: #57606a; stroke-dasharray: 4 3 }
circle { fill-opacity: .65 } .other circle { fill: #8c959f } .ours circle { fill: #0969da } .ours text { font-weight: bold }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .note { fill: #9198a1 } line { stroke: #3d444d } .copy { stroke: #9198a1 }
.other circle { fill: #9198a1 } .ours circle { fill: #4493f8 }
}
</style>
<text x="${left}" y="20" font-weight="bold">When each student has the file</text>
<text class="note" x="${left}" y="38">${about}</text>
<text class="note" x="${right + 14}" y="38">last</text>
${
    ticks.map((copies) =>
      `<line x1="${x(copies)}" x2="${x(copies)}" y1="${top}" y2="${bottom}"/>` +
      `<text class="note" x="${x(copies)}" y="${bottom + 18}" text-anchor="middle">${copies}</text>`
    ).join("\n")
  }
<line class="copy" x1="${x(1)}" x2="${x(1)}" y1="${top - 6}" y2="${bottom}"/>
<text class="note" x="${(left + right) / 2}" y="${
    bottom + 38
  }" text-anchor="middle">copies' time; dashed: one copy at the rate of a port</text>
${rows.map(row).join("\n")}
</svg>
`
)
console.log(`${values.to}: ${rows.length} tools, ${results.length} races`)
