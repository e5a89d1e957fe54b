/** The documents that list things list all of them. */
import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "../..")
const read = (path: string): string => Fs.readFileSync(Path.join(root, path), "utf8")

/** The rows of the tables below each heading of the tour: `src/protocol/Ids.ts`. */
const toured = (document: string): ReadonlyArray<string> =>
  document.split(/^### (?=src\/)/m).slice(1).flatMap((section) => {
    const folder = section.slice(0, section.indexOf("\n")).trim()
    return Array.from(section.matchAll(/^\| `([^`]+\.tsx?)` \|/gm), ([, file]) => `${folder}/${file}`)
  })

describe("documents", () => {
  it("tour every file of src, and no other", () => {
    const files = Fs.readdirSync(Path.join(root, "src"), { recursive: true, encoding: "utf8" })
      .filter((name) => /\.tsx?$/.test(name))
      .map((name) => `src/${name.replaceAll(Path.sep, "/")}`)
    const listed = toured(read("docs/ARCHITECTURE.md"))
    assert.isAbove(files.length, 50)
    assert.deepStrictEqual(listed.toSorted(), files.toSorted(), "docs/ARCHITECTURE.md has a line a file")
  })

  it("name twins that exist", () => {
    for (const [, path] of read("docs/ARCHITECTURE.md").matchAll(/`((?:test|bench|scripts)\/[\w/.]+\.ts)`/g)) {
      assert.isTrue(Fs.existsSync(Path.join(root, path!)), path)
    }
  })

  it("justify every dependency", () => {
    const decision = read("docs/decisions/0001-dependencies.md")
    const { dependencies, devDependencies } = JSON.parse(read("package.json"))
    for (const name of Object.keys({ ...dependencies, ...devDependencies })) {
      assert.include(decision, `\`${name}\``, "docs/decisions/0001-dependencies.md has a line a package")
    }
  })

  it("number decisions once each, and link to files that are there", () => {
    const decisions = Fs.readdirSync(Path.join(root, "docs/decisions"))
    const numbers = decisions.map((name) => name.slice(0, 4))
    assert.deepStrictEqual(numbers, Array.from(new Set(numbers)))
    for (const name of decisions) assert.match(read(`docs/decisions/${name}`), new RegExp(`^# ${name.slice(0, 4)}:? `))
    for (const name of ["PROTOCOL.md", "ARCHITECTURE.md"]) {
      for (const [, target] of read(`docs/${name}`).matchAll(/\]\((?!#|https?:)([^)#]+)/g)) {
        assert.isTrue(Fs.existsSync(Path.join(root, "docs", target!)), `${name}: ${target}`)
      }
    }
  })

  it("link to headings that are there", () => {
    for (const name of ["PROTOCOL.md", "ARCHITECTURE.md"]) {
      const text = read(`docs/${name}`)
      const headings = Array.from(
        text.matchAll(/^#+ (.+)$/gm),
        ([, heading]) => heading!.toLowerCase().replace(/[^\p{L}\p{N}\s-]/gu, "").trim().replaceAll(" ", "-")
      )
      for (const [, target] of text.matchAll(/\]\(#([^)]+)\)/g)) assert.include(headings, target)
    }
  })
})
