/** Multicast over real sockets of this machine, on loopback. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Scope } from "effect"
import * as Fragment from "../../src/protocol/Fragment.ts"
import type { InterfaceAddress } from "../../src/protocol/Interfaces.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import { type Address, castPort } from "../../src/protocol/Wire.ts"
import { Multicast, MulticastError } from "../../src/services/Multicast.ts"
import { layerNode } from "../../src/services/node/MulticastNode.ts"
import { loopback } from "../support/Loopback.ts"

const group = { host: "239.255.200.1", port: castPort }

const bytesOf = (text: string) => new TextEncoder().encode(text)

/** Hears the datagrams of a group, as texts of their first bytes and their lengths. */
const hearing = Effect.fnUntraced(function*(groups: ReadonlyArray<Address> = [group]) {
  const multicast = yield* Multicast
  const heard: Array<readonly [string, number]> = []
  const waiting: Array<{ readonly count: number; readonly done: Deferred.Deferred<void> }> = []
  yield* multicast.receive(groups, loopback, (bytes) => {
    heard.push([new TextDecoder().decode(bytes.subarray(0, 5)), bytes.length])
    for (const { count, done } of waiting) if (heard.length >= count) Deferred.doneUnsafe(done, Effect.void)
  })
  const until = (count: number) =>
    Effect.suspend(() => {
      if (heard.length >= count) return Effect.void
      const done = Deferred.makeUnsafe<void>()
      waiting.push({ count, done })
      return Deferred.await(done)
    })
  return { heard, until }
})

const sendingTo = Effect.fnUntraced(function*(groups: ReadonlyArray<Address>) {
  const multicast = yield* Multicast
  const sender = yield* multicast.sender(groups, loopback)
  const send = (...parts: ReadonlyArray<Uint8Array>) =>
    Effect.callback<boolean>((resume) => sender.send(parts, (left) => resume(Effect.succeed(left))))
  return { sender, send }
})
const sending = sendingTo([group])

describe("Multicast", () => {
  it.live("reaches everybody of a group, in one datagram however many the parts, up to the largest fragment", () =>
    Effect.gen(function*() {
      const [a, b] = [yield* hearing(), yield* hearing()]
      const { send, sender } = yield* sending
      assert.isAtLeast(sender.datagramBytesMax, Limits.fragmentDatagramBytesMax)
      assert.isTrue(yield* send(bytesOf("he"), bytesOf("llo")))
      assert.isTrue(yield* send(bytesOf("large"), new Uint8Array(Limits.fragmentDatagramBytesMax - 5)))
      yield* Effect.all([a.until(2), b.until(2)])
      const expected = [["hello", 5], ["large", Limits.fragmentDatagramBytesMax]]
      assert.deepStrictEqual(a.heard, expected as never)
      assert.deepStrictEqual(b.heard, expected as never)
    }).pipe(Effect.scoped, Effect.provide(layerNode)))

  it.live("deals datagrams out among several groups, of which each is heard", () =>
    Effect.gen(function*() {
      const groups = Fragment.groupsOf(group, 3)
      const [all, second] = [yield* hearing(groups), yield* hearing([groups[1]!])]
      const { send } = yield* sendingTo(groups)
      const texts = ["first", "secon", "third", "fourt", "fifth"]
      for (const text of texts) yield* send(bytesOf(text))
      yield* Effect.all([all.until(5), second.until(2)])
      assert.sameMembers(all.heard.map(([text]) => text), texts)
      assert.deepStrictEqual(second.heard.map(([text]) => text), ["secon", "fifth"])
    }).pipe(Effect.scoped, Effect.provide(layerNode)))

  it.live("is not heard by who has joined another group, nor after the scope has closed", () =>
    Effect.gen(function*() {
      const other = yield* hearing([{ ...group, host: "239.255.200.2" }])
      const scope = yield* Scope.make()
      const left = yield* Scope.provide(hearing(), scope)
      yield* Scope.close(scope, Exit.void)
      const member = yield* hearing()
      const { send } = yield* sending
      yield* send(bytesOf("hello"))
      yield* member.until(1)
      assert.deepStrictEqual([other.heard, left.heard], [[], []])
    }).pipe(Effect.scoped, Effect.provide(layerNode)))

  it.live("says that a datagram did not leave which the system does not send, and goes on", () =>
    Effect.gen(function*() {
      const member = yield* hearing()
      const { send, sender } = yield* sending
      // Both ends of what may be asked of the system's queue are taken or passed over.
      sender.setQueue(1)
      sender.setQueue(2 ** 30)
      assert.isFalse(yield* send(new Uint8Array(sender.datagramBytesMax + 1)))
      assert.isTrue(yield* send(bytesOf("hello")))
      yield* member.until(1)
    }).pipe(Effect.scoped, Effect.provide(layerNode)))

  it.live("fails with a reason where the interface is not there, and where it is switched off", () =>
    Effect.gen(function*() {
      const nowhere: InterfaceAddress = { ...loopback, address: "192.0.2.1" }
      const fails = Effect.fnUntraced(function*(service: Multicast["Service"], by: InterfaceAddress) {
        const errors = yield* Effect.all([
          Effect.flip(service.sender([group], by)),
          Effect.flip(service.receive([group], by, () => {}))
        ])
        for (const error of errors) {
          assert.instanceOf(error, MulticastError)
          assert.isAbove(error.detail.length, 0)
        }
      })
      yield* fails(yield* Effect.provide(Multicast, layerNode), nowhere)
      const none = yield* Effect.provide(Multicast, Multicast.layerNone)
      yield* fails(none, loopback)
      assert.deepStrictEqual(yield* none.interfaces, [])
    }).pipe(Effect.scoped))
})
