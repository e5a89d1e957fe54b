/** What stands in Limits: documented, fitting together, and kept where a stranger would go beyond it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Queue, Result, Schema } from "effect"
import { Base64Url } from "effect/encoding"
import { TestClock } from "effect/testing"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Bitfield from "../../src/protocol/Bitfield.ts"
import type { Certificate } from "../../src/protocol/Certificate.ts"
import { Entry } from "../../src/protocol/Entry.ts"
import * as Frame from "../../src/protocol/Frame.ts"
import { ChunkIndex, type PeerId, Root } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import * as Manifest from "../../src/protocol/Manifest.ts"
import { bodyCharactersMax } from "../../src/protocol/MembershipCertificate.ts"
import type { Signed } from "../../src/protocol/Signed.ts"
import { Status } from "../../src/protocol/Status.ts"
import * as Swarm from "../../src/protocol/Swarm.ts"
import { utf8Bytes } from "../../src/protocol/Text.ts"
import { Data, Message, type SwarmMessage } from "../../src/protocol/Wire.ts"
import { finish } from "../../src/protocol/Work.ts"
import * as Link from "../../src/services/Link.ts"
import type { Connection } from "../../src/services/Transport.ts"
import * as Golden from "../support/Golden.ts"
import { scopedInTime } from "../support/InTime.ts"
import { rows, withTable } from "../support/LimitsTable.ts"

const project = Path.resolve(import.meta.dirname, "../..")
const source = Fs.readFileSync(Path.join(project, "src/protocol/Limits.ts"), "utf8")

describe("Limits", () => {
  it("are in the table of docs/PROTOCOL.md as they are in the code", () => {
    const document = Fs.readFileSync(Path.join(project, "docs/PROTOCOL.md"), "utf8")
    assert.strictEqual(
      document,
      withTable(document, source),
      "the table is out of date: write it anew with `node scripts/golden.ts`"
    )
  })

  it("are whole numbers, and each has its reason", () => {
    assert.sameMembers(rows(source).map(({ name }) => name), Object.keys(Limits))
    for (const { name, reason, value } of rows(source)) {
      assert.isTrue(Number.isSafeInteger(value) && value > 0, name)
      assert.isAbove(reason.length, 20, name)
    }
  })
})

// ---- The longest of everything fits --------------------------------------------------------------------------------

const most = Number.MAX_SAFE_INTEGER
/** A character of one byte that JSON writes with two, and with four when that JSON is a text in JSON. */
const widest = "\""

const times = <A>(count: number, value: A): ReadonlyArray<A> => Array.from({ length: count }, () => value)

const signedBy = (body: string): Signed => ({ ...Golden.announcement.certificate, body })

/** The certificate with the longest title. */
const certificate: Certificate = {
  ...JSON.parse(Golden.announcement.certificate.body),
  title: widest.repeat(Limits.titleBytesMax),
  epoch: most
}
const certificates = times(Limits.certificatesMax, signedBy(JSON.stringify(certificate)))
const index = ChunkIndex.make(Limits.chunksPerShareMax + Limits.manifestChunksMax - 1)

const longest: ReadonlyArray<Message> = [
  {
    _tag: "Hello",
    versions: [most, most],
    session: Golden.session,
    certificates,
    name: widest.repeat(Limits.nameBytesMax),
    membership: signedBy(widest.repeat(bodyCharactersMax)),
    listenPort: 65_535,
    program: widest.repeat(64)
  },
  { _tag: "Join", code: widest.repeat(Limits.joinCodeBytesMax) },
  { _tag: "Certificates", certificates },
  { _tag: "Goodbye", code: "duplicate", detail: widest.repeat(256) },
  {
    _tag: "Peers",
    links: most,
    peers: times(Limits.peersPerMessageMax, {
      peer: Golden.crypto.peerId(Golden.host.publicKey),
      addresses: times(Limits.addressesPerPeerMax, { host: "f".repeat(45), port: 65_535 })
    })
  },
  {
    _tag: "Heads",
    first: false,
    received: most,
    heads: times(Limits.authorsMax, { author: Golden.host.publicKey, number: most })
  },
  { _tag: "Entries", entries: [signedBy("\\".repeat(Limits.entryBodyBytesMax))] },
  { _tag: "Statuses", statuses: [signedBy("\\".repeat(Limits.statusBodyBytesMax))] },
  {
    _tag: "Bitfield",
    share: Golden.share.root,
    bits: Base64Url.encode(Bitfield.full(Limits.chunksPerShareMax + Limits.manifestChunksMax))
  },
  { _tag: "Have", share: Golden.share.root, indexes: times(Limits.haveIndexesMax, index) }
]

