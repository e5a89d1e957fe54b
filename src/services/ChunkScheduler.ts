/** Moves chunks: drives the swarm machine over the links of PeerManager and the disk of ChunkStore. */
import { Clock, Context, Duration, Effect, FiberSet, Layer, PubSub, Random, Schedule, type Scope } from "effect"
import * as Bitfield from "../protocol/Bitfield.ts"
import type { Share } from "../protocol/Entry.ts"
import type { PeerId, Root } from "../protocol/Ids.ts"
import * as Limits from "../protocol/Limits.ts"
import * as Swarm from "../protocol/Swarm.ts"
import { type Data, isCastMessage } from "../protocol/Wire.ts"
import * as Alarm from "./Alarm.ts"
import * as BufferPool from "./BufferPool.ts"
import * as Casting from "./Casting.ts"
import { ChunkStore, type StoreError } from "./ChunkStore.ts"
import { PeerManager, type SwarmEvent } from "./PeerManager.ts"

export interface ShareProgress {
  readonly root: Root
  /** Content bytes verified here, and in all. */
  readonly verifiedBytes: number
  readonly sizeBytes: number
  readonly receiveBytesPerSecond: number
  readonly sendBytesPerSecond: number
  /** Peers that chunks of this share are coming from. */
  readonly sources: number
}

export type TransferEvent =
  | { readonly _tag: "Progress"; readonly progress: ShareProgress }
  | {
    readonly _tag: "Completed"
    readonly root: Root
    readonly path: string
    readonly sizeBytes: number
    readonly skipped: ReadonlyArray<{ readonly path: string; readonly reason: string }>
  }
  /** The share does not go on for now; it resumes by itself when the cause is gone. */
  | { readonly _tag: "Paused"; readonly root: Root; readonly error: StoreError }
  | { readonly _tag: "Resumed"; readonly root: Root }
  /** This device's own source changed while it was shared: it is no longer served. */
  | { readonly _tag: "SourceChanged"; readonly root: Root; readonly detail: string }
  /** A peer sent bytes that are not what the teacher signed; it has been dropped. */
  | { readonly _tag: "Poisoned"; readonly peer: PeerId; readonly root: Root }

export interface Traffic {
  readonly sentBytes: number
  readonly receivedBytes: number
  /** Received for nothing: chunks that were here already or that nobody asked for. */
  readonly wastedBytes: number
}

export class ChunkScheduler extends Context.Service<ChunkScheduler, {
  /** Wants a share (or serves it, where it is complete). Idempotent. */
  readonly add: (share: Share) => Effect.Effect<void>
  /** Neither wants nor serves it any more. */
  readonly remove: (root: Root) => Effect.Effect<void>
  /** Events from now on; a subscriber that falls 1,024 behind loses the oldest progress. */
  readonly events: Effect.Effect<PubSub.Subscription<TransferEvent>, never, Scope.Scope>
  readonly progress: Effect.Effect<ReadonlyArray<ShareProgress>>
  readonly traffic: Effect.Effect<Traffic>
}>()("labfx/services/ChunkScheduler") {
  static readonly layer = Layer.effect(ChunkScheduler, Effect.suspend(() => make()))
}

/** How often the machine looks at the time at least: while any share is incomplete or moving, and while none is. */
const tickBusyMs = 250
const tickIdleMs = 1_000
/** How long a message that may wait does so for company: a write of its own costs both sides more than what it says is worth. */
const patientMs = 50
/** How often progress is said, and over which time a rate is averaged. */
const progressIntervalMs = 500
/** Where nothing has moved for so long nothing moves: a mean that fades has traces of a quick transfer for ten seconds. */
const stillMs = 2_000
/** A paused share is tried again after this, then after twice as long each time, up to the second figure. */
const retryMsMin = 2_000
const retryMsMax = 30_000

/** A chunk that is arriving: what was asked for, and how much of it is here. */
interface Incoming {
  /** Taken when the first byte is there: most of what is asked for waits its turn at the other side. */
  buffer: Uint8Array | undefined
  readonly sizeBytes: number
  /** Up to where bytes have been given a place; they arrive in this order. */
  placedBytes: number
  /** Up to where bytes have arrived and been counted. */
  filledBytes: number
}

