/** docs/SECURITY.md names tests for every promise: they exist, under these names. */
import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "../..")
const page = Fs.readFileSync(Path.join(root, "docs/SECURITY.md"), "utf8")
const named = [...page.matchAll(/`(test\/[^`]+\.test\.ts)`\s+“([^”]+)”/g)].map(([, file, title]) =>
  [file!, title!] as const
)

describe("docs/SECURITY.md", () => {
  it.each(named)("names a test that exists: %s, %s", (file, title) => {
    assert.include(Fs.readFileSync(Path.join(root, file), "utf8"), `"${title}"`)
  })

  it.each(Array.from({ length: 15 }, (_, i) => `P${i + 1}`))("has a row with a test for promise %s", (promise) => {
    assert.match(page, new RegExp(`^\\| \\*\\*${promise}\\*\\* .*\`test/[^\`]+\` “`, "m"))
  })
})
