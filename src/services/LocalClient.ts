/** The local API as the other commands call it: finds the running session of this user and speaks to it with its key. */
import { Effect } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { HttpApiClient } from "effect/http-api"
import { LocalApi } from "./LocalApi.ts"
import { NothingRunning } from "./LocalErrors.ts"
import * as Running from "./Running.ts"

const client = (running: Running.Running) =>
  HttpApiClient.make(LocalApi, {
    baseUrl: `http://127.0.0.1:${running.port}`,
    transformClient: HttpClient.mapRequest(HttpClientRequest.bearerToken(running.key))
  })

export type LocalClient = Effect.Success<ReturnType<typeof client>>

/** How long a process on this machine may take to answer. */
const answerWithinMs = 3_000

/**
 * The session running from one of these state folders; the first that answers to its key. A file left behind by a kill
 * names a port that nobody listens on, or where another program does not know the key.
 */
export const connect = Effect.fnUntraced(function*(stateFolders: ReadonlyArray<string>) {
  for (const stateFolder of stateFolders) {
    const running = yield* Running.read(stateFolder)
    if (running === undefined) continue
    const found = yield* client(running)
    const answers = yield* found.state().pipe(
      Effect.timeout(answerWithinMs),
      Effect.as(true),
      Effect.catch(() => Effect.succeed(false))
    )
    if (answers) return { client: found, running, stateFolder }
  }
  return yield* new NothingRunning({ reason: "none", detail: stateFolders.join(", ") })
})
