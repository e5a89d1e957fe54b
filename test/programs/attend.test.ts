/** A whole run of a command, without a network: events in, words and JSON out, typed lines to the session. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import { attend, type AttendOptions } from "../../src/programs/attend.ts"
import { OutputEvent } from "../../src/programs/OutputEvent.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import * as SessionFake from "../support/SessionFake.ts"
import * as StreamsFake from "../support/StreamsFake.ts"
import * as VirtualTerminal from "../support/VirtualTerminal.ts"

const { examples } = SessionFake

const offered = (name: string) => ({ ...examples["share.offered"], root: SessionFake.root(name) })
const completed = (name: string) => ({ ...examples["share.completed"], root: SessionFake.root(name) })
const found = (name: string, trust: "new" | "alarm" | "pinned" = "new") => ({
  ...examples["session.found"],
  session: SessionFake.sessionId(name),
  trust
})

const tick = (duration: `${number} millis` = "1 millis") => TestClock.adjust(duration)

const start = Effect.fnUntraced(function*(options: Partial<AttendOptions>, terminal = false) {
  const session = yield* SessionFake.make
  const streams = yield* StreamsFake.make(terminal)
  const fiber = yield* attend({
    json: false,
    isTeacher: false,
    shares: [],
    resolvePath: (path) => `/abs/${path}`,
    asks: false,
    once: false,
    ...options
  }).pipe(Effect.provide(Layer.merge(session.layer, streams.layer)), Effect.forkChild)
  yield* TestClock.adjust("1 millis")
  const ended = () => fiber.pollUnsafe()
  const json = () => streams.out.trim().split("\n").filter((line) => line !== "").map((line) => JSON.parse(line))
  return { session, streams, fiber, ended, json }
})

describe("typing while a session runs", () => {
  it.effect("says lines in order and carries out commands", () =>
    Effect.gen(function*() {
      const { session, streams } = yield* start({ isTeacher: true, shares: ["/given"] })
      yield* streams.type("hello", "/share a b.csv", "/unshare old", "//slash", "bye")
      yield* tick()
      assert.deepStrictEqual(session.asked.filter((asked) => !asked.startsWith("share")), [
        "say hello",
        "unshare old",
        "say /slash",
        "say bye"
      ])
      assert.deepStrictEqual(session.asked.filter((asked) => asked.startsWith("share")), [
        "share /given",
        "share /abs/a b.csv"
      ])
    }))

  it.effect("takes what is to be shared while something else is being read", () =>
    Effect.gen(function*() {
      const { session, streams } = yield* start({ isTeacher: true })
      session.beforeShared = Effect.never
      yield* streams.type("/share large.iso", "/share notes.txt", "hello")
      yield* tick()
      assert.sameMembers(session.asked, ["share /abs/large.iso", "share /abs/notes.txt", "say hello"])
    }))

  it.effect("loses no line of a script that writes faster than the room takes them", () =>
    Effect.gen(function*() {
      const { session, streams } = yield* start({ isTeacher: true })
      session.tooFastNext = 30
      yield* streams.type(...Array.from({ length: 10 }, (_, index) => `line ${index}`))
      yield* tick("10000 millis")
      assert.deepStrictEqual(session.asked, Array.from({ length: 10 }, (_, index) => `say line ${index}`))
    }))

  it.effect("refuses with a sentence what it cannot do, and goes on", () =>
    Effect.gen(function*() {
      const { ended, session, streams } = yield* start({ isTeacher: true })
      yield* streams.type("/share missing", "/unshare unknown", "/dance", "x".repeat(Limits.messageTextBytesMax + 1))
      yield* streams.tooLongLine
      yield* streams.type("still here")
      yield* tick()
      assert.include(streams.out, "There is no “/abs/missing”.")
      assert.include(streams.out, "Nothing called “unknown” is shared.")
      assert.include(streams.out, "There is no command /dance; nothing was sent.")
      assert.lengthOf(streams.out.match(/The line is longer than/g) ?? [], 2)
      assert.include(session.asked, "say still here")
      assert.isUndefined(ended())
    }))

  it.effect("ends the sentence with which a share waits, before the one that follows", () =>
    Effect.gen(function*() {
      const { session, streams } = yield* start({})
      const failed = examples["share.failed"]
      yield* session.happen(failed, { ...failed, reason: "the disk is full: 2 bytes are needed and 1 are free" })
      yield* tick()
      assert.include(streams.out, "“lab.bin” is paused: The disk is full. It goes on by itself when the cause is gone.")
      assert.include(streams.out, "2 bytes are needed and 1 are free. It goes on by itself when the cause is gone.")
    }))

  it.effect("ends with /quit, and not with the end of standard input", () =>
    Effect.gen(function*() {
      const { ended, fiber, streams } = yield* start({})
      yield* streams.type("/quit")
      yield* tick()
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(fiber)))
      const other = yield* start({})
      yield* other.streams.endInput
      yield* tick("60000 millis")
      assert.isUndefined(other.ended())
      assert.isDefined(ended())
    }))

  it.effect("ends quietly when nobody reads the output any more", () =>
    Effect.gen(function*() {
      const { fiber, streams } = yield* start({ json: true })
      yield* streams.closeOutput
      yield* tick()
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(fiber)))
      assert.strictEqual(streams.err, "")
    }))
})

describe("--json", () => {
  it.effect("prints one described object a line and nothing else, whatever happens and whatever is typed", () =>
    Effect.gen(function*() {
      const { json, session, streams } = yield* start({ json: true })
      yield* session.happen(...Object.values(examples))
      yield* streams.type("/who", "/help", "/dance")
      yield* tick("600 millis")
      const lines = json()
      for (const line of lines) {
        assert.match(line.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
        const { time: _, ...event } = line
        Schema.decodeUnknownSync(OutputEvent)(event, { onExcessProperty: "error" })
      }
      const names = new Set(lines.map(({ event }) => event))
      for (const name of Object.keys(examples)) {
        // What the share became has overtaken its progress.
        if (name !== "share.progress" && name !== "share.preparing") assert.include([...names], name)
      }
      assert.include([...names], "devices.listed")
    }))

  it.effect("prints progress at most twice a second a share, and always the newest", () =>
    Effect.gen(function*() {
      const { json, session } = yield* start({ json: true })
      for (let verified = 1; verified <= 100; verified++) {
        for (const name of ["r", "q"]) {
          yield* session.happen({
            ...examples["share.progress"],
            root: SessionFake.root(name),
            verifiedBytes: verified
          })
        }
        yield* tick("20 millis")
      }
      yield* tick("500 millis")
      const progress = json().filter(({ event }) => event === "share.progress")
      for (const name of ["r", "q"]) {
        const printed = progress.filter(({ root }) => root === SessionFake.root(name))
        assert.isAtMost(printed.length, 6)
        assert.isAtLeast(printed.length, 4)
        assert.strictEqual(printed.at(-1).verifiedBytes, 100)
      }
    }))

  it.effect("prints how far a share is prepared, and that it is over", () =>
    Effect.gen(function*() {
      const { json, session } = yield* start({ json: true })
      const { bytes: _, ...counting } = examples["share.preparing"]
      const happened = [{ ...counting, hashedBytes: 0 }, examples["share.preparing"], examples["share.prepared"]]
      for (const event of happened) {
        yield* session.happen(event)
        yield* tick("500 millis")
      }
      const lines = json().map(({ time: _, ...event }) => event)
      assert.deepStrictEqual(lines, happened)
      for (const line of lines) Schema.decodeUnknownSync(OutputEvent)(line, { onExcessProperty: "error" })
    }))

  it.effect("leaves progress out while the reader is behind, and nothing else", () =>
    Effect.gen(function*() {
      const { json, session, streams } = yield* start({ json: true })
      streams.lagging = true
      yield* session.happen(examples["share.progress"], examples["message.delivered"])
      yield* tick("2000 millis")
      assert.deepStrictEqual(json().map(({ event }) => event), ["message.delivered"])
    }))

  it.effect("escapes what would steer a terminal, without changing its meaning", () =>
    Effect.gen(function*() {
      const { json, session, streams } = yield* start({ json: true })
      const text = "a\u009b31m\u202eb\u2028c\u{e0041}d\u007f\u001b[2J"
      yield* session.happen({ ...examples["message.delivered"], text })
      yield* tick()
      assert.notMatch(streams.out, /(?!\n)\p{Cc}|\p{Cf}|\p{Zl}/u)
      assert.strictEqual(json()[0].text, text)
    }))

  it.effect("ends with the session's end, also when interrupted", () =>
    Effect.gen(function*() {
      const { fiber, json, session } = yield* start({ json: true })
      yield* session.happen(examples["session.joined"])
      yield* tick()
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(json().at(-1).event, "session.ended")
      assert.strictEqual(json().at(-1).reason, "left")
    }))
})

describe("--once", () => {
  it.effect("leaves a moment after everything shared has arrived", () =>
    Effect.gen(function*() {
      const { ended, fiber, session } = yield* start({ once: true, json: true })
      yield* session.happen(examples["session.joined"], offered("a"), offered("b"), completed("a"))
      yield* tick("60000 millis")
      assert.isUndefined(ended())
      yield* session.happen(completed("b"))
      yield* tick("900 millis")
      assert.isUndefined(ended())
      yield* session.happen(offered("c"))
      yield* tick("60000 millis")
      assert.isUndefined(ended())
      yield* session.happen(completed("c"))
      yield* tick("500 millis")
      // Talk does not keep it from leaving.
      yield* session.happen(examples["message.delivered"])
      yield* tick("600 millis")
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(fiber)))
    }))

  it.effect("waits for the first share, and does not wait for one that was withdrawn", () =>
    Effect.gen(function*() {
      const { ended, fiber, session } = yield* start({ once: true })
      yield* session.happen(examples["session.joined"])
      yield* tick("60000 millis")
      assert.isUndefined(ended())
      yield* session.happen(offered("a"), offered("b"), completed("a"), {
        ...examples["share.withdrawn"],
        root: SessionFake.root("b")
      })
      yield* tick("1100 millis")
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(fiber)))
    }))

  it.effect("fails when a share can never be complete, and waits while it is only paused", () =>
    Effect.gen(function*() {
      const { ended, fiber, session } = yield* start({ once: true })
      yield* session.happen(offered("a"), { ...examples["share.failed"], root: SessionFake.root("a") })
      yield* tick("60000 millis")
      assert.isUndefined(ended())
      yield* session.happen({ ...examples["share.failed"], root: SessionFake.root("a"), resumes: false })
      yield* tick("1100 millis")
      assert.isTrue(Exit.isFailure(yield* Fiber.await(fiber)))
    }))
})

describe("a new session, with a person at the terminal", () => {
  it.effect("is joined by a yes while it is the only one", () =>
    Effect.gen(function*() {
      const { session, streams } = yield* start({ asks: true })
      yield* session.happen(found("a"))
      yield* tick()
      assert.include(streams.out, "one two three four five six")
      yield* streams.type("y")
      yield* tick()
      assert.deepStrictEqual(session.asked, [`choose ${SessionFake.sessionId("a")}`])
    }))

  it.effect("is not joined by a yes once there are several: the person names one by its number", () =>
    Effect.gen(function*() {
      const { session, streams } = yield* start({ asks: true })
      yield* session.happen(found("a"), found("b"), found("a"))
      yield* tick()
      yield* streams.type("yes", "3", "2")
      yield* tick()
      assert.deepStrictEqual(session.asked, ["say yes", "say 3", `choose ${SessionFake.sessionId("b")}`])
    }))

  it.effect("cannot be chosen when it only claims a known teacher's title", () =>
    Effect.gen(function*() {
      const { session, streams } = yield* start({ asks: true })
      yield* session.happen(found("a", "alarm"))
      yield* tick()
      assert.include(streams.out, "is not the teacher known by that name")
      yield* streams.type("y")
      yield* tick()
      assert.notInclude(session.asked.join(), "choose")
    }))

  it.effect("is left alone by a no, and answers are talk again once a session is joined", () =>
    Effect.gen(function*() {
      const { session, streams } = yield* start({ asks: true })
      yield* session.happen(found("a"))
      yield* tick()
      yield* streams.type("n")
      yield* tick()
      assert.include(streams.out, "Not joined")
      yield* session.happen(examples["session.joined"])
      yield* tick()
      yield* streams.type("y")
      yield* tick()
      assert.deepStrictEqual(session.asked, ["say y"])
    }))
})

describe("plain lines", () => {
  it.effect("print text from peers without anything that steers a terminal or fakes another's line", () =>
    Effect.gen(function*() {
      const { session, streams } = yield* start({})
      const evil = "\u001b[2J\u001b]0;title\u0007\u202eoops\u009b1m\nMs Ada (teacher): run this"
      for (const event of Object.values(examples)) {
        const changed = Object.fromEntries(
          Object.entries(event).map((
            [field, value]
          ) => [
            field,
            ["title", "name", "text", "reason", "words", "link", "path"].includes(field) && value !== "ended-by-teacher"
              ? evil
              : value
          ])
        )
        yield* session.happen(changed as never)
      }
      yield* tick("6000 millis")
      assert.notMatch(streams.out, /(?!\n)\p{Cc}|\p{Cf}/u)
      assert.notMatch(streams.out, /^Ms Ada \(teacher\)/m)
    }))

  it.effect("say how far a share is prepared every five seconds, and not when it is over; and that it was called off", () =>
    Effect.gen(function*() {
      const { session, streams } = yield* start({ isTeacher: true })
      const preparing = examples["share.preparing"]
      for (let second = 0; second < 17; second++) {
        yield* session.happen({ ...preparing, hashedBytes: 10 * second })
        yield* tick("1000 millis")
      }
      yield* session.happen({ ...preparing, hashedBytes: 999 }, { ...examples["share.prepared"], outcome: "ready" })
      yield* tick("10000 millis")
      const lines = streams.out.match(/Preparing .*/g) ?? []
      assert.isAtLeast(lines.length, 3)
      assert.isAtMost(lines.length, 4)
      assert.match(lines.at(-1)!, /^Preparing “lab\.bin”: 1\d0 B of 1\.00 kB$/)
      assert.notInclude(streams.out, "called off")
      yield* session.happen(examples["share.prepared"])
      yield* tick()
      assert.include(streams.out, "“lab.bin” was called off; nothing of it is handed out.\n")
    }))

  it.effect("say how far a share is every five seconds", () =>
    Effect.gen(function*() {
      const { session, streams } = yield* start({})
      for (let second = 0; second < 20; second++) {
        yield* session.happen({ ...examples["share.progress"], verifiedBytes: 10 * second })
        yield* tick("1000 millis")
      }
      assert.isAtMost(streams.out.match(/lab\.bin/g)?.length ?? 0, 5)
      assert.include(streams.out, "from 2 devices")
    }))
})

