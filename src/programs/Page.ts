/** The page and the local API beside a session. What they are made of is loaded only when a session runs. */
import { Effect, type Scope } from "effect"
import type { PageUnavailable } from "../services/LocalErrors.ts"
import type { Starting } from "../services/LocalServer.ts"
import type { Session } from "../services/Session.ts"
import { Machine } from "./Machine.ts"
import * as Phrasing from "./Phrasing.ts"
import * as Problems from "./Problems.ts"
import { Streams } from "./Streams.ts"

export interface ServedOptions {
  /** 0 lets the system choose. */
  readonly uiPort: number
  readonly isTeacher: boolean
  readonly name: string
  readonly stateFolder: string
  /** For the start page. */
  readonly starting?: Starting
}

export interface PageOptions extends ServedOptions {
  readonly noUi: boolean
  readonly json: boolean
}

/** Serves the page until the scope closes, and says at a terminal where it is. */
const serve = Effect.fnUntraced(function*(options: PageOptions) {
  const { localServer } = yield* Effect.promise(() => import("./Serving.ts"))
  const machine = yield* Machine
  const streams = yield* Streams
  const server = yield* localServer(options, machine.resolveTyped)
  if (options.json || !streams.outIsTerminal) return
  streams.write(`The page: ${yield* server.link} (opens once; labfx open shows it again)\n`)
})

/** Sends counters and traces of a session where the standard variables of OpenTelemetry say, if they do. */
export const withTelemetry = <A, E, R>(attended: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | Machine> =>
  Effect.gen(function*() {
    const { environment } = yield* Machine
    if (!Object.keys(environment).some((name) => name.startsWith("OTEL_EXPORTER_OTLP"))) return yield* attended
    const { telemetry } = yield* Effect.promise(() => import("./Telemetry.ts"))
    return yield* Effect.provide(attended, telemetry)
  })

/** Runs a session with its page. Without one it goes on, unless the page was asked for at a certain port. */
export const withPage = <A, E, R>(
  options: PageOptions,
  attended: Effect.Effect<A, E, R>
): Effect.Effect<A, E | PageUnavailable, Exclude<R, Scope.Scope> | Session | Machine | Streams> =>
  Effect.gen(function*() {
    const streams = yield* Streams
    if (!options.noUi) {
      yield* Effect.catchIf(
        serve(options),
        () => options.uiPort === 0,
        (error) =>
          Effect.sync(() =>
            streams.complain(Phrasing.problem(Problems.explain(error)).map(({ text }) => `${text}\n`).join(""))
          )
      )
    }
    return yield* withTelemetry(attended)
  }).pipe(Effect.scoped)
