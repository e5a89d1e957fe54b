/**
 * Leaves beside a built program what V8 compiles of it in a lesson (decision 0080).
 *
 *     node scripts/rehearse.ts dist/labfx.mjs
 *
 * Two demonstrations, for the functions that a teacher's process calls and then, beginning with these, a student's. Without
 * the file labfx works as well, so a machine on which no lesson can be played gets none, and is told why.
 */
import { spawnSync } from "node:child_process"
import * as NodeFs from "node:fs"
import * as NodePath from "node:path"
import { pathToFileURL } from "node:url"
import { beside } from "../src/programs/CompiledCode.ts"

const preloaded = pathToFileURL(NodePath.join(import.meta.dirname, "keepCode.ts")).href
const withinMs = 60_000

/** Where the code of the program at `path` was left; fails with the reason if it was not. */
export const rehearse = (path: string): string => {
  const program = NodePath.resolve(path)
  const file = beside(program)
  NodeFs.rmSync(file, { force: true })
  const run = (command: string, ...args: ReadonlyArray<string>): void => {
    const { error, signal, status, stderr, stdout } = spawnSync(
      process.execPath,
      ["--import", preloaded, program, ...args],
      {
        encoding: "utf8",
        env: { ...process.env, LABFX_REHEARSES: command, LABFX_KEEPS: file },
        stdio: ["ignore", "pipe", "pipe"],
        timeout: withinMs
      }
    )
    if (status !== 0) {
      throw error ?? new Error(`labfx ${args.join(" ")} ended with ${signal ?? status}\n${stdout}${stderr}`)
    }
  }
  try {
    run("teacher", "demo", "--students", "2")
    run("student", "demo", "--students", "2")
    run("nobody", "--version")
  } catch (error) {
    NodeFs.rmSync(file, { force: true })
    throw error
  }
  return file
}

if (import.meta.main) {
  try {
    const file = rehearse(process.argv[2] ?? "dist/labfx.mjs")
    console.log(`${file}: ${(NodeFs.statSync(file).size / 1e6).toFixed(1)} MB`)
  } catch (error) {
    console.warn(`labfx will compile itself at each start: ${String(error)}`)
  }
}
