/** docs/COMMANDS.md says what the program does: read from the program, compared with the page. */
import { assert, describe, it } from "@effect/vitest"
import { Schema, SchemaAST } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as ExitCode from "../../src/programs/ExitCode.ts"
import { OutputEvent } from "../../src/programs/OutputEvent.ts"
import { usualPort } from "../../src/protocol/Wire.ts"

const page = Fs.readFileSync(Path.resolve(import.meta.dirname, "../../docs/COMMANDS.md"), "utf8")

/** The text under a heading, up to the next heading of any level. */
const section = (heading: string): string => {
  const [, text] = page.split(new RegExp(`^#+ ${heading.replaceAll(".", "\\.")}\\n`, "m"))
  return (text ?? "").split(/^#/m)[0]!
}

/** Field names of a struct, those of structs in arrays included. */
const fieldsOf = (ast: SchemaAST.AST): ReadonlyArray<string> => {
  if (SchemaAST.isObjects(ast)) {
    return ast.propertySignatures.flatMap(({ name, type }) => [String(name), ...fieldsOf(type)])
  }
  return SchemaAST.isArrays(ast) ? ast.rest.flatMap(fieldsOf) : []
}

describe("docs/COMMANDS.md", () => {
  it.each(OutputEvent.members.map((member) => [member.fields.event.literal, member] as const))(
    "describes %s and every one of its fields",
    (name, member) => {
      const text = section(name)
      assert.notStrictEqual(text, "", "the event has a section")
      for (const field of fieldsOf(Schema.toType(member).ast).filter((field) => field !== "event")) {
        assert.include(text, `\`${field}\``, `${name}.${field}`)
      }
    }
  )

  it("describes no event that does not exist", () => {
    const described = [...section("Events (`--json`)").matchAll(/^### (\S+)/gm), ...page.matchAll(/^### (\S+)/gm)]
      .map(([, name]) => name!)
    const existing: ReadonlyArray<string> = OutputEvent.members.map((member) => member.fields.event.literal)
    assert.deepStrictEqual(described.filter((name) => !existing.includes(name)), [])
  })

  it("lists exactly the exit codes", () => {
    const listed = [...section("Exit codes").matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code))
    assert.deepStrictEqual(listed, Object.values(ExitCode.all))
  })

  it.each(["keygen", "teacher", "student", "demo"])("names every flag of labfx %s", (command) => {
    const source = ["flags", command].map((file) =>
      Fs.readFileSync(Path.resolve(import.meta.dirname, `../../src/programs/${file}.ts`), "utf8")
    )
    const own = [...source[1]!.matchAll(/Flag\.[A-Z]\w+\("([a-z-]+)"\)/g)].map(([, flag]) => flag!)
    assert.isNotEmpty(own)
    for (const flag of own) assert.include(section(`labfx ${command}`), `\`--${flag}`, flag)
    const shared = [...source[0]!.matchAll(/(?:Flag\.[A-Z]\w+|port)\("([a-z-]+)"\)/g)].map(([, flag]) => flag!)
    for (const flag of shared) assert.include(page, `\`--${flag}`, flag)
  })

  it("states the default discovery port", () => {
    assert.include(page, `Default: ${usualPort}`)
  })
})
