/**
 * The local API and the page, served over the session to this user alone.
 *
 * Requests pass `LocalAccess` first, then the handlers of `LocalApi`. The live state is one value, made afresh when
 * something happens and once a second; whoever follows it gets what changed since the state it has, so a slow reader
 * misses no step and holds up nobody.
 */
import { Clock, Context, Effect, Fiber, Layer, Metric, PubSub, Redacted, Scope, Stream } from "effect"
import { Base64Url } from "effect/encoding"
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { PrometheusMetrics } from "effect/observability"
import * as Limits from "../protocol/Limits.ts"
import { Crypto } from "./Crypto.ts"
import { Desktop } from "./Desktop.ts"
import { Disk } from "./Disk.ts"
import { Drops } from "./Drops.ts"
import * as LocalAccess from "./LocalAccess.ts"
import {
  type Found,
  type Header,
  LocalApi,
  type LocalState,
  type Notice,
  type PreparingNow,
  type StartChoice,
  type StartDefaults
} from "./LocalApi.ts"
import { OpenRefused, type StartError, StartRefused } from "./LocalErrors.ts"
import * as State from "./LocalState.ts"
import * as People from "./People.ts"
import * as Roster from "./Roster.ts"
import * as Running from "./Running.ts"
import { type PreparingView, Session, SessionRefused, type ShareView } from "./Session.ts"
import type { SessionEvent } from "./SessionEvent.ts"

/** Texts of the page, put together by the build. */
export interface PageFiles {
  readonly html: string
  readonly script: string
  readonly style: string
}

/** The start page: nobody has chosen yet who this device is. */
export interface Starting {
  readonly defaults: Effect.Effect<StartDefaults>
  /** Begins what was chosen; it then is the session that is served. */
  readonly begin: (choice: StartChoice) => Effect.Effect<Begun, StartError>
}

/** Who this device has become. */
export interface Begun {
  readonly isTeacher: boolean
  readonly name: string
  readonly stateFolder: string
}

export interface LocalServerOptions {
  readonly isTeacher: boolean
  readonly name: string
  /** Name and version of the program. */
  readonly program: string
  readonly stateFolder: string
  /** The path a person means by what was typed. */
  readonly resolvePath: (typed: string) => string
  readonly page: PageFiles
  /** Without one a session runs from the beginning. */
  readonly starting?: Starting
}

export class LocalServer extends Context.Service<LocalServer, {
  readonly port: number
  /** A link that lets the browser in which it is opened first into the page. */
  readonly link: Effect.Effect<string>
  readonly state: Effect.Effect<LocalState>
}>()("labfx/services/LocalServer") {
  /** Serves until the scope closes. Only ever on a server that listens on loopback. */
  static readonly layer = (options: LocalServerOptions) =>
    Layer.effect(LocalServer, make(options)).pipe(Layer.provide(Drops.layer(options.stateFolder)))
}

/** How long the state may be old while nothing is reported: rates and last-seen times move by themselves. */
const refreshMs = 1_000
/** Events come in bursts; a person sees no difference between ten and a hundred states a second. */
const burstMs = 100

const cookieOf = (port: number): string => `labfx-${port}`

const contentPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'"
].join("; ")

/** What every answer says to a browser. */
const guarding = {
  "content-security-policy": contentPolicy,
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY"
}

const file = (path: `/${string}`, body: string, contentType: string) =>
  HttpRouter.add("GET", path, Effect.sync(() => HttpServerResponse.text(body, { contentType })))

