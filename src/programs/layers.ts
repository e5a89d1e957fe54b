/** The layer graphs behind the commands: what a teacher's and a student's session are made of. The one place to wire. */
import { Context, Effect, Layer, type Redacted } from "effect"
import type { PublicKey } from "../protocol/Ids.ts"
import { Session, type StudentOptions, type TeacherOptions } from "../services/Session.ts"
import type { LabfxError } from "./Problems.ts"

export interface Secret {
  /** What the teacher keeps: a phrase, or the line of a key file. */
  readonly text: Redacted.Redacted
  readonly publicKey: PublicKey
  /** The fingerprint: six words to compare. */
  readonly words: string
}

export class Layers extends Context.Service<Layers, {
  readonly teacher: (options: TeacherOptions) => Layer.Layer<Session, LabfxError>
  readonly student: (options: StudentOptions) => Layer.Layer<Session, LabfxError>
  /** The root key's seed of a secret, be it a phrase or a key. Weak ones are refused unless allowed. */
  readonly secretSeed: (text: Redacted.Redacted, allowWeak: boolean) => Effect.Effect<Uint8Array, LabfxError>
  readonly makeSecret: (kind: "key" | "phrase") => Effect.Effect<Secret, LabfxError>
}>()("labfx/programs/Layers") {}

export const layerNode = Layer.succeed(Layers, {
  teacher: () => Layer.effect(Session, Effect.die("the session is not wired yet")),
  student: () => Layer.effect(Session, Effect.die("the session is not wired yet")),
  secretSeed: () => Effect.die("secrets are not wired yet"),
  makeSecret: () => Effect.die("secrets are not wired yet")
})
