/** A device that hears a multicast. It checks at every output what must hold always. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as CastReceiver from "../../src/protocol/CastReceiver.ts"
import { type Head, lengthAt } from "../../src/protocol/Fragment.ts"
import { Root } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import * as Parity from "../../src/protocol/Parity.ts"
import type { CastMessage } from "../../src/protocol/Wire.ts"
import { chance } from "../../src/simulator/Scenario.ts"

const KiB = 1024
const { castBytesMax, castChunkBytesMax, castChunksFalseMax, castsMax, pieceBytesMax, pieceBytesMin } = Limits
const root = (n: number) => Root.make(`${n}`.padStart(43, "r"))
const reportMs = 100
/** So long after the moment that it is of a report may go. */
const settledMs = 20
const windowLength = 4_096
const baselineMs = 10_000

/** Where a piece lies; a chunk is cut as the others if nothing is said. */
type Where = Pick<Head, "cast" | "index" | "offset"> & Partial<Head>

class Device {
  readonly receiver: CastReceiver.CastReceiver
  nowMs: number
  sequence = 0
  /** Of the sender, whose clock is another one. */
  clockMs = 0
  readonly awaited: Array<Root> = []
  readonly said: Array<CastMessage & { readonly atMs: number }> = []
  readonly dropped: Array<CastReceiver.Assembly> = []
  readonly whole: Array<CastReceiver.Assembly> = []
  readonly asked: Array<Root> = []
  deafCount = 0
  /** Sizes of the chunks that are cast, and where their manifest is known; and what is not wanted. */
  readonly sizes = new Map<string, number>()
  readonly unknown = new Set<Root>()
  readonly here = new Set<string>()

  constructor(nowMs = 0) {
    this.nowMs = nowMs
    this.receiver = CastReceiver.make({
      chunkBytes: (root, index) => this.unknown.has(root) ? 0 : this.sizes.get(`${index} ${root}`) ?? 0,
      isMissing: (root, index) => !this.here.has(`${index} ${root}`)
    }, nowMs)
  }

  private perform(outputs: ReadonlyArray<CastReceiver.Output>): ReadonlyArray<CastReceiver.Output> {
    for (const output of outputs) {
      switch (output._tag) {
        case "Send":
          this.said.push({ ...output.message, atMs: this.nowMs })
          break
        case "Await":
          this.awaited.push(output.root)
          break
        case "Release":
          assert.include(this.awaited, output.root)
          this.awaited.splice(this.awaited.indexOf(output.root), 1)
          break
        case "Drop":
          this.dropped.push(output.assembly)
          break
        case "Whole":
          this.whole.push(output.assembly)
          break
        case "AskManifest":
          this.asked.push(output.root)
          break
        case "Deafen":
          this.deafCount++
      }
    }
    return outputs
  }

  input(input: CastReceiver.Input) {
    return this.perform(CastReceiver.step(this.receiver, input, this.nowMs))
  }

  /** A datagram, of those that are numbered one after the other if nothing is said. */
  hear(sequence = ++this.sequence, wayMs = 0) {
    this.sequence = Math.max(this.sequence, sequence)
    const sentMs = (((this.nowMs - wayMs + this.clockMs) % 2 ** 32) + 2 ** 32) % 2 ** 32
    return this.perform(CastReceiver.hear(this.receiver, { sequence, sentMs }, this.nowMs))
  }

  stray() {
    return this.perform(CastReceiver.stray(this.receiver, this.nowMs))
  }

  /** The report of all that was heard up to the next datagram, when that is due. */
  report() {
    this.run(reportMs)
    this.hear()
    this.run(settledMs)
    this.hear()
    return this.all("Report").at(-1)
  }

  /** Into what the chunks are cut that come from now on. */
  pieceBytes = pieceBytesMin as number
  listen(pieceBytes: number = pieceBytesMin): void {
    this.pieceBytes = pieceBytes
    this.input({ _tag: "Listening" })
  }

  told(cast: number, { of = cast, over = false } = {}) {
    return this.input({ _tag: "Message", message: { _tag: "Cast", share: root(of), cast, over, reportMs } })
  }

  /** Lets time go by and gives the machine the ticks that it asks for. */
  run(ms: number): void {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs;) {
      this.nowMs++
      if (CastReceiver.wakeAtMs(this.receiver) <= this.nowMs) this.input({ _tag: "Tick" })
    }
  }

  /** The share of a cast is open, and its manifest, of so many chunks, is known or not. */
  opened(cast: number, { known = true, manifestChunksCount = 0, chunkSizeBytes = castChunkBytesMax } = {}): void {
    const of = this.rootOf(cast)
    if (of === undefined) return
    if (!known) this.unknown.add(of)
    const outline = { manifestChunksCount, chunkSizeBytes }
    this.input({ _tag: "ShareOpened", root: of, outline, patient: true })
  }

  rootOf(cast: number): Root | undefined {
    return this.receiver.casts.get(cast)?.root
  }

  head(where: Where): Head {
    return { pieceBytes: this.pieceBytes, parity: 0, ...where }
  }

  /** Whether there is a place for a piece of a chunk of this size. */
  place(where: Where, bytes: number, size: number) {
    const head = this.head(where)
    const of = this.rootOf(head.cast)
    if (of !== undefined) this.sizes.set(`${head.index} ${of}`, size)
    if (this.receiver.casts.get(head.cast)?.outline === undefined) this.opened(head.cast)
    return CastReceiver.place(this.receiver, head, bytes)
  }

  /** The next datagram brings a piece; gives the chunk once it is whole. */
  piece(cast: number, index: number, offset: number, chunk: Uint8Array): Uint8Array | undefined {
    const head = this.head({ cast, index, offset })
    this.hear()
    const bytes = lengthAt(this.pieceBytes, chunk.length, offset)
    const assembly = this.place(head, bytes, chunk.length)
    if (assembly === undefined) return undefined
    assembly.buffer ??= new Uint8Array(assembly.bytes)
    assembly.buffer.set(chunk.subarray(offset, offset + bytes), offset)
    return this.placed(assembly, head, bytes)
  }

  /** The next datagram brings a parity piece, from 0; gives the chunk once it is whole. */
  parity(cast: number, index: number, parity: number, chunk: Uint8Array): Uint8Array | undefined {
    const head = this.head({ cast, index, offset: 0, parity: parity + 1 })
    const bytes = Parity.encode(chunk, this.pieceBytes, parity)
    this.hear()
    const assembly = this.place(head, bytes.length, chunk.length)
    if (assembly === undefined) return undefined
    assembly.buffer ??= new Uint8Array(assembly.bytes)
    assembly.parities.set(parity, bytes)
    return this.placed(assembly, head, bytes.length)
  }

  private placed(assembly: CastReceiver.Assembly, head: Head, bytes: number): Uint8Array | undefined {
    const { length } = this.whole
    this.perform(CastReceiver.placed(this.receiver, assembly, head, bytes))
    const whole = this.whole[length]
    return whole === undefined ? undefined : bytesOf(whole)
  }

  /** What it said of one kind. */
  all<Tag extends CastMessage["_tag"]>(tag: Tag) {
    return this.said.filter((each): each is Extract<CastMessage, { _tag: Tag }> & { atMs: number } => each._tag === tag)
  }
}

