import { assert, describe, it } from "@effect/vitest"
import { Patience, patientCallsMax, patientCallsMin } from "../../src/services/node/Patience.ts"

/** How many calls are asynchronous until a synchronous one may try again. */
const callsUntilNext = (patience: Patience): number => {
  let calls = 0
  while (patience.isNeeded()) calls++
  return calls
}

describe("Patience", () => {
  it("is not needed as long as calls are quick", () => {
    const patience = new Patience(5)
    for (let i = 0; i < 100; i++) {
      assert.isFalse(patience.isNeeded())
      assert.isFalse(patience.isSlow(5))
      patience.took(5)
    }
  })

  it("is needed for a number of calls after a slow one, twice as many each time in a row, up to a maximum", () => {
    const patience = new Patience(5)
    for (let calls = patientCallsMin; calls <= patientCallsMax; calls *= 2) {
      assert.isTrue(patience.isSlow(5.1))
      patience.took(5.1)
      assert.strictEqual(callsUntilNext(patience), calls)
    }
    patience.took(5.1)
    assert.strictEqual(callsUntilNext(patience), patientCallsMax)
  })

  it("takes single slow calls for a busy processor where that is asked for, and a disk that is known to be slow at once", () => {
    const patience = new Patience(5, 3)
    const slow = (calls: number) => {
      for (let i = 0; i < calls; i++) patience.took(6)
    }
    slow(2)
    patience.took(1)
    slow(2)
    assert.isFalse(patience.isNeeded())
    slow(1)
    assert.strictEqual(callsUntilNext(patience), patientCallsMin)
    slow(1)
    assert.strictEqual(callsUntilNext(patience), 2 * patientCallsMin)
    patience.took(1)
    slow(2)
    assert.isFalse(patience.isNeeded())
  })

  it("begins anew after a quick call", () => {
    const patience = new Patience(5)
    patience.took(6)
    callsUntilNext(patience)
    patience.took(1)
    patience.took(6)
    assert.strictEqual(callsUntilNext(patience), patientCallsMin)
  })
})
