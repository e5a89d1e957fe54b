/**
 * What the store costs: `node bench/store.ts [folder] [rounds]`, the folder saying which disk (default: the system's
 * temporary one).
 *
 * MB are 10^6 bytes. CPU is this whole process's, so it holds the hashing and the system's copying too. One round proves
 * little: what the system takes for a page of its cache varies threefold from one second to the next.
 */
import { Context, Effect, Layer } from "effect"
import * as NodeFs from "node:fs"
import * as NodeOs from "node:os"
import { monitorEventLoopDelay, performance } from "node:perf_hooks"
import { ChunkStore } from "../src/services/ChunkStore.ts"
import { layerNode as cryptoNode } from "../src/services/node/CryptoNode.ts"
import { layerNode as diskNode } from "../src/services/node/DiskNode.ts"
import { freshFolder, limitSeconds, natural } from "./Processes.ts"

const rounds = natural(process.argv[3] ?? "1", 1)
limitSeconds(60 + 600 * rounds)
const folder = freshFolder(process.argv[2] ?? NodeOs.tmpdir())
const quiet = () => Effect.void

/** Prints how long an effect takes, its processor time, and the longest time that nothing else could run. */
const timed = Effect.fnUntraced(function*<A, E, R>(what: string, sizeBytes: number, effect: Effect.Effect<A, E, R>) {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  yield* Effect.sleep(20)
  delay.reset()
  const cpu = process.cpuUsage()
  const start = performance.now()
  const result = yield* effect
  const ms = performance.now() - start
  const { system, user } = process.cpuUsage(cpu)
  yield* Effect.sleep(5)
  delay.disable()
  const rate = sizeBytes / 1e6 / (ms / 1e3)
  process.stdout.write(
    `${what.padEnd(46)} ${ms.toFixed(0).padStart(6)} ms ${rate.toFixed(0).padStart(5)} MB/s ` +
      `${((user + system) / 1e6 / (sizeBytes / 1e9)).toFixed(2).padStart(6)} CPU s/GB   stall ${
        (delay.max / 1e6).toFixed(0)
      } ms\n`
  )
  return result
})

const build = (options: Parameters<typeof ChunkStore.layer>[0]) =>
  Effect.map(
    Layer.build(Layer.provide(ChunkStore.layer(options), [diskNode, cryptoNode])),
    (services) => Context.get(services, ChunkStore)
  )

/** Import, write with verification, publish, serve: one chunk after another, as one fast peer would bring them. */
const roundTrip = Effect.fnUntraced(function*(name: string, path: string, sizeBytes: number, chunkSizeBytes: number) {
  const place = yield* Effect.acquireRelease(
    Effect.sync(() => NodeFs.mkdtempSync(`${folder}/round-`)),
    (place) => Effect.sync(() => NodeFs.rmSync(place, { recursive: true, force: true }))
  )
  const options = { stateFolder: `${place}/state`, chunkSizeBytesMin: chunkSizeBytes }
  const from = yield* build(options)
  const to = yield* build({ ...options, downloadFolder: `${place}/downloads` })
  const { share } = yield* timed(`${name}: import`, sizeBytes, from.importSource(path, quiet))
  const count = share.manifest.hashes.length + share.chunksCount
  const buffer = new Uint8Array(share.chunkSizeBytes)
  const readAll = (store: ChunkStore["Service"]) =>
    Effect.gen(function*() {
      for (let index = 0; index < count; index++) yield* store.read(share.root, index, buffer)
    })
  yield* timed(`${name}: serve the source, hashed anew`, sizeBytes, readAll(from))
  yield* timed(`${name}: serve it again`, sizeBytes, readAll(from))
  const chunks: Array<Uint8Array> = []
  for (let index = 0; index < count; index++) chunks.push((yield* from.read(share.root, index, buffer)).slice())
  yield* to.open(share)
  yield* timed(
    `${name}: write, ${count} chunks of ${share.chunkSizeBytes / 1024} KiB`,
    sizeBytes,
    Effect.gen(function*() {
      for (let index = 0; index < count; index++) yield* to.write(share.root, index, chunks[index]!)
    })
  )
  yield* timed(`${name}: publish`, sizeBytes, to.publish(share.root))
  yield* timed(`${name}: serve what is published`, sizeBytes, readAll(to))
}, Effect.scoped)

const program = Effect.gen(function*() {
  const KiB = 1024
  const large = Buffer.alloc(512 * KiB * KiB)
  for (let i = 0; i < large.length; i += 4) large.writeUInt32LE(Math.imul(i, 0x9e3779b1) >>> 0, i)
  NodeFs.writeFileSync(`${folder}/large.bin`, large)
  NodeFs.writeFileSync(`${folder}/medium.bin`, large.subarray(0, 32 * KiB * KiB))
  const files = 10_000
  for (let i = 0; i < files; i++) {
    const parent = `${folder}/small/d${i % 100}`
    if (i < 100) NodeFs.mkdirSync(parent, { recursive: true })
    NodeFs.writeFileSync(`${parent}/f${i}.txt`, large.subarray(i * 4_096, (i + 1) * 4_096))
  }
  NodeFs.writeFileSync(`${folder}/same.bin`, large.subarray(0, files * 4_096))
  // In turns, so that what the machine does beside falls on all of them.
  for (let round = 1; round <= rounds; round++) {
    yield* roundTrip("64 KiB", `${folder}/medium.bin`, 32 * KiB * KiB, 64 * KiB)
    for (const chunkKiB of [1_024, 2_048, 4_096]) {
      yield* roundTrip(`${chunkKiB} KiB`, `${folder}/large.bin`, large.length, chunkKiB * KiB)
    }
    yield* roundTrip("10,000 files", `${folder}/small`, files * 4_096, 64 * KiB)
    yield* roundTrip("one file of that size", `${folder}/same.bin`, files * 4_096, 64 * KiB)
  }
})

await Effect.runPromise(program)
