/**
 * What announcements cost: the processor time of one device in a flood of them, and the traffic of a room.
 *
 *   node bench/announcements.ts
 *
 * The flood goes through the whole Discovery service, with real signatures; only the sockets are left out. The room is
 * simulated with the machine that decides whose turn it is, for ten minutes, with delays of 1 to 30 ms and loss.
 */
import { Console, Effect, Layer, PubSub } from "effect"
import * as Turns from "../src/protocol/Turns.ts"
import { Crypto } from "../src/services/Crypto.ts"
import { type Datagram, Datagrams } from "../src/services/Datagrams.ts"
import { Discovery } from "../src/services/Discovery.ts"
import { layerNode } from "../src/services/node/CryptoNode.ts"
import { announcementOf, certify, pairOf } from "../test/support/Announcements.ts"

const crypto = Effect.runSync(Crypto.pipe(Effect.provide(layerNode)))

// ---- The flood -----------------------------------------------------------------------------------------------------

const secondsPerFlood = 4
const session = certify(crypto, pairOf(crypto, 1), pairOf(crypto, 2))
const addressOf = (number: number) => `10.0.${(number >> 8) & 255}.${number & 255}`

const valid = Array.from({ length: 50 }, (_, i) => announcementOf(crypto, session, pairOf(crypto, 100 + i), 4_711))
const strangers = Array.from(
  { length: 500 },
  (_, i) =>
    announcementOf(crypto, certify(crypto, pairOf(crypto, 1_000 + i), pairOf(crypto, 2)), pairOf(crypto, 2), 4_711)
)
/** Well formed, of a real session, with a signature that is somebody else's: each has to be verified to be seen through. */
const forged = valid.flatMap((bytes, i) => {
  const text = new TextDecoder("latin1").decode(bytes)
  const at = text.lastIndexOf("\"signature\":\"") + 13
  return valid.filter((_, j) => i !== j).map((other) => {
    const copy = bytes.slice()
    copy.set(other.subarray(at, at + 86), at)
    return copy
  })
})
const garbage = valid.map((bytes) => bytes.map((byte, i) => (i < 200 ? byte : (byte * 31 + i) & 255)))

/** The datagram of a number, and where it seems to come from. */
type Source = (i: number) => { readonly bytes: Uint8Array; readonly host: string }

const floods: ReadonlyArray<readonly [string, Source | undefined]> = [
  ["nothing", undefined],
  ["50 peers, repeated", (i) => ({ bytes: valid[i % 50]!, host: addressOf(i % 50) })],
  ["forged, one address", (i) => ({ bytes: forged[i % forged.length]!, host: addressOf(1) })],
  ["forged, every address", (i) => ({ bytes: forged[i % forged.length]!, host: addressOf(i) })],
  ["500 strangers' sessions", (i) => ({ bytes: strangers[i % 500]!, host: addressOf(i) })],
  ["garbage, one address", (i) => ({ bytes: garbage[i % 50]!, host: addressOf(1) })],
  ["garbage, every address", (i) => ({ bytes: garbage[i % 50]!, host: addressOf(i) })]
]

const flood = Effect.fnUntraced(
  function*(name: string, perSecond: number, datagramOf: Source | undefined) {
    let hear: (datagram: Datagram) => void = () => {}
    const datagrams = Layer.succeed(
      Datagrams,
      Datagrams.of({
        listen: (_port, heard) =>
          Effect.sync(() => {
            hear = heard
          }),
        broadcast: () => Effect.succeed(0),
        interfaces: Effect.succeed([])
      })
    )
    const figures = yield* Effect.gen(function*() {
      const discovery = yield* Discovery
      const sightings = yield* discovery.sightings
      let sightingsCount = 0
      yield* PubSub.takeAll(sightings).pipe(
        Effect.map((all) => (sightingsCount += all.length)),
        Effect.forever,
        Effect.forkScoped
      )
      const stepMs = 10
      const before = process.cpuUsage()
      const startMs = performance.now()
      for (let step = 0, i = 0; step < (secondsPerFlood * 1_000) / stepMs; step++) {
        const offered = datagramOf === undefined ? 0 : ((step + 1) * perSecond * stepMs) / 1_000
        for (; i < offered; i++) {
          const { bytes, host } = datagramOf!(i)
          hear({ bytes: bytes.slice(), from: { host, port: 40_000 } })
        }
        yield* Effect.sleep(Math.max(0, startMs + (step + 1) * stepMs - performance.now()))
      }
      const { system, user } = process.cpuUsage(before)
      const share = (system + user) / 1_000 / (performance.now() - startMs)
      const counts = Object.entries(yield* discovery.counts).filter(([, count]) => count > 0)
      return { share, sightingsCount, counts: counts.map(([what, count]) => `${what} ${count}`).join(", ") }
    }).pipe(Effect.scoped, Effect.provide(Discovery.layer({ port: 1 }).pipe(Layer.provide([datagrams, layerNode]))))
    yield* Console.log(
      `${name.padEnd(24)} ${`${perSecond}/s`.padStart(9)} ${
        (figures.share * 100).toFixed(1).padStart(6)
      } % of a core  ` +
        `${figures.counts}; told of ${figures.sightingsCount}`
    )
  }
)

