/**
 * `labfx` as it is shipped: one file, in which the program is a text that V8 compiles, function by function as they are
 * called. Where the build has left beside it what V8 compiled before, that is not compiled again: the program starts in
 * two thirds of the time, and the first share of a lesson finds code that is ready (decision 0080).
 */
import * as NodeFs from "node:fs"
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"
import { Script } from "node:vm"
import * as CompiledCode from "./CompiledCode.ts"
import { programText } from "./programText.ts"

const path = fileURLToPath(import.meta.url)

const compiled = (): Buffer | undefined => {
  try {
    return CompiledCode.decode(programText, NodeFs.readFileSync(CompiledCode.beside(path)))
  } catch {
    // Whoever has copied the one file alone.
    return undefined
  }
}

const script = new Script(programText, { filename: path, cachedData: compiled() })
script.runInThisContext()(createRequire(import.meta.url), path)
