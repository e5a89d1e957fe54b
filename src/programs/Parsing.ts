/** Values of flags that need more than a type: checked before anything is opened or sent. */
import { Effect, Option, Schema } from "effect"
import { PublicKey } from "../protocol/Ids.ts"
import * as Limits from "../protocol/Limits.ts"
import { shortText } from "../protocol/Text.ts"
import { Address } from "../protocol/Wire.ts"
import * as Words from "../protocol/Words.ts"
import { UsageError } from "./Problems.ts"

const refuse = (reason: UsageError["reason"], detail: string) => Effect.fail(new UsageError({ reason, detail }))

/** `HOST:PORT` with an IP address; IPv6 in brackets. */
export const address = (text: string): Effect.Effect<Address, UsageError> => {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:\s]+)):(\d{1,5})$/.exec(text.trim()) ?? []
  const parsed = { host: bracketed ?? plain, port: Number(port) }
  return Schema.is(Address)(parsed) ? Effect.succeed(parsed) : refuse("bad-address", text)
}

export const isPort = (port: number): boolean => Number.isInteger(port) && port >= 0 && port <= 65_535

/** The six words of a session, however they were written. */
export const words = (text: string): Effect.Effect<string, UsageError> => {
  const parsed = Words.parse(text, Words.fingerprintWordsCount)
  return parsed === undefined ? refuse("bad-words", text) : Effect.succeed(parsed.join(" "))
}

/** A public key as `labfx keygen` prints it, or what a file of that name begins with. */
export const publicKey = (
  text: string,
  readFile: (path: string) => Effect.Effect<string, UsageError>
): Effect.Effect<PublicKey, UsageError> => {
  const isKey = Schema.is(PublicKey)
  if (isKey(text)) return Effect.succeed(text)
  return Effect.flatMap(readFile(text), (content) => {
    const first = content.trim().split(/\s/)[0]
    return isKey(first) ? Effect.succeed(first) : refuse("bad-trust", text)
  })
}

const isTitle = Schema.is(shortText(Limits.titleBytesMax))
const isName = Schema.is(shortText(Limits.nameBytesMax))

export const title = (text: string): Effect.Effect<string, UsageError> =>
  text.trim() !== "" && isTitle(text) ? Effect.succeed(text) : refuse("bad-name", text)

export const name = (text: string): Effect.Effect<string, UsageError> =>
  text.trim() !== "" && isName(text) ? Effect.succeed(text) : refuse("bad-name", text)

/** The machine's name as a device's name: nobody chose it, so it is cut rather than refused. */
export const nameOfMachine = (hostname: string): string => {
  // Four UTF-8 bytes are the most a character takes.
  const plain = [...hostname.replace(/[^\p{L}\p{N}._ -]/gu, "")].slice(0, Limits.nameBytesMax / 4).join("").trim()
  return plain === "" ? "device" : plain
}

const unitBytes: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30
}

/** A number of bytes as people write it: `500000`, `100MB`, `32MiB`, `1.5 GiB`. None if it is no size. */
export const sizeBytes = (text: string): Option.Option<number> => {
  const [, count, unit] = /^(\d+(?:\.\d+)?)\s*(|[kmg]i?)b?$/i.exec(text.trim()) ?? []
  return count === undefined ? Option.none() : Option.some(Math.round(Number(count) * unitBytes[unit!.toLowerCase()]!))
}