const make = Effect.fnUntraced(function*(options: LocalServerOptions) {
  const crypto = yield* Crypto
  const desktop = yield* Desktop
  const disk = yield* Disk
  const drops = yield* Drops
  const server = yield* HttpServer.HttpServer
  const session = yield* Session
  const clock = yield* Clock.Clock
  const scope = yield* Effect.scope
  let { isTeacher, name, starting } = options

  if (server.address._tag !== "InetAddressV4") return yield* Effect.die("the local API is served on 127.0.0.1 only")
  const { port } = server.address
  const digest = (secret: string) => crypto.sha256Text(new TextEncoder().encode(secret))
  const secret = Effect.map(crypto.randomBytes(32), (bytes) => Base64Url.encode(bytes))

  // ---- the live state ----------------------------------------------------------------------------------------------

  const events = yield* session.events
  const filesCounts = new Map<string, number>()
  let found: ReadonlyArray<Found> = []
  let notices: ReadonlyArray<Notice> = []
  let started: { readonly link: string; readonly port: number } | undefined
  let roster = Roster.make(clock.currentTimeMillisUnsafe())

  const happened = (event: SessionEvent, nowMs: number) => {
    switch (event.event) {
      case "session.started":
        started = { link: event.link, port: event.port }
        return
      case "session.found": {
        const { address, session, title, trust, words } = event
        found = [...found.filter((other) => other.session !== session), { session, title, words, address, trust }]
          .slice(-Limits.sessionsListedMax)
        return
      }
      case "share.offered":
        filesCounts.set(event.root, event.files)
        return
      case "warning": {
        const number = (notices.at(-1)?.number ?? 0) + 1
        notices = [...notices, { number, atMs: nowMs, code: event.code, text: event.text }].slice(-Limits.noticesMax)
      }
    }
  }

  const shareNow = (share: ShareView) => {
    const spread = isTeacher ? Roster.spread(roster, share) : undefined
    return { ...share, filesCount: filesCounts.get(share.root) ?? 0, ...(spread === undefined ? {} : { spread }) }
  }

  const preparingNow = ({ totalBytes, ...preparing }: PreparingView): PreparingNow =>
    totalBytes === undefined ? preparing : { ...preparing, totalBytes }

  const look = Effect.gen(function*() {
    const view = yield* session.view
    const nowMs = yield* Clock.currentTimeMillis
    roster = Roster.step(roster, view, nowMs)
    const { isHost: _, shares, preparing, devices: __, ...header } = view
    const state: LocalState = {
      header: {
        program: options.program,
        isTeacher,
        name,
        ...header,
        ...started,
        ...(starting === undefined ? {} : { start: yield* starting.defaults })
      } satisfies Header,
      shares: shares.map(shareNow),
      preparing: preparing.map(preparingNow),
      devices: Roster.devices(roster),
      messages: (yield* session.conversation).map(({ event: _, ...message }) => message),
      found,
      notices
    }
    return state
  })

  const states = yield* PubSub.sliding<LocalState>({ capacity: 1, replay: 1 })
  let current = yield* look
  yield* PubSub.publish(states, current)
  const follow = Effect.gen(function*() {
    const first = yield* Effect.timeoutOption(PubSub.takeAll(events), refreshMs)
    if (first._tag === "Some") yield* Effect.sleep(burstMs)
    const nowMs = yield* Clock.currentTimeMillis
    for (const event of first._tag === "Some" ? first.value : []) happened(event, nowMs)
    for (const event of yield* PubSub.takeUpTo(events, Limits.controlFramesBurstMax)) happened(event, nowMs)
    current = yield* look
    yield* measure(current)
    yield* PubSub.publish(states, current)
  })
  yield* Effect.forkScoped(Effect.forever(follow))

  let followers = 0
  const live = Stream.unwrap(Effect.gen(function*() {
    const subscription = yield* PubSub.subscribe(states)
    yield* Effect.acquireRelease(
      Effect.sync(() => void followers++),
      () => Effect.sync(() => void followers--)
    )
    return Stream.fromSubscription(subscription).pipe(
      Stream.mapAccum(
        (): LocalState | undefined => undefined,
        (before, after) => [after, before === undefined ? [State.snapshot(after)] : State.changes(before, after)]
      )
    )
  }))

  // ---- who is let in -----------------------------------------------------------------------------------------------

  const key = yield* secret
  let access = LocalAccess.make(port, digest(key))
  const link = Effect.map(secret, (secret) => {
    access = LocalAccess.offer(access, digest(secret))
    return `http://127.0.0.1:${port}${LocalAccess.linkPath}${secret}`
  })

  const seen = (request: HttpServerRequest.HttpServerRequest): LocalAccess.Request => ({
    method: request.method,
    path: request.url.split("?")[0]!,
    host: request.headers["host"],
    origin: request.headers["origin"],
    site: request.headers["sec-fetch-site"],
    mode: request.headers["sec-fetch-mode"],
    upgrade: request.headers["upgrade"],
    authorization: request.headers["authorization"],
    cookie: request.cookies[cookieOf(port)],
    pageKey: request.headers["x-labfx-key"]
  })

  const admission = HttpRouter.middleware(
    (handled) =>
      Effect.gen(function*() {
        const request = yield* HttpServerRequest.HttpServerRequest
        const verdict = LocalAccess.judge(access, seen(request), digest)
        const response = verdict === "allowed"
          ? yield* handled
          : HttpServerResponse.jsonUnsafe({ _tag: "Denied", reason: verdict }, {
            status: verdict === "key" ? 401 : 403
          })
        return HttpServerResponse.setHeaders(response, {
          "cache-control": "no-store",
          ...guarding
        })
      }),
    { global: true }
  )

  // ---- the page ----------------------------------------------------------------------------------------------------

  /** A second opening means that somebody else has read the link: whoever came first is shut out with it. */
  const letIn = HttpRouter.add(
    "GET",
    `${LocalAccess.linkPath}:secret`,
    Effect.gen(function*() {
      const { secret: opened = "" } = yield* HttpRouter.params
      const [cookie, pageKey] = [yield* secret, yield* secret]
      const [next, outcome] = LocalAccess.redeem(access, {
        link: digest(opened),
        cookie: digest(cookie),
        pageKey: digest(pageKey)
      })
      access = next
      // A refresh of the page itself, not a redirect: only then does a browser that came from elsewhere send a strict cookie.
      const target = outcome === "in" ? `/#${pageKey}` : `/#${outcome}`
      const body =
        `<!doctype html><meta charset="utf-8"><title>labfx</title><meta http-equiv="refresh" content="0;url=${target}">`
      const response = HttpServerResponse.text(body, {
        contentType: "text/html; charset=utf-8",
        status: outcome === "in" ? 200 : 410
      })
      return outcome === "in"
        ? HttpServerResponse.setCookieUnsafe(response, cookieOf(port), cookie, {
          httpOnly: true,
          sameSite: "strict",
          path: "/"
        })
        : response
    })
  )

  const metrics = HttpRouter.add(
    "GET",
    "/metrics",
    Effect.map(
      PrometheusMetrics.format(),
      (body) => HttpServerResponse.text(body, { contentType: "text/plain; version=0.0.4; charset=utf-8" })
    )
  )

  const pages = Layer.mergeAll(
    file("/", options.page.html, "text/html; charset=utf-8"),
    file("/app.js", options.page.script, "text/javascript; charset=utf-8"),
    file("/app.css", options.page.style, "text/css; charset=utf-8"),
    letIn,
    metrics
  )

  // ---- the calls ---------------------------------------------------------------------------------------------------

  const hostOnly = Effect.suspend(() =>
    isTeacher
      ? Effect.void
      : Effect.fail(new SessionRefused({ reason: "not-host", detail: "only the teacher can do this" }))
  )

  /** Says to the other commands where this run is found. */
  const announce = (stateFolder: string) =>
    Running.announce(stateFolder, { version: 1, port, key, role: isTeacher ? "teacher" : "student" }).pipe(
      Effect.provideService(Disk, disk),
      Scope.provide(scope)
    )

  let isBeginning = false
  const begin = Effect.fnUntraced(function*(choice: StartChoice) {
    if (starting === undefined || isBeginning) return yield* new StartRefused({ reason: "started", detail: "" })
    isBeginning = true
    // A page that is closed meanwhile takes nothing back.
    const beginning = yield* starting.begin(choice).pipe(
      Effect.tap((begun) => {
        starting = undefined
        isTeacher = begun.isTeacher
        name = begun.name
        // The session runs; that other commands do not find it is no reason to end it.
        return Effect.ignore(announce(begun.stateFolder))
      }),
      Effect.ensuring(Effect.sync(() => void (isBeginning = false))),
      Effect.forkIn(scope)
    )
    yield* Fiber.join(beginning)
  })

  const forgetDropped = (path: string | undefined) => path === undefined ? Effect.void : drops.forget(path)

  /**
   * Each is a share of its own, so one that cannot be shared keeps no other back. Of what is not, no copy is left behind; and
   * a page that is closed meanwhile takes nothing back.
   */
  const shareDropped = Effect.fnUntraced(function*(paths: ReadonlyArray<string>) {
    const unshared = new Set(paths)
    const sharing = yield* Effect.forEach(
      paths,
      (path) => Effect.exit(Effect.tap(session.share(path), () => Effect.sync(() => unshared.delete(path))))
    ).pipe(
      Effect.ensuring(Effect.suspend(() => Effect.forEach(unshared, drops.forget, { discard: true }))),
      Effect.forkIn(scope)
    )
    return yield* Effect.all(yield* Fiber.join(sharing))
  })

  const sessionCalls = HttpApiBuilder.group(LocalApi, "session", (handlers) =>
    handlers.handleAll({
      state: () => look,
      live: () => Effect.sync(() => followers < Limits.liveSubscribersMax ? live : Stream.empty),
      say: ({ payload }) => session.say(payload.text),
      share: ({ payload }) => Effect.map(session.share(options.resolvePath(payload.path)), (root) => ({ root })),
      unshare: Effect.fnUntraced(function*({ params: { name } }) {
        const withdrawn = yield* session.unshare(name)
        yield* forgetDropped((yield* session.view).shares.find(({ root }) => root === withdrawn)?.path)
      }),
      remove: ({ params }) => session.remove(params.device),
      choose: ({ payload }) => session.choose(payload.session),
      enter: ({ payload }) => session.enter(Redacted.make(payload.code, { label: "join code" })),
      start: ({ payload }) => begin(payload),
      end: () => session.end,
      people: () => Effect.map(look, People.table)
    }))

  const deskCalls = HttpApiBuilder.group(LocalApi, "desk", (handlers) =>
    handlers.handleAll({
      link: () => Effect.map(link, (url) => ({ url })),
      openFolder: Effect.fnUntraced(function*({ payload: { root } }) {
        const share = (yield* session.view).shares.find((share) => share.root === root)
        if (share?.path === undefined) return yield* new OpenRefused({ reason: "not-here", detail: root })
        // The folder it is in, for a folder too: some systems start what is called `name.app` instead of showing it.
        yield* desktop.showFolder(share.path.replace(/[\\/][^\\/]*$/, "") || "/")
      })
    }))

  const dropCalls = HttpApiBuilder.group(LocalApi, "drops", (handlers) =>
    handlers.handleAll({
      begin: () => hostOnly.pipe(Effect.andThen(drops.begin), Effect.map((drop) => ({ drop }))),
      files: ({ params, payload }) => drops.write(params.drop, payload),
      finish: Effect.fnUntraced(function*({ params }) {
        const paths = yield* drops.finish(params.drop)
        return { roots: yield* shareDropped(paths) }
      }),
      discard: ({ params }) => drops.discard(params.drop)
    }))

  const app = Layer.mergeAll(
    HttpApiBuilder.layer(LocalApi, { openapiPath: "/api/openapi.json" }).pipe(
      Layer.provide([sessionCalls, deskCalls, dropCalls])
    ),
    pages,
    admission
  )
  yield* Layer.build(
    HttpRouter.serve(app, { disableListenLog: true, disableLogger: true }).pipe(
      Layer.provide([HttpServer.layerServices, Layer.succeed(HttpServer.HttpServer, server)])
    )
  )
  if (starting === undefined) yield* announce(options.stateFolder)

  return LocalServer.of({ port, link, state: look })
})

