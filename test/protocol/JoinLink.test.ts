import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { PublicKey, SessionId } from "../../src/protocol/Ids.ts"
import * as JoinLink from "../../src/protocol/JoinLink.ts"
import * as Limits from "../../src/protocol/Limits.ts"

const Byte = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))
const Host = Schema.Union([
  Schema.Tuple([Byte, Byte, Byte, Byte]),
  Schema.Literals(["::1", "fe80::1", "2001:db8::ff00:42:8329", "::ffff:192.0.2.1"])
])
const Port = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65_535 }))

const link: JoinLink.JoinLink = {
  root: PublicKey.make("R".repeat(42) + "-"),
  session: SessionId.make("S".repeat(21) + "_"),
  addresses: [{ host: "192.168.1.10", port: 40_123 }, { host: "fe80::1", port: 1 }]
}

describe("JoinLink", () => {
  it.prop(
    "gives back what it was made of",
    {
      ids: Schema.Struct({ root: PublicKey, session: SessionId }),
      places: Schema.Array(Schema.Tuple([Host, Port])).check(Schema.isMaxLength(Limits.joinLinkAddressesMax + 3))
    },
    ({ ids, places }) => {
      const addresses = places.map(([host, port]) => ({ host: typeof host === "string" ? host : host.join("."), port }))
      const text = JoinLink.encode({ ...ids, addresses })
      assert.isAtMost(text.length, Limits.joinLinkCharactersMax)
      assert.deepStrictEqual(JoinLink.parse(text), {
        ...ids,
        addresses: addresses.slice(0, Limits.joinLinkAddressesMax)
      })
    }
  )

  it.prop("never throws, whatever is pasted", { text: Schema.String, at: Schema.Natural }, ({ at, text }) => {
    const whole = JoinLink.encode(link)
    assert.strictEqual(JoinLink.parse(text), undefined)
    for (const damaged of [whole.slice(0, at % whole.length), whole.slice(0, at % whole.length) + text]) {
      const parsed = JoinLink.parse(damaged)
      // What is cut off at the end may be an address, but never a key.
      assert.isTrue(parsed === undefined || damaged.includes(parsed.root))
    }
    assert.strictEqual(JoinLink.parse(`${whole}&x=${"a".repeat(Limits.joinLinkCharactersMax)}`), undefined)
  })

  it("reads what mail programs make of a link, and what later versions may add", () => {
    const text = JoinLink.encode(link)
    assert.strictEqual(
      text,
      `labfx://join/${link.root}?s=${link.session}&a=192.168.1.10:40123&a=[fe80::1]:1`
    )
    assert.deepStrictEqual(JoinLink.parse(`  ${text}\n`), link)
    assert.deepStrictEqual(JoinLink.parse(text.replace("labfx://join", "LABFX://Join")), link)
    assert.deepStrictEqual(JoinLink.parse(text.replace("[fe80::1]:1", "%5Bfe80%3A%3A1%5D%3A1")), link)
    assert.deepStrictEqual(JoinLink.parse(`${text}&title=Algorithms`), link)
    assert.deepStrictEqual(JoinLink.parse(JoinLink.encode({ ...link, addresses: [] })), { ...link, addresses: [] })
  })

  it("refuses what is damaged or says two things", () => {
    const text = JoinLink.encode(link)
    for (
      const damaged of [
        "",
        "labfx://join/",
        text.replace("labfx:", "https:"),
        text.replace("join", "leave"),
        text.replace(link.root, link.root.slice(1)),
        text.replace(link.session, `${link.session}A`),
        text.replace(`s=${link.session}&`, ""),
        `${text}&s=${link.session}`,
        `${text}#top`,
        `${text}&a=`,
        `${text}&a=teacher.example:80`,
        `${text}&a=10.0.0.1`,
        `${text}&a=10.0.0.1:0`,
        `${text}&a=10.0.0.1:65536`,
        `${text}&a=10.0.0.1:1e3`,
        `${text}&a=fe80::1:80`,
        text + "&a=10.0.0.1:1".repeat(Limits.joinLinkAddressesMax)
      ]
    ) assert.strictEqual(JoinLink.parse(damaged), undefined, damaged)
  })
})
