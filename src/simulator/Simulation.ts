/**
 * One lesson under faults and attackers, from a seed: what happens, what must not happen, and what must happen in the end.
 *
 * Safety is checked whenever anything has changed (`Observer`). Liveness is checked once the faults have stopped: within
 * `settleMs` everybody has everything that is in the room, every message, and nobody is left out.
 */
import { Cause, Context, Effect, Exit, Logger, Random, References, Scope } from "effect"
import type { Root } from "../protocol/Ids.ts"
import { Crypto } from "../services/Crypto.ts"
import type { SessionView } from "../services/Session.ts"
import type { SessionEvent } from "../services/SessionEvent.ts"
import * as CryptoSeeded from "./CryptoSeeded.ts"
import * as Hostile from "./Hostile.ts"
import { Observer } from "./Observer.ts"
import * as Scenario from "./Scenario.ts"
import { Trace } from "./Trace.ts"
import { type Device, downloads, stateFolder, VirtualLab } from "./VirtualLab.ts"
import { VirtualTime } from "./VirtualTime.ts"

export interface Report {
  readonly seed: number
  readonly digest: string
  /** Empty for a good run. */
  readonly violations: ReadonlyArray<string>
  readonly virtualMs: number
  readonly linesCount: number
  readonly honest: number
  readonly hostile: number
  readonly faults: ReadonlyMap<string, number>
  /** Shares that every running student had to have in the end. */
  readonly shares: number
  readonly messages: number
  /** When the last running student had everything. */
  readonly completeMs: number | undefined
  /** For each share in the order they were handed out: how long the slowest student that was there from the start took. */
  readonly slowestMs: ReadonlyArray<number>
  /** Bytes that the teacher sent, and that a student received on average, in copies of the material. */
  readonly teacherCopies: number
  readonly studentCopies: number
  /** The most false chunks that one device took from one poisoner before it was dropped. */
  readonly poisonedChunksMax: number
  /** Devices that sent false chunks, and those of them that somebody named. */
  readonly poisoners: number
  readonly poisonersNamed: number
}

/** How long the room has to come to rest after the last fault, beyond what its material takes on its links. */
const settleMs = 150_000
/** A program that ended by itself is started again after this: a person has read why. */
const restartMs = 5_000
/** What `labfx.ts` allows an ending program. */
const endWithinMs = 4_500
/** What could not be written is written within this once the disk works again. */
const keptWithinMs = 3_000
/** How often the whole of every disk is looked at, and the caller gets to do something else. */
const sliceMs = 1_000

/**
 * Runs a simulation. `show` takes the lines of the trace, `passed` every virtual second as it passes. Gives the real event
 * loop a turn once a virtual second.
 */
