/**
 * Bits as English words that people can read to each other: the 2,048 words of BIP 39, 11 bits each.
 *
 * The list is made for this: no two words share their first four letters.
 */
import { wordlist } from "@scure/bip39/wordlists/english.js"
import type { PublicKey } from "./Ids.ts"

const bitsPerWord = 11

/** Words of a fingerprint: 66 bits, so that nobody finds a second key with the same words by trying. */
export const fingerprintWordsCount = 6

const numbers = new Map(wordlist.map((word, number) => [word, number]))

/** Whether it is one of the 2,048, in lower case. */
export const isWord = (word: string): boolean => numbers.has(word)

/** The first `count` times 11 bits of `bytes`, most significant first, as words. */
export const encode = (bytes: Uint8Array, count: number): ReadonlyArray<string> => {
  const words: Array<string> = []
  let bits = 0
  let value = 0
  for (const byte of bytes) {
    value = (value << 8) | byte
    bits += 8
    if (bits < bitsPerWord) continue
    bits -= bitsPerWord
    words.push(wordlist[value >> bits]!)
    value &= (1 << bits) - 1
    if (words.length === count) break
  }
  return words
}

/** What a person has typed or copied, as lower-case words: spaces, hyphens, commas and numbering are all the same. */
export const split = (text: string): ReadonlyArray<string> =>
  text.normalize("NFKC").toLowerCase().split(/[^\p{L}]+/u).filter((word) => word !== "")

/** Exactly `count` words of the list, or nothing. */
export const parse = (text: string, count: number): ReadonlyArray<string> | undefined => {
  const words = split(text)
  return words.length === count && words.every(isWord) ? words : undefined
}

/**
 * The words by which people recognise a teacher's key: the first 66 bits of
 * SHA-256("labfx/1/fingerprint" LF key), the key as base64url text.
 */
export const fingerprint = (root: PublicKey, sha256: (bytes: Uint8Array) => Uint8Array): string =>
  encode(sha256(new TextEncoder().encode(`labfx/1/fingerprint\n${root}`)), fingerprintWordsCount).join(" ")

/** Whether two texts are the same words, however they are written. */
export const same = (a: string, b: string): boolean => {
  const words = split(a)
  return words.length > 0 && words.join(" ") === split(b).join(" ")
}
