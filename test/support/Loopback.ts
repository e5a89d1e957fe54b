import type { InterfaceAddress } from "../../src/protocol/Interfaces.ts"

/** Loopback as Linux has it. */
export const loopback: InterfaceAddress = {
  name: "lo",
  address: "127.0.0.1",
  broadcast: "127.255.255.255",
  prefixLength: 8,
  loopback: true
}