describe("Limits, together", () => {
  it.each(longest.map((message) => [message._tag, message] as const))(
    "let the longest %s fit a control frame",
    (_, message) => {
      const frame = Frame.encodeControl(message)
      assert.isAtMost(frame.length - Frame.headerBytes, Limits.controlFrameBytesMax)
      assert.isTrue(Schema.is(Message)(message))
    }
  )

  it("let the header of the last run of the last chunk fit a data frame", () => {
    const header: Data = { _tag: "Data", share: Golden.share.root, index, offset: most }
    assert.isTrue(Schema.is(Data)(header))
    assert.isAtMost(
      Frame.encodeDataHeader(header, Limits.dataFrameBytesMax).length - Frame.headerBytes,
      Limits.dataHeaderBytesMax
    )
  })

  it("let the longest share, and the longest message without characters that JSON escapes, fit an entry", () => {
    const entry = (content: Entry["content"]): string => {
      const entry: Entry = {
        number: Limits.entriesPerHostMax,
        name: widest.repeat(Limits.nameBytesMax),
        writtenAt: most,
        content
      }
      assert.isTrue(Schema.is(Entry)(entry))
      return JSON.stringify(entry)
    }
    const share = entry({
      ...Golden.share,
      title: widest.repeat(Limits.pathComponentBytesMax),
      sizeBytes: most,
      filesCount: Limits.filesPerShareMax,
      chunkSizeBytes: Limits.chunkBytesMax,
      chunksCount: Limits.chunksPerShareMax,
      manifest: {
        sizeBytes: Limits.manifestBytesMax,
        chunkSizeBytes: Limits.chunkBytesMax,
        hashes: times(Limits.manifestChunksMax, Golden.share.root)
      }
    })
    const text = entry({ _tag: "Text", text: "é".repeat(Limits.messageTextBytesMax / 2) })
    for (const body of [share, text]) assert.isAtMost(utf8Bytes(body), Limits.entryBodyBytesMax)
  })

  it("let a status about as many shares as allowed fit its body", () => {
    const status: Status = {
      number: most,
      name: widest.repeat(Limits.nameBytesMax),
      program: widest.repeat(Limits.programBytesMax),
      links: Limits.linksMax,
      receiveBytesPerSecond: most,
      shares: times(Limits.statusSharesMax, {
        root: Golden.share.root,
        verifiedBytes: most,
        complete: false,
        problem: "disk-read-only" as const
      })
    }
    assert.isTrue(Schema.is(Status)(status))
    assert.isAtMost(utf8Bytes(JSON.stringify(status)), Limits.statusBodyBytesMax)
  })

  it("let the longest lines of a manifest be read", () => {
    // A control character is the longest a byte can become in JSON; a path with one is read and then refused by its name.
    const path = "\u0001".repeat(Limits.pathBytesMax)
    const manifest: Manifest.Manifest = {
      kind: "folder",
      sizeBytes: Limits.manifestHashesPerLine * Limits.chunkBytesMax,
      chunkSizeBytes: Limits.chunkBytesMax,
      paths: [path],
      sizes: [Limits.manifestHashesPerLine * Limits.chunkBytesMax],
      directories: [path],
      hashes: new Uint8Array(Limits.manifestHashesPerLine * Manifest.hashBytes)
    }
    const bytes = Result.getOrThrow(finish(Manifest.encode(manifest)))
    assert.deepStrictEqual(Result.getOrThrow(Manifest.decodeNow(bytes)).manifest, manifest)
  })

  it("let every manifest be cut into few enough chunks of an allowed size", () => {
    for (const sizeBytes of [1, 2 ** 16, 2 ** 23, 2 ** 23 + 1, Limits.manifestBytesMax]) {
      const size = Manifest.manifestChunkSizeFor(sizeBytes)
      assert.isAtMost(Math.ceil(sizeBytes / size), Limits.manifestChunksMax)
      assert.isAtMost(size, Limits.chunkBytesMax)
      assert.isAtLeast(size, Limits.chunkBytesMin)
    }
  })

  it("leave room where one limit lies inside another", () => {
    const inside: ReadonlyArray<readonly [smaller: number, larger: number]> = [
      // What is under way to a late joiner, and one frame beyond it, never fills the outbox.
      [Limits.catchUpWindowBytes + Limits.controlFrameBytesMax, Limits.outboxBytesMax],
      // A link is asked for a sign of life, and has the time to give it.
      [2 * Limits.pingAfterMs, Limits.deadAfterMs],
      // What a peer said about a share of any size can be remembered.
      [Bitfield.make(Limits.chunksPerShareMax + Limits.manifestChunksMax).length, Limits.rememberedBytesMax],
      [2 * Limits.chunkBytesMax, Limits.inFlightBytesMax],
      [2 * Limits.chunkBytesMax, Limits.uploadBytesMax],
      [Limits.chunkBytesMin, Limits.chunkBytesMax],
      // What a kill costs (P2) is what is in flight; what is verified and not yet marked is part of it.
      [Limits.unmarkedBytesMax, Limits.inFlightBytesMax],
      [Limits.linksWantedMin, Limits.linksWantedMax],
      [Limits.linksDialledMin, Limits.linksWantedMin],
      [Limits.linksWantedMin, Limits.fullMeshPeersMax],
      [Limits.fullMeshPeersMax, Limits.linksMax],
      [Limits.peersPerMessageMax, Limits.peersKnownMax],
      [Limits.handshakesPerAddressMax, Limits.handshakesMax],
      [Limits.certificatesMax, Limits.authorsMax],
      [Limits.entriesPerStudentMax, Limits.entriesPerHostMax],
      [Limits.entryBodyBytesMax, Limits.logBytesPerStudentMax],
      [Limits.logBytesPerStudentMax, Limits.logBytesStudentsMax],
      [Limits.statusRefreshMs * 2, Limits.statusExpiryMs],
      [Limits.statusBatchIntervalMs, Limits.statusIntervalMs],
      [Limits.statusSharesMax, Limits.sharesMax],
      [Limits.messageTextBytesMax, Limits.entryBodyBytesMax],
      [Limits.pathComponentBytesMax, Limits.pathBytesMax]
    ]
    for (const [smaller, larger] of inside) assert.isAtMost(smaller, larger)
  })
})

