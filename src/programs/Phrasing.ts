/** What happens in a session, in words for people. Text from peers is made safe here and nowhere else. */
import type { SessionView } from "../services/Session.ts"
import type { SessionEvent } from "../services/SessionEvent.ts"
import * as Display from "./Display.ts"
import type { Problem } from "./Problems.ts"

/** Light hints for a terminal; plain output ignores them. */
export interface Said {
  readonly tone: "plain" | "strong" | "good" | "bad" | "quiet"
  readonly text: string
}

const say = (text: string, tone: Said["tone"] = "plain"): Said => ({ tone, text })
const quoted = (title: string): string => `“${Display.safeLine(title)}”`

/** One more may follow it. */
const sentence = (text: string): string => Display.safeLine(text).replace(/[^.!?]$/, "$&.")

/** Later lines of a message stand under its first, so that nobody can fake another's line. */
const message = (name: string, byHost: boolean, text: string): ReadonlyArray<Said> => {
  const [first, ...more] = Display.safeText(text).split("\n")
  return [
    say(`${Display.safeLine(name)}${byHost ? " (teacher)" : ""}: ${first}`, byHost ? "strong" : "plain"),
    ...more.map((line) => say(`    ${line}`, byHost ? "strong" : "plain"))
  ]
}

/** What a person sees of an event; nothing for what is shown as a figure that keeps changing. */
export const event = (event: SessionEvent, isTeacher: boolean): ReadonlyArray<Said> => {
  switch (event.event) {
    case "session.started":
      return [
        say(`Session ${quoted(event.title)} is open (TCP port ${event.port}).`, "good"),
        say(`Its words, to write on the board: ${Display.safeLine(event.words)}`, "strong"),
        say("Students run: labfx student"),
        say(`Where broadcast is blocked: ${Display.safeLine(event.link)}`, "quiet")
      ]
    case "session.found":
      return [
        event.trust === "alarm"
          ? say(
            `Warning: ${event.address} calls itself ${quoted(event.title)} but is not the teacher known by that name ` +
              `(its words: ${Display.safeLine(event.words)}). It is not joined. Ask the teacher.`,
            "bad"
          )
          : say(
            `Found ${quoted(event.title)} at ${event.address}. Its words: ${Display.safeLine(event.words)}` +
              (event.trust === "pinned" ? " (known teacher)" : ""),
            "plain"
          )
      ]
    case "session.joined":
      return [say(`Joined ${quoted(event.title)}. Its words: ${Display.safeLine(event.words)}`, "good")]
    case "session.ended":
      return [
        event.reason === "left"
          ? say("You have left the session.")
          : event.reason === "replaced"
          ? say("The teacher has begun another session in place of this one.", "strong")
          : say("The teacher has ended the session. What is complete stays; Ctrl-C leaves.", "strong")
      ]
    case "peer.up":
      return isTeacher || event.host ? [say(`${Display.safeLine(event.name)} is connected.`, "quiet")] : []
    case "peer.down":
      return isTeacher ? [say(`${Display.safeLine(event.name)} is no longer connected directly.`, "quiet")] : []
    case "peer.removed":
      return [say(`${Display.safeLine(event.name)} has been removed from the session.`, "strong")]
    case "share.offered":
      return [
        say(
          `${isTeacher ? "Sharing" : "Receiving"} ${quoted(event.title)} (${Display.bytes(event.bytes)}` +
            (event.kind === "folder" ? `, ${Display.plural(event.files, "file")})` : ")")
        )
      ]
    case "share.preparing":
    case "share.progress":
      return []
    case "share.prepared":
      return event.outcome === "called-off"
        ? [say(`${quoted(event.title)} was called off; nothing of it is handed out.`)]
        : []
    case "share.completed":
      return [
        isTeacher
          ? say(`${quoted(event.title)} is ready to be handed out.`, "good")
          : say(`${quoted(event.title)} is complete: ${Display.safeLine(event.path)}`, "good")
      ]
    case "share.failed":
      return [
        say(
          `${quoted(event.title)} ${event.resumes ? "is paused" : "has failed"}: ${sentence(event.reason)}` +
            (event.resumes ? " It goes on by itself when the cause is gone." : ""),
          "bad"
        )
      ]
    case "share.withdrawn":
      return [say(`${quoted(event.title)} is no longer shared. What is complete stays.`)]
    case "message.delivered":
      return message(event.name, event.byHost, event.text)
    case "warning":
      return [say(`Warning: ${Display.safeLine(event.text)}`, "bad")]
  }
}

/** How far something is that will be shared, for where lines cannot be redrawn. */
export const preparing = ({ bytes, hashedBytes, title }: Extract<SessionEvent, { event: "share.preparing" }>): string =>
  `Preparing ${quoted(title)}` +
  (bytes === undefined ? " …" : `: ${Display.bytes(hashedBytes)} of ${Display.bytes(bytes)}`)

/** One line on a share's progress, for where lines cannot be redrawn. */
export const progress = (event: Extract<SessionEvent, { event: "share.progress" }>): string => {
  const left = Display.remaining(event.bytes - event.verifiedBytes, event.receiveBytesPerSecond)
  return `${quoted(event.title)} ${Display.percent(event.verifiedBytes, event.bytes)} % of ${
    Display.bytes(event.bytes)
  }` +
    `, ${Display.rate(event.receiveBytesPerSecond)} from ${Display.plural(event.sources, "device")}` +
    (left === "" ? "" : `, ${left}`)
}

export const problem = ({ what, next }: Problem): ReadonlyArray<Said> => [say(what, "bad"), say(`  ${next}`)]

/** The answer to `/who`. */
export const devices = (view: SessionView): ReadonlyArray<Said> => {
  const wanted = view.shares.filter((share) => share.state !== "withdrawn").length
  return [
    say(Display.plural(view.devices.length, "device"), "strong"),
    ...view.devices.map((device) => {
      const complete = device.status?.shares.filter((share) => share.complete).length
      const has = device.isHost || complete === undefined
        ? ""
        : `, has ${complete} of ${Display.plural(wanted, "share")}`
      const how = device.isSelf ? "this device" : device.linked ? "linked" : "reached through others"
      return say(`  ${Display.safeLine(device.name)}${device.isHost ? " (teacher)" : ""}: ${how}${has}`)
    })
  ]
}

export const help = (isTeacher: boolean, mayWrite: boolean): ReadonlyArray<Said> => [
  ...(isTeacher || mayWrite ? [say("A line you type goes to everybody.")] : []),
  ...(isTeacher
    ? [
      say("  /share PATH     hand out a file or a folder"),
      say("  /unshare NAME   stop handing it out, or preparing it"),
      say("  /remove NAME    shut a device out of the session")
    ]
    : []),
  say("  /who            who is here, and who has what"),
  say("  /help           this list"),
  say("  /quit           leave (Ctrl-C does the same)")
]
