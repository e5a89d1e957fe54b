import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type { Certificate } from "../../src/protocol/Certificate.ts"
import { PublicKey, SessionId } from "../../src/protocol/Ids.ts"
import type { InterfaceAddress } from "../../src/protocol/Interfaces.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import * as Turns from "../../src/protocol/Turns.ts"
import { loopback } from "../support/Loopback.ts"

const certificate: Certificate = {
  version: 1,
  root: PublicKey.make("R".repeat(43)),
  session: SessionId.make("S".repeat(22)),
  host: PublicKey.make("H".repeat(43)),
  title: "Algorithms",
  epoch: 2,
  policy: { closed: false, studentsMayWrite: true, studentsMayShare: false }
}

const lan: InterfaceAddress = {
  name: "eth0",
  address: "192.168.1.5",
  broadcast: "192.168.1.255",
  prefixLength: 24,
  loopback: false
}
const wifi: InterfaceAddress = {
  ...lan,
  name: "wlan0",
  address: "10.0.3.5",
  broadcast: "10.0.255.255",
  prefixLength: 16
}

const Draws = Schema.Array(Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 0.999 }))).check(
  Schema.isMinLength(1)
)
const drawsOf = (draws: ReadonlyArray<number>) => {
  let i = 0
  return () => draws[i++ % draws.length]!
}

/** A device that looks at its turns whenever they say so, and what it announced by which network, and when. */
const run = (
  isHost: boolean,
  draws: ReadonlyArray<number>,
  heard: ReadonlyArray<readonly [number, string]>,
  { durationMs = 70_000, interfaces = [lan, wifi] } = {}
) => {
  const turns = Turns.make(drawsOf(draws))
  const spoken: Array<readonly [number, InterfaceAddress]> = []
  let nowMs = 0
  let next = 0
  while (nowMs < durationMs) {
    for (const from of Turns.take(turns, certificate, isHost, interfaces, nowMs)) spoken.push([nowMs, from])
    const wakeMs = nowMs + Turns.waitMs(turns, nowMs)
    assert.isAbove(wakeMs, nowMs)
    while (next < heard.length && heard[next]![0] < wakeMs) {
      const [atMs, host] = heard[next++]!
      Turns.heard(turns, certificate, host, Math.max(atMs, nowMs))
    }
    nowMs = wakeMs
  }
  return spoken
}

const Heard = Schema.Array(Schema.Tuple([
  Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60_000 })),
  Schema.Literals(["192.168.1.9", "10.0.7.9", "172.16.0.1"])
])).check(Schema.isMaxLength(80))

const gapsOf = (times: ReadonlyArray<number>) => times.slice(1).map((time, i) => time - times[i]!)

/** How many turns a student takes who has heard the certificate, altered so, in the last moment of a silence. */
const turnsAfter = (other: Partial<Certificate>) => {
  const turns = Turns.make(() => 0)
  Turns.take(turns, certificate, false, [lan], 0)
  Turns.heard(turns, { ...certificate, ...other }, "192.168.1.9", Limits.silenceMsMin - 1)
  return Turns.take(turns, certificate, false, [lan], Limits.silenceMsMin).length
}

