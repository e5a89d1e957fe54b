/** Who a device is: the same from start to start, and somebody else wherever its state was copied to. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as NodeFs from "node:fs"
import type { PublicKey } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import { Crypto } from "../../src/services/Crypto.ts"
import { Disk } from "../../src/services/Disk.ts"
import { Identity } from "../../src/services/Identity.ts"
import { type MachineFacts, MachineId } from "../../src/services/MachineId.ts"
import { layerNode as cryptoLayer } from "../../src/services/node/CryptoNode.ts"
import { layerNode as diskLayer } from "../../src/services/node/DiskNode.ts"
import {
  hardwareAddresses,
  layerNode as machineIdLayer,
  parseIoreg,
  parseMachineGuid,
  parseMachineId
} from "../../src/services/node/MachineIdNode.ts"
import { DiskMemory } from "../../src/simulator/DiskMemory.ts"
import { tempFolder } from "../support/TempFolder.ts"

const lab: MachineFacts = { installation: "image-7", hardware: ["00:11:22:33:44:55"], user: "1000" }

/** One run of the program on a machine, with its state in a folder. */
const onMachine = (disk: DiskMemory, facts: MachineFacts = lab, folder = "/state") =>
  Identity.layer(folder).pipe(
    Layer.provideMerge(Layer.mergeAll(
      disk.layer,
      cryptoLayer,
      Layer.succeed(MachineId, { facts: Effect.succeed(facts) })
    ))
  )

const run = <A, E>(layer: Layer.Layer<Identity | Disk | Crypto, E>, body: Effect.Effect<A, unknown, Identity | Disk>) =>
  Effect.provide(body, layer)

const device = Effect.map(Effect.flatMap(Identity, (identity) => identity.device), ({ publicKey }) => publicKey)

const readText = (path: string) =>
  Effect.map(
    Effect.flatMap(Disk, (disk) => disk.readFile(path, 1024 * 1024)),
    (bytes) => new TextDecoder().decode(bytes)
  )

const writeText = (path: string, text: string) =>
  Effect.flatMap(Disk, (disk) => disk.replaceFile(path, new TextEncoder().encode(text)))

const names = Effect.flatMap(Disk, (disk) => disk.list("/state"))

const pin = (root: PublicKey, title: string) => Effect.flatMap(Identity, (identity) => identity.pin({ root, title }))

const card = (mac: string) => [{ mac, internal: false }]

const key = (letter: string) => letter.repeat(42).concat("A") as PublicKey

