/**
 * {@link Multicast} over node:dgram.
 *
 * What the systems do with a multicast, and what follows from it:
 *
 * - Linux and macOS (documented): a socket hears every group that any program of the machine has joined, unless it is bound to
 *   the group's own address. So it is.
 * - Windows (documented): a socket cannot be bound to a group, and hears only groups that it has joined itself.
 * - macOS sends no datagram of more than 9,216 bytes (documented, `net.inet.udp.maxdgram`), the others send what UDP allows.
 * - A sender that fills its queue: Linux and Windows let it wait, macOS refuses the datagram (ENOBUFS).
 * - Datagrams that are lost are mostly lost in the receiver's own queue, while its program does something else. Linux gives a
 *   socket 208 KiB where no administrator has said otherwise, so there is a socket for each of several groups.
 */
import { Effect, Layer } from "effect"
import type * as Dgram from "node:dgram"
import type { InterfaceAddress } from "../../protocol/Interfaces.ts"
import type { Address } from "../../protocol/Wire.ts"
import { Multicast, MulticastError } from "../Multicast.ts"
import * as HeapNode from "./HeapNode.ts"
import { bound, close, interfaces } from "./UdpNode.ts"

/** All groups together. */
const receiveBufferBytes = 4 * 1024 * 1024
/** After so long without a datagram no more are expected. */
const quietMs = 1_000
/**
 * Room for two datagrams, so that another is there when one has left and this process has not had its turn yet. Systems count
 * more than the bytes: Linux takes the second of 32 KiB with 32 KiB of room only when most of the first has left.
 */
const sendBufferBytesMin = 64 * 1024
const sendBufferBytesMax = 4 * 1024 * 1024

/** A bound socket that has been made ready, closed with the scope. */
const socket = (options: Dgram.SocketOptions, port: number, address: string, ready: (socket: Dgram.Socket) => void) =>
  Effect.acquireRelease(bound(options, address, port), (socket) => Effect.sync(() => close(socket))).pipe(
    Effect.tap((socket) => Effect.try({ try: () => ready(socket), catch: (error) => error as Error })),
    Effect.mapError(({ message }) => new MulticastError({ detail: message }))
  )

const sender = (groups: ReadonlyArray<Address>, by: InterfaceAddress) =>
  Effect.map(
    socket({ type: "udp4", lookup: (host, _options, found) => found(null, host, 4) }, 0, by.address, (socket) => {
      socket.setMulticastInterface(by.address)
      socket.setMulticastTTL(1)
    }),
    (socket) => {
      let sentCount = 0
      return {
        datagramBytesMax: process.platform === "darwin" ? 9_216 : 65_507,
        send: (parts: ReadonlyArray<Uint8Array>, done: (left: boolean) => void) => {
          const { host, port } = groups[sentCount++ % groups.length]!
          try {
            socket.send(parts, port, host, (error) => done(error === null))
          } catch {
            done(false)
          }
        },
        setQueue: (bytes: number) => {
          try {
            socket.setSendBufferSize(Math.min(Math.max(bytes, sendBufferBytesMin), sendBufferBytesMax))
          } catch {
            // Some systems refuse what is more than they allow, and keep what was.
          }
        }
      }
    }
  )

const receive = (groups: ReadonlyArray<Address>, by: InterfaceAddress, onDatagram: (bytes: Uint8Array) => void) => {
  let quiet: NodeJS.Timeout | undefined
  const onMessage = (bytes: Uint8Array): void => {
    if (quiet === undefined) {
      HeapNode.expectDatagrams(true)
      quiet = setTimeout(() => {
        quiet = undefined
        HeapNode.expectDatagrams(false)
      }, quietMs).unref()
    } else quiet.refresh()
    onDatagram(bytes)
  }
  const listen = ({ host, port }: Address) =>
    socket({ type: "udp4", reuseAddr: true }, port, process.platform === "win32" ? "0.0.0.0" : host, (socket) => {
      socket.addMembership(host, by.address)
      socket.on("message", onMessage)
      try {
        socket.setRecvBufferSize(receiveBufferBytes / groups.length)
      } catch {
        // Some systems refuse what is more than they allow, and keep their own.
      }
    })
  return Effect.forEach(groups, listen, { discard: true })
}

export const layerNode = Layer.succeed(Multicast, {
  sender,
  receive,
  interfaces: Effect.map(interfaces, (all) => all.filter(({ loopback }) => !loopback))
})
