/**
 * Structure-aware fuzzing of everything that reads what others have written: the wire, signed statements, manifests and
 * the files of the state folder.
 *
 * An input begins as an example of the corpus and is changed where the format has meaning: a value of its JSON becomes a
 * hostile one, a length becomes another, a checksum is made right again. Everything follows from a seed. A target throws
 * where the decoder has broken its promise: it gives a value or a typed refusal, never an exception; what it takes it
 * gives back the same; and the prototype of objects stays as it was.
 */
import { Cause, Effect, Exit, Layer, Result, Schema } from "effect"
import * as NodeAssert from "node:assert/strict"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Announcement from "../../src/protocol/Announcement.ts"
import { Certificate } from "../../src/protocol/Certificate.ts"
import { Entry } from "../../src/protocol/Entry.ts"
import * as Frame from "../../src/protocol/Frame.ts"
import * as JoinLink from "../../src/protocol/JoinLink.ts"
import * as Manifest from "../../src/protocol/Manifest.ts"
import { MembershipCertificate } from "../../src/protocol/MembershipCertificate.ts"
import { Status } from "../../src/protocol/Status.ts"
import { Data, Message } from "../../src/protocol/Wire.ts"
import { finish } from "../../src/protocol/Work.ts"
import type { Crypto } from "../../src/services/Crypto.ts"
import type { Disk } from "../../src/services/Disk.ts"
import { HostedSessions } from "../../src/services/HostedSessions.ts"
import { Identity } from "../../src/services/Identity.ts"
import { LogStore } from "../../src/services/LogStore.ts"
import { MachineId } from "../../src/services/MachineId.ts"
import { Memberships } from "../../src/services/Memberships.ts"
import * as CryptoNode from "../../src/services/node/CryptoNode.ts"
import { PastSessions } from "../../src/services/PastSessions.ts"
import * as Journal from "../../src/services/store/Journal.ts"
import * as Record from "../../src/services/store/Record.ts"
import { DiskMemory } from "../../src/simulator/DiskMemory.ts"
import * as Golden from "./Golden.ts"

type Bytes = Uint8Array

export interface Target {
  readonly name: string
  readonly corpus: ReadonlyArray<Bytes>
  /** Changes an input where its format has meaning. */
  readonly mutate: (input: Bytes, draw: Draw) => Bytes
  /** Throws if the decoder has broken a promise. */
  readonly attempt: (input: Bytes) => void
}

// ---- Chance --------------------------------------------------------------------------------------------------------

/** A number below `count`. */
export type Draw = (count: number) => number

/** mulberry32, by Tommy Ettinger: small, and good enough to choose what to break. */
export const drawFrom = (seed: number): Draw => {
  let state = seed | 0
  return (count) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * count)
  }
}

// ---- Mutations -----------------------------------------------------------------------------------------------------

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const text = (bytes: Bytes): string => decoder.decode(bytes)
const bytesOf = (json: string): Bytes => encoder.encode(json)

const concat = (...parts: ReadonlyArray<Bytes>): Bytes => Uint8Array.from(parts.flatMap((part) => Array.from(part)))

/** Bits, runs and ends, wherever they are. */
const mutateBytes = (input: Bytes, draw: Draw): Bytes => {
  const at = draw(input.length + 1)
  const length = 1 + draw(Math.min(64, input.length + 1))
  switch (draw(6)) {
    case 0: {
      const copy = input.slice()
      if (copy.length > 0) copy[at % copy.length]! ^= 1 << draw(8)
      return copy
    }
    case 1:
      return input.slice(0, at)
    case 2:
      return concat(input.subarray(0, at), input.subarray(at + length))
    case 3:
      return concat(input.subarray(0, at), input.subarray(at, at + length), input.subarray(at))
    case 4:
      return concat(input.subarray(0, at), Uint8Array.from({ length }, () => draw(256)), input.subarray(at))
    default: {
      const copy = input.slice()
      copy.fill([0, 0xff, 0x7f, 0x80, 34, 92, 123][draw(7)]!, at, at + length)
      return copy
    }
  }
}