describe("Turns", () => {
  it.prop("lets the host speak at once and then every second, whatever it hears (invariant 1)", {
    draws: Draws,
    heard: Heard
  }, ({ draws, heard }) => {
    const spoken = run(true, draws, heard.toSorted(([a], [b]) => a - b))
    for (const network of [lan, wifi]) {
      const times = spoken.filter(([, from]) => from === network).map(([atMs]) => atMs)
      assert.strictEqual(times[0], 0)
      for (const gap of gapsOf(times)) {
        assert.isAtLeast(gap, Limits.announceIntervalMsMin)
        assert.isAtMost(gap, Limits.announceIntervalMsMax)
      }
    }
  })

  it.prop("lets a student speak after a silence of that network only, and always then (invariants 2 and 3)", {
    draws: Draws,
    heard: Heard
  }, ({ draws, heard }) => {
    const ordered = heard.toSorted(([a], [b]) => a - b)
    const spoken = run(false, draws, ordered)
    for (const [network, neighbor] of [[lan, "192.168.1.9"], [wifi, "10.0.7.9"]] as const) {
      const said = spoken.filter(([, from]) => from === network).map(([atMs]) => atMs)
      const others = ordered.filter(([, host]) => host === neighbor || host === "172.16.0.1").map(([atMs]) => atMs)
      for (const atMs of said) {
        for (const other of others) {
          assert.isTrue(other >= atMs || atMs - other >= Limits.silenceMsMin, `${other} heard, ${atMs} spoken`)
        }
      }
      const all = [0, ...said, ...others, 60_000].toSorted((a, b) => a - b)
      for (const gap of gapsOf(all)) assert.isAtMost(gap, Limits.silenceMsMax)
    }
  })

  it("is not kept silent by another session, another root or an older certificate", () => {
    assert.strictEqual(turnsAfter({}), 0)
    assert.strictEqual(turnsAfter({ epoch: 3 }), 0)
    assert.strictEqual(turnsAfter({ epoch: 1 }), 1)
    assert.strictEqual(turnsAfter({ session: SessionId.make("T".repeat(22)) }), 1)
    assert.strictEqual(turnsAfter({ root: PublicKey.make("T".repeat(43)) }), 1)
  })

  it("begins on an interface that comes up, the host at once, and forgets one that goes", () => {
    const turns = Turns.make(() => 0)
    assert.deepStrictEqual(Turns.take(turns, certificate, true, [lan], 0), [lan])
    assert.deepStrictEqual(Turns.take(turns, certificate, true, [lan, wifi], 100), [wifi])
    assert.deepStrictEqual(Turns.take(turns, certificate, true, [lan], 200), [])
    assert.deepStrictEqual(Turns.take(turns, certificate, true, [lan, wifi], 300), [wifi])
    assert.isAtMost(Turns.waitMs(Turns.make(() => 0), 0), Limits.announceIntervalMsMax)
  })

  it("lets a student speak every muteMsMax at least, whatever it hears (invariant 4)", () => {
    const durationMs = 2.5 * Limits.muteMsMax
    const heard = Array.from(
      { length: durationMs / 100 },
      (_, i): readonly [number, string] => [i * 100, "192.168.1.9"]
    )
    for (const draw of [0, 0.5, 0.999]) {
      const times = run(false, [draw], heard, { durationMs }).filter(([, from]) => from === lan).map(([atMs]) => atMs)
      assert.isNotEmpty(times)
      assert.isAtMost(Math.max(...gapsOf([0, ...times])), Limits.muteMsMax + Limits.silenceMsMax)
      assert.isAtLeast(Math.min(...gapsOf([0, ...times])), Limits.muteMsMin)
    }
  })

  it("lets a student speak on loopback later by loopbackWaitMs where it stands in a network, and as anywhere where it does not", () => {
    const firstOn = (isHost: boolean, interfaces: ReadonlyArray<InterfaceAddress>) => {
      const spoken = run(isHost, [0], [], { durationMs: 20_000, interfaces: [...interfaces] })
      return spoken.filter(([, { loopback }]) => loopback).slice(0, 2).map(([atMs]) => atMs)
    }
    const [first, second] = [Limits.silenceMsMin, Limits.announceIntervalMsMin]
    assert.deepStrictEqual(firstOn(false, [loopback]), [first, first + second])
    const waitMs = Limits.loopbackWaitMs
    assert.deepStrictEqual(firstOn(false, [loopback, lan]), [first + waitMs, first + second + 2 * waitMs])
    assert.deepStrictEqual(firstOn(true, [loopback, lan]), [0, second])
    const turns = Turns.make(() => 0)
    Turns.take(turns, certificate, false, [loopback, lan], 0)
    Turns.heard(turns, certificate, "127.0.0.1", 100)
    assert.isEmpty(Turns.take(turns, certificate, false, [loopback], 99 + first + waitMs))
    assert.deepStrictEqual(Turns.take(turns, certificate, false, [loopback], 100 + first + waitMs), [loopback])
  })
})
