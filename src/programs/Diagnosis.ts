/**
 * What could keep this machine from the room, told from what was seen: a cause in words, and one next step for it.
 *
 * Nothing is touched here: the facts are gathered by `Checkup.ts`.
 */
import type { InterfaceAddress } from "../protocol/Interfaces.ts"
import * as Limits from "../protocol/Limits.ts"
import * as Display from "./Display.ts"

/** How a device answered a connection: `silent` is nothing at all, as firewalls and isolated networks do. */
export type Answer = "connected" | "refused" | "silent" | "unreachable"

export interface Facts {
  readonly program: string
  /** The version of Node and whether labfx supports it. */
  readonly node: string
  readonly nodeSupported: boolean
  /** Every interface that is up and can broadcast, loopback left out. */
  readonly interfaces: ReadonlyArray<InterfaceAddress>
  /** Names of interfaces that are up and have an address, but no broadcast. */
  readonly withoutBroadcast: ReadonlyArray<string>
  readonly discoveryPort: number
  /** Why nothing can be heard. */
  readonly listening: string | undefined
  /** For each interface: whether a datagram left by it, and whether it was heard here again. */
  readonly echoes: ReadonlyArray<{ readonly name: string; readonly left: boolean; readonly heard: boolean }>
  /** Devices that announced a session while it was listened, and how each answered. */
  readonly sessions: ReadonlyArray<{ readonly title: string; readonly address: string; readonly answer: Answer }>
  readonly otherVersions: ReadonlyArray<number>
  /** Which interface the default route leaves by, where the system tells. */
  readonly defaultRoute: string | undefined
  /** Why the usual TCP port cannot be listened on. */
  readonly linkPort: string | undefined
  readonly folders: ReadonlyArray<{
    readonly path: string
    readonly freeBytes: number | undefined
    /** Why it cannot be written to. */
    readonly problem: string | undefined
  }>
  readonly clockMs: number
}

export interface Finding {
  /** Stable, for scripts. */
  readonly code: string
  /** `bad` keeps this machine from the room; `warning` may; `good` is for reassurance. */
  readonly level: "good" | "warning" | "bad"
  readonly what: string
  readonly next?: string
}

const good = (code: string, what: string): Finding => ({ code, level: "good", what })
const warning = (code: string, what: string, next: string): Finding => ({ code, level: "warning", what, next })
const bad = (code: string, what: string, next: string): Finding => ({ code, level: "bad", what, next })

const isLinkLocal = ({ address }: InterfaceAddress): boolean => address.startsWith("169.254.")

/** Names that VPN programs give their interfaces. */
const isTunnel = (name: string): boolean =>
  /^(tun|tap|wg|ppp|utun|ipsec|tailscale|zt|nord|proton|gpd|cscotun|vpn)/i.test(name)

/** Fewer free bytes than a usual share would need. */
const scarceBytes = 1_000_000_000

/** Before this, no labfx existed. */
const earliestMs = Date.UTC(2025, 0, 1)

const network = (facts: Facts): ReadonlyArray<Finding> => {
  const { interfaces, withoutBroadcast } = facts
  if (interfaces.length === 0) {
    return [
      withoutBroadcast.length > 0
        ? bad(
          "no-broadcast",
          `The only network (${
            withoutBroadcast.join(", ")
          }) reaches no neighbours: it has no broadcast, as a VPN has none.`,
          "Connect to the lab's Wi-Fi or cable, or start labfx student --connect HOST:PORT with the teacher's address."
        )
        : bad(
          "no-network",
          "This machine is in no network.",
          "Plug in the cable or join the lab's Wi-Fi, then run labfx doctor again."
        )
    ]
  }
  if (interfaces.every(isLinkLocal)) {
    return [bad(
      "no-address",
      `The network has given this machine no address (${interfaces[0]!.address} is made up).`,
      "Join the Wi-Fi again or ask who runs the network why it gives out no addresses (DHCP)."
    )]
  }
  return [good(
    "network",
    interfaces.map(({ address, broadcast, name }) => `${name}: ${address}, announces to ${broadcast}`).join("; ")
  )]
}

const announcing = (facts: Facts): ReadonlyArray<Finding> => {
  const { discoveryPort, echoes, listening } = facts
  if (listening !== undefined) {
    return [bad(
      "discovery-port",
      `UDP port ${discoveryPort} is used by another program, so sessions cannot be heard (${listening}).`,
      "End that program, give the whole class another --discovery-port, or use --connect HOST:PORT."
    )]
  }
  return echoes.flatMap(({ heard, left, name }): ReadonlyArray<Finding> => {
    if (!left) {
      return [bad(
        "send-blocked",
        `Announcements cannot leave by ${name}: a firewall on this machine forbids it.`,
        `Allow outgoing UDP to port ${discoveryPort} for labfx (node) in the firewall.`
      )]
    }
    if (!heard) {
      return [bad(
        "receive-blocked",
        `Announcements leave by ${name}, but none comes in: a firewall on this machine drops them.`,
        `Allow incoming UDP on port ${discoveryPort} for labfx (node) in the firewall.`
      )]
    }
    return [good("announcements", `Announcements leave by ${name} and come in.`)]
  })
}

