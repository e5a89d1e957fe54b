/** What a file may be called: hostile names by hand, and the invariants N1 to N4 over generated ones. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Limits from "../../src/protocol/Limits.ts"
import * as Names from "../../src/protocol/Names.ts"
import { utf8Bytes } from "../../src/protocol/Text.ts"
import { finish } from "../../src/protocol/Work.ts"
import { collisions, fate, good, hostile } from "../support/NamesTable.ts"

/** Pieces that hostile names are made of, so that generated ones meet the rules often. */
const pieces = [
  "a",
  "A",
  "b",
  "\u00df",
  "ss",
  "\u017f",
  "\u0130",
  "i",
  "\u0131",
  ".",
  "..",
  " ",
  "/",
  "\\",
  ":",
  "CON",
  "nul",
  "\u00e9",
  "e\u0301",
  "\u0000",
  "\u202e",
  "\ud800",
  "\udc00",
  "\u{1f600}",
  "\u200d",
  "\u00ad",
  ".txt",
  "_",
  "(2)",
  "x".repeat(100),
  "\u00e9".repeat(60),
  "\u03c3",
  "\u03c2",
  "\u03a3",
  "*",
  ".labfx",
  "\u1e9e"
]
const Name = Schema.Array(Schema.Natural).check(Schema.isMaxLength(8))
const nameOf = (draws: ReadonlyArray<number>) => draws.map((draw) => pieces[draw % pieces.length]!).join("")
const Paths = Schema.Array(Name).check(Schema.isMaxLength(12))

/** A file system that is as hard to please as any: it folds case and form, and finds devices everywhere. */
const strictKey = (path: string) => path.normalize("NFD").toUpperCase().toLowerCase().normalize("NFD")