const hostile: ReadonlyArray<unknown> = [
  null,
  true,
  false,
  0,
  -0,
  -1,
  0.5,
  1e21,
  Number.MAX_SAFE_INTEGER,
  Number.MAX_SAFE_INTEGER + 1,
  4_294_967_296,
  65_536,
  "",
  "\u0000",
  "\ud800",
  "\udc00\ud800",
  "__proto__",
  "constructor",
  "toString",
  "../../etc/passwd",
  "CON",
  "a".repeat(70_000),
  "é".repeat(200),
  "\u202e\u200b\ufeff",
  [],
  {},
  [[]],
  [null],
  { length: 3 },
  { toJSON: 1 },
  { _tag: "Hello" },
  Array.from({ length: 5_000 }, () => 0)
]
/** What JSON.stringify would not write. */
const hostileText = [
  "1e999",
  "-1e999",
  "[".repeat(1_000) + "]".repeat(1_000),
  "{\"__proto__\":{\"polluted\":1}}",
  "\"\\ud800\"",
  "1.0",
  "1e3",
  "{\"a\":1,\"a\":2}",
  " 1 "
]
/** Stands for one of {@link hostileText} until the JSON is text. */
const hole = "\u0001hole\u0001"

/** No caller hands more to a decoder: a frame has 64 KiB, a file of the state a megabyte. */
const inputBytesMax = 2 ** 21

/** As many of the items as stay below {@link inputBytesMax}, whatever an earlier mutation has made of one. */
const many = (items: ReadonlyArray<unknown>, count: number): number => {
  const largest = Math.max(1, ...items.slice(0, count).map((item) => String(JSON.stringify(item)).length))
  return Math.max(1, Math.min(count, Math.floor(inputBytesMax / largest)))
}

/** Changes one value somewhere in it. */
const mutateValue = (value: unknown, draw: Draw): unknown => {
  if (typeof value !== "object" || value === null || draw(8) === 0) {
    if (typeof value === "number" && draw(2) === 0) return value + [1, -1, 0.5, 2 ** 32, -(2 ** 31)][draw(5)]!
    if (typeof value === "string" && draw(2) === 0) {
      const at = draw(value.length + 1)
      return [
        value.slice(0, at) + value.slice(at + 1),
        `${value.slice(0, at)}A${value.slice(at)}`,
        value.slice(0, at) + "\ud800" + value.slice(at),
        `${value} `,
        value.toUpperCase()
      ][draw(5)]
    }
    return draw(6) === 0 ? hole : hostile[draw(hostile.length)]
  }
  if (Array.isArray(value)) {
    const copy = [...value]
    const at = draw(copy.length + 1)
    switch (draw(4)) {
      case 0:
        copy.splice(at, 1)
        break
      case 1:
        copy.splice(at, 0, copy[draw(Math.max(1, copy.length))])
        break
      case 2:
        return Array.from({ length: many(copy, 1 + draw(600)) }, (_, i) => copy[i % Math.max(1, copy.length)])
      default:
        if (copy.length > 0) copy[at % copy.length] = mutateValue(copy[at % copy.length], draw)
    }
    return copy
  }
  const entries = Object.entries(value)
  const at = draw(Math.max(1, entries.length))
  switch (draw(6)) {
    case 0:
      return Object.fromEntries(entries.filter((_, i) => i !== at))
    case 1:
      return {
        ...value,
        [["__proto__x", "ignorable", "constructor", "extra", "_tag"][draw(5)]!]: hostile[draw(hostile.length)]
      }
    case 2:
      return Object.fromEntries(entries.toReversed())
    default:
      return Object.fromEntries(entries.map(([key, inner], i) => [key, i === at ? mutateValue(inner, draw) : inner]))
  }
}

const isLarge = (value: unknown): boolean => (JSON.stringify(value)?.length ?? 0) > 256 * 1024

const mutateJson = (input: Bytes, draw: Draw): Bytes => {
  if (draw(4) === 0) return mutateBytes(input, draw)
  let value: unknown
  try {
    value = JSON.parse(text(input))
  } catch {
    return mutateBytes(input, draw)
  }
  // Lists of lists of long texts would fill the memory of the fuzzer, which is nobody's bug.
  for (let times = 1 + draw(3); times > 0 && !isLarge(value); times--) value = mutateValue(value, draw)
  return bytesOf(
    (JSON.stringify(value) ?? "null").replaceAll(JSON.stringify(hole), () => hostileText[draw(hostileText.length)]!)
  )
}

// ---- Targets -------------------------------------------------------------------------------------------------------

const project = Path.resolve(import.meta.dirname, "../..")
const goldenFile = (name: string): Bytes => Uint8Array.from(Fs.readFileSync(Path.join(project, "test/golden", name)))
export const corpusFolder = Path.join(project, "test/corpus")

