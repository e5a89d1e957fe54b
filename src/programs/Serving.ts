/** What the local API and the page are made of on this machine. */
import { Context, Effect, Layer } from "effect"
import { PageUnavailable } from "../services/LocalErrors.ts"
import { LocalServer } from "../services/LocalServer.ts"
import * as CryptoNode from "../services/node/CryptoNode.ts"
import * as DesktopNode from "../services/node/DesktopNode.ts"
import * as DiskNode from "../services/node/DiskNode.ts"
import * as LocalServerNode from "../services/node/LocalServerNode.ts"
import type { ServedOptions } from "./Page.ts"
import { pageFiles } from "./pageFiles.ts"
import { program } from "./program.ts"

/** Serves the running session until the scope closes. */
export const localServer = Effect.fnUntraced(function*(options: ServedOptions, resolvePath: (typed: string) => string) {
  const page = yield* Effect.promise(pageFiles)
  const services = yield* Layer.build(
    LocalServer.layer({ ...options, program, resolvePath, page }).pipe(
      Layer.provide([LocalServerNode.layerNode(options.uiPort), CryptoNode.layerNode, DesktopNode.layerNode]),
      Layer.provide(DiskNode.layerNode)
    )
  ).pipe(Effect.catchTag("DiskError", ({ detail }) => new PageUnavailable({ port: options.uiPort, detail })))
  return Context.get(services, LocalServer)
})
