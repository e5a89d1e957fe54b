/** What can go wrong in a room, the same for every tool. */
import { spawnSync } from "node:child_process"
import * as Lab from "../test/support/Lab.ts"
import { giveUp, rest } from "./Processes.ts"
import type { Room } from "./Room.ts"

/** A race as a scenario sees it. Machine 0 is the teacher's. */
export interface Situation {
  readonly students: number
  /** Of all bytes that all students shall receive, the part that has come through their ports. */
  readonly arrived: () => number
  /** Bytes that have left the teacher's port, in copies. */
  readonly sentByTeacher: () => number
  readonly hasAll: (student: number) => boolean
  /** Kills everything on a machine with -9. */
  readonly kill: (machine: number) => void
  /** Starts a student, on the folder it had before if it was killed, and lets it begin. */
  readonly start: (student: number) => void
}

export interface Scenario {
  readonly about: string
  /** Prepares freshly shaped machines; the rate is everybody's. */
  readonly prepare?: (room: Room, bitsPerSecond: number) => void
  /** Called ten times a second while the race is on. */
  readonly disturb?: (situation: Situation) => () => void
  /** So much is handed out before the clock runs, by tools that stay for more than one file. */
  readonly beforeBytes?: number
  /** Whether the last student is started in the course of it; its time is its own, not part of "last". */
  readonly late?: boolean
  /** Students at the end of the list who are not waited for. */
  readonly leftOut?: number
}

const lossShare = 0.01
const killedShare = 0.3
const restartSeconds = 1
const orphanCopies = 1.1
const wideFactor = 10

/** Does it once, as soon as it is so. */
const once = (isSo: () => boolean, act: () => void) => {
  let isDone = false
  return () => {
    if (isDone || !isSo()) return
    isDone = true
    act()
  }
}

const shapeLast = (room: Room, count: number, bitsPerSecond: number): void =>
  room.machines.slice(-count).forEach((machine) => machine.shape(bitsPerSecond))

/** Every machine drops of what comes in what a rule of `nft` names. */
const drop = (what: string) => (room: Room): void => {
  for (const { prefix } of room.machines) {
    const rule = `add table netdev loss
      add chain netdev loss in { type filter hook ingress device "eth0" priority 0; }
      add rule netdev loss in ${what} drop`
    const [program, ...words] = [...prefix, "nft", "-f", "-"]
    const { error, status, stderr } = spawnSync(program!, words, { input: rule, encoding: "utf8" })
    if (status !== 0) giveUp(`nft cannot drop packets: ${error?.message ?? stderr.trim()}`)
  }
}

/** Every machine loses packets that come in, whatever they are. */
const lose = (room: Room): void => {
  // One packet at a time: else ten of them are lost together.
  for (const { ip } of room.machines) ip("link set eth0 gso_max_segs 1")
  drop(`numgen random mod 1000000 < ${lossShare * 1e6}`)(room)
}

const dropMulticasts = drop("ip daddr 224.0.0.0/4")

const putOnAir = ({ machines }: Room, bitsPerSecond: number, isTeacherWired = true): void => {
  for (const machine of machines) machine.shape(wideFactor * bitsPerSecond)
  Lab.accessPoint(machines, bitsPerSecond, isTeacherWired)
}

export const scenarios: Readonly<Record<string, Scenario>> = {
  plain: { about: "nothing goes wrong" },
  loss: { about: "every machine loses 1 % of what comes in", prepare: lose },
  unicast: { about: "the network carries no multicast", prepare: dropMulticasts },
  churn: {
    about: "30 % of the students are killed with -9 when half has arrived, and started again 1 s later",
    disturb: ({ arrived, hasAll, kill, start, students }) =>
      once(() => arrived() >= 0.5, () => {
        const candidates = Array.from({ length: students }, (_, i) => i + 1).filter((student) => !hasAll(student))
        const killed = candidates.slice(0, Math.max(1, Math.round(killedShare * students)))
        killed.forEach(kill)
        void rest(restartSeconds).then(() => killed.forEach(start))
      })
  },
  orphan: {
    about: "the teacher is killed with -9 once 1.1 copies have left its port, or one student has everything",
    disturb: ({ hasAll, kill, sentByTeacher, students }) =>
      once(
        () => sentByTeacher() >= orphanCopies || Array.from({ length: students }, (_, i) => i + 1).some(hasAll),
        () => kill(0)
      )
  },
  late: {
    about: "the last student starts when half has arrived",
    late: true,
    disturb: ({ arrived, start, students }) => once(() => arrived() >= 0.5, () => start(students))
  },
  unequal: {
    about: "half of the students have half the rate",
    prepare: (room, rate) => shapeLast(room, (room.machines.length - 1) >> 1, rate / 2)
  },
  wide: {
    about: "the teacher's port is ten times as wide",
    prepare: ({ machines }, rate) => machines[0]!.shape(wideFactor * rate)
  },
  radio: {
    about:
      "the students are behind an access point, whose rate all of them share both ways; the teacher has ten times that, by wire",
    prepare: (room, rate) => putOnAir(room, rate)
  },
  wireless: {
    about: "the students and the teacher are behind an access point, whose rate all of them share both ways",
    prepare: (room, rate) => putOnAir(room, rate, false)
  },
  filtered: {
    about: "as radio, and the access point passes on no multicast",
    prepare: (room, rate) => {
      putOnAir(room, rate)
      dropMulticasts(room)
    }
  },
  second: {
    about: "a share of 1.5 MB has gone before, in the same session",
    beforeBytes: 1_500_000
  },
  slow: {
    about: "one student has a tenth of the rate and is not waited for",
    prepare: (room, rate) => shapeLast(room, 1, rate / 10),
    leftOut: 1
  }
}
