/**
 * The log of a session on disk: entries and certificates, appended and never changed.
 *
 * A record is a line: eleven characters of SHA-256 over the rest, a letter for the kind, and the signed statement as
 * JSON. What follows the first damaged line was torn by a crash and is cut off at the next start; other devices still
 * have it.
 */
import { Context, Effect, Layer, Option, Schema, type Scope, Semaphore } from "effect"
import { SessionId } from "../protocol/Ids.ts"
import * as Limits from "../protocol/Limits.ts"
import { Signed } from "../protocol/Signed.ts"
import { Crypto } from "./Crypto.ts"
import { Disk, type DiskError, type DiskFile } from "./Disk.ts"

export interface LogRecord {
  readonly kind: "entry" | "certificate"
  readonly signed: Signed
}

export interface SessionLog {
  /** What the file held when it was opened, in the order in which it was appended. */
  readonly kept: ReadonlyArray<LogRecord>
  /**
   * Appends all of the records or none. After this they survive a killed process; `durable` makes them survive a power
   * cut too and takes as long as the disk needs for that.
   */
  readonly append: (records: ReadonlyArray<LogRecord>, durable: boolean) => Effect.Effect<void, DiskError>
}

export class LogStore extends Context.Service<LogStore, {
  /** Opens the session's log for this one writer, until the scope closes. Logs of long ago are removed. */
  readonly open: (session: SessionId) => Effect.Effect<SessionLog, DiskError, Scope.Scope>
}>()("labfx/services/LogStore") {
  static readonly layer = (stateFolder: string) => Layer.effect(LogStore, make(stateFolder))
}

const checksumChars = 11
/** A signed statement as JSON, and what is around it. Nothing longer was ever written. */
const lineBytesMax = 2 * Limits.controlFrameBytesMax
const readBytes = 1024 * 1024
const lineEnd = 10

const kinds: Record<string, LogRecord["kind"]> = { E: "entry", C: "certificate" }
const letters = { entry: "E", certificate: "C" } as const

const decodeSigned = Schema.decodeUnknownOption(Schema.fromJsonString(Signed))
const isSessionId = Schema.is(SessionId)

const make = Effect.fnUntraced(function*(stateFolder: string) {
  const disk = yield* Disk
  const crypto = yield* Crypto
  const encoder = new TextEncoder()
  const decoder = new TextDecoder()
  const sessions = `${stateFolder}/sessions`

  const checksum = (text: string): string => crypto.sha256Text(encoder.encode(text)).slice(0, checksumChars)

  const encode = (record: LogRecord): string => {
    const { body, key, signature } = record.signed
    const text = letters[record.kind] + JSON.stringify({ key, signature, body })
    return `${checksum(text)}${text}\n`
  }

  const decode = (line: string): LogRecord | undefined => {
    const text = line.slice(checksumChars)
    const kind = kinds[text[0] ?? ""]
    if (kind === undefined || checksum(text) !== line.slice(0, checksumChars)) return undefined
    const signed = decodeSigned(text.slice(1))
    return Option.isSome(signed) ? { kind, signed: signed.value } : undefined
  }

  /** The records up to the first damaged one, and where that begins. */
  const load = Effect.fnUntraced(function*(file: DiskFile) {
    const kept: Array<LogRecord> = []
    const buffer = new Uint8Array(readBytes)
    let goodBytes = 0
    while (true) {
      const length = yield* file.read(buffer, goodBytes)
      let start = 0
      for (let end = buffer.indexOf(lineEnd); end >= 0 && end < length; end = buffer.indexOf(lineEnd, start)) {
        const record = end - start <= lineBytesMax ? decode(decoder.decode(buffer.subarray(start, end))) : undefined
        if (record === undefined) return { kept, goodBytes: goodBytes + start }
        kept.push(record)
        start = end + 1
      }
      // A whole buffer holds many lines: if it has none, no line begins here.
      if (start === 0) return { kept, goodBytes }
      goodBytes += start
    }
  })

  /** The sessions not touched for longest go first; anything else in the folder is nobody's business. */
  const prune = Effect.fnUntraced(function*(current: SessionId) {
    const names = (yield* disk.list(sessions)).filter((name) => isSessionId(name) && name !== current)
    if (names.length < Limits.sessionsKeptMax) return
    const touched = yield* Effect.forEach(names, (name) =>
      disk.stat(`${sessions}/${name}/log`).pipe(
        Effect.map(({ modifiedNs }) => ({ name, modifiedNs })),
        Effect.catch(() => Effect.succeed({ name, modifiedNs: 0n }))
      ))
    const oldestFirst = touched.toSorted((a, b) => (a.modifiedNs < b.modifiedNs ? -1 : 1))
    for (const { name } of oldestFirst.slice(0, names.length + 1 - Limits.sessionsKeptMax)) {
      yield* disk.remove(`${sessions}/${name}`)
    }
  })

  const open = Effect.fn("LogStore.open")(function*(session: SessionId) {
    const folder = `${sessions}/${session}`
    yield* disk.makeDirectory(folder, 0o700)
    yield* Effect.ignore(prune(session))
    const file = yield* disk.open(`${folder}/log`, "write", 0o600)
    const { goodBytes, kept } = yield* load(file)
    yield* file.truncate(goodBytes)
    // The file's own name, too, is to survive a power cut.
    for (const each of [folder, sessions, stateFolder]) yield* Effect.ignore(disk.syncDirectory(each))

    let endBytes = goodBytes
    /** Whether an append failed half way, so that there may be something behind the end. */
    let torn = false
    const one = yield* Semaphore.make(1)
    const append: SessionLog["append"] = Effect.fnUntraced(function*(records, durable) {
      const bytes = encoder.encode(records.map(encode).join(""))
      if (torn) yield* file.truncate(endBytes)
      torn = true
      yield* file.write(bytes, endBytes)
      if (durable) yield* file.sync
      torn = false
      endBytes += bytes.length
    }, (effect) =>
      effect.pipe(
        // What its writer is told was not written must not come back at the next start.
        Effect.tapError(() => Effect.ignore(file.truncate(endBytes))),
        Effect.uninterruptible,
        one.withPermit
      ))
    const log: SessionLog = { kept, append }
    return log
  })

  return LogStore.of({ open })
})
