/**
 * What Node itself costs where a folder of files goes from one process to another: `node bareFiler.ts teacher` hands out the
 * path of each `/share PATH` on its standard input, `node bareFiler.ts student PORT FOLDER` checks the content and keeps it. Over TLS on
 * loopback; no discovery, no swarm, no cast, no second way to anything. The events are labfx's.
 *
 * Nothing is done that can be left out: each file is looked at, opened, read and closed once, hashed and sent at once, and
 * written once. On the wire there is a line of JSON, {@link Listing}, and then chunk after chunk of all files' bytes in that order,
 * each after its SHA-256, all but the last of {@link chunkBytes}.
 */
import * as Crypto from "node:crypto"
import { once } from "node:events"
import * as Fs from "node:fs"
import type { AddressInfo } from "node:net"
import * as Path from "node:path"
import { createInterface } from "node:readline"
import * as Tls from "node:tls"
import { credentials } from "./bareCredentials.ts"

const [role, port, folder] = process.argv.slice(2) as [string, string, string]

const chunkBytes = 64 * 1_024
const hashBytes = 32

/** What comes: its name, and each file in it, a path of no segments for a share that is one file. */
interface Listing {
  readonly title: string
  readonly files: ReadonlyArray<{ readonly path: string; readonly bytes: number }>
}

const tell = (event: object): boolean => process.stdout.write(`${JSON.stringify(event)}\n`)

const list = (root: string, path = ""): Listing["files"] => {
  const full = Path.join(root, path)
  const stat = Fs.lstatSync(full)
  return stat.isDirectory()
    ? Fs.readdirSync(full).flatMap((name) => list(root, Path.join(path, name)))
    : [{ path, bytes: stat.size }]
}

// ---- the teacher -----------------------------------------------------------------------------------------------------

const share = async (root: string, socket: Tls.TLSSocket): Promise<void> => {
  const files = list(root)
  socket.write(`${JSON.stringify({ title: Path.basename(root), files } satisfies Listing)}\n`)
  const fresh = () => Buffer.allocUnsafeSlow(hashBytes + chunkBytes)
  let chunk = fresh()
  let filled = hashBytes
  const send = async (): Promise<void> => {
    const whole = chunk.subarray(0, filled)
    whole.set(Crypto.hash("sha256", whole.subarray(hashBytes), "buffer"))
    chunk = fresh()
    filled = hashBytes
    if (!socket.write(whole)) await once(socket, "drain")
  }
  for (const { bytes, path } of files) {
    const file = Fs.openSync(Path.join(root, path), "r")
    for (let left = bytes; left > 0;) {
      const read = Fs.readSync(file, chunk, filled, Math.min(left, chunk.length - filled), null)
      if (read === 0) throw new Error(`${path} is shorter than it was`)
      left -= read
      filled += read
      if (filled === chunk.length) await send()
    }
    Fs.closeSync(file)
  }
  if (filled > hashBytes) await send()
}

const teach = (): void => {
  let student: Tls.TLSSocket | undefined
  const server = Tls.createServer(credentials(), (socket) => {
    student = socket
    socket.resume()
    socket.on("error", () => {})
  })
  server.listen(0, "127.0.0.1", () => tell({ event: "session.started", port: (server.address() as AddressInfo).port }))
  createInterface({ input: process.stdin }).on("line", (line) => void share(line.slice("/share ".length), student!))
}

// ---- a student -------------------------------------------------------------------------------------------------------

/** Takes the bytes of all files of a share, in the order of its listing; says whether they were the last. */
const keeper = ({ files, title }: Listing) => {
  const hidden = Path.join(folder, ".hidden")
  const folders = new Set(files.map(({ path }) => Path.dirname(Path.join(hidden, path))))
  for (const each of folders) Fs.mkdirSync(each, { recursive: true })
  let next = 0
  let file = 0
  let left = 0
  return (bytes: Buffer): boolean => {
    for (let taken = 0; taken < bytes.length;) {
      if (left === 0) {
        file = Fs.openSync(Path.join(hidden, files[next]!.path), "wx")
        left = files[next]!.bytes
      }
      const length = Math.min(left, bytes.length - taken)
      Fs.writeSync(file, bytes, taken, length)
      taken += length
      left -= length
      if (left > 0) continue
      Fs.closeSync(file)
      next++
    }
    if (next < files.length) return false
    Fs.renameSync(hidden, Path.join(folder, title))
    return true
  }
}

const hear = (): void => {
  let line: Array<Buffer> = []
  let keep: ReturnType<typeof keeper> | undefined
  let title = ""
  let leftBytes = 0
  const chunk = Buffer.allocUnsafeSlow(hashBytes + chunkBytes)
  let filled = 0
  const takeListing = (bytes: Buffer): Buffer => {
    const end = bytes.indexOf("\n")
    line.push(end < 0 ? bytes : bytes.subarray(0, end))
    if (end < 0) return bytes.subarray(bytes.length)
    const listing = JSON.parse(Buffer.concat(line).toString()) as Listing
    line = []
    title = listing.title
    keep = keeper(listing)
    leftBytes = listing.files.reduce((sum, { bytes }) => sum + bytes, 0)
    return bytes.subarray(end + 1)
  }
  const takeChunk = (bytes: Buffer): Buffer => {
    const wholeBytes = hashBytes + Math.min(leftBytes, chunkBytes)
    const taken = bytes.copy(chunk, filled, 0, wholeBytes - filled)
    filled += taken
    if (filled === wholeBytes) {
      const content = chunk.subarray(hashBytes, wholeBytes)
      if (!Crypto.hash("sha256", content, "buffer").equals(chunk.subarray(0, hashBytes))) {
        throw new Error("not what was sent")
      }
      filled = 0
      leftBytes -= content.length
      if (keep!(content)) {
        keep = undefined
        tell({ event: "share.completed", title })
      }
    }
    return bytes.subarray(taken)
  }
  const socket = Tls.connect(
    { host: "127.0.0.1", port: Number(port), rejectUnauthorized: false },
    () => tell({ event: "peer.up" })
  )
  socket.on("data", (bytes: Buffer) => {
    for (let rest = bytes; rest.length > 0;) rest = keep === undefined ? takeListing(rest) : takeChunk(rest)
  })
}

process.once("SIGINT", () => process.exit())
if (role === "teacher") teach()
else hear()
