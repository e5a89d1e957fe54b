/** Messages as they come from a stranger: whole, at every limit and one beyond it, and made to do harm. */
import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { Statement } from "../../src/protocol/Announcement.ts"
import { CastNotice } from "../../src/protocol/CastNotice.ts"
import { Certificate } from "../../src/protocol/Certificate.ts"
import { Entry } from "../../src/protocol/Entry.ts"
import * as Frame from "../../src/protocol/Frame.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import { MembershipCertificate } from "../../src/protocol/MembershipCertificate.ts"
import { Status } from "../../src/protocol/Status.ts"
import { Data, GoodbyeCode, Message } from "../../src/protocol/Wire.ts"
import * as Golden from "../support/Golden.ts"

const schemas = { Message, Data, Entry, Status, Certificate, Statement, MembershipCertificate, CastNotice }
type Kind = keyof typeof schemas

const decoders = {
  Message: Schema.decodeUnknownResult(Message),
  Data: Schema.decodeUnknownResult(Data),
  Entry: Schema.decodeUnknownResult(Entry),
  Status: Schema.decodeUnknownResult(Status),
  Certificate: Schema.decodeUnknownResult(Certificate),
  Statement: Schema.decodeUnknownResult(Statement),
  MembershipCertificate: Schema.decodeUnknownResult(MembershipCertificate),
  CastNotice: Schema.decodeUnknownResult(CastNotice)
} satisfies Record<Kind, unknown>

const accepts = (kind: Kind, value: unknown): boolean => {
  const decode: (value: unknown) => Result.Result<unknown, unknown> = decoders[kind]
  return Result.isSuccess(decode(value))
}

/** The JSON a stranger would send for it. */
const sent = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

// ---- What is said is what is heard ---------------------------------------------------------------------------------

describe("Wire", () => {
  it.prop("gives back every message that was sent", { message: Message }, ({ message }) => {
    assert.deepStrictEqual(Result.getOrThrow(decoders.Message(sent(message))), message)
  }, { arbitrary: { runs: 1_000 } })

  it.prop(
    "gives back everything that is signed, and the headers of data",
    { Data, Entry, Status, Certificate, Statement, MembershipCertificate, CastNotice },
    (values) => {
      for (const [kind, value] of Object.entries(values)) {
        assert.deepStrictEqual(Result.getOrThrow(decoders[kind as Kind](sent(value)) as Result.Result<unknown>), value)
      }
    },
    { arbitrary: { runs: 200 } }
  )

  it("passes over fields that it does not know, wherever they stand", () => {
    const decorate = (value: unknown): unknown =>
      Array.isArray(value)
        ? value.map(decorate)
        : typeof value === "object" && value !== null
        ? {
          later: { of: [1] },
          ...Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, decorate(inner)]))
        }
        : value
    for (const message of Golden.messages) {
      assert.deepStrictEqual(Result.getOrThrow(decoders.Message(decorate(message))), message)
    }
    for (const message of Golden.messages) {
      if (message._tag !== "Statuses") continue
      for (const { body } of message.statuses) {
        const status: unknown = JSON.parse(body)
        assert.deepStrictEqual<unknown>(Result.getOrThrow(decoders.Status(decorate(status))), status)
      }
    }
  })

  it("takes a status of a program that does not say what it is", () => {
    const { program: _, ...earlier } = JSON.parse(Golden.statusSigned.body)
    assert.deepStrictEqual<unknown>(Result.getOrThrow(decoders.Status(earlier)), earlier)
  })

  it("takes no message without one of its fields, and none with a field of another type", () => {
    for (const message of [...Golden.messages, Golden.data.header]) {
      const kind = message._tag === "Data" ? "Data" : "Message"
      for (const field of Object.keys(message)) {
        // In an open session nobody has a membership to show, in a closed one nobody says its name to strangers.
        const isOptional = (message._tag === "Hello" && (field === "name" || field === "membership")) ||
          // Earlier programs do not say it.
          (message._tag === "Peers" && field === "host") || (message._tag === "Multicast" && field === "groups")
        const { [field]: value, ...rest } = sent(message) as Record<string, unknown>
        assert.strictEqual(accepts(kind, rest), isOptional, `${message._tag} without ${field}`)
        for (const other of [null, true, 1.5, "", "1", [], {}, [[]]]) {
          if (typeof other === typeof value && Array.isArray(other) === Array.isArray(value)) continue
          assert.isFalse(
            accepts(kind, { ...rest, [field]: other }),
            `${message._tag}.${field}: ${JSON.stringify(other)}`
          )
        }
      }
    }
  })
})

