/**
 * {@link Multicast} over node:dgram.
 *
 * What the systems do with a multicast, and what follows from it:
 *
 * - Linux (measured): a socket hears every group that any program of the machine has joined, unless it is bound to the group's
 *   own address. So it is. macOS (documented) does the same.
 * - Windows (documented): a socket cannot be bound to a group, and hears only groups that it has joined itself.
 * - macOS sends no datagram of more than 9,216 bytes (documented, `net.inet.udp.maxdgram`), the others send what UDP allows.
 * - A sender that fills its queue: Linux and Windows let it wait, macOS refuses the datagram (ENOBUFS).
 * - Datagrams that are lost are mostly lost in the receiver's own queue, while its program does something else. So it is as long
 *   as the system allows: 4 MiB where an administrator has said so, else some 200 KiB.
 */
import { Effect, Layer } from "effect"
import * as Dgram from "node:dgram"
import * as OS from "node:os"
import { broadcasting, type InterfaceAddress } from "../../protocol/Interfaces.ts"
import type { Address } from "../../protocol/Wire.ts"
import { Multicast, MulticastError } from "../Multicast.ts"
import * as HeapNode from "./HeapNode.ts"

const receiveBufferBytes = 4 * 1024 * 1024
/** After so long without a datagram no more are expected. */
const quietMs = 1_000
/** Room for two datagrams; and the least that every system allows. */
const sendBufferBytesMin = 32 * 1024
const sendBufferBytesMax = 4 * 1024 * 1024

/** Closing a socket that is closed already throws. */
const close = (socket: Dgram.Socket): void => {
  socket.removeAllListeners()
  // An error that comes after the end is nobody's concern, but without a listener it would end the process.
  socket.on("error", () => {})
  try {
    socket.close()
  } catch {
    // It was closed.
  }
}

const socket = (options: Dgram.SocketOptions, port: number, address: string, ready: (socket: Dgram.Socket) => void) =>
  Effect.acquireRelease(
    Effect.callback<Dgram.Socket, MulticastError>((resume) => {
      const socket = Dgram.createSocket(options)
      const failed = (error: unknown) => {
        close(socket)
        resume(Effect.fail(new MulticastError({ detail: error instanceof Error ? error.message : String(error) })))
      }
      socket.once("error", failed)
      socket.bind({ port, address, exclusive: true }, () => {
        socket.removeAllListeners("error").on("error", () => {})
        try {
          ready(socket)
          resume(Effect.succeed(socket))
        } catch (error) {
          failed(error)
        }
      })
      return Effect.sync(() => close(socket))
    }),
    (socket) => Effect.sync(() => close(socket))
  )

const sender = (group: Address, by: InterfaceAddress) =>
  Effect.map(
    socket({ type: "udp4", lookup: (host, _options, found) => found(null, host, 4) }, 0, by.address, (socket) => {
      socket.setMulticastInterface(by.address)
      socket.setMulticastTTL(1)
    }),
    (socket) => ({
      datagramBytesMax: process.platform === "darwin" ? 9_216 : 65_507,
      send: (parts: ReadonlyArray<Uint8Array>, done: (left: boolean) => void) => {
        try {
          socket.send(parts, group.port, group.host, (error) => done(error === null))
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
    })
  )

const receive = (group: Address, by: InterfaceAddress, onDatagram: (bytes: Uint8Array) => void) =>
  Effect.map(
    socket(
      { type: "udp4", reuseAddr: true },
      group.port,
      process.platform === "win32" ? "0.0.0.0" : group.host,
      (socket) => {
        socket.addMembership(group.host, by.address)
        try {
          socket.setRecvBufferSize(receiveBufferBytes)
        } catch {
          // Some systems refuse what is more than they allow, and keep their own.
        }
      }
    ),
    (socket) => {
      let quiet: NodeJS.Timeout | undefined
      socket.on("message", (bytes) => {
        if (quiet === undefined) {
          HeapNode.expectDatagrams(true)
          quiet = setTimeout(() => {
            quiet = undefined
            HeapNode.expectDatagrams(false)
          }, quietMs).unref()
        } else quiet.refresh()
        onDatagram(bytes)
      })
    }
  )

/** A list that cannot be read (a sandbox forbids it) is an empty one. */
const interfaces = Effect.sync((): ReadonlyArray<InterfaceAddress> => {
  try {
    return broadcasting(OS.networkInterfaces()).filter(({ loopback }) => !loopback)
  } catch {
    return []
  }
})

export const layerNode = Layer.succeed(Multicast, { sender, receive, interfaces })
