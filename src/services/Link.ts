/**
 * One link: frames over a connection, an outbox with lanes, an inbox with back-pressure.
 *
 * Two fibers serve it: one receives and decodes, and the caller's own takes from the inbox. Writing is done by plain calls,
 * one write after another, because it happens thousands of times a second. The outbox never makes its user wait; the inbox
 * stops reading from the connection when its user lags.
 */
import { type Cause, Clock, Deferred, Effect, Queue, Result, Scheduler, Schema, type Scope } from "effect"
import * as Frame from "../protocol/Frame.ts"
import type { Root } from "../protocol/Ids.ts"
import * as Limits from "../protocol/Limits.ts"
import * as TokenBucket from "../protocol/TokenBucket.ts"
import { Data, type GoodbyeCode, Message } from "../protocol/Wire.ts"
import type { Connection } from "./Transport.ts"

/** In this order they leave, and chunk data comes last. What is `lazy` goes along with whatever leaves next, or by `flush`. */
export type Lane = "link" | "log" | "swarm" | "lazy"

export type Received =
  | { readonly _tag: "Message"; readonly message: Message; readonly bytes: number }
  | { readonly _tag: "Data"; readonly data: Data; readonly length: number }

/** Who takes what arrives at once, by plain calls while bytes arrive. */
export interface Taker {
  /** Where the payload of a data frame goes: exactly `length` bytes; nothing for what is to be thrown away. */
  readonly placeFor: (data: Data, length: number) => Uint8Array | undefined
  /** Whether it has taken this; the inbox gets the rest. */
  readonly take: (received: Received) => boolean
}

export interface LinkEnd {
  readonly code: GoodbyeCode
  readonly detail: string
  /** Whether this side ended it. */
  readonly here: boolean
}

/** A chunk to be sent. `bytes` must not change until it is done. */
export interface OutgoingChunk {
  readonly share: Root
  readonly index: number
  readonly bytes: Uint8Array
  /** It goes ahead of those that are not, also between two frames of one. */
  readonly urgent: boolean
  /** The last byte has been handed to the system (true), or the link has ended (false), which may be at once. */
  readonly done: (sent: boolean) => void
}

interface ChunkJob {
  readonly chunk: OutgoingChunk
  offset: number
}

export interface Link {
  readonly connection: Connection
  /** What arrived, in order; ends when the link does. Single consumer, which calls `caughtUp` between batches. */
  readonly inbox: Queue.Dequeue<Received, Cause.Done>
  /** What was taken has been dealt with: reads on, if reading was stopped because the inbox had grown too long. */
  readonly caughtUp: () => void
  /** Without a taker, as in the beginning, messages go to the inbox, and chunk data nowhere. */
  readonly setTaker: (taker: Taker | undefined) => void
  /**
   * So many bytes of what came have brought nothing new. Over `Limits.overheadBytesPerSecondMax` nothing is read until that
   * holds again: what the peer sends meanwhile waits at its own side, and takes nothing of this device's way in.
   */
  readonly overhead: (bytes: number) => void
  /** Puts an encoded frame into a lane. Ends the link as `slow` when the outbox is over its limit. */
  readonly post: (lane: Lane, frame: Uint8Array) => void
  /** Lets go what waits for company. */
  readonly flush: () => void
  /** See `PeerManager.sendChunk`. */
  readonly sendChunk: (chunk: OutgoingChunk) => void
  /** Says goodbye and ends the link once that is written, or at once if that takes too long. Idempotent. */
  readonly end: (code: GoodbyeCode, detail: string) => void
  /** How it ended. */
  readonly ended: Effect.Effect<LinkEnd>
  /** When the last bytes came, in milliseconds of the monotonic clock. */
  readonly heardMs: () => number
  /** When a part of a chunk last came, or a chunk was last given to be sent, in the same milliseconds. */
  readonly bulkMs: () => number
  /** For how long the system has not taken what was given to it last, in milliseconds; 0 if it has taken all. */
  readonly stuckMs: () => number
}

/** How long a goodbye may take to leave. */
const goodbyeTimeoutMs = 250

/** How long a peer that says too much is not heard: what it sends meanwhile waits at its own side. */
const hastyPauseMs = 100

/** Two hundred bytes at most, and no half of a character. */
const shortened = (detail: string): string => Array.from(detail).slice(0, 50).join("")

const decodeMessage = Schema.decodeUnknownResult(Message)
const decodeData = Schema.decodeUnknownResult(Data)

/** A message of a later version that this one may pass over. */
const isIgnorable = (json: unknown): boolean =>
  typeof json === "object" && json !== null && "ignorable" in json && json.ignorable === true