/** Inputs that once broke something, or reach what mutations of the examples do not. */
const kept = (name: string): ReadonlyArray<Bytes> => {
  const folder = Path.join(corpusFolder, name)
  if (!Fs.existsSync(folder)) return []
  return Fs.readdirSync(folder).toSorted().map((file) => Uint8Array.from(Fs.readFileSync(Path.join(folder, file))))
}

const target = (
  name: string,
  examples: ReadonlyArray<Bytes>,
  attempt: Target["attempt"],
  mutate = mutateJson
): Target => ({
  name,
  corpus: [...examples, ...kept(name)],
  mutate,
  attempt: (input) => {
    attempt(input)
    NodeAssert.equal(({} as { polluted?: unknown }).polluted, undefined, "the prototype was polluted")
  }
})

/** A JSON text is refused, or gives a value that is the same when it is sent on. */
const schemaTarget = <S extends Schema.ConstraintDecoder<unknown>>(
  name: string,
  schema: S,
  examples: ReadonlyArray<string>
) => {
  const decode = Schema.decodeUnknownResult(schema)
  return target(name, examples.map(bytesOf), (input) => {
    let json: unknown
    try {
      json = JSON.parse(text(input))
    } catch {
      return
    }
    const decoded = decode(json)
    if (Result.isFailure(decoded)) return
    NodeAssert.deepEqual(Result.getOrThrow(decode(JSON.parse(JSON.stringify(decoded.success)))), decoded.success)
  })
}

/** What a decoder makes of bytes that come in pieces. */
const framesOf = (pieces: ReadonlyArray<Bytes>): unknown => {
  const seen: Array<unknown> = []
  const frames = new Frame.Decoder({
    control: (json) => void seen.push(json),
    data: (json, length) => {
      seen.push(json, length)
      return length % 3 === 0 ? "skip" : { into: new Uint8Array(length) }
    },
    dataEnd: () => void seen.push("end")
  })
  let violation: string | undefined
  for (const piece of pieces) violation = frames.push(piece)
  return { seen, violation }
}

const mutateFrames = (input: Bytes, draw: Draw): Bytes => {
  const copy = input.slice()
  if (copy.length < Frame.headerBytes || draw(3) === 0) return mutateBytes(input, draw)
  const view = new DataView(copy.buffer)
  switch (draw(4)) {
    case 0:
      copy[0] = draw(4)
      return copy
    case 1:
      view.setUint32(4, [0, 1, 65_536, 65_537, 0xffff_ffff, 0x8000_0000][draw(6)]!)
      return copy
    case 2: {
      const length = [0, 1, 511, 513, 65_535, 65_537, 0xff_ffff][draw(7)]!
      copy.set([length >> 16, length >> 8, length], 1)
      return copy
    }
    default: {
      const length = (copy[1]! << 16) | (copy[2]! << 8) | copy[3]!
      const json = mutateJson(copy.slice(Frame.headerBytes, Frame.headerBytes + length), draw)
      copy.set([json.length >> 16, json.length >> 8, json.length], 1)
      return concat(copy.subarray(0, Frame.headerBytes), json, copy.subarray(Frame.headerBytes + length))
    }
  }
}

const frameExamples = Golden.messages.map(({ _tag }) => goldenFile(`frames/${_tag}.frame`))

const jsonLines = (input: Bytes, draw: Draw): Bytes => {
  if (draw(3) === 0) return mutateBytes(input, draw)
  const lines = text(input).split("\n")
  const at = draw(lines.length)
  if (draw(4) === 0) lines.splice(at, draw(2), lines[draw(lines.length)]!)
  else lines[at] = text(mutateJson(bytesOf(lines[at]!), draw))
  return bytesOf(lines.join("\n"))
}

const log = (input: Bytes, draw: Draw): Bytes => {
  const lines = text(input).split("\n")
  const at = draw(lines.length)
  const line = lines[at]!
  if (line.length < 12 || draw(3) === 0) return mutateBytes(input, draw)
  // The checksum is made right again: it guards against accidents, not against authors.
  const changed = line[11]! + text(mutateJson(bytesOf(line.slice(12)), draw)).replaceAll("\n", " ")
  lines[at] = Golden.crypto.sha256Text(bytesOf(changed)).slice(0, 11) + changed
  return bytesOf(lines.join("\n"))
}

const state = "/state"

