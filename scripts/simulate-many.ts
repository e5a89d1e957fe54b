/**
 * Runs many simulated lessons and prints a table: `node scripts/simulate-many.ts [SEEDS] [MINUTES] [FIRST]`.
 *
 * Stops after SEEDS lessons or MINUTES of real time, whichever is first, and exits with 1 if any broke a promise. Rooms of
 * all sizes take turns; the line of a failed one is the command that shows it again.
 */
import { Effect } from "effect"
import * as CryptoNode from "../src/services/node/CryptoNode.ts"
import { defaults, type Options } from "../src/simulator/Scenario.ts"
import * as Simulation from "../src/simulator/Simulation.ts"

const seeds = Number(process.argv[2] ?? 1_000)
const minutes = Number(process.argv[3] ?? 60)
const first = Number(process.argv[4] ?? Date.now() % 1_000_000)

/** A lesson in which nothing fails: what goes wrong in it has no excuse. */
const calm: Partial<Options> = { churn: 0, faults: 0, loss: 0 }

/** The room of a seed: small ones often, because they are quick and just as good at finding what is wrong. */
const room = (seed: number): Options => ({
  ...defaults,
  seed,
  peers: seed % 20 === 0 ? 50 : 3 + (seed * 7) % 14,
  hostile: seed % 3 === 0 ? 1 + seed % 5 : 0,
  churn: [0.2, 0.5, 2][seed % 3]!,
  faults: [0.2, 0.5, 1][(seed >> 2) % 3]!,
  loss: [0.02, 0.3][seed % 2]!,
  bytes: [2_000_000, 300_000, 5_000_000][(seed >> 1) % 3]!,
  minutes: [1, 2, 3][seed % 3]!,
  bytesPerSecond: [12_500_000, 1_000_000][(seed >> 3) % 2]!,
  multicastLoss: [undefined, 0, 0.01, 0.3][(seed * 11 >> 2) % 4],
  ...(seed % 8 === 5 ? calm : {})
})

const started = performance.now()
const failed: Array<string> = []
const faults = new Map<string, number>()
let runs = 0
let virtualMs = 0
let deviceMs = 0

for (let seed = first; seed < first + seeds && performance.now() - started < minutes * 60_000; seed++) {
  const options = room(seed)
  const report = await Effect.runPromise(Simulation.run(options).pipe(Effect.provide(CryptoNode.layerNode)))
  runs++
  virtualMs += report.virtualMs
  deviceMs += report.virtualMs * (report.honest + report.hostile)
  for (const [kind, count] of report.faults) faults.set(kind, (faults.get(kind) ?? 0) + count)
  if (report.violations.length === 0) continue
  const command = `labfx simulate --seed ${seed} --peers ${options.peers} --hostile ${options.hostile} ` +
    `--churn ${options.churn} --faults ${options.faults} --loss ${options.loss} --bytes ${options.bytes} ` +
    `--minutes ${options.minutes} --mbit ${options.bytesPerSecond * 8 / 1e6}` +
    (options.multicastLoss === undefined ? "" : ` --multicast-loss ${options.multicastLoss}`)
  failed.push(command)
  console.log(`${command}\n  ${report.violations.slice(0, 3).join("\n  ")}`)
}

const row = (what: string, value: string | number) => console.log(`${what.padEnd(28)} ${value}`)
row("Seeds", `${first} to ${first + runs - 1}`)
row("Lessons", runs)
row("Broken", failed.length)
row("Virtual hours", (virtualMs / 3_600_000).toFixed(1))
row("Virtual device hours", (deviceMs / 3_600_000).toFixed(0))
row("Real minutes", ((performance.now() - started) / 60_000).toFixed(1))
for (const [kind, count] of [...faults].toSorted(([a], [b]) => a < b ? -1 : 1)) row(`  ${kind}`, count)
process.exitCode = failed.length === 0 ? 0 : 1
