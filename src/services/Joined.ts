/**
 * A session this device is in, from either side: keeps the picture of its shares and devices, turns what the services
 * below say into events, and carries out what a person asks for.
 */
import { Effect, PubSub, Schedule, type Scope } from "effect"
import type { Share } from "../protocol/Entry.ts"
import type { PeerId, Root } from "../protocol/Ids.ts"
import * as Limits from "../protocol/Limits.ts"
import { type ShareStatus, sourcesChanged } from "../protocol/Status.ts"
import { ChunkScheduler, type ShareProgress, type TransferEvent } from "./ChunkScheduler.ts"
import { ChunkStore, type ImportProgress, type StoreError } from "./ChunkStore.ts"
import { Crypto } from "./Crypto.ts"
import { type Delivered, MessageRelay } from "./MessageRelay.ts"
import { PeerManager } from "./PeerManager.ts"
import type { PeerNotice } from "./PeerNotices.ts"
import * as Preparing from "./Preparing.ts"
import { type DeviceView, type Session, SessionRefused, type ShareView } from "./Session.ts"
import { SessionContext } from "./SessionContext.ts"
import type { MessageDelivered, SessionEvent } from "./SessionEvent.ts"

/** How often this device's own status is put together; how often it is sent is a question of MessageRelay. */
const statusIntervalMs = 2_000

type Problem = NonNullable<(typeof ShareStatus.Type)["problem"]>

interface Known {
  readonly share: Share
  state: ShareView["state"]
  path: string | undefined
  problem: string | undefined
  problemCode: Problem | undefined
  /** The person has been told that the host's copy was changed; not true any more once the host says otherwise. */
  sourceChanged: boolean
}

export interface Joined {
  readonly shares: Effect.Effect<ReadonlyArray<ShareView>>
  readonly preparing: Preparing.Preparing["views"]
  readonly devices: Effect.Effect<ReadonlyArray<DeviceView>>
  readonly isEnded: () => boolean
  readonly mayWrite: () => boolean
  readonly share: Session["Service"]["share"]
  readonly unshare: Session["Service"]["unshare"]
  readonly remove: Session["Service"]["remove"]
  readonly say: Session["Service"]["say"]
  readonly conversation: Session["Service"]["conversation"]
  readonly end: Session["Service"]["end"]
}

const storeProblem: Record<StoreError["reason"], readonly [Problem, string]> = {
  "disk-full": ["disk-full", "the disk is full"],
  "disk-read-only": ["disk-read-only", "the download folder cannot be written to"],
  "disk-failing": ["disk-failing", "the disk reports errors"],
  "folder-gone": ["disk-failing", "the download folder is not there any more"],
  "bad-manifest": ["other", "its description is not valid"]
}

const sourceChanged =
  "the teacher's copy was changed while it was handed out; the missing part comes when the teacher shares it again"

/** Incomplete, with nobody at hand who sends more of it. */
const isStuck = ({ state }: Known, progress: ShareProgress | undefined): boolean =>
  (state === "waiting" || state === "receiving") && (progress?.sources ?? 0) === 0

/** How a person is told what kept two devices apart. */
export const warning = ({ address, detail, reason }: Pick<PeerNotice, "reason" | "address" | "detail">) => {
  const [code, text] = {
    "version": ["other-version", `No link to ${address.host}: ${detail}.`],
    "refused": ["refused", `No link to ${address.host}: ${detail}.`],
    "closed": [
      "join-code-needed",
      "This session is closed. Give labfx the join code that the teacher has given to the class: its page asks for it " +
      "(labfx open shows the page), or start again with --join-code."
    ],
    "wrong-code": [
      "join-code-wrong",
      "This is not the join code of this session. Ask the teacher, and try another one on the page (labfx open shows " +
      "it), or start again with --join-code."
    ],
    "later": [
      "join-code-later",
      "Too many wrong join codes are being tried in this room, so yours was not looked at. labfx tries again by itself."
    ],
    "removed": ["removed", "The teacher has removed this device from the session. What is complete stays."],
    "guess": ["join-code-guess", `A device at ${address.host} has tried a wrong join code.`]
  }[reason] as [string, string]
  return { event: "warning" as const, code, text }
}

/** Tells a person of links that do not come about, for as long as it runs. */
export const tellNotices = (publish: (event: SessionEvent) => Effect.Effect<void>) =>
  Effect.gen(function*() {
    const notices = yield* (yield* PeerManager).notices
    return yield* Effect.forever(Effect.flatMap(PubSub.take(notices), (notice) => publish(warning(notice))))
  })

