/**
 * A lab of real processes: labfx as it is shipped, followed by its `--json` events, on this machine's own network or in
 * network namespaces that stand for the machines of a room.
 *
 * Everything is made in a scope and gone with it: processes, folders, namespaces.
 */
import { Effect, type Scope } from "effect"
import * as NodeChildProcess from "node:child_process"
import * as NodeCrypto from "node:crypto"
import * as NodeDgram from "node:dgram"
import * as NodeFs from "node:fs"
import * as NodeOs from "node:os"
import * as NodePath from "node:path"
import * as Child from "../../src/programs/Child.ts"
import { bundle } from "./bundle.ts"

export type Labfx = Child.Child

/** Where a process runs: a command that goes before its own. None is this machine itself. */
export interface Host {
  readonly prefix: ReadonlyArray<string>
}

export const here: Host = { prefix: [] }

export interface Lab {
  /** A folder of its own, removed with the scope. */
  readonly folder: string
  /** The bundled program. */
  readonly program: string
  /** A UDP port that no other lab uses. */
  readonly discoveryPort: number
  /** The path of a key file of that name, made when it is first asked for. */
  readonly key: (name: string) => Effect.Effect<string>
  readonly teacher: (options: LabfxOptions & { readonly key: string }) => Effect.Effect<Labfx, never, Scope.Scope>
  readonly student: (options: LabfxOptions) => Effect.Effect<Labfx, never, Scope.Scope>
  /** Where that student's received files appear. */
  readonly downloads: (name: string) => string
  /** A file of random bytes in the lab's folder. */
  readonly file: (name: string, sizeBytes: number) => Effect.Effect<string>
}

export interface LabfxOptions {
  readonly name: string
  readonly at?: Host
  readonly arguments?: ReadonlyArray<string>
}

/** The bundled program: the one of this run of the tests, or, where it is not vitest that runs, one made in the folder. */
const programIn = async (folder: string): Promise<string> => {
  if (process.env["VITEST"] !== undefined) return (await import("vitest")).inject("program")
  const program = NodePath.join(folder, "labfx.mjs")
  await bundle(program)
  return program
}

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => NodeFs.mkdtempSync(NodePath.join(NodeOs.tmpdir(), "labfx-lab-"))),
  (folder) => Effect.sync(() => NodeFs.rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
)

/** A UDP port that is free on this machine. */
export const freePort: Effect.Effect<number> = Effect.callback((resume) => {
  const socket = NodeDgram.createSocket("udp4")
  socket.bind(0, () => {
    const { port } = socket.address()
    socket.close(() => resume(Effect.succeed(port)))
  })
})

/** The program as it is shipped, and a folder for a lab. */
export const make: Effect.Effect<Lab, never, Scope.Scope> = Effect.gen(function*() {
  const folder = yield* temporaryFolder
  const program = yield* Effect.promise(() => programIn(folder))
  const discoveryPort = yield* freePort
  const place = (...path: ReadonlyArray<string>) => NodePath.join(folder, ...path)

  const start = (
    role: "teacher" | "student",
    { arguments: more = [], at = here, name }: LabfxOptions,
    own: ReadonlyArray<string>
  ) =>
    Child.start({
      name,
      command: [
        ...at.prefix,
        process.execPath,
        program,
        role,
        "--json",
        "--name",
        name,
        "--state",
        place("state", name),
        "--discovery-port",
        String(discoveryPort),
        ...own,
        ...more
      ] as never
    })

  return {
    folder,
    program,
    discoveryPort,
    key: (name) =>
      Effect.sync(() => {
        const file = place(`${name}.key`)
        if (NodeFs.existsSync(file)) return file
        NodeChildProcess.execFileSync(process.execPath, [program, "keygen", "--out", file])
        return file
      }),
    teacher: ({ key, ...options }) => start("teacher", options, ["--secret-file", key]),
    student: (options) => start("student", options, ["--yes", "--dir", place("downloads", options.name)]),
    downloads: (name) => place("downloads", name),
    file: (name, sizeBytes) =>
      Effect.promise(async () => {
        const path = place(name)
        // In steps: other tests of the same process have their turn in between.
        const handle = await NodeFs.promises.open(path, "wx")
        for (let left = sizeBytes; left > 0; left -= 2 ** 20) {
          await handle.write(NodeCrypto.randomBytes(Math.min(left, 2 ** 20)))
        }
        await handle.close()
        return path
      })
  }
})

/** Every file below a path with its SHA-256, by its path from there: two copies agree if these do. */
export const digests = (root: string): Readonly<Record<string, string>> => {
  const isFolder = NodeFs.statSync(root).isDirectory()
  const files = isFolder
    ? NodeFs.readdirSync(root, { recursive: true, withFileTypes: true })
      // Symbolic links are not shared.
      .filter((entry) => entry.isFile())
      .map((entry) => NodePath.join(entry.parentPath, entry.name))
    : [root]
  return Object.fromEntries(
    files.map((file) => [NodePath.relative(root, file), NodeCrypto.hash("sha256", NodeFs.readFileSync(file))])
  )
}