describe("live lines", () => {
  it.effect("keep the view below the log and the typed line below the view, and leave a clean terminal", () =>
    Effect.gen(function*() {
      const { fiber, session, streams } = yield* start({}, true)
      session.view = SessionFake.view({ shares: [SessionFake.share({ verifiedBytes: 420_000, sources: 3 })] })
      yield* session.happen(examples["session.joined"], examples["message.delivered"])
      yield* tick("300 millis")
      yield* streams.press("h", "i")
      yield* tick("300 millis")
      const terminal = VirtualTerminal.make(80)
      terminal.write(streams.out)
      const rows = terminal.rows()
      assert.strictEqual(rows.at(-1), "> hi")
      assert.match(rows.at(-3)!, /^lab\.bin .* 42 % /)
      assert.isTrue(rows.some((row) => row === "Ms Ada (teacher): hello"))
      yield* streams.press("return")
      yield* tick()
      assert.deepStrictEqual(session.asked, ["say hi"])
      assert.isTrue(streams.raw())
      yield* Fiber.interrupt(fiber)
      assert.isFalse(streams.raw())
      const after = VirtualTerminal.make(80)
      after.write(streams.out)
      assert.strictEqual(after.rows().at(-1), "")
      assert.isFalse(after.rows().some((row) => row.startsWith(">")))
    }))

  it.effect("show how far a share is prepared, and are rid of it when it is ready", () =>
    Effect.gen(function*() {
      const { session, streams } = yield* start({ isTeacher: true }, true)
      const rows = () => {
        const terminal = VirtualTerminal.make(80)
        terminal.write(streams.out)
        return terminal.rows()
      }
      const preparing = { id: "preparing-1", title: "linux.iso", hashedBytes: 3_200, totalBytes: 10_000 }
      session.view = SessionFake.view({ isHost: true, preparing: [preparing] })
      yield* tick("300 millis")
      assert.match(rows().at(-3)!, /^linux\.iso +preparing █+░+ {2}32 % {2}3\.20 kB of 10\.0 kB$/)
      session.view = SessionFake.view({ isHost: true, preparing: [{ ...preparing, hashedBytes: 9_000 }] })
      yield* tick("300 millis")
      assert.match(rows().at(-3)!, / 90 % {2}9\.00 kB of 10\.0 kB$/)
      session.view = SessionFake.view({ isHost: true })
      yield* tick("300 millis")
      assert.notMatch(rows().join("\n"), /linux/)
    }))

  it.effect("write nothing while nothing changes", () =>
    Effect.gen(function*() {
      const { streams } = yield* start({}, true)
      yield* tick("300 millis")
      const before = streams.out.length
      yield* tick("10000 millis")
      assert.strictEqual(streams.out.length, before)
    }))
})
