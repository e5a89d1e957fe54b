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

/** A list that cannot be read (a sandbox forbids it) is an empty one. */
export const interfaces = Effect.sync((): ReadonlyArray<InterfaceAddress> => {
  try {
    return broadcasting(OS.networkInterfaces())
  } catch {
    return []
  }
})
