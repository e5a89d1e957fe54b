/**
 * What a member can do to another: one attack after the other, each over a link of its own. A process of its own, so that
 * it can run on another machine of a lab and leaves the victim's processor alone.
 *
 *     node test/support/hostileMembers.ts HOST PORT SECONDS
 *
 * Prints a line of JSON for each: its name, and how the victim ended the link, or that it still stands.
 */
import { Effect, Queue } from "effect"
import * as Crypto from "node:crypto"
import * as Frame from "../../src/protocol/Frame.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import { write } from "../../src/services/Transport.ts"
import * as HostilePeer from "./HostilePeer.ts"

const address = { host: process.argv[2]!, port: Number(process.argv[3]) }
const seconds = Number(process.argv[4] ?? 2)

type Attack = (peer: HostilePeer.HostilePeer) => Effect.Effect<unknown, unknown, never>

const random43 = () => Crypto.randomBytes(32).toString("base64url")
const text = (json: string): Uint8Array => {
  const bytes = new TextEncoder().encode(json)
  const frame = new Uint8Array(Frame.headerBytes + bytes.length)
  new DataView(frame.buffer).setUint32(0, bytes.length)
  frame[0] = 1
  frame.set(bytes, Frame.headerBytes)
  return frame
}
const header = (kind: number, jsonBytes: number, payloadBytes: number): Uint8Array => {
  const bytes = new Uint8Array(Frame.headerBytes)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, jsonBytes)
  view.setUint8(0, kind)
  view.setUint32(4, payloadBytes)
  return bytes
}

/** Sends what `frame` gives, as fast as the victim takes it, until the link or the time is over. */
const flood = (peer: HostilePeer.HostilePeer, frame: (n: number) => Uint8Array) =>
  Effect.gen(function*() {
    for (let n = 0;; n += 16) {
      yield* write(peer.connection, Array.from({ length: 16 }, (_, i) => frame(n + i)))
      // A write that is taken at once must not keep this process from hearing that the link is over.
      yield* Effect.sleep(0)
    }
  }).pipe(Effect.ignore, Effect.raceFirst(peer.ended))

const encode = Frame.encodeControl

/** The first share that the victim speaks of. */
const shareOf = (peer: HostilePeer.HostilePeer) =>
  Effect.gen(function*() {
    while (true) {
      const message = yield* Queue.take(peer.heard)
      if (message._tag === "Bitfield") return message
    }
  })

const once = (...frames: ReadonlyArray<Uint8Array>): Attack => (peer) => peer.sayBytes(...frames)
const message = (json: string): Attack => once(text(json))
const tooDeep = `{"_tag":"Peers","links":0,"peers":${"[".repeat(30_000)}${"]".repeat(30_000)}}`

const entry = (peer: HostilePeer.HostilePeer, number: number, said = "spam") =>
  peer.sign("entry", { number, name: "mallory", writtenAt: 0, content: { _tag: "Text", text: said } })

