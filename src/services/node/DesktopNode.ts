/** The desktop by each system's own opener, started without a shell. */
import { Effect, Layer } from "effect"
import * as NodeChildProcess from "node:child_process"
import * as NodeFs from "node:fs"
import { Desktop } from "../Desktop.ts"
import { OpenRefused } from "../LocalErrors.ts"

const opener = process.platform === "win32"
  // `start` belongs to the shell; the file manager opens addresses and folders alike.
  ? "explorer.exe"
  : process.platform === "darwin"
  ? "open"
  : "xdg-open"

/** Longer than any opener takes to find out that it has no desktop. */
const noticeMs = 700

/**
 * Starts the opener and lets it go its own way. One that fails at once has found no desktop; one that still runs is the
 * browser itself. The file manager of Windows reports a failure always, so its word is not asked for.
 */
const start = (target: string) =>
  Effect.callback<void, OpenRefused>((resume) => {
    const refuse = (detail: string) => resume(Effect.fail(new OpenRefused({ reason: "no-desktop", detail })))
    // What a person gave to labfx in confidence is nothing for a browser and its own children.
    const { LABFX_JOIN_CODE: _, LABFX_SECRET: __, ...env } = process.env
    const child = NodeChildProcess.spawn(opener, [target], { stdio: "ignore", detached: true, env })
    const timer = setTimeout(() => resume(Effect.void), noticeMs)
    child.on("error", (error) => {
      clearTimeout(timer)
      refuse(error.message)
    })
    child.on("exit", (code) => {
      clearTimeout(timer)
      if (code === 0 || process.platform === "win32") resume(Effect.void)
      else refuse(`${opener} ended with ${code}`)
    })
    child.unref()
  })

export const layerNode = Layer.succeed(Desktop, {
  browse: start,
  showFolder: (folder) =>
    Effect.suspend(() =>
      NodeFs.statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true
        ? start(folder)
        : Effect.fail(new OpenRefused({ reason: "not-here", detail: folder }))
    )
})