/** Runs a link over a connection until the scope closes. */
export const make = Effect.fnUntraced(function*(connection: Connection): Effect.fn.Return<Link, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const nowMs = () => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)

  const ended = Deferred.makeUnsafe<LinkEnd>()
  const finish = (end: LinkEnd) => void Deferred.doneUnsafe(ended, Effect.succeed(end))

  // ---- receiving ---------------------------------------------------------------------------------------------------

  const inbox = yield* Queue.unbounded<Received, Cause.Done>()
  const frames = TokenBucket.make(Limits.controlFramesPerSecondMax, Limits.controlFramesBurstMax, nowMs())
  const frameBytes = TokenBucket.make(Limits.controlBytesPerSecondMax, Limits.controlBytesBurstMax, nowMs())
  const unaskedBytes = TokenBucket.make(Limits.unaskedBytesPerSecondMax, Limits.unaskedBytesBurstMax, nowMs())
  const overheadBytes = TokenBucket.make(Limits.overheadBytesPerSecondMax, Limits.overheadBytesBurstMax, nowMs())
  let heardMs = nowMs()
  let bulkMs = -Infinity
  let frame: Received | undefined
  /** Bytes of messages in the inbox: what a peer can make this device keep. */
  let inboxBytes = 0
  /** Something that went to the inbox has not been dealt with. */
  let waits = false
  /** Why nothing is read for now: the consumer lags, or the peer says more than it may. */
  let full = false
  let hastyUntilMs = -Infinity
  let hasty = false
  const haste = yield* Queue.sliding<void>(1)
  const setReading = () => connection.setReading(!full && !hasty)

  let taker: Taker | undefined
  const receive = (received: Received, bytes: number): void => {
    // Behind something that waits nothing is taken out of turn.
    if (!waits && taker?.take(received) === true) return
    waits = true
    Queue.offerUnsafe(inbox, received)
    inboxBytes += bytes
    if (full || (Queue.sizeUnsafe(inbox) <= Limits.inboxFramesMax && inboxBytes <= Limits.inboxBytesMax)) return
    full = true
    setReading()
  }

  const count = (bytes: number): void => {
    if (!TokenBucket.take(frames, heardMs) || !TokenBucket.take(frameBytes, heardMs, bytes)) pause()
  }
  /** A peer that says too much is not heard for a while; it feels that as a slow link. */
  const pause = (forMs = hastyPauseMs): void => {
    hastyUntilMs = Math.max(hastyUntilMs, nowMs() + forMs)
    if (hasty) return
    hasty = true
    setReading()
    Queue.offerUnsafe(haste, undefined)
  }
  const overhead = (bytes: number): void => {
    const forMs = TokenBucket.spend(overheadBytes, nowMs(), bytes)
    if (forMs > 0) pause(Math.min(forMs, Limits.overheadPauseMsMax))
  }
  const calming = Queue.take(haste).pipe(
    // What comes to light during a pause makes it longer.
    Effect.andThen(Effect.whileLoop({
      while: () => nowMs() < hastyUntilMs,
      body: () => Effect.sleep(hastyUntilMs - nowMs()),
      step: () => {}
    })),
    Effect.andThen(Effect.sync(() => {
      hasty = false
      setReading()
    })),
    Effect.forever
  )

  const decoder = new Frame.Decoder({
    control: (json, bytes) => {
      count(bytes)
      const message = decodeMessage(json)
      if (Result.isSuccess(message)) receive({ _tag: "Message", message: message.success, bytes }, bytes)
      else if (isIgnorable(json)) overhead(bytes)
      else return "a message that is none"
      return undefined
    },
    data: (json, payloadBytes) => {
      const data = decodeData(json)
      if (Result.isFailure(data)) return { refused: "a data frame that is none" }
      const into = taker?.placeFor(data.success, payloadBytes)
      if (into === undefined) {
        if (!TokenBucket.take(unaskedBytes, heardMs, payloadBytes)) pause()
        return "skip"
      }
      frame = { _tag: "Data", data: data.success, length: payloadBytes }
      return { into }
    },
    dataEnd: () => {
      bulkMs = heardMs
      receive(frame!, 0)
    }
  })

  const onBytes = (bytes: Uint8Array): void => {
    if (violated) return
    heardMs = nowMs()
    const violation = decoder.push(bytes)
    if (violation === undefined) return
    violated = true
    end("protocol", violation)
  }
  let violated = false

  // ---- sending -----------------------------------------------------------------------------------------------------

  const lanes: Record<Lane, Array<Uint8Array>> = { link: [], log: [], swarm: [], lazy: [] }
  const urgentChunks: Array<ChunkJob> = []
  const chunks: Array<ChunkJob> = []
  let waitingBytes = 0
  let ending = false
  /** Lazy frames go although nothing else does. */
  let flushing = false

  const post = (lane: Lane, bytes: Uint8Array): void => {
    if (ending) return
    waitingBytes += bytes.length
    if (waitingBytes > Limits.outboxBytesMax) return end("slow", "the outbox is full")
    lanes[lane].push(bytes)
    if (lane !== "lazy") writeSoon()
  }
  const flush = (): void => {
    flushing = lanes.lazy.length > 0
    if (flushing) writeSoon()
  }

  const take = (lane: Array<Uint8Array>, parts: Array<Uint8Array>, bytes: number): number => {
    let taken = 0
    while (taken < lane.length && bytes < Limits.dataFrameBytesMax) bytes += lane[taken++]!.length
    parts.push(...(taken === lane.length ? lane.splice(0) : lane.splice(0, taken)))
    return bytes
  }

  /** The next run of control frames, no longer than one data frame, so that urgent ones can still overtake. */
  const takeFrames = (parts: Array<Uint8Array>): void => {
    let bytes = take(lanes.link, parts, 0)
    bytes = take(lanes.log, parts, bytes)
    bytes = take(lanes.swarm, parts, bytes)
    if (parts.length > 0 || urgentChunks.length + chunks.length > 0 || flushing) bytes = take(lanes.lazy, parts, bytes)
    flushing &&= lanes.lazy.length > 0
    waitingBytes -= bytes
  }

  let writingSinceMs: number | undefined
  let writesSoon = false
  /** Nothing more is written: everything has been, or the connection is gone. */
  const silent = Deferred.makeUnsafe<void>()
  const dispatcher = (yield* Scheduler.Scheduler).makeDispatcher()

  /** What is posted in one turn goes in one write. */
  const writeSoon = (): void => {
    if (writesSoon || writingSinceMs !== undefined) return
    writesSoon = true
    dispatcher.scheduleTask(writeNext, 0)
  }

  /** Writes what comes next, and what comes after that when the system has taken it. */
  const writeNext = (): void => {
    writesSoon = false
    if (writingSinceMs !== undefined || Deferred.isDoneUnsafe(silent)) return
    const parts: Array<Uint8Array> = []
    takeFrames(parts)
    const jobs = urgentChunks.length > 0 ? urgentChunks : chunks
    const job = ending ? undefined : jobs[0]
    if (job !== undefined) {
      const { bytes, index, share } = job.chunk
      const payload = bytes.subarray(job.offset, job.offset + Limits.dataFrameBytesMax)
      const header = { _tag: "Data", share, index, offset: job.offset }
      parts.push(Frame.encodeDataHeader(header, payload.length), payload)
      job.offset += payload.length
    }
    if (parts.length === 0) {
      if (ending) Deferred.doneUnsafe(silent, Effect.void)
      return
    }
    writingSinceMs = nowMs()
    connection.write(parts, (lost) => {
      writingSinceMs = undefined
      if (lost !== undefined) {
        finish({ code: "leaving", detail: lost.detail, here: false })
        return void Deferred.doneUnsafe(silent, Effect.void)
      }
      if (job !== undefined && job.offset >= job.chunk.bytes.length) {
        jobs.shift()
        job.chunk.done(true)
      }
      writeNext()
    })
  }

  const sendChunk: Link["sendChunk"] = (chunk) => {
    if (ending) return chunk.done(false)
    bulkMs = nowMs()
    const jobs = chunk.urgent ? urgentChunks : chunks
    jobs.push({ chunk, offset: 0 })
    writeSoon()
  }

  const end = (code: GoodbyeCode, detail: string): void => {
    if (ending) return
    // Only the goodbye is still worth sending, and it cannot wait behind what the peer does not read.
    lanes.log = []
    lanes.swarm = []
    lanes.lazy = []
    lanes.link.push(Frame.encodeControl({ _tag: "Goodbye", code, detail: shortened(detail) }))
    ending = true
    finish({ code, detail, here: true })
    writeSoon()
  }

  // ---- life --------------------------------------------------------------------------------------------------------

  yield* Effect.forkScoped(calming)
  const lost = (detail: string) => Effect.sync(() => finish({ code: "leaving", detail, here: false }))
  yield* connection.receive(onBytes).pipe(
    Effect.catchTag("ConnectionLost", (error) => lost(error.detail)),
    Effect.andThen(lost("closed by the other side")),
    Effect.forkScoped
  )
  // However it ends: the inbox ends behind what has arrived, and whoever waits for a chunk to leave hears about it.
  yield* Deferred.await(ended).pipe(
    Effect.andThen(Effect.sync(() => {
      ending = true
      Queue.endUnsafe(inbox)
    })),
    Effect.forkScoped
  )
  yield* Effect.addFinalizer(() =>
    Effect.gen(function*() {
      if (!ending) end("leaving", "")
      // A write that is under way holds buffers of the callers, so it is awaited before they are given back.
      writeSoon()
      yield* Effect.timeoutOption(Deferred.await(silent), goodbyeTimeoutMs)
      Deferred.doneUnsafe(silent, Effect.void)
      for (const { chunk } of [...urgentChunks.splice(0), ...chunks.splice(0)]) chunk.done(false)
    })
  )

  return {
    connection,
    inbox,
    caughtUp: () => {
      if (Queue.sizeUnsafe(inbox) > 0) return
      waits = false
      inboxBytes = 0
      if (!full) return
      full = false
      setReading()
    },
    setTaker: (given) => {
      taker = given
    },
    overhead,
    post,
    flush,
    sendChunk,
    end,
    ended: Deferred.await(ended),
    heardMs: () => heardMs,
    bulkMs: () => bulkMs,
    stuckMs: () => writingSinceMs === undefined ? 0 : nowMs() - writingSinceMs
  }
})
