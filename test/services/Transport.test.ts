/** The TLS transport on real loopback sockets, among friends and among strangers. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Queue, Schema, type Scope } from "effect"
import { createHash, randomBytes } from "node:crypto"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { selfSignedCertificate } from "../../src/protocol/Der.ts"
import type { PeerId } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import { Crypto, type KeyPair } from "../../src/services/Crypto.ts"
import { layerNode as cryptoLayer, privateKeyPem, signRaw } from "../../src/services/node/CryptoNode.ts"
import { layerNode, layerNodeWith } from "../../src/services/node/TransportNode.ts"
import { type Connection, type ConnectionLost, DialError, Transport, write } from "../../src/services/Transport.ts"

const loopback = "127.0.0.1"

const pair = (seed: number) => Effect.map(Crypto, (crypto) => crypto.keyPair(new Uint8Array(32).fill(seed)))

/** Two devices with one connection between them, from both ends. */
const connected = Effect.gen(function*() {
  const transport = yield* Transport
  const [host, guest] = [yield* pair(1), yield* pair(2)]
  const listener = yield* transport.listen(host, 0)
  const dialled = yield* transport.dial(guest, { host: loopback, port: listener.port }, undefined)
  const accepted = yield* Queue.take(listener.accepted)
  return { transport, host, guest, listener, dialled, accepted }
})

/** Everything a connection hands over, copied, with the fiber that receives. */
const collect = Effect.fnUntraced(function*(connection: Connection) {
  const received = { bytes: 0, hash: createHash("sha256") }
  const fiber = yield* connection.receive((bytes) => {
    received.bytes += bytes.length
    received.hash.update(bytes)
  }).pipe(Effect.forkScoped({ startImmediately: true }))
  return { received, fiber }
})

/** One turn of node's event loop. */
const turn = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

/** Turns the loop until a number has stood still for long. */
const untilStill = Effect.fnUntraced(function*(read: () => number) {
  for (let still = 0, last = read(); still < 2_000;) {
    yield* turn
    const now = read()
    still = now === last ? still + 1 : 0
    last = now
  }
})

const sockets = () => process.getActiveResourcesInfo().filter((name) => name.startsWith("TCP")).length

const socketsGone = Effect.gen(function*() {
  while (sockets() > 0) yield* turn
})

/** Opens a plain TCP connection, says something, and resolves once the other side has closed it. */
const stranger = (port: number, say: (socket: Net.Socket) => void) =>
  Effect.callback<void>((resume) => {
    const socket = Net.connect({ host: loopback, port }, () => say(socket))
    socket.on("error", () => {})
    socket.on("data", () => {})
    socket.once("close", () => resume(Effect.void))
    return Effect.sync(() => socket.destroy())
  })

const tlsStranger = (port: number, options: Tls.ConnectionOptions) =>
  Effect.callback<{ readonly reused: boolean; readonly session: Buffer | undefined }>((resume) => {
    const socket = Tls.connect({ host: loopback, port, rejectUnauthorized: false, ...options })
    let session: Buffer | undefined
    let reused = false
    socket.on("session", (ticket) => {
      session = ticket
    })
    socket.on("secureConnect", () => {
      reused = socket.isSessionReused()
    })
    socket.on("error", () => {})
    socket.on("data", () => {})
    socket.once("close", () => resume(Effect.succeed({ reused, session })))
    return Effect.sync(() => socket.destroy())
  })

/** What a TLS client needs to prove the key of a pair as labfx does. */
const proving = (pair: KeyPair) => {
  const raw = Buffer.from(pair.publicKey, "base64url")
  const der = selfSignedCertificate(raw, (bytes) => signRaw(pair, bytes))
  const cert = `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString("base64")}\n-----END CERTIFICATE-----\n`
  return { key: privateKeyPem(pair), cert }
}

/** A TCP server of another kind. */
const otherServer = (onConnection: (socket: Net.Socket) => void) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly server: Net.Server; readonly port: number; readonly open: Set<Net.Socket> }>(
      (resume) => {
        const open = new Set<Net.Socket>()
        const server = Net.createServer((socket) => {
          open.add(socket)
          socket.on("error", () => {})
          socket.once("close", () => open.delete(socket))
          onConnection(socket)
        })
        server.listen(0, loopback, () => {
          resume(Effect.succeed({ server, port: (server.address() as Net.AddressInfo).port, open }))
        })
      }
    ),
    ({ open, server }) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        for (const socket of open) socket.destroy()
      })
  )

