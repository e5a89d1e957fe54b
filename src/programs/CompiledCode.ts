/**
 * The file beside the shipped program with what V8 has compiled of it (decision 0080): a SHA-256 of the program's text and
 * of V8's bytes, then these bytes.
 *
 * V8 refuses what another version of it has made, or one with other flags, or of a text of another length, and compiles as
 * it always does. Everything else it believes: of forty files with one byte changed, ten made it crash or hang.
 */
import { createRequire } from "node:module"

const digestBytes = 32

/** The text is ASCII, so that each character is a byte. */
const digest = (text: string, code: Uint8Array): Buffer => {
  // Loaded only where there is a file to check: without one, `labfx --help` does not need it.
  const { createHash }: typeof import("node:crypto") = createRequire(import.meta.url)("node:crypto")
  return createHash("sha256").update(text, "latin1").update(code).digest()
}

/** Where it lies for the program at `path`. */
export const beside = (path: string): string => path.replace(/\.mjs$/, "") + ".code"

export const encode = (text: string, code: Uint8Array): Uint8Array => Buffer.concat([digest(text, code), code])

/** V8's bytes, or nothing if they are damaged or of another text. */
export const decode = (text: string, bytes: Uint8Array): Buffer | undefined => {
  const code = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).subarray(digestBytes)
  return digest(text, code).equals(bytes.subarray(0, digestBytes)) ? code : undefined
}
