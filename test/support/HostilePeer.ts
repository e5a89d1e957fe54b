/**
 * A member that means harm: a real key, a real handshake and a hello that is accepted, made with the project's own
 * transport and frames, and behind it whatever a test wants to send.
 */
import { Context, Deferred, Effect, Layer, Queue, Result, Schema, type Scope } from "effect"
import * as Frame from "../../src/protocol/Frame.ts"
import type { PublicKey, SessionId } from "../../src/protocol/Ids.ts"
import type { Kind } from "../../src/protocol/Signed.ts"
import { type Address, type Hello, Message } from "../../src/protocol/Wire.ts"
import { Crypto, type KeyPair } from "../../src/services/Crypto.ts"
import * as CryptoNode from "../../src/services/node/CryptoNode.ts"
import * as TransportNode from "../../src/services/node/TransportNode.ts"
import { type Connection, Transport, write } from "../../src/services/Transport.ts"

export interface HostilePeer {
  readonly self: KeyPair
  readonly session: SessionId
  readonly hello: Hello
  readonly connection: Connection
  /** Messages of the victim, as they come; ends with the link. Those beyond the last thousand are thrown away. */
  readonly heard: Queue.Dequeue<Message>
  /** Anything at all, as a control frame. */
  readonly say: (message: unknown) => Effect.Effect<void>
  readonly sayBytes: (...bytes: ReadonlyArray<Uint8Array>) => Effect.Effect<void>
  readonly sign: (kind: Kind, body: unknown) => { key: PublicKey; signature: string; body: string }
  /** How the victim ended the link: the code and detail of its goodbye, or that it just hung up. */
  readonly ended: Effect.Effect<string>
}

const layer = Layer.mergeAll(CryptoNode.layerNode, TransportNode.layerNode)
const decode = Schema.decodeUnknownResult(Message)

/** Links to the device at the address under a key of its own, or the one given, and greets it as a member does. */
export const join = Effect.fnUntraced(function*(
  address: Address,
  options: { readonly self?: KeyPair; readonly greet?: boolean; readonly change?: (hello: Hello) => unknown } = {}
): Effect.fn.Return<HostilePeer, unknown, Scope.Scope> {
  const services = yield* Layer.build(layer)
  const crypto = Context.get(services, Crypto)
  const transport = Context.get(services, Transport)
  const self = options.self ?? crypto.keyPair(yield* crypto.randomBytes(32))
  const connection = yield* transport.dial(self, address, undefined)
  const heard = yield* Queue.sliding<Message>(1_000)
  const theirs = yield* Deferred.make<Hello>()
  const ended = yield* Deferred.make<string>()
  let goodbye: string | undefined

  const decoder = new Frame.Decoder({
    control: (json) => {
      const message = Result.getOrUndefined(decode(json))
      if (message?._tag === "Hello") Deferred.doneUnsafe(theirs, Effect.succeed(message))
      if (message?._tag === "Goodbye") goodbye = `${message.code}: ${message.detail}`
      if (message !== undefined) Queue.offerUnsafe(heard, message)
      return undefined
    },
    data: () => "skip",
    dataEnd: () => {}
  })
  yield* connection.receive((bytes) => void decoder.push(bytes)).pipe(
    Effect.ignore,
    Effect.andThen(Effect.suspend(() => Deferred.succeed(ended, goodbye ?? "closed without a word"))),
    Effect.forkScoped
  )
  const hello = yield* Deferred.await(theirs)
  const sayBytes = (...bytes: ReadonlyArray<Uint8Array>) => Effect.ignore(write(connection, bytes))
  const say = (message: unknown) => sayBytes(Frame.encodeControl(message))
  if (options.greet !== false) {
    const ours: Hello = { ...hello, name: "mallory", listenPort: 0, program: "hostile" }
    yield* say(options.change?.(ours) ?? ours)
  }
  return {
    self,
    session: hello.session,
    hello,
    connection,
    heard,
    say,
    sayBytes,
    sign: (kind, body) => crypto.sign(self, kind, hello.session, JSON.stringify(body)),
    ended: Deferred.await(ended)
  }
})
