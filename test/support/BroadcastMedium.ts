/**
 * Local networks without sockets, under virtual time: the `Datagrams` of any number of machines.
 *
 * A machine has an interface in each network it is plugged into. What it broadcasts there reaches every listener of that
 * network, itself included, after a delay drawn for each, or is lost. Time is the test clock and chance is the seeded
 * `Random`, so a run is a function of its seed.
 */
import { Clock, Effect, Layer, Random, type Scope } from "effect"
import type { InterfaceAddress } from "../../src/protocol/Interfaces.ts"
import { type Datagram, Datagrams, type ListenError } from "../../src/services/Datagrams.ts"

export interface MediumOptions {
  readonly latencyMsMin: number
  readonly latencyMsMax: number
  /** Chance that one listener does not get one datagram. */
  readonly loss: number
}

/** One broadcast in one network, as a listening station would note it down. */
export interface Transmission {
  readonly atMs: number
  readonly network: number
  readonly source: string
  readonly bytes: Uint8Array
}

/** A machine. Its networks may be changed at any time; those of a machine that is switched off are none. */
export interface Machine {
  readonly number: number
  networks: ReadonlyArray<number>
  /** When set, listening fails with it. */
  deafBecause: ListenError | undefined
}

interface Listener {
  readonly machine: Machine
  readonly hear: (datagram: Datagram) => void
}

const interfaceOf = (machine: Machine, network: number): InterfaceAddress => ({
  name: `lan${network}`,
  address: `10.${network}.${machine.number >> 8}.${machine.number & 255}`,
  broadcast: `10.${network}.255.255`,
  prefixLength: 16,
  loopback: false
})

export class BroadcastMedium {
  readonly transmissions: Array<Transmission> = []
  readonly #listeners = new Set<Listener>()
  readonly #options: MediumOptions
  readonly #scope: Scope.Scope
  readonly #clock: Clock.Clock
  readonly #random: Random.Random
  #nextNumber = 1

  private constructor(options: MediumOptions, scope: Scope.Scope, clock: Clock.Clock, random: Random.Random) {
    this.#options = options
    this.#scope = scope
    this.#clock = clock
    this.#random = random
  }

  static readonly make = Effect.fnUntraced(function*(options: MediumOptions) {
    return new BroadcastMedium(options, yield* Effect.scope, yield* Clock.Clock, yield* Random.Random)
  })

  machine(...networks: ReadonlyArray<number>): Machine {
    return { number: this.#nextNumber++, networks, deafBecause: undefined }
  }

  get nowMs(): number {
    return Number(this.#clock.monotonicTimeNanosUnsafe() / 1_000_000n)
  }

  #deliver(listener: Listener, datagram: Datagram) {
    const { latencyMsMax, latencyMsMin, loss } = this.#options
    if (this.#random.nextDoubleUnsafe() < loss) return Effect.void
    const latencyMs = latencyMsMin + this.#random.nextDoubleUnsafe() * (latencyMsMax - latencyMsMin)
    return Effect.sleep(latencyMs).pipe(
      Effect.andThen(Effect.sync(() => listener.hear(datagram))),
      Effect.forkIn(this.#scope)
    )
  }

  /** Puts a datagram on a network as if it came from that address, which may be nobody's. */
  inject(network: number, source: string, bytes: Uint8Array) {
    return Effect.suspend(() => {
      this.transmissions.push({ atMs: this.nowMs, network, source, bytes })
      const reached = Array.from(this.#listeners).filter(({ machine }) => machine.networks.includes(network))
      const datagram = () => ({ bytes: bytes.slice(), from: { host: source, port: 40_000 } })
      return Effect.forEach(reached, (listener) => this.#deliver(listener, datagram()), { discard: true })
    })
  }

  datagrams(machine: Machine): Layer.Layer<Datagrams> {
    return Layer.succeed(
      Datagrams,
      Datagrams.of({
        listen: (_port, hear) =>
          Effect.acquireRelease(
            Effect.suspend(() => {
              if (machine.deafBecause !== undefined) return Effect.fail(machine.deafBecause)
              const listener = { machine, hear }
              this.#listeners.add(listener)
              return Effect.succeed(listener)
            }),
            (listener) => Effect.sync(() => this.#listeners.delete(listener))
          ).pipe(Effect.asVoid),
        broadcast: (_port, bytes, from) =>
          Effect.suspend(() => {
            const present = machine.networks.filter((network) =>
              from.some(({ address }) => address === interfaceOf(machine, network).address)
            )
            return Effect.forEach(
              present,
              (network) => this.inject(network, interfaceOf(machine, network).address, bytes)
            ).pipe(Effect.as(present.length))
          }),
        interfaces: Effect.sync(() => machine.networks.map((network) => interfaceOf(machine, network)))
      })
    )
  }
}
