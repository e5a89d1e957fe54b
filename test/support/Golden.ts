/**
 * The golden files: what every implementation of the protocol must produce or accept, byte for byte.
 *
 * Everything follows from a few seeds and texts below, so the files can be made again; `scripts/golden.ts` writes them.
 * `docs/PROTOCOL.md` says what each of them is.
 */
import { Effect, Result } from "effect"
import { Base64Url } from "effect/encoding"
import * as Announcement from "../../src/protocol/Announcement.ts"
import * as Bitfield from "../../src/protocol/Bitfield.ts"
import type { CastNotice } from "../../src/protocol/CastNotice.ts"
import type { Certificate } from "../../src/protocol/Certificate.ts"
import { selfSignedCertificate } from "../../src/protocol/Der.ts"
import type { Content, Entry, Share } from "../../src/protocol/Entry.ts"
import * as Fragment from "../../src/protocol/Fragment.ts"
import * as Frame from "../../src/protocol/Frame.ts"
import { ChunkIndex, Root, SessionId } from "../../src/protocol/Ids.ts"
import * as JoinLink from "../../src/protocol/JoinLink.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import * as Manifest from "../../src/protocol/Manifest.ts"
import * as Phrase from "../../src/protocol/Phrase.ts"
import { signedBytes } from "../../src/protocol/Signed.ts"
import type { Status } from "../../src/protocol/Status.ts"
import { castPort, type Data, type Message } from "../../src/protocol/Wire.ts"
import * as Words from "../../src/protocol/Words.ts"
import { finish } from "../../src/protocol/Work.ts"
import { Crypto } from "../../src/services/Crypto.ts"
import { layerNode, signRaw } from "../../src/services/node/CryptoNode.ts"

export const crypto = Effect.runSync(Crypto.pipe(Effect.provide(layerNode)))

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
const hexOf = (hash: number): string => hash.toString(16).padStart(8, "0")
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

// ---- Who -----------------------------------------------------------------------------------------------------------

const seedOf = (byte: number): Uint8Array => new Uint8Array(32).fill(byte)

/** The teacher's root key, the key that hosts the session, and a student's. */
export const root = crypto.keyPair(seedOf(1))
export const host = crypto.keyPair(seedOf(2))
export const student = crypto.keyPair(seedOf(3))

export const session = SessionId.make(Base64Url.encode(Uint8Array.from({ length: 16 }, (_, i) => i)))

const certificate: Certificate = {
  version: 1,
  root: root.publicKey,
  session,
  host: host.publicKey,
  title: "Algorithms \"A/B\" – Übung",
  epoch: 1_700_000_000,
  policy: { closed: false, studentsMayWrite: true, studentsMayShare: false }
}
const certificateSigned = crypto.sign(root, "certificate", "-", JSON.stringify(certificate))

// ---- What is shared ------------------------------------------------------------------------------------------------

const chunkSizeBytes = 1_024

/** Byte `j` of the file at place `i` is `(i + j) mod 251`. */
const files: ReadonlyArray<readonly [path: string, sizeBytes: number]> = [
  ["a/one.txt", 300],
  ["a/three.txt", 500],
  ["a/two.txt", 400],
  ["a b/four.txt", 200],
  ["big.bin", 2_500],
  ["empty.txt", 0],
  ["exact.bin", 1_024],
  ["é.txt", 100]
]
/** Byte for byte what the files hold. */
export const contents = files.map(([, sizeBytes], i) => Uint8Array.from({ length: sizeBytes }, (_, j) => (i + j) % 251))

const unhashed = {
  kind: "folder" as const,
  sizeBytes: contents.reduce((sum, content) => sum + content.length, 0),
  chunkSizeBytes,
  paths: files.map(([path]) => path),
  sizes: files.map(([, sizeBytes]) => sizeBytes),
  directories: ["void"]
}
export const layout = Result.getOrThrow(finish(Manifest.layout(unhashed)))

const concat = (parts: ReadonlyArray<Uint8Array>): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => Array.from(part)))

const chunks = Array.from({ length: layout.chunksCount }, (_, chunk) =>
  concat(
    Manifest.extents(layout, chunk).map(({ file, length, offset }) => contents[file]!.subarray(offset, offset + length))
  ))

export const manifestBytes = Result.getOrThrow(
  finish(Manifest.encode({ ...unhashed, hashes: concat(chunks.map(crypto.sha256)) }))
)

export const share: Share = {
  _tag: "Share",
  root: Root.make(crypto.sha256Text(manifestBytes)),
  kind: "folder",
  title: "Week 1",
  sizeBytes: unhashed.sizeBytes,
  filesCount: files.length,
  chunkSizeBytes,
  chunksCount: layout.chunksCount,
  manifest: {
    sizeBytes: manifestBytes.length,
    chunkSizeBytes: Manifest.manifestChunkSizeFor(manifestBytes.length),
    hashes: [Root.make(crypto.sha256Text(manifestBytes))]
  }
}

