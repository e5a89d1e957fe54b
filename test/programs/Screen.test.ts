import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { width } from "../../src/programs/Display.ts"
import * as Screen from "../../src/programs/Screen.ts"
import * as VirtualTerminal from "../support/VirtualTerminal.ts"

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const text = Schema.Array(Schema.Literals(["word ", "日本", "x", "é", "👩‍🏫", "12345678901234567890"])).check(
  Schema.isMaxLength(12)
)
const frame = Schema.Struct({
  log: Schema.Array(text).check(Schema.isMaxLength(3)),
  region: Schema.Array(text).check(Schema.isMaxLength(6)),
  cursor: int(0, 220)
})
const frames = Schema.Array(frame).check(Schema.isMinLength(1), Schema.isMaxLength(8))

/** A log line as the terminal wraps it. */
const wrapped = (line: string, columns: number): ReadonlyArray<string> => {
  const terminal = VirtualTerminal.make(columns)
  terminal.write(line)
  return terminal.rows()
}

describe("Screen", () => {
  it.prop(
    "keeps the log in order above exactly the newest region, on any terminal of 20 to 200 columns (invariants 1, 2 and 3)",
    { frames, columns: int(20, 200) },
    ({ columns, frames }) => {
      const terminal = VirtualTerminal.make(columns)
      let screen = Screen.empty
      const log: Array<string> = []
      for (const { cursor, log: lines, region } of frames) {
        const said = lines.map((parts) => parts.join("").trim())
        const kept = region.map((parts) => `|${parts.join("").trim()}`)
        const drawn = Screen.frame(screen, said, { lines: kept, cursorCells: cursor }, columns)
        assert.isTrue(drawn.screen.widths.every((cells) => cells < columns))
        terminal.write(drawn.text)
        screen = drawn.screen
        log.push(...said.flatMap((line) => wrapped(line, columns)))
        const rows = terminal.rows()
        assert.deepStrictEqual(rows.slice(0, log.length), log)
        const below = rows.slice(log.length).filter((row, index) => index < kept.length || row !== "")
        assert.lengthOf(below, kept.length)
        for (const [index, row] of below.entries()) {
          assert.isBelow(width(row), columns)
          if (width(kept[index]!) < columns) assert.strictEqual(row, kept[index]!.trimEnd())
          else assert.isTrue(kept[index]!.startsWith(row.replace(/…$/, "").trimEnd()))
        }
        if (kept.length > 0) {
          assert.deepStrictEqual(terminal.cursor(), {
            row: log.length + kept.length - 1,
            column: Math.min(cursor, columns - 1)
          })
        }
      }
    }
  )

  it("writes a frame in one piece between the marks of synchronized output", () => {
    const { text } = Screen.frame(Screen.empty, ["said"], { lines: ["a", "b"], cursorCells: 1 }, 80)
    assert.isTrue(text.startsWith("\u001b[?2026h") && text.endsWith("\u001b[?2026l"))
    assert.strictEqual(text.split("\u001b[?2026").length, 3)
  })

  it("does not erase before it writes while only figures change", () => {
    const first = Screen.frame(Screen.empty, [], { lines: ["10 %", "> "], cursorCells: 2 }, 80)
    const { text } = Screen.frame(first.screen, [], { lines: ["20 %", "> "], cursorCells: 2 }, 80)
    assert.isBelow(text.indexOf("20 %"), text.indexOf("\u001b[J"))
  })
})
