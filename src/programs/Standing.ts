/** The running session in words, for `labfx status` and `labfx who`. */
import type { DeviceNow, LocalState, PreparingNow, ShareNow } from "../services/LocalApi.ts"
import * as Display from "./Display.ts"
import type { Said } from "./Phrasing.ts"

const say = (text: string, tone: Said["tone"] = "plain"): Said => ({ tone, text })

const joined = (...parts: ReadonlyArray<string>): string => parts.filter((part) => part !== "").join(", ")

const share = (
  { filesCount, kind, problem, receiveBytesPerSecond, sizeBytes, spread, state, title, verifiedBytes }: ShareNow
) =>
  `  ${Display.safeLine(title)}: ` + joined(
    Display.bytes(sizeBytes),
    kind === "folder" ? Display.plural(filesCount, "file") : "",
    state === "receiving"
      ? `${Display.percent(verifiedBytes, sizeBytes)} %, ${Display.rate(receiveBytesPerSecond)}`
      : state,
    spread === undefined ? "" : `${spread.complete} of ${Display.plural(spread.students, "student")} have it`,
    problem === undefined ? "" : Display.safeLine(problem)
  )

const preparing = ({ hashedBytes, title, totalBytes }: PreparingNow) =>
  `  ${Display.safeLine(title)}: ` + joined(
    "being prepared",
    totalBytes === undefined ? "" : `${Display.bytes(hashedBytes)} of ${Display.bytes(totalBytes)}`
  )

export const session = (now: LocalState): ReadonlyArray<Said> => {
  const { header } = now
  if (header.phase === "looking") {
    return [
      say("Looking for a session.", "strong"),
      ...now.found.map((found) => say(`  ${Display.safeLine(found.title)}: ${Display.safeLine(found.words)}`))
    ]
  }
  const others = now.devices.filter(({ isSelf, presence }) => !isSelf && presence !== "gone").length
  return [
    say(`“${Display.safeLine(header.title ?? "")}”${header.phase === "ended" ? " has ended" : ""}`, "strong"),
    say(`Its words: ${Display.safeLine(header.words ?? "")}`),
    say(`${Display.plural(others, "other device")}, ${Display.plural(now.messages.length, "message")}`),
    ...now.shares.filter(({ state }) => state !== "withdrawn").map((each) => say(share(each))),
    ...now.preparing.map((each) => say(preparing(each)))
  ]
}

const reasons: Readonly<Record<string, string>> = {
  "disk-full": "its disk is full",
  "disk-read-only": "its disk cannot be written to",
  "disk-failing": "its disk is failing",
  "bad-names": "some names do not fit its system",
  "source-changed": "what it hands out was changed",
  other: "stuck"
}

const device = (shares: ReadonlyArray<ShareNow>) => (each: DeviceNow): Said => {
  const wanted = shares.filter(({ state }) => state !== "withdrawn")
  const complete = wanted.filter(({ root }) => each.shares?.some((own) => own.complete && own.root === root)).length
  const problem = each.shares?.find((own) => own.problem !== undefined)?.problem
  return say(
    `  ${Display.safeLine(each.name)}${each.isHost ? " (teacher)" : ""}: ` + joined(
      each.isSelf
        ? "this device"
        : each.presence === "here"
        ? (each.linked ? "linked" : "reached through others")
        : each.presence,
      each.isHost ? "" : `has ${complete} of ${Display.plural(wanted.length, "share")}`,
      each.receiveBytesPerSecond > 0 ? Display.rate(each.receiveBytesPerSecond) : "",
      problem === undefined ? each.slow ? "slower than the room" : "" : reasons[problem] ?? problem,
      each.outdated ? `old version (${Display.safeLine(each.program ?? "")})` : ""
    ),
    problem === undefined ? "plain" : "bad"
  )
}

export const devices = (now: LocalState): ReadonlyArray<Said> => [
  say(Display.plural(now.devices.length, "device"), "strong"),
  ...now.devices.map(device(now.shares))
]

export const text = (said: ReadonlyArray<Said>): string => said.map(({ text }) => `${text}\n`).join("")
