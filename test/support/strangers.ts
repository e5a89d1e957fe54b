/**
 * Strangers at a device's door: whoever can send packets to it and knows no more. A process of its own, so that it can
 * run on another machine of a lab and leaves the victim's processor alone.
 *
 *     node test/support/strangers.ts HOST PORT
 *
 * Runs until standard input ends, then prints how many connections it made, bytes it sent and bytes it was sent.
 */
import * as Crypto from "node:crypto"
import * as Net from "node:net"
import * as Tls from "node:tls"

const [host, port] = [process.argv[2]!, Number(process.argv[3])]
const figures = { connections: 0, refused: 0, sentBytes: 0, receivedBytes: 0 }

type Stranger = (socket: Net.Socket) => void

/** Comes again as soon as it is thrown out, at most so often a second. */
const comes = (count: number, perSecond: number, behave: Stranger): void => {
  const connect = () => {
    const socket = Net.connect({ host, port, allowHalfOpen: true })
    socket.on("connect", () => {
      figures.connections++
      behave(socket)
    })
    socket.on("data", (bytes) => (figures.receivedBytes += bytes.length))
    socket.on("error", () => figures.refused++)
    socket.on("end", () => socket.destroy())
    socket.on("close", () => {
      figures.sentBytes += socket.bytesWritten
      setTimeout(connect, (count * 1_000) / perSecond)
    })
  }
  for (let i = 0; i < count; i++) setTimeout(connect, (i * 1_000) / perSecond)
}

const pump = (socket: Net.Socket, next: () => Uint8Array): void => {
  const more = () => {
    while (!socket.destroyed && socket.write(next()));
  }
  socket.on("drain", more)
  more()
}

/** A TLS record that says it is as long as can be, and a hello in it that says it is longer. */
const lengthBomb = Buffer.concat([Buffer.from([22, 3, 1, 0xff, 0xff, 1, 0xff, 0xff, 0xff]), Buffer.alloc(64)])
const noise = Crypto.randomBytes(64 * 1024)

const tls = (options: Tls.ConnectionOptions): Stranger => (socket) => {
  const secure = Tls.connect({ socket, rejectUnauthorized: false, ...options })
  secure.on("error", () => socket.destroy())
}

comes(50, 20, () => {})
comes(50, 20, (socket) => {
  const timer = setInterval(() => socket.write(Buffer.from([22])), 300)
  socket.on("close", () => clearInterval(timer))
})
comes(8, 10, (socket) => pump(socket, () => noise))
comes(20, 20, (socket) => socket.write(Crypto.randomBytes(500)))
comes(20, 20, (socket) => socket.write(lengthBomb))
comes(20, 20, (socket) => socket.write("GET / HTTP/1.1\r\nHost: labfx\r\n\r\n"))
comes(10, 20, tls({ maxVersion: "TLSv1.2", ALPNProtocols: ["labfx/1"] }))
comes(10, 20, tls({ minVersion: "TLSv1.3" }))
comes(10, 20, tls({ minVersion: "TLSv1.3", ALPNProtocols: ["labfx/1"] }))
// Half open: it says that it has nothing more to say, and never hangs up.
comes(50, 20, (socket) => socket.end())
// A thousand at once, and gone.
comes(1_000, 1_000, (socket) => setTimeout(() => socket.destroy(), 50))

process.stdin.resume()
process.stdin.on("end", () => {
  process.stdout.write(`${JSON.stringify(figures)}\n`, () => process.exit(0))
})