/** Reads, so that it sees the end, and says nothing. */
const listenOnly = (socket: Net.Socket) => void socket.resume()

/** A cable between two devices that can be cut. */
const cable = Effect.fnUntraced(function*(port: number) {
  const proxy = yield* otherServer((socket) => {
    const onward = Net.connect({ host: loopback, port })
    onward.on("error", () => {})
    socket.pipe(onward)
    onward.pipe(socket)
    socket.once("close", () => onward.resetAndDestroy())
  })
  return { port: proxy.port, cut: () => proxy.open.forEach((socket) => socket.resetAndDestroy()) }
})

const dialReason = (
  self: KeyPair,
  port: number,
  options: { readonly host?: string; readonly expected?: PeerId } = {}
) =>
  Effect.gen(function*() {
    const transport = yield* Transport
    const error = yield* Effect.flip(transport.dial(self, { host: options.host ?? loopback, port }, options.expected))
    assert.instanceOf(error, DialError)
    return error.reason
  })

/** After the strangers: a friend still gets in, and nobody else was let in. */
const onlyTheFriendGetsIn = Effect.fnUntraced(
  function*(listener: { readonly port: number; readonly accepted: Queue.Dequeue<Connection> }) {
    const transport = yield* Transport
    const crypto = yield* Crypto
    const friend = yield* pair(9)
    yield* transport.dial(friend, { host: loopback, port: listener.port }, undefined)
    const accepted = yield* Queue.take(listener.accepted)
    assert.strictEqual(accepted.peer, crypto.peerId(friend.publicKey))
    assert.strictEqual(yield* Queue.size(listener.accepted), 0)
  }
)

const live = (
  name: string,
  body: Effect.Effect<void, unknown, Transport | Crypto | Scope.Scope>,
  layer: Layer.Layer<Transport> = layerNode
) => it.live(name, () => body.pipe(Effect.scoped, Effect.provide([layer, cryptoLayer])))

const impatient = layerNodeWith({ handshakeTimeoutMs: 150 })

