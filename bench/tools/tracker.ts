/**
 * The least tracker that BitTorrent clients need to find each other: one torrent, kept in memory.
 *
 *     node bench/tools/tracker.ts PORT
 *
 * It asks to be called every two seconds, so that no client waits for another's address.
 */
import { createServer } from "node:http"

const peersMax = 256
const peers = new Map<string, Buffer>()

createServer((request, response) => {
  const query = new URL(request.url ?? "/", "http://tracker").searchParams
  const host = (request.socket.remoteAddress ?? "").replace("::ffff:", "")
  const port = Number(query.get("port"))
  const name = `${host}:${port}`
  if (query.get("event") === "stopped") peers.delete(name)
  else if (peers.size < peersMax) peers.set(name, Buffer.from([...host.split(".").map(Number), port >> 8, port & 255]))
  const others = Buffer.concat(Array.from(peers).filter(([other]) => other !== name).map(([, peer]) => peer))
  response.end(
    Buffer.concat([Buffer.from(`d8:intervali2e12:min intervali1e5:peers${others.length}:`), others, Buffer.from("e")])
  )
}).listen(Number(process.argv[2]), "0.0.0.0")