// ---- Both sides of every limit -------------------------------------------------------------------------------------

const golden = (tag: string): unknown => sent(Golden.messages.find(({ _tag }) => _tag === tag))

/** Bodies that are golden too, by what they say. */
const bodyOf = (tag: "Entries" | "Statuses" | "Certificates", place: number): unknown => {
  const message = golden(tag) as Record<string, ReadonlyArray<{ readonly body: string }>>
  return JSON.parse(message[tag.toLowerCase()]![place]!.body)
}

const bases: Record<string, readonly [Kind, unknown]> = {
  ...Object.fromEntries(Golden.messages.map(({ _tag }) => [_tag, ["Message", golden(_tag)]])),
  Data: ["Data", sent(Golden.data.header)],
  Certificate: ["Certificate", bodyOf("Certificates", 0)],
  Text: ["Entry", bodyOf("Entries", 0)],
  Share: ["Entry", bodyOf("Entries", 1)],
  Unshare: ["Entry", bodyOf("Entries", 2)],
  Remove: ["Entry", bodyOf("Entries", 3)],
  End: ["Entry", bodyOf("Entries", 4)],
  MembershipCertificate: ["MembershipCertificate", JSON.parse(Golden.membershipSigned.body)],
  CastNotice: ["CastNotice", JSON.parse(Golden.castNoticeSigned.body)],
  Status: ["Status", bodyOf("Statuses", 0)],
  Statement: ["Statement", JSON.parse(Golden.announcement.statement.body)]
}

/** A copy with another value at a path such as `peers.0.addresses`. */
const put = (value: unknown, [step, ...path]: ReadonlyArray<string>, leaf: unknown): unknown => {
  if (step === undefined) return leaf
  const copy: Record<string, unknown> = Array.isArray(value) ? [...value] as never : { ...(value as object) }
  assert.property(copy, step)
  copy[step] = put(copy[step], path, leaf)
  return copy
}

const at = (value: unknown, path: ReadonlyArray<string>): unknown =>
  path.reduce((inner, step) => (inner as Record<string, unknown>)[step], value)

const many = (count: number) => (present: unknown): unknown => {
  const [first] = present as ReadonlyArray<unknown>
  return Array.from({ length: count }, () => first)
}

type Values = ReadonlyArray<unknown>
interface Field {
  readonly yes: Values
  readonly no: Values
}

/** Short text: a name, a title. */
const short = (bytesMax: number): Field => ({
  yes: [
    "",
    "a".repeat(bytesMax),
    "é".repeat(bytesMax / 2),
    "😀".repeat(bytesMax / 4),
    "€".repeat(Math.floor(bytesMax / 3)),
    "\u00a0\u2028\ufeff\uffff"
  ],
  no: [
    "a".repeat(bytesMax + 1),
    `${"é".repeat(bytesMax / 2)}a`,
    `${"😀".repeat(bytesMax / 4)}a`,
    "€".repeat(Math.floor(bytesMax / 3) + 1),
    "\ud800",
    "\udc00\ud800",
    ..."\u0000\t\n\r\u001b\u001f\u007f\u0080\u009f"
  ]
})

const integers = (low: number, high: number): Field => ({
  yes: [low, low + 1, high - 1, high],
  no: [low - 1, high + 1, low + 0.5, NaN, Infinity, -Infinity, `${low}`, BigInt(low), [low], null]
})
const natural = integers(0, Number.MAX_SAFE_INTEGER)

