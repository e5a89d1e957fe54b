/** What UDP sockets of node:dgram have in common, whatever they are for. Node layers only. */
import { Effect } from "effect"
import * as Dgram from "node:dgram"
import * as OS from "node:os"
import { broadcasting, type InterfaceAddress } from "../../protocol/Interfaces.ts"

/** Closing a socket that is closed already throws. */
export const close = (socket: Dgram.Socket): void => {
  socket.removeAllListeners()
  // An error that comes after the end is nobody's concern, but without a listener it would end the process.
  socket.on("error", () => {})
  try {
    socket.close()
  } catch {
    // It was closed.
  }
}

export const bound = (options: Dgram.SocketOptions, address: string, port: number) =>
  Effect.callback<Dgram.Socket, Error>((resume) => {
    const socket = Dgram.createSocket(options)
    socket.once("error", (error) => {
      close(socket)
      resume(Effect.fail(error))
    })
    socket.bind({ address, port, exclusive: true }, () => {
      // Whoever uses the socket listens for errors too; this one is for the moments when nobody does.
      socket.removeAllListeners("error").on("error", () => {})
      resume(Effect.succeed(socket))
    })
    return Effect.sync(() => close(socket))
  })

/** How long an answer of the system holds: one look costs a dozen system calls, and several ask in one moment. */
const lookedAtForMs = 500

let looked: { readonly atMs: number; readonly interfaces: ReadonlyArray<InterfaceAddress> } | undefined

/** A list that cannot be read (a sandbox forbids it) is an empty one. */
export const interfaces = Effect.sync((): ReadonlyArray<InterfaceAddress> => {
  const nowMs = performance.now()
  if (looked !== undefined && nowMs - looked.atMs < lookedAtForMs) return looked.interfaces
  looked = { atMs: nowMs, interfaces: look() }
  return looked.interfaces
})

const look = (): ReadonlyArray<InterfaceAddress> => {
  try {
    return broadcasting(OS.networkInterfaces())
  } catch {
    return []
  }
}
