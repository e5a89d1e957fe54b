/**
 * A student killed with SIGKILL at 200 random moments while it downloads a file and a folder of small files: what that
 * costs. Linux and root: it makes network namespaces, whose counters say what was fetched again.
 *
 *     node scripts/kill-many.ts [kills] [seed]
 */
import { Console, Effect } from "effect"
import * as Limits from "../src/protocol/Limits.ts"
import { killed } from "../test/support/KillScenario.ts"
import * as Lab from "../test/support/Lab.ts"
import { seeded } from "../test/support/Stores.ts"

const kills = Number(process.argv[2] ?? 200)
const seed = Number(process.argv[3] ?? Math.floor(Math.random() * 2 ** 31))

const spread = (values: ReadonlyArray<number>, unit: number, name: string) => {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number) => ((sorted[Math.floor(share * (sorted.length - 1))] ?? 0) / unit).toFixed(2)
  return `median ${at(0.5)}, p95 ${at(0.95)}, most ${at(1)} ${name} (${sorted.length})`
}

const run = Effect.gen(function*() {
  if (Lab.namespacesMissing !== undefined) return yield* Effect.die(Lab.namespacesMissing)
  yield* Console.log(`seed ${seed}`)
  const [teacher, student] = yield* Lab.room(2)
  const figures = yield* killed({
    kills,
    fileBytes: 300_000_000,
    files: 4_000,
    seconds: 60 + kills * 20,
    random: seeded(seed),
    killed: ({ kills: done }) => done % 20 === 0 ? Console.log(`${done} kills`) : Effect.void
  }, [teacher!, student!])
  yield* Console.log(
    [
      `${figures.kills} kills, ${figures.during} of them during a download; ${figures.downloads} downloads finished, every byte compared`,
      `starts that needed anything: ${figures.needed}`,
      `fetched again: ${spread(figures.againBytes, 1e6, "MB a kill")}; promised: at most ${
        ((Limits.inFlightBytesMax + Limits.unmarkedBytesMax) / 1e6).toFixed(0)
      } MB`,
      `from the start of the program to the session: ${spread(figures.joinMs, 1e3, "s")}`,
      `from the start of the program to the first new chunk: ${spread(figures.resumeMs, 1e3, "s")}`
    ].join("\n")
  )
})

// Ctrl-C closes the scope, so no process and no namespace is left behind.
const stop = new AbortController()
process.once("SIGINT", () => stop.abort())
await Effect.runPromise(Effect.scoped(run), { signal: stop.signal })