/** Fails with what every process last said when the time is over: a lab that hangs tells where. */
export const within =
  (seconds: number, ...processes: ReadonlyArray<Labfx>) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.timeoutOrElse(effect, {
      duration: seconds * 1_000,
      orElse: () =>
        Effect.die(
          new Error(
            [
              `not done after ${seconds} s`,
              ...processes.map(({ complaint, events, name }) =>
                `${name}: ${events.slice(-4).map((event) => JSON.stringify(event)).join(" ")} ${complaint()}`
              )
            ].join("\n")
          )
        )
    })

// ---- network namespaces --------------------------------------------------------------------------------------------

const ip = (...words: ReadonlyArray<string>) =>
  NodeChildProcess.execFileSync("ip", words.flatMap((word) => word.split(" ")), { stdio: ["ignore", "pipe", "pipe"] })
    .toString()

/** Why namespaces cannot be made here; undefined if they can. */
export const namespacesMissing: string | undefined = (() => {
  if (process.platform !== "linux") return "network namespaces exist on Linux only"
  if (process.getuid?.() !== 0) return "network namespaces need root"
  const probe = `lfx${process.pid.toString(36)}probe`
  try {
    ip("netns add", probe)
    ip("netns del", probe)
    return undefined
  } catch (error) {
    return `network namespaces cannot be made here: ${String((error as Error).message).split("\n")[0]}`
  }
})()

export interface Machine extends Host {
  readonly namespace: string
  /** Its address on each of its interfaces. */
  readonly addresses: ReadonlyArray<string>
  /** Bytes its interfaces have sent and received so far, headers and all. */
  readonly traffic: () => { readonly sentBytes: number; readonly receivedBytes: number }
  /** Runs a command of `ip` in it. */
  readonly ip: (...words: ReadonlyArray<string>) => string
  /** Its port on the switch, in a {@link room}. */
  readonly port?: Port
  /** Limits that port both ways. */
  readonly shape: (bitsPerSecond: number) => void
}

/** The switch's end of a wire. */
export interface Port {
  readonly namespace: string
  readonly link: string
}

let machinesMade = 0

const namespace = Effect.acquireRelease(
  Effect.sync(() => {
    const name = `lfx${process.pid.toString(36)}x${machinesMade++}`
    ip("netns add", name)
    return name
  }),
  (name) =>
    Effect.sync(() => {
      // A process that outlived its scope would keep the namespace alive without a name.
      for (const pid of ip("netns pids", name).split("\n").filter((line) => line !== "")) {
        try {
          process.kill(Number(pid), "SIGKILL")
        } catch { /* it has ended by itself */ }
      }
      ip("netns del", name)
    })
)

/**
 * A token bucket on one end of a wire. Up to ten packets travel as one, which saves most of the CPU; a deep queue slows
 * a fast sender as a network card does, a shallow one drops as a switch does.
 */
const bucket = (namespace: string, link: string, bitsPerSecond: number, queueBytes: number) => {
  ip("-n", namespace, "link set", link, "gso_max_size 15000")
  const burstBytes = Math.max(16_000, Math.floor(bitsPerSecond / 8 / 500))
  const words =
    `netns exec ${namespace} tc qdisc replace dev ${link} root tbf rate ${bitsPerSecond}bit burst ${burstBytes} limit ${queueBytes}`
  NodeChildProcess.execFileSync("ip", words.split(" "))
}

/** What a switch keeps for a port: 20 ms of its rate. */
const switchQueueBytes = (bitsPerSecond: number) => Math.max(256_000, Math.floor(bitsPerSecond / 8 / 50))

const machine = (
  name: string,
  addresses: ReadonlyArray<string>,
  port?: Port
): Machine => ({
  ...(port !== undefined && { port }),
  shape: (bitsPerSecond) => {
    if (port === undefined) throw new Error("only a machine of a room has a port to shape")
    bucket(name, "eth0", bitsPerSecond, 1_000_000)
    bucket(port.namespace, port.link, bitsPerSecond, switchQueueBytes(bitsPerSecond))
  },
  namespace: name,
  prefix: ["ip", "netns", "exec", name],
  addresses,
  ip: (...words) => ip("-n", name, ...words),
  traffic: () => {
    const links = JSON.parse(ip("-n", name, "-s -j link show")) as ReadonlyArray<
      { readonly ifname: string; readonly stats64: Record<"rx" | "tx", { readonly bytes: number }> }
    >
    const outside = links.filter(({ ifname }) => ifname !== "lo")
    return {
      sentBytes: outside.reduce((sum, { stats64 }) => sum + stats64.tx.bytes, 0),
      receivedBytes: outside.reduce((sum, { stats64 }) => sum + stats64.rx.bytes, 0)
    }
  }
})

const up = (name: string, link: string, address: string) => {
  ip("-n", name, "addr add", `${address}/24`, "brd + dev", link)
  ip("-n", name, "link set", link, "up")
}

