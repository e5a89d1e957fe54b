/**
 * {@link Datagrams} over node:dgram.
 *
 * What the systems do with a broadcast, and what follows from it:
 *
 * - Linux (measured): 255.255.255.255 from an unbound socket fails without a default route and leaves by one interface
 *   only with one. From a socket bound to an interface's address it leaves by that interface, whatever the routes.
 * - macOS (documented): 255.255.255.255 follows the default route even then, but the directed broadcast address of a
 *   network always leaves by that network. So both are sent.
 * - Windows (documented): as Linux, for sources select interfaces there; some drivers drop one of the two forms.
 * - `reuseAddr` is SO_REUSEADDR on Linux and Windows and SO_REUSEPORT on macOS: in each case all sockets bound to the
 *   port hear a broadcast, also those of other processes.
 * - Loopback has a broadcast address on Linux only by its netmask, 127.255.255.255, which all local listeners hear.
 *   Where a system does not have it, processes of one machine still hear each other by any other interface.
 */
import { Cause, Deferred, Effect, Layer, Metric, Semaphore } from "effect"
import type * as Dgram from "node:dgram"
import type { InterfaceAddress } from "../../protocol/Interfaces.ts"
import * as Limits from "../../protocol/Limits.ts"
import { type Datagram, Datagrams, ListenError } from "../Datagrams.ts"
import { bound, close, interfaces } from "./UdpNode.ts"

const unsent = Metric.counter("labfx_datagrams_unsent", {
  description: "Datagrams that could not leave, by the system's reason",
  incremental: true
})

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : String(error)

const listen = Effect.fnUntraced(function*(port: number, hear: (datagram: Datagram) => void) {
  const ready = yield* Deferred.make<void, ListenError>()
  const socket = Effect.gen(function*() {
    const socket = yield* Effect.acquireRelease(
      Effect.mapError(
        bound({ type: "udp4", reuseAddr: true }, "0.0.0.0", port),
        (error) => new ListenError({ port, detail: error.message })
      ),
      (socket) => Effect.sync(() => close(socket))
    )
    yield* Deferred.succeed(ready, undefined)
    yield* Effect.callback<void>((resume) => {
      socket.on("message", (bytes, { address, port }) => {
        if (bytes.length <= Limits.datagramBytesMax) hear({ bytes, from: { host: address, port } })
      })
      socket.on("error", () => resume(Effect.void))
    })
  })
  // After an error node reads no further from a socket, so it is replaced, until the scope closes.
  yield* socket.pipe(
    Effect.scoped,
    Effect.catchTag("ListenError", (error) => Deferred.fail(ready, error)),
    Effect.andThen(Effect.sleep("1 second")),
    Effect.forever,
    Effect.forkScoped
  )
  yield* Deferred.await(ready)
})

/** How long a datagram may take to leave: it does so at once, or not at all. */
const leavesWithinMs = 1_000

/** Why datagrams did not leave: nothing for each that did. */
const sendAll = (socket: Dgram.Socket, bytes: Uint8Array, port: number, targets: ReadonlyArray<string>) =>
  Effect.callback<ReadonlyArray<unknown>>((resume) => {
    const faults: Array<unknown> = []
    let waiting = targets.length
    const end = () => {
      clearTimeout(patience)
      resume(Effect.succeed(faults))
    }
    const patience = setTimeout(() => {
      for (; waiting > 0; waiting--) faults.push(new Error("it did not leave in time"))
      end()
    }, leavesWithinMs)
    for (const target of targets) {
      socket.send(bytes, port, target, (error) => {
        if (error !== null) faults.push(error)
        if (--waiting === 0) end()
      })
    }
    return Effect.sync(() => clearTimeout(patience))
  })

const make = Effect.gen(function*() {
  /** Sockets to send from, by their own address; used one broadcast at a time. */
  const senders = new Map<string, Dgram.Socket>()
  const one = yield* Semaphore.make(1)

  const forget = (address: string) => {
    const socket = senders.get(address)
    senders.delete(address)
    if (socket !== undefined) close(socket)
  }
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const address of senders.keys()) forget(address)
    })
  )

  const senderOf = Effect.fnUntraced(function*(address: string) {
    const present = senders.get(address)
    if (present !== undefined) return present
    const socket = yield* bound({ type: "udp4" }, address, 0)
    socket.on("error", () => forget(address))
    senders.set(address, socket)
    socket.setBroadcast(true)
    return socket
  })

  /** How many datagrams left by one interface. */
  const broadcastFrom = Effect.fnUntraced(function*(port: number, bytes: Uint8Array, from: InterfaceAddress) {
    const targets = from.loopback ? [from.broadcast] : [from.broadcast, "255.255.255.255"]
    const faults = yield* senderOf(from.address).pipe(
      Effect.flatMap((socket) => sendAll(socket, bytes, port, targets)),
      Effect.catchCause((cause) => Effect.succeed(targets.map(() => Cause.squash(cause))))
    )
    // A socket that could not send may be one of an interface that has gone and come back: the next is a new one.
    if (faults.length > 0) forget(from.address)
    for (const fault of faults) yield* Metric.update(Metric.withAttributes(unsent, { code: codeOf(fault) }), 1)
    return targets.length - faults.length
  })

  return Datagrams.of({
    listen,
    broadcast: (port, bytes, from) =>
      Effect.gen(function*() {
        const present = new Set(Array.from(yield* interfaces, ({ address }) => address))
        for (const address of senders.keys()) if (!present.has(address)) forget(address)
        const left = yield* Effect.forEach(
          from.filter(({ address }) => present.has(address)),
          (address) => broadcastFrom(port, bytes, address),
          // One that is stuck holds up no other; mostly there is one, and that needs no fiber.
          { concurrency: from.length > 1 ? "unbounded" : 1 }
        )
        return left.reduce((sum, count) => sum + count, 0)
      }).pipe(one.withPermit),
    interfaces
  })
})

export const layerNode = Layer.effect(Datagrams, make)
