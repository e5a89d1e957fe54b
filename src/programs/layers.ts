/** The layer graphs behind the commands: what a teacher's and a student's session are made of. The one place to wire. */
import { Context, Effect, Layer } from "effect"
import * as CryptoNode from "../services/node/CryptoNode.ts"
import { Secrets } from "../services/Secrets.ts"
import { Session, type StudentOptions, type TeacherOptions } from "../services/Session.ts"
import type { LabfxError } from "./Problems.ts"

export class Layers extends Context.Service<Layers, {
  readonly teacher: (options: TeacherOptions) => Layer.Layer<Session, LabfxError>
  readonly student: (options: StudentOptions) => Layer.Layer<Session, LabfxError>
  readonly secrets: Layer.Layer<Secrets>
}>()("labfx/programs/Layers") {}

export const layerNode = Layer.succeed(Layers, {
  teacher: () => Layer.effect(Session, Effect.die("the session is not wired yet")),
  student: () => Layer.effect(Session, Effect.die("the session is not wired yet")),
  secrets: Secrets.layer.pipe(Layer.provide(CryptoNode.layerNode))
})