const prepared = Effect.tap(namespace, (name) =>
  Effect.sync(() => {
    ip("-n", name, "link set lo up")
    // Nothing is passed on by the system: what arrives further on was carried by labfx.
    NodeChildProcess.execFileSync("ip", ["netns", "exec", name, "sysctl", "-qw", "net.ipv4.ip_forward=0"])
  }))

/** Machines on one switch, without a default route. */
export const room = (count: number) =>
  Effect.gen(function*() {
    const sw = yield* prepared
    ip("-n", sw, "link add br0 type bridge mcast_snooping 0 forward_delay 0")
    ip("-n", sw, "link set br0 up")
    const names = yield* Effect.replicateEffect(prepared, count)
    return names.map((name, index): Machine => {
      ip("-n", name, "link add eth0 type veth peer name", `p${index}`, "netns", sw)
      ip("-n", sw, "link set", `p${index}`, "master br0 up")
      up(name, "eth0", `10.77.0.${index + 1}`)
      return machine(name, [`10.77.0.${index + 1}`], { namespace: sw, link: `p${index}` })
    })
  })

/** Of an access point's rate, what it sends multicasts with: one that the slowest device there hears. */
const multicastPart = 1 / 10

/**
 * Puts all machines of a room behind an access point, the first of them only if it has no wire: what goes to them and what comes
 * from them shares one rate, so what one of them sends to another takes it twice. Multicasts reach them at a tenth of it.
 *
 * Simpler than a radio: nothing collides, nobody is further away, and a multicast takes no time from what else is sent.
 */
export const accessPoint = (machines: ReadonlyArray<Machine>, bitsPerSecond: number, isFirstWired: boolean): void => {
  const { namespace } = machines[0]!.port!
  const inSwitch = (...words: ReadonlyArray<string>) => ip("-n", namespace, ...words)
  const queue = (link: string, rate: number) => {
    inSwitch("link add", link, "type ifb")
    inSwitch("link set", link, "up")
    bucket(namespace, link, rate, switchQueueBytes(rate))
  }
  const redirect = (what: string, link: string, side: "ingress" | "egress", to: string) => {
    const words =
      `filter add dev ${link} ${side} protocol all u32 match ${what} action mirred egress redirect dev ${to}`
    NodeChildProcess.execFileSync("ip", `netns exec ${namespace} tc ${words}`.split(" "), { stdio: "pipe" })
  }
  const prepareToRedirect = (link: string) =>
    NodeChildProcess.execFileSync("ip", `netns exec ${namespace} tc qdisc add dev ${link} clsact`.split(" "))
  // By the lowest bit of the first byte of Ethernet's receiver.
  const toOne = "u8 0x00 0x01 at -14"
  const toMany = "u8 0x01 0x01 at -14"
  queue("air", bitsPerSecond)
  queue("cries", bitsPerSecond * multicastPart)
  inSwitch("link add br1 type bridge mcast_snooping 0 forward_delay 0")
  inSwitch("link set br1 up")
  inSwitch("link add ap0 type veth peer name ap1")
  inSwitch("link set ap0 master br0 up")
  inSwitch("link set ap1 master br1 up")
  prepareToRedirect("ap1")
  redirect(toMany, "ap1", "ingress", "cries")
  machines.forEach(({ port }, index) => {
    // The first stays on this side of the access point: its multicasts are to be slowed down as well.
    if (index > 0) inSwitch("link set", port!.link, "master br1")
    if (index === 0 && isFirstWired) return
    prepareToRedirect(port!.link)
    redirect(toOne, port!.link, "ingress", "air")
    redirect(toOne, port!.link, "egress", "air")
  })
}

/**
 * What laptops have beside the network of the room: an interface without carrier, and a tunnel that takes the default
 * route.
 */
export const disturb = (machine: Machine): Effect.Effect<void> =>
  Effect.sync(() => {
    machine.ip("link add dock0 type veth peer name dock1")
    up(machine.namespace, "dock0", "10.88.0.1")
    machine.ip("link add vpn0 type veth peer name vpn1")
    machine.ip("addr add 10.99.0.1/32 dev vpn0")
    machine.ip("link set vpn0 up")
    machine.ip("link set vpn1 up")
    machine.ip("route add default dev vpn0")
  })

/** Machines in a line, each on a wire of its own with the next: nobody sees further. */
export const line = (count: number) =>
  Effect.gen(function*() {
    const names = yield* Effect.replicateEffect(prepared, count)
    const addresses = names.map((): Array<string> => [])
    for (let index = 0; index + 1 < count; index++) {
      const [left, right] = [names[index]!, names[index + 1]!]
      ip("-n", left, "link add eth1 type veth peer name eth0 netns", right)
      const pair = [`10.77.${index + 1}.1`, `10.77.${index + 1}.2`] as const
      up(left, "eth1", pair[0])
      up(right, "eth0", pair[1])
      addresses[index]!.push(pair[0])
      addresses[index + 1]!.push(pair[1])
    }
    return names.map((name, index) => machine(name, addresses[index]!))
  })
