/** P12: other users of the machine and web pages in the browser can neither read nor steer labfx. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { FetchHttpClient } from "effect/http"
import * as NodeFs from "node:fs"
import * as NodeHttp from "node:http"
import * as Limits from "../../src/protocol/Limits.ts"
import type { LocalState, StartChoice } from "../../src/services/LocalApi.ts"
import * as LocalClient from "../../src/services/LocalClient.ts"
import { LocalServer, type Starting } from "../../src/services/LocalServer.ts"
import { layerNode as DiskLayer } from "../../src/services/node/DiskNode.ts"
import * as Running from "../../src/services/Running.ts"
import { SecretError } from "../../src/services/Secrets.ts"
import { ask, type Asked, beginning, makeDesktop, serve } from "../support/LocalLab.ts"
import * as SessionFake from "../support/SessionFake.ts"
import { tempFolder } from "../support/TempFolder.ts"

interface Lab {
  readonly fake: SessionFake.SessionFake
  readonly server: LocalServer["Service"]
  readonly key: string
  readonly stateFolder: string
  readonly shown: ReadonlyArray<string>
  readonly ask: (path: string, asked?: Asked) => ReturnType<typeof ask>
}

/** Runs a test against a served session. `ask` sends this server's own host. */
const withLab = (test: (lab: Lab) => Effect.Effect<void, unknown>, isTeacher = true) =>
  Effect.gen(function*() {
    const stateFolder = yield* tempFolder
    const fake = yield* SessionFake.make
    fake.view = SessionFake.view({ isHost: isTeacher })
    const desktop = makeDesktop()
    yield* Effect.gen(function*() {
      const server = yield* LocalServer
      const running = yield* Running.read(stateFolder)
      yield* test({
        fake,
        server,
        key: running!.key,
        stateFolder,
        shown: desktop.shown,
        ask: (path, asked = {}) =>
          ask(server.port, path, { ...asked, headers: { host: `127.0.0.1:${server.port}`, ...asked.headers } })
      })
    }).pipe(Effect.provide(serve(fake.layer, { stateFolder, isTeacher }, desktop.layer)))
  }).pipe(Effect.scoped)

const bearer = (key: string) => ({ authorization: `Bearer ${key}` })

/** Opens a link as a browser does: what it gets to keep. */
const openLink = Effect.fnUntraced(function*(lab: Lab, url: string) {
  const answer = yield* lab.ask(new URL(url).pathname)
  const cookie = (answer.headers["set-cookie"] ?? [])[0]
  return {
    answer,
    cookie,
    headers: {
      cookie: cookie?.split(";")[0] ?? "",
      "x-labfx-key": /url=\/#([A-Za-z0-9_-]{43})/.exec(answer.body)?.[1] ?? ""
    }
  }
})