// ---- A stranger who goes beyond: swarm -----------------------------------------------------------------------------

const peer = "P".repeat(43) as PeerId
const root = Root.make("R".repeat(43))
const chunksCount = 2_000

const swarmOf = (opened: boolean) => {
  const swarm = Swarm.make({ random: () => 0 })
  Swarm.step(swarm, { _tag: "PeerUp", peer, isHost: false }, 0)
  const open = (count = chunksCount) =>
    Swarm.step(swarm, {
      _tag: "ShareOpened",
      root,
      manifestChunksCount: 1,
      chunksCount: count,
      chunkSizeBytes: Limits.chunkBytesMax,
      manifestChunkSizeBytes: Limits.chunkBytesMin,
      have: Bitfield.full(count),
      manifestKnown: true,
      origin: false,
      cast: undefined
    }, 0)
  if (opened) open()
  const say = (message: SwarmMessage) => Swarm.step(swarm, { _tag: "Message", peer, message }, 0)
  return { open, say }
}

const endsOf = (outputs: ReadonlyArray<Swarm.Output>): ReadonlyArray<string> =>
  outputs.flatMap((output) => (output._tag === "Disconnect" ? [`${output.code}: ${output.detail}`] : []))

const request = (index: number): SwarmMessage => ({ _tag: "Request", share: root, index: ChunkIndex.make(index) })
const have = (index: number): SwarmMessage => ({ _tag: "Have", share: root, indexes: [ChunkIndex.make(index)] })
const bitfield = (bits: Uint8Array): SwarmMessage => ({ _tag: "Bitfield", share: root, bits: Base64Url.encode(bits) })

