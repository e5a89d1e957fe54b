/** The golden files, from both sides: what this implementation writes is in them, and what is in them it reads. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import { Base64Url } from "effect/encoding"
import { X509Certificate } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Announcement from "../../src/protocol/Announcement.ts"
import { CastNotice } from "../../src/protocol/CastNotice.ts"
import { Certificate } from "../../src/protocol/Certificate.ts"
import { Entry } from "../../src/protocol/Entry.ts"
import * as Frame from "../../src/protocol/Frame.ts"
import * as JoinLink from "../../src/protocol/JoinLink.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import * as Manifest from "../../src/protocol/Manifest.ts"
import { MembershipCertificate } from "../../src/protocol/MembershipCertificate.ts"
import * as Phrase from "../../src/protocol/Phrase.ts"
import { Status } from "../../src/protocol/Status.ts"
import { Data, Message, usualPort } from "../../src/protocol/Wire.ts"
import * as Golden from "../support/Golden.ts"

const root = Path.resolve(import.meta.dirname, "../..")
const folder = Path.join(root, "test/golden")
const read = (name: string): Uint8Array => Uint8Array.from(Fs.readFileSync(Path.join(folder, name)))
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const document = Fs.readFileSync(Path.join(root, "docs/PROTOCOL.md"), "utf8")

const howTo = "If the protocol was meant to change, write the golden files anew with `node scripts/golden.ts`."

/** Everything that comes out of the bytes, payloads as arrays of numbers. */
const unframe = (bytes: Uint8Array) => {
  const seen: Array<unknown> = []
  let place = new Uint8Array(0)
  const decoder = new Frame.Decoder({
    control: (json) => void seen.push(json),
    data: (json, length) => {
      seen.push(json)
      return { into: place = new Uint8Array(length) }
    },
    dataEnd: () => void seen.push(Array.from(place))
  })
  assert.isUndefined(decoder.push(bytes))
  return seen
}

const decode = Schema.decodeUnknownSync(Message)
const verify = Golden.crypto.verify

describe("golden files", () => {
  it.effect("are what the code writes, byte for byte", () =>
    Effect.gen(function*() {
      const made = yield* Golden.goldenFiles
      const present = Fs.readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && !entry.name.startsWith("."))
        .map((entry) => Path.relative(folder, Path.join(entry.parentPath, entry.name)).replaceAll(Path.sep, "/"))
      assert.sameMembers(present, Array.from(made.keys()), howTo)
      for (const [name, bytes] of made) {
        const golden = read(name)
        if (Buffer.compare(golden, bytes) === 0) continue
        assert.strictEqual(text(bytes), text(golden), `test/golden/${name} differs. ${howTo}`)
        assert.fail(`test/golden/${name} differs. ${howTo}`)
      }
    }))

  it("have a frame of every kind of message", () => {
    const kinds = Message.members.map((member) => member.fields._tag.schema.literal)
    assert.sameMembers(Golden.messages.map(({ _tag }) => _tag), kinds)
  })

  it.each(Golden.messages.map((message) => [message._tag, message] as const))(
    "read a %s from its frame",
    (tag, message) => {
      const [json, ...rest] = unframe(read(`frames/${tag}.frame`))
      assert.deepStrictEqual(decode(json), message)
      assert.isEmpty(rest)
    }
  )

  it("read a chunk from its data frame, and it is the one its share names", () => {
    const [json, payload] = unframe(read("frames/Data.frame"))
    assert.deepStrictEqual(Schema.decodeUnknownSync(Data)(json), Golden.data.header)
    assert.deepStrictEqual(payload, Array.from(Golden.data.payload))
    const { manifest } = Result.getOrThrow(Manifest.decodeNow(read("share.manifest")))
    const at = (Golden.data.header.index - Golden.share.manifest.hashes.length) * Manifest.hashBytes
    assert.deepStrictEqual(
      manifest.hashes.slice(at, at + Manifest.hashBytes),
      Golden.crypto.sha256(Golden.data.payload)
    )
  })

  it("have only statements that verify as their own kind, in their own session, and as nothing else", () => {
    const { signed } = JSON.parse(text(read("vectors.json")))
    assert.sameMembers(
      signed.map(({ kind }: { readonly kind: string }) => kind),
      [
        "certificate",
        "announcement",
        "entry",
        "entry",
        "entry",
        "entry",
        "entry",
        "status",
        "membership",
        "cast-notice"
      ]
    )
    for (const { body, key, kind, session, signature } of signed) {
      const statement = { key, signature, body }
      assert.isTrue(verify(kind, session, statement))
      assert.isFalse(verify(kind, session === "-" ? Golden.session : "-", statement))
      assert.isFalse(verify(kind === "status" ? "membership" : "status", session, statement))
      assert.isFalse(verify(kind, session, { ...statement, body: `${body} ` }))
      const schema: Schema.ConstraintDecoder<unknown> = {
        certificate: Certificate,
        announcement: Announcement.Statement,
        entry: Entry,
        status: Status,
        membership: MembershipCertificate,
        "cast-notice": CastNotice
      }[kind as "certificate" | "announcement" | "entry" | "status" | "membership" | "cast-notice"]
      assert.isTrue(Result.isSuccess(Schema.decodeUnknownResult(schema)(JSON.parse(body))))
    }
  })

  it("read the announcement, and both of its signatures verify", () => {
    const decoded = Announcement.decode(read("announcement.datagram"))
    if (decoded._tag !== "Announcement") return assert.fail(decoded._tag)
    const { certificate, certificateSigned, statement, statementSigned } = decoded.announcement
    assert.isTrue(verify("certificate", "-", certificateSigned))
    assert.isTrue(verify("announcement", certificate.session, statementSigned))
    assert.deepStrictEqual(statement, { port: 40_123, epoch: certificate.epoch })
  })

  it("read the TLS certificate: self-signed, over the host's key", () => {
    const certificate = new X509Certificate(read("host.der"))
    assert.isTrue(certificate.verify(certificate.publicKey))
    const key = certificate.publicKey.export({ format: "der", type: "spki" }).subarray(-32)
    assert.strictEqual(key.toString("base64url"), Golden.host.publicKey)
  })

  it("read the manifest, whose hashes are those of the files", () => {
    const { layout, manifest } = Result.getOrThrow(Manifest.decodeNow(read("share.manifest")))
    assert.strictEqual(Golden.crypto.sha256Text(read("share.manifest")), Golden.share.root)
    assert.isUndefined(Manifest.shareProblem(Golden.share))
    assert.isUndefined(Manifest.mismatch(Golden.share, { layout, manifest }))
    for (let chunk = 0; chunk < layout.chunksCount; chunk++) {
      const bytes = Manifest.extents(layout, chunk).flatMap(({ file, length, offset }) =>
        Array.from(Golden.contents[file]!.subarray(offset, offset + length))
      )
      assert.strictEqual(
        Golden.crypto.sha256Text(Uint8Array.from(bytes)),
        Base64Url.encode(manifest.hashes.subarray(chunk * Manifest.hashBytes, (chunk + 1) * Manifest.hashBytes))
      )
    }
  })

  it("read the join link", () => {
    const { joinLink: { link, ...parts } } = JSON.parse(text(read("vectors.json")))
    assert.deepStrictEqual(JoinLink.parse(link), parts)
  })

  it("have a phrase whose check word fits", () => {
    const { phrase } = JSON.parse(text(read("vectors.json")))
    assert.strictEqual(Phrase.recognize(Golden.crypto.sha256, phrase.phrase).kind, "phrase")
  })
})