describe("Identity", () => {
  it.effect("stays the same from start to start", () =>
    Effect.gen(function*() {
      const disk = new DiskMemory()
      const first = yield* run(onMachine(disk), device)
      assert.strictEqual(yield* run(onMachine(disk), device), first)
    }))

  it.effect("is another on another machine, under another user and in another folder", () =>
    Effect.gen(function*() {
      const disk = new DiskMemory()
      const keys = [yield* run(onMachine(disk), device)]
      for (
        const facts of [
          { ...lab, installation: "image-8" },
          { ...lab, user: "1001" },
          // P13: a cloned disk brings the installation's name along, the network card stays where it is.
          { ...lab, hardware: ["00:11:22:33:44:66"] }
        ]
      ) keys.push(yield* run(onMachine(disk, facts), device))
      const copy = yield* run(onMachine(disk), readText("/state/device.json"))
      yield* run(onMachine(disk, lab, "/elsewhere"), writeText("/elsewhere/device.json", copy))
      keys.push(yield* run(onMachine(disk, lab, "/elsewhere"), device))
      assert.strictEqual(new Set(keys).size, keys.length)
    }))

  it.effect("gives thirty machines with one image thirty names (P13)", () =>
    Effect.gen(function*() {
      const image = new DiskMemory()
      yield* run(onMachine(image), device)
      const state = yield* run(onMachine(image), readText("/state/device.json"))
      const keys = yield* Effect.forEach(Array.from({ length: 30 }, (_, i) => i), (i) => {
        const facts = { ...lab, hardware: [`00:11:22:33:55:${i.toString(16).padStart(2, "0")}`] }
        return run(onMachine(new DiskMemory(), facts), Effect.andThen(writeText("/state/device.json", state), device))
      })
      assert.strictEqual(new Set(keys).size, 30)
    }))

  it.effect("stays the same when network cards come and go", () =>
    Effect.gen(function*() {
      const disk = new DiskMemory()
      const first = yield* run(onMachine(disk), device)
      const cable = lab.hardware[0]!
      for (const hardware of [[cable, "00:aa:00:00:00:01"], ["00:aa:00:00:00:01"], [], [cable]]) {
        assert.strictEqual(yield* run(onMachine(disk, { ...lab, hardware }), device), first, hardware.join())
      }
      for (let i = 0; i < 2 * Limits.hardwareKnownMax; i++) {
        const hardware = [cable, `00:aa:00:00:01:${i.toString(16).padStart(2, "0")}`]
        assert.strictEqual(yield* run(onMachine(disk, { ...lab, hardware }), device), first)
      }
    }))

  it.effect("makes a fresh key every time for one run only", () =>
    Effect.gen(function*() {
      const disk = new DiskMemory()
      const [one, two] = yield* run(
        onMachine(disk),
        Effect.flatMap(Identity, ({ ephemeral }) => Effect.all([ephemeral, ephemeral]))
      )
      assert.notStrictEqual(one.publicKey, two.publicKey)
      assert.deepStrictEqual(
        yield* run(onMachine(disk), Effect.map(names, (all) => all.filter((name) => /json/.test(name)))),
        []
      )
    }))

  it.effect("never asks a person about a damaged key: it is kept aside and another one made (P2)", () =>
    Effect.gen(function*() {
      const disk = new DiskMemory()
      const keys: Array<PublicKey> = []
      for (let i = 0; i < Limits.damagedFilesMax + 2; i++) {
        yield* run(onMachine(disk), writeText("/state/device.json", `{"version":1,"seed":"${i}"}`))
        keys.push(yield* run(onMachine(disk), device))
        assert.strictEqual(yield* run(onMachine(disk), device), keys[i])
      }
      assert.strictEqual(new Set(keys).size, keys.length)
      const aside = (yield* run(onMachine(disk), names)).filter((name) => name.startsWith("device.json.damaged-"))
      assert.strictEqual(aside.length, Limits.damagedFilesMax)
      assert.strictEqual(
        yield* run(onMachine(disk), readText("/state/device.json.damaged-1")),
        `{"version":1,"seed":"0"}`
      )
    }))

  it.effect("leaves what a newer version has written as it is (P15)", () =>
    Effect.gen(function*() {
      const disk = new DiskMemory()
      for (const file of ["device", "pins"] as const) {
        const newer = `{"version":2,"file":"${file}"}`
        const path = `/state/${file}.json`
        yield* run(onMachine(disk), writeText(path, newer))
        const error = yield* run(
          onMachine(disk),
          Effect.flip(Effect.flatMap(Identity, (identity) =>
            file === "device" ? Effect.asVoid(identity.device) : Effect.asVoid(identity.pins)))
        )
        assert.deepStrictEqual([error.reason, error.path], ["newer-version", path])
        assert.strictEqual(yield* run(onMachine(disk), readText(path)), newer)
      }
    }))

  it.effect("remembers whom to trust, each key once and the newest last", () =>
    Effect.gen(function*() {
      const disk = new DiskMemory()
      yield* run(onMachine(disk), pin(key("a"), "Physics"))
      yield* run(onMachine(disk), Effect.all([pin(key("b"), "Maths"), pin(key("a"), "Physics 2")], { concurrency: 2 }))
      assert.deepStrictEqual(yield* run(onMachine(disk), Effect.flatMap(Identity, (identity) => identity.pins)), [
        { root: key("b"), title: "Maths" },
        { root: key("a"), title: "Physics 2" }
      ])
    }))

  it.effect("says so when its pins are damaged: trust is not forgotten silently", () =>
    Effect.gen(function*() {
      const disk = new DiskMemory()
      yield* run(onMachine(disk), writeText("/state/pins.json", "{"))
      const error = yield* run(onMachine(disk), Effect.flip(Effect.flatMap(Identity, (identity) => identity.pins)))
      assert.strictEqual(error.reason, "damaged")
      assert.strictEqual(yield* run(onMachine(disk), readText("/state/pins.json")), "{")
    }))

  it.effect("refuses a state folder that is in use, and takes it over when it is free", () =>
    Effect.gen(function*() {
      const disk = new DiskMemory()
      const both = run(onMachine(disk), Effect.flip(Effect.scoped(Layer.build(Layer.fresh(onMachine(disk))))))
      const error = yield* both
      assert.deepStrictEqual([error._tag, error.reason, error.path], ["StateError", "in-use", "/state"])
      yield* run(onMachine(disk), device)
    }))

  it.effect("says what the disk says when it cannot be written", () =>
    Effect.gen(function*() {
      const disk = new DiskMemory()
      disk.capacityBytes = 100
      const error = yield* Effect.flip(run(onMachine(disk), device))
      assert.include(JSON.stringify(error), "\"disk\"")
    }))

  it.live("writes its state where only the user can read it, on the real disk and machine", () =>
    Effect.gen(function*() {
      const folder = `${yield* tempFolder}/state`
      const layer = Identity.layer(folder).pipe(Layer.provide([diskLayer, cryptoLayer, machineIdLayer]))
      const first = yield* Effect.provide(device, layer)
      assert.strictEqual(yield* Effect.provide(device, Layer.fresh(layer)), first)
      if (process.platform === "win32") return
      assert.strictEqual(NodeFs.statSync(folder).mode & 0o777, 0o700)
      assert.strictEqual(NodeFs.statSync(`${folder}/device.json`).mode & 0o777, 0o600)
    }).pipe(Effect.scoped))
})