const attacks: Record<string, Attack> = {
  "a flood of requests for a share": (peer) =>
    Effect.flatMap(shareOf(peer), ({ share }) => flood(peer, () => encode({ _tag: "Request", share, index: 0 }))),
  "a flood of requests for shares that are none": (peer) =>
    flood(peer, () => encode({ _tag: "Request", share: random43(), index: 0 })),
  "data that nobody asked for": (peer) =>
    Effect.flatMap(shareOf(peer), ({ share }) => {
      const frame = Buffer.concat([
        Frame.encodeDataHeader({ _tag: "Data", share, index: 1, offset: 0 }, Limits.dataFrameBytesMax),
        Crypto.randomBytes(Limits.dataFrameBytesMax)
      ])
      return flood(peer, () => frame)
    }),
  "never reading": (peer) =>
    Effect.flatMap(shareOf(peer), ({ share }) => {
      peer.connection.setReading(false)
      return flood(peer, (n) => encode(n % 2 === 0 ? { _tag: "Ping" } : { _tag: "Request", share, index: n % 20 }))
    }),
  "a second hello": (peer) => peer.say(peer.hello),
  "the victim's own address under another name": (peer) =>
    peer.say({ _tag: "Peers", links: 1, peers: [{ peer: random43(), addresses: [address] }] }),
  "an identity twice": (peer) =>
    Effect.scoped(Effect.flatMap(
      HostilePeer.join(address, { self: peer.self }),
      () => peer.ended
    )),
  "an index beyond the share": (peer) =>
    Effect.flatMap(shareOf(peer), ({ share }) => peer.say({ _tag: "Have", share, indexes: [Number.MAX_SAFE_INTEGER] })),
  "a request beyond the share": (peer) =>
    Effect.flatMap(shareOf(peer), ({ share }) => peer.say({ _tag: "Request", share, index: 1_000_000 })),
  "a bitfield of a wrong length": (peer) =>
    Effect.flatMap(shareOf(peer), ({ share }) => peer.say({ _tag: "Bitfield", share, bits: "AAAAAAAAAAAAAAAA" })),
  "a number below zero": message(`{"_tag":"Have","share":"${random43()}","indexes":[-1]}`),
  "a number beyond all": message(`{"_tag":"Heads","first":true,"received":1e999,"heads":[]}`),
  "a fraction": message(`{"_tag":"Request","share":"${random43()}","index":0.5}`),
  "JSON thirty thousand deep": message(tooDeep),
  "JSON longer than a frame may be": once(header(1, Limits.controlFrameBytesMax + 1, 0)),
  "a payload longer than a frame may be": once(header(2, 100, 0xffff_ffff)),
  "keys of the prototype": message(
    `{"_tag":"Heads","first":false,"received":0,"heads":[],"__proto__":{"_tag":"Hello","polluted":1},"constructor":{"prototype":{"polluted":1}}}`
  ),
  "no JSON": once(text("{\"_tag\":")),
  "a kind of frame that is none": once(header(7, 10, 0)),
  "a flood of addresses": (peer) =>
    flood(peer, () =>
      encode({
        _tag: "Peers",
        links: 1,
        peers: Array.from({ length: Limits.peersPerMessageMax }, () => ({
          peer: random43(),
          addresses: [{ host: `127.0.${Crypto.randomInt(255)}.${Crypto.randomInt(255)}`, port: 1 }]
        }))
      })),
  "a flood of heads": (peer) =>
    flood(peer, (n) =>
      encode({
        _tag: "Heads",
        first: n % 2 === 0,
        received: n,
        heads: Array.from(
          { length: Limits.authorsMax },
          () => ({ author: random43(), number: 1 + Crypto.randomInt(1_000) })
        )
      })),
  "a flood of entries": (peer) => flood(peer, (n) => encode({ _tag: "Entries", entries: [entry(peer, n + 1)] })),
  "entries beyond a gap": (peer) => flood(peer, (n) => encode({ _tag: "Entries", entries: [entry(peer, n + 100)] })),
  "two versions of every entry": (peer) =>
    flood(peer, (n) => encode({ _tag: "Entries", entries: [entry(peer, 1 + (n >> 1), `version ${n & 1}`)] })),
  "a forged entry": (peer) =>
    peer.say({ _tag: "Entries", entries: [{ ...entry(peer, 1), key: peer.hello.certificates[0]!.key }] }),
  "the teacher's word": (peer) =>
    peer.say({
      _tag: "Entries",
      entries: [peer.sign("entry", { number: 1, name: "teacher", writtenAt: 0, content: { _tag: "End" } })]
    }),
  "a removal by a student": (peer) =>
    peer.say({
      _tag: "Entries",
      entries: [peer.sign("entry", {
        number: 1,
        name: "teacher",
        writtenAt: 0,
        content: { _tag: "Remove", key: random43(), name: "you", after: 0 }
      })]
    }),
  "a flood of statuses": (peer) =>
    flood(peer, (n) =>
      encode({
        _tag: "Statuses",
        statuses: [peer.sign("status", { number: n, name: "mallory", links: 1, receiveBytesPerSecond: 1, shares: [] })]
      })),
  "a forged status": (peer) =>
    peer.say({
      _tag: "Statuses",
      statuses: [{ ...peer.sign("status", { number: 1 }), key: peer.hello.certificates[0]!.key }]
    }),
  "certificates of another root": (peer) =>
    peer.say({
      _tag: "Certificates",
      certificates: [{ ...peer.hello.certificates[0]!, key: peer.self.publicKey }]
    }),
  "a goodbye for ever": (peer) => flood(peer, () => encode({ _tag: "Goodbye", code: "leaving", detail: "" }))
}

for (const [name, attack] of Object.entries(attacks)) {
  const ended = await Effect.runPromise(
    Effect.gen(function*() {
      const peer = yield* HostilePeer.join(address)
      yield* Effect.timeoutOption(attack(peer), seconds * 1_000)
      return yield* peer.ended.pipe(Effect.timeoutOrElse({ duration: 1_000, orElse: () => Effect.succeed("stands") }))
    }).pipe(Effect.scoped, Effect.catchCause((cause) => Effect.succeed(`failed: ${String(cause).slice(0, 200)}`)))
  )
  process.stdout.write(`${JSON.stringify({ name, ended, atMs: Date.now() })}\n`)
}
