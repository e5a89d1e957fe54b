import { assert, describe, inject, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import * as NodeFs from "node:fs"
import * as NodeOs from "node:os"
import * as NodePath from "node:path"
import { pathToFileURL } from "node:url"
import { afterAll } from "vitest"
import { rehearse } from "../../scripts/rehearse.ts"
import * as CompiledCode from "../../src/programs/CompiledCode.ts"

const folder = NodeFs.mkdtempSync(NodePath.join(NodeOs.tmpdir(), "labfx-shipped-"))
afterAll(() => NodeFs.rmSync(folder, { recursive: true }))

describe("CompiledCode", () => {
  const text = "(function () {})"
  const code = Uint8Array.from({ length: 100 }, (_, i) => i)
  const bytes = CompiledCode.encode(text, code)

  it("gives back what was kept", () => {
    assert.deepStrictEqual(CompiledCode.decode(text, bytes), Buffer.from(code))
    assert.deepStrictEqual(CompiledCode.decode(text, CompiledCode.encode(text, new Uint8Array())), Buffer.alloc(0))
  })

  it("gives nothing of a file with any byte changed, cut or added, nor for another text of the same length", () => {
    for (let at = 0; at < bytes.length; at++) {
      const changed = bytes.slice()
      changed[at]! ^= 1
      assert.isUndefined(CompiledCode.decode(text, changed), `byte ${at}`)
      assert.isUndefined(CompiledCode.decode(text, bytes.subarray(0, at)), `${at} bytes`)
    }
    assert.isUndefined(CompiledCode.decode(text, Buffer.concat([bytes, Buffer.alloc(1)])))
    assert.isUndefined(CompiledCode.decode("(function () { }", bytes))
  })

  it("lies beside the program", () => {
    assert.strictEqual(CompiledCode.beside("/there/labfx.mjs"), "/there/labfx.code")
  })
})

describe("the shipped program", () => {
  const program = NodePath.join(folder, "labfx.mjs")
  const file = CompiledCode.beside(program)
  const preloaded = pathToFileURL(NodePath.resolve(import.meta.dirname, "../../scripts/keepCode.ts")).href

  const run = (...options: ReadonlyArray<string>) => {
    const { status, stdout } = spawnSync(process.execPath, [...options, program, "--version"], {
      encoding: "utf8",
      env: { ...process.env, LABFX_REHEARSES: "nobody", LABFX_KEEPS: file },
      timeout: 30_000
    })
    return { status, stdout }
  }
  /** Whether it begins with the code that is there: who is preloaded ends it if it does not. */
  const beginsWithIt = () => run("--import", preloaded).status === 0

  it("begins with what V8 has compiled in a lesson, and with nothing that is damaged", () => {
    NodeFs.copyFileSync(inject("program"), program)
    const alone = run()
    assert.match(alone.stdout, /^labfx v\d/)

    assert.strictEqual(rehearse(program), file)
    const kept = NodeFs.readFileSync(file)
    // What `labfx --version` alone compiles is 1.2 MB.
    assert.isAbove(kept.length, 2_000_000, "functions of a lesson are in it, not only what every start calls")
    assert.isTrue(beginsWithIt())
    assert.deepStrictEqual(run(), alone)
    assert.deepStrictEqual(run("--no-opt"), alone, "with flags for which V8 does not take it")

    const damaged = Buffer.from(kept)
    damaged[damaged.length >> 1]! ^= 0xff
    for (const other of [damaged, kept.subarray(0, kept.length - 1), Buffer.alloc(0)]) {
      NodeFs.writeFileSync(file, other)
      assert.isFalse(beginsWithIt(), `${other.length} bytes`)
      assert.deepStrictEqual(run(), alone, `${other.length} bytes`)
    }
  })

  it("is built without it where no lesson can be played, and the reason is told", () => {
    const broken = NodePath.join(folder, "broken.mjs")
    NodeFs.writeFileSync(CompiledCode.beside(broken), "of an earlier build")
    NodeFs.writeFileSync(broken, `console.error("no network"); process.exit(3)`)
    assert.throws(() => rehearse(broken), /labfx demo .* ended with 3\nno network/)
    assert.isFalse(NodeFs.existsSync(CompiledCode.beside(broken)))
  })
})
