/** The local API over a session of which the test is the network, and requests as anybody on this machine could make them. */
import { Effect, Layer } from "effect"
import * as NodeHttp from "node:http"
import { Desktop } from "../../src/services/Desktop.ts"
import { LocalServer, type LocalServerOptions } from "../../src/services/LocalServer.ts"
import * as CryptoNode from "../../src/services/node/CryptoNode.ts"
import * as DiskNode from "../../src/services/node/DiskNode.ts"
import * as LocalServerNode from "../../src/services/node/LocalServerNode.ts"
import type { Session } from "../../src/services/Session.ts"

export interface Answer {
  readonly status: number
  readonly headers: NodeHttp.IncomingHttpHeaders
  readonly body: string
}

export interface Asked {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}

/** One request, headers exactly as given. */
export const ask = (port: number, path: string, { body, headers = {}, method = "GET" }: Asked = {}) =>
  Effect.callback<Answer>((resume) => {
    const request = NodeHttp.request({ host: "127.0.0.1", port, path, method, headers: { ...headers } }, (response) => {
      const parts: Array<Buffer> = []
      response.on("data", (part: Buffer) => parts.push(part))
      response.on("end", () =>
        resume(Effect.succeed({
          status: response.statusCode!,
          headers: response.headers,
          body: Buffer.concat(parts).toString("utf8")
        })))
    })
    request.on("error", (error) => resume(Effect.die(error)))
    request.end(body)
    // Whoever stops waiting for an answer hangs up, as a page does that is closed.
    return Effect.sync(() => void request.destroy())
  })

/** The beginning of an endless answer: as much as the test wants to see. */
export const beginning = (port: number, path: string, headers: Readonly<Record<string, string>>, until: RegExp) =>
  Effect.callback<string>((resume) => {
    let text = ""
    const request = NodeHttp.request({ host: "127.0.0.1", port, path, headers: { ...headers } }, (response) => {
      response.setEncoding("utf8").on("data", (part: string) => {
        text += part
        if (!until.test(text)) return
        request.destroy()
        resume(Effect.succeed(text))
      })
    })
    request.on("error", (error) => resume(Effect.die(error)))
    request.end()
  })

export const page = {
  html: "<!doctype html><title>page</title>",
  script: "/* script */",
  style: "/* style */"
}

/** What was shown on the desktop. */
export const makeDesktop = () => {
  const shown: Array<string> = []
  return {
    shown,
    layer: Layer.succeed(Desktop, {
      browse: (target) => Effect.sync(() => void shown.push(target)),
      showFolder: (folder) => Effect.sync(() => void shown.push(folder))
    })
  }
}

export const serve = (
  session: Layer.Layer<Session>,
  options: Partial<LocalServerOptions> & { readonly stateFolder: string },
  desktop: Layer.Layer<Desktop> = makeDesktop().layer
) =>
  LocalServer.layer({
    isTeacher: true,
    name: "Ms Ada",
    program: "labfx 0",
    resolvePath: (typed) => typed,
    page,
    ...options
  }).pipe(
    Layer.provide([session, desktop, LocalServerNode.layerNode(0)]),
    Layer.provideMerge(Layer.mergeAll(DiskNode.layerNode, CryptoNode.layerNode))
  )
