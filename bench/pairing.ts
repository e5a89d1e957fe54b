/**
 * What pairing alone can reach: `node bench/pairing.ts --peers 50 --chunks 200 --links 10 --run 2 --handshake 0.05`.
 *
 * A room without messages, buffers or a machine. Each device sends to one other at a time and receives from one, whole
 * chunks at full rate, one a slot; everybody knows at once and exactly what its neighbors have and who is free, takes the
 * rarest chunk, and stays with a receiver for `run` chunks. Only finding the next receiver takes time: `handshake`, in
 * slots. No device that asks its neighbors, as labfx does, can know more. Prints the last student over one copy, and over
 * the bound 1 + floor(log2 N) / M, for each of the seeds.
 */
import { parseArgs } from "node:util"
import { chance } from "../src/simulator/Scenario.ts"
import { boundOf, makeHeap } from "./SwarmModel.ts"

const { values } = parseArgs({
  options: {
    peers: { type: "string", default: "50" },
    chunks: { type: "string", default: "200" },
    links: { type: "string", default: "10" },
    run: { type: "string", default: "2" },
    handshake: { type: "string", default: "0.05" },
    seeds: { type: "string", default: "5" }
  }
})
const peers = Number(values.peers)
const chunks = Number(values.chunks)
const links = Number(values.links)
const run = Number(values.run)
const handshake = Number(values.handshake)
const seeds = Number(values.seeds)
/** The teacher stays for longer: nobody else has what it gives. */
const teacherRun = 4 * run

interface Device {
  readonly neighbors: Set<Device>
  readonly have: Set<number>
  /** What is on its way to it. */
  readonly coming: Set<number>
  /** How many of its neighbors have each chunk. */
  readonly claims: Uint16Array
  to: Device | undefined
  from: Device | undefined
  /** Chunks that it has given to `to`. */
  given: number
  finishedAt: number
}

/** When the last student has everything, in slots. */
const spread = (seed: number): number => {
  const random = chance(seed)
  const below = (count: number) => Math.floor(random() * count)
  const events = makeHeap()
  const devices = Array.from({ length: peers + 1 }, (): Device => ({
    neighbors: new Set(),
    have: new Set(),
    coming: new Set(),
    claims: new Uint16Array(chunks),
    to: undefined,
    from: undefined,
    given: 0,
    finishedAt: Infinity
  }))
  const teacher = devices[0]!
  for (let chunk = 0; chunk < chunks; chunk++) teacher.have.add(chunk)
  /** The teacher's next chunk that is not out yet; it repeats none before all are. */
  let fresh = 0
  let now = 0

  const connect = (a: Device, b: Device) => {
    if (a === b) return
    a.neighbors.add(b)
    b.neighbors.add(a)
  }
  for (let i = 1; i <= peers; i++) connect(devices[i]!, devices[peers <= links ? 0 : below(i)]!)
  for (const device of devices) {
    for (let tries = 0; device.neighbors.size < Math.min(links, peers) && tries < 500; tries++) {
      const other = devices[below(devices.length)]!
      if (other.neighbors.size < links + 2) connect(device, other)
    }
  }

  const useful = (from: Device, to: Device): ReadonlyArray<number> => {
    const lacks = (chunk: number) => !to.have.has(chunk) && !to.coming.has(chunk)
    if (from === teacher && fresh < chunks) return [fresh]
    return Array.from(from.have).filter(lacks)
  }

  /** Finds a receiver for a device that sends nothing: the neighbor to which it is of most use. */
  const seek = (device: Device) => {
    if (device.to !== undefined) return
    let best: Device | undefined
    let most = 0
    for (const other of device.neighbors) {
      if (other === teacher || other.from !== undefined) continue
      const use = useful(device, other).length
      // Less than one of luck, which decides between equals.
      const luck = random()
      if (use === 0 || use + luck <= most) continue
      best = other
      most = use + luck
    }
    if (best === undefined) return
    best.from = device
    device.to = best
    device.given = 0
    events.push(now + handshake, () => give(device, best))
  }

  const part = (from: Device, to: Device) => {
    from.to = undefined
    to.from = undefined
    seek(from)
    seekFrom(to)
  }

  /** Whoever of a device's neighbors sends nothing looks again, in no order. */
  const seekFrom = (device: Device) => {
    const neighbors = Array.from(device.neighbors)
    const first = below(neighbors.length)
    for (let i = 0; i < neighbors.length; i++) seek(neighbors[(first + i) % neighbors.length]!)
  }

  const give = (from: Device, to: Device) => {
    const choice = useful(from, to)
    if (choice.length === 0 || from.given >= (from === teacher ? teacherRun : run)) return part(from, to)
    const fewest = Math.min(...choice.map((chunk) => to.claims[chunk]!))
    const rarest = choice.filter((chunk) => to.claims[chunk] === fewest)
    const chunk = rarest[below(rarest.length)]!
    if (from === teacher && fresh < chunks) fresh++
    from.given++
    to.coming.add(chunk)
    events.push(now + 1, () => {
      to.coming.delete(chunk)
      to.have.add(chunk)
      if (to.have.size === chunks) to.finishedAt = now
      for (const neighbor of to.neighbors) neighbor.claims[chunk]!++
      seekFrom(to)
      seek(to)
      give(from, to)
    })
  }

  seek(teacher)
  for (let event = events.pop(); event !== undefined; event = events.pop()) {
    now = event.atMs
    event.act()
  }
  return Math.max(...devices.slice(1).map(({ finishedAt }) => finishedAt))
}

const last = Array.from({ length: seeds }, (_, i) => spread(i + 1) / chunks).toSorted((a, b) => a - b)
const shown = last.map((each) => each.toFixed(3)).join(", ")
console.log(
  `${peers} peers, ${chunks} chunks, ${links} links, ${run} chunks in a row, ${handshake} slots to find a receiver`
)
console.log(`last/copy ${shown}; of the bound, median ${(last[seeds >> 1]! / boundOf(peers, chunks)).toFixed(3)}`)
