/**
 * Promise P7 with real processes: strangers at the door and members who mean harm, each on a machine of its own. The victim
 * stays small and quick, names what was done to it, and honest devices get what they came for. Prints the figures.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Console, Effect } from "effect"
import * as NodeChildProcess from "node:child_process"
import * as NodePath from "node:path"
import * as Lab from "../support/Lab.ts"
import * as StallProbe from "../support/stallProbe.ts"

const reason = Lab.namespacesMissing
// oxlint-disable-next-line no-console -- a skipped test says why
if (reason !== undefined) console.warn(`skipped: ${reason}`)

const MiB = 2 ** 20
const options = { timeout: 240_000 }
const support = (file: string) => NodePath.resolve(import.meta.dirname, "../support", file)

/** A program of test/support on a machine; ends when its input does. */
const attacker = (machine: Lab.Machine, file: string, ...args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const [command, ...words] = [...machine.prefix, process.execPath, support(file), ...args]
      const child = NodeChildProcess.spawn(command!, words, { stdio: ["pipe", "pipe", "inherit"] })
      let said = ""
      child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text))
      const ended = new Promise<string>((resolve) => child.on("close", () => resolve(said)))
      return { child, ended }
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

/** A teacher whose memory and stalls are watched, a student that is there already, and machines for others. */
const victim = Effect.gen(function*() {
  const lab = yield* Lab.make
  const [home, ...others] = yield* Lab.room(4)
  const record = NodePath.join(lab.folder, "probe")
  const file = yield* lab.file("file.bin", 30_000_000)
  const watched = ["env", `LABFX_PROBE=${record}`, `NODE_OPTIONS=--import=${support("stallProbe.ts")}`]
  const teacher = yield* lab.teacher({
    name: "teacher",
    key: yield* lab.key("teacher"),
    at: { prefix: [...home!.prefix, ...watched] },
    arguments: ["--students-may-write", "--share", file]
  })
  const { port } = yield* teacher.event("session.started").pipe(Lab.within(30, teacher))
  const early = yield* lab.student({ name: "early", at: others[0]! })
  yield* early.event("share.completed").pipe(Lab.within(60, early, teacher))
  yield* Effect.sleep("3 seconds")
  const startMs = yield* Clock.currentTimeMillis
  const before = StallProbe.since(record, 0).at(-1)!
  /** What the attack has cost so far. */
  const cost = Effect.sync(() => {
    const probes = StallProbe.since(record, startMs)
    const growthMiB = (of: (probe: StallProbe.Probe) => number) =>
      Math.round((Math.max(...probes.map(of)) - of(before)) / MiB)
    return {
      rssGrowthMiB: growthMiB(({ rssBytes }) => rssBytes),
      liveGrowthMiB: growthMiB(({ liveBytes }) => liveBytes),
      stallMs: Math.max(...probes.map(({ stallMs }) => stallMs))
    }
  })
  return { lab, teacher, early, file, others, address: [home!.addresses[0]!, String(port)] as const, cost }
})

/** Promise P7, of what is live and of what the system counts at any moment: what is freed and not given back is a cost, too. */
const assertCheap = ({ liveGrowthMiB, rssGrowthMiB, stallMs }: {
  readonly liveGrowthMiB: number
  readonly rssGrowthMiB: number
  readonly stallMs: number
}) => {
  assert.isBelow(liveGrowthMiB, 64)
  assert.isBelow(rssGrowthMiB, 64)
  assert.isBelow(stallMs, 250)
}

