import { assert, describe, it } from "@effect/vitest"
import { attachSecret } from "../../src/programs/Arguments.ts"

describe("the three forms of --secret", () => {
  it.each<[string, ReadonlyArray<string>, ReadonlyArray<string>]>([
    ["a value behind it is attached", ["teacher", "--secret", "hunter2"], ["teacher", "--secret=hunter2"]],
    ["an attached value is left alone", ["teacher", "--secret=hunter2"], ["teacher", "--secret=hunter2"]],
    ["nothing behind it means: ask", ["teacher", "--secret"], ["teacher", "--secret"]],
    ["another flag behind it means: ask", ["teacher", "--secret", "--json"], ["teacher", "--secret", "--json"]],
    ["a short flag behind it means: ask", ["teacher", "--secret", "-h"], ["teacher", "--secret", "-h"]],
    ["a phrase stays one value", ["--secret", "one two three"], ["--secret=one two three"]],
    ["a value with an equals sign stays whole", ["--secret", "a=b"], ["--secret=a=b"]],
    ["an empty value is a value", ["--secret", ""], ["--secret="]],
    ["behind a bare -- nothing is touched", ["--", "--secret", "x"], ["--", "--secret", "x"]],
    ["other flags are not meant", ["--secret-file", "x", "--title", "y"], ["--secret-file", "x", "--title", "y"]],
    ["several are all attached", ["--secret", "a", "--secret", "b"], ["--secret=a", "--secret=b"]]
  ])("%s", (_, given, expected) => {
    assert.deepStrictEqual(attachSecret(given), expected)
  })
})
