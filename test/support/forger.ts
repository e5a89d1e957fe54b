/**
 * Somebody with a UDP socket and a tape recorder.
 *
 *     node test/support/forger.ts PORT record     prints what it has heard, one datagram a line in base64
 *     node test/support/forger.ts PORT play       plays such lines from standard input, and what can be made of them
 *
 * Runs until standard input ends.
 */
import * as Dgram from "node:dgram"
import * as NodeOs from "node:os"
import * as Readline from "node:readline"

const [port, what] = [Number(process.argv[2]), process.argv[3]]
const socket = Dgram.createSocket({ type: "udp4", reuseAddr: true })
const heard = new Set<string>()

const broadcasts = Object.values(NodeOs.networkInterfaces()).flatMap((all) => all ?? [])
  .filter(({ family, internal }) => family === "IPv4" && !internal)
  .map(({ address }) => address.replace(/\d+$/, "255"))

/** The datagram as it is, with another's signature or statement, another port, another title, and with one bit changed. */
const made = (tape: ReadonlyArray<Buffer>): ReadonlyArray<Buffer> => {
  const head = tape[0]!.subarray(0, 5)
  const parsed = tape.map((bytes) => JSON.parse(bytes.subarray(5).toString()))
  const pack = (value: unknown) => Buffer.concat([head, Buffer.from(JSON.stringify(value))])
  const forged = parsed.flatMap((one, i) => {
    const other = parsed[(i + 1) % parsed.length]
    return [
      { ...one, announcement: other.announcement },
      { ...one, announcement: { ...one.announcement, signature: other.announcement.signature } },
      {
        ...one,
        announcement: { ...one.announcement, body: one.announcement.body.replace(/"port":\d+/, "\"port\":4711") }
      },
      { ...one, certificate: { ...one.certificate, body: one.certificate.body.replace("Networks", "Networkz") } },
      {
        ...one,
        certificate: {
          ...one.certificate,
          body: one.certificate.body.replace(/"epoch":\d+/, "\"epoch\":9007199254740991")
        }
      }
    ].map(pack)
  })
  const flipped = tape.flatMap((bytes) =>
    Array.from({ length: 50 }, (_, i) => {
      const copy = Buffer.from(bytes)
      copy[(i * 37) % copy.length]! ^= 1 << (i % 8)
      return copy
    })
  )
  return [...tape, ...forged, ...flipped]
}

socket.bind(port, () => {
  socket.setBroadcast(true)
  if (what === "record") socket.on("message", (bytes) => heard.add(bytes.toString("base64")))
})

const tape: Array<Buffer> = []
Readline.createInterface({ input: process.stdin })
  .on("line", (line) => {
    if (line !== "") tape.push(Buffer.from(line, "base64"))
    else if (what === "play" && tape.length > 0) {
      const all = made(tape.splice(0))
      let next = 0
      setInterval(() => {
        for (const broadcast of broadcasts) socket.send(all[next++ % all.length]!, port, broadcast)
      }, 10)
    }
  })
  .on("close", () => process.stdout.write(Array.from(heard).join("\n"), () => process.exit(0)))
