/** The student's decision under any interleaving of sightings, time and choices. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type { Certificate, VerifiedCertificate } from "../../src/protocol/Certificate.ts"
import { PublicKey, SessionId, Signature } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import * as Trust from "../../src/protocol/Trust.ts"

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
const rootOf = (number: number) => PublicKey.make(letters[number % 64]!.repeat(42) + letters[number >> 6]!)
const sessionOf = (number: number) => SessionId.make(letters[number % 64]!.repeat(22))
const wordOf = (root: PublicKey) => "iuoaey"[letters.indexOf(root[0]!) % 6]! + "x".repeat(letters.indexOf(root[0]!) + 1)
const fingerprintWords = (root: PublicKey) => `${wordOf(root)} brave crab dances each friday`

const certified = (root: number, fields: Partial<Certificate> = {}): VerifiedCertificate => {
  const certificate: Certificate = {
    version: 1,
    root: rootOf(root),
    session: sessionOf(root),
    host: rootOf(63),
    title: `Course ${root}`,
    epoch: 1,
    policy: { closed: false, studentsMayWrite: true, studentsMayShare: false },
    ...fields
  }
  const body = JSON.stringify(certificate)
  return { certificate, signed: { key: certificate.root, signature: Signature.make("A".repeat(86)), body } }
}

type Event = { readonly _tag: "Seen"; readonly certificate: VerifiedCertificate; readonly resumes: boolean } | {
  readonly _tag: "Chosen"
  readonly session: SessionId
}

const name = (one: VerifiedCertificate) => one.certificate.title

/** A student who started at time 0: feeds the machine, ticks when it asks for it, and writes down what it says. */
class Student {
  readonly said: Array<Trust.Output> = []
  readonly options: Trust.Options
  nowMs = 0
  state: Trust.State

  constructor(options: Partial<Trust.Options> = {}) {
    this.options = {
      pins: [],
      trusted: [],
      words: undefined,
      newSessions: "ask",
      fingerprintWords,
      startedMs: 0,
      ...options
    }
    this.state = Trust.make(this.options)
  }

  #step(input: Trust.Input) {
    const [state, outputs] = Trust.step(this.state, input)
    this.state = state
    this.said.push(...outputs)
  }

  wait(ms: number) {
    const untilMs = this.nowMs + ms
    let wakeMs = Trust.wakeMs(this.state, this.nowMs)
    while (wakeMs !== undefined && wakeMs <= untilMs) {
      assert.isAbove(wakeMs, this.nowMs, "asked to be woken in the past")
      this.nowMs = wakeMs
      this.#step({ _tag: "Tick", nowMs: wakeMs })
      wakeMs = Trust.wakeMs(this.state, this.nowMs)
    }
    this.nowMs = untilMs
    return this
  }

  see(...certificates: ReadonlyArray<VerifiedCertificate>) {
    for (const certificate of certificates) this.#step({ _tag: "Seen", certificate, nowMs: this.nowMs })
    return this
  }

  /** The last run was cut short in this session, and a peer has proven to be in it. */
  resume(certificate: VerifiedCertificate) {
    this.#step({ _tag: "Seen", certificate, resumes: true, nowMs: this.nowMs })
    return this
  }

  /** The sessions go on announcing themselves once a second. */
  hear(seconds: number, ...certificates: ReadonlyArray<VerifiedCertificate>) {
    for (let i = 0; i < seconds; i++) this.see(...certificates).wait(1_000)
    return this
  }

  choose(session: SessionId) {
    this.#step({ _tag: "Chosen", session, nowMs: this.nowMs })
    return this
  }

  get brief() {
    return this.said.map((output) => {
      switch (output._tag) {
        case "Join":
          return `join ${name(output.certificate)}, ${output.reason}${output.pinIt ? ", pin" : ""}`
        case "Ask":
          return `ask ${name(output.certificate)}`
        case "List":
          return `list ${output.certificates.map(name).join(" | ")}`
        case "Alarm":
          return `alarm ${output.title}`
        case "Refused":
          return "refused"
      }
    })
  }
}

const pin = (root: number): Trust.Pin => ({ root: rootOf(root), title: `Course ${root}` })

