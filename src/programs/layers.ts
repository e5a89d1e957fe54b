/** The layer graphs behind the commands: what a teacher's and a student's session are made of. The one place to wire. */
import { Context, Layer } from "effect"
import { Multicast } from "../services/Multicast.ts"
import * as CryptoNode from "../services/node/CryptoNode.ts"
import * as DatagramsNode from "../services/node/DatagramsNode.ts"
import * as DiskNode from "../services/node/DiskNode.ts"
import * as HeapNode from "../services/node/HeapNode.ts"
import * as MachineIdNode from "../services/node/MachineIdNode.ts"
import * as MulticastNode from "../services/node/MulticastNode.ts"
import * as TransportNode from "../services/node/TransportNode.ts"
import { Secrets } from "../services/Secrets.ts"
import type { Session, StudentOptions, TeacherOptions } from "../services/Session.ts"
import * as StudentSession from "../services/StudentSession.ts"
import * as TeacherSession from "../services/TeacherSession.ts"
import type { LabfxError } from "./Problems.ts"

export class Layers extends Context.Service<Layers, {
  readonly teacher: (options: TeacherOptions) => Layer.Layer<Session, LabfxError>
  readonly student: (options: StudentOptions) => Layer.Layer<Session, LabfxError>
  readonly secrets: Layer.Layer<Secrets>
}>()("labfx/programs/Layers") {}

const node = Layer.mergeAll(
  CryptoNode.layerNode,
  DiskNode.layerNode,
  DatagramsNode.layerNode,
  MulticastNode.layerNode,
  TransportNode.layerNode,
  MachineIdNode.layerNode,
  HeapNode.layerNode
)

export const layerNode = Layer.succeed(Layers, {
  teacher: (options) =>
    TeacherSession.layer(options).pipe(
      Layer.provide(options.casts === false ? Layer.merge(node, Multicast.layerNone) : node)
    ),
  student: (options) => StudentSession.layer(options).pipe(Layer.provide(node)),
  secrets: Secrets.layer.pipe(Layer.provide(CryptoNode.layerNode))
})
