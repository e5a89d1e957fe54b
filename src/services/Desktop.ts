/** The desktop of the person who runs labfx: its browser and its file manager. */
import { Context, type Effect } from "effect"
import type { OpenRefused } from "./LocalErrors.ts"

export class Desktop extends Context.Service<Desktop, {
  /** Opens a local file or an address with the person's browser. Completes when that was started. */
  readonly browse: (target: string) => Effect.Effect<void, OpenRefused>
  /** Shows a folder. Never runs or opens a file: what arrived from the network is only shown where it lies. */
  readonly showFolder: (folder: string) => Effect.Effect<void, OpenRefused>
}>()("labfx/services/Desktop") {}
