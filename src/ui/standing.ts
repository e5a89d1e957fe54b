/** How each device stands, decided once for cards, table and summary. */
import type { DeviceNow, ShareNow } from "../services/LocalApi.ts"
import { percentOf } from "./language.ts"
import type { Key } from "./texts/en.ts"

export interface Standing {
  readonly device: DeviceNow
  /** Of everything that is shared, by bytes; 100 only when all of it is in its place. */
  readonly percent: number
  readonly each: ReadonlyArray<{ readonly root: string; readonly title: string; readonly percent: number }>
  readonly key: Key
  /** `stuck`: somebody should look; `away`: nobody is there to look at. */
  readonly tone: "done" | "busy" | "idle" | "stuck" | "away"
}

const judge = (device: DeviceNow, percent: number, wanted: number): readonly [Key, Standing["tone"]] => {
  if (device.presence === "gone") return ["device.gone", "away"]
  if (device.presence === "silent") return ["device.silent", "away"]
  const problem = device.shares?.find((share) => share.problem !== undefined && !share.complete)?.problem
  if (problem !== undefined) return [`device.${problem}`, "stuck"]
  if (wanted > 0 && percent === 100) return ["device.everything", "done"]
  if (device.slow) return ["device.slow", "stuck"]
  if (device.receiveBytesPerSecond > 0 && wanted > 0) return ["device.receiving", "busy"]
  if (device.shares === undefined) return ["device.joining", "idle"]
  return [wanted === 0 ? "device.here" : "device.waiting", "idle"]
}

const order: Record<Standing["tone"], number> = { stuck: 0, busy: 1, idle: 2, away: 3, done: 4 }

/** Students as the teacher wants to see them: who needs help first, who has everything last. */
export const standings = (
  devices: ReadonlyArray<DeviceNow>,
  shares: ReadonlyArray<ShareNow>
): ReadonlyArray<Standing> => {
  const wanted = shares.filter(({ state }) => state !== "withdrawn" && state !== "failed")
  const wholeBytes = wanted.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  return devices.filter(({ isHost, isSelf }) => !isHost && !isSelf).map((device): Standing => {
    const own = new Map(device.shares?.map((share) => [share.root, share]))
    let verifiedBytes = 0
    let complete = 0
    const each = wanted.map(({ root, sizeBytes, title }) => {
      const share = own.get(root)
      const isComplete = share?.complete === true
      const bytes = isComplete ? sizeBytes : Math.min(share?.verifiedBytes ?? 0, sizeBytes)
      verifiedBytes += bytes
      if (isComplete) complete++
      return { root, title, percent: isComplete ? 100 : Math.min(99, percentOf(bytes, sizeBytes)) }
    })
    const percent = complete === wanted.length ? 100 : Math.min(99, percentOf(verifiedBytes, wholeBytes))
    const [key, tone] = judge(device, percent, wanted.length)
    return { device, percent, each, key, tone }
  }).toSorted((a, b) =>
    order[a.tone] - order[b.tone] || a.percent - b.percent || (a.device.name < b.device.name ? -1 : 1)
  )
}

/** How much of each share the present students have together, in percent. */
export const roomPercents = (standings: ReadonlyArray<Standing>): ReadonlyMap<string, number> => {
  const present = standings.filter(({ device }) => device.presence !== "gone")
  const sums = new Map<string, number>()
  for (const { each } of present) for (const { percent, root } of each) sums.set(root, (sums.get(root) ?? 0) + percent)
  return new Map([...sums].map(([root, sum]) => [root, Math.floor(sum / present.length)]))
}
