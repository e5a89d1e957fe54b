/**
 * The program of `Bare.ts`: `node barePeer.ts INDEX STUDENTS BYTES CHUNK_BYTES FILE ADDRESS…`. Index 0 is the teacher, who
 * begins at a line on standard input.
 *
 * Chunk `k` goes down tree `k mod 6`: a binary tree over the students, each tree begun further on by a sixth of them, so that
 * each student passes on about as much as it gets, over some twelve connections. On the wire a chunk is its index and its
 * length, four bytes each, and its bytes.
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Tls from "node:tls"
import { credentials } from "./bareCredentials.ts"

const [self, students, bytes, chunkBytes] = process.argv.slice(2, 6).map(Number) as [number, number, number, number]
const [path, ...addresses] = process.argv.slice(6) as [string, ...Array<string>]
const chunksCount = Math.ceil(bytes / chunkBytes)
const port = 9_000
const treesCount = Math.min(6, students)
const headerBytes = 8

const offsetOf = (tree: number): number => Math.floor((tree * students) / treesCount)
const placeOf = (tree: number): number => (self - 1 - offsetOf(tree) + students) % students
const studentAt = (tree: number, place: number): number => ((place + offsetOf(tree)) % students) + 1

const childrenIn = (tree: number): ReadonlyArray<number> => {
  if (self === 0) return [studentAt(tree, 0)]
  return [1, 2].map((side) => 2 * placeOf(tree) + side).filter((place) => place < students).map((place) =>
    studentAt(tree, place)
  )
}
const parentIn = (tree: number): number => {
  const place = placeOf(tree)
  return place === 0 ? 0 : studentAt(tree, (place - 1) >> 1)
}

const file = Fs.openSync(path, self === 0 ? "r" : "w")
/** Connections to those who get something from here; the first four bytes on each say who is there. */
const receivers = new Map<number, Tls.TLSSocket>()
const waiting: Array<{ readonly to: number; readonly frame: Buffer }> = []
let sending = false
let missing = chunksCount

/** One chunk after the other: what is sent alone is whole, and on its way onward, soonest. */
const pump = (): void => {
  const next = sending ? undefined : waiting.shift()
  if (next === undefined) return
  sending = true
  receivers.get(next.to)!.write(next.frame, () => {
    sending = false
    pump()
  })
}

const handOn = (index: number, frame: Buffer): void => {
  for (const to of childrenIn(index % treesCount)) waiting.push({ to, frame })
  pump()
}

const take = (frame: Buffer): void => {
  const index = frame.readUInt32BE(0)
  const chunk = frame.subarray(headerBytes)
  Crypto.hash("sha256", chunk, "buffer")
  Fs.writeSync(file, chunk, 0, chunk.length, index * chunkBytes)
  handOn(index, frame)
  if (--missing === 0) Fs.writeFileSync(process.env["LABFX_BENCH_DONE"]!, "")
}

const receive = (socket: Tls.TLSSocket): void => {
  const header = Buffer.alloc(headerBytes)
  let frame = header
  let filled = 0
  socket.on("data", (data: Buffer) => {
    for (let at = 0; at < data.length;) {
      const count = data.copy(frame, filled, at)
      at += count
      filled += count
      if (filled < frame.length) return
      if (frame === header) {
        frame = Buffer.allocUnsafe(headerBytes + header.readUInt32BE(4))
        header.copy(frame)
        continue
      }
      take(frame)
      frame = header
      filled = 0
    }
  })
}

const context = credentials()
Tls.createServer({ ...context, requestCert: true, rejectUnauthorized: false }, (socket) => {
  socket.on("error", () => {})
  socket.once("data", (name: Buffer) => receivers.set(name.readUInt32BE(0), socket))
}).listen(port, "0.0.0.0")

/** The programs of a room start in any order. */
const dial = (index: number): Promise<void> =>
  new Promise((linked) => {
    const socket = Tls.connect({ ...context, host: addresses[index]!, port, rejectUnauthorized: false }, () => {
      const name = Buffer.alloc(4)
      name.writeUInt32BE(self)
      socket.write(name)
      receive(socket)
      linked()
    })
    socket.on("error", () => setTimeout(() => dial(index).then(linked), 200))
  })

if (self > 0) {
  const parents = new Set(Array.from({ length: treesCount }, (_, tree) => parentIn(tree)))
  await Promise.all(Array.from(parents, dial))
}
Fs.writeFileSync(process.env["LABFX_BENCH_READY"]!, "")

process.stdin.once("data", () => {
  for (let index = 0; index < chunksCount; index++) {
    const length = Math.min(chunkBytes, bytes - index * chunkBytes)
    const frame = Buffer.allocUnsafe(headerBytes + length)
    frame.writeUInt32BE(index, 0)
    frame.writeUInt32BE(length, 4)
    Fs.readSync(file, frame, headerBytes, length, index * chunkBytes)
    handOn(index, frame)
  }
})
