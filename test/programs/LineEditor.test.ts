import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as LineEditor from "../../src/programs/LineEditor.ts"

const max = 200
const plain = (sequence: string): LineEditor.Key => ({ name: undefined, ctrl: false, meta: false, sequence })
const named = (name: string, ctrl = false): LineEditor.Key => ({ name, ctrl, meta: false, sequence: "\u001b[X" })

const press = (keys: ReadonlyArray<LineEditor.Key>) =>
  keys.reduce((editor, key) => LineEditor.press(editor, key, max).editor, LineEditor.empty)

const type = (text: string) => [...text].map(plain)

describe("LineEditor", () => {
  it("types, goes back, corrects and enters", () => {
    const editor = press([...type("helo"), named("left"), plain("l"), named("home"), plain(">")])
    assert.deepStrictEqual(editor, { text: ">hello", cursor: 1 })
    const { editor: left, entered } = LineEditor.press(editor, named("return"), max)
    assert.strictEqual(entered, ">hello")
    assert.deepStrictEqual(left, LineEditor.empty)
  })

  it("removes what a person sees as one character with one press", () => {
    assert.strictEqual(press([...type("ok "), plain("👩‍🏫"), named("backspace")]).text, "ok ")
    assert.strictEqual(press([plain("👩‍🏫"), plain("!"), named("home"), named("delete")]).text, "!")
  })

  it("removes a word, what is before and what is behind the cursor", () => {
    assert.strictEqual(press([...type("one two  "), named("w", true)]).text, "one ")
    assert.strictEqual(press([...type("one"), named("u", true)]).text, "")
    assert.strictEqual(press([...type("one"), named("left"), named("k", true)]).text, "on")
  })

  it("ignores keys without a meaning and control characters", () => {
    assert.deepStrictEqual(
      press([named("f5"), named("up"), plain("\u0007"), { ...plain("x"), meta: true }]),
      LineEditor.empty
    )
  })

  const keys = Schema.Array(
    Schema.Literals(["a", "é", "👩‍🏫", "日", "left", "right", "home", "end", "backspace", "delete", "ctrl-w", "ctrl-k"])
  )
  it.prop("keeps its cursor inside the line, whatever is pressed", { keys }, ({ keys }) => {
    let editor = LineEditor.empty
    for (const key of keys) {
      const [, ctrl, name] = /^(ctrl-)?(\w{1,9})$/.exec(key) ?? []
      const pressed = name !== undefined && name.length > 1 || ctrl !== undefined
        ? named(name!, ctrl !== undefined)
        : plain(key)
      editor = LineEditor.press(editor, pressed, 20).editor
      assert.isAtLeast(editor.cursor, 0)
      assert.isAtMost(editor.cursor, editor.text.length)
      assert.isAtMost(editor.text.length, 20)
      assert.isTrue(editor.text.isWellFormed())
    }
  })
})
