/** Whose program is older: what the teacher is told of a student's. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { isOlder } from "../../src/protocol/Program.ts"

const figure = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 120 }))
const Version = Schema.Tuple([figure, figure, figure])
const labfx = (version: ReadonlyArray<number>) => `labfx ${version.join(".")}`

describe("one version before another", () => {
  it.prop(
    "is one with the smaller figure where they first differ, so never both are, and none is before itself",
    { a: Version, b: Version },
    ({ a, b }) => {
      const rank = ([major, minor, patch]: readonly [number, number, number]) => (major * 1_000 + minor) * 1_000 + patch
      assert.strictEqual(isOlder(labfx(a), labfx(b)), rank(a) < rank(b))
      assert.strictEqual(isOlder(labfx(b), labfx(a)), rank(b) < rank(a))
    }
  )

  it.each([
    ["labfx 0.9.0", "labfx 0.10.0"],
    ["labfx 0.1.0", "labfx 1.0.0"],
    ["labfx 1.0.0-rc.1", "labfx 1.0.0"],
    ["labfx 0.9.9", "labfx 1.0.0-rc.1"],
    ["0.1.0", "0.1.1"]
  ])("%s is before %s", (one, other) => {
    assert.isTrue(isOlder(one, other))
    assert.isFalse(isOlder(other, one))
  })

  it.each([
    ["labfx 0.1.0", "labfx 0.1.0"],
    ["labfx 0.1.0+build.1", "labfx 0.1.0+build.2"],
    ["labfx 1.0.0-rc.1", "labfx 1.0.0-rc.2"],
    ["another 0.0.1", "labfx 1.0.0"],
    ["0.0.1", "labfx 1.0.0"],
    ["", "labfx 1.0.0"],
    ["labfx", "labfx 1.0.0"],
    ["labfx 0.1", "labfx 1.0.0"],
    ["labfx 0.1.0.0", "labfx 1.0.0"],
    ["labfx -1.0.0", "labfx 1.0.0"],
    ["labfx 1e9.0.0", "labfx 1.0.0"],
    [`labfx 0.0.${"1".repeat(50)}`, "labfx 1.0.0"],
    ["labfx test", "labfx 1.0.0"]
  ])("neither of %j and %j is", (one, other) => {
    assert.isFalse(isOlder(one, other))
    assert.isFalse(isOlder(other, one))
  })
})
