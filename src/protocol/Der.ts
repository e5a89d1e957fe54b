/**
 * The self-signed certificate that carries a peer's Ed25519 key through TLS.
 *
 * TLS wants X.509, labfx wants a key: names, serial number and dates are constants that nobody reads. The encoding is
 * DER (ITU-T X.690), of which a certificate without extensions needs a handful of types; fields are those of RFC 5280,
 * section 4.1, and the algorithm identifiers those of RFC 8410.
 */

const integerTag = 0x02
const bitStringTag = 0x03
const objectIdentifierTag = 0x06
const utf8StringTag = 0x0c
const utcTimeTag = 0x17
const generalizedTimeTag = 0x18
const sequenceTag = 0x30
const setTag = 0x31
/** `[0] EXPLICIT`, which wraps the version. */
const versionTag = 0xa0

/** A length: one byte below 128, else the count of its bytes and the bytes, the fewest possible. */
const encodeLength = (length: number): ReadonlyArray<number> =>
  length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]

const encode = (tag: number, ...contents: ReadonlyArray<ArrayLike<number>>): Uint8Array => {
  const length = contents.reduce((sum, content) => sum + content.length, 0)
  const head = [tag, ...encodeLength(length)]
  const bytes = new Uint8Array(head.length + length)
  bytes.set(head)
  let at = head.length
  for (const content of contents) {
    bytes.set(content, at)
    at += content.length
  }
  return bytes
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value)

/** The bytes have no unused bits at their end. */
const bitString = (bytes: Uint8Array): Uint8Array => encode(bitStringTag, [0], bytes)

/** `id-Ed25519`, 1.3.101.112, without parameters. */
const ed25519 = encode(sequenceTag, encode(objectIdentifierTag, [0x2b, 0x65, 0x70]))

/** One attribute, `commonName` (2.5.4.3). */
const name = encode(
  sequenceTag,
  encode(
    setTag,
    encode(sequenceTag, encode(objectIdentifierTag, [0x55, 0x04, 0x03]), encode(utf8StringTag, text("labfx")))
  )
)

/** From 2000 to "no well-defined expiration" (RFC 5280, 4.1.2.5): a lab's clocks are often wrong, so no clock is asked. */
const validity = encode(
  sequenceTag,
  encode(utcTimeTag, text("000101000000Z")),
  encode(generalizedTimeTag, text("99991231235959Z"))
)

/**
 * A self-signed X.509 version 3 certificate for a raw Ed25519 public key (32 bytes), in DER.
 *
 * `sign` gives the 64-byte Ed25519 signature by that key of the bytes it is handed.
 */
export const selfSignedCertificate = (
  publicKey: Uint8Array,
  sign: (bytes: Uint8Array) => Uint8Array
): Uint8Array => {
  const unsigned = encode(
    sequenceTag,
    encode(versionTag, encode(integerTag, [2])),
    encode(integerTag, [1]),
    ed25519,
    name,
    validity,
    name,
    encode(sequenceTag, ed25519, bitString(publicKey))
  )
  return encode(sequenceTag, unsigned, ed25519, bitString(sign(unsigned)))
}