// ---- What is said --------------------------------------------------------------------------------------------------

const entryOf = (number: number, content: Content): Entry => ({
  number,
  name: "Ada",
  writtenAt: 1_700_000_000_000 + number,
  content
})
const entries = [
  entryOf(1, { _tag: "Text", text: "Hello,\n\"world\" – 😀" }),
  entryOf(2, share),
  entryOf(3, { _tag: "Unshare", root: share.root }),
  entryOf(4, { _tag: "Remove", key: student.publicKey, name: "lab-07", after: 12 }),
  entryOf(5, { _tag: "End" })
].map((entry) => crypto.sign(host, "entry", session, JSON.stringify(entry)))

const status: Status = {
  number: 7,
  since: 5,
  name: "lab-07",
  program: "labfx 0.1.0",
  links: 9,
  receiveBytesPerSecond: 1_250_000,
  shares: [{ root: share.root, verifiedBytes: 1_024, complete: false, problem: "disk-full" }]
}
export const statusSigned = crypto.sign(student, "status", session, JSON.stringify(status))

/** The student's, by the host. */
export const membershipSigned = crypto.sign(
  host,
  "membership",
  session,
  JSON.stringify({ member: student.publicKey, number: 1 })
)

/** What is cast, by the host. */
const castNotice: CastNotice = {
  number: 2,
  from: "192.168.1.10",
  group: { host: "239.255.17.4", port: castPort },
  groups: 16,
  key: Base64Url.encode(seedOf(4)),
  casts: [{ share: share.root, cast: 1 }]
}
export const castNoticeSigned = crypto.sign(host, "cast-notice", session, JSON.stringify(castNotice))

const indexes = (...all: ReadonlyArray<number>) => all.map((index) => ChunkIndex.make(index))

const bits = Bitfield.make(1 + layout.chunksCount)
for (const index of [0, 2, 5]) Bitfield.add(bits, index)

/** One of each kind, in the order of the protocol document. */
export const messages: ReadonlyArray<Message> = [
  {
    _tag: "Hello",
    versions: [1, 1],
    session,
    certificates: [certificateSigned],
    name: "Ada",
    membership: membershipSigned,
    listenPort: 40_123,
    program: "labfx 0.1.0"
  },
  { _tag: "Join", code: "blue whale 42" },
  { _tag: "Admitted", membership: membershipSigned },
  { _tag: "Introduction", name: "lab-07" },
  { _tag: "Goodbye", code: "version", detail: "this device speaks protocol 1 to 1, the other 2 to 3" },
  {
    _tag: "Peers",
    links: 9,
    host: true,
    peers: [{
      peer: crypto.peerId(student.publicKey),
      addresses: [{ host: "192.168.1.20", port: 40_124 }, { host: "fe80::1", port: 40_125 }]
    }]
  },
  { _tag: "Ping" },
  { _tag: "Pong" },
  { _tag: "Certificates", certificates: [certificateSigned] },
  {
    _tag: "Heads",
    first: true,
    received: 0,
    heads: [{ author: host.publicKey, number: 5 }, { author: student.publicKey, number: 0 }]
  },
  { _tag: "Entries", entries },
  { _tag: "Statuses", statuses: [statusSigned] },
  { _tag: "Bitfield", share: share.root, bits: Base64Url.encode(bits) },
  { _tag: "Have", share: share.root, indexes: indexes(0, 3, 6) },
  { _tag: "Request", share: share.root, index: ChunkIndex.make(4) },
  { _tag: "Cancel", share: share.root, index: ChunkIndex.make(4) },
  { _tag: "Reject", share: share.root, index: ChunkIndex.make(4) },
  { _tag: "Direct", share: share.root, only: true, ignorable: true },
  {
    _tag: "Multicast",
    group: castNotice.group,
    groups: castNotice.groups!,
    key: castNotice.key,
    ignorable: true
  },
  { _tag: "Casts", notice: castNoticeSigned, ignorable: true },
  { _tag: "Tuned", hears: true },
  { _tag: "Cast", share: share.root, cast: 1, over: false, reportMs: 200 },
  { _tag: "Ready", cast: 1 },
  { _tag: "Report", sequence: 40, received: 38, delayMs: 3 }
]

/** The last content chunk as a fragment of the multicast above. */
const fragmentClear = Fragment.encodeClear({ sequence: 41, sentMs: 123_456 })
const fragmentHead = Fragment.encodeHead({
  cast: 1,
  index: layout.chunksCount,
  offset: 0,
  pieceBytes: Limits.pieceBytesMax,
  parity: 0
})
export const fragment = Uint8Array.from([
  ...fragmentClear,
  ...crypto.seal(seedOf(4), Fragment.nonce(41), fragmentClear, [fragmentHead, chunks.at(-1)!]).flatMap((part) =>
    Array.from(part)
  )
])

