import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as Parsing from "../../src/programs/Parsing.ts"
import { UsageError } from "../../src/programs/Problems.ts"

const key = "k".repeat(43)
const given = <A>(effect: Effect.Effect<A, UsageError>) =>
  Effect.runSync(Effect.catch(effect, (error) => Effect.succeed(error.reason)))

describe("values of flags", () => {
  it.each<[string, unknown]>([
    ["192.168.1.20:4711", { host: "192.168.1.20", port: 4711 }],
    ["[fe80::1]:4711", { host: "fe80::1", port: 4711 }],
    [" 10.0.0.1:1 ", { host: "10.0.0.1", port: 1 }],
    ["10.0.0.1", "bad-address"],
    ["10.0.0.1:0", "bad-address"],
    ["10.0.0.1:65536", "bad-address"],
    ["teacher.local:4711", "bad-address"],
    ["fe80::1:4711", "bad-address"],
    ["", "bad-address"]
  ])("the address %j", (text, expected) => {
    assert.deepStrictEqual(given(Parsing.address(text)), expected as never)
  })

  it.each<[string, string]>([
    ["abandon ability able about above absent", "abandon ability able about above absent"],
    [" Abandon-ability, able\tABOUT above  absent ", "abandon ability able about above absent"],
    ["abandon ability able about above", "bad-words"],
    ["abandon ability able about above nonsense", "bad-words"]
  ])("the words %j", (text, expected) => {
    assert.strictEqual(given(Parsing.words(text)), expected)
  })

  it.each<[string, string | undefined, string]>([
    [key, undefined, key],
    ["teacher.pub", `${key} Ms Ada\nmore`, key],
    ["teacher.pub", "nothing of the kind", "bad-trust"],
    ["nowhere", undefined, "bad-trust"]
  ])("the key %j with the file %j", (text, content, expected) => {
    const read = () =>
      content === undefined
        ? Effect.fail(new UsageError({ reason: "bad-trust", detail: text }))
        : Effect.succeed(content)
    assert.strictEqual(given(Parsing.publicKey(text, read)), expected)
  })

  it.each<[string, number | undefined]>([
    ["0", 0],
    ["5000", 5_000],
    ["100MB", 100_000_000],
    ["32MiB", 32 * 2 ** 20],
    ["1.5 GiB", 1.5 * 2 ** 30],
    ["2g", 2_000_000_000],
    ["-1", undefined],
    ["1e9", undefined],
    ["big", undefined],
    ["", undefined]
  ])("the size %j", (text, expected) => {
    assert.strictEqual(Option.getOrUndefined(Parsing.sizeBytes(text)), expected)
  })

  it("the machine's name is made one, whatever it is", () => {
    assert.strictEqual(Parsing.nameOfMachine("lab-07.campus"), "lab-07.campus")
    assert.strictEqual(Parsing.nameOfMachine("\u001b[2J"), "2J")
    assert.strictEqual(Parsing.nameOfMachine("\u0000"), "device")
    for (const name of ["日".repeat(100), "x".repeat(1_000), "𝒳".repeat(50)]) {
      assert.strictEqual(given(Parsing.name(Parsing.nameOfMachine(name))), Parsing.nameOfMachine(name))
    }
  })
})
