/** A person's choice among sessions that nobody has vouched for. */
import type { SessionId } from "../protocol/Ids.ts"
import type { SessionFound } from "../services/SessionEvent.ts"
import * as Display from "./Display.ts"
import type { Said } from "./Phrasing.ts"

type Found = typeof SessionFound.Type

/** In the order they were first seen, so that a number never comes to mean another session while it is being typed. */
export type Candidates = ReadonlyArray<Found>

/** The candidates with this sighting; the same array if it adds nothing. */
export const found = (candidates: Candidates, sighting: Found): Candidates =>
  sighting.trust !== "new" || candidates.some(({ session }) => session === sighting.session)
    ? candidates
    : [...candidates, sighting]

export const question = (candidates: Candidates): ReadonlyArray<Said> =>
  candidates.length === 1
    ? [{
      tone: "strong",
      text: "Are these the words on the board? Type y to join and trust this teacher from now on, n to go on looking."
    }]
    : [
      { tone: "strong", text: "Several sessions are in reach. Compare the words and type the number of yours:" },
      ...candidates.map((candidate, index): Said => ({
        tone: "plain",
        text: `  ${index + 1}  ${Display.safeLine(candidate.title)}: ${Display.safeLine(candidate.words)}`
      }))
    ]

/** What a typed line answers: a session, `none`, or nothing if it is no answer. A plain yes counts for a single one only. */
export const answer = (candidates: Candidates, line: string): SessionId | "none" | undefined => {
  const word = line.trim().toLowerCase()
  if (candidates.length === 0) return undefined
  if (word === "n" || word === "no") return "none"
  if (word === "y" || word === "yes") return candidates.length === 1 ? candidates[0]!.session : undefined
  return /^\d{1,3}$/.test(word) ? candidates[Number(word) - 1]?.session : undefined
}
