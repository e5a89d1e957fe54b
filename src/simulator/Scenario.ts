/**
 * What a simulation is made of, drawn from its seed: the material, who comes when, and every fault with its time.
 *
 * Pure: the same options give the same scenario, and the services under test draw from another stream of chance.
 */

/** How a hostile device means harm; see `Hostile`. */
export const roles = [
  "poison",
  "lie",
  "stall",
  "trickle",
  "replay",
  "equivocate",
  "spam",
  "garbage",
  "impersonate",
  "flood",
  "hoard",
  "duplicate"
] as const
export type Role = typeof roles[number]

export interface Options {
  readonly seed: number
  /** Teacher, students and hostile devices together. */
  readonly peers: number
  /** How many of them are hostile. */
  readonly hostile: number
  /** What these do, in turn. */
  readonly roles: ReadonlyArray<Role>
  /** Chance that a datagram is lost; as many come twice. */
  readonly loss: number
  /** Chance that a fragment of a multicast is lost on its way to a device; left out, the network carries none. */
  readonly multicastLoss?: number | undefined
  /** Share of the devices that crash in a minute, by kill or power cut. */
  readonly churn: number
  /** Share of the devices that the network, the disk or the clock fails in a minute, each. */
  readonly faults: number
  /** Bytes to hand out, over all shares. */
  readonly bytes: number
  /** How long faults happen, in minutes of virtual time. */
  readonly minutes: number
  readonly latencyMs: number
  readonly jitterMs: number
  /** Of every device, up and down. */
  readonly bytesPerSecond: number
}

export const defaults: Options = {
  seed: 1,
  peers: 50,
  hostile: 0,
  roles,
  loss: 0.02,
  churn: 0.2,
  faults: 0.2,
  bytes: 2_000_000,
  minutes: 3,
  latencyMs: 5,
  jitterMs: 10,
  bytesPerSecond: 12_500_000
}

/** What a device suffers. Devices are numbered from 0, the teacher. */
export type FaultKind =
  | "kill"
  | "power-cut"
  | "cut"
  | "half-open"
  | "one-way"
  | "shield"
  | "slow"
  | "disk-full"
  | "read-only"
  | "read-errors"
  | "bit-rot"
  | "clock-jump"
  | "suspend"

export interface Fault {
  readonly kind: FaultKind
  readonly device: number
  readonly atMs: number
  readonly forMs: number
  /** Which of its neighbors, files, … is meant; in [0, 1). */
  readonly which: number
  /** For a crash: it comes at this many disk operations after `atMs`, wherever the device then is. */
  readonly operations: number
}

export interface Partition {
  readonly atMs: number
  readonly forMs: number
  /** Devices on the other side. */
  readonly away: ReadonlySet<number>
  /** Whether connections across it are cut, or only fall silent. */
  readonly silent: boolean
}

export interface Material {
  readonly title: string
  readonly kind: "file" | "folder"
  readonly files: ReadonlyMap<string, Uint8Array>
  readonly atMs: number
}

export interface Scenario {
  readonly honest: number
  readonly material: ReadonlyArray<Material>
  /** When each honest device is first started. */
  readonly startMs: ReadonlyArray<number>
  /** By how much the clock of each is wrong from the start. */
  readonly skewMs: ReadonlyArray<number>
  readonly faults: ReadonlyArray<Fault>
  readonly partitions: ReadonlyArray<Partition>
  /** Students that never reach the teacher, and those that accept no links, all the time. */
  readonly walled: ReadonlySet<number>
  readonly shielded: ReadonlySet<number>
  /** Students in whose download folder lies a file under the name of the first share. */
  readonly earlier: ReadonlySet<number>
  /** When the teacher closes the laptop, and when it is open again, in turns. */
  readonly teacherAwayMs: ReadonlyArray<readonly [fromMs: number, untilMs: number]>
  readonly messages: ReadonlyArray<{ readonly device: number; readonly atMs: number }>
  /** When all faults are over. */
  readonly calmMs: number
}

