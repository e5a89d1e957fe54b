/** Linux network namespaces: machines and cables of a laboratory in one kernel, seen by nobody else. */
import { Effect, type Scope } from "effect"
import * as ChildProcess from "node:child_process"

const run = (command: string): string => {
  const [program, ...args] = command.split(" ")
  return ChildProcess.execFileSync(program!, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })
}

/** Why namespaces cannot be made here, or nothing if they can. */
export const unavailable: string | undefined = (() => {
  if (process.platform !== "linux") return "network namespaces need Linux"
  if (process.getuid?.() !== 0) return "network namespaces need root"
  const name = `labfx-probe-${process.pid}`
  try {
    run(`ip netns add ${name}`)
    try {
      run(`ip -n ${name} link add veth0 type veth peer name veth1`)
    } finally {
      run(`ip netns del ${name}`)
    }
    return undefined
  } catch (error) {
    return `ip netns does not work here: ${String(error).split("\n")[0]}`
  }
})()

let count = 0

/** A machine of its own, with loopback up and nothing else. Deleted with the scope. */
export const machine: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => {
    const name = `labfx-${process.pid}-${count++}`
    run(`ip netns add ${name}`)
    run(`ip -n ${name} link set lo up`)
    return name
  }),
  (name) => Effect.sync(() => run(`ip netns del ${name}`))
)

/** `ip` inside a machine. */
export const ip = (name: string, args: string): Effect.Effect<void> =>
  Effect.sync(() => void run(`ip -n ${name} ${args}`))

/** A cable between two machines, with an address (`10.77.1.1/24`) at each end that has one. */
export const cable = (
  [a, aInterface, aAddress]: readonly [string, string, string?],
  [b, bInterface, bAddress]: readonly [string, string, string?]
): Effect.Effect<void> =>
  Effect.sync(() => {
    run(`ip -n ${a} link add ${aInterface} type veth peer name ${bInterface} netns ${b}`)
    for (const [name, device, address] of [[a, aInterface, aAddress], [b, bInterface, bAddress]] as const) {
      if (address !== undefined) run(`ip -n ${name} addr add ${address} dev ${device}`)
      run(`ip -n ${name} link set ${device} up`)
    }
  })
