/**
 * Whole lessons under faults and attackers. A lesson that breaks a promise names its seed; `labfx simulate --trace` with
 * the same options shows how it came to that.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Random } from "effect"
import * as CryptoNode from "../../src/services/node/CryptoNode.ts"
import { defaults, type Options } from "../../src/simulator/Scenario.ts"
import * as Simulation from "../../src/simulator/Simulation.ts"

const small: Options = { ...defaults, peers: 9, bytes: 600_000, minutes: 0.5, churn: 0.5, faults: 0.5 }

/** Real chance and a real event loop around it, as `labfx simulate` has them. */
const simulate = (options: Options, show?: (line: string) => void) =>
  Simulation.run(options, show).pipe(Effect.provide(CryptoNode.layerNode))

/** A lesson that several tests look at runs once. */
const reports = new Map<string, Simulation.Report>()

const holds = Effect.fnUntraced(function*(options: Options) {
  const key = JSON.stringify(options)
  const report = reports.get(key) ?? (yield* simulate(options))
  reports.set(key, report)
  assert.deepStrictEqual(report.violations, [], `broken by ${key}`)
  return report
})

const calm = (seed: number): Options => ({ ...small, seed, peers: 4 + seed * 2 })
/** Few devices, of which some are hostile, and more faults than a room has in a year. */
const harsh: Omit<Options, "seed"> = {
  ...small,
  peers: 5,
  hostile: 2,
  churn: 2,
  faults: 2,
  loss: 0.3,
  bytes: 500_000,
  minutes: 5,
  bytesPerSecond: 1_250_000
}
const hostile = (seed: number): Options => ({ ...small, seed, peers: 12, hostile: 4 })

describe("simulation", () => {
  it.live.each([1, 2, 3, 4])(
    "P1 P3 P5 P6 P9 P10: nothing wrong is shown and everybody has everything in the end, seed %i",
    (seed) => Effect.asVoid(holds(calm(seed))),
    120_000
  )

  // Each lesson has the next four roles of `Scenario.roles`: together, all of them.
  it.live.each([4, 8, 12])(
    "P4 P7: nor do the hostile make a difference to that, seed %i",
    (seed) =>
      Effect.gen(function*() {
        const { poisonedChunksMax, poisoners, poisonersNamed } = yield* holds(hostile(seed))
        assert.isAtMost(poisonedChunksMax, 3, "false chunks that an honest device takes of one device")
        assert.strictEqual(poisonersNamed, poisoners)
      }),
    120_000
  )

  it.live(
    "lets eight hostile among twenty make a lesson take twice as long at most, for nobody",
    () =>
      Effect.gen(function*() {
        const fast: Options = {
          ...small,
          seed: 2,
          bytes: 5_000_000,
          bytesPerSecond: 2_500_000,
          churn: 0,
          faults: 0,
          loss: 0
        }
        const calm = yield* holds({ ...fast, peers: 12 })
        for (
          const roles of [["stall", "trickle", "hoard", "lie"], ["poison", "replay", "spam", "duplicate"]] as const
        ) {
          const { slowestMs, virtualMs } = yield* holds({ ...fast, peers: 20, hostile: 8, roles })
          for (const [i, ms] of slowestMs.entries()) assert.isAtMost(ms, 2 * calm.slowestMs[i]!, `share ${i}`)
          assert.isAtMost(virtualMs, calm.virtualMs + 5_000, "who came late is no exception")
        }
      }),
    120_000
  )

  const broken: ReadonlyArray<readonly [what: string, options: Partial<Options>]> = [
    ["a clock before 1970 silenced its device", {
      seed: 3,
      peers: 8,
      churn: 0.2,
      faults: 0.2,
      bytes: 2_000_000,
      minutes: 1
    }],
    ["a share that had lost a chunk on disk was receiving for ever", { seed: 2, peers: 8 }],
    [
      "progress went beyond the whole",
      { seed: 20_001, peers: 10, hostile: 2, churn: 0.2, faults: 1, loss: 0.3, bytes: 300_000, minutes: 1 }
    ],
    [
      "after a power cut the teacher's words were taken for a student's",
      { seed: 2, peers: 9, hostile: 3, churn: 1, bytes: 300_000, minutes: 1 }
    ],
    ["a power cut took small files of a folder that had just been found and adopted", {
      seed: 301_115,
      peers: 10,
      churn: 2,
      faults: 1,
      loss: 0.3,
      bytes: 5_000_000,
      minutes: 3,
      bytesPerSecond: 1_000_000
    }],
    ["a device whose own log was spoilt numbered two messages alike, while nobody was there who had the first", {
      seed: 720_008,
      peers: 3,
      churn: 2,
      faults: 1,
      bytes: 300_000,
      minutes: 3,
      bytesPerSecond: 1_000_000
    }],
    ["a published chunk that the disk had not given out was fetched from the teacher again and again, and never kept", {
      seed: 830_092,
      peers: 3,
      bytes: 5_000_000,
      minutes: 2,
      bytesPerSecond: 1_000_000
    }],
    ["a power cut at the only student and a spoilt log of the teacher took a message from the room", {
      seed: 900_296,
      peers: 3,
      churn: 2,
      faults: 1,
      bytes: 300_000,
      minutes: 3,
      bytesPerSecond: 1_000_000
    }],
    ["a published file that the disk had spoilt did not pass through the only neighbor of a device", {
      seed: 900_022,
      peers: 3,
      faults: 1,
      bytes: 5_000_000,
      minutes: 2,
      bytesPerSecond: 12_500_000
    }],
    ["a log that could not be opened when the session began was never kept", {
      seed: 300_091,
      peers: 10,
      loss: 0.3,
      bytes: 2_000_000,
      minutes: 2,
      bytesPerSecond: 1_000_000
    }],
    ["somebody typed at a laptop that slept, and the room knew of it before its own screen did", {
      seed: 993_050,
      peers: 3,
      churn: 2,
      faults: 0.2,
      loss: 0.02,
      bytes: 300_000,
      minutes: 3,
      bytesPerSecond: 1_000_000
    }],
    ["a hostile device played a session back and left out the certificate of a key that the teacher had before", {
      ...harsh,
      seed: 1_210_023
    }],
    ["both students' disks spoilt the same chunk, while its teacher was gone for good", {
      ...harsh,
      seed: 1_210_011
    }]
  ]

  it.live.each(broken)(
    "holds again where once %s",
    ([, options]) => Effect.asVoid(holds({ ...small, ...options })),
    120_000
  )

  it.live("holds for seeds that nobody has tried before", () =>
    Effect.gen(function*() {
      for (let run = 0; run < 3; run++) {
        const seed = yield* Random.nextIntBetween(0, 2 ** 31)
        yield* Effect.logInfo(`fresh seed ${seed}`)
        yield* holds({ ...small, seed, hostile: run % 2 === 0 ? 0 : 3 })
      }
    }), 120_000)

  it.live(
    "gives the same trace for the same seed and another for another, and shows every event with its time",
    () =>
      Effect.gen(function*() {
        const lines: Array<string> = []
        const first = yield* holds(hostile(12))
        const again = yield* simulate(hostile(12), (line) => lines.push(line))
        assert.deepStrictEqual(again, first)
        assert.notStrictEqual((yield* holds(hostile(4))).digest, first.digest)
        assert.lengthOf(lines, again.linesCount)
        for (const line of lines) assert.match(line, /^ *\d+\.\d{3} {2}\S/)
      }),
    120_000
  )
})