/** Runs a service of the state folder with the input as one of its files: it succeeds, or fails with a typed error. */
const stateTarget = (
  name: string,
  file: string,
  example: string,
  body: Effect.Effect<unknown, unknown, Crypto | Disk>,
  mutate = mutateJson
) =>
  target(name, [bytesOf(example)], (input) => {
    const disk = new DiskMemory()
    disk.put(`${state}/${file}`, input)
    const exit = Effect.runSyncExit(Effect.provide(body, Layer.mergeAll(disk.layer, CryptoNode.layerNode)))
    if (Exit.isFailure(exit) && !Cause.hasFails(exit.cause)) throw Cause.squash(exit.cause)
  }, mutate)

const machine = Layer.succeed(MachineId, { facts: Effect.succeed({ installation: "i", hardware: ["m"], user: "u" }) })
const identity = Layer.provide(Identity.layer(state), machine)
const certificate = Golden.announcement.certificate
const logLine = (kind: string, signed: unknown) => {
  const line = kind + JSON.stringify(signed)
  return `${Golden.crypto.sha256Text(bytesOf(line)).slice(0, 11)}${line}\n`
}
const entries = Golden.messages.flatMap((message) => message._tag === "Entries" ? message.entries : [])
const statuses = Golden.messages.flatMap((message) => message._tag === "Statuses" ? message.statuses : [])
const bodies = (all: ReadonlyArray<{ readonly body: string }>) => all.map(({ body }) => body)

const chunksCount = 21
const journal = concat(
  Journal.encodeSlot(4, new Uint8Array([0xf0, 0x0f, 0x08]), Golden.crypto.sha256),
  Journal.encodeSlot(3, new Uint8Array([0xf0, 0, 0]), Golden.crypto.sha256)
)

