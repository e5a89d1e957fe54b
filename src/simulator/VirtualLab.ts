/**
 * A whole lab in one process: the production services of every device, unmodified, on virtual cables, disks in memory,
 * virtual time and seeded chance. The same seed gives the same lesson.
 */
import { Clock, Context, Deferred, Effect, Exit, Layer, PubSub, Scope } from "effect"
import { Crypto } from "../services/Crypto.ts"
import { MachineId } from "../services/MachineId.ts"
import { Session, type StudentOptions, type TeacherOptions } from "../services/Session.ts"
import type { SessionEvent } from "../services/SessionEvent.ts"
import * as StudentSession from "../services/StudentSession.ts"
import * as TeacherSession from "../services/TeacherSession.ts"
import * as CryptoSeeded from "./CryptoSeeded.ts"
import { DiskMemory } from "./DiskMemory.ts"
import { type NetworkOptions, type Port, VirtualNetwork } from "./VirtualNetwork.ts"

export const downloads = "/home/downloads"
export const stateFolder = "/home/state"

/** One run of the program on a device. */
interface Process {
  readonly session: Session["Service"]
  readonly scope: Scope.Closeable
  readonly clock: Clock.Clock
}

/** One device: a cable, a disk and a clock that outlive its processes. */
export class Device {
  readonly name: string
  readonly port: Port
  readonly disk = new DiskMemory()
  readonly events: Array<SessionEvent> = []
  onEvent: (event: SessionEvent) => void = () => {}
  /** The session cannot go on; the program would end with an error. */
  onFailed: (cause: unknown) => void = () => {}
  /** By how much its wall clock is wrong. */
  skewMs = 0
  /** Counts starts and ends of processes. */
  #life = 0
  #running: Process | undefined
  #awake: Deferred.Deferred<void> | undefined
  readonly #layer: Layer.Layer<Session, unknown>

  constructor(name: string, port: Port, layer: (device: Device) => Layer.Layer<Session, unknown>) {
    this.name = name
    this.port = port
    this.#layer = layer(this)
  }

  get session(): Session["Service"] {
    return this.#running!.session
  }

  get isRunning(): boolean {
    return this.#running !== undefined
  }

  /** Whether a person can do something with it: it runs, and its lid is open. */
  get isUsable(): boolean {
    return this.isRunning && !this.port.suspended
  }

  /** The clock of one process: no timer of it goes off while the machine sleeps, and none after the process was killed. */
  #clock(base: Clock.Clock, life: number): Clock.Clock {
    const currentTimeMillisUnsafe = () => base.currentTimeMillisUnsafe() + this.skewMs
    const currentTimeNanosUnsafe = () => base.currentTimeNanosUnsafe() + BigInt(this.skewMs) * 1_000_000n
    const wake = Effect.suspend(() =>
      this.#life !== life
        ? Effect.never
        : this.#awake === undefined
        ? Effect.void
        : Deferred.await(this.#awake)
    )
    return {
      currentTimeMillisUnsafe,
      currentTimeMillis: Effect.sync(currentTimeMillisUnsafe),
      currentTimeNanosUnsafe,
      currentTimeNanos: Effect.sync(currentTimeNanosUnsafe),
      monotonicTimeNanosUnsafe: () => base.monotonicTimeNanosUnsafe(),
      monotonicTimeNanos: base.monotonicTimeNanos,
      sleep: (duration) => Effect.andThen(base.sleep(duration), wake)
    }
  }

  start(): Effect.Effect<void, unknown> {
    return Effect.gen({ self: this }, function*() {
      this.port.up = true
      const life = ++this.#life
      const clock = this.#clock(yield* Clock.Clock, life)
      const scope = yield* Scope.make()
      yield* Effect.gen({ self: this }, function*() {
        const session = Context.get(yield* Layer.buildWithScope(this.#layer, scope), Session)
        const subscription = yield* Scope.provide(session.events, scope)
        yield* PubSub.take(subscription).pipe(
          Effect.map((event) => {
            if (this.#life !== life) return
            this.events.push(event)
            this.onEvent(event)
          }),
          Effect.forever,
          Effect.forkIn(scope)
        )
        yield* session.failed.pipe(
          Effect.catchCause((cause) => Effect.sync(() => this.#life === life && this.onFailed(cause))),
          Effect.forkIn(scope)
        )
        if (this.#life === life) this.#running = { session, scope, clock }
      }).pipe(
        Effect.provideService(Clock.Clock, clock),
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
      )
    })
  }

  /** Does something with the session as a person at the device would. */
  use<A, E>(body: (session: Session["Service"]) => Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.suspend(() => Effect.provideService(body(this.session), Clock.Clock, this.#running!.clock))
  }

  /** Ends as Ctrl-C does: says goodbye. Time must pass until it is done. */
  stop(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const running = this.#running
      this.#running = undefined
      return running === undefined ? Effect.void : Scope.close(running.scope, Exit.void)
    })
  }

  /** Ends as `kill -9` does: the disk keeps what was written, the others see the line go dead. */
  kill(network: VirtualNetwork): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#end()
      this.disk.kill()
      return network.unplug(this.port.host)
    })
  }

  /** Ends as with a power cut: of what was not synced, the disk keeps what `random` says. */
  powerOff(network: VirtualNetwork, random: () => number): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#end()
      this.disk.crash(random)
      return network.unplug(this.port.host)
    })
  }