describe("the local API", () => {
  it.live("answers nobody who does not know the run's key", () =>
    withLab((lab) =>
      Effect.gen(function*() {
        for (const path of ["/api/state", "/api/live", "/api/people.csv", "/metrics", "/api/openapi.json"]) {
          assert.strictEqual((yield* lab.ask(path)).status, 401, path)
          assert.strictEqual((yield* lab.ask(path, { headers: bearer("A".repeat(43)) })).status, 401, path)
        }
        const said = yield* lab.ask("/api/messages", {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ text: "hello" })
        })
        assert.strictEqual(said.status, 401)
        assert.deepStrictEqual(lab.fake.asked, [])
      })
    ))

  it.live("keeps the key where other users of the machine cannot read it, and removes it when the run ends", () =>
    Effect.gen(function*() {
      let file = ""
      yield* withLab((lab) =>
        Effect.sync(() => {
          file = `${lab.stateFolder}/running.json`
          assert.strictEqual(NodeFs.statSync(file).mode & 0o777, process.platform === "win32" ? 0o666 : 0o600)
        })
      )
      assert.isFalse(NodeFs.existsSync(file))
    }))

  it.live("refuses a request for another host, however much it knows: a name that was rebound to this machine", () =>
    withLab((lab) =>
      Effect.gen(function*() {
        for (const host of ["evil.example", `evil.example:${lab.server.port}`, "127.0.0.1", "127.0.0.1:1"]) {
          const answer = yield* lab.ask("/api/state", { headers: { ...bearer(lab.key), host } })
          assert.strictEqual(answer.status, 403, host)
        }
        assert.strictEqual((yield* lab.ask("/", { headers: { host: "evil.example" } })).status, 403)
      })
    ))

  it.live("refuses a request that another origin's page caused, however much it knows", () =>
    withLab((lab) =>
      Effect.gen(function*() {
        const { headers } = yield* openLink(lab, yield* lab.server.link)
        const own = `http://127.0.0.1:${lab.server.port}`
        assert.strictEqual((yield* lab.ask("/api/state", { headers: { ...headers, origin: own } })).status, 200)
        for (
          const origin of ["http://evil.example", "null", "http://127.0.0.1:1", `https://127.0.0.1:${lab.server.port}`]
        ) {
          assert.strictEqual((yield* lab.ask("/api/state", { headers: { ...headers, origin } })).status, 403, origin)
        }
        for (const site of ["cross-site", "same-site"]) {
          const asked = { headers: { ...headers, "sec-fetch-site": site, "sec-fetch-mode": "cors" } }
          assert.strictEqual((yield* lab.ask("/api/state", asked)).status, 403, site)
          // A page elsewhere must not learn from a script tag whether labfx runs here.
          const script = { headers: { "sec-fetch-site": site, "sec-fetch-mode": "no-cors" } }
          assert.strictEqual((yield* lab.ask("/app.js", script)).status, 403, site)
        }
      })
    ))

  it.live("lets one browser in by a link, with a cookie that no script and no other site can use", () =>
    withLab((lab) =>
      Effect.gen(function*() {
        const { cookie, headers } = yield* openLink(lab, yield* lab.server.link)
        assert.match(cookie!, /HttpOnly/i)
        assert.match(cookie!, /SameSite=Strict/i)
        assert.strictEqual((yield* lab.ask("/api/state", { headers })).status, 200)
        // A cookie goes to every port of this machine, so it is worth nothing alone; nor is the page's key.
        assert.strictEqual((yield* lab.ask("/api/state", { headers: { cookie: headers.cookie } })).status, 401)
        const keyAlone = { "x-labfx-key": headers["x-labfx-key"] }
        assert.strictEqual((yield* lab.ask("/api/state", { headers: keyAlone })).status, 401)
      })
    ))

  it.live("lets nobody in by a link that was opened before, and shuts out whoever opened it first", () =>
    withLab((lab) =>
      Effect.gen(function*() {
        const link = yield* lab.server.link
        const first = yield* openLink(lab, link)
        const second = yield* openLink(lab, link)
        assert.strictEqual(second.answer.status, 410)
        assert.isUndefined(second.cookie)
        assert.strictEqual((yield* lab.ask("/api/state", { headers: first.headers })).status, 401)
        const guessed = yield* openLink(lab, link.slice(0, -1) + (link.endsWith("A") ? "B" : "A"))
        assert.isUndefined(guessed.cookie)
      })
    ))

  it.live("tells browsers to run nothing but its own script, to guess no types and to show it in no frame", () =>
    withLab((lab) =>
      Effect.gen(function*() {
        for (const path of ["/", "/app.js", "/api/state"]) {
          const { headers } = yield* lab.ask(path)
          const policy = String(headers["content-security-policy"])
          assert.include(policy, "script-src 'self'")
          assert.notInclude(policy, "unsafe")
          assert.include(policy, "frame-ancestors 'none'")
          assert.strictEqual(headers["x-content-type-options"], "nosniff")
          assert.isUndefined(headers["access-control-allow-origin"])
        }
      })
    ))

  it.live("opens no WebSocket for anybody", () =>
    withLab((lab) =>
      Effect.gen(function*() {
        const answer = yield* lab.ask("/api/live", {
          headers: {
            ...bearer(lab.key),
            connection: "upgrade",
            upgrade: "websocket",
            "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
            "sec-websocket-version": "13"
          }
        })
        assert.strictEqual(answer.status, 403)
      })
    ))

  it.live("serves nothing that was received: a path of the disk is not a path of the page", () =>
    withLab((lab) =>
      Effect.gen(function*() {
        for (const path of ["/dl/lab.bin", "/../running.json", "/%2e%2e/running.json", "/files/lab.bin"]) {
          assert.strictEqual((yield* lab.ask(path, { headers: bearer(lab.key) })).status, 404, path)
        }
      })
    ))
})

