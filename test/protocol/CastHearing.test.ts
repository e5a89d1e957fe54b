import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Hearing from "../../src/protocol/CastHearing.ts"

const KiB = 1024
const sent = {
  sequence: 1_000,
  leftSequence: 1_000,
  pieceBytes: 8 * KiB,
  bytesPerMs: 1_000,
  usualLoss: 0,
  sampleSequence: 0
}
const listener = (heard: Partial<Hearing.Listener> = {}): Hearing.Listener => ({
  ...Hearing.notHeard,
  hears: true,
  reportedMs: 0,
  ...heard
})

/** What a report changes of a listener that had heard all of the first hundred. */
const after = (
  report: Partial<{ readonly sequence: number; readonly received: number; readonly delayMs: number }>,
  what: Partial<Hearing.Sent> = {},
  nowMs = 1
): Hearing.Listener => {
  const each = listener({ sequence: 100, leftSequence: 100, received: 100 })
  Hearing.report(
    each,
    { _tag: "Report", sequence: 200, received: 200, delayMs: 0, ...report },
    { ...sent, ...what },
    nowMs
  )
  return each
}

const Count = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 400 }))

describe("CastHearing", () => {
  it.each([
    ["more than there are", { sequence: 1_001, received: 1_001 }],
    ["more than were sent", { received: 201 }],
    ["fewer than before", { received: 99 }],
    ["an earlier one", { sequence: 99, received: 100 }]
  ])("takes no report of %s (invariant 1)", (_, report) => {
    assert.deepStrictEqual(after(report), listener({ sequence: 100, leftSequence: 100, received: 100 }))
  })

  it("takes what came a little late for no more than was sent", () => {
    const each = listener({ sequence: 100, leftSequence: 100, received: 90, reportedMs: 0 })
    Hearing.report(each, { _tag: "Report", sequence: 200, received: 193, delayMs: 0 }, sent, 1)
    assert.deepInclude(each, { sequence: 200, received: 193, loss: 0 })
  })

  it("takes none of who does not hear (invariant 1)", () => {
    const deaf = listener({ hears: false })
    Hearing.report(deaf, { _tag: "Report", sequence: 200, received: 1, delayMs: 0 }, sent, 1)
    assert.deepStrictEqual(deaf, listener({ hears: false }))
  })

  it.prop(
    "never finds a part that is none, whatever is reported (invariant 1)",
    { reports: Schema.Array(Schema.Struct({ sequence: Count, received: Count })).check(Schema.isMaxLength(20)) },
    ({ reports }) => {
      const each = listener()
      for (const [i, report] of reports.entries()) {
        Hearing.report(each, { _tag: "Report", delayMs: 0, ...report }, { ...sent, leftSequence: 300 }, i)
        assert.isTrue(each.loss >= 0 && each.loss <= 1)
        assert.isTrue(each.sampledLost >= 0 && each.sampledLost <= each.sampled)
      }
    }
  )

  it.each([
    [97, 0, false],
    [96, 0, true],
    [95, 0.01, false],
    [94, 0.01, true]
  ])("takes %i of 100 for too few where %f are lost at any rate: %s", (got, usualLoss, isLosing) => {
    const each = after({ received: 100 + got }, { usualLoss })
    assert.deepStrictEqual([each.losing, each.congested, each.hurt], [isLosing, isLosing, isLosing])
  })

  it("takes one lost datagram for none that is too many, and one that loses no more for hurt still", () => {
    const each = after({ sequence: 110, received: 109 })
    assert.deepStrictEqual([each.losing, each.hurt], [false, false])
    const hurt = after({ received: 150 })
    Hearing.report(hurt, { _tag: "Report", sequence: 300, received: 250, delayMs: 0 }, sent, 2)
    assert.deepStrictEqual([hurt.losing, hurt.hurt], [false, true])
  })

  it("takes what comes late for congested, and not for lost", () => {
    const delays = [150, 151].map((delayMs) => after({ delayMs }))
    assert.deepStrictEqual(delays.map(({ congested }) => congested), [false, true])
    assert.deepStrictEqual(delays.map(({ losing }) => losing), [false, false])
  })

  it("takes who heard nothing of 256 KiB for flooded, and of less for one that waits", () => {
    const silent = { sequence: 100, received: 100 }
    const [waits, flooded] = [131, 132].map((leftSequence) => after(silent, { leftSequence }, 7))
    assert.deepStrictEqual(waits, listener({ sequence: 100, leftSequence: 100, received: 100 }))
    assert.deepInclude(flooded, {
      loss: 1,
      losing: true,
      floodedSinceMs: 7,
      sequence: 100,
      leftSequence: 132,
      sampled: 0
    })
    // Small pieces are more of them.
    assert.isFalse(after(silent, { leftSequence: 286, pieceBytes: 1_408 }).losing)
    assert.isTrue(after(silent, { leftSequence: 287, pieceBytes: 1_408 }).losing)
  })

  it("takes who says what it heard, and at once that nothing came, for one that lost all that left since (invariant 2)", () => {
    const each = listener({ sequence: 100, leftSequence: 150, received: 100 })
    const now = { ...sent, leftSequence: 160 }
    Hearing.report(each, { _tag: "Report", sequence: 110, received: 110, delayMs: 0 }, now, 3)
    assert.deepInclude(each, { silent: false, loss: 0, leftSequence: 160 })
    Hearing.report(each, { _tag: "Report", sequence: 110, received: 110, delayMs: 0 }, now, 3)
    assert.deepInclude(each, { silent: true, loss: 1, floodedSinceMs: 3, sinceSequence: 110 })
    // The next time of what left after that.
    Hearing.report(each, { _tag: "Report", sequence: 110, received: 110, delayMs: 0 }, now, 4)
    assert.strictEqual(each.reportedMs, 3, "nothing left meanwhile")
    Hearing.report(each, { _tag: "Report", sequence: 110, received: 110, delayMs: 0 }, { ...now, leftSequence: 170 }, 5)
    assert.deepInclude(each, { silent: true, loss: 1, sinceSequence: 160, reportedMs: 5 })
    Hearing.report(each, { _tag: "Report", sequence: 120, received: 120, delayMs: 0 }, now, 6)
    assert.deepInclude(each, { silent: false, loss: 0, floodedSinceMs: Infinity })
  })

  it("counts for a moment only what left after it (invariant 2)", () => {
    const each = after({ received: 150 }, { sampleSequence: 100 })
    assert.deepInclude(each, { sinceSequence: 100, sampled: 100, sampledLost: 50 })
    assert.deepInclude(after({ received: 150 }, { sampleSequence: 101 }), { sampled: 0, sampledLost: 0 })
    assert.strictEqual(Hearing.answers([each], 100, 100, 1).answering, 1)
    assert.strictEqual(Hearing.answers([each], 100, 101, 1).answering, 0)
    // Who hears nothing told last of what had left by then.
    const silent = after({ sequence: 100, received: 100 })
    assert.strictEqual(silent.sinceSequence, 100)
    Hearing.report(silent, { _tag: "Report", sequence: 100, received: 100, delayMs: 0 }, {
      ...sent,
      leftSequence: 1_100
    }, 2)
    assert.strictEqual(silent.sinceSequence, 1_000)
  })

  it("says which part of those who answer is congested, and what a quarter of them have lost", () => {
    const all = [0.5, 0.4, 0.2, 0, 0, 0, 0, 0].map((loss) =>
      listener({ loss, losing: loss > 0, congested: loss > 0.3 })
    )
    assert.deepStrictEqual(Hearing.answers(all, 400, 0, 800), {
      reporting: 8,
      answering: 8,
      congestedPart: 2 / 8,
      losingPart: 3 / 8,
      lost: 0.2
    })
    const none = { reporting: 0, answering: 0, congestedPart: 0, losingPart: 0, lost: 0 }
    assert.deepStrictEqual(Hearing.answers(all, 400, 0, 801), none)
    // Where each reports less often, the reports before the last still count.
    assert.strictEqual(Hearing.answers(all, 500, 0, 1_000).reporting, 8)
    assert.deepStrictEqual(Hearing.answers(all, 500, 0, 1_001), none)
  })

  it.each([
    [2, 6, 0, false],
    [3, 5, 0, true],
    [4, 4, 0, true],
    [5, 3, 0, false],
    [3, 3, 2, false],
    [3, 4, 1, true]
  ])(
    "takes %i flooded, %i that never lost anything and %i others for uneven: %s (invariant 3)",
    (flooded, unhurt, others, is) => {
      const room = [
        ...Array.from({ length: flooded }, () => listener({ hurt: true, floodedSinceMs: 0 })),
        ...Array.from({ length: unhurt }, () => listener()),
        ...Array.from({ length: others }, () => listener({ hurt: true }))
      ]
      assert.strictEqual(Hearing.isUneven(room, 100, 100), is)
      assert.isFalse(Hearing.isUneven(room, 100, 99))
    }
  )

  it.each([
    // Flooded after calm, hearing nothing more, flooded from the first, not flooded.
    [0, 0, 0, 4, false],
    [3, 0, 0, 1, true],
    [0, 3, 0, 1, true],
    [1, 2, 0, 1, true],
    [3, 0, 1, 1, false],
    [0, 3, 0, 2, false],
    [3, 0, 0, 2, false],
    [6, 0, 1, 1, true],
    [0, 0, 4, 0, false]
  ])(
    "takes %i that were calm and are flooded, %i that hear nothing, %i that always were flooded and %i others for narrow: %s (invariant 4)",
    (narrowed, silent, always, others, is) => {
      const room = [
        ...Array.from({ length: narrowed }, () => listener({ calm: true, loss: 0.3 })),
        ...Array.from({ length: silent }, () => listener({ silent: true, loss: 1 })),
        ...Array.from({ length: always }, () => listener({ loss: 1 })),
        ...Array.from({ length: others }, () => listener({ calm: true, loss: 0.29 }))
      ]
      assert.strictEqual(Hearing.isNarrow(room, 100, 0), is)
      // What is long ago does not count.
      assert.isFalse(Hearing.isNarrow(room, 100, 801))
    }
  )

  it.each([
    [8, 8, true],
    [7, 7, false],
    [100, 97, true],
    [100, 96, false]
  ])("takes who has heard, of %i datagrams, %i for calm: %s, and for ever", (count, got, isCalm) => {
    const each = after({ sequence: 100 + count, received: 100 + got })
    assert.strictEqual(each.calm, isCalm)
    Hearing.report(each, { _tag: "Report", sequence: 300, received: 201, delayMs: 0 }, sent, 2)
    assert.strictEqual(each.calm, isCalm)
  })

  it("takes a sample when each has told of 300 datagrams, and asks the better half whether it loses something, too", () => {
    const room = (sampled: number, ...lost: ReadonlyArray<number>) =>
      lost.map((sampledLost) => listener({ sampled, sampledLost }))
    assert.isUndefined(Hearing.takeSample(room(299, 3, 3, 3), 3))
    assert.isUndefined(Hearing.takeSample(room(300, 3, 3, 3), 4))
    assert.deepStrictEqual(Hearing.takeSample(room(300, 3, 3, 3), 3), { loss: 0.01, everywhere: true })
    assert.deepStrictEqual(Hearing.takeSample(room(300, 0, 6, 0, 6), 3), { loss: 0.01, everywhere: false })
    // Flooded ones do not count.
    assert.deepStrictEqual(Hearing.takeSample(room(300, 3, 3, 3, 90), 3), { loss: 0.01, everywhere: true })
    assert.deepStrictEqual(Hearing.takeSample(room(300, 0, 0, 89), 3), { loss: 89 / 900, everywhere: false })
    const anew = room(300, 3, 3, 3)
    Hearing.beginSample(anew)
    assert.isUndefined(Hearing.takeSample(anew, 3))
  })
})