  /** What is left of the process has neither time nor disk nor cable: it does nothing any more. */
  #end(): void {
    this.#life++
    this.#running = undefined
    this.resume()
  }

  /** The lid is closed: nothing happens on the device until {@link resume}. */
  suspend(): void {
    this.port.suspended = true
    this.#awake ??= Deferred.makeUnsafe<void>()
  }

  resume(): void {
    this.port.suspended = false
    if (this.#awake !== undefined) Deferred.doneUnsafe(this.#awake, Effect.void)
    this.#awake = undefined
  }

  of<Name extends SessionEvent["event"]>(name: Name): ReadonlyArray<Extract<SessionEvent, { readonly event: Name }>> {
    return this.events.filter((event): event is Extract<SessionEvent, { readonly event: Name }> => event.event === name)
  }

  /** Texts in the order they were shown. */
  get texts(): ReadonlyArray<string> {
    return this.of("message.delivered").map(({ text }) => text)
  }

  /** What a person finds in the download folder, hidden files not counted. */
  get downloaded(): ReadonlyMap<string, Uint8Array> {
    return new Map(Array.from(this.disk.files(downloads)).filter(([path]) => !path.startsWith(".")))
  }
}

export class VirtualLab {
  readonly network: VirtualNetwork
  readonly crypto: Context.Context<Crypto>
  readonly teacher: Device
  readonly students: Array<Device> = []

  private constructor(network: VirtualNetwork, crypto: Context.Context<Crypto>, options: Partial<TeacherOptions>) {
    this.network = network
    this.crypto = crypto
    this.teacher = this.#hosted("teacher", "10.0.0.1", options)
  }

  #hosted(name: string, host: string, options: Partial<TeacherOptions>): Device {
    return new Device(name, this.network.port(host), (device) =>
      TeacherSession.layer({
        secretSeed: CryptoSeeded.seed(1),
        title: "Lesson",
        name,
        stateFolder,
        studentsMayWrite: true,
        port: 0,
        discoveryPort: 4_000,
        program: "test",
        ...options
      }).pipe(Layer.provide(this.#platform(device))))
  }

  /** A teacher of the room next door, with another secret, on the same network. */
  nextDoor(): Device {
    return this.#hosted("next door", "10.0.255.1", { secretSeed: CryptoSeeded.seed(2), title: "Next door" })
  }

  static readonly make = Effect.fnUntraced(function*(network: NetworkOptions, options: Partial<TeacherOptions> = {}) {
    const crypto = yield* Layer.build(CryptoSeeded.layer)
    const virtual = yield* VirtualNetwork.make(network).pipe(Effect.provide(crypto))
    return new VirtualLab(virtual, crypto, options)
  })

  #platform(device: Device) {
    return Layer.mergeAll(
      Layer.succeedContext(this.crypto),
      device.disk.layer,
      this.network.layers(device.port),
      Layer.succeed(MachineId, {
        facts: Effect.succeed({ installation: device.name, hardware: [device.port.host], user: "user" })
      })
    )
  }

  student(options: Partial<StudentOptions> = {}, bytesPerSecond?: number): Device {
    const number = this.students.length + 2
    const port = this.network.port(`10.0.${number >> 8}.${number & 255}`, bytesPerSecond)
    const device = new Device(`student ${number - 1}`, port, (device) =>
      StudentSession.layer({
        name: device.name,
        stateFolder,
        downloadFolder: downloads,
        join: undefined,
        trust: [],
        connect: [],
        newSessions: "first-use",
        port: 0,
        discoveryPort: 4_000,
        program: "test",
        ...options
      }).pipe(Layer.provide(this.#platform(device))))
    this.students.push(device)
    return device
  }

  get devices(): ReadonlyArray<Device> {
    return [this.teacher, ...this.students]
  }
}
