/** Who may use the local API, whatever a request claims. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Limits from "../../src/protocol/Limits.ts"
import * as LocalAccess from "../../src/services/LocalAccess.ts"

const port = 4711
const own = `127.0.0.1:${port}`
const key = "k".repeat(43)
const digest = (secret: string) => `digest of ${secret}`

/** A run that has let in one browser. */
const access = LocalAccess.redeem(
  LocalAccess.offer(LocalAccess.make(port, digest(key)), digest("link")),
  { link: digest("link"), cookie: digest("cookie"), pageKey: digest("page") }
)[0]

const maybe = <const Values extends ReadonlyArray<string>>(...values: Values) =>
  Schema.UndefinedOr(Schema.Literals(values))

/** Anything that can come in, the right and the nearly right. */
const request = {
  method: Schema.Literals(["GET", "POST", "DELETE", "OPTIONS", "HEAD"]),
  path: Schema.Literals(["/", "/app.js", "/api/state", "/api/live", "/metrics", "/link/link", "/link", "//", "/index"]),
  host: maybe(own, `localhost:${port}`, "evil.example", `evil.example:${port}`, "127.0.0.1", `127.0.0.1:${port}.evil`),
  origin: maybe(`http://${own}`, `https://${own}`, `http://localhost:${port}`, "null", "http://evil.example"),
  site: maybe("same-origin", "same-site", "cross-site", "none"),
  mode: maybe("navigate", "cors", "no-cors", "same-origin", "websocket"),
  upgrade: maybe("websocket"),
  authorization: maybe(`Bearer ${key}`, `Bearer ${"x".repeat(43)}`, key, "Bearer "),
  cookie: maybe("cookie", "other"),
  pageKey: maybe("page", "other", "cookie")
}

const judge = (given: LocalAccess.Request) => LocalAccess.judge(access, given, digest)

describe("access to the local API", () => {
  it.prop("A1: needs this server's own name", request, (given) => {
    if (given.host !== own && given.host !== `localhost:${port}`) assert.notStrictEqual(judge(given), "allowed")
  })

  it.prop("A2: is refused to what another origin's page caused", request, (given) => {
    const foreign = given.origin !== undefined && given.origin !== `http://${given.host}`
    const across = (given.site === "cross-site" || given.site === "same-site") &&
      given.mode !== "navigate" && given.mode !== undefined
    if (foreign || across) assert.notStrictEqual(judge(given), "allowed")
    // A page elsewhere may lead a person here, and no more than that.
    const leads = (given.site === "cross-site" || given.site === "same-site") && judge(given) === "allowed"
    if (leads) assert.isTrue(given.method === "GET" && !given.path.startsWith("/api"))
  })

  it.prop("A3: needs the run's key, or a cookie and its key together", request, (given) => {
    const knows = given.authorization === `Bearer ${key}` || (given.cookie === "cookie" && given.pageKey === "page")
    const open = given.method === "GET" && (["/", "/app.js"].includes(given.path) || given.path.startsWith("/link/"))
    if (!knows && !open) assert.notStrictEqual(judge(given), "allowed")
    if (judge(given) === "allowed") assert.isTrue(knows || open)
  })

  it("lets in who knows the key from this server's own origin, and a script without a browser", () => {
    const nothing = {
      origin: undefined,
      site: undefined,
      mode: undefined,
      upgrade: undefined,
      authorization: undefined,
      cookie: undefined,
      pageKey: undefined
    }
    const script = { ...nothing, method: "POST", path: "/api/end", host: own, authorization: `Bearer ${key}` }
    assert.strictEqual(judge(script), "allowed")
    const page = { ...nothing, method: "POST", path: "/api/end", host: own, cookie: "cookie", pageKey: "page" }
    assert.strictEqual(judge({ ...page, origin: `http://${own}`, site: "same-origin", mode: "cors" }), "allowed")
  })

  const steps = Schema.Array(
    Schema.Tuple([Schema.Literals(["offer", "open"]), Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 12 }))])
  )

  it.prop(
    "A4, A5: a link lets in once, its second opening shuts out the first, and nothing grows",
    { steps },
    ({ steps }) => {
      let now = LocalAccess.make(port, digest(key))
      const opened = new Map<number, number>()
      let browsers = 0
      for (const [what, link] of steps) {
        if (what === "offer") {
          now = LocalAccess.offer(now, digest(`${link}`))
          opened.delete(link)
          continue
        }
        const times = opened.get(link) ?? 0
        const [next, outcome] = LocalAccess.redeem(now, {
          link: digest(`${link}`),
          cookie: digest(`c${++browsers}`),
          pageKey: digest(`k${browsers}`)
        })
        assert.strictEqual(outcome === "in", now.links.includes(digest(`${link}`)))
        if (outcome === "in") opened.set(link, times + 1)
        else assert.isFalse(next.browsers.some((browser) => browser.link === digest(`${link}`)))
        now = next
      }
      assert.isAtMost(now.links.length, Limits.linksWaitingMax)
      assert.isAtMost(now.browsers.length, Limits.browsersMax)
    }
  )
})