describe("Names", () => {
  it("refuses every hostile path of the table, with a reason, on every system", () => {
    const paths = hostile.flatMap((group) => group.paths)
    assert.isAtLeast(new Set(paths).size, 200)
    for (const path of paths) assert.isString(Names.pathProblem(path), JSON.stringify(path))
  })

  it.each(["linux", "macos", "windows"] as const)(
    "the table is right about %s, and a path that is taken is the file of that name there",
    (system) => {
      for (const group of hostile) {
        for (const path of group.paths) assert.strictEqual(fate[system](path), group[system], JSON.stringify(path))
      }
      for (const path of good) assert.strictEqual(fate[system](path), "file", JSON.stringify(path))
    }
  )

  it("loses the later of two paths that collide somewhere, whatever this system makes of them", () => {
    for (const { pairs, why } of collisions) {
      for (const [kept, lost] of pairs) {
        assert.deepStrictEqual([...finish(Names.problems([kept, lost], [])).keys()], [1], `${why}: ${kept}, ${lost}`)
        assert.deepStrictEqual([...finish(Names.problems([kept, "between", lost], [])).keys()], [2], why)
      }
    }
  })

  it.prop(
    "N1: a path without a problem is the file of that name on every system",
    { draws: Name },
    ({ draws }) => {
      const path = nameOf(draws)
      if (Names.pathProblem(path) !== undefined) return
      for (const system of ["linux", "macos", "windows"] as const) assert.strictEqual(fate[system](path), "file")
    },
    { arbitrary: { runs: 5_000 } }
  )

  it("takes every ordinary path of the table", () => {
    for (const path of good) assert.isUndefined(Names.pathProblem(path), JSON.stringify(path))
  })

  it.prop(
    "N1: a path without a problem stays inside its folder on every system",
    { draws: Name },
    ({ draws }) => {
      const path = nameOf(draws)
      if (Names.pathProblem(path) !== undefined) return
      for (const component of path.split(/[/\\]/)) {
        assert.notInclude(["", ".", ".."], component)
        // What Windows makes of it is what it was.
        assert.strictEqual(component.replace(/[. ]+$/, ""), component)
        assert.notMatch(component, /^(con|nul)\s*(\.|$)/i)
        assert.isTrue(component.isWellFormed())
        assert.isAtMost(utf8Bytes(component), Limits.pathComponentBytesMax)
      }
      assert.notMatch(path, /[\\:*]/)
      assert.isFalse(path.includes("\u0000"))
    },
    { arbitrary: { runs: 2_000 } }
  )

  it.prop(
    "N2, N4: of paths that some system takes for one, exactly the first keeps its place",
    { draws: Paths },
    ({ draws }) => {
      const paths = draws.map(nameOf)
      const problems = finish(Names.problems(paths, []))
      const kept = paths.filter((_, i) => !problems.has(i))
      const files = new Set(kept.map(strictKey))
      assert.strictEqual(files.size, kept.length, "two files of one name")
      for (const key of files) {
        for (let cut = key.lastIndexOf("/"); cut > 0; cut = key.lastIndexOf("/", cut - 1)) {
          assert.isFalse(files.has(key.slice(0, cut)), "a file where a folder is")
        }
      }
      const first = paths.findIndex((path) => Names.pathProblem(path) === undefined)
      if (first >= 0) assert.isFalse(problems.has(first), "the first good path")
      for (const path of kept) assert.isUndefined(Names.pathProblem(path))
    },
    { arbitrary: { runs: 2_000 } }
  )

  it("loses the later of two files whose names differ in case or form only, and nothing else", () => {
    const files = ["A.txt", "a.TXT", "b/x", "B", "B/y", "b/X", "c", "c/d", "stra\u00dfe", "STRASSE", "d\u00ad", "d"]
    const problems = finish(Names.problems(files, ["c", "e", "E", "a.txt/f"]))
    assert.deepStrictEqual([...problems.keys()], [1, 3, 5, 7, 9, 11, 12, 15])
  })

  it("loses only what lies in further folders when a share has too many", () => {
    const deep = Array.from(
      { length: 10_000 },
      (_, i) => `${Array.from({ length: 25 }, (_, j) => `${i}-${j}`).join("/")}/x`
    )
    const problems = finish(Names.problems(["first", ...deep, "last"], []))
    assert.isAbove(problems.size, 1_000)
    assert.isFalse(problems.has(0))
    assert.isFalse(problems.has(deep.length + 1))
  })

  it("takes foldersPerShareMax folders, and loses what lies in one more", () => {
    const files = Array.from({ length: Limits.foldersPerShareMax + 1 }, (_, i) => `${i}/x`)
    assert.deepStrictEqual(
      finish(Names.problems(files, [])),
      new Map([[files.length - 1, "the share has too many folders"]])
    )
  })

  it.prop(
    "N3: makes a safe name of any title, and keeps one that is safe",
    { draws: Name, n: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 999 })) },
    ({ draws, n }) => {
      const title = nameOf(draws)
      const safe = Names.safeTitle(title)
      assert.isUndefined(Names.componentProblem(safe), JSON.stringify(safe))
      for (const kind of ["file", "folder"] as const) {
        assert.isUndefined(Names.componentProblem(Names.freeName(safe, n, kind)), JSON.stringify([safe, n]))
      }
      if (Names.componentProblem(title) === undefined && utf8Bytes(title) < Limits.pathComponentBytesMax) {
        assert.strictEqual(safe, title)
      }
      assert.strictEqual(Names.safeTitle(safe), safe)
    },
    { arbitrary: { runs: 2_000 } }
  )

  it("makes safe names of the hostile ones", () => {
    for (const path of hostile.flatMap((group) => group.paths)) {
      assert.isUndefined(Names.componentProblem(Names.safeTitle(path)), JSON.stringify(path))
    }
    assert.strictEqual(Names.safeTitle("../notes: 1.txt"), ".._notes_ 1.txt")
    assert.strictEqual(Names.safeTitle(""), "_")
    assert.strictEqual(Names.safeTitle("nul.txt"), "_nul.txt")
  })

  it("tries further names in an order that people know", () => {
    assert.deepStrictEqual([1, 2, 3].map((n) => Names.freeName("notes.txt", n, "file")), [
      "notes.txt",
      "notes (2).txt",
      "notes (3).txt"
    ])
    assert.strictEqual(Names.freeName("lab v1.2", 2, "folder"), "lab v1.2 (2)")
    assert.strictEqual(Names.freeName(".bashrc", 2, "file"), ".bashrc (2)")
    const long = `${"x".repeat(Limits.pathComponentBytesMax - 4)}.txt`
    assert.isTrue(Names.freeName(long, 12, "file").endsWith(" (12).txt"))
  })
})