/** Base64url of one length. */
const characters = (length: number): Field => ({
  yes: ["A".repeat(length), `-_${"z".repeat(length - 2)}`],
  no: [
    "",
    "A".repeat(length - 1),
    "A".repeat(length + 1),
    ...["=", "+", "/", " ", "\n", ".", "é", "\u0000"].flatMap((other) => [
      other + "A".repeat(length - 1),
      "A".repeat(length - 1) + other,
      "A".repeat(length) + other
    ])
  ]
})

const items = (low: number, high: number) => ({
  count: [low, high] as const,
  refused: [...(low > 0 ? [low - 1] : []), high + 1]
})

const oneOf = (...words: ReadonlyArray<string>): Field => ({
  yes: words,
  no: ["", "unheard of", words[0]!.toUpperCase(), `${words[0]} `, 0, null]
})

const truth: Field = { yes: [true, false], no: [0, 1, "true", "", null, []] }

const hosts = {
  yes: ["239.255.0.1", "::", "A".repeat(45)],
  no: ["", "1", "A".repeat(46), "localhost", "239.255.0.1/16", 1]
}

const fields: ReadonlyArray<readonly [base: string, path: string, field: Field]> = [
  ["Hello", "versions.0", natural],
  ["Hello", "versions.1", natural],
  ["Hello", "versions", { yes: [[1, 1], [2, 1]], no: [[], [1], [1, 1, 1], "1,1", { 0: 1, 1: 1 }] }],
  ["Hello", "session", characters(22)],
  ["Hello", "name", short(Limits.nameBytesMax)],
  ["Hello", "listenPort", integers(0, 65_535)],
  ["Hello", "program", short(Limits.programBytesMax)],
  ["Hello", "certificates.0.key", characters(43)],
  ["Hello", "certificates.0.signature", characters(86)],
  ["Hello", "membership.key", characters(43)],
  ["Hello", "membership.signature", characters(86)],
  ["Join", "code", short(Limits.joinCodeBytesMax)],
  ["Admitted", "membership.key", characters(43)],
  ["Admitted", "membership.signature", characters(86)],
  ["Introduction", "name", short(Limits.nameBytesMax)],
  ["MembershipCertificate", "member", characters(43)],
  ["MembershipCertificate", "number", natural],
  ["Goodbye", "code", oneOf(...GoodbyeCode.literals)],
  ["Goodbye", "detail", short(256)],
  ["Peers", "links", natural],
  ["Peers", "host", truth],
  ["Peers", "peers.0.peer", characters(43)],
  ["Peers", "peers.0.addresses.0.port", integers(1, 65_535)],
  ["Peers", "peers.0.addresses.0.host", {
    yes: ["::", "127.0.0.1", "fe80::1", "A".repeat(45)],
    no: ["", "1", "A".repeat(46), "localhost", "fe80::1%eth0", "[::1]", "1.2.3.4\n", " 1.2.3.4", "1.2.3.4/24"]
  }],
  ["Heads", "first", truth],
  ["Heads", "received", natural],
  ["Heads", "heads.0.author", characters(43)],
  ["Heads", "heads.0.number", natural],
  ["Entries", "entries.0.key", characters(43)],
  ["Entries", "entries.0.signature", characters(86)],
  ["Statuses", "statuses.0.key", characters(43)],
  ["Bitfield", "share", characters(43)],
  ["Bitfield", "bits", {
    yes: ["", "A", "-_09azAZ", "A".repeat(43_716)],
    no: ["A".repeat(43_717), "=", "+", "/", "A\n", "é"]
  }],
  ["Have", "share", characters(43)],
  ["Have", "indexes.0", natural],
  ["Request", "share", characters(43)],
  ["Request", "index", natural],
  ["Cancel", "share", characters(43)],
  ["Cancel", "index", natural],
  ["Reject", "share", characters(43)],
  ["Reject", "index", natural],
  ["Direct", "share", characters(43)],
  ["Direct", "only", truth],
  ["Direct", "ignorable", { yes: [true], no: [false, "true", 1, null] }],
  ["Multicast", "group.host", hosts],
  ["Multicast", "group.port", integers(1, 65_535)],
  ["Multicast", "groups", integers(1, Limits.castGroupsMax)],
  ["Multicast", "key", characters(43)],
  ["Multicast", "ignorable", { yes: [true], no: [false, "true", 1, null] }],
  ["Casts", "notice.key", characters(43)],
  ["Casts", "notice.signature", characters(86)],
  ["Casts", "ignorable", { yes: [true], no: [false, "true", 1, null] }],
  ["Tuned", "hears", truth],
  ["Cast", "share", characters(43)],
  ["Cast", "cast", integers(0, 2 ** 32 - 1)],
  ["Cast", "over", truth],
  ["Cast", "reportMs", integers(Limits.castReportMsMin, Limits.castReportMsMax)],
  ["Ready", "cast", integers(0, 2 ** 32 - 1)],
  ["Report", "sequence", integers(0, 2 ** 32 - 1)],
  ["Report", "received", integers(0, 2 ** 32 - 1)],
  ["Report", "delayMs", natural],
  ["Data", "share", characters(43)],
  ["Data", "index", natural],
  ["Data", "offset", natural],
  ["Statement", "port", integers(1, 65_535)],
  ["Statement", "epoch", natural],
  ["Certificate", "version", { yes: [1], no: [0, 2, "1", null] }],
  ["Certificate", "root", characters(43)],
  ["Certificate", "session", characters(22)],
  ["Certificate", "host", characters(43)],
  ["Certificate", "title", short(Limits.titleBytesMax)],
  ["Certificate", "epoch", natural],
  ["Certificate", "policy.closed", truth],
  ["Certificate", "policy.studentsMayWrite", truth],
  ["Certificate", "policy.studentsMayShare", truth],
  ["Text", "number", integers(1, Limits.entriesPerHostMax)],
  ["Text", "name", short(Limits.nameBytesMax)],
  ["Text", "writtenAt", natural],
  ["Text", "content.text", {
    yes: [
      "a",
      "\n",
      "\u0000\u001b",
      "é".repeat(Limits.messageTextBytesMax / 2),
      "a".repeat(Limits.messageTextBytesMax)
    ],
    no: ["", `${"é".repeat(Limits.messageTextBytesMax / 2)}a`, "a".repeat(Limits.messageTextBytesMax + 1), "\ud800", 1]
  }],
  ["Share", "content.root", characters(43)],
  ["Share", "content.kind", oneOf("file", "folder")],
  ["Share", "content.title", short(Limits.pathComponentBytesMax)],
  ["Share", "content.sizeBytes", natural],
  ["Share", "content.filesCount", integers(0, Limits.filesPerShareMax)],
  ["Share", "content.chunkSizeBytes", integers(1_024, Limits.chunkBytesMax)],
  ["Share", "content.chunksCount", integers(0, Limits.chunksPerShareMax)],
  ["Share", "content.manifest.sizeBytes", integers(1, Limits.manifestBytesMax)],
  ["Share", "content.manifest.chunkSizeBytes", integers(1_024, Limits.chunkBytesMax)],
  ["Share", "content.manifest.hashes.0", characters(43)],
  ["Unshare", "content.root", characters(43)],
  ["Remove", "content.key", characters(43)],
  ["Remove", "content.name", short(Limits.nameBytesMax)],
  ["Remove", "content.after", natural],
  ["End", "content._tag", { yes: ["End"], no: ["end", "Ended", "", null] }],
  ["CastNotice", "number", integers(0, 2 ** 32 - 1)],
  ["CastNotice", "from", hosts],
  ["CastNotice", "group.host", hosts],
  ["CastNotice", "group.port", integers(1, 65_535)],
  ["CastNotice", "groups", integers(1, Limits.castGroupsMax)],
  ["CastNotice", "key", characters(43)],
  ["CastNotice", "casts.0.share", characters(43)],
  ["CastNotice", "casts.0.cast", integers(0, 2 ** 32 - 1)],
  ["Status", "number", natural],
  ["Status", "since", natural],
  ["Status", "name", short(Limits.nameBytesMax)],
  ["Status", "program", short(Limits.programBytesMax)],
  ["Status", "links", natural],
  ["Status", "receiveBytesPerSecond", natural],
  ["Status", "shares.0.root", characters(43)],
  ["Status", "shares.0.verifiedBytes", natural],
  ["Status", "shares.0.complete", truth],
  [
    "Status",
    "shares.0.problem",
    oneOf("disk-full", "disk-read-only", "disk-failing", "bad-names", "source-changed", "other")
  ]
]

