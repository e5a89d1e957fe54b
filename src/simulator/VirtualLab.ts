/**
 * A whole lab in one process: the production services of every device, unmodified, on virtual cables, disks in memory,
 * virtual time and seeded chance. The same seed gives the same lesson.
 */
import { Context, Effect, Exit, Layer, PubSub, Scope } from "effect"
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
const stateFolder = "/home/state"

/** One device: a cable and a disk that outlive its processes. */
export class Device {
  readonly name: string
  readonly port: Port
  readonly disk = new DiskMemory()
  readonly events: Array<SessionEvent> = []
  #running: { readonly session: Session["Service"]; readonly scope: Scope.Closeable } | undefined
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

  start(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      this.port.up = true
      const scope = yield* Scope.make()
      const session = Context.get(yield* Layer.buildWithScope(this.#layer, scope), Session)
      const subscription = yield* Scope.provide(session.events, scope)
      yield* PubSub.take(subscription).pipe(
        Effect.map((event) => this.events.push(event)),
        Effect.forever,
        Effect.forkIn(scope)
      )
      this.#running = { session, scope }
    }).pipe(Effect.orDie)
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
      const running = this.#running
      this.#running = undefined
      if (running === undefined) return Effect.void
      this.disk.kill()
      return network.unplug(this.port.host).pipe(
        // What is left of the process runs into a dead disk and a dead cable.
        Effect.andThen(Effect.forkDetach(Scope.close(running.scope, Exit.void)))
      )
    }).pipe(Effect.asVoid)
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
  readonly teacher: Device
  readonly students: Array<Device> = []
  readonly #crypto: Context.Context<Crypto>

  private constructor(network: VirtualNetwork, crypto: Context.Context<Crypto>, options: Partial<TeacherOptions>) {
    this.network = network
    this.#crypto = crypto
    this.teacher = new Device("teacher", network.port("10.0.0.1"), (device) =>
      TeacherSession.layer({
        secretSeed: CryptoSeeded.seed(1),
        title: "Lesson",
        name: "Teacher",
        stateFolder,
        studentsMayWrite: true,
        port: 0,
        discoveryPort: 4_000,
        program: "test",
        ...options
      }).pipe(Layer.provide(this.#platform(device))))
  }

  static readonly make = Effect.fnUntraced(function*(network: NetworkOptions, options: Partial<TeacherOptions> = {}) {
    const crypto = yield* Layer.build(CryptoSeeded.layer)
    const virtual = yield* VirtualNetwork.make(network).pipe(Effect.provide(crypto))
    return new VirtualLab(virtual, crypto, options)
  })

  #platform(device: Device) {
    return Layer.mergeAll(
      Layer.succeedContext(this.#crypto),
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
