/**
 * Who gets into a closed session, and who gets its join code: impostors and intruders that speak the real protocol over
 * the virtual network, against the production services.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Queue, Random, Redacted } from "effect"
import { TestClock } from "effect/testing"
import type { Certificate } from "../../src/protocol/Certificate.ts"
import * as Frame from "../../src/protocol/Frame.ts"
import type { Signed } from "../../src/protocol/Signed.ts"
import type { Address, Message } from "../../src/protocol/Wire.ts"
import { Crypto, type KeyPair } from "../../src/services/Crypto.ts"
import * as Link from "../../src/services/Link.ts"
import * as CryptoNode from "../../src/services/node/CryptoNode.ts"
import { PeerManager } from "../../src/services/PeerManager.ts"
import { SessionContext } from "../../src/services/SessionContext.ts"
import type { Connection } from "../../src/services/Transport.ts"
import { type Port, VirtualNetwork } from "../../src/simulator/VirtualNetwork.ts"
import { certify, seed } from "../support/Certified.ts"
import { scopedInTime } from "../support/InTime.ts"

const lan = { latencyMsMin: 1, latencyMsMax: 5, bytesPerSecond: 12_500_000 }
const onNetwork = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(scopedInTime, Effect.provide(CryptoNode.layerNode), Random.withSeed("closed"))

const policy = { closed: true, studentsMayWrite: true, studentsMayShare: false }
type Certified = Effect.Success<ReturnType<typeof certify>>

/** A device of the closed session: the teacher, or a student that may know a code. */
const device = Effect.fnUntraced(function*(
  network: VirtualNetwork,
  host: string,
  self: KeyPair,
  certified: Certified,
  code?: string
) {
  const services = yield* Layer.build(
    PeerManager.layer({ listenPort: 9_000, program: "test" }).pipe(
      Layer.provideMerge(SessionContext.layer({
        self,
        name: `at ${host}`,
        certificates: [certified.verified],
        joinCode: code === undefined ? undefined : Redacted.make(code)
      })),
      Layer.provide(network.layers(network.port(host)))
    )
  )
  const peers = Context.get(services, PeerManager)
  yield* peers.logEvents.process(() => Effect.void)
  yield* peers.setSwarmUser({ hear: () => {}, placeFor: () => undefined })
  return { peers, context: Context.get(services, SessionContext) }
})

/** Says hello on a connection and writes down what the other side says. */
const talk = Effect.fnUntraced(function*(connection: Connection, hello: Message, said: Array<Message>) {
  const link = yield* Link.make(connection)
  link.post("link", Frame.encodeControl(hello))
  yield* Queue.take(link.inbox).pipe(
    Effect.map((received) => received._tag === "Message" ? said.push(received.message) : assert.fail("data")),
    Effect.forever,
    Effect.ignore
  )
})

const helloOf = (certified: Certified, certificates: ReadonlyArray<Signed>, membership?: Signed): Message => ({
  _tag: "Hello",
  versions: [1, 1],
  session: certified.verified.certificate.session,
  certificates,
  listenPort: 9_000,
  program: "test",
  ...(membership === undefined ? {} : { membership })
})

/** Dials as an intruder, shows what it has, and gives what it is told within a few seconds. */
const intrude = Effect.fnUntraced(function*(
  network: VirtualNetwork,
  port: Port,
  self: KeyPair,
  address: Address,
  hello: Message
) {
  const said: Array<Message> = []
  const talking = yield* Effect.forkChild(
    network.transport(port).dial(self, address, undefined).pipe(
      Effect.flatMap((connection) => talk(connection, hello, said)),
      Effect.scoped,
      Effect.ignore
    ),
    { startImmediately: true }
  )
  yield* TestClock.adjust("8 seconds")
  yield* Fiber.interrupt(talking)
  return said
})

