/**
 * Many small files against one file of the same bytes, and what a second version of a folder costs: a teacher and students
 * as real processes.
 *
 *     npm run build && node bench/smallFiles.ts [--files 10000] [--fileBytes 4096] [--runs 3] [--folder /dev/shm]
 *                                               [--students 1] [--rate 0] [--bare]
 *
 * Without a rate all run on loopback; `--rate` gives each a port of so many bits a second in a network namespace (Linux and
 * root), as in `lan.ts`. The clock runs from `/share` on the teacher's standard input, so reading the source is in it, to the
 * last student's `share.completed`, when its last file is in its place. Folder and file take turns. Then, in one session: the
 * folder, the folder with one file changed, and, after `/unshare` of that, the same again from another path. What the teacher
 * sends is what its port has sent, headers and all, or without one what its process has written (`wchar` in /proc), which
 * holds a few lines of state and output as well; Linux. `--bare` runs `tools/bareFiler.ts` in place of labfx, folder against
 * file alone: what Node itself needs.
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import { parseArgs } from "node:util"
import {
  bareLesson,
  freshFolder,
  freshPort,
  giveUp,
  lesson,
  limitSeconds,
  median,
  natural,
  randomFile,
  rest
} from "./Processes.ts"
import { room } from "./Room.ts"

const { values } = parseArgs({
  options: {
    files: { type: "string", default: "10000" },
    fileBytes: { type: "string", default: "4096" },
    runs: { type: "string", default: "3" },
    folder: { type: "string", default: "/dev/shm" },
    students: { type: "string", default: "1" },
    rate: { type: "string", default: "0" },
    bare: { type: "boolean", default: false }
  }
})
const files = natural(values.files, 1)
const fileBytes = natural(values.fileBytes, 1)
const runs = natural(values.runs, 1)
const count = natural(values.students, 1)
const rate = natural(values.rate)
if (values.bare && (count > 1 || rate > 0)) {
  giveUp("--bare is of one student, on loopback: leave --students and --rate out")
}
limitSeconds(120 + runs * 120)
const lab = rate > 0 ? await room(count + 1, rate) : undefined

/** A folder of random files, a hundred in each folder below it. */
const randomFolder = (path: string): void => {
  for (let i = 0; i < files; i++) {
    const parent = `${path}/${Math.floor(i / 100)}`
    if (i % 100 === 0) Fs.mkdirSync(parent, { recursive: true })
    Fs.writeFileSync(`${parent}/${i}`, Crypto.randomBytes(fileBytes))
  }
}

type Lesson = Awaited<ReturnType<typeof lesson>>

const sentBytesOf = (pid: number): number =>
  lab?.traffic()[0]!.sentBytes ?? Number(/wchar: (\d+)/.exec(Fs.readFileSync(`/proc/${pid}/io`, "utf8"))![1])

/** Shares a path of that title and waits until every student has all of it. */
const handOut = async ({ students, teacher }: Lesson, path: string) => {
  const sentBefore = sentBytesOf(teacher.child.pid!)
  const begun = performance.now()
  const completed = Promise.all(students.map((student) =>
    new Promise<void>((heard) =>
      student.onEvent(({ event }) => {
        if (event === "share.completed") heard()
      })
    )
  ))
  teacher.child.stdin.write(`/share ${path}\n`)
  await completed
  const seconds = (performance.now() - begun) / 1_000
  // What is still to be said about it is part of its cost.
  await rest(2)
  return { seconds, sentBytes: sentBytesOf(teacher.child.pid!) - sentBefore }
}

const fresh = async <A>(body: (folder: string, session: Lesson) => Promise<A>): Promise<A> => {
  const folder = freshFolder(values.folder)
  const runIn = (index: number) => lab?.machines[index]!.prefix ?? []
  const session = values.bare
    ? await bareLesson(folder, count, "bareFiler.ts")
    : await lesson(folder, count, runIn, ...lab === undefined ? freshPort() : [])
  try {
    await rest(1)
    return await body(folder, session)
  } finally {
    await session.end()
    Fs.rmSync(folder, { recursive: true })
  }
}

const rounds: Array<{ readonly folder: number; readonly file: number }> = []
for (let run = 0; run < runs; run++) {
  const folder = await fresh((place, session) => {
    randomFolder(`${place}/many`)
    return handOut(session, `${place}/many`)
  })
  const file = await fresh((place, session) => {
    randomFile(`${place}/one`, files * fileBytes)
    return handOut(session, `${place}/one`)
  })
  rounds.push({ folder: folder.seconds, file: file.seconds })
}
const spread = (numbers: ReadonlyArray<number>): string =>
  [Math.min(...numbers), median(numbers), Math.max(...numbers)].map((number) => number.toFixed(2)).join(" / ")
console.log(
  `${files} files of ${fileBytes} bytes to ${count} ${values.bare ? "bare " : ""}student${count === 1 ? "" : "s"}` +
    `${rate > 0 ? ` at ${rate / 1e6} Mbit/s` : ""}, ${runs} runs, load ${Os.loadavg()[0]!.toFixed(1)}; ` +
    "minimum / median / maximum"
)
console.log(`folder, s      ${spread(rounds.map(({ folder }) => folder))}`)
console.log(`one file, s    ${spread(rounds.map(({ file }) => file))}`)
console.log(`folder / file  ${spread(rounds.map(({ file, folder }) => folder / file))}`)

const versions = async (place: string, session: Lesson) => {
  const say = async (what: string, version: string) => {
    const { seconds, sentBytes } = await handOut(session, `${place}/${version}/many`)
    console.log(`${what.padEnd(16)} ${seconds.toFixed(2)} s, the teacher sends ${sentBytes} bytes`)
  }
  for (const version of ["1", "2", "3"]) Fs.mkdirSync(`${place}/${version}`)
  randomFolder(`${place}/1/many`)
  Fs.cpSync(`${place}/1/many`, `${place}/2/many`, { recursive: true })
  Fs.writeFileSync(`${place}/2/many/0/0`, Crypto.randomBytes(fileBytes))
  Fs.cpSync(`${place}/2/many`, `${place}/3/many`, { recursive: true })
  await say("the folder", "1")
  await say("one file changed", "2")
  // Of two shares of that title the newest.
  session.teacher.child.stdin.write("/unshare many\n")
  await Promise.all(session.students.map((student) => student.until("share.withdrawn")))
  await say("the same again", "3")
}
if (!values.bare) await fresh(versions)
