/**
 * What one link can carry without labfx's frames: file, TLS, SHA-256, file, between two processes on loopback.
 *
 * `node bench/link-raw.ts [MiB]` prints, for each way of writing and each receiving side, MB/s (10^6 bytes) and the
 * processor seconds a GB that either side spent. Files live in the system's temporary folder: point TMPDIR to a memory
 * file system to leave the disk out of it.
 */
import { Effect, Fiber, Layer, Queue } from "effect"
import { fork } from "node:child_process"
import { hash, randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { Crypto } from "../src/services/Crypto.ts"
import { layerNode as cryptoLayer } from "../src/services/node/CryptoNode.ts"
import { layerNode as transportLayer } from "../src/services/node/TransportNode.ts"
import { type Connection, Transport, write } from "../src/services/Transport.ts"
import { freshFolder, limitSeconds, natural, tied } from "./Processes.ts"

const KiB = 1024
const MiB = 1024 * KiB

/** A chunk: what is read, hashed and written at a time. */
const chunkBytes = MiB
/** The source is read again and again: its size only has to be larger than the processor's caches. */
const sourceBytes = 256 * MiB

interface Variant {
  readonly receiver: "dialling" | "accepting"
  readonly writeBytes: number
  /** A small part in front of each write, as a frame's header would be. */
  readonly header: boolean
}

const variants: ReadonlyArray<Variant> = [
  { receiver: "dialling", writeBytes: 64 * KiB, header: false },
  { receiver: "dialling", writeBytes: 64 * KiB, header: true },
  { receiver: "dialling", writeBytes: 256 * KiB, header: false },
  { receiver: "accepting", writeBytes: 64 * KiB, header: false }
]

interface Task extends Variant {
  readonly folder: string
  readonly totalBytes: number
  /** Where the other side listens; 0 for the one that listens. */
  readonly port: number
}

const header = new Uint8Array(60)

const send = Effect.fnUntraced(function*(connection: Connection, task: Task) {
  const file = Fs.openSync(Path.join(task.folder, "source"), "r")
  const chunk = new Uint8Array(chunkBytes)
  for (let at = 0; at < task.totalBytes; at += chunkBytes) {
    Fs.readSync(file, chunk, 0, chunkBytes, at % sourceBytes)
    for (let offset = 0; offset < chunkBytes; offset += task.writeBytes) {
      const part = chunk.subarray(offset, offset + task.writeBytes)
      yield* write(connection, task.header ? [header, part] : [part])
    }
  }
})

const receive = (connection: Connection, task: Task) => {
  const file = Fs.openSync(Path.join(task.folder, "target"), "w")
  const chunk = new Uint8Array(chunkBytes)
  let filled = 0
  let written = 0
  return connection.receive((bytes) => {
    for (let taken = 0; taken < bytes.length;) {
      const length = Math.min(bytes.length - taken, chunkBytes - filled)
      chunk.set(bytes.subarray(taken, taken + length), filled)
      taken += length
      filled += length
      if (filled < chunkBytes) continue
      hash("sha256", chunk, "buffer")
      Fs.writeSync(file, chunk, 0, chunkBytes, written % sourceBytes)
      written += chunkBytes
      filled = 0
    }
  })
}

const side = (task: Task) =>
  Effect.gen(function*() {
    const transport = yield* Transport
    const crypto = yield* Crypto
    const self = crypto.keyPair(yield* crypto.randomBytes(32))
    const listens = task.port === 0
    let connection: Connection
    if (listens) {
      const { accepted, port } = yield* transport.listen(self, 0)
      process.send!({ port })
      connection = yield* Queue.take(accepted)
    } else {
      connection = yield* transport.dial(self, { host: "127.0.0.1", port: task.port }, undefined)
    }
    const receives = listens === (task.receiver === "accepting")
    const startedAt = performance.now()
    const before = process.cpuUsage()
    if (receives) {
      yield* receive(connection, task)
    } else {
      const other = yield* Effect.forkScoped(connection.receive(() => {}))
      yield* send(connection, task)
      yield* transport.close(connection)
      yield* Fiber.join(other)
    }
    const seconds = (performance.now() - startedAt) / 1_000
    const { system, user } = process.cpuUsage(before)
    process.send!({ receives, seconds, cpuSeconds: (user + system) / 1e6 })
  }).pipe(Effect.scoped, Effect.provide(Layer.merge(transportLayer, cryptoLayer)))

interface Figures {
  readonly receives: boolean
  readonly seconds: number
  readonly cpuSeconds: number
}

/** Starts this file again as one side of a task. */
const start = (task: Task, onMessage: (message: { readonly port: number } | Figures) => void) => {
  const child = tied(
    fork(import.meta.filename, [], { env: { ...process.env, LABFX_BENCH_TASK: JSON.stringify(task) } })
  )
  child.on("message", onMessage)
  return new Promise<void>((resolve) => child.once("exit", () => resolve()))
}

const run = async (variant: Variant, folder: string, totalBytes: number) => {
  const figures: Array<Figures> = []
  const exits: Array<Promise<void>> = []
  const collect = (message: { readonly port: number } | Figures) => {
    if ("port" in message) exits.push(start({ ...variant, folder, totalBytes, port: message.port }, collect))
    else figures.push(message)
  }
  await start({ ...variant, folder, totalBytes, port: 0 }, collect)
  await Promise.all(exits)
  const gigabytes = totalBytes / 1e9
  const receiver = figures.find(({ receives }) => receives)!
  const sender = figures.find(({ receives }) => !receives)!
  const name = `${variant.receiver} side receives, ${variant.writeBytes / KiB} KiB writes${
    variant.header ? " with a header" : ""
  }`
  process.stdout.write(
    `${name.padEnd(56)} ${(totalBytes / 1e6 / receiver.seconds).toFixed(0).padStart(4)} MB/s; ` +
      `CPU s/GB: receiver ${(receiver.cpuSeconds / gigabytes).toFixed(2)}, ` +
      `sender ${(sender.cpuSeconds / gigabytes).toFixed(2)}\n`
  )
}

const task = process.env["LABFX_BENCH_TASK"]
if (task === undefined) {
  const totalBytes = natural(process.argv[2] ?? "1024", 1) * MiB
  limitSeconds(60 + variants.length * (30 + totalBytes / 1e7))
  const folder = freshFolder(Os.tmpdir())
  const source = Fs.openSync(Path.join(folder, "source"), "w")
  for (let at = 0; at < sourceBytes; at += chunkBytes) Fs.writeSync(source, randomBytes(chunkBytes))
  Fs.closeSync(source)
  for (const variant of variants) await run(variant, folder, totalBytes)
} else {
  await Effect.runPromise(side(JSON.parse(task)))
  process.disconnect()
}
