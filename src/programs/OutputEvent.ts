/** Every line of `--json`: what happens in the session, and the few things only the command line says. */
import { DateTime, Effect, Schema } from "effect"
import { PeerId } from "../protocol/Ids.ts"
import { SessionEvent } from "../services/SessionEvent.ts"

/** The answer to `/who`. */
export const DevicesListed = Schema.Struct({
  event: Schema.Literal("devices.listed"),
  devices: Schema.Array(Schema.Struct({
    peer: PeerId,
    name: Schema.String,
    host: Schema.Boolean,
    self: Schema.Boolean,
    /** Whether there is a direct link to it. */
    linked: Schema.Boolean,
    /** Shares that it says are complete there, and bytes it has verified of all shares. */
    complete: Schema.Natural,
    verifiedBytes: Schema.Natural
  }))
})

/** The run ends because of this; the last line there is. The same sentence is on standard error. */
export const RunFailed = Schema.Struct({
  event: Schema.Literal("run.failed"),
  code: Schema.String,
  text: Schema.String,
  exit: Schema.Natural
})

export const OutputEvent = Schema.Union([...SessionEvent.members, DevicesListed, RunFailed])
export type OutputEvent = typeof OutputEvent.Type

/** A terminal obeys some characters that JSON leaves as they are; escaped, the line means the same and steers nothing. */
const steering = /\p{Cc}|(?![\u200c\u200d])\p{Cf}|\p{Zl}|\p{Zp}/gu

const escape = (found: string): string =>
  found.split("").map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`).join("")

/** The event as one line of JSON: `event` and `time` first, then its fields. */
export const line = (event: OutputEvent): Effect.Effect<string> =>
  Effect.map(DateTime.now, (now) => {
    const { event: name, ...fields } = event
    const text = JSON.stringify({ event: name, time: DateTime.formatIso(now), ...fields })
    return `${text.replace(steering, escape)}\n`
  })
