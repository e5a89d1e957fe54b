/** What a person should know about discovery: that nothing can be heard, or that another version is about. */
import { Effect } from "effect"
import type { Discovery } from "./Discovery.ts"
import type { SessionEvent } from "./SessionEvent.ts"

/** Often at first, when a person may wait because nothing is found, and then seldom. */
const lookIntervalsMs = [1_000, 1_000, 2_000, 5_000]

/** Looks again and again, and says each thing once. Never completes. */
export const run = Effect.fnUntraced(function*(
  discovery: Discovery["Service"],
  publish: (event: SessionEvent) => Effect.Effect<void>
) {
  const said = new Set<string>()
  const say = (code: string, about: string, text: string) => {
    if (said.has(`${code} ${about}`)) return Effect.void
    said.add(`${code} ${about}`)
    return publish({ event: "warning", code, text })
  }
  for (let looks = 0;; looks++) {
    const problem = yield* discovery.problem
    if (problem !== undefined) {
      yield* say(
        "discovery-port",
        String(problem.port),
        `Announcements cannot be heard on UDP port ${problem.port} (${problem.detail}). ` +
          "Close the program that holds it, or start with --connect HOST:PORT."
      )
    }
    for (const version of yield* discovery.otherVersions) {
      yield* say(
        "other-version",
        String(version),
        `A labfx that speaks version ${version} of the protocol is on this network; this one cannot join it. Install the same version everywhere.`
      )
    }
    yield* Effect.sleep(lookIntervalsMs[Math.min(looks, lookIntervalsMs.length - 1)]!)
  }
})