/** The attacks of `hostileMembers.ts` that an honest peer cannot commit, and how the victim names them. */
const offences: Readonly<Record<string, RegExp>> = {
  "a second hello": /^protocol: a second hello/,
  "an identity twice": /^duplicate/,
  "an index beyond the share": /^protocol: a message names a chunk/,
  "a request beyond the share": /^protocol: a message names a chunk/,
  "a bitfield of a wrong length": /^protocol: a bitfield has another length/,
  "a number below zero": /^protocol: a message that is none/,
  "a number beyond all": /^protocol: a message that is none/,
  "a fraction": /^protocol: a message that is none/,
  "JSON thirty thousand deep": /^protocol: a message that is none/,
  "JSON longer than a frame may be": /^protocol: a frame too long/,
  "a payload longer than a frame may be": /^protocol: a payload too long/,
  "no JSON": /^protocol: not JSON/,
  "a kind of frame that is none": /^protocol: not a frame/,
  "a forged entry": /^protocol: a forged entry/,
  "the teacher's word": /^protocol: an entry that its author may not write: End/,
  "a removal by a student": /^protocol: an entry that its author may not write: Remove/,
  "a forged status": /^protocol: a forged status/
}

describe.skipIf(reason !== undefined)("a device under attack", () => {
  it.live(
    "lets an honest student in while strangers crowd its door, and stays small and quick",
    () =>
      Effect.gen(function*() {
        const { address, cost, lab, others, teacher } = yield* victim
        const strangers = yield* attacker(others[1]!, "strangers.ts", ...address)
        yield* Effect.sleep("4 seconds")
        const startMs = yield* Clock.currentTimeMillis
        const student = yield* lab.student({ name: "honest", at: others[2]! })
        yield* student.event("peer.up", ({ host }) => host).pipe(Lab.within(20, student, teacher))
        const joinSeconds = ((yield* Clock.currentTimeMillis) - startMs) / 1_000
        yield* student.event("share.completed").pipe(Lab.within(60, student, teacher))
        yield* Effect.sleep("3 seconds")
        strangers.child.stdin.end()
        const figures = JSON.parse(yield* Effect.promise(() => strangers.ended))
        const paid = yield* cost
        yield* Console.log(`strangers: ${JSON.stringify({ joinSeconds, ...figures, ...paid })}`)
        assertCheap(paid)
        // Nobody who has proven no key is told anything but what TLS itself says, and the keys of this device.
        assert.isBelow(figures.receivedBytes / figures.connections, 2_000)
      }),
    options
  )

  it.live(
    "names every offence of a member, and honest students get everything meanwhile",
    () =>
      Effect.gen(function*() {
        const { address, cost, early, file, lab, others, teacher } = yield* victim
        const members = yield* attacker(others[1]!, "hostileMembers.ts", ...address, "1")
        const student = yield* lab.student({ name: "honest", at: others[2]! })
        const { path } = yield* student.event("share.completed").pipe(Lab.within(60, student, teacher))
        assert.deepStrictEqual(Lab.digests(path), Lab.digests(file))
        for (let n = 0; n < 20; n++) {
          yield* teacher.type(`message ${n}`)
          yield* student.event("message.delivered", ({ byHost, text }) => byHost && text === `message ${n}`).pipe(
            Lab.within(20, student, teacher)
          )
          yield* Effect.sleep("1 second")
        }
        const results: ReadonlyArray<{ readonly name: string; readonly ended: string }> = (yield* Effect.promise(() =>
          members.ended
        )).trimEnd().split("\n").map((line) => JSON.parse(line))
        const paid = yield* cost
        const stood = results.filter(({ ended }) => ended === "stands").map(({ name }) => name)
        yield* Console.log(`members: ${JSON.stringify({ ...paid, attacks: results.length, stood })}`)
        for (const [name, offence] of Object.entries(offences)) {
          assert.match(results.find((each) => each.name === name)?.ended ?? "was not tried", offence, name)
        }
        assert.isEmpty(results.filter(({ ended }) => ended.startsWith("failed")))
        assertCheap(paid)
        for (const labfx of [teacher, early, student]) {
          assert.isUndefined(labfx.events.find(({ event }) => event === "session.ended"), `${labfx.name} goes on`)
        }
      }),
    options
  )
})
