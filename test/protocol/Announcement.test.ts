/** Announcements as they travel, with real keys and signatures. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Announcement from "../../src/protocol/Announcement.ts"
import { Certificate } from "../../src/protocol/Certificate.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import { Crypto } from "../../src/services/Crypto.ts"
import { layerNode } from "../../src/services/node/CryptoNode.ts"
import { announcementOf, certify, pairOf, sessionOf } from "../support/Announcements.ts"

const crypto = Effect.runSync(Crypto.pipe(Effect.provide(layerNode)))
const root = pairOf(crypto, 1)
const host = pairOf(crypto, 2)
const student = pairOf(crypto, 3)

/** What a receiver makes of a datagram. */
const receive = (bytes: Uint8Array): Announcement.Announcement | "other-version" | "garbage" | "forged" => {
  const decoded = Announcement.decode(bytes)
  if (decoded._tag === "OtherVersion") return "other-version"
  if (decoded._tag === "Garbage") return "garbage"
  const { certificate, certificateSigned, statementSigned } = decoded.announcement
  return crypto.verify("certificate", "-", certificateSigned) &&
      crypto.verify("announcement", certificate.session, statementSigned)
    ? decoded.announcement
    : "forged"
}

const isRejected = (bytes: Uint8Array) => ["garbage", "forged"].includes(receive(bytes) as string)

const text = new TextDecoder()
const bytesOf = (string: string) => new TextEncoder().encode(string)
const concat = (...parts: ReadonlyArray<Uint8Array>) => Uint8Array.from(parts.flatMap((part) => Array.from(part)))

const Index = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: Limits.datagramBytesMax }))
const Byte = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))
const policy = { closed: false, studentsMayWrite: false, studentsMayShare: false }