/** A fast generator with a state of 32 bits (mulberry32): for the scenario, not for secrets. */
export const chance = (seed: number): () => number => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Bytes that compress to nothing and repeat nowhere, from a small number. */
export const content = (length: number, seed: number): Uint8Array => {
  const bytes = new Uint8Array(length)
  let state = seed * 2 + 1
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

/** By how much a clock may be wrong: some days, or as after an empty battery, or a century ahead. `which` is in [0, 1). */
export const wrongClockMs = (which: number): number =>
  which < 0.1 ? -1_800_000_000_000 : which > 0.9 ? 3_000_000_000_000 : Math.round((which - 0.5) * 6e8)

const networkFaults = ["cut", "half-open", "one-way", "shield", "slow"] as const
const diskFaults = ["disk-full", "read-only", "read-errors", "bit-rot"] as const
const clockFaults = ["clock-jump", "suspend"] as const

/** Nothing happens before the room has had a moment to meet, nor crashes what has only just been started. */
const quietMs = 2_000

export const make = (options: Options): Scenario => {
  const draw = chance(options.seed * 2_654_435_761 + 1)
  const honest = Math.max(2, options.peers - options.hostile)
  const calmMs = options.minutes * 60_000
  const between = (from: number, to: number) => from + draw() * (to - from)
  const pick = <A>(items: ReadonlyArray<A>): A => items[Math.floor(draw() * items.length)]!
  const students = Array.from({ length: honest - 1 }, (_, i) => i + 1)
  const some = (share: number) => new Set(students.filter(() => draw() < share))

  const faults: Array<Fault> = []
  /** As many as the rate says on average, at any moment. */
  const strike = (device: number, rate: number, kinds: ReadonlyArray<FaultKind>) => {
    const count = Math.floor(rate * options.minutes + draw())
    for (let i = 0; i < count; i++) {
      const atMs = between(quietMs, calmMs)
      faults.push({
        kind: pick(kinds),
        device,
        atMs,
        forMs: Math.min(calmMs - atMs, between(200, 20_000)),
        which: draw(),
        operations: draw() < 0.5 ? 0 : Math.floor(between(1, 200))
      })
    }
  }
  for (let device = 0; device < honest; device++) {
    strike(device, options.churn, ["kill", "power-cut"])
    strike(device, options.faults, networkFaults)
    strike(device, options.faults, diskFaults)
    strike(device, options.faults, clockFaults)
  }
  faults.sort((a, b) => a.atMs - b.atMs)

  const partitions: Array<Partition> = []
  if (options.faults > 0) {
    for (let fromMs = between(quietMs, calmMs / 2); fromMs < calmMs; fromMs += between(20_000, 120_000)) {
      const forMs = Math.min(calmMs - fromMs, between(1_000, 30_000))
      partitions.push({ atMs: fromMs, forMs, away: some(between(0.1, 0.7)), silent: draw() < 0.5 })
      fromMs += forMs
    }
  }

  const teacherAwayMs: Array<readonly [number, number]> = []
  if (options.churn > 0) {
    for (let fromMs = between(10_000, calmMs); fromMs < calmMs; fromMs += between(10_000, 60_000)) {
      const untilMs = Math.min(calmMs, fromMs + between(2_000, 40_000))
      teacherAwayMs.push([fromMs, untilMs])
      fromMs = untilMs
    }
    // Once in three lessons the laptop stays closed.
    const last = teacherAwayMs.at(-1)
    if (last !== undefined && draw() < 1 / 3) teacherAwayMs[teacherAwayMs.length - 1] = [last[0], Infinity]
  }

  const small = new Map<string, Uint8Array>([["empty", new Uint8Array(0)], ["src/main.ts", content(40, 3)]])
  for (let i = 0; i < 12; i++) {
    const path = `${i % 3 === 0 ? "src/deep/" : ""}file ${i}.txt`
    small.set(path, content(Math.round((options.bytes * 0.3 * between(0.2, 1)) / 12), 100 + i))
  }
  const large = content(Math.round(options.bytes * 0.6), options.seed)
  const newer = large.slice(0, Math.round(options.bytes * 0.3))
  newer[newer.length >> 1]! ^= 1
  const file = (title: string, bytes: Uint8Array, atMs: number): Material => ({
    title,
    kind: "file",
    files: new Map([["", bytes]]),
    atMs
  })

  const messages: Array<{ readonly device: number; readonly atMs: number }> = []
  for (let i = 0; i < 4 + options.minutes * 4; i++) {
    const device = draw() < 0.4 ? 0 : Math.floor(draw() * honest)
    // Now and then somebody types several lines in a row.
    for (let lines = draw() < 0.2 ? 6 : 1, atMs = between(3_000, calmMs); lines > 0; lines--, atMs += 80) {
      messages.push({ device, atMs })
    }
  }

  return {
    honest,
    calmMs,
    faults,
    partitions,
    teacherAwayMs,
    material: [
      file("data.bin", large, 3_000),
      { title: "code", kind: "folder", files: small, atMs: 4_000 },
      // A newer version of the first under its name.
      file("data.bin", newer, between(5_000, calmMs * 0.8))
    ],
    // One in six comes late, at any time.
    startMs: Array.from(
      { length: honest },
      (_, i) => i > 1 && draw() < 1 / 6 ? between(5_000, calmMs) : draw() * 1_000
    ),
    skewMs: Array.from({ length: honest }, () => options.faults > 0 && draw() < 0.5 ? wrongClockMs(draw()) : 0),
    walled: options.faults > 0 ? new Set([...some(0.1)].filter((i) => i > 1)) : new Set(),
    shielded: options.faults > 0 ? new Set([...some(0.1)].filter((i) => i > 1)) : new Set(),
    earlier: some(0.1),
    messages: messages.toSorted((a, b) => a.atMs - b.atMs)
  }
}
