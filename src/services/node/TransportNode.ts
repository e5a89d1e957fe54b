/**
 * {@link Transport} over node:tls.
 *
 * TLS proves keys and nothing else: every peer shows a self-signed certificate over its Ed25519 key, names and dates in it
 * are ignored, and the handshake's CertificateVerify proves that it holds the private half. Received bytes leave node's
 * streams as early as node allows, because a fresh buffer and a stream event a record are the largest cost here.
 */
import { Effect, Layer, Queue } from "effect"
import { constants } from "node:crypto"
import * as Net from "node:net"
import * as Tls from "node:tls"
import * as Admission from "../../protocol/Admission.ts"
import { selfSignedCertificate } from "../../protocol/Der.ts"
import type { PublicKey } from "../../protocol/Ids.ts"
import * as Limits from "../../protocol/Limits.ts"
import type { Address } from "../../protocol/Wire.ts"
import type { KeyPair } from "../Crypto.ts"
import { AcceptError, type Connection, ConnectionLost, DialError, Transport } from "../Transport.ts"
import { peerIdOf, privateKeyPem, publicKeyText, signRaw } from "./CryptoNode.ts"

const alpn = "labfx/1"

/** TLS hands over one record at a time, and no record is larger. */
const recordBytesMax = 16 * 1024

interface Credentials {
  readonly options: Tls.SecureContextOptions
  readonly dialling: Tls.SecureContext
}

/** Made once a pair: a certificate is a signature, and a context takes a millisecond to set up. */
const credentialsOf = new WeakMap<KeyPair, Credentials>()

const credentials = (self: KeyPair): Credentials => {
  const known = credentialsOf.get(self)
  if (known !== undefined) return known
  const der = selfSignedCertificate(Buffer.from(self.publicKey, "base64url"), (bytes) => signRaw(self, bytes))
  const cert = `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString("base64")}\n-----END CERTIFICATE-----\n`
  const options: Tls.SecureContextOptions = {
    key: privateKeyPem(self),
    cert,
    // Nothing is checked against it; without it node loads every certificate authority of the world.
    ca: cert,
    minVersion: "TLSv1.3",
    // The one cipher every TLS 1.3 has to have, and the cheapest where there is AES hardware.
    ciphers: "TLS_AES_128_GCM_SHA256",
    sigalgs: "ed25519",
    ecdhCurve: "X25519",
    // With no session cache behind it this ends resumption: every connection proves its key anew.
    secureOptions: constants.SSL_OP_NO_TICKET
  }
  const made = { options, dialling: Tls.createSecureContext(options) }
  credentialsOf.set(self, made)
  return made
}

/** The key the other side has proven, or nothing if it did not speak labfx or showed no Ed25519 certificate. */
const provenKey = (socket: Tls.TLSSocket): PublicKey | undefined => {
  if (socket.alpnProtocol !== alpn || socket.isSessionReused()) return undefined
  const key = socket.getPeerX509Certificate()?.publicKey
  if (key?.asymmetricKeyType !== "ed25519") return undefined
  // The raw key is the end of its standard encoding.
  return publicKeyText(key.export({ format: "der", type: "spki" }).subarray(-32))
}

/** An address as `Wire.Address` has it: an IPv4 peer of a dual-stack socket in dotted form, no interface names. */
const toAddress = (host: string | undefined, port: number | undefined): Address | undefined =>
  host === undefined || port === undefined
    ? undefined
    : { host: host.replace(/^::ffff:(?=\d+\.)/i, "").replace(/%.*$/, ""), port }

const ignore = () => {}

const describe = (error: Error): string => (error as NodeJS.ErrnoException).code ?? error.message

type Resume = (effect: Effect.Effect<void, ConnectionLost>) => void

/**
 * Hands received bytes on, or holds them while nobody reads.
 *
 * Stopping a TLS socket stops the system's reads, but records that node has already taken from the system still come. So
 * what comes while stopped (at most one read of the system, 64 KiB) is copied, and handed over first when reading goes on.
 */
