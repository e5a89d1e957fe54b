/** The machine a command runs on, as far as its defaults and its files go. */
import { Context, Effect, Layer } from "effect"
import * as NodeFs from "node:fs"
import * as NodeOs from "node:os"
import * as NodePath from "node:path"
import { DiskError } from "../services/Disk.ts"
import * as Folders from "./Folders.ts"

export class Machine extends Context.Service<Machine, {
  readonly hostname: string
  /** The name the person has on this machine, where the system tells. */
  readonly user: string | undefined
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly stateFolder: (role: "teacher" | "student") => string
  readonly downloadFolder: string
  /** A path from the command line, made absolute. */
  readonly resolve: (path: string) => string
  /** The path somebody means by a text typed into labfx, where no shell has expanded it. */
  readonly resolveTyped: (typed: string) => string
  /** The beginning of a small text file; undefined if it cannot be read. */
  readonly readText: (path: string) => Effect.Effect<string | undefined>
  /** Makes a folder, and those it lies in, that only this user can look into; one that is there stays as it is. */
  readonly makeFolder: (path: string) => Effect.Effect<void, DiskError>
  /** Writes a new file that only this user can read; whatever has the name already is left as it is. */
  readonly createSecretFile: (path: string, text: string) => Effect.Effect<void, DiskError>
}>()("labfx/programs/Machine") {}

/** More than any file that a flag may name: a key, a list of keys. */
const textBytesMax = 64 * 1024

const diskReasons: Readonly<Record<string, DiskError["reason"]>> = {
  EEXIST: "exists",
  ENOENT: "not-found",
  ENOSPC: "full",
  EROFS: "read-only",
  EACCES: "permission",
  EPERM: "permission",
  ENOTDIR: "not-a-directory",
  EISDIR: "is-a-directory"
}

const attempt = (path: string, act: () => void) =>
  Effect.try({
    try: act,
    catch: (error) => {
      const { code = "", message } = error as NodeJS.ErrnoException
      return new DiskError({ reason: diskReasons[code] ?? "io", path, detail: message })
    }
  })

/** Users without an entry in the system's list of them have no name. */
const userName = (): string | undefined => {
  try {
    return NodeOs.userInfo().username
  } catch {
    return undefined
  }
}

export const layerNode = Layer.sync(Machine, () => {
  const system: Folders.System = {
    platform: process.platform,
    home: NodeOs.homedir(),
    environment: process.env,
    folderExists: (path) => NodeFs.statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
  }
  return Machine.of({
    hostname: NodeOs.hostname(),
    user: userName(),
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
      }),
    makeFolder: (path) => attempt(path, () => void NodeFs.mkdirSync(path, { recursive: true, mode: 0o700 })),
    createSecretFile: (path, text) =>
      attempt(path, () => NodeFs.writeFileSync(path, text, { flag: "wx", mode: 0o600, flush: true }))
  })
})