const lists: ReadonlyArray<readonly [base: string, path: string, limits: ReturnType<typeof items>]> = [
  ["Hello", "certificates", items(1, Limits.certificatesMax)],
  ["Certificates", "certificates", items(0, Limits.certificatesMax)],
  ["Peers", "peers", items(0, Limits.peersPerMessageMax)],
  ["Peers", "peers.0.addresses", items(0, Limits.addressesPerPeerMax)],
  ["Heads", "heads", items(0, Limits.authorsMax)],
  ["Entries", "entries", items(1, Limits.entriesPerMessageMax)],
  ["Statuses", "statuses", items(1, Limits.statusesPerMessageMax)],
  ["Have", "indexes", items(1, Limits.haveIndexesMax)],
  ["Share", "content.manifest.hashes", items(1, Limits.manifestChunksMax)],
  ["CastNotice", "casts", items(0, Limits.castsNoticedMax)],
  ["Status", "shares", items(0, Limits.statusSharesMax)]
]

const told = (value: unknown): string =>
  typeof value === "bigint" ? `${value}n` : String(JSON.stringify(value) ?? value).slice(0, 40)

describe("Wire, at its limits", () => {
  it.each(fields)("takes %s.%s up to its limit and nothing beyond", (base, path, { no, yes }) => {
    const [kind, value] = bases[base]!
    for (const leaf of yes) assert.isTrue(accepts(kind, put(value, path.split("."), leaf)), `takes ${told(leaf)}`)
    for (const leaf of no) assert.isFalse(accepts(kind, put(value, path.split("."), leaf)), `refuses ${told(leaf)}`)
  })

  it.each(lists)("takes as many %s.%s as allowed and not one more or less", (base, path, { count, refused }) => {
    const [kind, value] = bases[base]!
    const steps = path.split(".")
    const list = at(value, steps)
    for (const length of count) assert.isTrue(accepts(kind, put(value, steps, many(length)(list))), `takes ${length}`)
    for (const length of refused) {
      assert.isFalse(accepts(kind, put(value, steps, many(length)(list))), `refuses ${length}`)
    }
    assert.isFalse(
      accepts(kind, put(value, steps, { ...(list as object), length: 1 })),
      "refuses what looks like a list"
    )
  })

  it("has a row above for every field of every message and statement", () => {
    const rows = new Set([
      ...fields.map(([base, path]) => `${base}.${path}`),
      ...lists.map(([base, path]) => `${base}.${path}`)
    ])
    const walk = (base: string, value: unknown, path: string): void => {
      if (rows.has(`${base}.${path}`) && !(typeof value === "object")) return
      if (Array.isArray(value)) {
        assert.isTrue(rows.has(`${base}.${path}`), `${base}.${path}`)
        if (value.length > 0) walk(base, value[0], `${path}.0`)
      } else if (typeof value === "object" && value !== null) {
        for (const [key, inner] of Object.entries(value)) walk(base, inner, path === "" ? key : `${path}.${key}`)
      } else {
        // Statements that are signed alike are looked at once, and the text of a body is looked at by its kind.
        const twin = path.replace(/^(?:certificates|entries|statuses)\.\d+\.(key|signature)$/, "$1")
        if (["_tag", "content._tag", "body"].includes(path) || path.endsWith(".body")) return
        if (["key", "signature"].includes(twin)) return
        if (["Share", "Unshare", "Remove", "End"].includes(base) && ["number", "name", "writtenAt"].includes(path)) {
          return
        }
        assert.isTrue(rows.has(`${base}.${path}`), `${base}.${path}`)
      }
    }
    for (const [base, [, value]] of Object.entries(bases)) walk(base, value, "")
  })
})

