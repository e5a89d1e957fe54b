/** What the commands that act on a running session share: they find it, ask it, and tell what came of it. */
import { Effect, Layer, Option } from "effect"
import { FetchHttpClient } from "effect/http"
import * as LocalClient from "../services/LocalClient.ts"
import { NothingRunning } from "../services/LocalErrors.ts"
import * as DesktopNode from "../services/node/DesktopNode.ts"
import * as DiskNode from "../services/node/DiskNode.ts"
import { Machine } from "./Machine.ts"
import { isLabfxError, type LabfxError } from "./Problems.ts"

const services = Layer.mergeAll(FetchHttpClient.layer, DiskNode.layerNode, DesktopNode.layerNode)

export type Attached = Effect.Success<ReturnType<typeof LocalClient.connect>>

/** Where to look: the folder that was named, else the teacher's and the student's own. */
const foldersOf = (state: Option.Option<string>) =>
  Effect.map(Machine, (machine) =>
    Option.match(state, {
      onNone: () => [machine.stateFolder("teacher"), machine.stateFolder("student")],
      onSome: (folder) => [machine.resolve(folder)]
    }))

/** Acts on the running session of this user. What the session refuses is told as it would be in its own terminal. */
export const withRunning = <A, E, R>(
  state: Option.Option<string>,
  use: (attached: Attached) => Effect.Effect<A, E, R>
) =>
  foldersOf(state).pipe(
    Effect.flatMap(LocalClient.connect),
    Effect.flatMap(use),
    Effect.mapError((error): LabfxError =>
      isLabfxError(error) ? error : new NothingRunning({ reason: "stopped-answering", detail: String(error) })
    ),
    Effect.provide(services)
  )