describe("MachineIdNode", () => {
  it("reads what Linux, macOS and Windows say of themselves, and nothing else", () => {
    assert.strictEqual(parseMachineId("0123456789abcdef0123456789abcdef\n"), "0123456789abcdef0123456789abcdef")
    for (const text of ["", "uninitialized\n", "0123"]) assert.isUndefined(parseMachineId(text))
    const ioreg = `+-o J314sAP  <class IOPlatformExpertDevice, id 0x100000228, registered, matched, active, busy 0>
    {
      "IOPlatformSerialNumber" = "C02XXXXXXXXX"
      "IOPlatformUUID" = "4A8B9C0D-1E2F-3A4B-5C6D-7E8F90A1B2C3"
    }`
    assert.strictEqual(parseIoreg(ioreg), "4A8B9C0D-1E2F-3A4B-5C6D-7E8F90A1B2C3")
    assert.isUndefined(parseIoreg(`"IOPlatformSerialNumber" = "C02XXXXXXXXX"`))
    const reg = "\r\nHKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Cryptography\r\n" +
      "    MachineGuid    REG_SZ    9f0c7a52-33b1-4d6e-9b0a-5d2f7c1e8a44\r\n\r\n"
    assert.strictEqual(parseMachineGuid(reg), "9f0c7a52-33b1-4d6e-9b0a-5d2f7c1e8a44")
    assert.isUndefined(
      parseMachineGuid("ERROR: The system was unable to find the specified registry key or value.\r\n")
    )
  })

  it("tells machines apart by built-in addresses, and by made-up ones only where there are no others", () => {
    const virtual = { docker0: card("02:42:7c:01:02:03"), vmnet8: card("00:50:56:C0:00:08") }
    const loopback = { lo: [{ mac: "00:00:00:00:00:00", internal: true }] }
    assert.deepStrictEqual(hardwareAddresses({ ...loopback, ...virtual, eth0: card("3C:52:82:00:00:01") }), [
      "3c:52:82:00:00:01"
    ])
    assert.deepStrictEqual(hardwareAddresses({ ...loopback, eth0: card("52:54:00:12:34:56") }), ["52:54:00:12:34:56"])
    assert.deepStrictEqual(hardwareAddresses({ ...loopback, vmnet8: card("00:50:56:c0:00:08") }), [])
  })
})