// ---- Made to do harm -----------------------------------------------------------------------------------------------

/** What a link makes of a control frame with this text: a message, or undefined. Never throws. */
const hear = (json: string): { readonly violation: string | undefined; readonly message: unknown } => {
  const text = new TextEncoder().encode(json)
  const frame = new Uint8Array(Frame.headerBytes + text.length)
  new DataView(frame.buffer).setUint32(0, text.length)
  frame[0] = 1
  frame.set(text, Frame.headerBytes)
  let message: unknown
  const decoder = new Frame.Decoder({
    control: (value) => {
      const decoded = decoders.Message(value)
      if (Result.isFailure(decoded)) return "a message that is none"
      message = decoded.success
      return undefined
    },
    data: () => "skip",
    dataEnd: () => {}
  })
  return { violation: decoder.push(frame), message }
}

/** Whether an object, and all in it, is an ordinary one with only fields of its own. */
const isPlain = (value: unknown): boolean => {
  if (typeof value !== "object" || value === null) return true
  const prototype = Object.getPrototypeOf(value)
  return (prototype === Object.prototype || prototype === Array.prototype) &&
    !Object.hasOwn(value, "__proto__") && !Object.hasOwn(value, "constructor") &&
    Object.values(value).every(isPlain)
}

const share = `"share":"${"A".repeat(43)}"`
const requestOf = (index: string) => hear(`{"_tag":"Request",${share},"index":${index}}`)

