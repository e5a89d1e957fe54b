/** The machine a command runs on, as far as its defaults and its files go. */
import { Context, Effect, Layer } from "effect"
import * as NodeFs from "node:fs"
import * as NodeOs from "node:os"
import * as NodePath from "node:path"
import * as Folders from "./Folders.ts"

export class Machine extends Context.Service<Machine, {
  readonly hostname: string
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly stateFolder: (role: "teacher" | "student") => string
  readonly downloadFolder: string
  /** A path from the command line, made absolute. */
  readonly resolve: (path: string) => string
  /** The path somebody means by a text typed into labfx, where no shell has expanded it. */
  readonly resolveTyped: (typed: string) => string
  /** The beginning of a small text file; undefined if it cannot be read. */
  readonly readText: (path: string) => Effect.Effect<string | undefined>
}>()("labfx/programs/Machine") {}

/** More than any file that a flag may name: a key, a list of keys. */
const textBytesMax = 64 * 1024

export const layerNode = Layer.sync(Machine, () => {
  const system: Folders.System = {
    platform: process.platform,
    home: NodeOs.homedir(),
    environment: process.env,
    folderExists: (path) => NodeFs.statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
  }
  return Machine.of({
    hostname: NodeOs.hostname(),
    environment: process.env,
    stateFolder: (role) => Folders.state(system, role),
    downloadFolder: Folders.downloads(system),
    resolve: (path) => NodePath.resolve(path),
    resolveTyped: (typed) => Folders.typed(system, process.cwd(), typed),
    readText: (path) =>
      Effect.sync(() => {
        try {
          const file = NodeFs.openSync(path, "r")
          try {
            const buffer = Buffer.alloc(textBytesMax)
            return buffer.toString("utf8", 0, NodeFs.readSync(file, buffer, 0, textBytesMax, 0))
          } finally {
            NodeFs.closeSync(file)
          }
        } catch {
          return undefined
        }
      })
  })
})
