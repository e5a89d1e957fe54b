/**
 * Who has been in the room and how each fares, by their own word and by when it was last heard: a machine over the
 * session's view, so that a student who falls silent stays on the teacher's page with a reason.
 *
 * Invariants, each with a property in the tests:
 * R1  Whoever is in the view is in the roster, once.
 * R2  The roster never holds more than `Limits.statusPeersMax`, and it is the longest gone that make room.
 * R3  A device that has just said something is `here`; `gone` are exactly those that the view does not have.
 */
import type { PeerId, Root } from "../protocol/Ids.ts"
import * as Limits from "../protocol/Limits.ts"
import { chunkSizeFor } from "../protocol/Manifest.ts"
import { isOlder } from "../protocol/Program.ts"
import { floodIntervalMs } from "../protocol/Statuses.ts"
import type { DeviceNow, Spread } from "./LocalApi.ts"
import type { DeviceView, SessionView, ShareView } from "./Session.ts"

/**
 * A host hears an unchanged status again after 20 s, others when its device speaks to everybody; half as long again is more
 * than one lost on its way.
 */
const silentAfterMs = (isHost: boolean, devicesCount: number): number =>
  1.5 * (isHost ? Limits.statusRefreshMs : floodIntervalMs(devicesCount))
/** Below this part of the room's median rate a device holds itself up: its disk or its radio. */
const slowShare = 0.25

interface Known {
  readonly view: DeviceView
  readonly seenAtMs: number
  readonly present: boolean
}

interface Track {
  readonly startedMs: number
  readonly doneMs: number | undefined
  readonly sentBytes: number
}

export interface Roster {
  readonly known: ReadonlyMap<PeerId, Known>
  /** How each share has spread from here. */
  readonly tracks: ReadonlyMap<Root, Track>
  /** The fastest rate any student has shown. */
  readonly peakBytesPerSecond: number
  /** After how long without a word a device is called silent here. */
  readonly silentAfterMs: number
  readonly nowMs: number
}

export const make = (nowMs: number): Roster => ({
  known: new Map(),
  tracks: new Map(),
  peakBytesPerSecond: 0,
  silentAfterMs: silentAfterMs(true, 0),
  nowMs
})

const isStudent = ({ isHost, isSelf }: DeviceView): boolean => !isHost && !isSelf

const has = (device: DeviceView, share: ShareView): boolean =>
  device.status?.shares.some(({ complete, root }) => complete && root === share.root) === true

/** Looks at the session again. `nowMs` is monotonic enough if it is a wall clock: it only tells people how long ago. */
export const step = (roster: Roster, view: SessionView, nowMs: number): Roster => {
  const known = new Map<PeerId, Known>()
  for (const [peer, each] of roster.known) known.set(peer, { ...each, present: false })
  for (const device of view.devices) {
    const before = known.get(device.peer)
    const news = before === undefined || device.linked || device.isSelf ||
      before.view.status?.number !== device.status?.number
    known.set(device.peer, {
      // What it last said of its shares still holds while nothing newer is known.
      view: device.status === undefined && before !== undefined ? { ...device, status: before.view.status } : device,
      seenAtMs: news ? nowMs : before.seenAtMs,
      present: true
    })
  }
  const surplus = known.size - Limits.statusPeersMax
  if (surplus > 0) {
    const byAge = [...known].toSorted(([, a], [, b]) =>
      Number(a.present) - Number(b.present) || a.seenAtMs - b.seenAtMs
    )
    for (const [peer] of byAge.slice(0, surplus)) known.delete(peer)
  }
  const students = view.devices.filter(isStudent)
  return {
    known,
    tracks: view.isHost ? tracked(roster, view, students, nowMs) : roster.tracks,
    peakBytesPerSecond: Math.max(
      roster.peakBytesPerSecond,
      ...students.map(({ status }) => status?.receiveBytesPerSecond ?? 0)
    ),
    silentAfterMs: silentAfterMs(view.isHost, view.devices.length),
    nowMs
  }
}

const tracked = (
  roster: Roster,
  view: SessionView,
  students: ReadonlyArray<DeviceView>,
  nowMs: number
): Roster["tracks"] => {
  const tracks = new Map<Root, Track>()
  for (const share of view.shares) {
    const before = roster.tracks.get(share.root)
    if (share.state !== "complete") {
      if (before !== undefined) tracks.set(share.root, before)
      continue
    }
    const everybody = students.length > 0 && students.every((student) => has(student, share))
    tracks.set(share.root, {
      startedMs: before?.startedMs ?? nowMs,
      // Who comes later does not make an earlier spread slower.
      doneMs: before?.doneMs ?? (everybody ? nowMs : undefined),
      sentBytes: (before?.sentBytes ?? 0) +
        (before === undefined ? 0 : share.sendBytesPerSecond * Math.max(0, nowMs - roster.nowMs) / 1_000)
    })
  }
  return tracks
}

/** How far a share has spread; nothing where it does not come from here. */
export const spread = (roster: Roster, share: ShareView): Spread | undefined => {
  const track = roster.tracks.get(share.root)
  if (track === undefined) return undefined
  const students = [...roster.known.values()].filter(({ present, view }) => present && isStudent(view))
  const count = students.length
  const chunks = Math.max(1, Math.ceil(share.sizeBytes / chunkSizeFor(share.sizeBytes)))
  const peak = roster.peakBytesPerSecond
  return {
    students: count,
    complete: students.filter(({ view }) => has(view, share)).length,
    elapsedMs: Math.max(0, (track.doneMs ?? roster.nowMs) - track.startedMs),
    ...(peak > 0 && count > 0
      ? { limitMs: Math.round((1 + Math.floor(Math.log2(count)) / chunks) * share.sizeBytes / peak * 1_000) }
      : {}),
    copiesSent: share.sizeBytes === 0 ? 0 : track.sentBytes / share.sizeBytes
  }
}

const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

/** Everybody, in the order in which they were first seen. */
export const devices = (roster: Roster): ReadonlyArray<DeviceNow> => {
  const rates = [...roster.known.values()]
    .filter(({ present, view }) => present && isStudent(view) && view.status !== undefined)
    .map(({ view }) => view.status!.receiveBytesPerSecond)
    .filter((rate) => rate > 0)
  const slowBelow = rates.length < 3 ? 0 : slowShare * median(rates)
  const ownProgram = [...roster.known.values()].find(({ view }) => view.isSelf)?.view.status?.program
  return [...roster.known.values()]
    .map(({ present, seenAtMs, view }): DeviceNow => {
      const { isHost, isSelf, linked, name, peer, status } = view
      const rate = present ? status?.receiveBytesPerSecond ?? 0 : 0
      return {
        peer,
        name,
        isHost,
        isSelf,
        linked: linked && present,
        presence: !present ? "gone" : roster.nowMs - seenAtMs > roster.silentAfterMs ? "silent" : "here",
        seenAtMs,
        receiveBytesPerSecond: rate,
        slow: rate > 0 && rate < slowBelow,
        ...(status?.program === undefined ? {} : { program: status.program }),
        outdated: status?.program !== undefined && ownProgram !== undefined && isOlder(status.program, ownProgram),
        ...(status === undefined ? {} : { shares: status.shares })
      }
    })
}
