/** The questions that lead a newcomer, on a terminal of which the test is the keyboard and the screen. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Option } from "effect"
import * as NodeFs from "node:fs"
import * as NodePath from "node:path"
import * as Guide from "../../src/programs/Guide.ts"
import * as KeptKey from "../../src/programs/KeptKey.ts"
import * as Machine from "../../src/programs/Machine.ts"
import * as CryptoNode from "../../src/services/node/CryptoNode.ts"
import { Secrets } from "../../src/services/Secrets.ts"
import * as StreamsFake from "../support/StreamsFake.ts"
import { tempFolder } from "../support/TempFolder.ts"
import * as VirtualTerminal from "../support/VirtualTerminal.ts"

const platform = Layer.merge(Machine.layerNode, Secrets.layer.pipe(Layer.provide(CryptoNode.layerNode)))

/** What is on the screen, without the rows that are empty; the system's terminal makes each line begin at the left. */
const screen = (text: string) => {
  const terminal = VirtualTerminal.make(80)
  terminal.write(text.replaceAll("\n", "\r\n"))
  return terminal.rows().filter((row) => row !== "").join("\n")
}

/** Presses keys as soon as somebody listens: what is typed ahead of a question waits for it. */
const answering = <A, E, R>(
  guide: Effect.Effect<A, E, R>,
  streams: StreamsFake.StreamsFake,
  ...keys: ReadonlyArray<string>
) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(guide.pipe(Effect.provide(streams.layer), Effect.provide(platform)))
    while (!streams.raw()) yield* Effect.yieldNow
    yield* streams.press(...keys)
    return yield* Fiber.await(fiber)
  })

const teacher = (stateFolder: string, given: Partial<Guide.TeacherGuideOptions> = {}) =>
  Guide.teacher({ stateFolder, allowWeak: false, title: Option.none(), shares: [], ...given })

const setup = Effect.gen(function*() {
  const folder = yield* tempFolder
  return { folder, streams: yield* StreamsFake.make(true) }
})

describe("a teacher without a secret", () => {
  it.live("makes a key with Enter that only this user can read, and is offered it the next time", () =>
    Effect.gen(function*() {
      const { folder, streams } = yield* setup
      const state = NodePath.join(folder, "state", "teacher")
      const first = yield* answering(teacher(state), streams, "return", "Algorithms", "return", "return")
      assert.isTrue(Exit.isSuccess(first))
      if (!Exit.isSuccess(first)) return
      assert.strictEqual(first.value.title, "Algorithms")
      assert.deepStrictEqual(first.value.shares, [])
      if (process.platform !== "win32") {
        assert.strictEqual(NodeFs.statSync(KeptKey.pathIn(state)).mode & 0o777, 0o600)
        assert.strictEqual(NodeFs.statSync(state).mode & 0o777, 0o700)
      }
      const key = NodeFs.readFileSync(KeptKey.pathIn(state), "utf8").trim()
      assert.notInclude(streams.out + streams.err, key)
      assert.include(screen(streams.err), "a new one, kept on this machine")

      const again = yield* setup
      const second = yield* answering(teacher(state), again.streams, "1", "return", "return", "return")
      assert.include(screen(again.streams.err), "1  the one kept on this machine")
      assert.isTrue(Exit.isSuccess(second) && Buffer.from(second.value.secretSeed).equals(first.value.secretSeed))
    }).pipe(Effect.scoped))

  it.live("names a key file and something to hand out by dropping them onto the terminal", () =>
    Effect.gen(function*() {
      const { folder, streams } = yield* setup
      const file = NodePath.join(folder, "my key")
      NodeFs.writeFileSync(file, `labfx-key-1:${"A".repeat(43)}\n`)
      const dropped = `'${file}' `
      const keys = ["2", "return", dropped, "return", "return", `"${folder}"`, "return"]
      const exit = yield* answering(teacher(NodePath.join(folder, "state")), streams, ...keys)
      assert.isTrue(Exit.isSuccess(exit))
      if (!Exit.isSuccess(exit)) return
      assert.deepStrictEqual([...exit.value.secretSeed], Array.from({ length: 32 }, () => 0))
      assert.deepStrictEqual(exit.value.shares, [folder])
      assert.isFalse(NodeFs.existsSync(NodePath.join(folder, "state")))
    }).pipe(Effect.scoped))

  it.live("is told what is wrong with an answer and asked again; a phrase is never shown", () =>
    Effect.gen(function*() {
      const { folder, streams } = yield* setup
      const keys = ["7", "return", "2", "return", "nowhere", "return", "3", "return", "hunter2", "return"]
      const exit = yield* answering(
        teacher(NodePath.join(folder, "state"), { title: Option.some("Given"), shares: ["/given"] }),
        streams,
        ...keys,
        "return"
      )
      assert.isTrue(Exit.isSuccess(exit) && exit.value.title === "Given" && exit.value.shares[0] === "/given")
      const shown = screen(streams.err)
      assert.include(shown, "“7” is none of the numbers above.")
      assert.match(shown, /“[^”]*nowhere” cannot be read/)
      assert.include(shown, "too easy to guess")
      assert.notInclude(streams.err, "hunter2")
      assert.notInclude(shown, "What is the session called?")
    }).pipe(Effect.scoped))

  it.live.each([0, 1, 2])(
    "leaves with Ctrl-C at question %i, and the terminal is as it was",
    (answered) =>
      Effect.gen(function*() {
        const { folder, streams } = yield* setup
        const keys = Array.from({ length: answered }, () => "return")
        const exit = yield* answering(teacher(NodePath.join(folder, "state")), streams, ...keys, "ctrl-c")
        assert.isTrue(Exit.hasInterrupts(exit))
        assert.isFalse(streams.raw())
        assert.isTrue(streams.err.endsWith("\n"))
      }).pipe(Effect.scoped)
  )
})

describe("a student", () => {
  it.live("is asked for a name and a folder until both can be used, and Enter takes what stands there", () =>
    Effect.gen(function*() {
      const { folder, streams } = yield* setup
      const file = NodePath.join(folder, "file")
      NodeFs.writeFileSync(file, "in the way")
      const wanted = NodePath.join(folder, "my files")
      const keys = ["Kavyx", "backspace", "a", "return", `${file}/below`, "return", wanted, "return"]
      const exit = yield* answering(Guide.student, streams, ...keys)
      assert.deepStrictEqual(exit, Exit.succeed({ name: "Kavya", downloadFolder: wanted }))
      assert.include(screen(streams.err).replaceAll("\n", ""), `${file}/below cannot be used`)
      assert.isTrue(NodeFs.existsSync(wanted))
      const other = yield* setup
      const again = ["x".repeat(100), "return", "return", other.folder, "return"]
      const defaults = yield* answering(Guide.student, other.streams, ...again)
      assert.isTrue(Exit.isSuccess(defaults) && defaults.value.name !== "")
      assert.include(screen(other.streams.err), "too long")
    }).pipe(Effect.scoped))
})