export const run = Effect.fnUntraced(function*(
  options: Scenario.Options,
  show?: (line: string) => void,
  passed?: (virtualMs: number) => void
): Effect.fn.Return<Report, never, Crypto> {
  const time = new VirtualTime()
  const trace = new Trace(() => time.nowMs, show)
  const crypto = yield* Crypto
  const scenario = Scenario.make(options)
  const draw = Scenario.chance(options.seed * 40_503 + 7)
  const observer = new Observer((who, what) => trace.line(who, `VIOLATION ${what}`))
  const scope = Scope.makeUnsafe()
  const random = yield* Random.Random.pipe(Random.withSeed(`simulation ${options.seed}`))

  /** What the services log is part of the story. */
  const logger = Logger.make(({ message }) => trace.line("log", [message].flat().map(String).join(" ")))
  const inside = <A, E>(effect: Effect.Effect<A, E, Crypto | Scope.Scope>): Effect.Effect<A, E> =>
    effect.pipe(
      Effect.provideService(Scope.Scope, scope),
      Effect.provideService(Crypto, crypto),
      Effect.provideService(Random.Random, random),
      Effect.provideService(Logger.CurrentLoggers, new Set([logger])),
      Effect.provideService(References.MinimumLogLevel, "Warn")
    )
  const fork = (effect: Effect.Effect<unknown, unknown, Crypto | Scope.Scope>) =>
    time.fork(inside(effect.pipe(Effect.catchCause((cause) =>
      Effect.sync(() => {
        if (Cause.hasDies(cause)) defect(Cause.pretty(cause))
      })
    ))))
  const defect = (detail: string) => {
    observer.violations.push(`defect: ${detail}`)
    trace.line("lab", `VIOLATION defect: ${detail}`)
  }
  const at = (atMs: number, body: () => void) =>
    fork(Effect.andThen(Effect.sleep(atMs - time.nowMs), Effect.sync(body)))

  // ---- the room ----------------------------------------------------------------------------------------------------

  const root = crypto.keyPair(CryptoSeeded.seed(1))
  const made = time.run(
    inside(VirtualLab.make({
      latencyMsMin: options.latencyMs / 2,
      latencyMsMax: options.latencyMs,
      jitterMs: options.jitterMs,
      bytesPerSecond: options.bytesPerSecond,
      datagramLoss: options.loss,
      multicastLoss: options.multicastLoss,
      datagramDuplication: options.loss
    })),
    0
  )
  const lab = Exit.isExit(made) && Exit.isSuccess(made) ? made.value : yield* Effect.die(made)
  const { network, teacher } = lab
  network.onTraffic = (what, from, to, bytes) => trace.note(`${what} ${from.host} ${to.host} ${bytes}`)
  for (let i = 1; i < scenario.honest; i++) {
    // Among the hostile nobody joins the first session in sight: the lab's administrator has put the teacher's key there.
    const student = lab.student(options.hostile > 0 ? { trust: [root.publicKey], newSessions: "ask" } : {})
    if (scenario.earlier.has(i)) student.disk.put(`${downloads}/data.bin`, Scenario.content(999, i))
  }
  const { devices } = lab
  for (const [i, device] of devices.entries()) {
    device.skewMs = scenario.skewMs[i]!
    device.disk.nowMs = () => time.nowMs
    device.disk.operationMs = () => random.nextDoubleUnsafe() < 0.2 ? random.nextDoubleUnsafe() * 3 : 0
    observer.watch(device, device === teacher)
  }

  /** When the teacher first handed out each share, and when each device first had it whole. */
  const offered = new Map<Root, number>()
  const completions = new Map<Device, Map<Root, number>>()
  const onEvent = (device: Device) => (event: SessionEvent) => {
    trace.line(device.name, tell(event))
    // A log that cannot be read now is read later: until then, what others have to tell is news.
    if ((event.event === "session.joined" || event.event === "session.started") && isUnwritable(device)) {
      observer.mayRepeat(device)
    }
    observer.event(device, event)
    if (event.event === "share.offered" && device === teacher && !offered.has(event.root)) {
      offered.set(event.root, time.nowMs)
    }
    if (event.event === "share.completed") {
      const times = completions.get(device) ?? new Map<Root, number>()
      if (!times.has(event.root)) times.set(event.root, time.nowMs)
      completions.set(device, times)
    }
  }

  /** Devices that are meant to run; one that is down comes back only by `start`. */
  const wanted = new Set<Device>()
  const starting = new Set<Device>()
  const start = (device: Device): void => {
    if (!wanted.has(device) || device.isRunning || starting.has(device)) return
    trace.line(device.name, "starts")
    starting.add(device)
    if (endedUnwritten.delete(device)) observer.mayRepeat(device)
    const again = (why: string) => {
      trace.line(device.name, `ends: ${why}`)
      starting.delete(device)
      at(time.nowMs + restartMs, () => start(device))
    }
    fork(
      device.start().pipe(
        Effect.tap(() => Effect.sync(() => starting.delete(device))),
        Effect.catch((error) => Effect.sync(() => again(JSON.stringify(error))))
      )
    )
  }
  /** As the program ends: with a goodbye, and in the middle of everything if that takes too long. */
  const end = (device: Device): void => {
    if (isUnwritable(device)) endedUnwritten.add(device)
    const ending = fork(device.stop())
    at(time.nowMs + endWithinMs, () => {
      if (ending.pollUnsafe() !== undefined) return
      count("hung at its end")
      trace.line(device.name, "did not end in time and is killed")
      turnOff(device, false)
    })
  }
  for (const device of devices) {
    device.onEvent = onEvent(device)
    device.onFailed = (cause) => {
      if (Cause.isCause(cause) && Cause.hasDies(cause)) defect(`${device.name}: ${Cause.pretty(cause)}`)
      trace.line(device.name, `ends: ${Cause.isCause(cause) ? String(Cause.squash(cause)) : String(cause)}`)
      end(device)
      at(time.nowMs + restartMs, () => start(device))
    }
  }
  /** Until when what a device has shown may not be on its disk: a moment longer than the disk fails. */
  const unwritableUntilMs = new Map<Device, number>()
  const unwritable = (device: Device, fault: Scenario.Fault) =>
    unwritableUntilMs.set(device, Math.max(unwritableUntilMs.get(device) ?? 0, fault.atMs + fault.forMs + keptWithinMs))
  // While the disk takes nothing, messages are shown nevertheless, and may be shown again by the next run.
  const isUnwritable = (device: Device) => (unwritableUntilMs.get(device) ?? 0) > time.nowMs
  const endedUnwritten = new Set<Device>()
  const turnOff = (device: Device, power: boolean): void => {
    starting.delete(device)
    if (power) observer.lostPower(device)
    else if (isUnwritable(device)) observer.mayRepeat(device)
    fork(power ? device.powerOff(network, draw) : device.kill(network))
    observer.check()
  }

  for (const [i, device] of devices.entries()) {
    at(scenario.startMs[i]!, () => {
      wanted.add(device)
      start(device)
    })
  }
  for (const i of scenario.walled) fork(network.block(teacher.port.host, devices[i]!.port.host))
  for (const i of scenario.shielded) network.shield(devices[i]!.port.host, true)

  // ---- the lesson --------------------------------------------------------------------------------------------------

  for (const [i, material] of scenario.material.entries()) {
    const folder = `/lesson/${i}/${material.title}`
    for (const [path, bytes] of material.files) {
      observer.aside(teacher, () => teacher.disk.put(path === "" ? folder : `${folder}/${path}`, bytes))
    }
    observer.shared(material)
    const hand = (): void => {
      if (!teacher.isUsable) return void (wanted.has(teacher) && at(time.nowMs + 1_000, hand))
      trace.line("teacher", `shares ${material.title}`)
      fork(
        teacher.use((session) => session.share(folder)).pipe(
          Effect.catch((error) =>
            Effect.sync(() => {
              trace.line("teacher", `could not share: ${JSON.stringify(error)}`)
              if (time.nowMs < scenario.calmMs) at(time.nowMs + restartMs, hand)
            })
          )
        )
      )
    }
    at(material.atMs, hand)
  }

  const accepted: Array<{ readonly device: Device; readonly text: string }> = []
  for (const [n, message] of scenario.messages.entries()) {
    at(message.atMs, () => {
      const device = devices[message.device]!
      const text = `${device.name} says ${n}`
      if (!device.isUsable) return
      observer.typed(device, text)
      fork(
        device.use((session) => session.say(text)).pipe(
          Effect.tap(() => Effect.sync(() => accepted.push({ device, text }))),
          Effect.catch((error) =>
            Effect.sync(() => trace.line(device.name, `could not say it: ${JSON.stringify(error)}`))
          )
        )
      )
    })
  }

  for (const [from, until] of scenario.teacherAwayMs) {
    at(from, () => {
      trace.line("teacher", "closes the laptop")
      wanted.delete(teacher)
      starting.delete(teacher)
      end(teacher)
    })
    if (until === Infinity) continue
    at(until, () => {
      wanted.add(teacher)
      start(teacher)
    })
  }

  // ---- faults ------------------------------------------------------------------------------------------------------

  const counted = new Map<string, number>()
  const count = (kind: string) => counted.set(kind, (counted.get(kind) ?? 0) + 1)
  for (const fault of scenario.faults) at(fault.atMs, () => strike(fault))

  const strike = (fault: Scenario.Fault): void => {
    const device = devices[fault.device]!
    const neighbors = network.connectedTo(device.port.host)
    const neighbor = neighbors[Math.floor(fault.which * neighbors.length)]
    const { host } = device.port
    const over = (body: () => void) =>
      at(fault.atMs + fault.forMs, () => {
        trace.line(device.name, `fault over: ${fault.kind}`)
        body()
      })
    const begins = (detail = "") => {
      count(fault.kind)
      trace.line(device.name, `fault: ${fault.kind}${detail} for ${(fault.forMs / 1_000).toFixed(1)} s`)
    }
    switch (fault.kind) {
      case "kill":
      case "power-cut": {
        if (!device.isRunning && !starting.has(device)) return
        const crash = () => {
          if (!device.isRunning && !starting.has(device)) return
          begins()
          turnOff(device, fault.kind === "power-cut")
          over(() => start(device))
        }
        if (fault.operations === 0) return crash()
        let left = fault.operations
        device.disk.onOperation = () => {
          if (--left > 0) return
          device.disk.onOperation = () => {}
          crash()
        }
        return
      }
      case "cut":
        if (neighbor === undefined) return
        begins(` to ${neighbor}`)
        return void fork(network.cut(host, neighbor))
      case "half-open":
        if (neighbor === undefined) return
        begins(` from ${neighbor}`)
        network.silence(neighbor, host)
        return network.unsilence(neighbor, host)
      case "one-way":
        if (neighbor === undefined) return
        begins(` from ${neighbor}`)
        network.silence(neighbor, host)
        return void over(() => network.unsilence(neighbor, host))
      case "shield":
        if (scenario.shielded.has(fault.device)) return
        begins()
        network.shield(host, true)
        return void over(() => network.shield(host, false))
      case "slow": {
        begins()
        device.port.bytesPerSecond = options.bytesPerSecond / 50
        return void over(() => (device.port.bytesPerSecond = options.bytesPerSecond))
      }
      case "disk-full":
        begins()
        unwritable(device, fault)
        device.disk.capacityBytes = device.disk.usedBytes
        return void over(() => (device.disk.capacityBytes = Infinity))
      case "read-only":
      case "read-errors": {
        begins()
        unwritable(device, fault)
        const reason = fault.kind === "read-only" ? "read-only" : "io"
        const operations = fault.kind === "read-only" ? ["write", "rename"] as const : ["read"] as const
        for (const operation of operations) device.disk.failNext(operation, Infinity, reason, "/home")
        return void over(() => device.disk.recover())
      }
      case "bit-rot": {
        const paths: Array<string> = []
        for (const folder of [downloads, stateFolder]) {
          device.disk.walk(folder, (path) => {
            // What a person has to see to is no matter of chance: a damaged list of trusted teachers ends the program.
            if (!path.endsWith(".json")) paths.push(`${folder}/${path}`)
          })
        }
        const path = paths[Math.floor(fault.which * paths.length)]
        if (path === undefined) return
        begins(` in ${path}`)
        // While the program is off: what it has hashed in the same run, it does not hash again.
        turnOff(device, false)
        if (path.startsWith(`${downloads}/.labfx/`)) observer.rotted(device)
        else if (path.startsWith(`${downloads}/`)) observer.spoilt(device, path.slice(downloads.length + 1))
        else observer.stateRotted(device)
        observer.aside(device, () => device.disk.rot(path, draw))
        return void over(() => start(device))
      }
      case "clock-jump":
        begins()
        device.skewMs = Scenario.wrongClockMs(draw())
        return
      case "suspend":
        if (!device.isRunning) return
        begins()
        // What the disk did not take before is still to be written when the machine is awake again.
        if (isUnwritable(device)) unwritable(device, fault)
        device.suspend()
        return void over(() => device.resume())
    }
  }

  for (const { atMs, away, forMs, silent } of scenario.partitions) {
    const across = devices.flatMap((a, i) =>
      devices.flatMap((b, j) => away.has(i) && !away.has(j) ? [[a.port.host, b.port.host] as const] : [])
    )
    at(atMs, () => {
      count("partition")
      trace.line(
        "lab",
        `partition: ${[...away].join(" ")} for ${(forMs / 1_000).toFixed(1)} s${silent ? ", in silence" : ""}`
      )
      for (const [a, b] of across) {
        if (silent) {
          network.silence(a, b)
          network.silence(b, a)
        } else fork(network.block(a, b))
      }
    })
    at(atMs + forMs, () => {
      trace.line("lab", "partition over")
      for (const [a, b] of across) network.unblock(a, b)
      for (const i of scenario.walled) fork(network.block(teacher.port.host, devices[i]!.port.host))
    })
  }

  // ---- the hostile -------------------------------------------------------------------------------------------------

  const hostile: Array<Hostile.Hostile> = []
  const labCrypto = Context.get(lab.crypto, Crypto)
  for (let i = 0; i < options.hostile; i++) {
    const role = options.roles[(i + options.seed) % options.roles.length]!
    const self = crypto.keyPair(CryptoSeeded.seed(1_000 + i))
    observer.hostile.add(crypto.peerId(self.publicKey))
    at(500 + draw() * 1_000, () => {
      trace.line(`hostile ${i + 1}`, `comes to ${role}`)
      fork(
        Hostile.run({
          name: `hostile ${i + 1}`,
          role,
          port: network.port(`10.9.0.${i + 1}`),
          network,
          crypto: labCrypto,
          self,
          random: () => random.nextDoubleUnsafe(),
          discoveryPort: 4_000
        }).pipe(Effect.map((it) => hostile.push(it)))
      )
    })
  }

  // ---- the run -----------------------------------------------------------------------------------------------------

  time.onQuiet = () => observer.check()
  const slice = Effect.suspend(() => {
    time.advance(time.nowMs + sliceMs)
    observer.checkAll()
    passed?.(time.nowMs)
    return Effect.yieldNow
  })
  while (time.nowMs < scenario.calmMs && observer.violations.length === 0) yield* slice

  trace.line("lab", "all faults are over")
  for (const device of devices) {
    device.disk.onOperation = () => {}
    device.disk.recover()
    device.disk.capacityBytes = Infinity
    device.port.bytesPerSecond = options.bytesPerSecond
    device.resume()
  }

  /** What each running device knows, asked of its session as the page asks. */
  const look = () => {
    const views = new Map<Device, SessionView & { readonly conversation: ReadonlySet<string> }>()
    for (const device of devices) {
      if (!device.isRunning) continue
      const asked = device.use((session) => Effect.all([session.view, session.conversation]))
      const answer = time.run(asked, 1_000)
      if (answer === undefined || Exit.isFailure(answer)) continue
      const [view, conversation] = answer.value
      views.set(device, { ...view, conversation: new Set(conversation.map(Observer.line)) })
    }
    return views
  }
  const isComplete = (view: SessionView, share: Root) =>
    view.shares.some(({ root, state }) => root === share && state === "complete")

  /** What is still missing, in sentences; and what there is to have. */
  const missing = () => {
    const views = look()
    // With the teacher away and everybody else just started, nobody is left to announce the session: they wait for one.
    if (!wanted.has(teacher) && ![...views.values()].some(({ phase }) => phase === "joined")) {
      return {
        found: [...wanted].flatMap((device) => views.has(device) ? [] : [`${device.name} does not run`]),
        shares: 0,
        messages: 0
      }
    }
    const roots = new Set<Root>()
    for (const [device, view] of views) {
      // With the teacher away, what a disk has spoilt may have been the only copy.
      if (!wanted.has(teacher) && observer.isSpoilt(device)) continue
      for (const { root, state } of view.shares) if (state === "complete") roots.add(root)
    }
    // A message counts once its author has been told so, and as long as anybody is there who has seen it.
    const messages = new Set<string>()
    for (const [device, { conversation }] of views) {
      // What a disk has spoilt may have been the only copy: then only what the device still has is to be had from it.
      const shown = observer.mayForget(device) ? [] : observer.messages(device)
      const typed = [...conversation].filter((line) => observer.isHonest(line))
      for (const line of [...shown, ...typed]) if (!observer.isTwofold(line)) messages.add(line)
    }
    for (const { device, text } of accepted) {
      if (views.has(device) && !observer.isRotten(device) && ![...messages].some((line) => line.endsWith(` ${text}`))) {
        messages.add(text)
      }
    }
    const found: Array<string> = []
    for (const device of wanted) {
      const view = views.get(device)
      if (view === undefined) found.push(`${device.name} does not run`)
      else if (view.phase !== "joined") found.push(`${device.name} is ${view.phase}`)
      else {
        for (const root of roots) {
          if (device === teacher || isComplete(view, root)) continue
          // What is published is not fetched again, so a spoilt chunk of it does not pass through a device.
          if (scenario.walled.has(devices.indexOf(device)) && devices.some((other) => observer.isSpoilt(other))) {
            continue
          }
          const share = view.shares.find((share) => share.root === root)
          found.push(
            `${device.name} misses ${share?.title ?? "a share it has not heard of"}${
              share === undefined ? "" : ` (${share.state}, ${share.verifiedBytes} of ${share.sizeBytes} bytes)`
            }`
          )
        }
        // A program that was killed between keeping a message and telling of it shows it with the history at the next start.
        const known = observer.messages(device)
        for (const line of messages) {
          if (!known.has(line) && !view.conversation.has(line)) found.push(`${device.name} has not seen "${line}"`)
        }
      }
    }
    return { found, shares: roots.size, messages: messages.size }
  }

  const boundMs = scenario.calmMs + settleMs +
    (10_000 * options.bytes * Math.log2(options.peers + 1)) / options.bytesPerSecond
  let rest = missing()
  while (rest.found.length > 0 && time.nowMs < boundMs && observer.violations.length === 0) {
    yield* slice
    rest = missing()
  }
  if (observer.violations.length === 0) {
    for (const what of rest.found) {
      observer.violations.push(what)
      trace.line("lab", `VIOLATION ${what}`)
    }
  }
  const fromTheStart = devices.filter((_, i) => i > 0 && scenario.startMs[i]! <= 1_000)
  const copies = (bytes: number) =>
    bytes /
    Math.max(
      1,
      scenario.material.reduce(
        (sum, { files }) => sum + Array.from(files.values()).reduce((sum, { length }) => sum + length, 0),
        0
      )
    )
  const students = devices.slice(1)
  const named = new Set<string>()
  for (const device of devices) {
    for (const warning of device.of("warning")) {
      if (warning.code === "poisoned") named.add(/\((\S+)\)/.exec(warning.text)?.[1] ?? "")
    }
  }
  const isHostile = new Set(hostile.map(({ peer }) => peer))
  /** False chunks by victim; the hostile flood each other with requests, and that is nobody's loss. */
  const falseChunks = hostile.map(({ peer, poisoned }) => ({
    peer,
    counts: poisoned.flatMap(({ chunks, victim }) => isHostile.has(victim) || chunks === 0 ? [] : [chunks])
  }))
  const poisoners = falseChunks.filter(({ counts }) => counts.length > 0)
  return {
    seed: options.seed,
    digest: trace.digest,
    violations: observer.violations,
    virtualMs: time.nowMs,
    linesCount: trace.linesCount,
    honest: scenario.honest,
    hostile: options.hostile,
    faults: counted,
    shares: rest.shares,
    messages: rest.messages,
    completeMs: rest.found.length === 0
      ? Math.max(0, ...students.flatMap((device) => [...completions.get(device)?.values() ?? []]))
      : undefined,
    slowestMs: Array.from(offered, ([root, atMs]) =>
      Math.max(
        0,
        ...fromTheStart.flatMap((device) => {
          const completeMs = completions.get(device)?.get(root)
          return completeMs === undefined ? [] : [completeMs - atMs]
        })
      )),
    teacherCopies: copies(teacher.port.sentBytes),
    studentCopies: copies(students.reduce((sum, { port }) => sum + port.receivedBytes, 0) / students.length),
    poisonedChunksMax: Math.max(0, ...poisoners.flatMap(({ counts }) => counts)),
    poisoners: poisoners.length,
    poisonersNamed: poisoners.filter(({ peer }) => named.has(peer.slice(0, 8))).length
  }
})

/** An event in a few words. */
const tell = (event: SessionEvent): string => {
  const { event: name, ...facts } = event
  return `${name} ${JSON.stringify(facts)}`
}
