/** The session's log on this device: what authors say reaches every peer, is kept, and is delivered once, in order. */
import { Clock, Context, Effect, Equal, Exit, Layer, PubSub, Queue, Result, Schema, Scope, Semaphore } from "effect"
import { type Content, Entry } from "../protocol/Entry.ts"
import * as Gossip from "../protocol/Gossip.ts"
import type { PeerId, PublicKey } from "../protocol/Ids.ts"
import * as Limits from "../protocol/Limits.ts"
import type { Signed } from "../protocol/Signed.ts"
import { Status } from "../protocol/Status.ts"
import * as Statuses from "../protocol/Statuses.ts"
import { utf8Bytes } from "../protocol/Text.ts"
import type { LogMessage } from "../protocol/Wire.ts"
import { Crypto } from "./Crypto.ts"
import type { DiskError } from "./Disk.ts"
import { type LogRecord, LogStore, type SessionLog } from "./LogStore.ts"
import * as Mailbox from "./Mailbox.ts"
import { type LogEvent, PeerManager } from "./PeerManager.ts"
import { SessionContext } from "./SessionContext.ts"

/** The entry was not written: nobody has seen it and nobody will. */
export class WriteRefused extends Schema.TaggedError<WriteRefused>()("WriteRefused", {
  reason: Schema.Literals(["not-allowed", "too-long", "too-fast", "log-full", "ended", "removed", "disk"]),
  detail: Schema.String
}) {}

/** An entry whose author, role, number and signature have been checked. */
export interface Delivered {
  readonly author: PublicKey
  readonly peer: PeerId
  readonly byHost: boolean
  readonly entry: Entry
  /** True for what this device had already delivered in an earlier run: state to restore, not news to announce. */
  readonly replayed: boolean
}

/** What a device says of itself; the rest of a status is the machine's business. */
export type OwnStatus = Omit<Status, "number" | "since" | "name">

/** A device's newest word on itself; this device's own is among them. */
export interface PeerStatus {
  readonly peer: PeerId
  readonly key: PublicKey
  readonly status: Status
}

export class MessageRelay extends Context.Service<MessageRelay, {
  /**
   * Every entry once, each author's in order: first the log as kept on disk (`replayed`), then what arrives. An entry is
   * on disk before it is delivered; while the disk fails it is delivered nevertheless, and kept as soon as that works
   * again. Single consumer; what it has not taken yet is bounded by the maxima of the log.
   */
  readonly delivered: Mailbox.Inbox<Delivered>
  /**
   * Signs, keeps and sends an entry of this device. Completes when it is on disk and handed to every link. `first` is what is
   * to be done before anybody hears of it, once nothing can keep it back any more; no other entry is written meanwhile.
   */
  readonly write: (content: Content, first?: Effect.Effect<void>) => Effect.Effect<Entry, WriteRefused>
  /** Host only: shuts the holder of the key out, with all it writes from now on. */
  readonly remove: (key: PublicKey, name: string) => Effect.Effect<Entry, WriteRefused>
  /**
   * Replaces this device's own status; the same again is no news. A share that came, completed or met a problem is sent on
   * to the host within `Limits.statusIntervalMs`, figures alone when the room's size allows. Other students hear of it with
   * the next status for everybody; a host tells everybody at once.
   */
  readonly setStatus: (status: OwnStatus) => Effect.Effect<void>
  /** On a host the newest of every device, on others not older than the last that was for everybody. */
  readonly statuses: Effect.Effect<ReadonlyArray<PeerStatus>>
  /** A tick whenever `statuses` has changed. */
  readonly statusChanges: Effect.Effect<PubSub.Subscription<void>, never, Scope.Scope>
}>()("labfx/services/MessageRelay") {
  /** Keeps the log in `stateFolder`. */
  static readonly layer = (stateFolder: string) =>
    Layer.effect(MessageRelay, make()).pipe(Layer.provide(LogStore.layer(stateFolder)))
}

/** Verifications and decodings in a row: some three milliseconds, then others have their turn. */
const itemsInARow = 16
/** How often the machines are told that time passes. */
const tickMs = 1_000
/** How often, and how many times, to look whether lost own entries have come back before a new one is written. */
const ownMissingPollMs = 100
const ownMissingPollsMax = 40

const decodeEntry = Schema.decodeUnknownResult(Entry)
const decodeStatus = Schema.decodeUnknownResult(Status)

