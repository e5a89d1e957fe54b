/**
 * Fuzzes every decoder for as long as you like, and keeps what breaks one.
 *
 *     node scripts/fuzz.ts [--seconds 60] [--seed N] [--target NAME]
 *
 * Prints how many inputs each target was given. An input that breaks a decoder is written to test/corpus, where every run
 * of the tests tries it again.
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { parseArgs } from "node:util"
import * as Fuzz from "../test/support/Fuzz.ts"

const { values } = parseArgs({
  options: { seconds: { type: "string", default: "60" }, seed: { type: "string" }, target: { type: "string" } }
})
const chosen = Fuzz.targets.filter(({ name }) => values.target === undefined || name === values.target)
const firstSeed = Number(values.seed ?? Crypto.randomInt(2 ** 31))
const batch = 100
const totals = new Map(chosen.map(({ name }) => [name, { tried: 0, slowestMs: 0, found: 0 }]))
const endMs = performance.now() + Number(values.seconds) * 1_000

console.log(`seed ${firstSeed}`)
for (let seed = firstSeed; performance.now() < endMs; seed++) {
  for (const target of chosen) {
    const total = totals.get(target.name)!
    const { found, slowestMs, tried } = Fuzz.run(target, seed, batch)
    total.tried += tried
    total.slowestMs = Math.max(total.slowestMs, slowestMs)
    for (const { error, input } of found) {
      const folder = Path.join(Fuzz.corpusFolder, target.name)
      const file = Path.join(folder, Crypto.hash("sha256", input).slice(0, 16))
      Fs.mkdirSync(folder, { recursive: true })
      Fs.writeFileSync(file, input)
      total.found++
      console.log(`${target.name}, seed ${seed}: ${String(error).slice(0, 300)}\n  kept in ${Path.relative(".", file)}`)
    }
  }
}
for (const [name, { found, slowestMs, tried }] of totals) {
  console.log(
    `${name.padEnd(18)} ${String(tried).padStart(9)} inputs, slowest ${slowestMs.toFixed(1)} ms, ${found} found`
  )
}
const sum = Array.from(totals.values()).reduce((total, { tried }) => total + tried, 0)
console.log(`${sum} inputs in ${values.seconds} s`)
process.exitCode = Array.from(totals.values()).some(({ found }) => found > 0) ? 1 : 0
