/**
 * From the system's list of network interfaces to the places a broadcast can be sent from.
 *
 * Linux, macOS and Windows give the same list through node:os, of interfaces that are up and have a carrier. What
 * differs is only what stands in it: `lo`, `lo0` or `Loopback Pseudo-Interface 1`; `tun0`, `utun3` or a TAP adapter.
 */
import * as Limits from "./Limits.ts"

/** One address as `os.networkInterfaces()` gives it. */
export interface SystemAddress {
  readonly address: string
  readonly netmask: string
  readonly family: "IPv4" | "IPv6"
  readonly internal: boolean
}

export type SystemInterfaces = Readonly<Record<string, ReadonlyArray<SystemAddress> | undefined>>

/** One address of one interface that is up and can broadcast. */
export interface InterfaceAddress {
  /** The system's name, e.g. `eth0`. */
  readonly name: string
  /** IPv4 in dotted form. */
  readonly address: string
  /** The directed broadcast address of its network. */
  readonly broadcast: string
  /** How many leading bits all devices of its network share. */
  readonly prefixLength: number
  readonly loopback: boolean
}

/** The 32 bits of an IPv4 address in dotted form, as an unsigned number. */
const bitsOf = (address: string): number | undefined => {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(address)
  if (parts === null) return undefined
  let bits = 0
  for (const part of parts.slice(1)) {
    const byte = Number(part)
    if (byte > 255) return undefined
    bits = bits * 256 + byte
  }
  return bits
}

const dotted = (bits: number): string => [bits >>> 24, (bits >>> 16) & 255, (bits >>> 8) & 255, bits & 255].join(".")

const maskOf = (prefixLength: number): number => (prefixLength === 0 ? 0 : (~0 << (32 - prefixLength)) >>> 0)

const prefixLengthOf = (netmask: string): number | undefined => {
  const bits = bitsOf(netmask)
  if (bits === undefined) return undefined
  const length = Math.clz32(~bits)
  return maskOf(length) === bits ? length : undefined
}

/**
 * The IPv4 addresses that can broadcast, in the system's order, at most `Limits.interfacesMax`.
 *
 * Point-to-point interfaces (a VPN's /32, a /31) have no broadcast address and are left out. Of several addresses of
 * one interface in one network the first stands for all: they reach the same devices.
 */
export const broadcasting = (interfaces: SystemInterfaces): ReadonlyArray<InterfaceAddress> => {
  const found: Array<InterfaceAddress> = []
  const networks = new Set<string>()
  for (const [name, addresses] of Object.entries(interfaces)) {
    for (const { address, family, internal, netmask } of addresses ?? []) {
      const bits = bitsOf(address)
      const prefixLength = prefixLengthOf(netmask)
      if (family !== "IPv4" || bits === undefined || prefixLength === undefined) continue
      if (prefixLength < 1 || prefixLength > 30) continue
      const broadcast = dotted((bits | ~maskOf(prefixLength)) >>> 0)
      const network = `${name}/${broadcast}`
      if (networks.has(network)) continue
      networks.add(network)
      found.push({ name, address, broadcast, prefixLength, loopback: internal })
      if (found.length === Limits.interfacesMax) return found
    }
  }
  return found
}

/** Whether an IPv4 address belongs to the interface's network: a broadcast sent from there has come by it. */
export const isNeighbor = ({ address, prefixLength }: InterfaceAddress, host: string): boolean => {
  const own = bitsOf(address)
  const other = bitsOf(host)
  return own !== undefined && other !== undefined && ((own ^ other) & maskOf(prefixLength)) === 0
}