export const targets: ReadonlyArray<Target> = [
  target("frame", [...frameExamples, goldenFile("frames/Data.frame"), concat(...frameExamples)], (input) => {
    const whole = framesOf([input])
    const third = Math.ceil(input.length / 3)
    NodeAssert.deepEqual(
      framesOf([input.subarray(0, third), input.subarray(third, third + 1), input.subarray(third + 1)]),
      whole
    )
  }, mutateFrames),
  schemaTarget("message", Message, Golden.messages.map((message) => JSON.stringify(message))),
  schemaTarget("data", Data, [JSON.stringify(Golden.data.header)]),
  schemaTarget("entry", Entry, bodies(entries)),
  schemaTarget("status", Status, bodies(statuses)),
  schemaTarget("certificate", Certificate, [certificate.body]),
  schemaTarget("membership", MembershipCertificate, [Golden.membershipSigned.body]),
  target(
    "announcement",
    [goldenFile("announcement.datagram")],
    (input) => {
      const decoded = Announcement.decode(input)
      if (decoded._tag !== "Announcement") return
      const { certificateSigned, statementSigned } = decoded.announcement
      NodeAssert.deepEqual(Announcement.encode(certificateSigned, statementSigned), input, "it has one form")
      const genuine = Golden.crypto.verify("certificate", "-", certificateSigned) &&
        Golden.crypto.verify("announcement", decoded.announcement.certificate.session, statementSigned)
      if (genuine) {
        NodeAssert.deepEqual(input, goldenFile("announcement.datagram"), "nothing else bears both signatures")
      }
    },
    (input, draw) =>
      draw(2) === 0 ? mutateBytes(input, draw) : concat(input.subarray(0, 5), mutateJson(input.slice(5), draw))
  ),
  target("manifest", [goldenFile("share.manifest")], (input) => {
    const decoded = Manifest.decodeNow(input)
    if (Result.isFailure(decoded)) return
    const { manifest } = decoded.success
    const again = Result.getOrThrow(finish(Manifest.encode(manifest)))
    NodeAssert.deepEqual(Result.getOrThrow(Manifest.decodeNow(again)).manifest, manifest)
  }, jsonLines),
  target("join-link", [bytesOf(JSON.parse(text(goldenFile("vectors.json"))).joinLink.link)], (input) => {
    const link = JoinLink.parse(text(input))
    if (link !== undefined) NodeAssert.deepEqual(JoinLink.parse(JoinLink.encode(link)), link)
  }, mutateBytes),
  stateTarget(
    "device-file",
    "device.json",
    JSON.stringify({ version: 1, seed: "A".repeat(43), place: "place", hardware: ["one"] }),
    Effect.scoped(Effect.provide(Effect.flatMap(Identity, ({ device }) => device), identity))
  ),
  stateTarget(
    "pins-file",
    "pins.json",
    JSON.stringify({ version: 1, pins: [{ root: certificate.key, title: "Lesson" }] }),
    Effect.scoped(Effect.provide(
      Effect.flatMap(Identity, ({ pin, pins }) => Effect.andThen(pins, pin({ root: certificate.key, title: "x" }))),
      identity
    ))
  ),
  stateTarget(
    "hosted-file",
    "hosted.json",
    JSON.stringify({
      version: 1,
      sessions: [{ root: certificate.key, session: Golden.session, epoch: 7, certificates: 2 }]
    }),
    Effect.provide(
      Effect.flatMap(HostedSessions, (hosted) =>
        Effect.gen(function*() {
          const { epoch } = yield* hosted.next(certificate.key, undefined)
          NodeAssert.ok(Number.isSafeInteger(epoch), `an epoch that is none: ${epoch}`)
          yield* hosted.end(certificate.key)
        })),
      HostedSessions.layer(state)
    )
  ),
  stateTarget(
    "memberships-file",
    "memberships.json",
    JSON.stringify({ version: 1, memberships: [{ session: Golden.session, membership: Golden.membershipSigned }] }),
    Effect.provide(
      Effect.flatMap(Memberships, (memberships) =>
        Effect.andThen(
          memberships.of(Golden.session),
          memberships.keep(Golden.session, Golden.membershipSigned)
        )),
      Memberships.layer(state)
    )
  ),
  stateTarget(
    "past-sessions-file",
    "past-sessions.json",
    JSON.stringify({
      version: 1,
      last: {
        root: certificate.key,
        session: Golden.session,
        peers: [{ peer: Golden.crypto.peerId(certificate.key), address: { host: "10.0.0.1", port: 1 } }],
        cutShort: true
      },
      ended: [Golden.session]
    }),
    Effect.provide(
      Effect.flatMap(
        PastSessions,
        ({ end, ended, last, leave }) => Effect.all([last, ended, leave, end(Golden.session)])
      ),
      PastSessions.layer(state)
    )
  ),
  stateTarget(
    "log-file",
    `sessions/${Golden.session}/log`,
    [certificate].map((signed) => logLine("C", signed)).join("") +
      entries.map((signed) => logLine("E", signed)).join(""),
    Effect.scoped(Effect.provide(
      Effect.flatMap(LogStore, (store) =>
        Effect.gen(function*() {
          const { append } = yield* store.open(Golden.session)
          yield* append([{ kind: "entry", signed: entries[0]! }], true)
        })),
      LogStore.layer(state)
    )),
    log
  ),
  target("store-record", [
    Record.encode({ version: 1, share: Golden.share, place: { _tag: "Published", path: "/d/Week 1", state: "fresh" } }),
    Record.encode({ version: 1, share: Golden.share, place: { _tag: "Source", path: "/s", renamed: [[1, "b"]] } })
  ], (input) => {
    const record = Record.decode(input)
    if (record !== undefined) NodeAssert.deepEqual(Record.decode(Record.encode(record)), record)
  }),
  target("store-journal", [journal], (input) => {
    const found = Journal.decode(input, chunksCount, Golden.crypto.sha256)
    if (found !== undefined) NodeAssert.equal(found.bits.length, 3)
  }, mutateBytes)
]

// ---- Runs ----------------------------------------------------------------------------------------------------------

export interface Found {
  readonly target: string
  readonly input: Bytes
  readonly error: unknown
}

export interface Run {
  readonly tried: number
  readonly slowestMs: number
  readonly found: ReadonlyArray<Found>
}

/** At most so many findings of one target: one bug shows itself in many inputs. */
const foundMax = 5

/** Tries the corpus, then mutations of it, `count` inputs in all. The same seed tries the same inputs. */
export const run = (target: Target, seed: number, count: number): Run => {
  const draw = drawFrom(seed)
  const found: Array<Found> = []
  let slowestMs = 0
  let tried = 0
  for (; tried < Math.max(count, target.corpus.length) && found.length < foundMax; tried++) {
    let input = target.corpus[tried % target.corpus.length]!
    if (tried >= target.corpus.length) {
      for (let times = 1 + draw(3); times > 0 && input.length <= inputBytesMax; times--) {
        input = target.mutate(input, draw)
      }
    }
    const startMs = performance.now()
    try {
      target.attempt(input)
    } catch (error) {
      found.push({ target: target.name, input, error })
    }
    slowestMs = Math.max(slowestMs, performance.now() - startMs)
  }
  return { tried, slowestMs, found }
}
