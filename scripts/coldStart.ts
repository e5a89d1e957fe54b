/**
 * How long the shipped program takes to say what it can do: `npm run build && node scripts/coldStart.ts [NODE]`.
 *
 * Starts `labfx --help` ten times, and an empty program beside it for what Node itself takes. Run it on a quiet machine.
 */
import { spawnSync } from "node:child_process"
import { performance } from "node:perf_hooks"

const runs = 10
const node = process.argv[2] ?? process.execPath

const milliseconds = (...args: ReadonlyArray<string>): number => {
  const start = performance.now()
  const { status } = spawnSync(node, args, { stdio: "ignore" })
  if (status !== 0) throw new Error(`${node} ${args.join(" ")} ended with ${status}`)
  return performance.now() - start
}

const summary = (...args: ReadonlyArray<string>): string => {
  const sorted = Array.from({ length: runs }, () => milliseconds(...args)).toSorted((a, b) => a - b)
  const [least, median, most] = [sorted[0]!, (sorted[runs / 2 - 1]! + sorted[runs / 2]!) / 2, sorted.at(-1)!]
  return `median ${median.toFixed(0)} ms, ${least.toFixed(0)} to ${most.toFixed(0)} ms`
}

process.stdout.write(`labfx --help  ${summary("dist/labfx.mjs", "--help")}\n`)
process.stdout.write(`node -e 0     ${summary("-e", "0")}\n`)
