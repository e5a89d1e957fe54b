/** Who may shake hands: arbitrary arrivals and departures, with the invariants A1 to A4 checked after each. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Admission from "../../src/protocol/Admission.ts"
import * as Limits from "../../src/protocol/Limits.ts"

/** An arrival from one of a few addresses, or the departure of one of those who are there. */
const Step = Schema.Struct({
  arrives: Schema.Boolean,
  address: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 11 })),
  draw: Schema.Natural
})
const Steps = Schema.Array(Step).check(Schema.isMinLength(150), Schema.isMaxLength(400))

const addressOf = (stranger: string) => stranger.split("#")[0]!

/** Replays the steps, most of them arrivals, and calls `check` after each with what has happened so far. */
const replay = (
  steps: typeof Steps.Type,
  check: (state: Admission.State<string>, started: ReadonlyArray<string>) => void
) => {
  const state = Admission.make<string>()
  const started: Array<string> = []
  for (const [number, { address, arrives, draw }] of steps.entries()) {
    const present = [...state.underWay.keys(), ...state.waiting.keys()]
    if (arrives || draw % 3 !== 0 || present.length === 0) {
      const stranger = `10.0.0.${address}#${number}`
      if (Admission.arrive(state, stranger, addressOf(stranger)) === "start") started.push(stranger)
    } else {
      const next = Admission.leave(state, present[draw % present.length]!)
      if (next !== undefined) started.push(next)
    }
    check(state, started)
  }
  return state
}

const underWayOf = (state: Admission.State<string>) => {
  const counts = new Map<string, number>()
  for (const address of state.underWay.values()) counts.set(address, (counts.get(address) ?? 0) + 1)
  return counts
}

describe("Admission", () => {
  it.prop("gives no more places than there are, and few to one address (A1)", { steps: Steps }, ({ steps }) => {
    replay(steps, (state) => {
      assert.isAtMost(state.underWay.size, Limits.handshakesMax)
      assert.isAtMost(Math.max(0, ...underWayOf(state).values()), Limits.handshakesPerAddressMax)
    })
  }, { arbitrary: { runs: 50 } })

  it.prop("lets few wait, and nobody who could start (A2, A3)", { steps: Steps }, ({ steps }) => {
    replay(steps, (state) => {
      assert.isAtMost(state.waiting.size, Limits.handshakesWaitingMax)
      if (state.underWay.size === Limits.handshakesMax) return
      const counts = underWayOf(state)
      const least = Math.min(...Array.from(state.waiting.values(), (address) => counts.get(address) ?? 0))
      assert.isAtLeast(least, Limits.handshakesPerAddressMax)
    })
  }, { arbitrary: { runs: 50 } })

  it.prop("starts those of one address in the order they came (A4)", { steps: Steps }, ({ steps }) => {
    let started: ReadonlyArray<string> = []
    replay(steps, (_state, all) => {
      started = all
    })
    const last = new Map<string, number>()
    for (const stranger of started) {
      const [address, number] = [addressOf(stranger), Number(stranger.split("#")[1])]
      assert.isAbove(number, last.get(address) ?? -1)
      last.set(address, number)
    }
  }, { arbitrary: { runs: 50 } })

  it.prop("keeps nothing of those who have left", { steps: Steps }, ({ steps }) => {
    const state = replay(steps, () => {})
    for (let everybody = 0; everybody < 2; everybody++) {
      while (state.underWay.size > 0) Admission.leave(state, state.underWay.keys().next().value!)
    }
    assert.deepStrictEqual([state.underWay.size, state.underWayOf.size, state.waiting.size], [0, 0, 0])
    assert.isUndefined(Admission.leave(state, "10.0.0.1#0"))
  })

  it("turns away one address that fills the waiting room, and still starts others at once", () => {
    const state = Admission.make<number>()
    const decisions = Array.from({ length: 100 }, (_, i) => Admission.arrive(state, i, "10.0.0.1"))
    const count = (decision: string) => decisions.filter((each) => each === decision).length
    assert.deepStrictEqual(
      [count("start"), count("wait")],
      [Limits.handshakesPerAddressMax, Limits.handshakesWaitingMax]
    )
    assert.strictEqual(Admission.arrive(state, 100, "10.0.0.2"), "start")
  })
})