/** Of a body whose signature has been checked; nothing if it is not what its kind says. */
const decodeBody = <A>(decode: (value: unknown) => Result.Result<A, unknown>, body: string): A | undefined => {
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch {
    return undefined
  }
  const decoded = decode(value)
  return Result.isSuccess(decoded) ? decoded.success : undefined
}

const make = Effect.fnUntraced(function*() {
  const peers = yield* PeerManager
  const context = yield* SessionContext
  const crypto = yield* Crypto
  const store = yield* LogStore
  const clock = yield* Clock.Clock
  const nowMs = () => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)

  const self = context.self.publicKey
  const gossip = Gossip.make(self, nowMs())
  const statuses = Statuses.make(self)
  const delivered = yield* Mailbox.make<Delivered>()
  const statusChanges = yield* PubSub.sliding<void>(1)
  const neighbors = new Set<PeerId>()
  let ownStatus: OwnStatus | undefined
  // Every input is worked off, with everything it leads to, before the next one: one at a time for both machines.
  const one = yield* Semaphore.make(1)

  /** When time is looked at next unless `wake` brings it forward. */
  let wakeAtMs = 0
  const wake = yield* Queue.sliding<void>(1)

  // ---- disk --------------------------------------------------------------------------------------------------------

  const scope = yield* Effect.scope
  /** Nothing of an attempt that failed stays open. */
  const openLog = Effect.gen(function*() {
    const attempt = yield* Scope.fork(scope)
    return yield* store.open(context.session).pipe(
      Scope.provide(attempt),
      Effect.onError((cause) => Scope.close(attempt, Exit.failCause(cause)))
    )
  })
  /** Until it can be opened, nothing is kept: `onTick` tries again. */
  const unopened = (error: DiskError): SessionLog => ({ kept: [], append: () => Effect.fail(error) })
  let isOpen = true
  let log = yield* Effect.catch(openLog, (error) => {
    isOpen = false
    return Effect.as(
      Effect.logWarning(`The log of this session cannot be kept for now: ${error.detail}`),
      unopened(error)
    )
  })
  /** What could not be appended yet; nothing but what the machine holds anyway. */
  let unsaved: Array<LogRecord> = []

  const append = (records: ReadonlyArray<LogRecord>, durable: boolean): Effect.Effect<void, DiskError> =>
    Effect.suspend(() => log.append([...unsaved, ...records], durable)).pipe(
      Effect.tap(() => {
        unsaved = []
        return Effect.void
      })
    )

  const keep = Effect.fnUntraced(function*(kind: LogRecord["kind"], all: ReadonlyArray<Signed>) {
    if (all.length === 0) return
    const records = all.map((signed) => ({ kind, signed }))
    // A certificate must not be lost before what it makes valid: without it, the host's own words are a student's.
    yield* append(records, kind === "certificate").pipe(Effect.catch((error) => {
      const first = unsaved.length === 0
      unsaved.push(...records)
      return first ? Effect.logWarning(`The log cannot be written for now: ${error.detail}`) : Effect.void
    }))
  })

  // ---- what the machines say ---------------------------------------------------------------------------------------

  const deliver = (author: PublicKey, entry: Entry, replayed: boolean): void => {
    delivered.offer({
      author,
      peer: crypto.peerId(author),
      byHost: context.isHostKey(author),
      entry,
      replayed
    })
  }

  const performGossip = (output: Gossip.Output): Effect.Effect<void> => {
    switch (output._tag) {
      case "Send":
        return Effect.sync(() => peers.send(output.peer, output.message))
      case "Persist":
        return keep("entry", output.entries)
      case "Deliver":
        return Effect.andThen(
          Effect.sync(() => deliver(output.author, output.entry, false)),
          obey(output.author, output.entry)
        )
      case "Overhead":
        return Effect.sync(() => peers.overhead(output.peer, output.bytes))
      case "Disconnect":
        return drop(output.peer, output.detail)
      case "Conflict":
        return Effect.logWarning(
          `A device (${crypto.peerId(output.author).slice(0, 8)}) has said two things under one number ` +
            `(${output.number}). Devices may show different ones.`
        )
    }
  }

  /** What an entry means for links; what it means for logs is decided by the machine. */
  const obey = (author: PublicKey, { content }: Entry): Effect.Effect<void> => {
    if (content._tag !== "Remove" || !context.isHostKey(author) || context.isHostKey(content.key)) return Effect.void
    context.remove(content.key)
    return peers.disconnect(crypto.peerId(content.key), "removed", "the teacher has removed this device")
  }

  const performStatuses = (output: Statuses.Output): Effect.Effect<void> => {
    switch (output._tag) {
      case "Send":
        return Effect.sync(() => peers.send(output.peer, output.message))
      case "Overhead":
        return Effect.sync(() => peers.overhead(output.peer, output.bytes))
      case "News":
        return Effect.asVoid(PubSub.publish(statusChanges, undefined))
      case "Sign": {
        const { number, since } = output
        const status: Status = { number, ...(since < number ? { since } : {}), name: context.name, ...ownStatus! }
        const signed = crypto.sign(context.self, "status", context.session, JSON.stringify(status))
        return stepStatuses({ _tag: "Signed", signed, status })
      }
    }
  }

  const stepGossip = (input: Gossip.Input): Effect.Effect<void> =>
    Effect.suspend(() => {
      const outputs = Gossip.step(gossip, input, nowMs())
      if (Gossip.wakeAtMs(gossip) < wakeAtMs) Queue.offerUnsafe(wake, undefined)
      return Effect.forEach(outputs, performGossip, { discard: true })
    })

  const stepStatuses = (input: Statuses.Input): Effect.Effect<void> =>
    Effect.suspend(() => Effect.forEach(Statuses.step(statuses, input, nowMs()), performStatuses, { discard: true }))

  // ---- who may say what --------------------------------------------------------------------------------------------

  const keptCertificates = new Set(
    log.kept.flatMap(({ kind, signed }) => (kind === "certificate" ? [signed.signature] : []))
  )
  let certificates: ReturnType<typeof context.certificates> = []

  /**
   * Takes note of certificates that anybody has learned, and passes them on before anything that they make valid: so no
   * peer ever gets an entry before it can know who is host.
   */
  const refreshAuthority = Effect.fnUntraced(function*(from: PeerId | undefined) {
    const before = certificates
    if (context.certificates() === before) return
    certificates = context.certificates()
    yield* keep(
      "certificate",
      certificates.flatMap(({ signed }) => (keptCertificates.has(signed.signature) ? [] : [signed]))
    )
    for (const { signed } of certificates) keptCertificates.add(signed.signature)
    const hosts = new Set(certificates.map(({ certificate }) => certificate.host))
    yield* stepGossip({
      _tag: "Authority",
      hosts,
      policies: certificates.map(({ certificate }) => certificate.policy)
    })
    yield* stepStatuses({ _tag: "Hosts", hosts, host: context.certificate().host })
    for (const peer of neighbors) if (peer !== from) peers.send(peer, certificatesMessage())
  })

  const certificatesMessage = (): LogMessage => ({
    _tag: "Certificates",
    certificates: certificates.map(({ signed }) => signed)
  })

  // ---- what was kept -----------------------------------------------------------------------------------------------

  const restore = Effect.gen(function*() {
    context.learn(log.kept.flatMap(({ kind, signed }) => (kind === "certificate" ? [signed] : [])))
    yield* refreshAuthority(undefined)
    const items: Array<{ readonly signed: Signed; readonly entry: Entry }> = []
    for (const { kind, signed } of log.kept) {
      if (kind !== "entry") continue
      // Checked before it was kept, and the checksum says that this is still it.
      const entry = decodeBody(decodeEntry, signed.body)
      if (entry !== undefined) items.push({ signed, entry })
      if (items.length % (4 * itemsInARow) === 0) yield* Effect.yieldNow
    }
    for (const output of Gossip.step(gossip, { _tag: "Restored", items }, nowMs())) {
      if (output._tag !== "Deliver") continue
      deliver(output.author, output.entry, true)
      yield* obey(output.author, output.entry)
    }
  })

  // ---- what peers say ----------------------------------------------------------------------------------------------

  /**
   * Checks the statements that a machine finds worth it: signature, size and shape. Stops at the first that an honest
   * peer would not have passed on.
   */
  const check = Effect.fnUntraced(function*<A>(
    all: ReadonlyArray<Signed>,
    is: {
      readonly kind: "entry" | "status"
      readonly bytesMax: number
      readonly sight: (signed: Signed) => "known" | "unwanted" | "new"
      readonly decode: (value: unknown) => Result.Result<A, unknown>
    }
  ) {
    const items: Array<{ readonly signed: Signed; readonly value: A | undefined }> = []
    let looked = 0
    for (const signed of all) {
      let value: A | undefined
      if (is.sight(signed) === "new") {
        if (++looked % itemsInARow === 0) yield* Effect.yieldNow
        // Characters first: they cost nothing to count, and are never more than bytes.
        if (signed.body.length > is.bytesMax || utf8Bytes(signed.body) > is.bytesMax) {
          return { items, blame: `an oversized ${is.kind}` }
        }
        if (!crypto.verify(is.kind, context.session, signed)) return { items, blame: `a forged ${is.kind}` }
        value = decodeBody(is.decode, signed.body)
        if (value === undefined) return { items, blame: `an unreadable ${is.kind}` }
      }
      items.push({ signed, value })
    }
    return { items, blame: undefined }
  })

  /** Ends the link to a peer that no honest one could be. */
  const drop = Effect.fnUntraced(function*(peer: PeerId, detail: string) {
    yield* Effect.logWarning(`A device (${peer.slice(0, 8)}) was dropped: ${detail}`)
    yield* down(peer)
    yield* peers.disconnect(peer, "protocol", detail)
  })

  const down = (peer: PeerId): Effect.Effect<void> =>
    Effect.suspend(() => {
      neighbors.delete(peer)
      return Effect.andThen(
        stepGossip({ _tag: "NeighborDown", peer }),
        stepStatuses({ _tag: "NeighborDown", peer })
      )
    })

  const onMessage = Effect.fnUntraced(function*(peer: PeerId, message: LogMessage) {
    // After a link has been given up, what it still had to say is of no interest.
    if (!neighbors.has(peer)) return
    switch (message._tag) {
      case "Certificates": {
        const { forged } = context.learn(message.certificates)
        if (context.certificates() === certificates) peers.overhead(peer, bytesOf(message.certificates))
        yield* refreshAuthority(peer)
        if (forged) yield* peers.disconnect(peer, "protocol", "a certificate that is not this session's")
        return
      }
      case "Heads":
        return yield* stepGossip({ _tag: "Heads", peer, heads: message })
      case "Entries": {
        const { blame, items } = yield* check(message.entries, {
          kind: "entry",
          bytesMax: Limits.entryBodyBytesMax,
          sight: (signed) => Gossip.sight(gossip, signed),
          decode: decodeEntry
        })
        yield* stepGossip({
          _tag: "Entries",
          peer,
          items: items.map(({ signed, value }) => ({ signed, entry: value })),
          besideBulk: peers.movesBulk()
        })
        return blame === undefined ? undefined : yield* drop(peer, blame)
      }
      case "Statuses": {
        if (!Statuses.admits(statuses, peer, nowMs())) return peers.overhead(peer, bytesOf(message.statuses))
        const { blame, items } = yield* check(message.statuses, {
          kind: "status",
          bytesMax: Limits.statusBodyBytesMax,
          sight: (signed) => context.isRemoved(signed.key) ? "unwanted" : Statuses.sight(statuses, signed),
          decode: decodeStatus
        })
        yield* stepStatuses({
          _tag: "Received",
          peer,
          items: items.map(({ signed, value }) => ({ signed, status: value }))
        })
        return blame === undefined ? undefined : yield* drop(peer, blame)
      }
    }
  })

  const onEvent = Effect.fnUntraced(function*(event: LogEvent) {
    yield* refreshAuthority(undefined)
    switch (event._tag) {
      case "PeerUp": {
        const { dialled, isHost, key, peer } = event.info
        neighbors.add(peer)
        // Its hello may have crossed with a certificate that came meanwhile.
        if (certificates.length > 1) peers.send(peer, certificatesMessage())
        yield* stepGossip({ _tag: "NeighborUp", peer, isHost, dialled })
        return yield* stepStatuses({ _tag: "NeighborUp", peer, key })
      }
      case "PeerDown":
        return yield* down(event.peer)
      case "PeerNearHost":
        yield* stepGossip({ _tag: "NeighborNearHost", peer: event.peer, near: event.near })
        return yield* stepStatuses({ _tag: "NeighborNearHost", peer: event.peer, near: event.near })
      case "PeerMessage":
        return yield* onMessage(event.peer, event.message)
    }
  })

  /** Opens the log if it could not be opened so far. What it had comes as history where nobody has told of it meanwhile. */
  const reopen = Effect.gen(function*() {
    log = yield* openLog
    isOpen = true
    yield* restore
  }).pipe(Effect.ignore)

  const onTick = Effect.gen(function*() {
    if (!isOpen) yield* reopen
    yield* refreshAuthority(undefined)
    if (unsaved.length > 0) yield* Effect.ignore(append([], false))
    yield* stepGossip({ _tag: "Tick" })
    yield* stepStatuses({ _tag: "Tick" })
  })

  // ---- what this device says ---------------------------------------------------------------------------------------

  const writeNow = Effect.fnUntraced(function*(content: Content, first: Effect.Effect<void>) {
    const entry: Entry = {
      number: Gossip.nextNumber(gossip),
      name: context.name,
      // A clock may be set to before 1970, and nobody is to be silenced by it.
      writtenAt: Math.max(0, Math.floor(yield* Clock.currentTimeMillis)),
      content
    }
    const body = JSON.stringify(entry)
    const reason = Gossip.refusal(gossip, content, body, nowMs())
    if (reason !== undefined) return yield* refused(reason, refusals[reason])
    if (Result.isFailure(decodeEntry(entry))) return yield* refused(...invalid(content))
    const signed = crypto.sign(context.self, "entry", context.session, body)
    // On disk before anybody sees it: a crash must not make this device use the number again.
    yield* append([{ kind: "entry", signed }], true).pipe(
      Effect.catch((error) => refused("disk", `it could not be kept on disk: ${error.detail}`))
    )
    yield* first
    yield* stepGossip({ _tag: "Wrote", signed, entry })
    return entry
  })

  const write = Effect.fn("MessageRelay.write")(function*(content: Content | (() => Content), first = Effect.void) {
    for (let polls = 0; polls < ownMissingPollsMax && Gossip.ownMissing(gossip, nowMs()); polls++) {
      yield* Effect.sleep(ownMissingPollMs)
    }
    return yield* refreshAuthority(undefined).pipe(
      Effect.andThen(Effect.suspend(() => writeNow(typeof content === "function" ? content() : content, first))),
      Effect.uninterruptible,
      one.withPermit
    )
  })

  // ---- life --------------------------------------------------------------------------------------------------------

  yield* restore

  yield* peers.logEvents.process((event) => one.withPermit(Effect.uninterruptible(onEvent(event))))
  let tickAtMs = nowMs() + tickMs
  yield* Effect.gen(function*() {
    wakeAtMs = Math.min(tickAtMs, Gossip.wakeAtMs(gossip))
    yield* Effect.timeoutOption(Queue.take(wake), Math.max(1, wakeAtMs - nowMs()))
    if (nowMs() >= tickAtMs) {
      tickAtMs = nowMs() + tickMs
      yield* one.withPermit(Effect.uninterruptible(onTick))
    } else if (nowMs() >= wakeAtMs) yield* one.withPermit(Effect.uninterruptible(stepGossip({ _tag: "Tick" })))
  }).pipe(Effect.forever, Effect.forkScoped)

  return MessageRelay.of({
    delivered,
    write,
    remove: (key, name) => write(() => ({ _tag: "Remove", key, name, after: Gossip.delivered(gossip, key) })),
    setStatus: (status) =>
      one.withPermit(Effect.suspend(() => {
        const before = ownStatus
        ownStatus = status
        if (before !== undefined && Equal.equals(before, status)) return Effect.void
        return stepStatuses({ _tag: "Changed", matters: before === undefined || !standsAlike(before, status) })
      })),
    statuses: Effect.sync(() =>
      Statuses.current(statuses)
        .filter(({ key }) => !context.isRemoved(key))
        .map(({ key, status }) => ({ peer: crypto.peerId(key), key, status }))
    ),
    statusChanges: PubSub.subscribe(statusChanges)
  })
})

