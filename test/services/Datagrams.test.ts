/** Real sockets: on loopback everywhere, and on whole networks where namespaces can be made. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Queue, Scope } from "effect"
import * as Dgram from "node:dgram"
import { type Datagram, Datagrams } from "../../src/services/Datagrams.ts"
import { layerNode } from "../../src/services/node/DatagramsNode.ts"
import * as Namespaces from "../support/Namespaces.ts"
import * as Processes from "../support/Processes.ts"

const bytesOf = (text: string) => new TextEncoder().encode(text)
const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

/** A socket bound to the port for itself alone, or the code of the error. */
const bindAlone = (port: number) =>
  Effect.callback<Dgram.Socket | string>((resume) => {
    const socket = Dgram.createSocket({ type: "udp4" })
    socket.once("error", (error) => {
      socket.close()
      resume(Effect.succeed((error as NodeJS.ErrnoException).code ?? error.message))
    })
    socket.bind({ address: "0.0.0.0", port, exclusive: true }, () => resume(Effect.succeed(socket)))
  })

const closeSocket = (socket: Dgram.Socket) =>
  Effect.callback<void>((resume) => {
    socket.close(() => resume(Effect.void))
  })

/** What is heard, in order. */
const listen = Effect.fnUntraced(function*(port: number) {
  const datagrams = yield* Datagrams
  const heard = yield* Queue.unbounded<Datagram>()
  yield* datagrams.listen(port, (datagram) => Queue.offerUnsafe(heard, datagram))
  return heard
})

/** A port that nobody uses at this moment. */
const freePort = Effect.gen(function*() {
  const socket = yield* bindAlone(0)
  if (typeof socket === "string") return yield* Effect.die(socket)
  const { port } = socket.address()
  yield* closeSocket(socket)
  return port
})

const loopback = Effect.gen(function*() {
  const datagrams = yield* Datagrams
  return (yield* datagrams.interfaces).filter((one) => one.loopback)
})

const listenerProgram = (port: number) => [`${import.meta.dirname}/../support/datagramsProcess.ts`, "listen", `${port}`]
const listening = (line: unknown) => (line === "listening" ? true : undefined)
const field = <A>(name: string) => (line: unknown) => (line as Record<string, A>)[name]

/** The program in a machine of its own. */
const inside = (machine: string, ...args: ReadonlyArray<string>) =>
  Processes.start("ip", [
    "netns",
    "exec",
    machine,
    process.execPath,
    `${import.meta.dirname}/../support/datagramsProcess.ts`,
    ...args
  ])
const listener = Effect.fnUntraced(function*(machine: string) {
  const process = yield* inside(machine, "listen", "45000")
  yield* process.line(listening)
  return process
})
const host = field<string>("host")

