/**
 * Preloaded into every labfx of a rehearsal (`rehearse.ts`). The process of the command `LABFX_REHEARSES` leaves in the file
 * `LABFX_KEEPS` what V8 has compiled of the program by its end. Where the file is there already, the process must have begun
 * with it.
 */
import * as NodeFs from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import * as NodeV8 from "node:v8"
import NodeVm, { type ScriptOptions } from "node:vm"
import { encode } from "../src/programs/CompiledCode.ts"

const { LABFX_KEEPS: file = "", LABFX_REHEARSES: command } = process.env

/** As V8 has them when a program begins, before labfx sets them (`HeapNode.ts`): code is taken only under the same flags. */
const flagsOfBeginning = ["--heap-growing-percent=0", "--semi-space-growth-factor=2", "--flush-bytecode"]

NodeVm.Script = class extends NodeVm.Script {
  constructor(text: string, options: ScriptOptions) {
    super(text, options)
    if (NodeFs.existsSync(file) && this.cachedDataRejected !== false) {
      throw new Error(`${file} is not taken: does labfx set a flag of V8 that keepCode.ts does not know?`)
    }
    if (process.argv[2] !== command) return
    // What was called once, or came from the file, stays until the end.
    NodeV8.setFlagsFromString("--no-flush-bytecode")
    process.on("exit", () => {
      for (const flag of flagsOfBeginning) NodeV8.setFlagsFromString(flag)
      // Of several students the last one's stays, whole.
      const temporary = `${file}.${process.pid}`
      NodeFs.writeFileSync(temporary, encode(text, this.createCachedData()))
      NodeFs.renameSync(temporary, file)
    })
  }
}
syncBuiltinESMExports()