/** A whole chunk, what is missing made of its parity pieces. */
const bytesOf = ({ buffer, missingCount, parities, pieceBytes, pieces }: CastReceiver.Assembly): Uint8Array => {
  if (missingCount > 0) Parity.rebuild(buffer!, pieceBytes, pieces, parities)
  return buffer!
}

/** A device that hears, and is told of cast 1. */
const tuned = (pieceBytes: number = pieceBytesMin, nowMs = 0) => {
  const device = new Device(nowMs)
  device.listen(pieceBytes)
  device.hear()
  device.told(1)
  return device
}

const chunkOf = (bytes: number) => Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + (i >> 8)) & 0xff)
const tags = (outputs: ReadonlyArray<CastReceiver.Output>) => outputs.map(({ _tag }) => _tag)

const Seed = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 2 ** 31 - 1 }))

describe("CastReceiver", () => {
  it.prop(
    "puts chunks together from pieces in any order and however often they come (invariant 1)",
    {
      seed: Seed,
      chunkBytes: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 * KiB })),
      pieceBytes: Schema.Literals([pieceBytesMin, pieceBytesMax])
    },
    ({ chunkBytes, pieceBytes, seed }) => {
      const random = chance(seed)
      const device = tuned(pieceBytes)
      const chunk = chunkOf(chunkBytes)
      const count = Math.ceil(chunkBytes / pieceBytes)
      const missing = [0, 1].map(() => new Set(Array.from({ length: count }, (_, i) => i * pieceBytes)))
      while (missing.some(({ size }) => size > 0)) {
        const which = random() < 0.5 ? 0 : 1
        const offset = Math.floor(random() * count) * pieceBytes
        if (missing[which]!.size === 0) continue
        missing[which]!.delete(offset)
        const whole = device.piece(1, which, offset, chunk)
        assert.strictEqual(whole !== undefined, missing[which]!.size === 0)
        if (whole !== undefined) assert.deepStrictEqual(whole, chunk)
      }
      assert.strictEqual(device.receiver.assembledBytes, 0)
      assert.strictEqual(device.receiver.assemblies.size, 0)
      assert.isEmpty(device.dropped)
    }
  )

  it.prop(
    "puts a chunk together from as many pieces and parity pieces as it has pieces, whichever they are (invariant 1)",
    {
      seed: Seed,
      chunkBytes: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 20 * KiB })),
      known: Schema.Boolean
    },
    ({ chunkBytes, known, seed }) => {
      const random = chance(seed)
      const device = tuned()
      device.opened(1, { known, chunkSizeBytes: 20 * KiB })
      const chunk = chunkOf(chunkBytes)
      const count = Math.ceil(chunkBytes / pieceBytesMin)
      const fragments = [
        ...Array.from({ length: count }, (_, piece) => () => device.piece(1, 0, piece * pieceBytesMin, chunk)),
        ...Array.from({ length: count }, (_, parity) => () => device.parity(1, 0, parity, chunk))
      ].map((come) => ({ come, at: random() })).toSorted((a, b) => a.at - b.at)
      const whole = fragments.slice(0, known ? 2 * count : count).map(({ come }) => come())
      if (known) {
        assert.deepStrictEqual(whole.map((each) => each !== undefined).indexOf(true), count - 1)
        // What comes after it is of another one.
        assert.deepStrictEqual(whole[count - 1], chunk)
      } else {
        assert.isEmpty(device.whole)
        device.unknown.clear()
        device.input({ _tag: "ManifestKnown", root: root(1) })
        assert.lengthOf(device.whole, 1)
        assert.deepStrictEqual(bytesOf(device.whole[0]!), chunk)
        assert.strictEqual(device.receiver.assembledBytes, 0)
      }
    }
  )

  it("takes a parity piece once, and none that is not of the chunk (invariant 1)", () => {
    const device = tuned()
    const size = 3 * pieceBytesMin - 100
    const place = (where: Partial<Head>, bytes: number, chunkBytes = size) =>
      device.place({ cast: 1, index: 0, offset: 0, parity: 1, ...where }, bytes, chunkBytes)
    assert.isUndefined(place({}, pieceBytesMin - 1))
    assert.isUndefined(place({}, pieceBytesMin + 1))
    assert.isUndefined(place({ offset: pieceBytesMin }, pieceBytesMin))
    assert.isUndefined(place({ parity: Parity.paritiesMax + 1 }, pieceBytesMin))
    assert.isUndefined(place({ index: 1 }, pieceBytesMin, Parity.piecesMax * pieceBytesMin + 1))
    assert.isDefined(place({ index: 2 }, pieceBytesMin, Parity.piecesMax * pieceBytesMin))
    assert.isDefined(place({ index: 3, parity: Parity.paritiesMax }, pieceBytesMin))
    assert.isDefined(place({ index: 4 }, 100, 100))
    const chunk = chunkOf(size)
    assert.isUndefined(device.parity(1, 0, 0, chunk))
    assert.isUndefined(place({}, pieceBytesMin))
    assert.isDefined(place({ parity: 2 }, pieceBytesMin))
  })

  it("takes pieces of one size for a chunk, of a size that may be (invariant 1)", () => {
    const device = tuned()
    const place = (index: number, pieceBytes: number) =>
      device.place({ cast: 1, index, offset: 0, pieceBytes }, pieceBytes, 4 * pieceBytesMax)
    assert.isUndefined(place(0, pieceBytesMin - 1))
    assert.isUndefined(place(0, pieceBytesMax + 1))
    assert.isUndefined(place(0, 0))
    assert.isDefined(place(0, pieceBytesMin))
    assert.isDefined(place(1, pieceBytesMax))
    assert.isUndefined(place(1, pieceBytesMin))
    // Another chunk may be cut otherwise.
    assert.isDefined(place(2, pieceBytesMin))
  })

  it("holds no more with parity pieces than without (invariant 2)", () => {
    const device = tuned(pieceBytesMax)
    for (let index = 0; index < 60; index++) {
      for (let parity = 1; parity <= Parity.paritiesMax; parity++) {
        device.hear()
        const head = device.head({ cast: 1, index, offset: 0, parity })
        const assembly = device.place(head, pieceBytesMax, castChunkBytesMax)
        if (assembly === undefined) continue
        assembly.parities.set(parity - 1, new Uint8Array(0))
        CastReceiver.placed(device.receiver, assembly, head, pieceBytesMax)
        assert.isAtMost(device.receiver.assembledBytes, castBytesMax)
      }
    }
    device.listen()
    assert.strictEqual(device.receiver.assembledBytes, 0)
  })

  it("says that nothing more came once something of the cast has, in its first moments and until it is over", () => {
    const device = tuned()
    device.run(3 * reportMs)
    assert.isEmpty(device.all("Report"))
    const heard = () => {
      device.piece(1, 0, 0, chunkOf(4 * pieceBytesMin))
      const fromMs = device.nowMs
      return () =>
        device.all("Report").filter(({ atMs }) => atMs > fromMs).map((each) => ({ ...each, atMs: each.atMs - fromMs }))
    }
    const first = heard()
    device.run(4 * reportMs)
    // What is new, then that nothing came, as often as it was told to.
    assert.deepStrictEqual(first().map(({ atMs }) => atMs), [20, 120, 220, 320])
    for (const { delayMs, received, sequence } of first()) {
      assert.deepStrictEqual({ delayMs, received, sequence }, { delayMs: 0, received: 2, sequence: 2 })
    }
    for (let i = 0; i < 120; i++) {
      device.run(10)
      device.hear()
    }
    const later = heard()
    device.run(4 * reportMs)
    assert.isEmpty(later())
    device.told(1, { over: true })
    device.told(2)
    device.piece(2, 0, 0, chunkOf(4 * pieceBytesMin))
    device.told(2, { over: true })
    const { length } = device.all("Report")
    device.run(4 * reportMs)
    assert.lengthOf(device.all("Report"), length)
  })

  /** It has just reported, and hears something new. */
  const reporting = () => {
    const device = tuned()
    device.report()
    const { length } = device.all("Report")
    device.piece(1, 0, 0, chunkOf(4 * pieceBytesMin))
    const fromMs = device.nowMs
    return {
      device,
      said: () => device.all("Report").slice(length).map(({ atMs, received }) => [atMs - fromMs, received])
    }
  }

  it("says what is new, and at once that nothing came after it", () => {
    const { device, said } = reporting()
    device.run(3 * reportMs)
    assert.deepStrictEqual(said(), [[100, 4], [100, 4], [200, 4], [300, 4]])
  })

  it("says not that nothing came where something is about to be read, for it may not have had its turn", () => {
    const { device, said } = reporting()
    device.run(80 + settledMs - 1)
    device.hear()
    device.run(1)
    assert.deepStrictEqual(said(), [[100, 4]])
  })

  it("keeps chunks of two casts apart (invariant 1)", () => {
    const device = tuned()
    device.told(2)
    const chunk = chunkOf(2 * pieceBytesMin)
    assert.isUndefined(device.piece(1, 7, 0, chunk))
    assert.isUndefined(device.piece(2, 7, pieceBytesMin, chunk))
    assert.deepStrictEqual(device.piece(1, 7, pieceBytesMin, chunk), chunk)
    assert.deepStrictEqual(device.piece(2, 7, 0, chunk), chunk)
  })

  it("finds a place for pieces of their length, at their offset, of a cast that it was told of (invariant 1)", () => {
    const device = tuned()
    const { receiver } = device
    const chunkBytes = 3 * pieceBytesMin - 100
    const place = (cast: number, offset: number, bytes: number) =>
      device.place({ cast, index: 5, offset }, bytes, chunkBytes)
    assert.isUndefined(place(1, 0, pieceBytesMin - 1))
    assert.isUndefined(place(1, 0, pieceBytesMin + 1))
    assert.isUndefined(place(1, 0, 0))
    assert.isUndefined(place(1, 2 * pieceBytesMin, pieceBytesMin))
    assert.isUndefined(place(1, 1, pieceBytesMin))
    assert.isUndefined(place(1, pieceBytesMin - 1, pieceBytesMin))
    assert.isUndefined(place(1, 3 * pieceBytesMin, 0))
    assert.isUndefined(place(1, 3 * pieceBytesMin, pieceBytesMin))
    assert.isUndefined(place(0, 0, pieceBytesMin))
    assert.isUndefined(place(2, 0, pieceBytesMin))
    assert.strictEqual(receiver.assemblies.size, 0)
    assert.strictEqual(receiver.assembledBytes, 0)
    const assembly = place(1, 0, pieceBytesMin)
    assert.deepInclude(assembly, { root: root(1), index: 5, bytes: chunkBytes, missingCount: 3 })
    assert.strictEqual(place(1, 2 * pieceBytesMin, pieceBytesMin - 100), assembly)
    assert.isUndefined(place(1, 3 * pieceBytesMin, 0))
  })

  it("takes still what is on its way when a cast is over, and nothing when its host is gone", () => {
    const device = tuned()
    device.told(1, { over: true })
    assert.strictEqual(device.rootOf(1), root(1))
    assert.isDefined(device.piece(1, 0, 0, chunkOf(100)))
    device.input({ _tag: "HostDown" })
    assert.isUndefined(device.rootOf(1))
    assert.isUndefined(device.piece(1, 1, 0, chunkOf(100)))
  })

  it("waits for what neighbors say that is cast from when it hears it, and no more for what they do not", () => {
    const device = new Device()
    device.listen()
    const noticed = (...casts: ReadonlyArray<number>) =>
      device.input({ _tag: "Noticed", casts: casts.map((cast) => ({ cast, share: root(cast) })) })
    noticed(1, 2)
    assert.isEmpty(device.awaited)
    device.hear()
    assert.deepStrictEqual(device.awaited, [root(1), root(2)])
    noticed(2, 3)
    assert.deepStrictEqual(device.awaited, [root(2), root(3)])
    // What is late of the first is taken still.
    assert.isDefined(device.piece(1, 0, 0, chunkOf(100)))
    device.run(CastReceiver.silentMs)
    assert.isEmpty(device.awaited, "silent")
    device.hear()
    assert.deepStrictEqual(device.awaited, [root(2), root(3)])
    noticed()
    assert.isEmpty(device.awaited)
    // Who has found a link to the host, and lost it, knows of nothing.
    noticed(4)
    device.input({ _tag: "HostDown" })
    assert.isEmpty(device.awaited)
    device.listen()
    device.hear()
    assert.isEmpty(device.awaited)
  })

  it("puts no chunk together that is larger than what is cast (invariant 2)", () => {
    const device = tuned()
    const { receiver } = device
    const place = (chunkBytes: number) => device.place({ cast: 1, index: 0, offset: 0 }, pieceBytesMin, chunkBytes)
    assert.isUndefined(place(castChunkBytesMax + 1))
    assert.strictEqual(receiver.assembledBytes, 0)
    assert.strictEqual(place(castChunkBytesMax)!.bytes, castChunkBytesMax)
  })

  it("gives up the chunk that has begun longest for one more than fit, and no sooner (invariant 2)", () => {
    const device = tuned()
    const { receiver } = device
    const begin = (index: number) => device.piece(1, index, 0, new Uint8Array(castChunkBytesMax))
    const count = castBytesMax / castChunkBytesMax
    for (let index = 0; index < count; index++) begin(index)
    assert.isEmpty(device.dropped)
    assert.strictEqual(receiver.assembledBytes, castBytesMax)
    begin(count)
    begin(count + 1)
    assert.deepStrictEqual(device.dropped.map(({ index }) => index), [0, 1])
    assert.isDefined(device.dropped[0]!.buffer)
    assert.strictEqual(receiver.assembledBytes, castBytesMax)
  })

  it.prop(
    "stays within its bytes, and gives back each buffer that does not become a chunk (invariant 2)",
    { seed: Seed },
    ({ seed }) => {
      const random = chance(seed)
      const device = tuned(pieceBytesMax)
      const { receiver } = device
      const begun = new Set<CastReceiver.Assembly>()
      for (let i = 0; i < 300; i++) {
        device.hear()
        const chunkBytes = 1 + Math.floor(random() * castChunkBytesMax)
        const head = device.head({ cast: 1, index: i, offset: 0 })
        const bytes = Math.min(chunkBytes, pieceBytesMax)
        const assembly = device.place(head, bytes, chunkBytes)!
        if (CastReceiver.placed(receiver, assembly, head, bytes).length === 0) begun.add(assembly)
        for (const dropped of device.dropped.splice(0)) {
          assert.strictEqual(dropped, begun.values().next().value)
          begun.delete(dropped)
        }
        const begunBytes = Array.from(begun).reduce((sum, { bytes }) => sum + bytes, 0)
        assert.strictEqual(receiver.assembledBytes, begunBytes)
        assert.isAtMost(begunBytes, castBytesMax)
        if (i > 100) assert.isAtLeast(begunBytes, castBytesMax - 2 * castChunkBytesMax)
      }
      device.input({ _tag: "HostDown" })
      assert.deepStrictEqual(device.dropped, Array.from(begun))
      assert.strictEqual(receiver.assembledBytes, 0)
    },
    { arbitrary: { runs: 30 } }
  )

  it("says that it hears with the first datagram, and waits for what it is told of from then on", () => {
    const device = new Device()
    assert.deepStrictEqual(device.hear(), [])
    device.listen()
    assert.deepStrictEqual(device.told(1), [])
    assert.deepStrictEqual(device.hear(), [{ _tag: "Send", message: { _tag: "Tuned", hears: true } }])
    assert.deepStrictEqual(device.hear(), [])
    assert.deepStrictEqual(device.told(1), [{ _tag: "Await", root: root(1) }])
    assert.deepStrictEqual(device.told(1), [])
  })

  it("is ready for a cast once its share is open, or if it has to be patient once its manifest is known", () => {
    const outline = { manifestChunksCount: 1, chunkSizeBytes: 64 * KiB }
    for (const patient of [false, true]) {
      const device = tuned()
      device.input({ _tag: "ShareOpened", root: root(2), outline, patient })
      device.input({ _tag: "ShareOpened", root: root(1), outline, patient })
      assert.deepStrictEqual(device.all("Ready").map(({ cast }) => cast), patient ? [] : [1])
      device.input({ _tag: "ManifestKnown", root: root(1) })
      assert.deepStrictEqual(device.all("Ready").map(({ cast }) => cast), [1])
    }
  })

  it("is ready for a cast once the manifest is known, if it waits for it", () => {
    const device = tuned()
    device.told(2)
    device.told(3, { of: 1 })
    device.told(3, { over: true })
    const ready = (n: number) => device.input({ _tag: "ManifestKnown", root: root(n) })
    assert.deepStrictEqual(ready(4), [])
    assert.deepStrictEqual(ready(1), [{ _tag: "Send", message: { _tag: "Ready", cast: 1 } }])
    assert.deepStrictEqual(ready(1), [])
    assert.deepStrictEqual(ready(2), [{ _tag: "Send", message: { _tag: "Ready", cast: 2 } }])
  })

  it("lets a share go once when its cast is over (invariant 3)", () => {
    const device = tuned()
    device.told(2)
    assert.deepStrictEqual(device.told(1, { over: true }), [{ _tag: "Release", root: root(1) }])
    assert.deepStrictEqual(device.told(1, { over: true }), [])
    assert.deepStrictEqual(device.told(3, { over: true }), [])
    assert.deepStrictEqual(device.awaited, [root(2)])
  })

  it("lets all shares go and listens no more when its host is gone (invariant 3)", () => {
    const device = tuned()
    device.told(2)
    device.piece(2, 0, 0, chunkOf(2 * pieceBytesMin))
    const outputs = device.input({ _tag: "HostDown" })
    assert.deepStrictEqual(tags(outputs), ["Release", "Release", "Drop", "Deafen"])
    assert.isEmpty(device.awaited)
    assert.isFalse(device.receiver.listening)
    assert.strictEqual(CastReceiver.wakeAtMs(device.receiver), Infinity)
    assert.deepStrictEqual(device.hear(), [])
    device.listen()
    assert.deepStrictEqual(tags(device.hear()), ["Send"])
  })

  it("lets all shares go after a silence, says so, and says when it hears again (invariant 3)", () => {
    const device = tuned()
    device.told(2)
    device.nowMs = CastReceiver.silentMs - 1
    assert.deepStrictEqual(device.input({ _tag: "Tick" }).filter(({ _tag }) => _tag === "Release"), [])
    assert.strictEqual(CastReceiver.wakeAtMs(device.receiver), CastReceiver.silentMs)
    device.nowMs++
    assert.deepStrictEqual(device.input({ _tag: "Tick" }), [
      { _tag: "Send", message: { _tag: "Tuned", hears: false } },
      { _tag: "Release", root: root(1) },
      { _tag: "Release", root: root(2) }
    ])
    assert.strictEqual(CastReceiver.wakeAtMs(device.receiver), Infinity)
    device.run(5_000)
    assert.deepStrictEqual(device.all("Tuned").map(({ hears }) => hears), [true, false])
    device.hear()
    assert.deepStrictEqual(device.all("Tuned").map(({ hears }) => hears), [true, false, true])
    assert.deepStrictEqual(device.told(3), [{ _tag: "Await", root: root(3) }])
  })

  it("waits as long as signs of life come, but not for datagrams that came before (invariant 3)", () => {
    const device = tuned()
    for (let i = 0; i < 20; i++) {
      device.run(CastReceiver.silentMs - 1)
      device.hear()
      device.input({ _tag: "Tick" })
    }
    assert.deepStrictEqual(device.awaited, [root(1)])
    for (let i = 0; i < 20; i++) {
      device.run(CastReceiver.silentMs / 10)
      device.hear(1)
    }
    assert.isEmpty(device.awaited)
  })

  it("does not take it for silence that nothing came before a cast began", () => {
    const device = new Device()
    device.listen()
    device.hear()
    device.run(60_000)
    device.told(1)
    device.input({ _tag: "Tick" })
    device.run(CastReceiver.silentMs - 1)
    assert.deepStrictEqual(device.awaited, [root(1)])
    device.run(1)
    assert.isEmpty(device.awaited)
  })

  it.prop(
    "lets go of each share that it waits for, whatever happens (invariant 3)",
    { seed: Seed, ending: Schema.Literals(["gone", "over", "silent", "false"]) },
    ({ ending, seed }) => {
      const random = chance(seed)
      const below = (count: number) => Math.floor(random() * count)
      const device = new Device()
      device.listen()
      device.hear()
      const acts: ReadonlyArray<() => void> = [
        () => void device.told(below(8), { of: below(3), over: random() < 0.4 }),
        () => void device.told(below(8), { of: below(3) }),
        () => void device.hear(),
        () => void device.hear(below(20), below(100)),
        () => void device.piece(below(8), below(5), pieceBytesMin * below(3), chunkOf(3 * pieceBytesMin)),
        () => void device.input({ _tag: "ManifestKnown", root: root(below(3)) }),
        () => device.run(below(2_000)),
        () => {
          if (random() > 0.1) return
          device.input({ _tag: "HostDown" })
          device.listen()
        }
      ]
      for (let i = 0; i < 150; i++) acts[below(acts.length)]!()
      if (ending === "gone") device.input({ _tag: "HostDown" })
      if (ending === "over") { for (let cast = 0; cast < 8; cast++) device.told(cast, { over: true }) }
      if (ending === "silent") device.run(CastReceiver.silentMs)
      if (ending === "false") { for (let i = 0; i < castChunksFalseMax; i++) device.input({ _tag: "ChunkFalse" }) }
      assert.isEmpty(device.awaited)
    }
  )

  it("hears nothing any more after too many false chunks, and one fewer is borne (invariant 4)", () => {
    const device = tuned()
    device.piece(1, 0, 0, chunkOf(2 * pieceBytesMin))
    for (let i = 1; i < castChunksFalseMax; i++) assert.deepStrictEqual(device.input({ _tag: "ChunkFalse" }), [])
    device.input({ _tag: "HostDown" })
    device.listen()
    device.hear()
    assert.isTrue(device.receiver.hears)
    device.told(2)
    device.piece(2, 0, 0, chunkOf(2 * pieceBytesMin))
    const outputs = device.input({ _tag: "ChunkFalse" })
    assert.deepStrictEqual(tags(outputs), ["Send", "Release", "Drop", "Deafen"])
    assert.deepInclude(outputs[0], { message: { _tag: "Tuned", hears: false } })
    device.said.splice(0)
    device.listen()
    assert.isFalse(device.receiver.listening)
    assert.deepStrictEqual(device.hear(), [])
    assert.deepStrictEqual(device.told(3), [])
    assert.isUndefined(device.piece(3, 0, 0, chunkOf(100)))
    assert.isEmpty(device.all("Tuned"))
  })

  it("stops to listen when more strays come than may at once, and one fewer is borne (invariant 4)", () => {
    const device = tuned()
    for (let i = 0; i < Limits.strayFragmentsBurstMax; i++) assert.deepStrictEqual(device.stray(), [])
    const outputs = device.stray()
    assert.deepStrictEqual(tags(outputs), ["Send", "Release", "Deafen"])
    assert.deepInclude(outputs[0], { message: { _tag: "Tuned", hears: false } })
    assert.deepStrictEqual(device.hear(), [])
  })

  it("bears strays for ever that come as slowly as they may (invariant 4)", () => {
    for (const [more, deafens] of [[0, false], [1, true]] as const) {
      const device = tuned()
      const everyMs = 100
      const count = Limits.strayFragmentsPerSecondMax * everyMs / 1_000 + more
      for (let i = 0; i < 2_000; i++) {
        device.nowMs += everyMs
        for (let k = 0; k < count; k++) device.stray()
      }
      assert.strictEqual(device.deafCount > 0, deafens)
    }
  })

  it("says nothing of strays to a host that it does not hear", () => {
    const device = new Device()
    device.listen()
    for (let i = 0; i <= Limits.strayFragmentsBurstMax; i++) device.stray()
    assert.strictEqual(device.deafCount, 1)
    assert.isEmpty(device.said)
  })

  it("counts a datagram once, however often it comes", () => {
    const device = tuned()
    for (const sequence of [5, 3, 5, 3, 1, 4, 5, 2, 2]) device.hear(sequence)
    assert.deepInclude(device.report(), { sequence: 6, received: 6 })
  })

  it.each([[1, true], [0, false]])("counts late datagrams within its memory: %i more, %s", (more, isCounted) => {
    const device = tuned()
    const last = 10_000
    device.hear(last)
    device.hear(last - windowLength + more)
    assert.deepInclude(device.report(), { sequence: last + 1, received: isCounted ? 4 : 3 })
  })

  it("reports nothing for lost that comes a little late, as sockets are read one after the other", () => {
    const device = tuned()
    device.run(reportMs)
    for (const sequence of [10, 4, 8, 2, 6, 12]) device.hear(sequence)
    device.run(settledMs - 1)
    for (const sequence of [5, 9, 3, 7, 11]) device.hear(sequence)
    assert.isEmpty(device.all("Report"))
    device.run(1)
    device.hear(14)
    assert.deepInclude(device.all("Report")[0], { sequence: 10, received: 10 })
    // What is lost is reported, and what came late, a moment after the report, is not counted twice.
    device.hear(13)
    assert.deepInclude(device.report(), { sequence: 15, received: 15 })
    device.sequence += 4
    assert.deepInclude(device.report(), { sequence: 21, received: 17 })
  })

  it.prop(
    "counts each datagram of a stretch once, in whatever order and however often (invariant 1)",
    { sequences: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: windowLength }))) },
    ({ sequences }) => {
      const device = tuned()
      // Places in memory that were used before must be free again.
      for (let sequence = 2; sequence <= 2 * windowLength; sequence++) device.hear(sequence)
      const from = 2 * windowLength
      for (const sequence of sequences) device.hear(from + sequence)
      device.run(reportMs)
      assert.strictEqual(device.receiver.received, 2 * windowLength + new Set(sequences).size)
    }
  )

  it("reports as often as it was told to, with what it has heard, while datagrams come", () => {
    const device = tuned()
    for (let i = 1; i <= 100; i++) {
      device.run(10)
      // Each fifth is lost, and no report is due with it.
      if (i % 5 === 4) device.sequence++
      else device.hear()
    }
    const reports = device.all("Report")
    assert.lengthOf(reports, 9)
    for (const [i, { atMs, received, sequence }] of reports.entries()) {
      assert.strictEqual(atMs, (i + 1) * reportMs + settledMs)
      assert.deepEqual({ received, sequence }, { received: 1 + 8 * (i + 1), sequence: 1 + 10 * (i + 1) })
    }
  })

  it("says nothing by itself between two datagrams, and all that it has heard with the next", () => {
    const device = tuned()
    device.hear()
    device.run(10 * reportMs)
    device.input({ _tag: "Tick" })
    assert.isEmpty(device.all("Report"))
    device.hear()
    device.run(settledMs - 1)
    device.hear()
    assert.isEmpty(device.all("Report"))
    device.run(1)
    device.hear()
    assert.deepInclude(device.all("Report")[0], { sequence: 3, received: 3, atMs: 10 * reportMs + settledMs })
    // The next is of a moment so long after the one that this was of.
    device.run(reportMs - settledMs - 1)
    device.hear()
    device.run(1)
    const { sequence } = device
    device.hear()
    device.run(settledMs)
    device.hear()
    assert.deepInclude(device.all("Report")[1], { sequence: sequence + 1, received: sequence + 1 })
  })

  it("counts anew when it hears again after a silence", () => {
    const device = tuned()
    for (let i = 0; i < 10; i++) device.hear()
    device.run(5_000)
    device.hear(100)
    device.told(2)
    assert.deepInclude(device.report(), { sequence: 101, received: 2 })
  })

  it.each([0, 123_456_789, -5_000, 2 ** 32 - 700])(
    "shows a queue as delay, with a clock that differs by %i",
    (clockMs) => {
      const device = new Device()
      device.clockMs = clockMs
      device.listen()
      device.hear(++device.sequence, 5)
      device.told(1)
      const delaysOf = (wayMs: (i: number) => number) => {
        const { length } = device.all("Report")
        for (let i = 0; i < 50; i++) {
          device.run(10)
          device.hear(++device.sequence, wayMs(i))
        }
        return device.all("Report").slice(length).map(({ delayMs }) => delayMs)
      }
      assert.deepStrictEqual(delaysOf(() => 5), [0, 0, 0, 0])
      assert.isTrue(delaysOf(() => 105).slice(1).every((delayMs) => delayMs === 100))
      // One quick datagram shows that there is no queue.
      assert.isTrue(delaysOf((i) => i % 5 === 0 ? 5 : 300).slice(1).every((delayMs) => delayMs === 0))
      const growing = delaysOf((i) => 5 + 10 * i).slice(1)
      for (const [i, delayMs] of growing.slice(1).entries()) assert.strictEqual(delayMs - growing[i]!, 100)
    }
  )

  it("takes the longer way for the usual one after a while", () => {
    const device = tuned()
    const delaysOf = (ms: number) => {
      const { length } = device.all("Report")
      for (let i = 0; i < ms / 10; i++) {
        device.run(10)
        device.hear(++device.sequence, 90)
      }
      return device.all("Report").slice(length).map(({ delayMs }) => delayMs)
    }
    const early = delaysOf(1.5 * baselineMs).slice(2)
    assert.isTrue(early.every((delayMs) => delayMs === 90))
    assert.deepStrictEqual(delaysOf(2 * baselineMs).at(-1), 0)
  })

  it("keeps as many casts in mind as there may be shares, and forgets the first for one more", () => {
    const device = new Device()
    device.listen()
    device.hear()
    for (let cast = 1; cast <= castsMax; cast++) {
      device.told(cast)
      device.told(cast, { over: true })
    }
    assert.strictEqual(device.receiver.casts.size, castsMax)
    assert.strictEqual(device.rootOf(1), root(1))
    device.told(castsMax + 1)
    assert.strictEqual(device.receiver.casts.size, castsMax)
    assert.isUndefined(device.rootOf(1))
    assert.strictEqual(device.rootOf(2), root(2))
    assert.strictEqual(device.rootOf(castsMax + 1), root(castsMax + 1))
  })

  it("lets go of a share that it forgets, also one that is still cast (invariant 3)", () => {
    const device = tuned()
    for (let cast = 2; cast <= castsMax + 1; cast++) {
      device.told(cast)
      device.told(cast, { over: true })
    }
    assert.isEmpty(device.awaited)
  })

  it("begins anew when it is told to listen again (invariant 3)", () => {
    const device = tuned()
    device.piece(1, 0, 0, chunkOf(4 * pieceBytesMin))
    device.listen()
    assert.isEmpty(device.awaited)
    assert.lengthOf(device.dropped, 1)
    assert.strictEqual(CastReceiver.wakeAtMs(device.receiver), Infinity)
    device.hear()
    device.told(1)
    assert.deepStrictEqual(device.awaited, [root(1)])
  })

  it("waits again for a share that is cast still when it hears again", () => {
    const device = tuned()
    device.run(CastReceiver.silentMs + 1)
    assert.isEmpty(device.awaited)
    device.hear()
    device.told(1)
    assert.deepStrictEqual(device.awaited, [root(1)])
    device.input({ _tag: "ManifestKnown", root: root(1) })
    assert.strictEqual(device.all("Ready").length, 1)
  })

  it("makes room whatever the sequence of a datagram is (invariant 2)", () => {
    const device = tuned(pieceBytesMax)
    for (let index = 0; index < 3 * castBytesMax / castChunkBytesMax; index++) {
      device.hear(7)
      device.place({ cast: 1, index, offset: 0 }, pieceBytesMax, castChunkBytesMax)
      assert.isAtMost(device.receiver.assembledBytes, castBytesMax)
    }
  })

  it("measures no delay against another sender's clock, nor against one that has drifted through a long rest", () => {
    const delaysOf = (device: Device) => {
      const { length } = device.all("Report")
      for (let i = 0; i < 40; i++) {
        device.run(10)
        device.hear()
      }
      return device.all("Report").slice(length + 1).map(({ delayMs }) => delayMs)
    }
    const device = tuned()
    delaysOf(device)
    device.input({ _tag: "HostDown" })
    device.clockMs = -5_000_000
    device.listen()
    device.hear()
    device.told(1)
    assert.isTrue(delaysOf(device).every((delayMs) => delayMs === 0))
    device.run(3_600_000)
    device.clockMs -= 180
    device.hear()
    assert.isTrue(delaysOf(device).every((delayMs) => delayMs === 0))
  })

  // ---- Before the manifest -----------------------------------------------------------------------------------------

  it.prop(
    "holds what comes before the manifest and finds then what is whole, in any order of pieces (invariants 1 and 2)",
    {
      seed: Seed,
      pieceBytes: Schema.Literals([pieceBytesMin, pieceBytesMax]),
      fullBytes: Schema.Literals([64 * KiB, 96 * KiB])
    },
    ({ fullBytes, pieceBytes, seed }) => {
      const random = chance(seed)
      const below = (count: number) => Math.floor(random() * count)
      const device = tuned(pieceBytes)
      const { receiver } = device
      device.opened(1, { known: false, chunkSizeBytes: fullBytes })
      const chunks = Array.from({ length: 6 }, () => chunkOf(random() < 0.5 ? fullBytes : 1 + below(fullBytes)))
      const pieces = chunks.flatMap((chunk, index) =>
        Array.from({ length: Math.ceil(chunk.length / pieceBytes) }, (_, i) => ({ index, offset: i * pieceBytes }))
      )
      const inOrder = random() < 0.5
      const shuffled = pieces.map((piece) => [inOrder ? 0 : random(), piece] as const)
        .toSorted(([a], [b]) => a - b).map(([, piece]) => piece).filter(() => random() < 0.9)
      const [before, after] = [shuffled.slice(0, below(shuffled.length + 1)), shuffled]
      for (const { index, offset } of before) {
        assert.isUndefined(device.piece(1, index, offset, chunks[index]!), "nothing is whole before")
      }
      assert.isAtMost(receiver.assembledBytes, chunks.length * fullBytes)
      device.unknown.clear()
      device.input({ _tag: "ManifestKnown", root: root(1) })
      const isThere = (list: typeof pieces, index: number) =>
        pieces.filter((piece) => piece.index === index).every(({ offset }) =>
          list.some((piece) => piece.index === index && piece.offset === offset)
        )
      const wholeOf = (list: typeof pieces) => chunks.flatMap((_, index) => isThere(list, index) ? [index] : [])
      assert.sameMembers(device.whole.map(({ index }) => index), wholeOf(before))
      for (const { index } of device.whole) device.here.add(`${index} ${root(1)}`)
      for (const { index, offset } of after) device.piece(1, index, offset, chunks[index]!)
      assert.sameMembers(device.whole.map(({ index }) => index), wholeOf(after))
      for (const { buffer, index } of device.whole) assert.deepStrictEqual(buffer, chunks[index])
      assert.isEmpty(device.dropped)
      device.input({ _tag: "HostDown" })
      assert.strictEqual(receiver.assembledBytes, 0)
    }
  )

  it("gives up the chunk that it has held longest for one more than fit (invariant 2)", () => {
    const device = tuned(pieceBytesMax)
    device.opened(1, { known: false })
    const chunk = new Uint8Array(castChunkBytesMax)
    const count = castBytesMax / castChunkBytesMax
    for (let index = 0; index <= count; index++) {
      for (let offset = 0; offset < chunk.length; offset += pieceBytesMax) device.piece(1, index, offset, chunk)
      assert.isAtMost(device.receiver.assembledBytes, castBytesMax)
    }
    device.unknown.clear()
    device.input({ _tag: "ManifestKnown", root: root(1) })
    // The last made room for itself, and then for one that may come.
    assert.deepStrictEqual(device.dropped.map(({ index }) => index), [0, 1])
    assert.deepStrictEqual(device.whole.map(({ index }) => index), Array.from({ length: count - 1 }, (_, i) => i + 2))
  })

  it("holds no piece that fits no chunk, and gives up those that do not fit theirs (invariant 1)", () => {
    const held = (size: number, pieces: ReadonlyArray<readonly [offset: number, bytes: number]>) => {
      const device = tuned()
      device.opened(1, { known: false, chunkSizeBytes: 4 * pieceBytesMin })
      const places = pieces.map(([offset, bytes]) => {
        const head = device.head({ cast: 1, index: 0, offset })
        const assembly = device.place(head, bytes, size)
        if (assembly !== undefined) CastReceiver.placed(device.receiver, assembly, head, bytes)
        return assembly !== undefined
      })
      device.unknown.clear()
      device.input({ _tag: "ManifestKnown", root: root(1) })
      return { places, end: device.whole.length > 0 ? "whole" : device.dropped.length > 0 ? "dropped" : "held" }
    }
    const full = [0, 1, 2, 3].map((i) => [i * pieceBytesMin, pieceBytesMin] as const)
    assert.deepStrictEqual(held(4 * pieceBytesMin, full), { places: [true, true, true, true], end: "whole" })
    assert.deepStrictEqual(held(4 * pieceBytesMin, full.slice(1)), { places: [true, true, true], end: "held" })
    const ends = (bytes: number) => [[4 * pieceBytesMin, bytes] as const, [1, bytes] as const]
    assert.deepStrictEqual(held(4 * pieceBytesMin, ends(pieceBytesMin)).places, [false, false])
    assert.deepStrictEqual(held(4 * pieceBytesMin, [[0, pieceBytesMin + 1], [0, 0]]).places, [false, false])
    // After a piece that ends the chunk comes no other, and none that ends it before others.
    const short = [pieceBytesMin, 100] as const
    assert.deepStrictEqual(held(pieceBytesMin + 100, [short, full[2]!, full[0]!]), {
      places: [true, false, true],
      end: "whole"
    })
    assert.deepStrictEqual(held(3 * pieceBytesMin, [full[2]!, short]).places, [true, false])
    // The manifest knows better.
    assert.strictEqual(held(pieceBytesMin + 101, [short]).end, "dropped")
    assert.strictEqual(held(2 * pieceBytesMin, [short]).end, "dropped")
    assert.strictEqual(held(2 * pieceBytesMin, [full[2]!]).end, "dropped")
    assert.strictEqual(held(2 * pieceBytesMin - 1, [full[1]!]).end, "dropped")
    assert.strictEqual(held(2 * pieceBytesMin, [full[1]!]).end, "held")
  })

  it("gives up what it held of a chunk that came another way, or that is not in the share", () => {
    const device = tuned()
    device.opened(1, { known: false })
    for (const index of [0, 1, 2]) device.piece(1, index, 0, chunkOf(100))
    device.here.add(`0 ${root(1)}`)
    device.sizes.delete(`1 ${root(1)}`)
    device.unknown.clear()
    device.input({ _tag: "ManifestKnown", root: root(1) })
    assert.deepStrictEqual(device.dropped.map(({ index }) => index), [0, 1])
    assert.deepStrictEqual(device.whole.map(({ index }) => index), [2])
    assert.strictEqual(device.receiver.assembledBytes, 0)
  })

  it("takes nothing of a share that is not open", () => {
    const device = tuned()
    device.sizes.set(`0 ${root(1)}`, 100)
    assert.isUndefined(CastReceiver.place(device.receiver, device.head({ cast: 1, index: 0, offset: 0 }), 100))
  })

  it("asks once for a manifest of which some has not come when content does (invariant 5)", () => {
    const chunk = chunkOf(100)
    for (const comes of [[], [0], [1], [0, 1]]) {
      const device = tuned()
      device.opened(1, { known: false, manifestChunksCount: 2 })
      device.unknown.clear()
      for (const index of comes) device.piece(1, index, 0, chunk)
      assert.isEmpty(device.asked)
      for (const index of [2, 3, 4]) device.piece(1, index, 0, chunk)
      assert.deepStrictEqual(device.asked, comes.length === 2 ? [] : [root(1)])
    }
  })

  it("asks for no manifest that is here, or whose cast is over (invariant 5)", () => {
    for (const isOver of [false, true]) {
      const device = tuned()
      device.opened(1, { manifestChunksCount: 2 })
      if (isOver) device.told(1, { over: true })
      else for (const index of [0, 1]) device.here.add(`${index} ${root(1)}`)
      device.piece(1, 2, 0, chunkOf(100))
      assert.isEmpty(device.asked)
    }
  })

  it("asks for a manifest that may have been false (invariant 5)", () => {
    const device = tuned()
    device.opened(1, { manifestChunksCount: 1 })
    device.piece(1, 0, 0, chunkOf(100))
    assert.isEmpty(device.asked)
    device.input({ _tag: "ChunkFalse" })
    assert.deepStrictEqual(device.asked, [root(1)])
  })
})
