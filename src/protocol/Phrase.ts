/**
 * The teacher's secret as text that a person keeps in the head: how it is made, written down, and how strong it is.
 *
 * The public key that follows from it is known to everybody, so an attacker can try secrets at leisure, half a second
 * each and as many at once as there are machines. 60 bits is what must be left to guess.
 */
import * as Words from "./Words.ts"

type Sha256 = (bytes: Uint8Array) => Uint8Array

/** Words that carry the secret. Six are 66 bits. */
const secretWordsCount = 6
/** Bytes of chance that {@link make} wants: 66 bits and some that are not used. */
export const entropyBytes = 9
/** Fewer bits than this are refused unless a person insists. */
export const strengthBitsMin = 60
/** The strength of a phrase made here. */
export const phraseBits = 66

/** The last word follows from the others: a slip of the pen is noticed before it becomes another key. */
const checkWord = (sha256: Sha256, words: ReadonlyArray<string>): string =>
  Words.encode(sha256(new TextEncoder().encode(`labfx/1/phrase\n${words.join(" ")}`)), 1)[0]!

/** A phrase of six words and a check word from `entropyBytes` random bytes. */
export const make = (sha256: Sha256, entropy: Uint8Array): string => {
  const words = Words.encode(entropy, secretWordsCount)
  return [...words, checkWord(sha256, words)].join(" ")
}

/** The form in which a secret counts: what keyboards and copying do to a text makes no difference. */
export const normalize = (text: string): string => text.normalize("NFKC").trim().replace(/\s+/gu, " ")

/**
 * What a text is. A `phrase` is one made here, however it is spelled; `mistyped` has the words of one but for a word that
 * is not in the list or does not fit; everything else is somebody's `own` idea.
 */
export const recognize = (
  sha256: Sha256,
  text: string
): { readonly kind: "phrase" | "own"; readonly text: string } | {
  readonly kind: "mistyped"
  readonly word: string
} => {
  const words = Words.split(text)
  const own = { kind: "own" as const, text: normalize(text) }
  if (words.length !== secretWordsCount + 1) return own
  const unknown = words.filter((word) => !Words.isWord(word))
  if (unknown.length > 1) return own
  if (unknown.length === 1) return { kind: "mistyped", word: unknown[0]! }
  const last = words[secretWordsCount]!
  return checkWord(sha256, words.slice(0, secretWordsCount)) === last
    ? { kind: "phrase", text: words.join(" ") }
    : { kind: "mistyped", word: last }
}

/** Words that hold sentences together: English, German, French, Spanish. */
const grammarWords = new Set(
  ("all an and are as at be been but by can do for from had has have he her his how if in is it my no not of on one or " +
    "our she so that the their them then there they this to up us was we were what when which who will with you your " +
    "das dem den der die ein eine er es ich ihr im ist mit nicht sie sind und von war wir zu " +
    "au ce dans des du elle en est et il je la le les mais nous pas pour que qui sur un une vous " +
    "como con del el esta las lo los mi para pero por se su una yo").split(" ")
)

/** What passwords are made of. */
const passwordWords = new Set(
  ("abc admin asdf asdfgh asdfghjkl changeme class course dragon hello hunter lab labfx lecture letmein login love " +
    "master monkey pass passwd password passwort qwer qwert qwerty qwertyuiop qwertz room root school secret student " +
    "summer sunshine teacher test university user welcome winter xyz yxcv zxcv zxcvbn").split(" ")
)

/** Letters that are one idea, a capital and what follows it at most; else digits; else one sign. */
const tokens = /\p{Lu}?(?:(?!\p{Lu})[\p{L}\p{M}])+|\p{Lu}|\p{Nd}+|[^\s\p{L}\p{Nd}]/gu

/** A run of letters is taken for a word of a list of 2,000, however long it is. */
const letterBits = (length: number): number => [0, 4.5, 8, 10][length] ?? 11

/** Digits count in full until they go on as the two before them did: 1111, 1234, 2468; a year is one of a hundred. */
const digitBits = (digits: string): number => {
  if (/^(?:19|20)\d\d$/.test(digits)) return 6.6
  let bits = 0
  for (let i = 0; i < digits.length; i++) {
    const step = digits.charCodeAt(i) - digits.charCodeAt(i - 1)
    const stepBefore = digits.charCodeAt(i - 1) - digits.charCodeAt(i - 2)
    bits += i >= 2 && step === stepBefore ? 0.3 : 3.3
  }
  return bits
}

/** A word that follows from those around it: at 1.3 bits a letter (Shannon, 1951) and five letters, some more. */
const sentenceWordBits = 5

/**
 * How many bits an attacker has to guess, estimated from below: 16 random characters or six random words pass, a password
 * with a year and a sign behind it does not, nor does a short sentence. Every run of letters counts as one common word, less
 * in a sentence, and anything seen before in the text counts nothing.
 */
export const strengthBits = (text: string): number => {
  const normalized = normalize(text)
  const isSentence = normalized.toLowerCase().split(/[^\p{L}\p{Nd}]*\s[^\p{L}\p{Nd}]*/u).some((word) =>
    grammarWords.has(word)
  )
  const seen = new Set<string>()
  let bits = 0
  for (const [token] of normalized.matchAll(tokens)) {
    const key = token.toLowerCase()
    if (seen.has(key)) continue
    seen.add(key)
    if (/^\p{Nd}/u.test(token)) bits += digitBits(token)
    else if (!/^[\p{L}\p{M}]/u.test(token)) bits += 4
    else if (grammarWords.has(key) || passwordWords.has(key)) bits += 2
    else bits += Math.min(letterBits(Array.from(token).length), isSentence ? sentenceWordBits : Infinity)
  }
  return bits
}
