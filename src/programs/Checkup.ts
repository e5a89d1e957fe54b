/** Gathers what {@link Diagnosis} tells from: listens for a few seconds, sends one datagram by each interface, and looks around. */
import { Clock, Effect, Layer } from "effect"
import * as NodeFs from "node:fs"
import * as NodeNet from "node:net"
import * as NodeOs from "node:os"
import { broadcasting } from "../protocol/Interfaces.ts"
import { usualPort } from "../protocol/Wire.ts"
import { Crypto } from "../services/Crypto.ts"
import { Datagrams } from "../services/Datagrams.ts"
import { Discovery } from "../services/Discovery.ts"
import { Disk } from "../services/Disk.ts"
import * as CryptoNode from "../services/node/CryptoNode.ts"
import * as DatagramsNode from "../services/node/DatagramsNode.ts"
import * as DiskNode from "../services/node/DiskNode.ts"
import type { Answer, Facts } from "./Diagnosis.ts"
import { program } from "./program.ts"

/** Every session in reach is announced once a second; three turns are enough on a bad Wi-Fi as well. */
const listenMs = 3_000
const connectWithinMs = 1_500
/** Devices that are tried: a room of fifty need not be called one by one. */
const triedMax = 8

const connect = (host: string, port: number) =>
  Effect.callback<Answer>((resume) => {
    const socket = NodeNet.connect({ host, port })
    const end = (answer: Answer) => {
      socket.destroy()
      resume(Effect.succeed(answer))
    }
    socket.setTimeout(connectWithinMs, () => end("silent"))
    socket.on("connect", () => end("connected"))
    socket.on("error", (error: NodeJS.ErrnoException) =>
      end(
        error.code === "ECONNREFUSED" || error.code === "ECONNRESET"
          ? "refused"
          : error.code === "ETIMEDOUT" || error.code === "EPERM"
          ? "silent"
          : "unreachable"
      ))
  })

const portProblem = (port: number) =>
  Effect.callback<string | undefined>((resume) => {
    const server = NodeNet.createServer()
    server.on("error", (error: NodeJS.ErrnoException) => resume(Effect.succeed(error.code ?? error.message)))
    server.listen(port, () => server.close(() => resume(Effect.succeed(undefined))))
  })

/** Linux tells in a file; elsewhere a tunnel shows by its interface. */
const defaultRoute = Effect.sync((): string | undefined => {
  try {
    const routes = NodeFs.readFileSync("/proc/net/route", "utf8").split("\n").slice(1).map((line) => line.split("\t"))
    const found = routes.filter(([, destination]) => destination === "00000000")
      .toSorted((a, b) => Number(a[6]) - Number(b[6]))
    return found[0]?.[0]
  } catch {
    return undefined
  }
})

const system = () => {
  try {
    return NodeOs.networkInterfaces() as Parameters<typeof broadcasting>[0]
  } catch {
    return {}
  }
}

/** The nearest folder that exists: where the wanted one would be made. */
const existing = (path: string): string => {
  const parent = path.replace(/[\\/]+[^\\/]*$/, "")
  return NodeFs.existsSync(path) || parent === path || parent === "" ? path : existing(parent)
}

const folderFacts = (path: string) =>
  Effect.gen(function*() {
    const disk = yield* Disk
    const folder = existing(path)
    const probe = `${folder}/.labfx-doctor-${process.pid}`
    const freeBytes = yield* Effect.orElseSucceed(disk.freeBytes(folder), () => undefined)
    const problem = yield* disk.appendFile(probe, new Uint8Array(0)).pipe(
      Effect.as(undefined),
      Effect.catch((error) => Effect.succeed(error.reason === "full" ? undefined : error.detail)),
      Effect.ensuring(Effect.ignore(disk.remove(probe)))
    )
    return { path, freeBytes, problem }
  })

/** Looks at this machine and the network around it. Takes a few seconds and changes nothing. */
export const facts = Effect.fnUntraced(function*(
  options: { readonly discoveryPort: number; readonly folders: ReadonlyArray<string> }
) {
  const datagrams = yield* Datagrams
  const discovery = yield* Discovery
  const crypto = yield* Crypto
  const { discoveryPort } = options
  const interfaces = (yield* datagrams.interfaces).filter(({ loopback }) => !loopback)
  const withBroadcast = new Set(interfaces.map(({ name }) => name))

  // What every labfx in reach drops at its first byte: it only has to come back.
  const mark = crypto.sha256Text(yield* crypto.randomBytes(16)).slice(0, 16)
  const encoder = new TextEncoder()
  const back = new Set<string>()
  const listening = yield* datagrams.listen(discoveryPort, ({ bytes }) => back.add(new TextDecoder().decode(bytes)))
    .pipe(
      Effect.as(undefined),
      Effect.catchTag("ListenError", ({ detail }) => Effect.succeed(detail))
    )
  const echoes = yield* Effect.forEach(
    interfaces,
    (from) =>
      Effect.map(datagrams.broadcast(discoveryPort, encoder.encode(`doctor ${mark} ${from.name}`), [from]), (left) => ({
        name: from.name,
        left: left > 0
      }))
  )
  yield* Effect.sleep(listenMs)

  const own = new Set(interfaces.map(({ address }) => address))
  const sighted = (yield* discovery.sighted)
    // The host first, and other machines before this one.
    .toSorted((a, b) => Number(own.has(a.address.host)) - Number(own.has(b.address.host)))
  const sessions = yield* Effect.forEach(
    sighted.slice(0, triedMax),
    ({ address, certificate }) =>
      Effect.map(connect(address.host, address.port), (answer) => ({
        title: certificate.certificate.title,
        address: `${address.host}:${address.port}`,
        answer
      })),
    { concurrency: "unbounded" }
  )
  const found: Facts = {
    program,
    node: process.versions.node,
    nodeSupported: Number(process.versions.node.split(".")[0]) >= 20,
    interfaces,
    withoutBroadcast: Object.entries(system())
      .filter(([name, addresses]) =>
        !withBroadcast.has(name) && addresses?.some(({ family, internal }) => family === "IPv4" && !internal) === true
      )
      .map(([name]) => name),
    discoveryPort,
    listening,
    echoes: echoes.map((echo) => ({ ...echo, heard: back.has(`doctor ${mark} ${echo.name}`) })),
    sessions,
    otherVersions: yield* discovery.otherVersions,
    defaultRoute: yield* defaultRoute,
    linkPort: yield* portProblem(usualPort),
    folders: yield* Effect.forEach(options.folders, folderFacts),
    clockMs: yield* Clock.currentTimeMillis
  }
  return found
}, (effect, options) =>
  effect.pipe(
    Effect.scoped,
    Effect.provide(
      Discovery.layer({ port: options.discoveryPort }).pipe(
        Layer.provideMerge(Layer.mergeAll(DatagramsNode.layerNode, CryptoNode.layerNode, DiskNode.layerNode))
      )
    )
  ))
