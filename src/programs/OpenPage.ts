/** Shows the page in the person's browser without showing the link to anybody else. */
import { Effect } from "effect"
import { Desktop } from "../services/Desktop.ts"
import { Disk } from "../services/Disk.ts"
import * as DesktopNode from "../services/node/DesktopNode.ts"
import * as DiskNode from "../services/node/DiskNode.ts"

/**
 * Opens a link by way of a file that only this user can read and that leads to it: arguments of a process are there for
 * every user of the machine to see, and the first to open the link would be let in.
 */
export const openPage = Effect.fnUntraced(function*(stateFolder: string, url: string) {
  const disk = yield* Disk
  const desktop = yield* Desktop
  const path = `${stateFolder}/page.html`
  const body =
    `<!doctype html><meta charset="utf-8"><title>labfx</title><meta http-equiv="refresh" content="0;url=${url}">`
  yield* disk.replaceFile(path, new TextEncoder().encode(body))
  yield* desktop.browse(path)
})

/** The same from a command that has nothing of the desktop with it. */
export const showPage = (stateFolder: string, url: string) =>
  openPage(stateFolder, url).pipe(Effect.provide([DesktopNode.layerNode, DiskNode.layerNode]))