class Inbox {
  readonly #socket: Tls.TLSSocket
  #onBytes: ((bytes: Uint8Array) => void) | undefined
  #resume: Resume | undefined
  #reading = true
  #pumping = false
  #held: Array<Uint8Array> = []
  #outcome: Effect.Effect<void, ConnectionLost> | undefined

  constructor(socket: (inbox: Inbox) => Tls.TLSSocket) {
    this.#socket = socket(this)
  }

  get socket(): Tls.TLSSocket {
    return this.#socket
  }

  /** Takes one run of bytes, valid during the call. False if no more is wanted for now. */
  take(bytes: Uint8Array): boolean {
    if (this.#onBytes === undefined || !this.#reading || this.#held.length > 0) {
      this.#held.push(Uint8Array.from(bytes))
      return false
    }
    this.#hand(bytes)
    return this.#reading
  }

  open(onBytes: (bytes: Uint8Array) => void, resume: Resume): void {
    this.#onBytes = onBytes
    this.#resume = resume
    this.#pump()
  }

  setReading(reading: boolean): void {
    if (reading === this.#reading) return
    this.#reading = reading
    if (reading) this.#pump()
    else this.#socket.pause()
  }

  /** Nobody wants the rest; it is read and thrown away so that the other side's end can be seen. */
  discard(): void {
    this.#held = []
    this.#onBytes = ignore
    this.#reading = true
    this.end()
    this.#socket.resume()
  }

  /** Nothing more will come; what is held is still handed over. */
  end(): void {
    this.#outcome ??= Effect.void
    this.#settle()
  }

  /** The connection is gone, unless it had ended before. */
  lose(lost: ConnectionLost): void {
    if (this.#outcome === undefined) this.#fail(Effect.fail(lost))
  }

  #fail(outcome: Effect.Effect<void, ConnectionLost>): void {
    this.#outcome = outcome
    this.#held = []
    this.#settle()
  }

  #hand(bytes: Uint8Array): void {
    try {
      this.#onBytes!(bytes)
    } catch (defect) {
      // Thrown further, it would end the process instead of the fiber that receives.
      this.#onBytes = ignore
      this.#socket.destroy()
      process.nextTick(() => this.#fail(Effect.die(defect)))
    }
  }

  /** In a turn of its own, so that whoever calls `setReading` is not called back from inside. */
  #pump(): void {
    if (this.#pumping) return
    this.#pumping = true
    process.nextTick(() => {
      this.#pumping = false
      while (this.#reading && this.#held.length > 0) this.#hand(this.#held.shift()!)
      if (this.#reading) this.#socket.resume()
      this.#settle()
    })
  }

  #settle(): void {
    if (this.#outcome === undefined || this.#resume === undefined || this.#held.length > 0) return
    const resume = this.#resume
    this.#resume = undefined
    resume(this.#outcome)
  }
}

/** How to end each connection; kept beside them because a connection's contract has no such member. */
const closers = new WeakMap<Connection, Effect.Effect<void>>()

/** The connection over a socket whose peer is proven. */
const makeConnection = (inbox: Inbox, key: PublicKey, remote: Address, dialled: boolean): Connection => {
  const socket = inbox.socket
  const peer = peerIdOf(key)
  let why = "closed"
  let writer: ((lost: ConnectionLost | undefined) => void) | undefined
  const lost = () => new ConnectionLost({ peer, detail: why })

  socket.on("error", (error) => {
    why = describe(error)
  })
  socket.once("end", () => inbox.end())
  socket.once("close", () => {
    inbox.lose(lost())
    const waiting = writer
    writer = undefined
    waiting?.(lost())
  })

  const connection: Connection = {
    peer,
    key,
    remote,
    dialled,
    receive: (onBytes) =>
      Effect.callback((resume) => {
        inbox.open(onBytes, resume)
        return Effect.sync(() => inbox.setReading(false))
      }),
    setReading: (reading) => inbox.setReading(reading),
    write: (parts, done) => {
      if (!socket.writable) return process.nextTick(done, lost())
      writer = done
      const written = (error?: Error | null) => {
        if (writer !== done) return
        writer = undefined
        if (error) why = describe(error)
        done(error ? lost() : undefined)
      }
      const last = parts.length - 1
      if (last <= 0) {
        socket.write(parts[0] ?? new Uint8Array(0), written)
        return
      }
      // Node joins what is written while a socket is corked: one call of the system for all parts.
      socket.cork()
      for (let i = 0; i < last; i++) socket.write(parts[i]!)
      socket.write(parts[last]!, written)
      socket.uncork()
    }
  }

  // A socket that is destroyed with unread bytes in it resets the connection, which throws away what the other side has
  // not read yet. So this side says that it has finished and reads on until the other side does so, for a short while.
  closers.set(
    connection,
    Effect.callback((resume) => {
      if (socket.closed) return resume(Effect.void)
      const patience = setTimeout(() => socket.destroy(), Limits.closeGraceMs)
      socket.once("close", () => {
        clearTimeout(patience)
        resume(Effect.void)
      })
      inbox.discard()
      socket.end()
      return Effect.sync(() => socket.destroy())
    })
  )
  return connection
}

const close = (connection: Connection): Effect.Effect<void> => closers.get(connection) ?? Effect.void

/** Why nothing can be accepted. */
const acceptError = (error: NodeJS.ErrnoException, port: number): AcceptError =>
  new AcceptError({
    port,
    reason: error.code === "EADDRINUSE"
      ? "in-use"
      : error.code === "EACCES" || error.code === "EPERM"
      ? "permission"
      : "other",
    detail: error.message
  })

/** By both ends' addresses: all that a TCP socket and the TLS socket over it have in common. */
const route = (socket: Net.Socket): string => `${socket.localAddress} ${socket.remoteAddress} ${socket.remotePort}`

/** Strangers arrive at a TCP server; those with a place are handed to a TLS server, which shakes hands. */
const listen = (handshakeTimeoutMs: number): Transport["Service"]["listen"] =>
  Effect.fnUntraced(function*(self, port) {
    const accepted = yield* Effect.acquireRelease(Queue.dropping<Connection>(Limits.handshakesMax), Queue.shutdown)
    const connections = new Set<Connection>()
    const admission = Admission.make<Net.Socket>()
    const strangers = new Map<string, { readonly socket: Net.Socket; readonly leave: () => void }>()

    const handshakes = Tls.createServer({
      ...credentials(self).options,
      ALPNProtocols: [alpn],
      requestCert: true,
      rejectUnauthorized: false
    })
    handshakes.on("secureConnection", (socket) => {
      socket.on("error", ignore)
      strangers.get(route(socket))?.leave()
      const key = provenKey(socket)
      const remote = toAddress(socket.remoteAddress, socket.remotePort)
      if (key === undefined || key === self.publicKey || remote === undefined) return socket.destroy()
      const inbox = new Inbox(() => socket)
      socket.pause()
      socket.on("data", (bytes) => inbox.take(bytes))
      const connection = makeConnection(inbox, key, remote, false)
      if (!Queue.offerUnsafe(accepted, connection)) return socket.destroy()
      connections.add(connection)
      socket.once("close", () => connections.delete(connection))
    })

    const server = Net.createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: Limits.keepAliveAfterMs })
    server.on("error", ignore)
    server.on("connection", (socket) => {
      socket.on("error", ignore)
      const address = socket.remoteAddress
      const decision = address === undefined ? "refuse" : Admission.arrive(admission, socket, address)
      if (decision === "refuse") return socket.destroy()
      const name = route(socket)
      const patience = setTimeout(() => socket.destroy(), handshakeTimeoutMs)
      const leave = () => {
        clearTimeout(patience)
        socket.off("close", leave)
        strangers.delete(name)
        const next = Admission.leave(admission, socket)
        if (next !== undefined) handshakes.emit("connection", next)
      }
      strangers.set(name, { socket, leave })
      socket.on("close", leave)
      if (decision === "start") handshakes.emit("connection", socket)
    })

    const bind = Effect.callback<number, AcceptError>((resume) => {
      const failed = (error: Error) => resume(Effect.fail(acceptError(error, port)))
      server.once("error", failed)
      // Without a host node listens for IPv6 and IPv4 at once, or for IPv4 alone where there is no IPv6.
      server.listen(port, () => {
        server.off("error", failed)
        resume(Effect.succeed((server.address() as Net.AddressInfo).port))
      })
    })
    const stopAccepting = Effect.callback<void>((resume) => {
      server.close(() => resume(Effect.void))
      for (const { socket } of strangers.values()) socket.destroy()
    })
    const stop = Effect.suspend(() =>
      Effect.all([stopAccepting, ...Array.from(connections, close)], { concurrency: "unbounded" })
    )
    return { port: yield* Effect.acquireRelease(bind, () => stop), accepted }
  })

const dialError = (address: Address, reason: DialError["reason"], detail: string): DialError =>
  new DialError({ address, reason, detail })

/** A failure before the TCP connection stands is the network's; after that it is the other side's. */
const dialFailure = (address: Address, error: NodeJS.ErrnoException, connected: boolean): DialError => {
  switch (error.code) {
    case "ECONNREFUSED":
    // Closed without a word: a device that has too many strangers at its door, or anything else that wants nobody.
    case "ECONNRESET":
    case "EPIPE":
      return dialError(address, "refused", describe(error))
    case "ETIMEDOUT":
      return dialError(address, "timeout", describe(error))
    default:
      return dialError(address, connected ? "not-labfx" : "unreachable", describe(error))
  }
}

const dial = (handshakeTimeoutMs: number): Transport["Service"]["dial"] => (self, address, expected) => {
  if (Net.isIP(address.host) === 0) return Effect.fail(dialError(address, "unreachable", "not an IP address"))
  const connect = (inbox: Inbox): Tls.TLSSocket => {
    const options: Tls.ConnectionOptions & Pick<Net.SocketConstructorOpts, "onread"> = {
      host: address.host,
      port: address.port,
      secureContext: credentials(self).dialling,
      ALPNProtocols: [alpn],
      rejectUnauthorized: false,
      // One buffer for the life of the connection instead of a fresh one and a stream event for every record.
      onread: {
        buffer: new Uint8Array(recordBytesMax),
        callback: (length, buffer) => inbox.take(buffer.subarray(0, length))
      }
    }
    const socket = Tls.connect(options)
    socket.setNoDelay(true)
    socket.setKeepAlive(true, Limits.keepAliveAfterMs)
    socket.on("error", ignore)
    return socket
  }
  const shakeHands = (inbox: Inbox) =>
    Effect.callback<Connection, DialError>((resume) => {
      const { socket } = inbox
      const fail = (reason: DialError["reason"], detail: string) =>
        resume(Effect.fail(dialError(address, reason, detail)))
      const patience = setTimeout(
        () => fail("timeout", `no handshake within ${handshakeTimeoutMs} ms`),
        handshakeTimeoutMs
      )
      let connected = false
      socket.once("connect", () => {
        connected = true
      })
      socket.once("error", (error) => resume(Effect.fail(dialFailure(address, error, connected))))
      socket.once("close", () => {
        clearTimeout(patience)
        fail("refused", "closed during the handshake")
      })
      socket.once("secureConnect", () => {
        clearTimeout(patience)
        const key = provenKey(socket)
        if (key === undefined) return fail("not-labfx", "no labfx certificate")
        if (key === self.publicKey) return fail("self", "this device")
        if (expected !== undefined && peerIdOf(key) !== expected) return fail("wrong-peer", peerIdOf(key))
        resume(Effect.succeed(makeConnection(inbox, key, address, true)))
      })
    })
  return Effect.uninterruptibleMask(Effect.fnUntraced(function*(restore) {
    const inbox = new Inbox(connect)
    const connection = yield* restore(shakeHands(inbox)).pipe(
      Effect.onError(() => Effect.sync(() => inbox.socket.destroy()))
    )
    yield* Effect.addFinalizer(() => close(connection))
    return connection
  }))
}

/** With a timeout of one's own, for tests that do not want to wait for a silent stranger. */
export const layerNodeWith = (options: { readonly handshakeTimeoutMs: number }) =>
  Layer.succeed(
    Transport,
    Transport.of({ listen: listen(options.handshakeTimeoutMs), dial: dial(options.handshakeTimeoutMs), close })
  )

export const layerNode = layerNodeWith({ handshakeTimeoutMs: Limits.handshakeTimeoutMs })