const reaching = (facts: Facts): ReadonlyArray<Finding> => {
  const { otherVersions, sessions } = facts
  const versions = otherVersions.length === 0 ? [] : [warning(
    "other-version",
    `Another version of labfx is in reach (its announcements are of version ${otherVersions.join(", ")}).`,
    `Use the same labfx on every machine; this one is ${facts.program}.`
  )]
  if (sessions.length === 0) {
    return [
      ...versions,
      warning(
        "nothing-heard",
        "No session was heard.",
        "If the teacher's labfx runs: check that both machines are in the same network, or start labfx student --connect " +
          "HOST:PORT with the address that the teacher's screen shows."
      )
    ]
  }
  const answered = sessions.filter(({ answer }) => answer === "connected")
  if (answered.length > 0) {
    return [
      ...versions,
      ...answered.map(({ address, title }) =>
        good("session", `“${Display.safeLine(title)}” is in reach at ${address} and takes connections.`)
      )
    ]
  }
  const { address, answer, title } = sessions[0]!
  const name = `“${Display.safeLine(title)}” is announced from ${address}`
  return [
    ...versions,
    answer === "refused"
      ? bad(
        "connections-refused",
        `${name}, but refuses connections: its labfx has just ended, or a firewall there turns them away.`,
        "On the teacher's machine, allow incoming TCP for labfx (node) in the firewall."
      )
      : answer === "unreachable"
      ? bad(
        "no-route",
        `${name}, but this machine knows no way there.`,
        "Check that both machines are in the same network, and that no VPN takes its place."
      )
      : bad(
        "isolated",
        `${name}, but connections get no answer: the network keeps its devices apart (client isolation), or a firewall does.`,
        "Ask who runs the Wi-Fi to switch client isolation off for the lab, or use a cable or the teacher's hotspot."
      )
  ]
}

const others = (facts: Facts): ReadonlyArray<Finding> => {
  const found: Array<Finding> = []
  if (facts.defaultRoute !== undefined && isTunnel(facts.defaultRoute)) {
    found.push(warning(
      "vpn",
      `A VPN (${facts.defaultRoute}) takes this machine's traffic; some keep it from the lab's network.`,
      "If the session is not found or not reached, disconnect the VPN for the lesson."
    ))
  }
  if (facts.linkPort !== undefined) {
    found.push(warning(
      "link-port",
      `The usual TCP port is taken (${facts.linkPort}); labfx takes a free one.`,
      "Nothing to do, unless a firewall opens the usual port only: then end the program that uses it."
    ))
  }
  for (const { freeBytes, path, problem } of facts.folders) {
    if (problem !== undefined) {
      found.push(bad(
        "folder",
        `${path} cannot be written to: ${problem}.`,
        "Choose another folder with --dir or --state, or give yourself the right."
      ))
    } else if (freeBytes !== undefined && freeBytes < Limits.freeBytesReserve) {
      found.push(
        bad("disk-full", `The disk of ${path} is full.`, "Free some space, or choose another folder with --dir.")
      )
    } else if (freeBytes !== undefined && freeBytes < scarceBytes) {
      found.push(warning(
        "disk-scarce",
        `Only ${Display.bytes(freeBytes)} are free for ${path}.`,
        "Free some space before a large dataset is shared."
      ))
    } else if (freeBytes !== undefined) found.push(good("disk", `${Display.bytes(freeBytes)} are free for ${path}.`))
  }
  if (facts.clockMs < earliestMs) {
    found.push(warning(
      "clock",
      "This machine's clock is years behind. labfx does not mind, but other programs will.",
      "Set date and time."
    ))
  }
  found.push(
    facts.nodeSupported
      ? good("version", `${facts.program} on Node ${facts.node}.`)
      : bad("node-version", `Node ${facts.node} is too old for ${facts.program}.`, "Install Node 22 or newer.")
  )
  return found
}

const order: Record<Finding["level"], number> = { bad: 0, warning: 1, good: 2 }

/** Everything found, the worst first. What follows from something worse is not told a second time. */
export const diagnose = (facts: Facts): ReadonlyArray<Finding> => {
  const base = network(facts)
  const connected = base.every(({ level }) => level === "good")
  const heard = connected ? announcing(facts) : []
  const deaf = heard.some(({ level }) => level === "bad")
  const reached = connected ? reaching(facts).filter(({ code }) => !deaf || code !== "nothing-heard") : []
  return [...base, ...heard, ...reached, ...others(facts)].toSorted((a, b) => order[a.level] - order[b.level])
}