const post = (lab: Lab, path: string, body: unknown) =>
  lab.ask(path, {
    method: "POST",
    headers: { ...bearer(lab.key), "content-type": "application/json" },
    body: JSON.stringify(body)
  })

describe("what is asked through it", () => {
  it.live("reaches the session", () =>
    withLab((lab) =>
      Effect.gen(function*() {
        assert.strictEqual((yield* post(lab, "/api/messages", { text: "hello" })).status, 204)
        assert.strictEqual((yield* post(lab, "/api/shares", { path: "/lab1" })).status, 200)
        assert.strictEqual((yield* post(lab, "/api/choice", { session: SessionFake.sessionId("s") })).status, 204)
        const gone = yield* lab.ask("/api/shares/lab%201.bin", { method: "DELETE", headers: bearer(lab.key) })
        assert.strictEqual(gone.status, 204)
        assert.strictEqual((yield* post(lab, "/api/end", {})).status, 204)
        assert.deepStrictEqual(lab.fake.asked, [
          "say hello",
          "share /lab1",
          `choose ${SessionFake.sessionId("s")}`,
          "unshare lab 1.bin",
          "end"
        ])
      })
    ))

  it.live("comes back as the error it was", () =>
    withLab((lab) =>
      Effect.gen(function*() {
        const answer = yield* post(lab, "/api/shares", { path: "/missing" })
        assert.strictEqual(answer.status, 422)
        assert.include(JSON.parse(answer.body), { _tag: "SourceError", reason: "not-found" })
        assert.strictEqual((yield* post(lab, "/api/messages", { text: 1 })).status, 400)
        assert.strictEqual((yield* post(lab, "/api/folder", { root: SessionFake.root("r") })).status, 409)
      })
    ))

  it.live("shows the folder a share is in and never what is in it", () =>
    withLab((lab) =>
      Effect.gen(function*() {
        lab.fake.view = SessionFake.view({
          shares: [SessionFake.share({ state: "complete", path: "/dl/trap.app", kind: "folder" })]
        })
        assert.strictEqual((yield* post(lab, "/api/folder", { root: SessionFake.root("r") })).status, 204)
        assert.deepStrictEqual(lab.shown, ["/dl"])
      })
    ))
})