describe("the join code", () => {
  it.effect("goes to nobody who only calls itself the teacher, and what they are told says nothing about it", () =>
    Effect.gen(function*() {
      const crypto = yield* Crypto
      const certified = yield* certify({ policy })
      const { certificate, signed } = certified.verified
      const impostor = crypto.keyPair(seed(66))
      const bodyOf = (fields: Partial<Certificate>) => JSON.stringify({ ...certificate, ...fields })
      const disguises: ReadonlyArray<ReadonlyArray<Signed>> = [
        // The teacher's own certificate, played back.
        [signed],
        // The same title and session under a root of its own.
        [crypto.sign(impostor, "certificate", "-", bodyOf({ root: impostor.publicKey, host: impostor.publicKey }))],
        // The teacher's certificate with another host, signed by the wrong key or with the signature of the right one.
        [{ ...crypto.sign(impostor, "certificate", "-", bodyOf({ host: impostor.publicKey })), key: certificate.root }],
        [{ ...signed, body: bodyOf({ host: impostor.publicKey, epoch: certificate.epoch + 1 }) }],
        [signed, { ...signed, body: bodyOf({ host: impostor.publicKey, epoch: certificate.epoch + 1 }) }]
      ]
      for (const disguise of disguises) {
        const heard: Array<ReadonlyArray<Message>> = []
        for (const code of ["blue whale 42", "red panda 17"]) {
          const network = yield* VirtualNetwork.make({ ...lan, latencyMsMin: 1, latencyMsMax: 1 })
          const said: Array<Message> = []
          const hello = helloOf(certified, disguise)
          const port = network.port("10.0.0.66")
          const listener = yield* network.transport(port).listen(impostor, 9_000)
          yield* Queue.take(listener.accepted).pipe(
            Effect.flatMap((connection) => Effect.scoped(talk(connection, hello, said))),
            Effect.forever,
            Effect.forkScoped
          )
          const student = yield* device(network, "10.0.0.1", crypto.keyPair(seed(7)), certified, code)
          yield* student.peers.connect({ host: "10.0.0.66", port: 9_000 })
          yield* student.peers.heard(student.context.hostPeer(), { host: "10.0.0.66", port: 9_000 })
          yield* TestClock.adjust("8 seconds")
          said.push(...yield* intrude(network, port, impostor, { host: "10.0.0.1", port: 9_000 }, hello))
          assert.isNotEmpty(said)
          assert.sameMembers([...new Set(said.map(({ _tag }) => _tag))], ["Hello", "Goodbye"])
          assert.deepStrictEqual(yield* student.peers.peers, [])
          heard.push(said)
          // The code is right, and would have been said: the teacher gets it.
          if (code !== "blue whale 42") continue
          const teacher = yield* device(network, "10.0.0.2", certified.host, certified, code)
          yield* student.peers.connect({ host: "10.0.0.2", port: 9_000 })
          yield* TestClock.adjust("8 seconds")
          assert.lengthOf(yield* teacher.peers.peers, 1)
        }
        // Whoever could guess off line would need something that the code has changed.
        assert.deepStrictEqual(heard[0], heard[1])
      }
    }).pipe(onNetwork))
})

describe("a membership", () => {
  it.effect("that is none lets nobody in, at the teacher's or at a member's, and nothing is said to who shows it", () =>
    Effect.gen(function*() {
      const crypto = yield* Crypto
      const certified = yield* certify({ policy })
      const { session } = certified.verified.certificate
      const network = yield* VirtualNetwork.make(lan)
      const teacher = yield* device(network, "10.0.0.1", certified.host, certified, "blue whale 42")
      const member = yield* device(network, "10.0.0.2", crypto.keyPair(seed(8)), certified, "blue whale 42")
      yield* member.peers.connect({ host: "10.0.0.1", port: 9_000 })
      yield* TestClock.adjust("8 seconds")
      assert.lengthOf(yield* teacher.peers.peers, 1)

      const intruder = crypto.keyPair(seed(99))
      const port = network.port("10.0.0.99")
      const body = JSON.stringify({ member: intruder.publicKey, number: 1 })
      const genuine = member.context.membership()!
      const forged: ReadonlyArray<Signed | undefined> = [
        undefined,
        // Another's.
        genuine,
        { ...genuine, body },
        // Signed by itself, in the host's name and in its own, or by a member.
        crypto.sign(intruder, "membership", session, body),
        { ...crypto.sign(intruder, "membership", session, body), key: certified.host.publicKey },
        crypto.sign(member.context.self, "membership", session, body),
        // By the host: for another session, or as another kind of statement.
        crypto.sign(certified.host, "membership", "BBBBBBBBBBBBBBBBBBBBBB" as never, body),
        crypto.sign(certified.host, "status", session, body)
      ]
      for (const membership of forged) {
        const hello = helloOf(certified, [certified.verified.signed], membership)
        for (const host of ["10.0.0.1", "10.0.0.2"]) {
          const said = yield* intrude(network, port, intruder, { host, port: 9_000 }, hello)
          assert.includeMembers(["Hello", "Goodbye"], said.map(({ _tag }) => _tag))
          for (const message of said) if (message._tag === "Hello") assert.isUndefined(message.name)
        }
        assert.lengthOf(yield* teacher.peers.peers, 1)
        assert.lengthOf(yield* member.peers.peers, 1)
      }
      // The one that is right does let it in: it is the membership that counts, not the code.
      const right = helloOf(
        certified,
        [certified.verified.signed],
        crypto.sign(certified.host, "membership", session, body)
      )
      const said = yield* intrude(network, port, intruder, { host: "10.0.0.2", port: 9_000 }, right)
      assert.include(said.map(({ _tag }) => _tag), "Introduction")
    }).pipe(onNetwork))
})
