import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Interfaces from "../../src/protocol/Interfaces.ts"
import * as Limits from "../../src/protocol/Limits.ts"

const v4 = (address: string, netmask: string, internal = false): Interfaces.SystemAddress => ({
  address,
  netmask,
  family: "IPv4",
  internal
})
const v6 = (address: string): Interfaces.SystemAddress => ({
  address,
  netmask: "ffff:ffff:ffff:ffff::",
  family: "IPv6",
  internal: false
})
const brief = (system: Interfaces.SystemInterfaces) =>
  Interfaces.broadcasting(system).map(({ address, broadcast, loopback, name }) =>
    `${name} ${address} ${broadcast}${loopback ? " loopback" : ""}`
  )

const text = (bits: number) => [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join(".")

describe("Interfaces", () => {
  it("reads a Linux machine with Wi-Fi, containers and a VPN", () => {
    assert.deepStrictEqual(
      brief({
        lo: [v4("127.0.0.1", "255.0.0.0", true), v4("10.255.255.254", "255.255.255.255", true), v6("::1")],
        wlp3s0: [v4("10.20.37.5", "255.255.240.0"), v6("fe80::1")],
        docker0: [v4("172.17.0.1", "255.255.0.0")],
        tun0: [v4("10.8.0.6", "255.255.255.255")],
        wg0: [v4("10.9.0.0", "255.255.255.254")]
      }),
      [
        "lo 127.0.0.1 127.255.255.255 loopback",
        "wlp3s0 10.20.37.5 10.20.47.255",
        "docker0 172.17.0.1 172.17.255.255"
      ]
    )
  })

  it("reads a Mac with an address of its own making and a tunnel", () => {
    assert.deepStrictEqual(
      brief({
        lo0: [v4("127.0.0.1", "255.0.0.0", true), v6("::1"), v6("fe80::1")],
        en0: [v6("fe80::10"), v4("169.254.17.9", "255.255.0.0")],
        awdl0: [v6("fe80::20")],
        utun3: [v4("100.96.0.7", "255.255.255.255")]
      }),
      ["lo0 127.0.0.1 127.255.255.255 loopback", "en0 169.254.17.9 169.254.255.255"]
    )
  })

  it("reads a Windows machine with a virtual switch", () => {
    assert.deepStrictEqual(
      brief({
        "Ethernet 2": [v6("fe80::a"), v4("192.168.1.20", "255.255.255.0")],
        "vEthernet (WSL (Hyper-V firewall))": [v4("172.28.16.1", "255.255.240.0")],
        "Loopback Pseudo-Interface 1": [v6("::1"), v4("127.0.0.1", "255.0.0.0", true)]
      }),
      [
        "Ethernet 2 192.168.1.20 192.168.1.255",
        "vEthernet (WSL (Hyper-V firewall)) 172.28.16.1 172.28.31.255",
        "Loopback Pseudo-Interface 1 127.0.0.1 127.255.255.255 loopback"
      ]
    )
  })

  it("lets one address stand for several of one network, and leaves out what it cannot read", () => {
    assert.deepStrictEqual(
      brief({
        eth0: [v4("192.168.1.20", "255.255.255.0"), v4("192.168.1.21", "255.255.255.0"), v4("10.0.0.1", "255.0.0.0")],
        eth1: [v4("192.168.1.22", "255.255.255.0"), v4("10.0.0.300", "255.0.0.0"), v4("10.1.0.1", "255.0.255.0")],
        eth2: undefined
      }),
      [
        "eth0 192.168.1.20 192.168.1.255",
        "eth0 10.0.0.1 10.255.255.255",
        "eth1 192.168.1.22 192.168.1.255"
      ]
    )
  })

  it("stops at the limit", () => {
    const many = Object.fromEntries(
      Array.from({ length: 200 }, (_, i) => [`br${i}`, [v4(`10.1.${i}.1`, "255.255.255.0")]])
    )
    assert.strictEqual(Interfaces.broadcasting(many).length, Limits.interfacesMax)
  })

  it.prop(
    "knows exactly the devices of a network as neighbors",
    {
      own: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xffffffff })),
      other: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xffffffff })),
      prefixLength: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 30 }))
    },
    ({ other, own, prefixLength }) => {
      const size = 2 ** (32 - prefixLength)
      const first = Math.floor(own / size) * size
      const [found] = Interfaces.broadcasting({ eth0: [v4(text(own), text(0xffffffff - (size - 1)))] })
      assert.strictEqual(found!.prefixLength, prefixLength)
      assert.strictEqual(found!.broadcast, text(first + size - 1))
      assert.isTrue(Interfaces.isNeighbor(found!, text(first + (other % size))))
      assert.strictEqual(Interfaces.isNeighbor(found!, text(other)), other >= first && other < first + size)
      assert.isFalse(Interfaces.isNeighbor(found!, "fe80::1"))
    }
  )
})
