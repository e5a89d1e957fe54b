/** The lines that stay at the bottom of a terminal while a session runs: a function of the session's view. */
import type { DeviceView, PreparingView, SessionView, ShareView } from "../services/Session.ts"
import * as Display from "./Display.ts"

/** Columns a name may take: a third of the line, so that figures keep their place. */
const nameCells = (columns: number) => Math.max(6, Math.min(28, Math.floor(columns / 3)))
/** A bar is worth its room on a wide terminal only. */
const barCells = (columns: number) => columns < 60 ? 0 : Math.min(20, Math.floor(columns / 6))

const figure = (percentage: number, columns: number): string => {
  const cells = barCells(columns)
  return `${cells === 0 ? "" : `${Display.bar(percentage, cells)} `}${String(percentage).padStart(3)} %`
}

const joined = (...parts: ReadonlyArray<string>): string => parts.filter((part) => part !== "").join(", ")

const preparingLine = ({ hashedBytes, title, totalBytes }: PreparingView, columns: number): string => {
  const name = Display.column(Display.safeLine(title), nameCells(columns))
  if (totalBytes === undefined) return `${name} preparing …`
  const done = figure(Display.percent(hashedBytes, totalBytes), columns)
  return `${name} preparing ${done}  ${Display.bytes(hashedBytes)} of ${Display.bytes(totalBytes)}`
}

const shareLine = (share: ShareView, isHost: boolean, columns: number): string => {
  const name = Display.column(Display.safeLine(share.title), nameCells(columns))
  const received = () => figure(Display.percent(share.verifiedBytes, share.sizeBytes), columns)
  const line = (text: string) => `${name} ${text}`
  switch (share.state) {
    case "waiting":
      return line(isHost ? `reading ${received()}` : "waiting for a device that has it")
    case "receiving":
      return line(
        `${received()}  ` + joined(
          share.receiveBytesPerSecond === 0 ? "waiting" : Display.rate(share.receiveBytesPerSecond),
          `${share.sources} ${share.sources === 1 ? "source" : "sources"}`,
          Display.remaining(share.sizeBytes - share.verifiedBytes, share.receiveBytesPerSecond)
        )
      )
    case "complete":
      return line(joined(
        `${isHost ? "shared" : "complete"} ${Display.bytes(share.sizeBytes)}`,
        share.sendBytesPerSecond === 0 ? "" : `sending ${Display.rate(share.sendBytesPerSecond)}`
      ))
    case "paused":
      return line(`paused: ${Display.safeLine(share.problem ?? "")}`)
    case "failed":
      return line(`failed: ${Display.safeLine(share.problem ?? "")}`)
    case "withdrawn":
      return line("no longer shared")
  }
}

interface Standing {
  readonly device: DeviceView
  readonly percentage: number
  readonly problem: string | undefined
}

const problems = {
  "disk-full": "disk full",
  "disk-read-only": "disk is read-only",
  "disk-failing": "disk is failing",
  "bad-names": "some names do not fit its system",
  "source-changed": "what it hands out was changed",
  "other": "stuck"
}

/** How a device stands with everything that is shared, by its own word. */
const standing = (device: DeviceView, wanted: ReadonlyArray<ShareView>): Standing => {
  const own = new Map(device.status?.shares.map((share) => [share.root, share]))
  let verified = 0
  let whole = 0
  let complete = 0
  let problem: string | undefined
  for (const share of wanted) {
    const status = own.get(share.root)
    whole += share.sizeBytes
    if (status?.complete === true) {
      verified += share.sizeBytes
      complete++
    } else verified += Math.min(status?.verifiedBytes ?? 0, share.sizeBytes)
    if (status?.problem !== undefined) problem ??= problems[status.problem]
  }
  // 100 % is said only of a device that has published everything.
  const percentage = complete === wanted.length ? 100 : Math.min(99, Display.percent(verified, whole))
  return { device, percentage, problem }
}

const deviceLine = ({ device, percentage, problem }: Standing, columns: number): string => {
  const name = Display.column(Display.safeLine(device.name), nameCells(columns))
  const speed = device.status?.receiveBytesPerSecond ?? 0
  const state = problem ??
    (percentage === 100
      ? "has everything"
      : device.status === undefined
      ? "joining"
      : speed > 0
      ? Display.rate(speed)
      : "waiting")
  return `${name} ${figure(percentage, columns)}  ${state}`
}

/** Those in trouble first, then those who have least. */
const byNeed = (a: Standing, b: Standing): number =>
  Number(b.problem !== undefined) - Number(a.problem !== undefined) ||
  a.percentage - b.percentage ||
  (a.device.name < b.device.name ? -1 : a.device.name > b.device.name ? 1 : 0)

/** At most `rows` lines; what does not fit is counted in the last of them. */
export const lines = (view: SessionView, columns: number, rows: number): ReadonlyArray<string> => {
  if (view.phase === "looking") return ["Looking for a session …"]
  const wanted = view.shares.filter((share) => share.state !== "withdrawn")
  // What is being received says most; what has long been complete says least.
  const shares = wanted.toSorted((a, b) => Number(a.state === "complete") - Number(b.state === "complete"))
  const shareLines = shares.map((share) => shareLine(share, view.isHost, columns))
  if (!view.isHost) {
    const devices = view.devices.filter((device) => !device.isSelf).length
    return fit([...shareLines, `${Display.plural(devices, "other device")} in the session`], rows)
  }
  const students = view.devices.filter((device) => !device.isHost && !device.isSelf)
    .map((device) => standing(device, wanted)).toSorted(byNeed)
  const done = students.filter((student) => student.percentage === 100).length
  const sending = view.shares.reduce((sum, share) => sum + share.sendBytesPerSecond, 0)
  const summary = joined(
    Display.plural(students.length, "student"),
    wanted.length === 0 || students.length === 0 ? "" : `${done} with everything`,
    sending === 0 ? "" : `sending ${Display.rate(sending)}`
  )
  // The grid of students is what the teacher looks at: shares get at most a third of the room.
  const shareRows = Math.max(1, Math.floor(rows / 3))
  const preparing = view.preparing.map((each) => preparingLine(each, columns))
  const top = [...fit([...preparing, ...shareLines], shareRows), summary]
  const grid = wanted.length === 0 ? [] : students.map((student) => deviceLine(student, columns))
  return [...top, ...fit(grid, rows - top.length)]
}

const fit = (lines: ReadonlyArray<string>, rows: number): ReadonlyArray<string> => {
  if (lines.length <= rows) return lines
  return rows < 1 ? [] : [...lines.slice(0, rows - 1), `… and ${lines.length - rows + 1} more`]
}