describe("Wire, under attack", () => {
  it("takes no prototype from the network, in whichever object it stands", () => {
    const poisons = [
      `"__proto__":{"polluted":true}`,
      `"constructor":{"prototype":{"polluted":true}}`,
      `"__proto__":null`,
      `"\\u005f_proto__":{"polluted":true}`,
      `"prototype":{"polluted":true}`
    ]
    for (const message of Golden.messages) {
      for (const poison of poisons) {
        const json = JSON.stringify(message).replaceAll("{\"", `{${poison},"`)
        // Inside a body the poison is text, and text it stays; here only what stands in objects counts.
        const { message: heard, violation } = hear(json)
        assert.isUndefined(violation, json.slice(0, 80))
        assert.isTrue(isPlain(heard), json.slice(0, 80))
        assert.notProperty(heard as object, "polluted")
      }
    }
    assert.notProperty({}, "polluted")
  })

  it("does not take fields of an object's prototype for its own", () => {
    assert.isUndefined(hear(`{"__proto__":{"_tag":"Ping"}}`).message)
    assert.isUndefined(hear(`{"_tag":"Request","__proto__":{${share},"index":1}}`).message)
    assert.isUndefined(hear(`{"_tag":"toString"}`).message)
    assert.isUndefined(hear(`{"_tag":"__proto__"}`).message)
    assert.isUndefined(hear(`{"_tag":"constructor"}`).message)
  })

  it("takes the last of two equal keys, as every JSON reader of JavaScript does", () => {
    assert.deepStrictEqual(hear(`{"_tag":"Ping","_tag":"Pong"}`).message, { _tag: "Pong" })
    assert.isUndefined(hear(`{"_tag":"Request",${share},"index":1,"index":-1}`).message)
  })

  it("refuses numbers that are no whole numbers or too large to count with", () => {
    for (const index of ["1e999", "-1e999", "1e308", "9007199254740992", "1.0000000001", "-1", "1e-5", "\"1\""]) {
      assert.isUndefined(requestOf(index).message, index)
    }
    for (const index of ["1.0", "1e3", "9007199254740991", "0.0"]) assert.isDefined(requestOf(index).message, index)
    for (const index of ["01", "+1", "0x1", "NaN", "Infinity", "1_000", ".5"]) {
      assert.strictEqual(requestOf(index).violation, "not JSON", index)
    }
  })

  it("survives nesting as deep as a frame holds, in fields known and unknown", () => {
    const depth = 20_000
    const nests = ["[".repeat(depth) + "]".repeat(depth), `${"{\"a\":".repeat(8_000)}1${"}".repeat(8_000)}`]
    for (const nest of nests) {
      assert.isUndefined(hear(nest).message)
      assert.deepStrictEqual(hear(`{"_tag":"Ping","deep":${nest}}`).message, { _tag: "Ping" })
      for (const field of ["_tag", "share", "indexes"]) {
        assert.isUndefined(hear(`{"_tag":"Have",${share},"indexes":[1],"${field}":${nest}}`).message)
      }
    }
  })

  it("refuses lone surrogates in every text that people see", () => {
    for (const escape of ["\\ud800", "\\udfff", "\\ud800\\ud800", "\\udc00\\ud800"]) {
      assert.isUndefined(hear(`{"_tag":"Goodbye","code":"leaving","detail":"${escape}"}`).message, escape)
    }
    assert.isDefined(hear(`{"_tag":"Goodbye","code":"leaving","detail":"\\ud83d\\ude00"}`).message)
  })

  it("refuses bytes that are no UTF-8, and a mark of byte order", () => {
    const frame = Frame.encodeControl({ _tag: "Ping" })
    for (const [place, byte] of [[9, 0xff], [10, 0xc0], [11, 0x80], [20, 0xed]] as const) {
      const spoilt = frame.slice()
      spoilt[place] = byte
      const decoder = new Frame.Decoder({ control: () => "heard", data: () => "skip", dataEnd: () => {} })
      assert.strictEqual(decoder.push(spoilt), "not JSON")
    }
    assert.isUndefined(hear(`\ufeff{"_tag":"Ping"}`).message)
  })

  const Json: Schema.Codec<unknown> = Schema.Union([
    Schema.String,
    Schema.Number,
    Schema.Boolean,
    Schema.Null,
    Schema.Array(Schema.Union([Schema.String, Schema.Number, Schema.Record(Schema.String, Schema.String)])),
    Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Number, Schema.Array(Schema.Number)]))
  ])

  it.prop(
    "never throws and never makes up a message, whatever stands in place of any of its parts",
    {
      message: Message,
      other: Json,
      place: Schema.Natural.check(Schema.isLessThan(64))
    },
    ({ message, other, place }) => {
      let count = 0
      const spoil = (value: unknown): unknown => {
        if (count++ === place) return other
        if (Array.isArray(value)) return value.map(spoil)
        if (typeof value !== "object" || value === null) return value
        return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, spoil(inner)]))
      }
      const json = JSON.stringify(spoil(message))
      const { message: heard } = hear(json)
      if (heard === undefined) return
      // What was understood is no more than what was said.
      assert.isTrue(isPlain(heard))
      assert.isTrue(contains(JSON.parse(json), heard))
    },
    { arbitrary: { runs: 1_000 } }
  )

  it.prop(
    "never throws, whatever the text",
    { text: Schema.String, cut: Schema.Natural, message: Message },
    ({ cut, message, text }) => {
      const json = JSON.stringify(message)
      hear(text === "" ? " " : text)
      const middle = cut % json.length
      hear(`${json.slice(0, middle)}${text}${json.slice(middle)}`)
      hear(json.slice(0, Math.max(1, middle)))
    },
    { arbitrary: { runs: 1_000 } }
  )
})

/** Whether everything in `part` is in `whole` too. */
const contains = (whole: unknown, part: unknown): boolean => {
  if (typeof part !== "object" || part === null) return Object.is(whole, part)
  if (typeof whole !== "object" || whole === null || Array.isArray(whole) !== Array.isArray(part)) return false
  if (Array.isArray(part) && part.length !== (whole as ReadonlyArray<unknown>).length) return false
  return Object.entries(part).every(([key, inner]) =>
    Object.hasOwn(whole, key) && contains((whole as Record<string, unknown>)[key], inner)
  )
}
