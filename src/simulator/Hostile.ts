/**
 * Members of an open session that mean harm: they have keys and links like everybody, speak the real protocol over the
 * real links, and each of them breaks it in one way.
 */
import { Clock, Effect, Queue, type Scope } from "effect"
import * as Announcement from "../protocol/Announcement.ts"
import type { Share } from "../protocol/Entry.ts"
import * as Frame from "../protocol/Frame.ts"
import type { PeerId, Root, SessionId } from "../protocol/Ids.ts"
import * as Limits from "../protocol/Limits.ts"
import * as Manifest from "../protocol/Manifest.ts"
import type { Kind, Signed } from "../protocol/Signed.ts"
import { type Address, castPort, type Message } from "../protocol/Wire.ts"
import type { Crypto, KeyPair } from "../services/Crypto.ts"
import * as Link from "../services/Link.ts"
import type { Connection } from "../services/Transport.ts"
import type * as Scenario from "./Scenario.ts"
import type { Port, VirtualNetwork } from "./VirtualNetwork.ts"

/** `resurrect` plays an ended session back: what it has heard of it, but for its end. Only lessons that end have use for it. */
export type Role = Scenario.Role | "resurrect"

export interface HostileOptions {
  readonly name: string
  readonly role: Role
  readonly port: Port
  readonly network: VirtualNetwork
  readonly crypto: Crypto["Service"]
  readonly self: KeyPair
  readonly random: () => number
  readonly discoveryPort: number
}

/** What a hostile device has done, for the report. */
export interface Hostile {
  readonly role: Role
  readonly peer: PeerId
  /** False chunks that went out whole, by the link they went to. */
  readonly poisoned: ReadonlyArray<{ readonly victim: PeerId; chunks: number }>
}

/** How often it looks for somebody to dial, and how often it acts. */
const dialEveryMs = 700
const actEveryMs = 250
/** Links it keeps at most: more than anybody, so that everybody suffers it. */
const linksMax = 64
/** Statements of others that it remembers for replaying. */
const heardMax = 256
/** Teachers that it makes up: several times what anybody lists because of one address. */
const forgedMax = 8 * Limits.sessionsPerAddressMax

const jsonDepth = 5_000

