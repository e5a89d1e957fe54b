/**
 * Files that a browser hands over: it knows no paths, so their bytes are written below the state folder and shared from
 * there.
 *
 * A drop is begun, filled by any number of uploads, then finished or discarded. Uploads are records: a line of JSON, then
 * the bytes of the file. Nothing is held in memory beyond a batch of small files or a piece of a large one, and nothing is
 * written outside the drop's own folder: every name passes the portable profile first.
 */
import { Context, Effect, Exit, Layer, Result, Schema, Scope, Stream } from "effect"
import * as Limits from "../protocol/Limits.ts"
import * as Names from "../protocol/Names.ts"
import { Disk, type DiskError, type DiskFile } from "./Disk.ts"
import { DropRefused } from "./LocalErrors.ts"

export interface Written {
  readonly files: number
  /** Left out because of their names; at most `Limits.dropSkippedListedMax` are named. */
  readonly skipped: ReadonlyArray<{ readonly path: string; readonly reason: string }>
}

export class Drops extends Context.Service<Drops, {
  readonly begin: Effect.Effect<number, DropRefused | DiskError>
  /** Takes some of the files. An upload that breaks off leaves the drop as it was but for whole files. */
  readonly write: (
    drop: number,
    bytes: Stream.Stream<Uint8Array, unknown>
  ) => Effect.Effect<Written, DropRefused | DiskError>
  /** What lies at the top of the drop, to be shared. From here on nothing more is taken. */
  readonly finish: (drop: number) => Effect.Effect<ReadonlyArray<string>, DropRefused | DiskError>
  readonly discard: (drop: number) => Effect.Effect<void, DiskError>
  /** Removes the copy of a share that is not handed out any more; any other path is left alone. */
  readonly forget: (path: string) => Effect.Effect<void>
}>()("labfx/services/Drops") {
  /** Keeps drops below `stateFolder`. */
  static readonly layer = (stateFolder: string) => Layer.effect(Drops, make(stateFolder))
}

/** A file that is written as it comes: browsers send small pieces, and each write costs as much as 64 KiB of it. */
interface Large {
  readonly file: DiskFile
  readonly scope: Scope.Closeable
  readonly buffer: Uint8Array
  filled: number
}

const Line = Schema.Union([
  Schema.Struct({ path: Schema.String, size: Schema.Natural }),
  Schema.Struct({ path: Schema.String, folder: Schema.Literal(true) })
])
const decodeLine = Schema.decodeUnknownResult(Schema.fromJsonString(Line))

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf("/"))

const malformed = (detail: string) => new DropRefused({ reason: "malformed", detail })

