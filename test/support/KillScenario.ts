/**
 * A student that is killed again and again while it downloads, as a real process: what each kill costs, and that nothing
 * wrong is seen in between. Small in every run of the tests, large in `scripts/kill-many.ts`.
 */
import { Clock, Effect, Result } from "effect"
import * as NodeAssert from "node:assert/strict"
import * as NodeFs from "node:fs"
import * as NodePath from "node:path"
import * as Bitfield from "../../src/protocol/Bitfield.ts"
import * as Manifest from "../../src/protocol/Manifest.ts"
import * as Journal from "../../src/services/store/Journal.ts"
import * as Lab from "./Lab.ts"
import { sha256 } from "./Stores.ts"

export interface Kills {
  readonly kills: number
  readonly fileBytes: number
  /** Files of 4 KiB in the folder that is shared beside it. */
  readonly files: number
  readonly seconds: number
  /** In [0, 1): decides the moment of each kill. */
  readonly random: () => number
  readonly killed?: (figures: KillFigures) => Effect.Effect<void>
}

export interface KillFigures {
  readonly kills: number
  /** Kills that met a download under way. */
  readonly during: number
  /** Downloads finished and compared with the original. */
  readonly downloads: number
  /** Starts that ended by themselves instead of going on. */
  readonly needed: number
  /** For each kill, where machines count their traffic: content bytes received and not found again by the next process. */
  readonly againBytes: ReadonlyArray<number>
  /** From the start of a process to its being in the session. */
  readonly joinMs: ReadonlyArray<number>
  /** And to its first new chunk on disk, where a kill had interrupted a download. */
  readonly resumeMs: ReadonlyArray<number>
}

/** What a byte of content takes on the wire at least, with the headers of Ethernet, TCP, TLS and the protocol. */
const headersFactor = 1.02
/** A kill of the first kind comes this soon after the start, while the program loads, finds the session and joins. */
const startMs = 1_500
/** One of the second kind comes this soon after the first new chunk. */
const downloadMs = 1_000

const statMs = (path: string): number => NodeFs.statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0

/** Content bytes of an unfinished download that its journal says are here: what the next process goes on from. */
const keptBytes = (folder: string): number => {
  if (!NodeFs.existsSync(`${folder}/journal`) || !NodeFs.existsSync(`${folder}/manifest`)) return 0
  const bytes = NodeFs.readFileSync(`${folder}/manifest`)
  const decoded = Manifest.decodeNow(bytes)
  if (Result.isFailure(decoded)) return 0
  const { layout } = decoded.success
  const before = Math.ceil(bytes.length / Manifest.manifestChunkSizeFor(bytes.length))
  const left = Journal.decode(NodeFs.readFileSync(`${folder}/journal`), before + layout.chunksCount, sha256)
  let kept = 0
  for (const index of left === undefined ? [] : Bitfield.indexes(left.bits)) {
    if (index >= before) kept += Manifest.chunkBytes(layout, index - before)
  }
  return kept
}

