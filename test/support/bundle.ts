/**
 * The program as it is shipped, built once for a whole run of the tests: before the first of them begins, and again before
 * a rerun. They get its path by `inject("program")`.
 */
import * as NodeFs from "node:fs"
import * as NodeOs from "node:os"
import * as NodePath from "node:path"
import { rolldown } from "rolldown"
import type { TestProject } from "vitest/node"
import config from "../../rolldown.config.ts"

declare module "vitest" {
  interface ProvidedContext {
    readonly program: string
  }
}

/** Complete when the file is. */
export const bundle = async (file: string): Promise<void> => {
  const { output, ...input } = config as { readonly output: object }
  const built = await rolldown(input)
  await built.write({ ...output, file })
  await built.close()
}

/** Vitest's `globalSetup`. */
export default async (project: TestProject) => {
  const folder = NodeFs.mkdtempSync(NodePath.join(NodeOs.tmpdir(), "labfx-program-"))
  const program = NodePath.join(folder, "labfx.mjs")
  await bundle(program)
  project.onTestsRerun(() => bundle(program))
  project.provide("program", program)
  return () => NodeFs.rmSync(folder, { recursive: true })
}