describe("Limits of the swarm", () => {
  it("let a link have as many requests waiting as allowed, and end it at one more", () => {
    const { say } = swarmOf(true)
    let waiting = 0
    for (let index = 0; waiting < Limits.requestsPerLinkMax; index++) {
      const outputs = say(request(index))
      assert.isEmpty(endsOf(outputs))
      if (!outputs.some(({ _tag }) => _tag === "Serve")) waiting++
    }
    assert.deepStrictEqual(endsOf(say(request(chunksCount - 1))), ["protocol: too many requests at a time"])
  })

  it("end a link that names a chunk beyond the share's last, and no other", () => {
    for (const message of [request, have]) {
      assert.isEmpty(endsOf(swarmOf(true).say(message(chunksCount - 1))))
      assert.deepStrictEqual(endsOf(swarmOf(true).say(message(chunksCount))), [
        "protocol: a message names a chunk that the share does not have"
      ])
    }
  })

  it("end a link whose bitfield is not exactly as long as its share, whether it came before or after", () => {
    const fits = Bitfield.full(chunksCount)
    const bad = [Bitfield.full(chunksCount + 8), Bitfield.full(chunksCount - 8), Bitfield.make(0)]
    const beyond = Bitfield.full(chunksCount - 1)
    const ended = ["protocol: a bitfield has another length than its share"]
    assert.isEmpty(endsOf(swarmOf(true).say(bitfield(fits))))
    for (const bits of bad) {
      assert.deepStrictEqual(endsOf(swarmOf(true).say(bitfield(bits))), ended)
      const { open, say } = swarmOf(false)
      assert.isEmpty(endsOf(say(bitfield(bits))))
      assert.deepStrictEqual(endsOf(open()), ended)
    }
    // The same number of bytes, and a bit behind the last chunk.
    const { open, say } = swarmOf(false)
    say(bitfield(fits))
    assert.deepStrictEqual(endsOf(open(chunksCount - 1)), ended)
    assert.isTrue(Bitfield.fits(beyond, chunksCount - 1))
  })

  it("let nobody fill the memory with bitfields of shares that are not open", () => {
    const { open, say } = swarmOf(false)
    const large = Bitfield.full(Limits.chunksPerShareMax)
    for (let i = 0; i < Limits.rememberedBytesMax / large.length; i++) {
      const share = Root.make(`${i}`.padStart(43, "S"))
      assert.isEmpty(say({ _tag: "Bitfield", share, bits: Base64Url.encode(large) }))
    }
    // What does not fit is forgotten: the share opens as if nothing had been said, and nothing is wrong with that.
    assert.isEmpty(endsOf(say(bitfield(Bitfield.full(64)))))
    assert.isEmpty(endsOf(open()))
  })
})

// ---- A stranger who goes beyond: links -----------------------------------------------------------------------------

const ignore: (bytes: Uint8Array) => void = () => {}

/** A link over a connection whose other side takes nothing until it is told to, and what the link did. */
const linked = Effect.gen(function*() {
  let hear = ignore
  const reading: Array<boolean> = []
  const written: Array<unknown> = []
  const decoder = new Frame.Decoder({
    control: (json) => void written.push(json),
    data: () => "skip",
    dataEnd: () => {}
  })
  /** What the other side has not taken yet. */
  let waiting = () => {}
  const connection: Connection = {
    peer,
    key: Golden.host.publicKey,
    remote: { host: "127.0.0.1", port: 1 },
    dialled: true,
    receive: (onBytes) => {
      hear = onBytes
      return Effect.never
    },
    setReading: (on) => reading.push(on),
    write: (parts, done) => {
      waiting = () => {
        for (const part of parts) decoder.push(part)
        done(undefined)
      }
    }
  }
  const link = yield* Link.make(connection)
  let end: string | undefined
  yield* Effect.forkScoped(Effect.map(link.ended, ({ code, detail }) => (end = `${code}: ${detail}`)))
  yield* TestClock.adjust(0)
  return {
    link,
    hear: (message: unknown) => hear(Frame.encodeControl(message)),
    hearBytes: (bytes: Uint8Array) => hear(bytes),
    reading,
    written,
    take: Effect.andThen(Effect.sync(() => waiting()), TestClock.adjust(0)),
    /** How it ended, once what is under way has been done. */
    end: Effect.map(TestClock.adjust(0), () => end)
  }
})