export const killed = (
  { files, fileBytes, killed = () => Effect.void, kills, random, seconds }: Kills,
  hosts: readonly [Lab.Machine, Lab.Machine] | undefined
) =>
  Effect.gen(function*() {
    const lab = yield* Lab.make
    const key = yield* lab.key("teacher")
    const file = yield* lab.file("file.bin", fileBytes)
    const folder = NodePath.join(lab.folder, "small")
    for (let i = 0; i < files; i++) {
      if (i % 100 === 0) NodeFs.mkdirSync(`${folder}/d${i / 100}`, { recursive: true })
      NodeFs.writeFileSync(`${folder}/d${Math.floor(i / 100)}/f${i}`, Buffer.alloc(4_096, `${i} `))
    }
    const originals = { "file.bin": Lab.digests(file), "small": Lab.digests(folder) }
    const sizes = { "file.bin": fileBytes, "small": files * 4_096 }
    const teacher = yield* lab.teacher({
      name: "teacher",
      key,
      at: hosts?.[0] ?? Lab.here,
      arguments: ["--share", file, "--share", folder]
    })
    const roots: Record<string, string> = {}
    for (const title of ["file.bin", "small"]) {
      const { root } = yield* teacher.event("share.offered", (event) => event.title === title)
      roots[title] = root
    }
    const downloads = lab.downloads("student")
    const hidden = (title: string) => NodePath.join(downloads, ".labfx", roots[title]!)
    const isThere = (title: string) => NodeFs.existsSync(NodePath.join(downloads, title))
    const titles = ["file.bin", "small"] as const
    const kept = () =>
      titles.reduce((sum, title) => sum + (isThere(title) ? sizes[title] : keptBytes(hidden(title))), 0)
    const stored = () => Math.max(statMs(`${hidden("file.bin")}/content`), statMs(`${hidden("small")}/packs`))
    const received = () => hosts?.[1].traffic().receivedBytes ?? 0

    /** Whatever is seen is whole. */
    const assertRight = () => {
      for (const name of NodeFs.existsSync(downloads) ? NodeFs.readdirSync(downloads) : []) {
        if (name === ".labfx") continue
        NodeAssert.ok(Object.hasOwn(originals, name), `${name} is nothing that was shared`)
        NodeAssert.deepEqual(Lab.digests(NodePath.join(downloads, name)), originals[name as "small"], name)
      }
    }

    const figures = {
      kills: 0,
      during: 0,
      downloads: 0,
      needed: 0,
      againBytes: [] as Array<number>,
      joinMs: [] as Array<number>,
      resumeMs: [] as Array<number>
    }
    const sleep = (ms: number) => Effect.sleep(ms)
    const once = Effect.gen(function*() {
      const keptBefore = kept()
      const receivedBefore = received()
      const storedBefore = stored()
      const started = yield* Clock.currentTimeMillis
      const student = yield* lab.student({ name: "student", at: hosts?.[1] ?? Lab.here })
      const complete = Effect.forEach(
        titles,
        (title) => student.event("share.completed", (event) => event.title === title)
      )
      const firstChunk = Effect.gen(function*() {
        while (stored() === storedBefore) yield* sleep(5)
        if (keptBefore > 0) figures.resumeMs.push(stored() - started)
      })
      const moment = random() < 0.25
        ? sleep(random() * startMs)
        : Effect.andThen(firstChunk, Effect.suspend(() => sleep(random() * downloadMs)))
      const ended = yield* Effect.raceFirst(
        Effect.as(student.ended, "by itself" as const),
        Effect.raceFirst(Effect.as(complete, "complete" as const), Effect.as(moment, "killed" as const))
      ).pipe(Effect.orElseSucceed(() => "by itself" as const), Lab.within(60, student, teacher))
      if (ended === "by itself") figures.needed++
      yield* student.signal("SIGKILL")
      yield* student.ended
      const joined = student.events.find(({ event }) => event === "session.joined")
      if (joined !== undefined) figures.joinMs.push(Date.parse(joined.time) - started)
      assertRight()
      figures.kills++
      const wasWhole = titles.every(isThere)
      if (!wasWhole && stored() !== storedBefore) figures.during++
      if (hosts !== undefined) {
        const arrived = (received() - receivedBefore) / headersFactor
        figures.againBytes.push(Math.max(0, Math.round(arrived - (kept() - keptBefore))))
      }
      if (wasWhole) {
        figures.downloads++
        NodeFs.rmSync(downloads, { recursive: true })
      }
      yield* killed(figures)
    }).pipe(Effect.scoped)

    return yield* Effect.gen(function*() {
      for (let i = 0; i < kills; i++) yield* once
      const last = yield* lab.student({ name: "student", at: hosts?.[1] ?? Lab.here })
      yield* Effect.forEach(titles, (title) => last.event("share.completed", (event) => event.title === title)).pipe(
        Lab.within(120, last, teacher)
      )
      assertRight()
      figures.downloads++
      return figures satisfies KillFigures
    }).pipe(Lab.within(seconds, teacher))
  })
