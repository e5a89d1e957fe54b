/**
 * Every benchmark, one after another, and at the end a line of each.
 *
 *     npm run bench [-- --quick] [--out results.jsonl]
 *
 * By its sizes the whole takes about an hour; `--quick` takes sizes that only show that everything runs. What needs root or a program
 * that is not there says so and is left out. `--out` is where races write their lines. Nothing else should run beside it.
 */
import { spawn } from "node:child_process"
import * as Os from "node:os"
import * as Path from "node:path"
import { createInterface } from "node:readline"
import { parseArgs } from "node:util"
import { namespacesMissing } from "../test/support/Lab.ts"
import { atEnd } from "./Processes.ts"

const { values } = parseArgs({ options: { quick: { type: "boolean", default: false }, out: { type: "string" } } })
const { quick } = values
const pick = (whole: string, small: string): ReadonlyArray<string> => (quick ? small : whole).split(" ")
const out = values.out === undefined ? [] : ["--out", Path.resolve(values.out)]

interface Bench {
  readonly what: string
  readonly file: string
  readonly args: ReadonlyArray<string>
  /** The lines that are repeated at the end. */
  readonly figures: RegExp
  readonly namespaces?: boolean
}

const racers =
  /^(plain|loss|churn|orphan|late|unequal|wide|slow): |last\/copy|^(labfx|libtorrent|aria2|transmission|uftp|nginx) +\d/
const benches: ReadonlyArray<Bench> = [
  {
    what: "start-up",
    file: "startUp.ts",
    args: pick("--runs 20 --joins 20", "--runs 3 --joins 2"),
    figures: /^(labfx --help|joining)/
  },
  {
    what: "model",
    file: "model.ts",
    args: pick("--peers 50 --chunks 200", "--peers 10 --chunks 20 --runs 1"),
    figures: /last\/copy|^all rules/
  },
  {
    what: "what pairing alone can reach",
    file: "pairing.ts",
    args: pick("--peers 50 --chunks 200", "--peers 10 --chunks 20 --seeds 1"),
    figures: /^last\/copy/
  },
  {
    what: "one link",
    file: "link.ts",
    args: pick("--runs 5", "--runs 1 --bytes 5000000"),
    figures: /^(MBps|afterHashing|\w+CpuPerGB)/
  },
  {
    what: "LAN",
    file: "lan.ts",
    args: [...pick("--runs 3", "--runs 1 --students 4 --bytes 5000000"), ...out],
    figures: racers,
    namespaces: true
  },
  {
    what: "LAN, when something goes wrong",
    file: "lan.ts",
    args: [
      ...pick(
        "--runs 1 --scenario loss,churn,orphan,late,unequal,wide,radio,slow",
        "--runs 1 --students 4 --bytes 5000000 --tools labfx --scenario churn,orphan"
      ),
      ...out
    ],
    figures: racers,
    namespaces: true
  },
  {
    what: "LAN, how full the ways are",
    file: "curve.ts",
    args: pick("--times 2", "--students 4 --bytes 5000000"),
    figures: /^complete after/,
    namespaces: true
  },
  {
    what: "small files",
    file: "smallFiles.ts",
    args: pick("--runs 3", "--runs 1 --files 500"),
    figures: /^(folder \/ file|one file changed|the same again)/
  },
  {
    what: "small files, to a room",
    file: "smallFiles.ts",
    args: pick("--runs 3 --students 8 --rate 100000000", "--runs 1 --files 500 --students 2 --rate 100000000"),
    figures: /^(folder \/ file|one file changed|the same again)/,
    namespaces: true
  },
  {
    what: "a small share during a large one",
    file: "shares.ts",
    args: pick("--times 5", "--times 2 --bytes 40000000"),
    figures: /^everybody/,
    namespaces: true
  },
  {
    what: "messages",
    file: "messages.ts",
    args: pick("--students 50", "--students 4 --messages 10"),
    figures: /^to the last/
  },
  {
    what: "messages, Node alone",
    file: "messages.ts",
    args: pick("--bare --students 50", "--bare --students 4 --messages 10"),
    figures: /^to the last/
  },
  {
    what: "messages under load",
    file: "messages.ts",
    args: pick(
      "--students 8 --bulk 200000000 --rate 100000000",
      "--students 4 --messages 10 --bulk 5000000 --rate 100000000"
    ),
    figures: /^to the last/,
    namespaces: true
  },
  {
    what: "memory",
    file: "memory.ts",
    args: pick("--idle 20", "--idle 5 --bytes 20000000"),
    figures: /^(teacher|student)/
  }
]

const run = ({ args, figures, file }: Bench) =>
  new Promise<{ readonly isWell: boolean; readonly lines: ReadonlyArray<string> }>((ended) => {
    const child = spawn(process.execPath, [Path.join(import.meta.dirname, file), ...args], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    // Not killed: it has processes and namespaces of its own to end.
    atEnd(() => child.kill("SIGTERM"))
    const lines: Array<string> = []
    createInterface({ input: child.stdout }).on("line", (line) => {
      console.log(line)
      if (figures.test(line)) lines.push(line)
    })
    child.once("close", (code) => ended({ isWell: code === 0, lines }))
  })

const summary: Array<string> = []
let failed = 0
for (const bench of benches) {
  const { args, file, namespaces, what } = bench
  const command = ["node", `bench/${file}`, ...args].join(" ")
  const load = Os.loadavg()[0]!.toFixed(1)
  console.log(`\n== ${what}: ${command}`)
  if (namespaces === true && namespacesMissing !== undefined) {
    console.log(`left out: ${namespacesMissing}`)
    summary.push(`${what}: left out, ${namespacesMissing}`)
    continue
  }
  const begun = performance.now()
  const { isWell, lines } = await run(bench)
  if (!isWell) failed++
  const seconds = ((performance.now() - begun) / 1_000).toFixed(0)
  summary.push(
    `${what}${isWell ? "" : ": FAILED"} (${seconds} s, load before ${load}): ${command}`,
    ...lines.map((line) => `    ${line}`)
  )
}
console.log(
  `\n== Summary: ${Os.availableParallelism()} cores (${Os.cpus()[0]!.model.trim()}), ${
    (Os.totalmem() / 1e9).toFixed(0)
  } GB, ${Os.type()} ${Os.release()}, node ${process.version}${quick ? ", quick: the figures say nothing" : ""}\n`
)
for (const line of summary) console.log(line)
process.exitCode = failed === 0 ? 0 : 1