describe("Limits of a link", () => {
  it.effect("let it say as much as the burst and the rate allow, and do not hear it for a while after one message more", () =>
    Effect.gen(function*() {
      const { hear, link, reading } = yield* linked
      // What arrives is taken at once, so that only its number counts.
      const say = (count: number) =>
        Effect.gen(function*() {
          for (let i = 0; i < count; i++) {
            hear({ _tag: "Ping" })
            yield* Queue.take(link.inbox)
            link.caughtUp()
          }
        })
      yield* say(Limits.controlFramesBurstMax)
      yield* TestClock.adjust(1_000)
      yield* say(Limits.controlFramesPerSecondMax)
      assert.deepStrictEqual(reading, [])
      yield* say(1)
      assert.deepStrictEqual(reading, [false])
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual(reading, [false, true])
    }).pipe(scopedInTime))

  it.effect("let the bytes of its messages be as many as the burst and the rate allow, and do not hear it after one more", () =>
    Effect.gen(function*() {
      const { hearBytes, link, reading } = yield* linked
      const header = 8
      /** A message of exactly so many bytes of text. */
      const ping = (bytes: number) => {
        const text = JSON.stringify({ _tag: "Ping", room: "" })
        return Frame.encodeControl({ _tag: "Ping", room: "x".repeat(bytes - text.length) })
      }
      const largest = ping(Limits.controlFrameBytesMax)
      assert.lengthOf(largest, header + Limits.controlFrameBytesMax)
      const say = (frame: Uint8Array) =>
        Effect.gen(function*() {
          hearBytes(frame)
          yield* Queue.take(link.inbox)
          link.caughtUp()
        })
      for (let said = 0; said < Limits.controlBytesBurstMax; said += Limits.controlFrameBytesMax) yield* say(largest)
      yield* TestClock.adjust(250)
      for (let said = 0; said < Limits.controlBytesPerSecondMax / 4; said += Limits.controlFrameBytesMax) {
        yield* say(largest)
      }
      assert.deepStrictEqual(reading, [])
      yield* say(ping(100))
      assert.deepStrictEqual(reading, [false])
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual(reading, [false, true])
    }).pipe(scopedInTime))

  it.effect("let it send as much that nobody asked for as the burst and the rate allow, and do not hear it after one byte more", () =>
    Effect.gen(function*() {
      const { hearBytes, reading } = yield* linked
      const send = (bytes: number) => {
        const data = { _tag: "Data", share: Golden.share.root, index: 0, offset: 0 }
        hearBytes(Frame.encodeDataHeader(data, bytes))
        hearBytes(new Uint8Array(bytes))
      }
      const sendAll = (bytes: number) => {
        for (let sent = 0; sent < bytes; sent += Limits.dataFrameBytesMax) send(Limits.dataFrameBytesMax)
      }
      sendAll(Limits.unaskedBytesBurstMax)
      yield* TestClock.adjust(1_000)
      sendAll(Limits.unaskedBytesPerSecondMax)
      assert.deepStrictEqual(reading, [])
      send(1)
      assert.deepStrictEqual(reading, [false])
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual(reading, [false, true])
    }).pipe(scopedInTime))

  it.effect("let it bring as much overhead as the burst and the rate allow, and after more do not hear it until that holds again", () =>
    Effect.gen(function*() {
      const { end, link, reading } = yield* linked
      link.overhead(Limits.overheadBytesBurstMax)
      yield* TestClock.adjust(1_000)
      link.overhead(Limits.overheadBytesPerSecondMax)
      assert.deepStrictEqual(reading, [])
      // A second's worth too much, and as much again that is only looked at now.
      link.overhead(Limits.overheadBytesPerSecondMax)
      link.overhead(Limits.overheadBytesPerSecondMax)
      assert.deepStrictEqual(reading, [false])
      yield* TestClock.adjust(1_999)
      assert.deepStrictEqual(reading, [false])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(reading, [false, true])
      // However much it is, the link is heard before anybody takes it for dead.
      link.overhead(100 * Limits.overheadBytesBurstMax)
      yield* TestClock.adjust(Limits.overheadPauseMsMax - 1)
      assert.deepStrictEqual(reading, [false, true, false])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(reading, [false, true, false, true])
      assert.isBelow(Limits.overheadPauseMsMax, Limits.deadAfterMs)
      assert.isUndefined(yield* end)
    }).pipe(scopedInTime))

  it.effect("count what may be passed over as overhead", () =>
    Effect.gen(function*() {
      const { hear, reading } = yield* linked
      const wave = { _tag: "Wave", ignorable: true, room: "x".repeat(Limits.overheadBytesBurstMax / 2) }
      hear(wave)
      assert.deepStrictEqual(reading, [])
      hear(wave)
      assert.deepStrictEqual(reading, [false])
    }).pipe(scopedInTime))

  it.effect("stop reading at the first frame too many for the inbox, and go on when it is empty", () =>
    Effect.gen(function*() {
      const { hear, link, reading } = yield* linked
      for (let i = 0; i < Limits.inboxFramesMax; i++) hear({ _tag: "Ping" })
      assert.deepStrictEqual(reading, [])
      hear({ _tag: "Ping" })
      assert.deepStrictEqual(reading, [false])
      for (let i = 0; i < Limits.inboxFramesMax; i++) yield* Queue.take(link.inbox)
      link.caughtUp()
      assert.deepStrictEqual(reading, [false])
      yield* Queue.take(link.inbox)
      link.caughtUp()
      assert.deepStrictEqual(reading, [false, true])
    }).pipe(scopedInTime))

  it.effect("stop reading at the first byte too many for the inbox", () =>
    Effect.gen(function*() {
      const { hear, reading } = yield* linked
      const bitfield = { _tag: "Bitfield", share: Golden.share.root, bits: "A".repeat(40_000) }
      const frameBytes = JSON.stringify(bitfield).length
      const allowed = Math.floor(Limits.inboxBytesMax / frameBytes)
      for (let i = 0; i < allowed; i++) hear(bitfield)
      assert.deepStrictEqual(reading, [])
      hear(bitfield)
      assert.deepStrictEqual(reading, [false])
    }).pipe(scopedInTime))

  it.effect("end it as slow at the first byte beyond its outbox, and still let the goodbye out", () =>
    Effect.gen(function*() {
      const { end, link, take, written } = yield* linked
      const frame = new Uint8Array(Limits.controlFrameBytesMax)
      // The writer takes the first frame at once and waits for the other side.
      link.post("link", Frame.encodeControl({ _tag: "Ping" }))
      assert.isUndefined(yield* end)
      for (let i = 0; i < Limits.outboxBytesMax / frame.length; i++) link.post("log", frame)
      assert.isUndefined(yield* end)
      link.post("log", new Uint8Array(1))
      assert.strictEqual(yield* end, "slow: the outbox is full")
      yield* take
      yield* take
      assert.deepStrictEqual(written, [{ _tag: "Ping" }, {
        _tag: "Goodbye",
        code: "slow",
        detail: "the outbox is full"
      }])
    }).pipe(scopedInTime))

  it.effect("pass over messages of a later version that say that they may be, and end it at others", () =>
    Effect.gen(function*() {
      const first = yield* linked
      first.hear({ _tag: "Wave", ignorable: true })
      first.hear({ _tag: "Have", ignorable: true, hands: 2 })
      first.hear({ _tag: "Pong" })
      assert.isUndefined(yield* first.end)
      assert.deepStrictEqual(yield* Queue.takeAll(first.link.inbox), [{
        _tag: "Message",
        message: { _tag: "Pong" },
        bytes: 15
      }])
      for (const ignorable of [undefined, false, "true", 1, null, {}]) {
        const { end, hear } = yield* linked
        hear({ _tag: "Wave", ignorable })
        assert.strictEqual(yield* end, "protocol: a message that is none")
      }
    }).pipe(scopedInTime))

  it.effect("end it at a data frame whose header is none, even if it says that it may be ignored", () =>
    Effect.gen(function*() {
      for (
        const header of [{ _tag: "Wave", ignorable: true }, { _tag: "Ping" }, { ...Golden.data.header, index: -1 }]
      ) {
        const { end, hearBytes } = yield* linked
        hearBytes(Frame.encodeDataHeader(header, 1))
        assert.strictEqual(yield* end, "protocol: a data frame that is none")
      }
    }).pipe(scopedInTime))

  it.effect("skip the bytes of chunks that nobody asked for", () =>
    Effect.gen(function*() {
      const { end, hear, hearBytes, link } = yield* linked
      hearBytes(Frame.encodeDataHeader(Golden.data.header, 3))
      hearBytes(new Uint8Array(3))
      hear({ _tag: "Pong" })
      assert.isUndefined(yield* end)
      assert.deepStrictEqual(yield* Queue.takeAll(link.inbox), [{
        _tag: "Message",
        message: { _tag: "Pong" },
        bytes: 15
      }])
    }).pipe(scopedInTime))
})