// ---- The room ------------------------------------------------------------------------------------------------------

/** Numbers that look random and are the same at every run (mulberry32). */
const seeded = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
}

const lan = { name: "lan", address: "10.0.0.1", broadcast: "10.0.255.255", prefixLength: 16, loopback: false }
const minutes = 10

/** When a room of so many devices announces, with its host or after it has left. */
const roomTimes = (devicesCount: number, withHost: boolean, loss: number): ReadonlyArray<number> => {
  const random = seeded(devicesCount * 7 + (withHost ? 1 : 0))
  const devices = Array.from({ length: devicesCount }, (_, i) => ({
    turns: Turns.make(random),
    isHost: withHost && i === 0,
    wakeMs: Math.floor(random() * 1_000)
  }))
  const certificate = session.certificate
  const arrivals: Array<{ readonly atMs: number; readonly to: Turns.Turns }> = []
  const times: Array<number> = []
  for (let nowMs = 0; nowMs < minutes * 60_000; nowMs++) {
    for (let i = arrivals.length - 1; i >= 0; i--) {
      if (arrivals[i]!.atMs > nowMs) continue
      Turns.heard(arrivals[i]!.to, certificate, "10.0.0.2", nowMs)
      arrivals.splice(i, 1)
    }
    for (const device of devices) {
      if (device.wakeMs > nowMs) continue
      if (Turns.take(device.turns, certificate, device.isHost, [lan], nowMs).length > 0) {
        times.push(nowMs)
        for (const other of devices) {
          if (other !== device && random() >= loss) arrivals.push({ atMs: nowMs + 1 + random() * 30, to: other.turns })
        }
      }
      device.wakeMs = nowMs + Math.max(1, Math.ceil(Turns.waitMs(device.turns, nowMs)))
    }
  }
  return times
}

const percentile = (sorted: ReadonlyArray<number>, share: number) => sorted[Math.floor((sorted.length - 1) * share)]!

const room = (devicesCount: number, withHost: boolean, loss: number) => {
  const times = roomTimes(devicesCount, withHost, loss)
  const waits: Array<number> = []
  let next = 0
  for (let atMs = 10_000; atMs < times.at(-1)!; atMs += 7) {
    while (times[next]! < atMs) next++
    waits.push(times[next]! - atMs)
  }
  const sorted = waits.toSorted((a, b) => a - b)
  return Console.log(
    `${`${devicesCount} devices`.padEnd(13)}${withHost ? "with host   " : "without host"}  loss ${
      `${loss * 100} %`.padEnd(4)
    }` +
      `  ${(times.length / (minutes * 60)).toFixed(2)} announcements/s  a newcomer waits p50 ${
        percentile(sorted, 0.5)
      } ms, p95 ${percentile(sorted, 0.95)} ms`
  )
}

Effect.runPromise(Effect.gen(function*() {
  yield* Console.log(`An announcement is ${valid[0]!.length} bytes with the title "${session.certificate.title}".\n`)
  for (const perSecond of [1_000, 10_000]) {
    for (const [name, datagramOf] of floods) yield* flood(name, perSecond, datagramOf)
  }
  yield* Console.log("")
  for (const devicesCount of [2, 10, 50, 200]) {
    for (const withHost of [true, false]) {
      for (const loss of [0, 0.05]) yield* room(devicesCount, withHost, loss)
    }
  }
}))