const make = Effect.fnUntraced(function*(stateFolder: string) {
  const disk = yield* Disk
  const base = `${stateFolder}/dropped`
  const open = new Set<number>()
  const folderOf = (drop: number) => `${base}/${drop}`

  const begin = Effect.gen(function*() {
    if (open.size >= Limits.dropsMax) return yield* new DropRefused({ reason: "too-many", detail: `${open.size}` })
    yield* disk.makeDirectory(base, 0o700)
    const taken = (yield* disk.list(base)).map(Number).filter(Number.isSafeInteger)
    const drop = Math.max(0, ...taken, ...open) + 1
    open.add(drop)
    yield* disk.makeDirectory(folderOf(drop), 0o700)
    return drop
  })

  const write = Effect.fnUntraced(function*(drop: number, bytes: Stream.Stream<Uint8Array, unknown>) {
    if (!open.has(drop)) return yield* new DropRefused({ reason: "unknown", detail: `drop ${drop}` })
    const folder = folderOf(drop)
    const parents = new Set<string>()
    const skipped: Array<{ path: string; reason: string }> = []
    let files = 0
    let batch: Array<{ readonly path: string; readonly bytes: Uint8Array }> = []
    let batchBytes = 0
    /** The beginning of a line whose end has not come yet. */
    let line = new Uint8Array(0)
    let current: {
      readonly small: Uint8Array | undefined
      readonly large: Large | undefined
      readonly path: string
      readonly size: number
      done: number
    } | undefined

    const makeParent = (path: string) => {
      const parent = parentOf(path)
      if (parents.has(parent)) return Effect.void
      parents.add(parent)
      return disk.makeDirectory(parent, 0o700)
    }
    const flush = Effect.suspend(() => {
      if (batch.length === 0) return Effect.void
      const full = batch
      batch = []
      batchBytes = 0
      return disk.writeFiles(full, 0o600)
    })

    const begun = Effect.fnUntraced(function*(text: string) {
      const decoded = decodeLine(text)
      if (Result.isFailure(decoded)) return yield* malformed("a record's line cannot be read")
      const record = decoded.success
      const reason = Names.pathProblem(record.path)
      const path = `${folder}/${record.path}`
      if (reason !== undefined) {
        if (skipped.length < Limits.dropSkippedListedMax) skipped.push({ path: record.path.slice(0, 200), reason })
      } else if ("folder" in record) return yield* disk.makeDirectory(path, 0o700)
      else {
        files++
        yield* makeParent(path)
      }
      if ("folder" in record) return
      const wanted = reason === undefined
      const small = wanted && record.size <= Limits.dropSmallFileBytes ? new Uint8Array(record.size) : undefined
      if (!wanted || small !== undefined) {
        current = { small, large: undefined, path, size: record.size, done: 0 }
      } else {
        const scope = yield* Scope.make()
        const file = yield* disk.open(path, "create", 0o600).pipe(Scope.provide(scope))
        const buffer = new Uint8Array(Math.min(record.size, Limits.dropBatchBytes))
        current = { small, large: { file, scope, buffer, filled: 0 }, path, size: record.size, done: 0 }
      }
      if (record.size === 0) yield* ended
    })

    const ended = Effect.suspend(() => {
      const file = current!
      current = undefined
      if (file.large !== undefined) return Scope.close(file.large.scope, Exit.void)
      if (file.small === undefined) return Effect.void
      batch.push({ path: file.path, bytes: file.small })
      batchBytes += file.small.length + Limits.dropSmallFileBytes / 16
      return batchBytes < Limits.dropBatchBytes ? Effect.void : flush
    })

    const take = Effect.fnUntraced(function*(chunk: Uint8Array) {
      let at = 0
      while (at < chunk.length) {
        if (current === undefined) {
          const end = chunk.indexOf(0x0a, at)
          const part = chunk.subarray(at, end === -1 ? chunk.length : end)
          if (line.length + part.length > Limits.dropRecordBytesMax) {
            return yield* malformed("a record's line is too long")
          }
          const whole = new Uint8Array(line.length + part.length)
          whole.set(line)
          whole.set(part, line.length)
          line = whole
          if (end === -1) return
          at = end + 1
          const text = new TextDecoder().decode(line)
          line = new Uint8Array(0)
          yield* begun(text)
          continue
        }
        const { large, size, small } = current
        const room = large === undefined ? size - current.done : large.buffer.length - large.filled
        const part = chunk.subarray(at, at + Math.min(size - current.done, room))
        small?.set(part, current.done)
        current.done += part.length
        at += part.length
        if (large !== undefined) {
          large.buffer.set(part, large.filled)
          large.filled += part.length
          if (large.filled === large.buffer.length || current.done === size) {
            yield* large.file.write(large.buffer.subarray(0, large.filled), current.done - large.filled)
            large.filled = 0
          }
        }
        if (current.done === current.size) yield* ended
      }
    })

    yield* Stream.runForEach(bytes, take).pipe(
      Effect.mapError((error): DropRefused | DiskError =>
        isOwn(error) ? error : new DropRefused({ reason: "cut-off", detail: "the upload broke off" })
      ),
      Effect.andThen(
        Effect.suspend((): Effect.Effect<void, DropRefused | DiskError> =>
          current === undefined && line.length === 0
            ? flush
            : Effect.fail(new DropRefused({ reason: "cut-off", detail: "the upload broke off" }))
        )
      ),
      Effect.ensuring(Effect.suspend(() => {
        const unfinished = current
        if (unfinished?.large === undefined) return Effect.void
        return Scope.close(unfinished.large.scope, Exit.void).pipe(
          Effect.andThen(Effect.ignore(disk.remove(unfinished.path)))
        )
      }))
    )
    return { files, skipped }
  })

  const discard = Effect.fnUntraced(function*(drop: number) {
    if (!open.delete(drop)) return
    yield* disk.remove(folderOf(drop))
  })

  const finish = Effect.fnUntraced(function*(drop: number) {
    if (!open.has(drop)) return yield* new DropRefused({ reason: "unknown", detail: `drop ${drop}` })
    const names = yield* disk.list(folderOf(drop))
    if (names.length === 0) {
      yield* discard(drop)
      return yield* new DropRefused({ reason: "nothing-left", detail: "no file has a name that every system can hold" })
    }
    open.delete(drop)
    return names.map((name) => `${folderOf(drop)}/${name}`)
  })

  const forget = Effect.fnUntraced(function*(path: string) {
    const [, drop, name] = path.startsWith(`${base}/`) ? /^(\d+)\/([^/]+)$/.exec(path.slice(base.length + 1)) ?? [] : []
    if (drop === undefined || name === undefined) return
    yield* disk.remove(path)
    if ((yield* disk.list(`${base}/${drop}`)).length === 0) yield* disk.remove(`${base}/${drop}`)
  }, (effect) => Effect.ignore(effect))

  yield* Effect.addFinalizer(() => Effect.forEach([...open], (drop) => Effect.ignore(discard(drop)), { discard: true }))

  return Drops.of({ begin, write, finish, discard, forget })
})

const isOwn = (error: unknown): error is DropRefused | DiskError =>
  typeof error === "object" && error !== null && "_tag" in error &&
  (error._tag === "DropRefused" || error._tag === "DiskError")
