/** Closed sessions with real processes: who is let in, what outsiders see, and whom the teacher has shut out. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Lab from "../support/Lab.ts"

const options = { timeout: 120_000 }
const code = "blue whale 42"

/** A teacher of a closed session that shares a file, and a student that has been let in. */
const closed = Effect.gen(function*() {
  const lab = yield* Lab.make
  const key = yield* lab.key("teacher")
  const file = yield* lab.file("file.bin", 1_000_000)
  const start = (name = "teacher", more: ReadonlyArray<string> = ["--join-code", code]) =>
    lab.teacher({ name, key, arguments: ["--share", file, "--students-may-write", ...more] })
  const teacher = yield* start()
  const student = yield* lab.student({ name: "member", arguments: ["--join-code", "BLUE Whale42"] })
  yield* student.event("share.completed").pipe(Lab.within(30, student, teacher))
  return { lab, start, teacher, student, file }
})

const warned = (labfx: Lab.Labfx, code: string) => labfx.event("warning", (event) => event.code === code)

const learned = (labfx: Lab.Labfx) =>
  labfx.events.filter(({ event }) => !["session.found", "warning"].includes(event)).map(({ event }) => event)

describe.concurrent("a closed session", () => {
  it.live("lets in who has the code, and tells others nothing but that it is there", () =>
    Effect.gen(function*() {
      const { lab, student, teacher } = yield* closed
      const without = yield* lab.student({ name: "without" })
      const wrong = yield* lab.student({ name: "wrong", arguments: ["--join-code", "red whale 42"] })
      const { text } = yield* warned(without, "join-code-needed").pipe(Lab.within(20, without))
      assert.match(text, /its page asks for it .* or start again with --join-code\.$/)
      yield* warned(wrong, "join-code-wrong").pipe(Lab.within(20, wrong))
      yield* warned(teacher, "join-code-guess").pipe(Lab.within(20, teacher))
      yield* student.type("for members only")
      yield* teacher.event("message.delivered").pipe(Lab.within(10, teacher))
      yield* Effect.sleep("3 seconds")
      for (const outsider of [without, wrong]) assert.deepStrictEqual(learned(outsider), [])
      for (const inside of [teacher, student]) {
        const names = inside.events.flatMap((event) => event.event === "peer.up" ? [event.name] : [])
        assert.notIncludeMembers(names, ["without", "wrong"])
      }
    }), options)

  it.live("goes on among members when the teacher has left, and takes in no others then", () =>
    Effect.gen(function*() {
      const { lab, student, teacher } = yield* closed
      const second = yield* lab.student({ name: "second", arguments: ["--join-code", code] })
      yield* second.event("share.completed").pipe(Lab.within(30, second))
      for (const gone of [teacher, second]) {
        yield* gone.signal("SIGKILL")
        yield* gone.ended
      }
      const late = yield* lab.student({ name: "late", arguments: ["--join-code", code] })
      // A member needs the code no more.
      const again = yield* lab.student({ name: "second" })
      yield* again.event("peer.up", ({ name }) => name === "member").pipe(Lab.within(30, again, student))
      yield* again.type("still here")
      yield* student.event("message.delivered", ({ text }) => text === "still here").pipe(Lab.within(10, student))
      yield* late.event("session.found").pipe(Lab.within(20, late))
      yield* Effect.sleep("3 seconds")
      assert.deepStrictEqual(learned(late), [])
    }), options)

  it.live("knows its members after a restart of the teacher, also with another code", () =>
    Effect.gen(function*() {
      const { lab, start, student, teacher } = yield* closed
      yield* teacher.signal("SIGTERM")
      yield* teacher.ended
      const back = yield* start("teacher", ["--join-code", "another code"])
      yield* back.event("peer.up", ({ name }) => name === "member").pipe(Lab.within(30, back, student))
      const old = yield* lab.student({ name: "old", arguments: ["--join-code", code] })
      yield* warned(old, "join-code-wrong").pipe(Lab.within(20, old))
      const fresh = yield* lab.student({ name: "fresh", arguments: ["--join-code", "another code"] })
      yield* fresh.event("share.completed").pipe(Lab.within(30, fresh))
    }), options)

  it.live(
    "drops and refuses whom the teacher removes, as an open one does; what it said before stays",
    () =>
      Effect.gen(function*() {
        const { lab, student, teacher } = yield* closed
        const other = yield* lab.student({ name: "other", arguments: ["--join-code", code] })
        yield* other.event("peer.up", ({ name }) => name === "member").pipe(Lab.within(30, other))
        yield* student.type("before")
        yield* other.event("message.delivered", ({ text }) => text === "before").pipe(Lab.within(10, other))
        yield* teacher.type("/remove nobody")
        yield* warned(teacher, "SessionRefused.unknown-device").pipe(Lab.within(10, teacher))
        yield* teacher.type("/remove member")
        yield* warned(student, "removed").pipe(Lab.within(20, student))
        for (const each of [teacher, other]) {
          yield* each.event("peer.removed", ({ name }) => name === "member").pipe(Lab.within(10, each))
          yield* each.event("peer.down", ({ name }) => name === "member").pipe(Lab.within(10, each))
        }
        yield* student.type("after")
        yield* student.signal("SIGTERM")
        yield* student.ended
        const again = yield* lab.student({ name: "member" })
        yield* warned(again, "removed").pipe(Lab.within(20, again))
        yield* Effect.sleep("3 seconds")
        for (const each of [teacher, other]) {
          const texts = each.events.flatMap((event) => event.event === "message.delivered" ? [event.text] : [])
          assert.deepStrictEqual(texts, ["before"])
          const ups = each.events.filter((event) => event.event === "peer.up" && event.name === "member")
          assert.strictEqual(ups.length, 1)
        }
      }),
    options
  )
})