describe("Datagrams", () => {
  describe("on loopback", () => {
    it.live("reaches every listener of the machine, the sender and other processes included", () =>
      Effect.gen(function*() {
        const datagrams = yield* Datagrams
        const port = yield* freePort
        const heard = yield* listen(port)
        const again = yield* listen(port)
        const other = yield* Processes.start(process.execPath, listenerProgram(port))
        yield* other.line(listening)
        assert.strictEqual(yield* datagrams.broadcast(port, bytesOf("hello"), yield* loopback), 1)
        for (const queue of [heard, again]) {
          const { bytes, from } = yield* Queue.take(queue)
          assert.strictEqual(textOf(bytes), "hello")
          assert.strictEqual(from.host, "127.0.0.1")
        }
        assert.strictEqual(yield* other.line(field<string>("text")), "hello")
      }).pipe(Effect.scoped, Effect.provide(layerNode)))

    it.live("says so when another program has the port for itself", () =>
      Effect.gen(function*() {
        const socket = yield* bindAlone(0)
        assert(typeof socket !== "string")
        const { port } = socket.address()
        const error = yield* Effect.flip(listen(port))
        assert.strictEqual(error._tag, "ListenError")
        assert.strictEqual(error.port, port)
        assert.match(error.detail, /EADDRINUSE/)
        yield* closeSocket(socket)
      }).pipe(Effect.scoped, Effect.provide(layerNode)))

    it.live("gives the port back when its scope closes", () =>
      Effect.gen(function*() {
        const port = yield* freePort
        const scope = yield* Scope.make()
        yield* listen(port).pipe(Scope.provide(scope))
        assert.strictEqual(yield* bindAlone(port), "EADDRINUSE")
        yield* Scope.close(scope, Exit.void)
        const socket = yield* bindAlone(port)
        assert(typeof socket !== "string", `${socket}`)
        yield* closeSocket(socket)
      }).pipe(Effect.scoped, Effect.provide(layerNode)))

    it.live("skips addresses that are gone and survives what cannot be sent", () =>
      Effect.gen(function*() {
        const datagrams = yield* Datagrams
        const port = yield* freePort
        const heard = yield* listen(port)
        const [present] = yield* loopback
        const gone = { ...present!, name: "gone0", address: "192.0.2.77", broadcast: "192.0.2.255", loopback: false }
        const unsendable = { ...present!, broadcast: "0.0.0.0.0" }
        assert.strictEqual(yield* datagrams.broadcast(port, bytesOf("a"), [gone]), 0)
        assert.strictEqual(yield* datagrams.broadcast(port, new Uint8Array(70_000), [present!]), 0)
        assert.strictEqual(yield* datagrams.broadcast(port, bytesOf("a"), [unsendable]), 0)
        assert.strictEqual(yield* datagrams.broadcast(port, bytesOf("b"), [gone, present!]), 1)
        assert.strictEqual(textOf((yield* Queue.take(heard)).bytes), "b")
      }).pipe(Effect.scoped, Effect.provide(layerNode)))

    it.live("does not keep what is too long for an announcement", () =>
      Effect.gen(function*() {
        const datagrams = yield* Datagrams
        const port = yield* freePort
        const heard = yield* listen(port)
        yield* datagrams.broadcast(port, new Uint8Array(1_201), yield* loopback)
        yield* datagrams.broadcast(port, new Uint8Array(1_200), yield* loopback)
        assert.strictEqual((yield* Queue.take(heard)).bytes.length, 1_200)
      }).pipe(Effect.scoped, Effect.provide(layerNode)))
  })

  if (Namespaces.unavailable !== undefined) process.stderr.write(`Datagrams on networks: ${Namespaces.unavailable}\n`)
  describe.skipIf(Namespaces.unavailable !== undefined)(
    "on networks",
    () => {
      it.live(
        "reaches two networks without a default route, beside a dead cable and a tunnel",
        () =>
          Effect.gen(function*() {
            const [teacher, one, two] = yield* Effect.all([
              Namespaces.machine,
              Namespaces.machine,
              Namespaces.machine
            ])
            yield* Namespaces.cable([teacher, "eth1", "10.77.1.1/24"], [one, "eth0", "10.77.1.2/24"])
            yield* Namespaces.cable([teacher, "eth2", "10.77.2.1/24"], [two, "eth0", "10.77.2.2/24"])
            yield* Namespaces.cable([teacher, "eth3", "10.77.3.1/24"], [two, "eth1"])
            yield* Namespaces.ip(two, "link set eth1 down")
            yield* Namespaces.cable([teacher, "tun0", "10.78.0.6/32"], [two, "tun1", "10.78.0.1/32"])

            const [first, second, third] = yield* Effect.all([listener(one), listener(one), listener(two)])
            const sender = yield* inside(teacher, "broadcast", "45000", "hello")
            assert.strictEqual(yield* first.line(host), "10.77.1.1")
            assert.strictEqual(yield* second.line(host), "10.77.1.1")
            assert.strictEqual(yield* third.line(host), "10.77.2.1")
            // One by loopback, two forms by each network, though there is no route for 255.255.255.255.
            assert.deepStrictEqual(yield* sender.line((line) => line), { left: 5, interfaces: ["lo", "eth1", "eth2"] })

            // The default route through a tunnel draws nothing to it.
            yield* Namespaces.ip(teacher, "route add default dev tun0")
            yield* Effect.all([first.skip, third.skip])
            assert.strictEqual(yield* first.line(host), "10.77.1.1")
            assert.strictEqual(yield* third.line(host), "10.77.2.1")

            // A network that goes away and comes back with another address.
            yield* Namespaces.ip(teacher, "link set eth2 down")
            yield* sender.line((
              line
            ) => (field<Array<string>>("interfaces")(line)!.includes("eth2") ? undefined : true))
            yield* first.skip
            assert.strictEqual(yield* first.line(host), "10.77.1.1")
            yield* Namespaces.ip(teacher, "addr flush dev eth2")
            yield* Namespaces.ip(teacher, "addr add 10.77.2.9/24 dev eth2")
            yield* Namespaces.ip(teacher, "link set eth2 up")
            assert.strictEqual(
              yield* third.line((line) => (host(line) === "10.77.2.9" ? host(line) : undefined)),
              "10.77.2.9"
            )
          }).pipe(Effect.scoped),
        30_000
      )
    }
  )
})