describe("Announcement", () => {
  it.prop(
    "gives back what was announced (invariant 1)",
    {
      fields: Schema.Struct({
        title: Certificate.fields.title,
        epoch: Certificate.fields.epoch,
        policy: Certificate.fields.policy
      }),
      port: Announcement.Statement.fields.port
    },
    ({ fields, port }) => {
      const certificate = certify(crypto, root, host, fields)
      const bytes = announcementOf(crypto, certificate, student, port)
      assert.isAtMost(bytes.length, Limits.datagramBytesMax)
      const received = receive(bytes) as Announcement.Announcement
      assert.deepStrictEqual(received.certificate, certificate.certificate)
      assert.deepStrictEqual(received.certificateSigned, certificate.signed)
      assert.strictEqual(received.statementSigned.key, student.publicKey)
      assert.strictEqual(received.statement.port, port)
    },
    { arbitrary: { runs: 50 } }
  )

  it("has room for the longest title, written in the characters that JSON makes longest (invariant 1)", () => {
    const half = Limits.titleBytesMax / 2
    for (const title of ["\"".repeat(2 * half), "\\".repeat(2 * half), "é".repeat(half), "😀".repeat(half / 2)]) {
      const certificate = certify(crypto, root, host, { title, epoch: Number.MAX_SAFE_INTEGER, policy })
      const bytes = announcementOf(crypto, certificate, student, 65_535)
      assert.isAtMost(bytes.length, Limits.datagramBytesMax)
      assert.strictEqual((receive(bytes) as Announcement.Announcement).certificate.title, title)
    }
  })

  it("rejects every single-bit flip of a datagram, or reports its version (invariant 3)", () => {
    const bytes = announcementOf(crypto, certify(crypto, root, host, { title: "a/b \"c\\é" }), student, 4_711)
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice()
      flipped[bit >> 3] = flipped[bit >> 3]! ^ (1 << (bit & 7))
      if (bit >> 3 === 4) assert.strictEqual(receive(flipped), "other-version")
      else assert.isTrue(isRejected(flipped), `bit ${bit}: ${text.decode(flipped)}`)
    }
  })

  it.prop(
    "rejects what is cut off, lengthened or overwritten (invariant 3)",
    { from: Index, to: Index, fill: Schema.Array(Byte).check(Schema.isMaxLength(40)) },
    ({ fill, from, to }) => {
      const bytes = announcementOf(crypto, certify(crypto, root, host), host, 4_711)
      const altered = concat(bytes.subarray(0, from), Uint8Array.from(fill), bytes.subarray(to))
      if (altered.every((byte, i) => byte === bytes[i]) && altered.length === bytes.length) return
      if (altered.length > 4 && bytes.subarray(0, 4).every((byte, i) => byte === altered[i]) && altered[4] !== 1) return
      assert.isTrue(isRejected(altered), text.decode(altered))
    },
    { arbitrary: { runs: 500 } }
  )

  it.prop(
    "never throws, whatever the bytes (invariant 4)",
    { bytes: Schema.Array(Byte).check(Schema.isMaxLength(80)), json: Schema.String },
    ({ bytes, json }) => {
      assert.isTrue(isRejected(Uint8Array.from(bytes)))
      assert.isTrue(isRejected(concat(Uint8Array.of(0x9b, 0x6c, 0x66, 0x78, 1), bytesOf(json))))
      assert.isTrue(isRejected(concat(Uint8Array.of(0x9b, 0x6c, 0x66, 0x78, 1), Uint8Array.from(bytes))))
    }
  )

  it("rejects every announcement put together from two others (invariant 3)", () => {
    const certificates = [
      certify(crypto, root, host),
      certify(crypto, root, host, { epoch: 2 }),
      certify(crypto, root, host, { session: sessionOf(2) }),
      certify(crypto, student, host)
    ]
    const statements = certificates.flatMap(({ certificate }) =>
      [host, student].map((self) => ({
        certificate,
        signed: crypto.sign(
          self,
          "announcement",
          certificate.session,
          Announcement.statementBody({ port: 4_711, epoch: certificate.epoch })
        )
      }))
    )
    for (const { certificate, signed } of certificates) {
      for (const statement of statements) {
        const belongs = certificate.session === statement.certificate.session &&
          certificate.epoch === statement.certificate.epoch
        assert.strictEqual(isRejected(Announcement.encode(signed, statement.signed)), !belongs)
      }
    }
  })

  it("rejects a statement of another kind and a certificate that another root has signed (invariant 3)", () => {
    const { certificate, signed } = certify(crypto, root, host)
    const body = Announcement.statementBody({ port: 4_711, epoch: 1 })
    const statement = crypto.sign(host, "announcement", certificate.session, body)
    assert.isFalse(isRejected(Announcement.encode(signed, statement)))
    assert.isTrue(
      isRejected(Announcement.encode(signed, crypto.sign(host, "status", certificate.session, body)))
    )
    assert.isTrue(
      isRejected(Announcement.encode(crypto.sign(student, "certificate", "-", signed.body), statement))
    )
  })

  it("rejects a datagram that is longer than allowed, even if the root itself has signed it (invariant 1)", () => {
    const { certificate, signed } = certify(crypto, root, host)
    const padded = (length: number) => {
      const long = crypto.sign(root, "certificate", "-", signed.body + " ".repeat(length))
      const body = Announcement.statementBody({ port: 4_711, epoch: 1 })
      return Announcement.encode(long, crypto.sign(host, "announcement", certificate.session, body))
    }
    const room = Limits.datagramBytesMax - padded(0).length
    assert.isFalse(isRejected(padded(room)))
    assert.strictEqual(receive(padded(room + 1)), "garbage")
  })

  it("accepts one form of an announcement only (invariant 2)", () => {
    const bytes = announcementOf(crypto, certify(crypto, root, host), host, 4_711)
    const json = text.decode(bytes.subarray(5))
    const wrap = (other: string) => concat(bytes.subarray(0, 5), bytesOf(other))
    const { announcement, certificate } = JSON.parse(json)
    assert.isFalse(isRejected(wrap(json)))
    for (
      const other of [
        ` ${json}`,
        `${json}\n`,
        `\ufeff${json}`,
        json.replace("Algorithms", "\\u0041lgorithms"),
        json.replace("{", "{\"certificate\":1,"),
        JSON.stringify({ announcement, certificate }),
        JSON.stringify({ certificate, announcement, more: 1 })
      ]
    ) assert.strictEqual(receive(wrap(other)), "garbage", other)
  })

  it("tells another version from garbage, and garbage from another program's datagram", () => {
    const bytes = announcementOf(crypto, certify(crypto, root, host), host, 4_711)
    assert.deepStrictEqual(
      Announcement.decode(concat(bytes.subarray(0, 4), Uint8Array.of(2, 0xff, 0, 0xff))),
      { _tag: "OtherVersion", version: 2 }
    )
    assert.strictEqual(receive(concat(Uint8Array.of(2), bytes)), "garbage")
    assert.strictEqual(receive(new Uint8Array(0)), "garbage")
  })
})
