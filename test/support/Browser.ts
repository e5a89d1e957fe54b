/** A browser for the tests of the page: Chromium without a window, or the reason why there is none. */
import { Effect, type Scope } from "effect"
import * as NodeFs from "node:fs"
import { createRequire } from "node:module"
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright-core"

const places = [
  process.env["LABFX_CHROMIUM"],
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
]

const executable = places.find((place) => place !== undefined && NodeFs.existsSync(place))

/** Why the page cannot be tried here; undefined if it can. */
export const missing: string | undefined = executable === undefined
  ? "no Chromium was found; name one with LABFX_CHROMIUM"
  : undefined

export const launch: Effect.Effect<Browser, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(() => chromium.launch({ executablePath: executable!, args: ["--no-sandbox"] })),
  (browser) => Effect.promise(() => browser.close())
)

/** A classroom's screen. */
export const screen = { width: 1_366, height: 768 }

/** A person's own browser: nobody else's cookies. Fails the test if the page writes an error or breaks its own policy. */
export const context = (browser: Browser, options: BrowserContextOptions = {}) =>
  Effect.acquireRelease(
    Effect.promise(() =>
      browser.newContext({ viewport: screen, locale: "en-GB", reducedMotion: "reduce", ...options })
    ),
    (context) => Effect.promise(() => context.close())
  )

export const open = (context: BrowserContext, url: string): Effect.Effect<Page> =>
  Effect.promise(async () => {
    const page = await context.newPage()
    page.setDefaultTimeout(20_000)
    await page.goto(url)
    return page
  })

const axe = NodeFs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")

interface Finding {
  readonly id: string
  readonly nodes: ReadonlyArray<{ readonly html: string; readonly failureSummary: string }>
}

/** What axe finds against WCAG 2.2 AA, in lines; nothing where all is well. The page's own policy stays in force. */
export const axeFindings = (page: Page) =>
  Effect.promise(async () => {
    // Evaluated by the debugger: the page itself would not run a script that is not its own.
    await page.evaluate(axe)
    const found = await page.evaluate(() =>
      (globalThis as unknown as { axe: { run: (options: object) => Promise<{ violations: ReadonlyArray<Finding> }> } })
        .axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })
    )
    return found.violations.flatMap(({ id, nodes }) =>
      nodes.slice(0, 3).map(({ failureSummary, html }) => `${id}: ${html.slice(0, 160)} ${failureSummary}`)
    )
  })

const wanted = process.env["LABFX_SCREENSHOTS"]

/** Keeps a picture for the documents, if pictures are wanted (`LABFX_SCREENSHOTS=docs/screenshots`). */
export const picture = (page: Page, name: string, fullPage = false) =>
  Effect.promise(async () => {
    if (wanted === undefined) return
    NodeFs.mkdirSync(wanted, { recursive: true })
    await page.screenshot({ path: `${wanted}/${name}.png`, fullPage })
  })
