/** The HTTP server under the local API, on 127.0.0.1 and nowhere else. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer } from "effect"
import { HttpServer } from "effect/http"
import * as NodeHttp from "node:http"
import { PageUnavailable } from "../LocalErrors.ts"

/** A 2 GB file from a slow USB disk, dropped onto the page. */
const requestTimeoutMs = 60 * 60_000

/** Listens on `port`; 0 lets the system choose. */
export const layerNode = (port: number) =>
  Layer.effect(
    HttpServer.HttpServer,
    Effect.gen(function*() {
      const server = NodeHttp.createServer({ requestTimeout: requestTimeoutMs })
      const made = yield* NodeHttpServer.make(() => server, {
        host: "127.0.0.1",
        port,
        // Pages follow the live state for as long as they are open: nothing would ever be quiet enough to wait for.
        disablePreemptiveShutdown: true
      }).pipe(Effect.mapError(({ cause }) => new PageUnavailable({ port, detail: (cause as Error).message })))
      yield* Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections()))
      return made
    })
  )
