/**
 * The announcement: one datagram by which a peer says that it is in a session and where it accepts links.
 *
 * ```
 * 9b 6c 66 78   magic: ".lfx", no text protocol begins like this
 * 01            major version
 * {...}         JSON, to the end of the datagram
 * ```
 *
 * It carries the session's certificate, signed by the root, and the peer's own statement, signed by the peer: so it can
 * neither be altered nor be put together from two others. It can be repeated by anybody from anywhere, which is why the
 * statement has neither time nor counter: they would decide nothing, and a peer that says the same again is recognised
 * by its bytes alone. Where a peer is, and who it is, is proven by the link.
 *
 * Invariants, checked by `test/protocol/Announcement.test.ts`:
 *
 * 1. **Fits:** any certificate and statement fit into `Limits.datagramBytesMax`.
 * 2. **One form:** an announcement has exactly one encoding; whatever else decodes to the same is garbage.
 * 3. **Tamper-proof:** no other datagram than those signed passes {@link decode} and both signatures.
 * 4. **Total:** {@link decode} gives a value for any bytes and never throws.
 */
import { Result, Schema } from "effect"
import { Certificate } from "./Certificate.ts"
import { Signature } from "./Ids.ts"
import * as Limits from "./Limits.ts"
import { Signed } from "./Signed.ts"

const magic = [0x9b, 0x6c, 0x66, 0x78] as const

/** The major version of the datagram's form. A program reads its own and reports others. */
export const version = 1

const headerBytes = magic.length + 1

/** What the announcing peer signs, as kind `announcement` in the certificate's session. */
export const Statement = Schema.Struct({
  /** Where it accepts links, at the address the datagram comes from. */
  port: Schema.Natural.check(Schema.isBetween({ minimum: 1, maximum: 65_535 })),
  /** The certificate's, so that no older certificate can be put in its place. */
  epoch: Schema.Natural
})
export type Statement = typeof Statement.Type

/** The root key stands in the certificate's body, so it is not repeated beside the signature: 53 bytes for the title. */
const Datagram = Schema.Struct({
  certificate: Schema.Struct({ signature: Signature, body: Schema.String }),
  announcement: Signed
})

export interface Announcement {
  readonly certificate: Certificate
  /** Of kind `certificate`, by the root. */
  readonly certificateSigned: Signed
  readonly statement: Statement
  /** Of kind `announcement`, by the announcing peer. */
  readonly statementSigned: Signed
}

export type Decoded =
  | { readonly _tag: "Announcement"; readonly announcement: Announcement }
  /** From a labfx whose datagrams this one cannot read. */
  | { readonly _tag: "OtherVersion"; readonly version: number }
  | { readonly _tag: "Garbage" }

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const decodeDatagram = Schema.decodeUnknownResult(Datagram)
const decodeCertificate = Schema.decodeUnknownResult(Certificate)
const decodeStatement = Schema.decodeUnknownResult(Statement)

/** The text to sign for a statement. */
export const statementBody = ({ epoch, port }: Statement): string => JSON.stringify({ port, epoch })

const jsonOf = (certificate: Signed, { body, key, signature }: Signed): string =>
  JSON.stringify({
    certificate: { signature: certificate.signature, body: certificate.body },
    announcement: { key, signature, body }
  })

/** The datagram. `certificate` must be signed by the root that its body names. */
export const encode = (certificate: Signed, statement: Signed): Uint8Array => {
  const json = encoder.encode(jsonOf(certificate, statement))
  const bytes = new Uint8Array(headerBytes + json.length)
  bytes.set(magic)
  bytes[magic.length] = version
  bytes.set(json, headerBytes)
  return bytes
}

/** Undefined for what is no JSON of that shape. */
const parse = <A>(json: string, decode: (value: unknown) => Result.Result<A, unknown>): A | undefined => {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    return undefined
  }
  return Result.getOrUndefined(decode(value))
}

const garbage: Decoded = { _tag: "Garbage" }

const decodeJson = (json: string): Decoded => {
  const datagram = parse(json, decodeDatagram)
  if (datagram === undefined) return garbage
  const certificate = parse(datagram.certificate.body, decodeCertificate)
  const statement = parse(datagram.announcement.body, decodeStatement)
  if (certificate === undefined || statement === undefined || statement.epoch !== certificate.epoch) return garbage
  const certificateSigned: Signed = { key: certificate.root, ...datagram.certificate }
  const statementSigned = datagram.announcement
  if (jsonOf(certificateSigned, statementSigned) !== json) return garbage
  return { _tag: "Announcement", announcement: { certificate, certificateSigned, statement, statementSigned } }
}

/** Reads a datagram. The signatures are still to be checked. */
export const decode = (bytes: Uint8Array): Decoded => {
  if (bytes.length <= headerBytes || bytes.length > Limits.datagramBytesMax) return garbage
  if (magic.some((byte, i) => bytes[i] !== byte)) return garbage
  const major = bytes[magic.length]!
  if (major !== version) return { _tag: "OtherVersion", version: major }
  let json: string
  try {
    json = decoder.decode(bytes.subarray(headerBytes))
  } catch {
    return garbage
  }
  return decodeJson(json)
}