describe("Trust", () => {
  const Small = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 }))
  const Story = Schema.Struct({
    pins: Schema.Array(Small).check(Schema.isMaxLength(2)),
    trusted: Schema.Array(Small).check(Schema.isMaxLength(1)),
    words: Schema.Union([Schema.Undefined, Small]),
    newSessions: Schema.Literals(["ask", "first-use"]),
    events: Schema.Array(Schema.Struct({
      waitMs: Schema.Literals([0, 0, 1, 150, 700, 1_100, 4_000, 10_001]),
      kind: Schema.Literals(["seen", "seen", "seen", "resumed", "chosen"]),
      root: Small,
      /** Somebody may use the title or the session id of another. */
      title: Small,
      session: Small,
      epoch: Schema.Literals([1, 1, 2, 3])
    })).check(Schema.isMaxLength(30))
  })

  it.prop(
    "joins nobody who is not authorised, whatever is heard, chosen and waited for (invariants 1, 4 and 5)",
    { story: Story },
    ({ story }) => {
      const student = new Student({
        pins: story.pins.map(pin),
        trusted: story.trusted.map(rootOf),
        words: story.words === undefined ? undefined : fingerprintWords(rootOf(story.words)),
        newSessions: story.newSessions
      })
      const seenMs = new Map<PublicKey, number>()
      const shown = new Set<PublicKey>()
      const alarms = new Set<PublicKey>()
      let checked = 0
      const check = (event: Event | undefined) => {
        for (; checked < student.said.length; checked++) {
          const output = student.said[checked]!
          if (output._tag === "Ask") shown.add(output.certificate.certificate.root)
          if (output._tag === "List") { for (const one of output.certificates) shown.add(one.certificate.root) }
          if (output._tag === "Alarm") alarms.add(output.seenRoot)
          if (output._tag !== "Join") continue
          const { root, session, title } = output.certificate.certificate
          const isPinned = student.options.pins.some((one) => one.root === root)
          const isTrusted = student.options.trusted.includes(root)
          assert.strictEqual(output.pinIt, !isPinned)
          assert.strictEqual(checked, student.said.length - 1, "something was said after a join")
          const present = Array.from(seenMs).filter(([, ms]) => student.nowMs - ms <= Limits.inReachMs)
          if (story.words !== undefined) {
            assert.strictEqual(root, rootOf(story.words))
            continue
          }
          switch (output.reason) {
            case "words":
              assert.fail("no words were given")
              break
            case "trusted":
              assert.isTrue(isTrusted)
              break
            case "pinned":
              assert.isTrue(isPinned)
              break
            case "chosen":
              assert.isTrue(shown.has(root) && event?._tag === "Chosen" && event.session === session)
              break
            case "first-use":
              assert.strictEqual(story.newSessions, "first-use")
              assert.deepStrictEqual(present.map(([one]) => one), [root])
          }
          if (output.reason !== "chosen") assert.isAtMost(student.nowMs - seenMs.get(root)!, Limits.silenceMsMax)
          if (!isPinned && !isTrusted) {
            assert.isFalse(student.options.pins.some((one) => one.title === title), "joined under a pinned title")
          }
        }
      }
      for (const { epoch, kind, root, session, title, waitMs } of story.events) {
        // Ticks come with their own time: what they say is checked as of then.
        for (let waited = 0; waited < waitMs; waited += 50) {
          student.wait(Math.min(50, waitMs - waited))
          check(undefined)
        }
        const event: Event = kind !== "chosen"
          ? {
            _tag: "Seen",
            resumes: kind === "resumed",
            certificate: certified(root, { title: `Course ${title}`, session: sessionOf(session), epoch })
          }
          : { _tag: "Chosen", session: sessionOf(session) }
        if (event._tag === "Seen") {
          seenMs.set(rootOf(root), student.nowMs)
          if (event.resumes) student.resume(event.certificate)
          else student.see(event.certificate)
        } else {
          student.choose(event.session)
        }
        check(event)
      }
    },
    { arbitrary: { runs: 2_000 } }
  )

  it.prop(
    "joins the pinned session among 63 forged ones, in whatever order they come (invariant 2)",
    {
      place: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 63 })),
      waits: Schema.Array(Schema.Literals([0, 20, 300])).check(Schema.isMinLength(64), Schema.isMaxLength(64)),
      pinsCount: Schema.Literals([1, 2]),
      newSessions: Schema.Literals(["ask", "first-use"])
    },
    ({ newSessions, pinsCount, place, waits }) => {
      const student = new Student({ pins: [pin(0), pin(1)].slice(0, pinsCount), newSessions })
      // Pin 1 is not here; some of the others use its title, some that of the pinned session.
      const others = Array.from({ length: 62 }, (_, i) => certified(i + 2, { title: `Course ${i % 4}` }))
      const order = [...others.slice(0, place), certified(0), ...others.slice(place)]
      order.forEach((certificate, i) => student.wait(waits[i]!).see(certificate))
      student.wait(2_000).see(certified(0)).wait(2_000)
      assert.strictEqual(student.brief.at(-1), "join Course 0, pinned")
    }
  )

  it("keeps a place for a known session when more have been seen than are kept (invariant 2)", () => {
    const strangers = Array.from({ length: Limits.sessionsListedMax + 1 }, (_, i) => certified(i + 2))
    const student = new Student({ pins: [pin(0), pin(1)] }).see(...strangers)
    assert.isFalse(student.state.candidates.has(strangers.at(-1)!.certificate.root))
    assert.deepStrictEqual(student.see(certified(0)).brief, [])
    assert.isTrue(student.state.candidates.has(rootOf(0)))
    assert.isAtMost(student.state.candidates.size, Limits.sessionsListedMax)
  })

  it.prop(
    "decides the same in whatever order a room's sessions are first heard (invariant 3)",
    {
      order: Schema.Array(Small).check(Schema.isMinLength(1), Schema.isMaxLength(6)),
      pins: Schema.Array(Small).check(Schema.isMinLength(2), Schema.isMaxLength(3)),
      newSessions: Schema.Literals(["ask", "first-use"])
    },
    ({ newSessions, order, pins }) => {
      if (new Set(pins).size < 2) return
      const decided = (roots: ReadonlyArray<number>) => {
        const student = new Student({ pins: pins.map(pin), newSessions })
        for (const root of roots) student.see(certified(root)).wait(100)
        return student.wait(2_000).said.map((output) =>
          output._tag === "List"
            ? output.certificates.map(({ certificate }) => certificate.title).toSorted()
            : output
        )
      }
      assert.deepStrictEqual(decided(order.toReversed()), decided(order))
    }
  )

  it("joins the only pinned session at once", () => {
    assert.deepStrictEqual(new Student({ pins: [pin(0)] }).see(certified(0)).brief, ["join Course 0, pinned"])
  })

  it("lets a person choose between two pinned sessions, and joins the one that stays", () => {
    const student = () =>
      new Student({ pins: [pin(0), pin(1)] }).see(certified(0), certified(1), certified(2)).wait(1_500)
    assert.deepStrictEqual(student().brief, ["list Course 0 | Course 1"])
    assert.deepStrictEqual(student().choose(sessionOf(1)).brief.slice(1), ["join Course 1, chosen"])
    assert.deepStrictEqual(student().choose(sessionOf(2)).brief.slice(1), ["refused"])
    assert.deepStrictEqual(student().hear(12, certified(1)).brief.slice(1), ["join Course 1, pinned"])
    assert.deepStrictEqual(student().wait(50).see(certified(1)).wait(60_000).brief.slice(1), [])
  })

  it("resumes the session it was cut short in at once, and no other that is known (invariant 3)", () => {
    const two = { pins: [pin(0), pin(1)] }
    assert.deepStrictEqual(new Student(two).resume(certified(1)).brief, ["join Course 1, pinned"])
    const listed = new Student(two).see(certified(0), certified(1)).wait(1_500)
    assert.deepStrictEqual(listed.resume(certified(1)).brief.slice(1), ["join Course 1, pinned"])
    // By then its teacher has begun another one: that is not the one it was in.
    const replaced = new Student(two).see(certified(1, { epoch: 2, session: sessionOf(9) })).resume(certified(1))
    assert.deepStrictEqual(replaced.brief, [])
  })

  it("resumes nobody who is not known, and nothing against what this run was started with (invariant 1)", () => {
    assert.deepStrictEqual(new Student({ pins: [pin(0)] }).resume(certified(1)).brief, [])
    const trusted = { pins: [pin(0)], trusted: [rootOf(1)] }
    assert.deepStrictEqual(new Student(trusted).resume(certified(0)).brief, [])
    assert.deepStrictEqual(new Student(trusted).resume(certified(1)).brief, ["join Course 1, trusted, pin"])
    const words = { pins: [pin(0)], words: fingerprintWords(rootOf(1)) }
    assert.deepStrictEqual(new Student(words).resume(certified(0)).brief, [])
  })

  it("prefers what this run was started with to a pin of an earlier day", () => {
    const student = new Student({ pins: [pin(0)], trusted: [rootOf(1)] }).see(certified(0))
    assert.deepStrictEqual(student.brief, [])
    assert.deepStrictEqual(student.see(certified(1)).brief, ["join Course 1, trusted, pin"])
    const alone = new Student({ pins: [pin(0)], trusted: [rootOf(1)] }).see(certified(0)).wait(1_500)
    assert.deepStrictEqual(alone.brief, ["join Course 0, pinned"])
  })

  it("joins by words at once and nothing else, however they are written", () => {
    const words = `${wordOf(rootOf(1)).toUpperCase()}-brave crab\n dances  each friday `
    const student = new Student({ words, pins: [pin(0)], newSessions: "first-use" }).see(certified(0)).wait(60_000)
    assert.deepStrictEqual(student.brief, [])
    assert.deepStrictEqual(student.see(certified(1)).brief, ["join Course 1, words, pin"])
  })

  it("asks about the only new session once, after everybody has been heard", () => {
    const student = new Student().see(certified(0)).wait(Limits.settleFromStartMs - 1)
    assert.deepStrictEqual(student.brief, [])
    assert.deepStrictEqual(student.wait(1).see(certified(0)).wait(100).brief, ["ask Course 0"])
    assert.deepStrictEqual(student.choose(sessionOf(0)).brief.slice(1), ["join Course 0, chosen, pin"])
  })

  it("waits a moment after the first sighting on a network that comes up late", () => {
    const student = new Student({ newSessions: "first-use" }).wait(60_000).see(certified(0)).wait(50)
    assert.deepStrictEqual(student.see(certified(1)).wait(1_000).brief, ["list Course 0 | Course 1"])
    const again = student.wait(20_000).see(certified(2)).wait(50).see(certified(3)).wait(1_000)
    assert.deepStrictEqual(again.brief.slice(1), ["list Course 2 | Course 3"])
  })

  it("waits settleFromSightingMs after a first sighting that comes late, and not a moment longer", () => {
    const student = new Student({ newSessions: "first-use" }).wait(60_000).see(certified(0))
    assert.deepStrictEqual(student.wait(Limits.settleFromSightingMs - 1).brief, [])
    assert.lengthOf(student.wait(1).brief, 1)
  })

  it("joins the only new session by itself at first use, and of several only the one that stays", () => {
    assert.deepStrictEqual(
      new Student({ newSessions: "first-use" }).see(certified(0)).wait(1_500).brief,
      ["join Course 0, first-use, pin"]
    )
    const several = new Student({ newSessions: "first-use" }).see(certified(0)).wait(1_000).see(certified(1)).wait(
      5_000
    )
    assert.deepStrictEqual(several.brief, ["list Course 0 | Course 1"])
    assert.deepStrictEqual(several.hear(6, certified(0)).brief.slice(1), ["join Course 0, first-use, pin"])
  })

  it("raises the alarm once for a pinned title under another key, and joins neither by itself nor by choice", () => {
    const student = new Student({ pins: [pin(0)], newSessions: "first-use" })
    student.see(certified(1, { title: "  COURSE \u200b0" })).wait(1_500).see(certified(1, { title: "Course 0" }))
    assert.deepStrictEqual(student.wait(1_500).choose(sessionOf(1)).brief, ["alarm   COURSE \u200b0", "refused"])
    assert.deepStrictEqual(student.see(certified(0)).brief.slice(2), ["join Course 0, pinned"])
  })

  it("takes the words or the key of a root as the answer to the alarm", () => {
    const renewed = certified(1, { title: "Course 0" })
    const byWords = new Student({ pins: [pin(0)], words: fingerprintWords(rootOf(1)) }).see(renewed)
    const byKey = new Student({ pins: [pin(0)], trusted: [rootOf(1)] }).see(renewed)
    assert.deepStrictEqual(byWords.brief, ["join Course 0, words, pin"])
    assert.deepStrictEqual(byKey.brief, ["join Course 0, trusted, pin"])
  })

  it("joins the newest certificate of a root, and shows a new session of a root again", () => {
    const restarted = certified(0, { session: sessionOf(9), epoch: 2 })
    const student = new Student().see(certified(0)).wait(1_500).see(restarted, certified(0))
    assert.deepStrictEqual(student.brief, ["ask Course 0", "ask Course 0"])
    assert.deepStrictEqual(student.choose(sessionOf(0)).brief.slice(2), ["refused"])
    student.choose(sessionOf(9))
    assert.deepStrictEqual(student.said.at(-1), {
      _tag: "Join",
      certificate: restarted,
      pinIt: true,
      reason: "chosen"
    })
  })

  it("shows again only what a person has not been shown, however sessions come and go", () => {
    const student = new Student().see(certified(0), certified(1)).wait(1_500).hear(12, certified(1)).wait(20_000)
    assert.deepStrictEqual(student.see(certified(0)).wait(1_000).brief, ["list Course 0 | Course 1"])
    assert.deepStrictEqual(student.see(certified(2)).wait(1_000).brief.slice(1), ["list Course 0 | Course 2"])
  })

  it("refuses a choice that two sessions claim", () => {
    const student = new Student().see(certified(0), certified(1, { session: sessionOf(0) })).wait(1_500)
    assert.deepStrictEqual(student.choose(sessionOf(0)).brief, ["list Course 0 | Course 1", "refused"])
  })
})
