/**
 * The page under load: 60 students whose figures all change twice a second, a share of 10,000 files, 2,000 messages, on a
 * processor slowed down four times. Prints the first paint and how long a key takes to appear.
 *
 * Run: `npx node bench/page.ts`
 */
import { Effect } from "effect"
import { buildPage } from "../scripts/buildPage.ts"
import { LocalServer } from "../src/services/LocalServer.ts"
import * as Browser from "../test/support/Browser.ts"
import { serve } from "../test/support/LocalLab.ts"
import * as Rooms from "../test/support/Rooms.ts"
import * as SessionFake from "../test/support/SessionFake.ts"
import { tempFolder } from "../test/support/TempFolder.ts"

const slowdown = Number(process.env["SLOWDOWN"] ?? 4)
const keys = 40

const at = (values: ReadonlyArray<number>, part: number) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(part * values.length))]!

const bench = Effect.gen(function*() {
  const files = yield* Effect.promise(buildPage)
  const stateFolder = yield* tempFolder
  const fake = yield* SessionFake.make
  const host = Rooms.teacherView().devices[0]!
  const look = (progress: number) => Rooms.teacherView({ devices: [host, ...Rooms.students(60, progress)] })
  fake.view = look(0.1)
  fake.conversation = Array.from(
    { length: 2_000 },
    (_, index) => ({ ...Rooms.conversation[index % 5]!, number: index })
  )
  yield* fake.happen(Rooms.started, {
    ...SessionFake.examples["share.offered"],
    root: Rooms.shares[0]!.root,
    kind: "folder",
    files: 10_000
  })
  const browser = yield* Browser.launch
  // Most people have not asked for less motion, and motion costs.
  const context = yield* Browser.context(browser, { reducedMotion: "no-preference" })
  yield* Effect.gen(function*() {
    const server = yield* LocalServer
    const link = yield* server.link
    let step = 0
    yield* Effect.forkChild(Effect.forever(Effect.andThen(
      Effect.sync(() => {
        fake.view = look(0.1 + (step++ % 100) / 125)
      }).pipe(Effect.andThen(fake.happen(SessionFake.examples["peer.down"]))),
      Effect.sleep(500)
    )))
    const measured = yield* Effect.promise(async () => {
      const page = await context.newPage()
      const debug = await context.newCDPSession(page)
      await debug.send("Emulation.setCPUThrottlingRate", { rate: slowdown })
      await page.goto(link)
      await page.waitForURL((url) => url.pathname === "/")
      await page.locator(".card").nth(59).waitFor()
      const paint: { first: number; room: number } = await page.evaluate(
        `({ first: performance.getEntriesByType("paint").find(({ name }) => name === "first-contentful-paint").startTime, room: performance.now() })`
      )
      await page.evaluate(`
        globalThis.delays = []
        document.querySelector("textarea").addEventListener("keydown", (event) =>
          requestAnimationFrame(() => setTimeout(() => delays.push(performance.now() - event.timeStamp))))`)
      await page.locator("textarea").focus()
      for (let key = 0; key < keys; key++) {
        await page.keyboard.press("a")
        await page.waitForTimeout(100)
      }
      return { ...paint, delays: await page.evaluate("delays") as ReadonlyArray<number> }
    })
    const { delays, first, room } = measured
    process.stdout.write(
      `first paint ${first.toFixed(0)} ms, room of 60 drawn within ${room.toFixed(0)} ms, a key appears after ` +
        `${at(delays, 0.5).toFixed(0)} ms (median), ${at(delays, 0.95).toFixed(0)} ms (p95), ` +
        `${Math.max(...delays).toFixed(0)} ms (worst of ${delays.length}); processor slowed ${slowdown} times\n`
    )
  }).pipe(Effect.provide(serve(fake.layer, { stateFolder, page: files })))
})

Effect.runPromise(Effect.scoped(bench))
