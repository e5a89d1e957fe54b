/**
 * What Node itself costs where a line goes to many: `node bareHearer.ts teacher` signs each line of its standard input, keeps
 * it and sends it to everybody; `node bareHearer.ts student PORT FOLDER` checks, keeps and prints it. Over TLS on loopback; no
 * discovery, no mesh, no acknowledgement, no status. The events are labfx's.
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import type { AddressInfo } from "node:net"
import { createInterface } from "node:readline"
import * as Tls from "node:tls"
import { credentials } from "./bareCredentials.ts"

const [role, port, folder] = process.argv.slice(2) as [string, string, string]

const tell = (event: object): boolean => process.stdout.write(`${JSON.stringify(event)}\n`)

/** A statement as it travels, a line of JSON; the first on a connection is the teacher's public key. */
interface Statement {
  readonly body: string
  readonly signature: string
}

const teach = (): void => {
  const { privateKey, publicKey } = Crypto.generateKeyPairSync("ed25519")
  const students = new Set<Tls.TLSSocket>()
  const server = Tls.createServer(credentials(), (socket) => {
    socket.on("error", () => students.delete(socket))
    socket.write(`${JSON.stringify(publicKey.export({ format: "jwk" }))}\n`)
    students.add(socket)
  })
  server.listen(0, "127.0.0.1", () => tell({ event: "session.started", port: (server.address() as AddressInfo).port }))
  createInterface({ input: process.stdin }).on("line", (text) => {
    const body = JSON.stringify({ text })
    const statement: Statement = {
      body,
      signature: Crypto.sign(null, Buffer.from(body), privateKey).toString("base64url")
    }
    for (const socket of students) socket.write(`${JSON.stringify(statement)}\n`)
  })
}

const hear = (): void => {
  const log = Fs.openSync(`${folder}/log`, "a")
  let key: Crypto.KeyObject | undefined
  const socket = Tls.connect({ host: "127.0.0.1", port: Number(port), rejectUnauthorized: false })
  createInterface({ input: socket }).on("line", (line) => {
    if (key === undefined) {
      key = Crypto.createPublicKey({ format: "jwk", key: JSON.parse(line) as Crypto.JsonWebKey })
      return void tell({ event: "peer.up" })
    }
    const { body, signature } = JSON.parse(line) as Statement
    if (!Crypto.verify(null, Buffer.from(body), key, Buffer.from(signature, "base64url"))) throw new Error("forged")
    Fs.writeSync(log, `${line}\n`)
    tell({ event: "message.delivered", time: new Date().toISOString(), ...JSON.parse(body) as object })
  })
}

process.once("SIGINT", () => process.exit())
if (role === "teacher") teach()
else hear()