/** The last content chunk, in one data frame. */
export const data: { readonly header: Data; readonly payload: Uint8Array } = {
  header: { _tag: "Data", share: share.root, index: ChunkIndex.make(layout.chunksCount), offset: 0 },
  payload: chunks.at(-1)!
}

export const announcement = {
  certificate: certificateSigned,
  statement: crypto.sign(
    host,
    "announcement",
    session,
    Announcement.statementBody({ port: 40_123, epoch: certificate.epoch })
  )
}

// ---- Vectors -------------------------------------------------------------------------------------------------------

export const phrase = Phrase.make(crypto.sha256, Uint8Array.from({ length: Phrase.entropyBytes }, (_, i) => 16 * i + i))

const person = (seed: Uint8Array) => {
  const pair = crypto.keyPair(seed)
  return { seed: hex(seed), publicKey: pair.publicKey, peerId: crypto.peerId(pair.publicKey) }
}

const signedVector = (kind: Parameters<typeof signedBytes>[0], session: SessionId | "-", body: string) => {
  const pair = kind === "certificate" ? root : kind === "status" ? student : host
  const { key, signature } = crypto.sign(pair, kind, session, body)
  return { kind, session, key, body, signedBytes: hex(signedBytes(kind, session, body)), signature }
}

const joinLink: JoinLink.JoinLink = {
  root: root.publicKey,
  session,
  addresses: [{ host: "192.168.1.10", port: 40_123 }, { host: "fe80::1", port: 40_124 }]
}

/** Keys, signatures, words, layouts: values in, values out. */
const vectors = Effect.gen(function*() {
  const phraseSeed = yield* crypto.scrypt(bytesOf(phrase), bytesOf("labfx/1/root-key"))
  return {
    keys: {
      root: { ...person(seedOf(1)), words: Words.fingerprint(root.publicKey, crypto.sha256) },
      host: person(seedOf(2)),
      student: person(seedOf(3)),
      keyFile: `labfx-key-1:${Base64Url.encode(seedOf(1))}`
    },
    phrase: {
      entropy: hex(Uint8Array.from({ length: Phrase.entropyBytes }, (_, i) => 16 * i + i)),
      phrase,
      seed: hex(phraseSeed),
      publicKey: crypto.keyPair(phraseSeed).publicKey
    },
    signed: [
      signedVector("certificate", "-", certificateSigned.body),
      signedVector("announcement", session, announcement.statement.body),
      ...entries.map(({ body }) => signedVector("entry", session, body)),
      signedVector("status", session, statusSigned.body),
      signedVector("membership", session, membershipSigned.body),
      signedVector("cast-notice", session, castNoticeSigned.body)
    ],
    joinLink: { ...joinLink, link: JoinLink.encode(joinLink) },
    bitfield: {
      count: 1 + layout.chunksCount,
      indexes: Array.from(Bitfield.indexes(bits)),
      bits: Base64Url.encode(bits)
    },
    share: { root: share.root, manifestSha256: hex(crypto.sha256(manifestBytes)) },
    layout: {
      chunkSizeBytes,
      files: files.map(([path, sizeBytes]) => ({ path, sizeBytes, pathHash: hexOf(Manifest.pathHash(path)) })),
      chunks: chunks.map((bytes, chunk) => ({
        extents: Manifest.extents(layout, chunk).map(({ file, length, offset }) => [files[file]![0], offset, length]),
        sha256: Base64Url.encode(crypto.sha256(bytes))
      }))
    },
    chunkSizes: [0, 1, 33_554_432, 33_554_433, 1_000_000_000, 2_147_483_649, 1_099_511_627_776].map((sizeBytes) => [
      sizeBytes,
      Manifest.chunkSizeFor(sizeBytes)
    ])
  }
})

/** Every golden file: its name below `test/golden` and its bytes. */
export const goldenFiles: Effect.Effect<ReadonlyMap<string, Uint8Array>> = Effect.map(vectors, (vectors) =>
  new Map([
    ...messages.map((message) => [`frames/${message._tag}.frame`, Frame.encodeControl(message)] as const),
    ["frames/Data.frame", concat([Frame.encodeDataHeader(data.header, data.payload.length), data.payload])] as const,
    ["announcement.datagram", Announcement.encode(announcement.certificate, announcement.statement)] as const,
    ["fragment.datagram", fragment] as const,
    [
      "host.der",
      selfSignedCertificate(Result.getOrThrow(Base64Url.decode(host.publicKey)), (bytes) => signRaw(host, bytes))
    ] as const,
    ["share.manifest", manifestBytes] as const,
    ["vectors.json", bytesOf(`${JSON.stringify(vectors, undefined, 2)}\n`)] as const
  ]))