describe("the live state", () => {
  it.live("begins with all there is and goes on with what happens", () =>
    withLab((lab) =>
      Effect.gen(function*() {
        const headers = { ...bearer(lab.key), host: `127.0.0.1:${lab.server.port}` }
        yield* lab.fake.happen(SessionFake.examples["warning"])
        const text = yield* beginning(lab.server.port, "/api/live", headers, /udp-blocked/)
        assert.match(text, /^(event: .*\n)?data: \{"_tag":"Snapshot"/)
        assert.include(text, "Networks 101")
      })
    ))
})

describe("what is being prepared", () => {
  it.live("is in the state, and is called off by its id", () =>
    withLab((lab) =>
      Effect.gen(function*() {
        lab.fake.view = SessionFake.view({
          isHost: true,
          preparing: [
            { id: "preparing-1", title: "linux.iso", hashedBytes: 3_200, totalBytes: 10_000 },
            { id: "preparing-2", title: "photos", hashedBytes: 0, totalBytes: undefined }
          ]
        })
        const { body } = yield* lab.ask("/api/state", { headers: bearer(lab.key) })
        assert.deepStrictEqual((JSON.parse(body) as LocalState).preparing, [
          { id: "preparing-1", title: "linux.iso", hashedBytes: 3_200, totalBytes: 10_000 },
          { id: "preparing-2", title: "photos", hashedBytes: 0 }
        ])
        yield* lab.ask("/api/shares/preparing-1", { method: "DELETE", headers: bearer(lab.key) })
        assert.deepStrictEqual(lab.fake.asked, ["unshare preparing-1"])
      })
    ))
})

/** A follower of the live state that has been shown the beginning of it, and goes on listening. */
const follower = (lab: Lab) =>
  Effect.callback<NodeHttp.ClientRequest>((resume) => {
    const request = NodeHttp.request({
      host: "127.0.0.1",
      port: lab.server.port,
      path: "/api/live",
      headers: { ...bearer(lab.key), host: `127.0.0.1:${lab.server.port}` },
      // Connections that others have left open are not for it.
      agent: false
    }, (response) => response.once("data", () => resume(Effect.succeed(request))))
    request.on("error", () => {})
    request.end()
  })

describe("limits of the live state", () => {
  it.live("is followed by liveSubscribersMax pages, and by one more when another has gone", () =>
    withLab((lab) =>
      Effect.gen(function*() {
        const followers = yield* Effect.forEach(Array.from({ length: Limits.liveSubscribersMax }), () => follower(lab))
        const live = lab.ask("/api/live", { headers: bearer(lab.key) })
        const surplus = yield* live
        assert.deepStrictEqual([surplus.status, surplus.body], [200, ""])
        followers.pop()!.destroy()
        // The others end only when they are ended: whoever gets in is shown something.
        const next = yield* follower(lab).pipe(
          Effect.timeoutOption("50 millis"),
          Effect.repeat({ until: (request) => request._tag === "Some" })
        )
        for (const request of [...followers, ...next._tag === "Some" ? [next.value] : []]) request.destroy()
      })
    ))

  it.live("has the newest noticesMax notices", () =>
    withLab((lab) =>
      Effect.gen(function*() {
        const headers = { ...bearer(lab.key), host: `127.0.0.1:${lab.server.port}` }
        const numbers = Effect.map(
          lab.ask("/api/state", { headers }),
          ({ body }) => (JSON.parse(body) as LocalState).notices.map(({ number }) => number)
        )
        const warnings = Array.from({ length: Limits.noticesMax }, () => SessionFake.examples["warning"])
        yield* lab.fake.happen(...warnings)
        const all = yield* Effect.repeat(numbers, { until: (shown) => shown.at(-1) === Limits.noticesMax })
        assert.deepStrictEqual(all, Array.from({ length: Limits.noticesMax }, (_, i) => i + 1))
        yield* lab.fake.happen(SessionFake.examples["warning"])
        const newest = yield* Effect.repeat(numbers, { until: (shown) => shown.at(-1) === Limits.noticesMax + 1 })
        assert.deepStrictEqual(newest, Array.from({ length: Limits.noticesMax }, (_, i) => i + 2))
      })
    ))
})

const begin = (lab: Lab) =>
  Effect.map(
    lab.ask("/api/drops", { method: "POST", headers: bearer(lab.key) }),
    ({ body }) => (JSON.parse(body) as { readonly drop: number }).drop
  )
const record = (path: string, text: string) =>
  `${JSON.stringify({ path, size: new TextEncoder().encode(text).length })}\n${text}`
const upload = (lab: Lab, drop: number, body: string | Uint8Array) =>
  lab.ask(`/api/drops/${drop}/files`, {
    method: "POST",
    headers: { ...bearer(lab.key), "content-type": "application/octet-stream" },
    body
  })
const finish = (lab: Lab, drop: number) =>
  lab.ask(`/api/drops/${drop}/share`, { method: "POST", headers: bearer(lab.key) })

describe("files handed over by a browser", () => {
  it.live("are shared from below the state folder, whole, with their folders", () =>
    withLab((lab) =>
      Effect.gen(function*() {
        const drop = yield* begin(lab)
        const large = "x".repeat(300_000)
        const first = yield* upload(
          lab,
          drop,
          record("lab1/notes.txt", "hello") + record("lab1/src/big.bin", large) + record("lab1/empty", "")
        )
        assert.deepStrictEqual(JSON.parse(first.body), { files: 3, skipped: [] })
        const second = yield* upload(lab, drop, `{"path":"lab1/nothing here","folder":true}\n${record("a.txt", "é")}`)
        assert.strictEqual(second.status, 200, second.body)
        assert.strictEqual((yield* finish(lab, drop)).status, 200)
        const folder = `${lab.stateFolder}/dropped/${drop}`
        assert.deepStrictEqual(lab.fake.asked, [`share ${folder}/a.txt`, `share ${folder}/lab1`])
        assert.strictEqual(NodeFs.readFileSync(`${folder}/lab1/src/big.bin`, "utf8"), large)
        assert.strictEqual(NodeFs.readFileSync(`${folder}/a.txt`, "utf8"), "é")
        assert.deepStrictEqual(NodeFs.readdirSync(`${folder}/lab1`).toSorted(), [
          "empty",
          "notes.txt",
          "nothing here",
          "src"
        ])
      })
    ))

  it.live("never leave the drop's own folder, whatever they are called", () =>
    withLab((lab) =>
      Effect.gen(function*() {
        const drop = yield* begin(lab)
        const names = ["../out", "/etc/x", "a/../../b", "a\\..\\b", "con", "a\u0000b", ".labfx"]
        const answer = yield* upload(lab, drop, names.map((name) => record(name, "x")).join("") + record("good", "x"))
        const written = JSON.parse(answer.body) as { files: number; skipped: ReadonlyArray<unknown> }
        assert.strictEqual(written.files, 1)
        assert.lengthOf(written.skipped, names.length)
        assert.deepStrictEqual(NodeFs.readdirSync(`${lab.stateFolder}/dropped/${drop}`), ["good"])
      })
    ))

  it.live("are refused when they are cut off or no records at all, and nothing half is shared", () =>
    withLab((lab) =>
      Effect.gen(function*() {
        const drop = yield* begin(lab)
        assert.strictEqual((yield* upload(lab, drop, `{"path":"a","size":100000}\nshort`)).status, 422)
        assert.strictEqual((yield* upload(lab, drop, "x".repeat(10_000))).status, 422)
        assert.strictEqual((yield* upload(lab, 99, record("a", "x"))).status, 422)
        assert.strictEqual((yield* finish(lab, drop)).status, 422)
        assert.deepStrictEqual(lab.fake.asked, [])
        assert.deepStrictEqual(NodeFs.readdirSync(`${lab.stateFolder}/dropped`), [])
      })
    ))

  it.live("leave no copy behind of what cannot be shared, or was called off, and keep nothing else back", () =>
    withLab((lab) =>
      Effect.gen(function*() {
        const drop = yield* begin(lab)
        yield* upload(lab, drop, record("a missing.txt", "x") + record("b.txt", "b") + record("c missing/d.txt", "d"))
        const answer = yield* finish(lab, drop)
        assert.include(JSON.parse(answer.body), { _tag: "SourceError", reason: "not-found" })
        const folder = `${lab.stateFolder}/dropped/${drop}`
        assert.deepStrictEqual(
          lab.fake.asked,
          ["a missing.txt", "b.txt", "c missing"].map((name) => `share ${folder}/${name}`)
        )
        assert.deepStrictEqual(NodeFs.readdirSync(folder), ["b.txt"])
      })
    ))

  it.live("are shared also where the page is closed before they are", () =>
    withLab((lab) =>
      Effect.gen(function*() {
        const drop = yield* begin(lab)
        yield* upload(lab, drop, record("a.txt", "a") + record("b.txt", "b"))
        const hashed = yield* Deferred.make<void>()
        lab.fake.beforeShared = Deferred.await(hashed)
        const page = yield* Effect.forkChild(finish(lab, drop), { startImmediately: true })
        const asked = (count: number) =>
          Effect.sleep("5 millis").pipe(
            Effect.repeat({ until: () => lab.fake.asked.length === count }),
            Effect.timeout("5 seconds")
          )
        yield* asked(1)
        yield* Fiber.interrupt(page)
        yield* Effect.sleep("100 millis")
        yield* Deferred.succeed(hashed, undefined)
        yield* asked(2)
        yield* Effect.sleep("50 millis")
        assert.deepStrictEqual(NodeFs.readdirSync(`${lab.stateFolder}/dropped/${drop}`), ["a.txt", "b.txt"])
      })
    ))

  it.live("are taken from the teacher only", () =>
    withLab(
      (lab) =>
        Effect.gen(function*() {
          const answer = yield* lab.ask("/api/drops", { method: "POST", headers: bearer(lab.key) })
          assert.include(JSON.parse(answer.body), { _tag: "SessionRefused", reason: "not-host" })
        }),
      false
    ))
})

describe("the client of the other commands", () => {
  it.live("finds the running session by its file and speaks to it with its key", () =>
    withLab((lab) =>
      Effect.gen(function*() {
        const { client } = yield* LocalClient.connect(["/nothing/here", lab.stateFolder])
        assert.strictEqual((yield* client.state()).header.title, "Networks 101")
        yield* client.say({ payload: { text: "hello" } })
        const missing = yield* Effect.flip(client.share({ payload: { path: "/missing" } }))
        assert.strictEqual(missing._tag, "SourceError")
        assert.deepStrictEqual(lab.fake.asked.slice(0, 1), ["say hello"])
      }).pipe(Effect.provide(Layer.mergeAll(FetchHttpClient.layer, DiskLayer)))
    ))

  it.live("says that nothing runs, also where a killed run left its file behind", () =>
    Effect.gen(function*() {
      const stateFolder = yield* tempFolder
      NodeFs.writeFileSync(
        `${stateFolder}/running.json`,
        JSON.stringify({ version: 1, port: 1, key: "A".repeat(43), role: "teacher" })
      )
      const error = yield* Effect.flip(LocalClient.connect([stateFolder]))
      assert.strictEqual(error._tag, "NothingRunning")
    }).pipe(Effect.provide(Layer.mergeAll(FetchHttpClient.layer, DiskLayer)), Effect.scoped))
})

describe("the start page", () => {
  const choice: StartChoice = { _tag: "Teacher", title: "Physics", studentsMayWrite: false }

  it.live("begins once, only for whom the page was opened, and again after what could not be begun", () =>
    Effect.gen(function*() {
      const stateFolder = yield* tempFolder
      const fake = yield* SessionFake.make
      const begun: Array<StartChoice> = []
      const gate = yield* Deferred.make<void>()
      const starting: Starting = {
        defaults: Effect.succeed({ title: "Ada", name: "lab-07", folder: "/downloads", keyKept: false }),
        begin: (choice) =>
          Effect.gen(function*() {
            begun.push(choice)
            if (begun.length === 1) return yield* new SecretError({ reason: "weak", strengthBits: 12 })
            yield* Deferred.await(gate)
            return { isTeacher: true, name: "Ada", stateFolder }
          })
      }
      yield* Effect.gen(function*() {
        const server = yield* LocalServer
        const host = `127.0.0.1:${server.port}`
        const lab = {
          ask: (path: string, asked: Asked = {}) =>
            ask(server.port, path, { ...asked, headers: { host, ...asked.headers } })
        } as Lab
        const start = (headers: Readonly<Record<string, string>>) =>
          lab.ask("/api/start", {
            method: "POST",
            headers: { "content-type": "application/json", ...headers },
            body: JSON.stringify(choice)
          })
        const { headers } = yield* openLink(lab, yield* server.link)
        const state = Effect.map(
          lab.ask("/api/state", { headers }),
          ({ body }) => (JSON.parse(body) as LocalState).header
        )

        assert.strictEqual((yield* start({})).status, 401)
        assert.strictEqual((yield* start({ ...headers, origin: "http://evil.example" })).status, 403)
        assert.strictEqual((yield* start({ ...headers, host: "evil.example" })).status, 403)
        assert.deepStrictEqual(begun, [])
        assert.strictEqual((yield* state).start?.title, "Ada")
        assert.isUndefined(yield* Running.read(stateFolder))

        const weak = yield* start(headers)
        assert.deepStrictEqual([weak.status, JSON.parse(weak.body).reason], [422, "weak"])
        const first = yield* Effect.forkChild(start(headers))
        while (begun.length < 2) yield* Effect.sleep("5 millis")
        const second = yield* start(headers)
        assert.deepStrictEqual([second.status, JSON.parse(second.body).reason], [422, "started"])
        // What was filled in stays on the page until it has begun.
        assert.isDefined((yield* state).start)
        yield* Deferred.succeed(gate, undefined)
        assert.strictEqual((yield* Fiber.join(first)).status, 204)
        assert.deepStrictEqual(begun, [choice, choice])
        const after = yield* state
        assert.deepStrictEqual([after.start, after.isTeacher, after.name], [undefined, true, "Ada"])
        assert.strictEqual((yield* Running.read(stateFolder))?.port, server.port)
        assert.strictEqual((yield* start(headers)).status, 422)
      }).pipe(Effect.provide(serve(fake.layer, { stateFolder, isTeacher: false, starting })))
    }).pipe(Effect.scoped))
})