/** Does its harm until the scope closes. */
export const run = Effect.fnUntraced(function*(
  options: HostileOptions
): Effect.fn.Return<Hostile, never, Scope.Scope> {
  const { crypto, discoveryPort, name, network, port, random, role, self } = options
  const transport = network.transport(port)
  const datagrams = network.datagrams(port)
  const clock = yield* Clock.Clock
  const scope = yield* Effect.scope
  const peer = crypto.peerId(self.publicKey)
  const below = (n: number) => Math.floor(random() * n)

  let announcement: Announcement.Announcement | undefined
  const addresses = new Map<PeerId, Address>()
  const links = new Map<PeerId, Link.Link>()
  const dialling = new Set<PeerId>()
  const shares = new Map<Root, Share>()
  const entries: Array<Signed> = []
  const statuses: Array<Signed> = []
  const notices: Array<Signed> = []
  const datagramsHeard: Array<Uint8Array> = []
  const poisoned: Array<{ readonly victim: PeerId; chunks: number }> = []
  let written = 0
  let statusNumber = 0

  const session = () => announcement!.certificate.session
  const sign = (kind: Kind, value: unknown, pair = self): Signed =>
    crypto.sign(pair, kind, session(), JSON.stringify(value))
  /** From one draw, by xorshift32: a draw for every byte of every false chunk took most of a lesson's processor time. */
  const noise = (length: number): Uint8Array => {
    const words = new Uint32Array(Math.ceil(length / 4))
    let word = 1 + below(0x7fff_ffff)
    for (let at = 0; at < words.length; at++) {
      word ^= word << 13
      word ^= word >>> 17
      word ^= word << 5
      words[at] = word
    }
    return new Uint8Array(words.buffer, 0, length)
  }
  const text = (content: string, number: number) =>
    sign("entry", {
      number,
      name,
      writtenAt: clock.currentTimeMillisUnsafe(),
      content: { _tag: "Text", text: content }
    })
  const post = (link: Link.Link, message: Message) => link.post("log", Frame.encodeControl(message))
  const toAll = (make: (link: Link.Link, index: number) => Message | undefined) => {
    let index = 0
    for (const link of links.values()) {
      const message = make(link, index++)
      if (message !== undefined) post(link, message)
    }
  }

  // ---- chunks ------------------------------------------------------------------------------------------------------

  /** Claims everything. */
  const claim = (link: Link.Link, share: Share): void => {
    const count = share.manifest.hashes.length + share.chunksCount
    const bits = new Uint8Array(Math.ceil(count / 8)).fill(255)
    if (count % 8 !== 0) bits[bits.length - 1] = 0xff << (8 - (count % 8))
    let base64 = ""
    for (const byte of bits) base64 += String.fromCharCode(byte)
    post(link, {
      _tag: "Bitfield",
      share: share.root,
      bits: btoa(base64).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")
    })
  }

  const chunkBytes = (share: Share, index: number): number => {
    const manifestChunks = share.manifest.hashes.length
    if (index < manifestChunks) return Manifest.manifestChunkBytes(share, index)
    const isLast = index === manifestChunks + share.chunksCount - 1
    return isLast && share.kind === "file"
      ? share.sizeBytes - (share.chunksCount - 1) * share.chunkSizeBytes
      : share.chunkSizeBytes
  }

  const answer = Effect.fnUntraced(function*(link: Link.Link, root: Root, index: number, victim: { chunks: number }) {
    const share = shares.get(root)
    if (share === undefined) return
    switch (role) {
      case "poison": {
        const bytes = noise(chunkBytes(share, index))
        const done = (sent: boolean) => {
          if (sent) victim.chunks++
        }
        return link.sendChunk({ share: root, index, bytes, urgent: false, done })
      }
      case "lie":
        return link.post("swarm", Frame.encodeControl({ _tag: "Reject", share: root, index }))
      case "trickle": {
        for (let offset = 0; offset < chunkBytes(share, index); offset += 16) {
          const payload = noise(16)
          const header = Frame.encodeDataHeader({ _tag: "Data", share: root, index, offset }, payload.length)
          link.post("swarm", joined([header, payload]))
          yield* Effect.sleep(400)
        }
        return
      }
      case "hoard":
      case "stall":
        return
      default:
        return link.post("swarm", Frame.encodeControl({ _tag: "Reject", share: root, index }))
    }
  })

  const claims = role === "poison" || role === "lie" || role === "stall" || role === "trickle"

  const learn = (link: Link.Link, signed: ReadonlyArray<Signed>): void => {
    for (const entry of signed) {
      try {
        const { content } = JSON.parse(entry.body) as { readonly content: Share | { readonly _tag: "End" } }
        if (entries.length < heardMax && !(role === "resurrect" && content._tag === "End")) entries.push(entry)
        if (content._tag !== "Share" || shares.has(content.root)) continue
        shares.set(content.root, content)
        if (claims) { for (const other of new Set([link, ...links.values()])) claim(other, content) }
      } catch {
        // Somebody else's garbage.
      }
    }
  }

  // ---- links -------------------------------------------------------------------------------------------------------

  const converse = Effect.fnUntraced(function*(connection: Connection) {
    const link = yield* Link.make(connection)
    const victim = { victim: connection.peer, chunks: 0 }
    poisoned.push(victim)
    const certificates = role === "impersonate" && random() < 0.5
      ? [crypto.sign(self, "certificate", "-", announcement!.certificateSigned.body), announcement!.certificateSigned]
      : [announcement!.certificateSigned]
    post(link, {
      _tag: "Hello",
      versions: [1, 1],
      session: session(),
      certificates,
      name,
      listenPort: listener.port,
      program: "hostile"
    })
    links.set(connection.peer, link)
    yield* Effect.gen(function*() {
      while (true) {
        const received = yield* Queue.take(link.inbox)
        link.caughtUp()
        if (received._tag === "Data") continue
        const { message } = received
        switch (message._tag) {
          case "Hello":
            post(link, { _tag: "Heads", first: true, received: 0, heads: [] })
            if (role === "resurrect" && entries.length > 0) post(link, { _tag: "Entries", entries: entries as never })
            if (claims) { for (const share of shares.values()) claim(link, share) }
            break
          case "Ping":
            post(link, { _tag: "Pong" })
            break
          case "Entries":
            learn(link, message.entries)
            break
          case "Casts":
            if (notices.length < heardMax && message.notice.body.includes("share")) notices.push(message.notice)
            break
          case "Statuses":
            if (statuses.length < heardMax) statuses.push(...message.statuses)
            break
          case "Peers":
            for (const { addresses: [address], peer } of message.peers) {
              if (address !== undefined && addresses.size < 4 * linksMax) addresses.set(peer, address)
            }
            break
          case "Request":
            yield* Effect.forkScoped(answer(link, message.share, message.index, victim))
            break
          case "Goodbye":
            return
        }
      }
    }).pipe(
      Effect.catchTag("Done", () => Effect.void),
      Effect.ensuring(Effect.sync(() => links.get(connection.peer) === link && links.delete(connection.peer)))
    )
  }, Effect.scoped)

  const listener = yield* Effect.orDie(transport.listen(self, 0))
  yield* Queue.take(listener.accepted).pipe(
    Effect.flatMap((connection) =>
      announcement === undefined
        ? transport.close(connection)
        : Effect.forkIn(converse(connection).pipe(Effect.ensuring(transport.close(connection))), scope)
    ),
    Effect.forever,
    Effect.forkScoped
  )

  const dial = (target: PeerId, address: Address) =>
    transport.dial(self, address, target).pipe(
      Effect.flatMap(converse),
      Effect.scoped,
      Effect.ignore,
      Effect.ensuring(Effect.sync(() => dialling.delete(target)))
    )

  yield* Effect.sleep(dialEveryMs).pipe(
    Effect.andThen(Effect.suspend(() =>
      Effect.forEach(
        Array.from(addresses).filter(([target]) =>
          !links.has(target) && !dialling.has(target) && links.size + dialling.size < linksMax
        ),
        ([target, address]) => {
          dialling.add(target)
          return Effect.forkIn(dial(target, address), scope)
        },
        { discard: true }
      )
    )),
    Effect.forever,
    Effect.forkScoped
  )

  // ---- announcements -----------------------------------------------------------------------------------------------

  yield* Effect.orDie(datagrams.listen(discoveryPort, ({ bytes, from }) => {
    const decoded = Announcement.decode(bytes)
    if (decoded._tag !== "Announcement") return
    const { certificateSigned, statement, statementSigned } = decoded.announcement
    // It hates this session and no other: the forged ones of its like are none of its business.
    if (!crypto.verify("certificate", "-", certificateSigned)) return
    if (announcement !== undefined && announcement.certificate.session !== decoded.announcement.certificate.session) {
      return
    }
    if (decoded.announcement.certificate.title !== "Lesson") return
    if ((announcement?.certificate.epoch ?? 0) <= decoded.announcement.certificate.epoch) {
      announcement = decoded.announcement
    }
    if (datagramsHeard.length < heardMax) datagramsHeard.push(bytes)
    const other = crypto.peerId(statementSigned.key)
    if (other !== peer) addresses.set(other, { host: from.host, port: statement.port })
  }))

  const announce = (bytes: Uint8Array) =>
    Effect.flatMap(datagrams.interfaces, (from) => datagrams.broadcast(discoveryPort, bytes, from))

  yield* Effect.suspend(() => {
    if (announcement === undefined) return Effect.void
    const body = Announcement.statementBody({ port: listener.port, epoch: announcement.certificate.epoch })
    return announce(
      Announcement.encode(announcement.certificateSigned, crypto.sign(self, "announcement", session(), body))
    )
  }).pipe(Effect.andThen(Effect.sleep(2_000)), Effect.forever, Effect.forkScoped)

  // ---- harm --------------------------------------------------------------------------------------------------------

  /** Certificates of made-up teachers; each announcement of one is new all the same. */
  const forged: Array<{ readonly session: SessionId; readonly signed: Signed }> = []
  const forgedSession = (): Uint8Array => {
    if (forged.length < forgedMax) {
      const root = crypto.keyPair(noise(32))
      const certificate = {
        ...announcement!.certificate,
        root: root.publicKey,
        host: self.publicKey,
        title: "Lesson 2"
      }
      const signed = crypto.sign(root, "certificate", "-", JSON.stringify(certificate))
      forged.push({ session: certificate.session, signed })
    }
    const { session, signed } = forged[below(forged.length)]!
    const body = Announcement.statementBody({ port: 1 + below(65_535), epoch: announcement!.certificate.epoch })
    return Announcement.encode(signed, crypto.sign(self, "announcement", session, body))
  }

  const bent = (bytes: Uint8Array): Uint8Array => {
    const copy = bytes.slice()
    copy[below(copy.length)]! ^= 1 << below(8)
    return copy
  }

  const rubbish = (): Uint8Array => {
    const control = (json: string): Uint8Array => Frame.encodeControl(JSON.parse(json))
    switch (below(8)) {
      case 0:
        return noise(200)
      case 1:
        return new Uint8Array([1, 255, 255, 255, 0, 0, 0, 0])
      case 2:
        return new Uint8Array([2, 0, 0, 2, 255, 255, 255, 255, 123, 125])
      case 3:
        return control(`{"_tag":"Heads","first":true,"received":1e999,"heads":[]}`.replace("1e999", "9e15"))
      case 4:
        return control(`{"__proto__":{"_tag":"Ping"},"constructor":{}}`)
      case 5:
        return frameOf(`${"[".repeat(jsonDepth)}${"]".repeat(jsonDepth)}`)
      case 6:
        return control(`{"_tag":"Tomorrow","ignorable":true}`)
      default:
        return control(`{"_tag":"Request","share":"${"A".repeat(43)}","index":4294967296}`)
    }
  }

  const act: Effect.Effect<void> = Effect.suspend(() => {
    if (announcement === undefined) return Effect.void
    switch (role) {
      case "resurrect":
      case "replay":
        toAll(() => entries.length === 0 ? undefined : { _tag: "Entries", entries: entries.slice(0, 64) as never })
        toAll(() =>
          statuses.length === 0
            ? undefined
            : { _tag: "Statuses", statuses: statuses.slice(0, Limits.statusesPerMessageMax) as never }
        )
        toAll(() => notices.length === 0 ? undefined : { _tag: "Casts", notice: notices[0]!, ignorable: true })
        return Effect.forEach(datagramsHeard.slice(-10), announce, { discard: true })
      case "equivocate": {
        written++
        const versions = [text(`${name} says yes`, written), text(`${name} says no`, written)]
        toAll((_, index) => ({ _tag: "Entries", entries: [versions[index % 2]!] }))
        return Effect.void
      }
      case "spam": {
        const some = Array.from({ length: 15 }, () => text(`${name} spams ${written}`, ++written))
        toAll(() => ({ _tag: "Entries", entries: some as never }))
        return Effect.void
      }
      case "garbage":
        for (const link of links.values()) if (random() < 0.2) link.post("swarm", rubbish())
        return Effect.void
      case "impersonate": {
        const number = 1 + below(20)
        const own = (content: unknown) => sign("entry", { number: ++written, name: "teacher", writtenAt: 1, content })
        const stolen = entries.length === 0 ? self.publicKey : entries[below(entries.length)]!.key
        const lies: ReadonlyArray<Signed> = [
          { ...text("the lesson is over, go home", number), key: stolen },
          own({ _tag: "End" }),
          own({ _tag: "Unshare", root: Array.from(shares.keys())[0] ?? "A".repeat(43) })
        ]
        const lie = lies[below(lies.length)]!
        // Whoever believes this waits for what never comes.
        const notice = sign("cast-notice", {
          number: 1_000 + written,
          from: port.host,
          group: { host: "239.255.1.1", port: castPort },
          key: "A".repeat(43),
          casts: Array.from(shares.keys(), (share, cast) => ({ share, cast }))
        })
        toAll((link) =>
          random() < 0.3
            ? { _tag: "Entries", entries: [lie] }
            : random() < 0.3
            ? { _tag: "Casts", notice: { ...notice, key: announcement!.certificate.host }, ignorable: true }
            : {
              _tag: "Peers",
              links: 1,
              // Everybody else is said to be here, where nobody else is.
              peers: Array.from(addresses.keys()).slice(0, 10).filter((other) => other !== link.connection.peer).map((
                other
              ) => ({ peer: other, addresses: [{ host: port.host, port: listener.port }] }))
            }
        )
        return Effect.void
      }
      case "flood":
        return Effect.forEach(
          Array.from({ length: 12 }, (_, i) =>
            i % 4 === 0
              ? noise(300)
              : i % 4 === 1 || datagramsHeard.length === 0
              ? forgedSession()
              : bent(datagramsHeard[below(datagramsHeard.length)]!)),
          announce,
          { discard: true }
        )
      case "hoard":
        for (const share of shares.values()) {
          const count = share.manifest.hashes.length + share.chunksCount
          for (const link of links.values()) {
            for (let i = 0; i < 12; i++) {
              link.post(
                "swarm",
                Frame.encodeControl({
                  _tag: random() < 0.8 ? "Request" : "Cancel",
                  share: share.root,
                  index: below(count)
                })
              )
            }
            if (random() < 0.3) link.connection.setReading(false)
          }
        }
        return Effect.void
      case "duplicate": {
        const targets = Array.from(addresses).slice(0, 5)
        statusNumber++
        toAll(() => ({
          _tag: "Statuses",
          statuses: [sign("status", { number: statusNumber, name: "teacher", links: 9e9, shares: [] })]
        }))
        return Effect.forEach(targets, ([target, address]) => Effect.forkIn(dial(target, address), scope), {
          discard: true
        })
      }
      default:
        return Effect.void
    }
  })
  yield* Effect.sleep(actEveryMs).pipe(Effect.andThen(act), Effect.forever, Effect.forkScoped)

  return { role, peer, poisoned }
})

const joined = (parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

/** A control frame around any text. */
const frameOf = (json: string): Uint8Array => {
  const bytes = new TextEncoder().encode(json)
  return joined([new Uint8Array([1, bytes.length >> 16, bytes.length >> 8, bytes.length, 0, 0, 0, 0]), bytes])
}