describe("Transport", () => {
  live(
    "shows each side the key that the other side holds",
    Effect.gen(function*() {
      const crypto = yield* Crypto
      const { accepted, dialled, guest, host, listener } = yield* connected
      assert.deepStrictEqual([dialled.key, accepted.key], [host.publicKey, guest.publicKey])
      assert.deepStrictEqual([dialled.peer, accepted.peer], [host, guest].map((one) => crypto.peerId(one.publicKey)))
      assert.deepStrictEqual(dialled.remote, { host: loopback, port: listener.port })
      assert.strictEqual(accepted.remote.host, loopback)
      assert.deepStrictEqual([dialled.dialled, accepted.dialled], [true, false])
    })
  )

  live(
    "dials IPv6 literals",
    Effect.gen(function*() {
      const transport = yield* Transport
      const crypto = yield* Crypto
      const [host, guest] = [yield* pair(1), yield* pair(2)]
      const listener = yield* transport.listen(host, 0)
      const expected = crypto.peerId(host.publicKey)
      const exit = yield* Effect.exit(transport.dial(guest, { host: "::1", port: listener.port }, expected))
      // A machine without IPv6 says so; any other failure is ours.
      if (Exit.isSuccess(exit)) assert.strictEqual((yield* Queue.take(listener.accepted)).remote.host, "::1")
      else assert.include(String(exit.cause), "unreachable")
    })
  )

  live(
    "tells a peer with another key, itself, a closed port, another program and a name apart",
    Effect.gen(function*() {
      const transport = yield* Transport
      const crypto = yield* Crypto
      const [host, guest] = [yield* pair(1), yield* pair(2)]
      const { port } = yield* transport.listen(host, 0)
      assert.strictEqual(yield* dialReason(guest, port, { expected: crypto.peerId(guest.publicKey) }), "wrong-peer")
      assert.strictEqual(yield* dialReason(host, port), "self")
      const http = yield* otherServer((socket) => socket.resume().end("HTTP/1.1 400 Bad Request\r\n\r\n"))
      assert.strictEqual(yield* dialReason(guest, http.port), "not-labfx")
      for (const ALPNProtocols of [[], ["http/1.1"]]) {
        const https = Tls.createServer({ ...proving(yield* pair(3)), ALPNProtocols })
        const other = yield* otherServer((socket) => https.emit("connection", socket))
        assert.strictEqual(yield* dialReason(guest, other.port), "not-labfx")
      }
      const closing = yield* otherServer((socket) => socket.destroy())
      assert.strictEqual(yield* dialReason(guest, closing.port), "refused")
      const gone = yield* Effect.scoped(otherServer(listenOnly))
      assert.strictEqual(yield* dialReason(guest, gone.port), "refused")
      assert.strictEqual(yield* dialReason(guest, port, { host: "dead" }), "unreachable")
    })
  )

  live(
    "gives up on a server that says nothing",
    Effect.gen(function*() {
      const silent = yield* otherServer(listenOnly)
      assert.strictEqual(yield* dialReason(yield* pair(2), silent.port), "timeout")
      while (silent.open.size > 0) yield* turn
    }),
    impatient
  )

  live(
    "says that a port is in use",
    Effect.gen(function*() {
      const transport = yield* Transport
      const { port } = yield* transport.listen(yield* pair(1), 0)
      const error = yield* Effect.flip(transport.listen(yield* pair(2), port))
      assert.deepStrictEqual([error.reason, error.port], ["in-use", port])
    })
  )

  live(
    "refuses a client without a certificate, with an old TLS, or with another protocol",
    Effect.gen(function*() {
      const transport = yield* Transport
      const listener = yield* transport.listen(yield* pair(1), 0)
      const own = proving(yield* pair(3))
      const ALPNProtocols = ["labfx/1"]
      yield* tlsStranger(listener.port, { ALPNProtocols })
      yield* tlsStranger(listener.port, { ...own, ALPNProtocols, maxVersion: "TLSv1.2" })
      yield* tlsStranger(listener.port, { ...own, ALPNProtocols: ["http/1.1"] })
      yield* tlsStranger(listener.port, own)
      yield* onlyTheFriendGetsIn(listener)
    })
  )

  live(
    "lets in whoever proves a key, but never resumes a session: every connection proves it anew",
    Effect.gen(function*() {
      const transport = yield* Transport
      const listener = yield* transport.listen(yield* pair(1), 0)
      const options = { ...proving(yield* pair(3)), ALPNProtocols: ["labfx/1"] }
      const visit = Effect.fnUntraced(function*(more: Tls.ConnectionOptions) {
        const visiting = yield* Effect.forkScoped(tlsStranger(listener.port, { ...options, ...more }))
        const accepted = yield* Queue.take(listener.accepted)
        yield* write(accepted, [new Uint8Array(1)])
        yield* transport.close(accepted)
        return yield* Fiber.join(visiting)
      })
      const { session } = yield* visit({})
      assert.isDefined(session)
      assert.isFalse((yield* visit({ session: session! })).reused)
    })
  )

  live(
    "closes strangers that are silent or trickle, also while they wait for a place",
    Effect.gen(function*() {
      const transport = yield* Transport
      const listener = yield* transport.listen(yield* pair(1), 0)
      const many = Limits.handshakesPerAddressMax + 4
      yield* Effect.replicateEffect(stranger(listener.port, () => {}), many, { concurrency: "unbounded" })
      // A record header that promises bytes which never come.
      yield* stranger(listener.port, (socket) => socket.write(Buffer.from("1603010200", "hex")))
      yield* onlyTheFriendGetsIn(listener)
    }),
    impatient
  )

  live(
    "is not disturbed by plain HTTP, random bytes, resets and half-open connections, and keeps nothing of them",
    Effect.gen(function*() {
      const transport = yield* Transport
      const listener = yield* transport.listen(yield* pair(1), 0)
      const noise: ReadonlyArray<(socket: Net.Socket) => void> = [
        (socket) => socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        (socket) => socket.write(randomBytes(70_000)),
        (socket) => socket.write(Buffer.concat([Buffer.from("1603010200", "hex"), randomBytes(512)])),
        (socket) => socket.resetAndDestroy(),
        (socket) => socket.end()
      ]
      const wave = (rounds: number) =>
        Effect.forEach(
          Array.from({ length: rounds }, () => noise).flat(),
          (say) => stranger(listener.port, say),
          { concurrency: 16, discard: true }
        )
      setFlagsFromString("--expose-gc")
      const collectGarbage = runInNewContext("gc") as () => void
      const settled = Effect.gen(function*() {
        for (let i = 0; i < 100; i++) yield* turn
        collectGarbage()
        return process.memoryUsage().heapUsed
      })
      yield* wave(20)
      const before = yield* settled
      yield* wave(100)
      assert.isBelow((yield* settled) - before, 4 * 1024 * 1024)
      yield* onlyTheFriendGetsIn(listener)
    })
  )

  live(
    "lets in fifty devices that come at once, though they share one address",
    Effect.gen(function*() {
      const transport = yield* Transport
      const listener = yield* transport.listen(yield* pair(1), 0)
      const guests = yield* Effect.forEach(Array.from({ length: 50 }, (_, i) => i + 2), pair)
      yield* Effect.forEach(
        guests,
        (guest) => transport.dial(guest, { host: loopback, port: listener.port }, undefined),
        { concurrency: "unbounded" }
      )
      const accepted = yield* Effect.replicateEffect(Queue.take(listener.accepted), guests.length)
      assert.sameMembers(accepted.map(({ key }) => key), guests.map(({ publicKey }) => publicKey))
    })
  )

  it.live.prop(
    "hands over every byte in order, in both directions, whatever the sizes and pauses",
    {
      sizes: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100_000 }))).check(
        Schema.isMaxLength(12)
      ),
      partsMax: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4 })),
      pauseEvery: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 9 }))
    },
    ({ partsMax, pauseEvery, sizes }) =>
      Effect.gen(function*() {
        const { accepted, dialled, transport } = yield* connected
        const messages = sizes.map((size) => randomBytes(size))
        const total = messages.reduce((sum, message) => sum + message.length, 0)
        const expected = createHash("sha256").update(Buffer.concat(messages)).digest("hex")
        const run = Effect.fnUntraced(function*(from: Connection, to: Connection) {
          const hash = createHash("sha256")
          const all = yield* Deferred.make<void>()
          let bytes = 0
          let calls = 0
          yield* to.receive((run) => {
            hash.update(run)
            bytes += run.length
            if (bytes === total) Deferred.doneUnsafe(all, Effect.void)
            if (++calls % pauseEvery !== 0) return
            to.setReading(false)
            setImmediate(() => to.setReading(true))
          }).pipe(Effect.forkScoped({ startImmediately: true }))
          for (let i = 0; i < messages.length; i += partsMax) yield* write(from, messages.slice(i, i + partsMax))
          if (total > 0) yield* Deferred.await(all)
          assert.strictEqual(hash.digest("hex"), expected)
        })
        yield* Effect.all([run(dialled, accepted), run(accepted, dialled)], { concurrency: 2 })
        yield* transport.close(dialled)
      }).pipe(Effect.scoped, Effect.provide([layerNode, cryptoLayer])),
    { arbitrary: { runs: 25 } }
  )

  for (const receiver of ["dialled", "accepted"] as const) {
    const sender = receiver === "dialled" ? "accepted" : "dialled"

    live(
      `keeps what arrives before anybody receives, then its end (${receiver} side)`,
      Effect.gen(function*() {
        const ends = yield* connected
        const parts = [randomBytes(10), randomBytes(40_000)]
        yield* write(ends[sender], parts)
        yield* Effect.forkScoped(ends.transport.close(ends[sender]), { startImmediately: true })
        for (let i = 0; i < 50; i++) yield* turn
        const { fiber, received } = yield* collect(ends[receiver])
        yield* Fiber.join(fiber)
        assert.strictEqual(
          received.hash.digest("hex"),
          createHash("sha256").update(Buffer.concat(parts)).digest("hex")
        )
      })
    )

    live(
      `stops the sender while nobody reads, and loses nothing (${receiver} side)`,
      Effect.gen(function*() {
        const ends = yield* connected
        const part = randomBytes(64 * 1024)
        const writes = 1_024
        ends[receiver].setReading(false)
        const { fiber, received } = yield* collect(ends[receiver])
        let written = 0
        yield* Effect.gen(function*() {
          for (; written < writes; written++) yield* write(ends[sender], [part])
          yield* ends.transport.close(ends[sender])
        }).pipe(Effect.forkScoped)
        yield* untilStill(() => written)
        assert.isBelow(written, writes)
        assert.strictEqual(received.bytes, 0)
        ends[receiver].setReading(true)
        while (received.bytes < 1024 * 1024) yield* turn
        ends[receiver].setReading(false)
        const stopped = received.bytes
        yield* untilStill(() => written)
        assert.strictEqual(received.bytes, stopped)
        assert.isBelow(written, writes)
        ends[receiver].setReading(true)
        while (received.bytes < writes * part.length) yield* turn
        yield* Fiber.join(fiber)
        const expected = createHash("sha256")
        for (let i = 0; i < writes; i++) expected.update(part)
        assert.strictEqual(received.hash.digest("hex"), expected.digest("hex"))
      })
    )

    live(
      `makes an exception of the receiver its own and nobody else's (${receiver} side)`,
      Effect.gen(function*() {
        const ends = yield* connected
        const fiber = yield* ends[receiver].receive(() => {
          throw new Error("mine")
        }).pipe(Effect.forkScoped({ startImmediately: true }))
        yield* write(ends[sender], [randomBytes(100_000)]).pipe(Effect.ignore)
        const exit = yield* Fiber.await(fiber)
        assert.isTrue(Exit.hasDies(exit))
        yield* onlyTheFriendGetsIn(ends.listener)
      })
    )
  }

  live(
    "fails a waiting write and both receivers when the cable is cut",
    Effect.gen(function*() {
      const transport = yield* Transport
      const listener = yield* transport.listen(yield* pair(1), 0)
      const wire = yield* cable(listener.port)
      const dialled = yield* transport.dial(yield* pair(2), { host: loopback, port: wire.port }, undefined)
      const accepted = yield* Queue.take(listener.accepted)
      const receiving = yield* Effect.forEach([dialled, accepted], collect)
      accepted.setReading(false)
      let written = 0
      const writing = yield* Effect.forkScoped(
        Effect.forever(Effect.suspend(() => {
          written++
          return write(dialled, [new Uint8Array(64 * 1024)])
        }))
      )
      yield* untilStill(() => written)
      accepted.setReading(true)
      wire.cut()
      const failures: Array<ConnectionLost> = [yield* Effect.flip(Fiber.join(writing))]
      for (const { fiber } of receiving) failures.push(yield* Effect.flip(Fiber.join(fiber)))
      assert.deepStrictEqual(failures.map(({ _tag }) => _tag), ["ConnectionLost", "ConnectionLost", "ConnectionLost"])
      assert.strictEqual((yield* Effect.flip(write(dialled, [new Uint8Array(1)])))._tag, "ConnectionLost")
    })
  )

  live(
    "ends a dialled connection with the scope it was dialled in",
    Effect.gen(function*() {
      const transport = yield* Transport
      const listener = yield* transport.listen(yield* pair(1), 0)
      const accepted = yield* Effect.scoped(Effect.gen(function*() {
        yield* transport.dial(yield* pair(2), { host: loopback, port: listener.port }, undefined)
        return yield* Queue.take(listener.accepted)
      }))
      const { fiber } = yield* collect(accepted)
      yield* Fiber.join(fiber)
    })
  )

  live(
    "closes twice without complaint, and a write after that fails",
    Effect.gen(function*() {
      const { accepted, dialled, transport } = yield* connected
      const far = yield* collect(accepted)
      const near = yield* collect(dialled)
      yield* Effect.all([transport.close(dialled), transport.close(dialled)], { concurrency: 2 })
      yield* transport.close(dialled)
      yield* Fiber.join(far.fiber)
      yield* Fiber.join(near.fiber)
      assert.strictEqual((yield* Effect.flip(write(dialled, [new Uint8Array(1)])))._tag, "ConnectionLost")
    })
  )

  live(
    "does not wait for a peer that never reads",
    Effect.gen(function*() {
      const { accepted, dialled, transport } = yield* connected
      accepted.setReading(false)
      const writing = yield* Effect.forkScoped(Effect.forever(write(dialled, [new Uint8Array(1024 * 1024)])))
      for (let i = 0; i < 200; i++) yield* turn
      yield* transport.close(dialled)
      assert.strictEqual((yield* Effect.flip(Fiber.join(writing)))._tag, "ConnectionLost")
    })
  )

  live(
    "leaves no socket and no timer behind when its scope closes, nor when a dial is interrupted",
    Effect.gen(function*() {
      yield* socketsGone
      yield* Effect.scoped(Effect.gen(function*() {
        const { listener } = yield* connected
        const wrong = yield* pair(3)
        const transport = yield* Transport
        const crypto = yield* Crypto
        yield* dialReason(wrong, listener.port, { expected: crypto.peerId(wrong.publicKey) })
        yield* stranger(listener.port, () => {}).pipe(Effect.forkScoped({ startImmediately: true }))
        const silent = yield* otherServer(listenOnly)
        const dialling = yield* transport.dial(wrong, { host: loopback, port: silent.port }, undefined).pipe(
          Effect.forkScoped({ startImmediately: true })
        )
        while (silent.open.size === 0) yield* turn
        yield* Fiber.interrupt(dialling)
        while (silent.open.size > 0) yield* turn
      }))
      yield* socketsGone
      assert.deepStrictEqual(process.getActiveResourcesInfo().filter((name) => /TCP|TLS|Shutdown/.test(name)), [])
    })
  )
})
