/**
 * How long the shipped program takes to say what it can do, and a student to be in the session.
 *
 *     npm run build && node bench/startUp.ts [--runs 10] [--joins 10] [--node PATH]
 *
 * Starts `labfx --help`, and an empty program beside it for what Node itself takes, in turns; then students one after
 * another, each from its start to `session.joined`, beside a teacher on loopback. `--node` is another Node to run with.
 */
import { spawnSync } from "node:child_process"
import * as Os from "node:os"
import { performance } from "node:perf_hooks"
import { parseArgs } from "node:util"
import { freshFolder, freshPort, giveUp, keygen, labfx, limitSeconds, median, natural, program } from "./Processes.ts"

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "10" },
    joins: { type: "string", default: "10" },
    node: { type: "string", default: process.execPath }
  }
})
const runs = natural(values.runs, 1)
const joins = natural(values.joins)
limitSeconds(60 + 10 * (runs + joins))

const milliseconds = (...args: ReadonlyArray<string>): number => {
  const start = performance.now()
  const { error, status } = spawnSync(values.node, args, { stdio: "ignore" })
  if (status !== 0) giveUp(`${values.node} ${args.join(" ")} ended with ${error?.message ?? status}`)
  return performance.now() - start
}
const summary = (times: ReadonlyArray<number>): string => {
  const p95 = times.toSorted((a, b) => a - b)[Math.ceil(0.95 * times.length) - 1]!
  return `median ${median(times).toFixed(0)} ms, p95 ${p95.toFixed(0)} ms, ${Math.min(...times).toFixed(0)} to ${
    Math.max(...times).toFixed(0)
  } ms`
}

const [help, nothing]: [Array<number>, Array<number>] = [[], []]
const load = Os.loadavg()[0]!
for (let run = 0; run < runs; run++) {
  help.push(milliseconds(program, "--help"))
  nothing.push(milliseconds("-e", "0"))
}
console.log(`${runs} runs, ${joins} joins, load before ${load.toFixed(1)}`)
console.log(`labfx --help  ${summary(help)}`)
console.log(`node -e 0     ${summary(nothing)}`)

if (joins > 0) {
  const folder = freshFolder(Os.tmpdir())
  await keygen(`${folder}/key`)
  const port = freshPort()
  const teacher = labfx(
    ["teacher", "--secret-file", `${folder}/key`, "--state", `${folder}/t`, "--title", "Bench", "--json", ...port]
  )
  await teacher.until("session.started")
  const joined: Array<number> = []
  for (let join = 0; join < joins; join++) {
    const place = `${folder}/${join}`
    const start = performance.now()
    const student = labfx(["student", "--yes", "--state", `${place}/s`, "--dir", `${place}/d`, "--json", ...port])
    await student.until("session.joined")
    joined.push(performance.now() - start)
    await student.end()
  }
  console.log(`joining       ${summary(joined)}`)
  await teacher.end()
}