/** What this device is doing with one share. */
interface Work {
  readonly share: Share
  verifiedBytes: number
  receiveBytes: number
  sendBytes: number
  receiveBytesPerSecond: number
  sendBytesPerSecond: number
  /** When bytes were last seen to have come or gone. */
  movedMs: number
  changed: boolean
  readonly sources: Map<PeerId, number>
  paused: { readonly error: StoreError; readonly retryAtMs: number } | undefined
  /** How long the next pause lasts: longer each time until a chunk is stored. */
  pauseMs: number
  completed: boolean
}

type Serve = Extract<Swarm.Output, { readonly _tag: "Serve" }>

const chunkKey = (root: Root, index: number) => `${index} ${root}`

const make = Effect.fnUntraced(function*() {
  const peers = yield* PeerManager
  const store = yield* ChunkStore
  const clock = yield* Clock.Clock
  const random = yield* Random.Random
  const nowMs = () => Number(clock.monotonicTimeNanosUnsafe() / 1_000n) / 1_000

  const swarm = Swarm.make({ random: () => random.nextDoubleUnsafe() })
  const works = new Map<Root, Work>()
  const events = yield* PubSub.sliding<TransferEvent>(1_024)
  const traffic = { sentBytes: 0, receivedBytes: 0, wastedBytes: 0 }

  const { acquire, release } = BufferPool.make(Limits.pooledBytesMax)

  /** Runs in the background until it is done or the scope closes. */
  const fork = yield* FiberSet.makeRuntime()

  // ---- casts -------------------------------------------------------------------------------------------------------

  /** Shares whose content is cast, from here or to here. */
  const cast = new Set<Root>()
  /** The last one brought most of its share: one that was given up is not followed by another for a while. */
  let castsWork = true
  const casting: Casting.Casting = yield* Casting.make({
    send: (peer, message) => peers.send(peer, message),
    overhead: (peer, bytes) => peers.overhead(peer, bytes),
    begun: (root) => {
      cast.add(root)
      const work = works.get(root)
      if (work === undefined || !swarm.shares.has(root)) return
      advance({ _tag: "CastBegun", root, manifest: comesWithCast(work.share) })
      takeCast(work.share)
    },
    manifestMissed: (root) => advance({ _tag: "CastMissed", root }),
    over: (root, spare) => {
      cast.delete(root)
      const work = works.get(root)
      if (work !== undefined) castsWork = 2 * work.verifiedBytes >= work.share.sizeBytes
      advance({ _tag: "CastOver", root, spare })
    },
    chunkBytes: (root, index) => Swarm.isVerifiable(swarm, root, index) ? store.chunkBytes(root, index) : 0,
    isMissing: (root, index) => Swarm.isMissing(swarm, root, index),
    lacking: (root, index) => Swarm.lackingCount(swarm, root, index),
    isHushed: () => Swarm.isHushed(swarm, nowMs()),
    read: (root, index, buffer, done) => read({ root, index }, buffer, done),
    keep: (from, root, index, buffer) => {
      traffic.receivedBytes += buffer.length
      noteArrival(from, root, buffer.length)
      keep(from, root, index, buffer, true)
    },
    acquire,
    release,
    nowMs,
    fork
  })

  // ---- the machine -------------------------------------------------------------------------------------------------

  // A plain call, as its outputs are, but for what takes time: this runs for every message and every run of bytes.
  // What an output brings about at once, as a chunk that cannot be sent, is the next input.
  const inputs: Array<Swarm.Input> = []
  const advance = (input: Swarm.Input): void => {
    inputs.push(input)
    if (inputs.length > 1) return
    try {
      for (const next of inputs) for (const output of Swarm.step(swarm, next, nowMs())) perform(output)
    } finally {
      inputs.length = 0
    }
    setAlarm()
  }

  /** When the next tick is due if nothing happens. */
  let tickAtMs = Infinity
  /** When what waits for company goes by itself. */
  let patientUntilMs = Infinity
  const setAlarm = (): void => alarm.at(Math.min(tickAtMs, Swarm.wakeAtMs(swarm), patientUntilMs))

  const perform = (output: Swarm.Output): void => {
    switch (output._tag) {
      case "Send":
        if (output.message._tag === "Request") expect(output.peer, output.message.share, output.message.index)
        if (output.patient) patientUntilMs = Math.min(patientUntilMs, nowMs() + patientMs)
        return peers.send(output.peer, output.message, output.patient)
      case "Serve":
        return serve(output)
      case "Disconnect":
        return void fork(peers.disconnect(output.peer, output.code, output.detail))
      case "Complete":
        return void fork(publish(output.root))
    }
  }

  // ---- receiving ---------------------------------------------------------------------------------------------------

  const incoming = new Map<PeerId, Map<string, Incoming>>()
  /** Only what was asked for has a place to arrive at. */
  const expect = (peer: PeerId, root: Root, index: number): void => {
    const chunks = incoming.get(peer)
    if (chunks === undefined) return
    const sizeBytes = store.chunkBytes(root, index)
    if (sizeBytes > 0) {
      chunks.set(chunkKey(root, index), { buffer: undefined, sizeBytes, placedBytes: 0, filledBytes: 0 })
    }
  }

  const placeFor = (peer: PeerId, data: Data, length: number): Uint8Array | undefined => {
    traffic.receivedBytes += length
    const chunk = incoming.get(peer)?.get(chunkKey(data.share, data.index))
    if (chunk !== undefined && data.offset === chunk.placedBytes && data.offset + length <= chunk.sizeBytes) {
      chunk.buffer ??= acquire(chunk.sizeBytes)
      chunk.placedBytes += length
      return chunk.buffer.subarray(data.offset, data.offset + length)
    }
    traffic.wastedBytes += length
    return undefined
  }

  const forgetIncoming = (peer: PeerId, key: string): void => {
    const chunks = incoming.get(peer)
    const chunk = chunks?.get(key)
    if (chunk === undefined) return
    chunks!.delete(key)
    if (chunk.buffer !== undefined) release(chunk.buffer)
  }

  const arrived = (peer: PeerId, data: Data, length: number): void => {
    const key = chunkKey(data.share, data.index)
    const chunk = incoming.get(peer)?.get(key)
    if (chunk?.buffer === undefined) return
    chunk.filledBytes += length
    noteArrival(peer, data.share, length)
    const last = chunk.filledBytes === chunk.sizeBytes
    if (last) incoming.get(peer)!.delete(key)
    advance({ _tag: "DataArrived", peer, root: data.share, index: data.index, bytes: length, last })
    if (last) keep(peer, data.share, data.index, chunk.buffer)
  }

  const noteArrival = (peer: PeerId, root: Root, bytes: number): void => {
    const work = works.get(root)
    if (work === undefined) return
    work.receiveBytes += bytes
    work.changed = true
    work.sources.set(peer, nowMs())
  }

  /** Verifies and stores a chunk that is here whole; by a cast, nobody knows from whom. */
  const keep = (peer: PeerId, root: Root, index: number, buffer: Uint8Array, isCast = false): void => {
    if (!store.writeNow(root, index, buffer)) return void fork(keepPatiently(peer, root, index, buffer, isCast))
    release(buffer)
    stored(peer, root, index, buffer.length, false, isCast)
  }

  const keepPatiently = (
    peer: PeerId,
    root: Root,
    index: number,
    buffer: Uint8Array,
    isCast: boolean
  ): Effect.Effect<void> =>
    store.write(root, index, buffer).pipe(
      Effect.matchEffect({
        onSuccess: ({ manifestComplete }) =>
          Effect.sync(() => stored(peer, root, index, buffer.length, manifestComplete, isCast)),
        onFailure: (error) =>
          error._tag === "ChunkCorrupt"
            ? isCast ?
              Effect.sync(() => casting.chunkFalse()) :
              PubSub.publish(events, { _tag: "Poisoned", peer, root }).pipe(
                Effect.andThen(Effect.sync(() => advance({ _tag: "ChunkCorrupt", peer, root, index })))
              )
            : pause(root, error)
      }),
      Effect.ensuring(Effect.sync(() => release(buffer)))
    )

  const stored = (
    peer: PeerId,
    root: Root,
    index: number,
    sizeBytes: number,
    manifestComplete: boolean,
    isCast: boolean
  ): void => {
    const work = works.get(root)
    if (work !== undefined) work.pauseMs = retryMsMin
    if (work !== undefined && index >= work.share.manifest.hashes.length) {
      // In the endgame a chunk may come twice.
      work.verifiedBytes = Math.min(work.share.sizeBytes, work.verifiedBytes + sizeBytes)
      work.changed = true
    }
    advance(isCast ? { _tag: "ChunkFound", root, index } : { _tag: "ChunkStored", peer, root, index })
    const opened = manifestComplete ? store.opened(root) : undefined
    if (opened === undefined) return
    if (work !== undefined) work.verifiedBytes = contentBytes(work.share, opened.have)
    advance({ _tag: "ManifestKnown", root, have: opened.have })
    casting.manifestKnown(root)
  }

  /** Content bytes of a set of chunks. */
  const contentBytes = (share: Share, have: Uint8Array): number => {
    let bytes = 0
    for (const index of Bitfield.indexes(have)) {
      if (index >= share.manifest.hashes.length) bytes += store.chunkBytes(share.root, index)
    }
    return bytes
  }

  // ---- serving -----------------------------------------------------------------------------------------------------

  const serve = (order: Serve): void => {
    const { index, peer, root } = order
    const buffer = acquire(store.chunkBytes(root, index))
    read(order, buffer, (bytes) => {
      if (bytes !== undefined) return deliver(order, bytes, buffer)
      release(buffer)
      advance({ _tag: "ServeFailed", peer, root, index })
    })
  }

  /** Gives a chunk's bytes, at once if that goes; or nothing, and sees to what that means. */
  const read = (
    { index, root }: { readonly root: Root; readonly index: number },
    buffer: Uint8Array,
    done: (bytes: Uint8Array | undefined) => void
  ): void => {
    const bytes = store.readNow(root, index, buffer)
    if (bytes === undefined) fork(readPatiently(root, index, buffer, done))
    else done(bytes)
  }

  const readPatiently = (
    root: Root,
    index: number,
    buffer: Uint8Array,
    done: (bytes: Uint8Array | undefined) => void
  ): Effect.Effect<void> =>
    store.read(root, index, buffer).pipe(
      Effect.matchEffect({
        onSuccess: (bytes) => Effect.sync(() => done(bytes)),
        onFailure: (lost) =>
          Effect.gen(function*() {
            // What has appeared is not fetched again: it belongs to a person.
            if (store.opened(root)?.path !== undefined) advance({ _tag: "SharePaused", root })
            done(undefined)
            if (lost.reason === "unreadable") fork(lookAgain(root, index))
            if (lost.reason === "source-changed") {
              yield* PubSub.publish(events, { _tag: "SourceChanged", root, detail: lost.detail })
            }
          })
      })
    )

  const deliver = ({ index, peer, root, urgent }: Serve, bytes: Uint8Array, buffer: Uint8Array): void => {
    const done = (sent: boolean): void => {
      if (sent) {
        traffic.sentBytes += bytes.length
        const work = works.get(root)
        if (work !== undefined) {
          work.sendBytes += bytes.length
          work.changed = true
        }
      }
      release(buffer)
      advance({ _tag: "Served", peer, root, index, bytes: bytes.length })
    }
    peers.sendChunk(peer, { share: root, index, bytes, urgent, done })
  }

  /** A chunk that the disk does not give now is offered again when it does. */
  const lookAgain = (root: Root, index: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const buffer = acquire(store.chunkBytes(root, index))
      return store.read(root, index, buffer).pipe(Effect.ensuring(Effect.sync(() => release(buffer))))
    }).pipe(
      Effect.retry({
        while: ({ reason }) => reason === "unreadable",
        schedule: Schedule.exponential(retryMsMin).pipe(
          Schedule.modifyDelay(({ duration }) => Effect.succeed(Duration.min(duration, Duration.millis(retryMsMax))))
        )
      }),
      Effect.andThen(Effect.sync(() => advance({ _tag: "ChunkFound", root, index }))),
      Effect.delay(retryMsMin),
      Effect.ignore
    )

  // ---- shares ------------------------------------------------------------------------------------------------------

  const add = Effect.fn("ChunkScheduler.add")(function*(share: Share) {
    if (works.has(share.root)) return
    const work: Work = {
      share,
      verifiedBytes: 0,
      receiveBytes: 0,
      sendBytes: 0,
      receiveBytesPerSecond: 0,
      sendBytesPerSecond: 0,
      movedMs: -Infinity,
      changed: true,
      sources: new Map(),
      paused: undefined,
      pauseMs: retryMsMin,
      completed: false
    }
    works.set(share.root, work)
    tickAtMs = Math.min(tickAtMs, nowMs() + tickBusyMs)
    setAlarm()
    yield* begin(work)
  })

  /** Opens the share on disk and hands it to the machine. */
  const begin = (work: Work): Effect.Effect<void> =>
    store.open(work.share).pipe(
      Effect.matchEffect({
        onSuccess: (opened) =>
          Effect.gen(function*() {
            const { share } = work
            const manifestChunksCount = share.manifest.hashes.length
            const isWhole = Bitfield.size(opened.have) === manifestChunksCount + share.chunksCount
            work.verifiedBytes = contentBytes(share, opened.have)
            advance({
              _tag: "ShareOpened",
              root: share.root,
              manifestChunksCount,
              chunksCount: manifestChunksCount + share.chunksCount,
              chunkSizeBytes: share.chunkSizeBytes,
              manifestChunkSizeBytes: share.manifest.chunkSizeBytes,
              have: opened.have,
              manifestKnown: opened.manifestKnown,
              origin: opened.isSource,
              cast: cast.has(share.root) || (!opened.isSource && !isWhole && awaitsCast(share))
                ? { begun: cast.has(share.root), manifest: comesWithCast(share) }
                : undefined
            })
            if (opened.isSource && isCastable(share)) {
              const { manifest, sizeBytes } = share
              const firstIndex = isManifestCast(share) ? 0 : manifestChunksCount
              const bytes = sizeBytes + (isManifestCast(share) ? manifest.sizeBytes : 0)
              const endIndex = manifestChunksCount + share.chunksCount
              casting.offer(share.root, firstIndex, endIndex, bytes, Swarm.isSmall(share))
            }
            takeCast(share)
            // What was whole before, a source or a download of an earlier run, has no last chunk to wait for.
            if (isWhole) fork(publish(share.root))
            // What a person has changed or deleted since it appeared is theirs: the rest is served, nothing is fetched.
            else if (opened.path !== undefined) {
              advance({ _tag: "SharePaused", root: share.root })
              // It did appear, so nobody is to see it as receiving for ever.
              if (!opened.isSource) fork(publish(share.root))
            }
          }),
        onFailure: (error) => pause(work.share.root, error)
      })
    )

  /** Whether it is worth a cast: not what has left before the room is ready, nor chunks of which a piece is always lost. */
  const isCastable = ({ chunkSizeBytes, sizeBytes }: Share): boolean =>
    sizeBytes > Limits.uncastBytesMax && chunkSizeBytes <= Limits.castChunkBytesMax

  const awaitsCast = (share: Share): boolean => castsWork && casting.hears() && isCastable(share)

  const isManifestCast = ({ manifest }: Share): boolean => manifest.chunkSizeBytes <= Limits.castChunkBytesMax

  /** Whether this device leaves the manifest to a cast. What may be here of an earlier version is to be said before that. */
  const comesWithCast = (share: Share): boolean =>
    isManifestCast(share) && store.opened(share.root)?.hasNamesake === false

  /** Lets the share's cast begin as far as this device is concerned. */
  const takeCast = (share: Share): void => {
    const { chunkSizeBytes, manifest, root } = share
    const outline = { manifestChunksCount: manifest.hashes.length, chunkSizeBytes }
    casting.opened(root, outline, !comesWithCast(share))
    if (swarm.shares.get(root)?.manifestKnown === true) casting.manifestKnown(root)
  }

  const publish = (root: Root): Effect.Effect<void> =>
    store.publish(root).pipe(
      Effect.matchEffect({
        onSuccess: ({ path, skipped }) =>
          Effect.suspend(() => {
            const work = works.get(root)
            if (work === undefined || work.completed) return Effect.void
            work.completed = true
            work.verifiedBytes = work.share.sizeBytes
            return Effect.asVoid(
              PubSub.publish(events, { _tag: "Completed", root, path, sizeBytes: work.share.sizeBytes, skipped })
            )
          }),
        onFailure: (error) => pause(root, error)
      })
    )

  const pause = Effect.fnUntraced(function*(root: Root, error: StoreError) {
    const work = works.get(root)
    // The chunks that were under way fail one after another, of one cause.
    if (work === undefined || work.paused !== undefined) return
    waitBecauseOf(work, error)
    advance({ _tag: "SharePaused", root })
    yield* PubSub.publish(events, { _tag: "Paused", root, error })
  })

  const waitBecauseOf = (work: Work, error: StoreError): void => {
    work.paused = { error, retryAtMs: nowMs() + work.pauseMs }
    work.pauseMs = Math.min(retryMsMax, work.pauseMs * 2)
  }

  /** Tries a paused share again from what is on disk now. */
  const retry = Effect.fnUntraced(function*(work: Work, before: StoreError) {
    const { root } = work.share
    work.paused = { error: before, retryAtMs: Infinity }
    const opened = yield* Effect.result(store.open(work.share))
    if (opened._tag === "Failure") {
      waitBecauseOf(work, opened.failure)
      if (opened.failure.reason === before.reason) return
      return yield* PubSub.publish(events, { _tag: "Paused", root, error: opened.failure })
    }
    work.paused = undefined
    yield* PubSub.publish(events, { _tag: "Resumed", root })
    if (swarm.shares.has(root)) advance({ _tag: "ShareClosed", root })
    yield* begin(work)
  })

  const remove = Effect.fn("ChunkScheduler.remove")(function*(root: Root) {
    if (!works.delete(root)) return
    casting.withdraw(root)
    advance({ _tag: "ShareClosed", root })
    yield* store.forget(root)
  })

  // ---- time and events ---------------------------------------------------------------------------------------------

  const hear = (event: SwarmEvent): void => {
    switch (event._tag) {
      case "PeerUp":
        incoming.set(event.info.peer, new Map())
        advance({ _tag: "PeerUp", peer: event.info.peer, isHost: event.info.isHost })
        return casting.peerUp(event.info)
      case "PeerDown":
        for (const { buffer } of incoming.get(event.peer)?.values() ?? []) if (buffer !== undefined) release(buffer)
        incoming.delete(event.peer)
        advance({ _tag: "PeerDown", peer: event.peer })
        return casting.peerDown(event.peer)
      case "PeerMessage":
        if (isCastMessage(event.message)) return casting.hear(event.peer, event.message)
        if (event.message._tag === "Reject") {
          forgetIncoming(event.peer, chunkKey(event.message.share, event.message.index))
        }
        return advance({ _tag: "Message", peer: event.peer, message: event.message })
      case "PeerNearHost":
        return casting.nearHost(event.peer, event.near)
      case "PeerData":
        return arrived(event.peer, event.data, event.length)
    }
  }

  const progressOf = (work: Work): ShareProgress => ({
    root: work.share.root,
    verifiedBytes: work.verifiedBytes,
    sizeBytes: work.share.sizeBytes,
    receiveBytesPerSecond: Math.round(work.receiveBytesPerSecond),
    sendBytesPerSecond: Math.round(work.sendBytesPerSecond),
    sources: work.sources.size
  })

  let progressSaidMs = nowMs()
  const sayProgress = Effect.fnUntraced(function*() {
    const now = nowMs()
    const elapsedSeconds = (now - progressSaidMs) / 1_000
    if (elapsedSeconds * 1_000 < progressIntervalMs) return
    progressSaidMs = now
    for (const work of works.values()) {
      for (const [peer, lastMs] of work.sources) if (now - lastMs > stillMs) work.sources.delete(peer)
      if (work.receiveBytes + work.sendBytes > 0) work.movedMs = now
      work.receiveBytesPerSecond = (work.receiveBytesPerSecond + work.receiveBytes / elapsedSeconds) / 2
      work.sendBytesPerSecond = (work.sendBytesPerSecond + work.sendBytes / elapsedSeconds) / 2
      const still = now - work.movedMs >= stillMs
      if (still) work.receiveBytesPerSecond = work.sendBytesPerSecond = 0
      work.receiveBytes = 0
      work.sendBytes = 0
      if (!work.changed) continue
      work.changed = !still
      yield* PubSub.publish(events, { _tag: "Progress", progress: progressOf(work) })
    }
  })

  const isBusy = (): boolean => {
    for (const work of works.values()) if (work.changed || !work.completed) return true
    return false
  }

  const keepHouse = Effect.gen(function*() {
    for (const work of works.values()) {
      if (work.paused !== undefined && nowMs() >= work.paused.retryAtMs) yield* retry(work, work.paused.error)
    }
    yield* sayProgress()
  })

  const tick = (): Effect.Effect<void> => {
    if (nowMs() >= patientUntilMs) {
      patientUntilMs = Infinity
      peers.flush()
    }
    tickAtMs = works.size === 0 ? Infinity : nowMs() + (isBusy() ? tickBusyMs : tickIdleMs)
    advance({ _tag: "Tick" })
    return keepHouse
  }
  const alarm = Alarm.make(fork, nowMs, tick)

  yield* peers.setSwarmUser({ hear, placeFor })
  setAlarm()

  return ChunkScheduler.of({
    add,
    remove,
    events: PubSub.subscribe(events),
    progress: Effect.sync(() => Array.from(works.values(), progressOf)),
    traffic: Effect.sync(() => ({ ...traffic }))
  })
})