/** Runs until the scope closes. `publish` takes every event a person may see; `program` is what others are told it runs. */
export const make = Effect.fnUntraced(function*(
  publish: (event: SessionEvent) => Effect.Effect<void>,
  program: string
): Effect.fn.Return<
  Joined,
  never,
  Scope.Scope | Crypto | SessionContext | PeerManager | MessageRelay | ChunkScheduler | ChunkStore
> {
  const context = yield* SessionContext
  const crypto = yield* Crypto
  const peers = yield* PeerManager
  const relay = yield* MessageRelay
  const scheduler = yield* ChunkScheduler
  const store = yield* ChunkStore
  const preparing = yield* Preparing.make(publish)

  const shares = new Map<Root, Known>()
  const conversation: Array<typeof MessageDelivered.Type> = []
  let ended = false

  // ---- what authors say --------------------------------------------------------------------------------------------

  const onDelivered = (delivered: Delivered): Effect.Effect<void> => {
    const { entry: { content, name, number, writtenAt }, peer } = delivered
    switch (content._tag) {
      case "Text": {
        const message = {
          event: "message.delivered",
          author: peer,
          name,
          byHost: delivered.byHost,
          number,
          writtenAt,
          text: content.text
        } as const
        conversation.push(message)
        if (conversation.length > Limits.conversationMax) conversation.shift()
        // What was shown in an earlier run is history, not news.
        return delivered.replayed ? Effect.void : publish(message)
      }
      case "Share":
        return offered(content)
      case "Unshare":
        return withdrawn(content.root)
      case "Remove":
        return delivered.replayed || !context.isRemoved(content.key)
          ? Effect.void
          : publish({ event: "peer.removed", peer: crypto.peerId(content.key), name: content.name })
      case "End":
        if (ended) return Effect.void
        ended = true
        return Effect.andThen(
          preparing.callOffAll,
          publish({ event: "session.ended", session: context.session, reason: "ended-by-teacher" })
        )
    }
  }

  const offered = Effect.fnUntraced(function*(share: Share) {
    const before = shares.get(share.root)
    if (before !== undefined && before.state !== "withdrawn") return
    // A host hands out what lies on its own disk. What it shared in an earlier run and cannot find any more is the
    // room's to pass on.
    if (context.isHost && !(yield* isSource(share))) return
    if (shares.size >= Limits.sharesMax) {
      const text = `"${share.title}" is not fetched: a session has at most ${Limits.sharesMax} shares`
      return yield* publish({ event: "warning", code: "too-many-shares", text })
    }
    shares.set(share.root, {
      share,
      state: "waiting",
      path: undefined,
      problem: undefined,
      problemCode: undefined,
      sourceChanged: false
    })
    yield* publish({
      event: "share.offered",
      root: share.root,
      title: share.title,
      kind: share.kind,
      bytes: share.sizeBytes,
      files: share.filesCount
    })
    yield* scheduler.add(share)
  })

  const isSource = (share: Share): Effect.Effect<boolean> =>
    store.open(share).pipe(
      Effect.map((opened) => opened.isSource),
      Effect.catch(() => Effect.succeed(false))
    )

  const withdrawn = Effect.fnUntraced(function*(root: Root) {
    const known = shares.get(root)
    if (known === undefined || known.state === "withdrawn") return
    const complete = known.state === "complete"
    known.state = "withdrawn"
    yield* scheduler.remove(root)
    yield* publish({ event: "share.withdrawn", root, title: known.share.title })
    if (complete) return
    known.problem = "withdrawn before it was complete"
  })

  // ---- what the chunks do ------------------------------------------------------------------------------------------

  const onTransfer = (event: TransferEvent): Effect.Effect<void> => {
    if (event._tag === "Poisoned") {
      return publish({
        event: "warning",
        code: "poisoned",
        text: `A device (${event.peer.slice(0, 8)}) sent false data and was dropped. Nothing false was kept.`
      })
    }
    const known = shares.get(event._tag === "Progress" ? event.progress.root : event.root)
    if (known === undefined || known.state === "withdrawn") return Effect.void
    const { root, sizeBytes, title } = known.share
    switch (event._tag) {
      case "Progress": {
        if (known.state === "waiting" && event.progress.verifiedBytes > 0) known.state = "receiving"
        return publish({
          event: "share.progress",
          root,
          title,
          verifiedBytes: event.progress.verifiedBytes,
          bytes: sizeBytes,
          receiveBytesPerSecond: event.progress.receiveBytesPerSecond,
          sendBytesPerSecond: event.progress.sendBytesPerSecond,
          sources: event.progress.sources
        })
      }
      case "Completed":
        known.state = "complete"
        known.path = event.path
        known.problem = undefined
        known.problemCode = event.skipped.length > 0 ? "bad-names" : undefined
        return publish({ event: "share.completed", root, title, path: event.path, bytes: sizeBytes }).pipe(
          Effect.andThen(
            event.skipped.length === 0 ? Effect.void : publish({
              event: "warning",
              code: "files-left-out",
              text: `${event.skipped.length} of the files of "${title}" were left out: ` +
                event.skipped.slice(0, 3).map(({ path, reason }) => `${path} (${reason})`).join(", ")
            })
          )
        )
      case "Paused": {
        const [code, words] = storeProblem[event.error.reason]
        known.state = "paused"
        known.problem = `${words}: ${event.error.detail}`
        known.problemCode = code
        return publish({ event: "share.failed", root, title, reason: known.problem, resumes: true })
      }
      case "Resumed":
        known.state = "receiving"
        known.problem = undefined
        known.problemCode = undefined
        return Effect.void
      case "SourceChanged":
        if (known.state === "failed") return Effect.void
        known.state = "failed"
        known.problem = `its source was changed while it was shared (${event.detail}); share it again`
        known.problemCode = "source-changed"
        return publish({ event: "share.failed", root, title, reason: known.problem, resumes: false })
    }
  }

  // ---- who is there ------------------------------------------------------------------------------------------------

  const linkChange = (info: { readonly peer: PeerId; readonly name: string }, up: SessionEvent | undefined) =>
    publish(up ?? { event: "peer.down", peer: info.peer, name: info.name })

  /** Shares that nobody sent anything of when it was last looked. */
  let stuck: ReadonlySet<Root> = new Set()

  /** Whoever lacks a part of what the host does not hand out any more is told so, once nobody else sends it either. */
  const watchSources = Effect.fnUntraced(function*(progress: ReadonlyArray<ShareProgress>) {
    if (context.isHost) return
    const moving = new Map(progress.map((each) => [each.root, each]))
    const before = stuck
    stuck = new Set([...shares].filter(([root, known]) => isStuck(known, moving.get(root))).map(([root]) => root))
    for (const [root, changed] of sourcesChanged(yield* relay.statuses, context.certificate().host)) {
      const known = shares.get(root)
      if (known === undefined || known.sourceChanged === changed) continue
      if (changed && !(before.has(root) && stuck.has(root))) continue
      known.sourceChanged = changed
      if (!changed) continue
      const { title } = known.share
      yield* publish({ event: "share.failed", root, title, reason: sourceChanged, resumes: true })
    }
  })

  const sayStatus = Effect.gen(function*() {
    const progress = yield* scheduler.progress
    const links = yield* peers.peers
    yield* watchSources(progress)
    yield* relay.setStatus({
      program,
      links: links.length,
      receiveBytesPerSecond: progress.reduce((sum, share) => sum + share.receiveBytesPerSecond, 0),
      // The newest shares, if there are more than a status holds.
      shares: progress.slice(-32).map(({ root, verifiedBytes }) => {
        const known = shares.get(root)
        return {
          root,
          verifiedBytes,
          complete: known?.state === "complete",
          ...(known?.problemCode === undefined ? {} : { problem: known.problemCode })
        }
      })
    })
  })

  const shareViews = Effect.gen(function*() {
    const progress = new Map((yield* scheduler.progress).map((each) => [each.root, each]))
    return Array.from(shares.values(), (known): ShareView => {
      const { path, problem, share, state } = known
      const moving = progress.get(share.root)
      const waitsForSource = known.sourceChanged && isStuck(known, moving)
      return {
        root: share.root,
        title: share.title,
        kind: share.kind,
        sizeBytes: share.sizeBytes,
        verifiedBytes: moving?.verifiedBytes ?? 0,
        receiveBytesPerSecond: moving?.receiveBytesPerSecond ?? 0,
        sendBytesPerSecond: moving?.sendBytesPerSecond ?? 0,
        sources: moving?.sources ?? 0,
        state: waitsForSource ? "paused" : state,
        path,
        problem: waitsForSource ? sourceChanged : problem
      }
    })
  })

  const deviceViews = Effect.gen(function*() {
    const views = new Map<PeerId, DeviceView>()
    const hostPeer = (peer: PeerId) => context.isHost ? peer === context.peer : hosts.has(peer)
    const hosts = new Set<PeerId>()
    for (const { isHost, name, peer } of yield* peers.peers) {
      if (isHost) hosts.add(peer)
      views.set(peer, { peer, name, isHost, isSelf: false, linked: true, status: undefined })
    }
    for (const { peer, status } of yield* relay.statuses) {
      const linked = views.get(peer)
      views.set(peer, {
        peer,
        name: status.name,
        isHost: linked?.isHost ?? hostPeer(peer),
        isSelf: peer === context.peer,
        linked: linked !== undefined,
        status
      })
    }
    const self = views.get(context.peer)
    views.set(context.peer, {
      peer: context.peer,
      name: context.name,
      isHost: context.isHost,
      isSelf: true,
      linked: false,
      status: self?.status
    })
    return Array.from(views.values())
  })

  // ---- what a person asks for --------------------------------------------------------------------------------------

  const hostOnly = Effect.suspend(() =>
    context.isHost
      ? Effect.void
      : Effect.fail(new SessionRefused({ reason: "not-host", detail: "only the teacher can do this" }))
  )

  const offer = Effect.fnUntraced(function*(
    path: string,
    onProgress: (progress: ImportProgress) => Effect.Effect<void>
  ) {
    const look = store.importSource(path, onProgress)
    let imported = yield* look
    const before = shares.get(imported.share.root)
    if (before?.state === "failed") {
      // It is again what was signed. Taking the failed share back forgets where it lies, so it is looked at once more.
      yield* withdrawn(imported.share.root)
      imported = yield* look
    }
    if (imported.skipped.length > 0) {
      const examples = imported.skipped.slice(0, 3).map((each) => `${each.path} (${each.reason})`).join(", ")
      const text = `${imported.skipped.length} files of "${imported.share.title}" are not shared: ${examples}`
      yield* publish({ event: "warning", code: "files-not-shared", text })
    }
    const known = shares.get(imported.share.root)
    if (known !== undefined && known.state !== "withdrawn") {
      const { title } = known.share
      const text = imported.share.title === title
        ? `"${title}" is shared already, and has not changed since.`
        : `"${imported.share.title}" has the same content as "${title}", which is shared already; it is not handed out again.`
      yield* publish({ event: "warning", code: "already-shared", text })
      return known.share.root
    }
    // The room hears at once what there is and that it is handed out, and finds this device ready for it.
    yield* relay.write(imported.share, offered(imported.share))
    return imported.share.root
  })

  const share = Effect.fn("Session.share")(function*(path: string) {
    yield* hostOnly
    return yield* preparing.run(path, (onProgress) => offer(path, onProgress))
  })

  const unshare = Effect.fn("Session.unshare")(function*(name: string) {
    yield* hostOnly
    if (yield* preparing.callOff(name)) return undefined
    const known = Array.from(shares.values()).findLast(({ share, state }) =>
      state !== "withdrawn" && (share.root === name || share.title === name)
    )
    if (known === undefined) return yield* new SessionRefused({ reason: "unknown-share", detail: name })
    yield* relay.write({ _tag: "Unshare", root: known.share.root })
    return known.share.root
  })

  const remove = Effect.fn("Session.remove")(function*(device: string) {
    yield* hostOnly
    const known = new Map((yield* relay.statuses).map(({ key, peer, status: { name } }) => [peer, { key, name }]))
    for (const { key, name, peer } of yield* peers.peers) known.set(peer, { key, name })
    known.delete(context.peer)
    const meant = Array.from(known).filter(([peer, { name }]) => name === device || peer === device)
    const found = meant.length > 0 ? meant : Array.from(known).filter(([peer]) => peer.startsWith(device))
    if (found.length !== 1) {
      const reason = found.length === 0 ? "unknown-device" : "several-devices"
      return yield* new SessionRefused({
        reason,
        detail: found.length === 0 ? device : found.map(([id]) => id.slice(0, 8)).join(", ")
      })
    }
    const [[, { key, name }]] = found as [(typeof found)[number]]
    yield* relay.remove(key, name)
  })

  // ---- fibers ------------------------------------------------------------------------------------------------------

  const transfers = yield* scheduler.events
  const linkChanges = yield* peers.linkChanges
  yield* Effect.forkScoped(Effect.forever(Effect.flatMap(PubSub.take(transfers), onTransfer)))
  yield* relay.delivered.process(onDelivered)
  yield* Effect.forkScoped(Effect.forever(Effect.flatMap(PubSub.take(linkChanges), ({ _tag, info }) =>
    linkChange(
      info,
      _tag === "PeerDown" ? undefined : {
        event: "peer.up",
        peer: info.peer,
        name: info.name,
        address: `${info.address.host}:${info.address.port}`,
        host: info.isHost
      }
    ))))
  yield* Effect.forkScoped(Effect.repeat(sayStatus, Schedule.spaced(statusIntervalMs)))

  return {
    shares: shareViews,
    preparing: preparing.views,
    devices: deviceViews,
    isEnded: () => ended,
    mayWrite: () => !ended && (context.isHost || context.certificate().policy.studentsMayWrite),
    share,
    unshare,
    remove,
    say: (text) => Effect.asVoid(relay.write({ _tag: "Text", text })),
    conversation: Effect.sync(() => conversation.slice()),
    end: Effect.andThen(hostOnly, Effect.asVoid(relay.write({ _tag: "End" })))
  }
})
