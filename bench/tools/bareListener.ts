/**
 * The program of `bareCast` in `Bare.ts`: `node bareListener.ts INDEX FILE BYTES CHUNK_BYTES BITS_PER_SECOND ADDRESS`. Index 0
 * is the teacher, who begins at a line on standard input.
 *
 * A datagram is a piece as large as labfx's, sealed as labfx seals it: which chunk, and where in it, four bytes each, and its
 * bytes. The teacher sends the file at the rate it is told and then once more, so that what was lost comes.
 */
import * as Crypto from "node:crypto"
import * as Dgram from "node:dgram"
import * as Fs from "node:fs"
import { pieceBytesMax as pieceBytes } from "../../src/protocol/Limits.ts"

const [index, path, ...rest] = process.argv.slice(2) as [string, string, ...Array<string>]
const [bytes, chunkBytes, bitsPerSecond] = rest.slice(0, 3).map(Number) as [number, number, number]
const address = rest[3]!
const group = "239.255.76.66"
const port = 9_001
const headBytes = 8
const passes = 2

const key = Buffer.alloc(32, 7)
const nonceOf = (sequence: number): Buffer => {
  const nonce = Buffer.alloc(12)
  nonce.writeUInt32BE(sequence, 8)
  return nonce
}

const listen = (): void => {
  const file = Fs.openSync(path, "w")
  const missing = new Map<number, { readonly buffer: Buffer; readonly pieces: Set<number> }>()
  const whole = new Set<number>()
  const chunksCount = Math.ceil(bytes / chunkBytes)
  const socket = Dgram.createSocket({ type: "udp4", reuseAddr: true })
  socket.on("message", (datagram) => {
    const decipher = Crypto.createDecipheriv("aes-256-gcm", key, nonceOf(datagram.readUInt32BE(0)))
    decipher.setAuthTag(datagram.subarray(-16))
    const opened = decipher.update(datagram.subarray(4, -16))
    decipher.final()
    const chunk = opened.readUInt32BE(0)
    const offset = opened.readUInt32BE(4)
    if (whole.has(chunk)) return
    const length = Math.min(chunkBytes, bytes - chunk * chunkBytes)
    let assembly = missing.get(chunk)
    if (assembly === undefined) missing.set(chunk, assembly = { buffer: Buffer.allocUnsafe(length), pieces: new Set() })
    opened.copy(assembly.buffer, offset, headBytes)
    assembly.pieces.add(offset)
    if (assembly.pieces.size < Math.ceil(length / pieceBytes)) return
    Crypto.hash("sha256", assembly.buffer, "buffer")
    Fs.writeSync(file, assembly.buffer, 0, length, chunk * chunkBytes)
    missing.delete(chunk)
    whole.add(chunk)
    if (whole.size === chunksCount) Fs.writeFileSync(process.env["LABFX_BENCH_DONE"]!, "")
  })
  socket.bind(port, group, () => {
    socket.addMembership(group, address)
    socket.setRecvBufferSize(4 << 20)
    Fs.writeFileSync(process.env["LABFX_BENCH_READY"]!, "")
  })
}

const send = (): void => {
  const file = Fs.openSync(path, "r")
  const socket = Dgram.createSocket("udp4")
  const chunk = Buffer.alloc(chunkBytes)
  let sequence = 0
  let atMs = 0
  const piece = (at: number, offset: number, pass: number): void => {
    const index = Math.floor(at / chunkBytes)
    const length = Math.min(chunkBytes, bytes - at)
    if (length <= 0) return pass < passes ? piece(0, 0, pass + 1) : undefined
    if (offset >= length) return piece(at + chunkBytes, 0, pass)
    if (offset === 0) Fs.readSync(file, chunk, 0, length, at)
    const clear = Buffer.alloc(4)
    clear.writeUInt32BE(++sequence)
    const cipher = Crypto.createCipheriv("aes-256-gcm", key, nonceOf(sequence))
    const head = Buffer.alloc(headBytes)
    head.writeUInt32BE(index)
    head.writeUInt32BE(offset, 4)
    const sealed = [cipher.update(head), cipher.update(chunk.subarray(offset, Math.min(length, offset + pieceBytes)))]
    cipher.final()
    const parts = [clear, ...sealed, cipher.getAuthTag()]
    socket.send(parts, port, group)
    const sentBytes = parts.reduce((sum, part) => sum + part.length, 8)
    atMs = Math.max(atMs, performance.now() - 100) +
      ((sentBytes + Math.ceil(sentBytes / 1_480) * 34) * 8_000) / bitsPerSecond
    setTimeout(() => piece(at, offset + pieceBytes, pass), Math.max(0, atMs - performance.now()))
  }
  socket.bind(0, address, () => {
    socket.setMulticastInterface(address)
    socket.setMulticastTTL(1)
    Fs.writeFileSync(process.env["LABFX_BENCH_READY"]!, "")
    process.stdin.once("data", () => {
      atMs = performance.now()
      piece(0, 0, 1)
    })
  })
}

if (index === "0") send()
else listen()