/** About what they take in a frame. */
const bytesOf = (all: ReadonlyArray<Signed>): number =>
  all.reduce((bytes, { body, key, signature }) => bytes + key.length + signature.length + body.length, 0)

/** Whether two statuses differ in figures alone. */
const standsAlike = (a: OwnStatus, b: OwnStatus): boolean =>
  a.shares.length === b.shares.length && a.shares.every((share, index) => {
    const other = b.shares[index]!
    return share.root === other.root && share.complete === other.complete && share.problem === other.problem
  })

const refused = (reason: WriteRefused["reason"], detail: string) => Effect.fail(new WriteRefused({ reason, detail }))

const refusals = {
  "ended": "the session is over",
  "removed": "the teacher has removed this device from the session",
  "not-allowed": "the teacher does not allow it in this session",
  "too-long": `a message has at most ${Limits.messageTextBytesMax / 1024} KiB`,
  "log-full": "this device has written as much as one session holds",
  "too-fast": `at most ${Limits.entriesPerSecondMax} messages a second`
} as const

/** Why content that may be written is nevertheless not well formed. */
const invalid = (content: Content): [WriteRefused["reason"], string] =>
  content._tag === "Text" && utf8Bytes(content.text) <= Limits.messageTextBytesMax
    ? ["not-allowed", "a message needs some text"]
    : ["too-long", refusals["too-long"]]
