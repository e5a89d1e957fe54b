/** Who has what, as a table for a spreadsheet. */
import { DateTime } from "effect"
import type { LocalState } from "./LocalApi.ts"

/**
 * A cell. Text that a spreadsheet would take for a formula gets an apostrophe in front: names and titles come from other
 * machines.
 */
const cell = (value: string | number): string => {
  const text = String(value)
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return /[",\r\n;']/.test(safe) ? `"${safe.replaceAll("\"", "\"\"")}"` : safe
}

const percent = (part: number, whole: number): number => whole <= 0 ? 100 : Math.floor(100 * Math.min(1, part / whole))

/** One line a student, one column a share; RFC 4180 with a byte order mark, so that spreadsheets read it as UTF-8. */
export const table = ({ devices, shares }: Pick<LocalState, "devices" | "shares">): string => {
  const wanted = shares.filter(({ state }) => state !== "withdrawn")
  const header = ["Name", "Presence", "Last seen", ...wanted.map(({ title }) => `${title} (%)`), "Problem"]
  const rows = devices.filter(({ isHost, isSelf }) => !isHost && !isSelf).map((device) => {
    const own = new Map(device.shares?.map((share) => [share.root, share]))
    const problems = new Set([...own.values()].map(({ problem }) => problem).filter((problem) => problem !== undefined))
    return [
      device.name,
      device.presence,
      DateTime.formatIso(DateTime.makeUnsafe(device.seenAtMs)),
      ...wanted.map(({ root, sizeBytes }) => {
        const share = own.get(root)
        return share?.complete === true ? 100 : Math.min(99, percent(share?.verifiedBytes ?? 0, sizeBytes))
      }),
      [...problems].join(" ")
    ]
  })
  return `\ufeff${[header, ...rows].map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`
}
