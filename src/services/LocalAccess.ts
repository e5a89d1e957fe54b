/**
 * Who may use the local API: decides about every request before anything else looks at it.
 *
 * A browser sends cookies of 127.0.0.1 to every port of it, also to one that another user of this machine listens on. So
 * a page is let in by two things: a cookie that its scripts cannot read, and a key that only its own origin, port
 * included, can read. Neither is worth anything without the other. Commands have the run's key from a file that only this
 * user can read.
 *
 * Invariants, each with a property in the tests:
 * A1  A request with a `Host` that is not this server's own is refused, whatever it knows.
 * A2  A request that another origin's page caused is refused, whatever it knows.
 * A3  Without the run's key, or a cookie and its key together, only the page's own text and a link may be fetched.
 * A4  A link lets in one browser, once; a second opening of it lets nobody in and shuts out whom the first let in.
 * A5  What waits or was let in is bounded; the oldest goes first.
 */
import * as Limits from "../protocol/Limits.ts"

export interface Request {
  readonly method: string
  /** Path without the query. */
  readonly path: string
  readonly host: string | undefined
  readonly origin: string | undefined
  /** `Sec-Fetch-Site`. */
  readonly site: string | undefined
  /** `Sec-Fetch-Mode`. */
  readonly mode: string | undefined
  readonly upgrade: string | undefined
  readonly authorization: string | undefined
  /** The value of this server's cookie. */
  readonly cookie: string | undefined
  /** `X-Labfx-Key`. */
  readonly pageKey: string | undefined
}

export type Verdict = "allowed" | "host" | "origin" | "key" | "upgrade"

/** A browser that was let in. Secrets are kept as digests: what is read out of memory opens nothing. */
interface Browser {
  readonly link: string
  readonly cookie: string
  readonly pageKey: string
}

export interface Access {
  readonly port: number
  /** Digest of the run's key. */
  readonly key: string
  /** Digests of links nobody has opened yet, oldest first. */
  readonly links: ReadonlyArray<string>
  readonly browsers: ReadonlyArray<Browser>
}

export const make = (port: number, key: string): Access => ({ port, key, links: [], browsers: [] })

/** What anybody may fetch: it has no secrets, and a page must be able to say that it was not let in. */
const open = new Set(["/", "/app.js", "/app.css"])

export const linkPath = "/link/"

/** The names this server answers to. */
const hosts = (port: number): ReadonlyArray<string> => [`127.0.0.1:${port}`, `localhost:${port}`]

/** Decides about a request. `digest` makes what {@link Access} keeps from what a request shows. */
export const judge = (access: Access, request: Request, digest: (secret: string) => string): Verdict => {
  if (request.upgrade !== undefined) return "upgrade"
  if (!hosts(access.port).includes(request.host ?? "")) return "host"
  if (request.origin !== undefined && request.origin !== `http://${request.host}`) return "origin"
  const isLink = request.method === "GET" && request.path.startsWith(linkPath)
  const isPage = request.method === "GET" && open.has(request.path)
  // A link is opened from a terminal or from a file, which is another site; it shows and changes nothing but who is let in.
  const navigates = request.mode === undefined || request.mode === "navigate"
  const ownSite = request.site === undefined || request.site === "same-origin" || request.site === "none"
  if (!ownSite && !((isLink || isPage) && navigates)) return "origin"
  if (isLink || isPage) return "allowed"
  const [, bearer] = /^Bearer ([A-Za-z0-9_-]{20,100})$/i.exec(request.authorization ?? "") ?? []
  if (bearer !== undefined) return digest(bearer) === access.key ? "allowed" : "key"
  if (request.cookie === undefined || request.pageKey === undefined) return "key"
  const cookie = digest(request.cookie)
  const pageKey = digest(request.pageKey)
  return access.browsers.some((browser) => browser.cookie === cookie && browser.pageKey === pageKey)
    ? "allowed"
    : "key"
}

/** A new link waits to be opened. */
export const offer = (access: Access, link: string): Access => ({
  ...access,
  links: [...access.links, link].slice(-Limits.linksWaitingMax)
})

/** A link is opened by a browser that will have this cookie and key. */
export const redeem = (
  access: Access,
  browser: Browser
): readonly [Access, "in" | "unknown" | "replayed"] => {
  if (access.links.includes(browser.link)) {
    return [{
      ...access,
      links: access.links.filter((link) => link !== browser.link),
      browsers: [...access.browsers, browser].slice(-Limits.browsersMax)
    }, "in"]
  }
  const browsers = access.browsers.filter(({ link }) => link !== browser.link)
  return browsers.length === access.browsers.length
    ? [access, "unknown"]
    : [{ ...access, browsers }, "replayed"]
}