describe("docs/PROTOCOL.md", () => {
  it("shows values of the golden files and no others", () => {
    const vectors = JSON.parse(text(read("vectors.json")))
    const shown = [
      vectors.keys.root.publicKey,
      vectors.keys.root.peerId,
      vectors.keys.root.words,
      vectors.phrase.phrase,
      vectors.phrase.publicKey,
      vectors.bitfield.bits,
      vectors.share.root,
      vectors.signed[1].body,
      vectors.signed[1].signature
    ]
    for (const value of shown) assert.include(document, value)
    const hashes = document.match(/(?<![\w-])[A-Za-z0-9_-]{43}(?![\w-])/g) ?? []
    for (const hash of hashes) assert.include(text(read("vectors.json")), hash, "a key or hash of nothing golden")
  })

  it("shows the layout of the golden share in its worked example", () => {
    const { layout } = JSON.parse(text(read("vectors.json")))
    const lines = layout.chunks.map(
      ({ extents }: { readonly extents: ReadonlyArray<readonly [string, number, number]> }, chunk: number) =>
        `chunk ${chunk}: ${
          extents.map(([path, offset, length]) => `${path} [${offset}, ${offset + length})`).join(" + ")
        }`
    )
    assert.include(document, lines.join("\n"))
    for (const { path, pathHash } of layout.files) assert.match(document, new RegExp(`${path}.*${pathHash}`))
  })

  it("describes every kind of message and every field of it", () => {
    for (const member of [...Message.members, Data]) {
      const tag = member.fields._tag.schema.literal
      const section = document.split(new RegExp(`^#+ .*\`${tag}\`.*$`, "m"))[1]?.split(/^#+ /m)[0]
      assert.isDefined(section, `a heading with \`${tag}\``)
      for (const field of Object.keys(member.fields)) {
        if (field !== "_tag") assert.include(section!, `\`${field}\``, `${tag}.${field}`)
      }
    }
  })

  it("names every code of a goodbye and every kind of signed statement", () => {
    for (
      const code of [
        "leaving",
        "version",
        "session",
        "duplicate",
        "surplus",
        "protocol",
        "slow",
        "poison",
        "refused",
        "ended",
        "closed",
        "wrong-code",
        "later",
        "removed"
      ]
    ) {
      assert.match(document, new RegExp(`^\\| \`${code}\` \\|`, "m"))
    }
    for (const kind of ["announcement", "certificate", "entry", "status", "membership", "cast-notice"]) {
      assert.match(document, new RegExp(`^\\| \`${kind}\` \\|`, "m"))
    }
  })

  it("names the port where labfx is usually found", () => {
    for (const [, port] of document.matchAll(/port (\d{4,5})\b/g)) assert.strictEqual(Number(port), usualPort)
    assert.include(document, `${usualPort}`)
  })

  it("is about limits that exist", () => {
    const names = new Set(Object.keys(Limits))
    for (const [, name] of document.matchAll(/`?\b([a-z]+[A-Z][A-Za-z]*(?:Max|Min|Ms|Target))\b/g)) {
      assert.isTrue(names.has(name!), `Limits.${name}`)
    }
  })
})
