/** Where labfx keeps things unless told otherwise, by each system's own custom. */
import * as NodePath from "node:path"

export interface System {
  readonly platform: string
  readonly home: string
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly folderExists: (path: string) => boolean
}

const pathOf = ({ platform }: System) => platform === "win32" ? NodePath.win32 : NodePath.posix

/** Keys, pins and unfinished downloads. Teacher and student have one each, so that both run on one machine. */
export const state = (system: System, role: "teacher" | "student"): string => {
  const { environment, home, platform } = system
  const path = pathOf(system)
  const base = platform === "win32"
    ? environment["LOCALAPPDATA"] ?? path.join(home, "AppData", "Local")
    : platform === "darwin"
    ? path.join(home, "Library", "Application Support")
    // The specification has relative paths ignored.
    : environment["XDG_STATE_HOME"]?.startsWith("/") === true
    ? environment["XDG_STATE_HOME"]
    : path.join(home, ".local", "state")
  return path.join(base, "labfx", role)
}

/** What students receive: visible, where downloads are looked for. */
export const downloads = (system: System): string => {
  const path = pathOf(system)
  const folder = path.join(system.home, "Downloads")
  return path.join(system.folderExists(folder) ? folder : system.home, "labfx")
}

/**
 * A path as a person types it into labfx rather than into a shell: `~` is the home folder, and where `\` is no separator
 * it escapes, as terminals write it when a file is dropped onto them.
 */
export const typed = (system: System, workingFolder: string, text: string): string => {
  const path = pathOf(system)
  const plain = system.platform === "win32" ? text : text.replace(/\\(.)/g, "$1")
  const expanded = plain === "~" ? system.home : /^~[\\/]/.test(plain) ? path.join(system.home, plain.slice(2)) : plain
  return path.resolve(workingFolder, expanded)
}