// ---- counters --------------------------------------------------------------------------------------------------------

const devicesGauge = Metric.gauge("labfx_devices", { description: "Devices in the session, this one included" })
const studentsDone = Metric.gauge("labfx_students_with_everything", { description: "Students that have every share" })
const linksGauge = Metric.gauge("labfx_links", { description: "Direct links of this device" })
const messagesGauge = Metric.gauge("labfx_messages", { description: "Messages in the conversation" })
const sharesGauge = Metric.gauge("labfx_shares", { description: "Shares that are handed out" })
const verifiedGauge = Metric.gauge("labfx_share_verified_bytes", { description: "Bytes of a share verified here" })
const sizeGauge = Metric.gauge("labfx_share_bytes", { description: "Size of a share" })
const receiveGauge = Metric.gauge("labfx_receive_bytes_per_second", { description: "Bytes received a second" })
const sendGauge = Metric.gauge("labfx_send_bytes_per_second", { description: "Bytes sent a second" })

const has = (device: LocalState["devices"][number], root: string) =>
  device.shares?.some((share) => share.complete && share.root === root) === true

const measure = Effect.fnUntraced(function*({ devices, messages, shares }: LocalState) {
  const offered = shares.filter(({ state }) => state !== "withdrawn")
  const here = devices.filter(({ presence }) => presence !== "gone")
  const students = here.filter(({ isHost, isSelf }) => !isHost && !isSelf)
  yield* Metric.update(devicesGauge, here.length)
  yield* Metric.update(linksGauge, here.filter(({ linked }) => linked).length)
  yield* Metric.update(messagesGauge, messages.length)
  yield* Metric.update(sharesGauge, offered.length)
  yield* Metric.update(
    studentsDone,
    students.filter((device) => offered.every(({ root }) => has(device, root))).length
  )
  yield* Metric.update(receiveGauge, offered.reduce((sum, share) => sum + share.receiveBytesPerSecond, 0))
  yield* Metric.update(sendGauge, offered.reduce((sum, share) => sum + share.sendBytesPerSecond, 0))
  for (const { root, sizeBytes, title, verifiedBytes } of offered) {
    const named = Metric.withAttributes({ root, title })
    yield* Metric.update(named(verifiedGauge), verifiedBytes)
    yield* Metric.update(named(sizeGauge), sizeBytes)
  }
})
