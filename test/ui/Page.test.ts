/** The page in every state it can be in, in a real browser over a session of which the test is the network. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import type { BrowserContextOptions, Page } from "playwright-core"
import { buildPage } from "../../scripts/buildPage.ts"
import { StateError } from "../../src/services/Identity.ts"
import type { StartChoice } from "../../src/services/LocalApi.ts"
import { LocalServer, type Starting } from "../../src/services/LocalServer.ts"
import { SessionRefused } from "../../src/services/Session.ts"
import * as Browser from "../support/Browser.ts"
import { serve } from "../support/LocalLab.ts"
import * as Rooms from "../support/Rooms.ts"
import * as SessionFake from "../support/SessionFake.ts"
import { tempFolder } from "../support/TempFolder.ts"

interface Scene {
  readonly fake: SessionFake.SessionFake
  readonly page: Page
}

/** Shows the page over a session that `prepare` has set up. */
const scene = (
  options: {
    readonly isTeacher: boolean
    readonly prepare: (fake: SessionFake.SessionFake) => Effect.Effect<void>
    readonly browser?: BrowserContextOptions
    readonly query?: string
    readonly starting?: (stateFolder: string) => Starting
  },
  test: (scene: Scene) => Effect.Effect<void>
) =>
  Effect.gen(function*() {
    const files = yield* Effect.promise(buildPage)
    const stateFolder = yield* tempFolder
    const fake = yield* SessionFake.make
    yield* options.prepare(fake)
    const browser = yield* Browser.launch
    const context = yield* Browser.context(browser, options.browser)
    yield* Effect.gen(function*() {
      const server = yield* LocalServer
      const page = yield* Browser.open(context, yield* server.link)
      const errors: Array<string> = []
      page.on("console", (message) => {
        // A refused call is an answer, and the browser writes it down as an error of its own.
        if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) {
          errors.push(message.text())
        }
      })
      page.on("pageerror", (error) => errors.push(String(error)))
      yield* Effect.promise(async () => {
        await page.waitForURL((url) => url.pathname === "/")
        if (options.query !== undefined) await page.goto(`http://127.0.0.1:${server.port}/${options.query}`)
        await page.locator(options.query === "?reference" ? "details" : ".masthead").first().waitFor()
      })
      yield* test({ fake, page })
      assert.deepStrictEqual(errors, [])
    }).pipe(Effect.provide(serve(fake.layer, {
      isTeacher: options.isTeacher,
      name: options.isTeacher ? "Ms Ada" : "lab-07",
      program: "labfx 0.1.0",
      stateFolder,
      page: files,
      ...(options.starting === undefined ? {} : { starting: options.starting(stateFolder) })
    })))
  }).pipe(Effect.scoped)

const teacher = (view = Rooms.teacherView()) => (fake: SessionFake.SessionFake) =>
  Effect.suspend(() => {
    fake.view = view
    fake.conversation = Rooms.conversation
    return fake.happen(
      Rooms.started,
      ...view.shares.map((share) => ({
        ...SessionFake.examples["share.offered"],
        root: share.root,
        title: share.title,
        kind: share.kind,
        bytes: share.sizeBytes,
        files: share.kind === "folder" ? 214 : 1
      }))
    )
  })

const isClean = (page: Page) =>
  Effect.map(Browser.axeFindings(page), (findings) => assert.deepStrictEqual(findings, []))

const wide = `(() => {
  const width = document.documentElement.clientWidth
  if (document.documentElement.scrollWidth === width) return []
  return [...document.querySelectorAll("body *")]
    .filter((element) => element.getBoundingClientRect().right > width + 1)
    .map((element) => element.tagName + "." + element.className)
})()`

/** Nothing stands out of the page to the side: no second scroll bar on a phone. */
const isWithinItsWidth = (page: Page) =>
  Effect.map(
    Effect.promise(() => page.evaluate(wide)),
    (elements) => assert.deepStrictEqual(elements, [])
  )

const dark: BrowserContextOptions = { colorScheme: "dark" }
const phone: BrowserContextOptions = { viewport: { width: 390, height: 844 } }

describe.skipIf(Browser.missing !== undefined)(
  `the page (${Browser.missing ?? "in Chromium"})`,
  { timeout: 60_000 },
  () => {
    it.live.each<[string, BrowserContextOptions, boolean]>([
      ["teacher", {}, false],
      ["teacher-dark", dark, false],
      ["teacher-phone", phone, false],
      // 200 % zoom of a classroom's screen.
      ["teacher-zoom", { viewport: { width: 683, height: 384 } }, false]
    ])(
      "shows the teacher the words, what is shared and who has it: %s",
      ([name, browser, fullPage]) =>
        scene({ isTeacher: true, prepare: teacher(), browser }, ({ page }) =>
          Effect.gen(function*() {
            yield* Effect.promise(() => page.getByText("24 students").waitFor())
            assert.deepStrictEqual(
              yield* Effect.promise(() => page.locator(".board .words li").allTextContents()),
              Rooms.words.split(" ")
            )
            assert.match(
              yield* Effect.promise(() => page.locator(".card.stuck").allTextContents()).pipe(Effect.map(String)),
              /Disk full/
            )
            yield* isWithinItsWidth(page)
            yield* isClean(page)
            yield* Browser.picture(page, name, fullPage)
          }))
    )

    it.live("shows a room of 60 as cards and as a table, without scrolling to the cards of a usual room", () =>
      scene(
        {
          isTeacher: true,
          prepare: teacher(
            Rooms.teacherView({ devices: [Rooms.teacherView().devices[0]!, ...Rooms.students(60, 0.7)] })
          )
        },
        ({ fake, page }) =>
          Effect.gen(function*() {
            yield* Effect.promise(() => page.getByText("60 students").waitFor())
            yield* Browser.picture(page, "teacher-60")
            yield* Effect.promise(() => page.getByRole("button", { name: "Table" }).click())
            assert.strictEqual(yield* Effect.promise(() => page.locator("tbody tr").count()), 60)
            yield* isClean(page)
            yield* Browser.picture(page, "teacher-table")
            yield* Effect.promise(() => page.getByRole("button", { name: "Remove: Grace" }).click())
            yield* isClean(page)
            yield* Effect.promise(() => page.getByRole("button", { name: "Remove", exact: true }).last().click())
            yield* Effect.promise(() => page.locator("dialog").waitFor({ state: "detached" }))
            while (fake.asked.length === 0) yield* Effect.promise(() => page.waitForTimeout(20))
            assert.deepStrictEqual(fake.asked, [`remove ${SessionFake.peer("p11")}`])
          })
      ))

    it.live.each<[string, BrowserContextOptions]>([
      ["start", {}],
      ["start-dark-phone", { ...phone, ...dark }],
      ["start-hindi", { locale: "hi" }]
    ])(
      "asks who sits here, keeps what was filled in when it cannot begin, and goes on as that session: %s",
      ([name, browser]) => {
        const chosen: Array<StartChoice> = []
        const folder = "/home/kavya/Downloads/labfx"
        const starting = (stateFolder: string): Starting => ({
          defaults: Effect.succeed({ title: "Ada", name: "lab-07", folder, keyKept: true }),
          begin: (choice) =>
            Effect.suspend(() => {
              chosen.push(choice)
              return chosen.length === 1
                ? Effect.fail(new StateError({ reason: "in-use", path: "/state", detail: "" }))
                : Effect.succeed({ isTeacher: false, name: "Kavya", stateFolder })
            })
        })
        const prepare = (fake: SessionFake.SessionFake) =>
          Effect.sync(() => {
            fake.view = SessionFake.view({ phase: "looking", title: undefined, words: undefined, session: undefined })
          })
        return scene({ isTeacher: false, prepare, browser, starting }, ({ page }) =>
          Effect.gen(function*() {
            yield* Effect.promise(() => page.locator("form").first().waitFor())
            yield* isWithinItsWidth(page)
            yield* isClean(page)
            yield* Browser.picture(page, name, true)
            yield* Effect.promise(async () => {
              await page.locator("input[name=name]").fill("Kavya")
              await page.keyboard.press("Enter")
              await page.getByRole("alert").waitFor()
            })
            yield* isClean(page)
            if (name === "start") {
              yield* Effect.promise(() => page.getByText("Another labfx is running on this machine.").waitFor())
              yield* Browser.picture(page, `${name}-error`, true)
            }
            yield* Effect.promise(async () => {
              await page.locator("input[name=name]").press("Enter")
              await page.locator(".looking").waitFor()
            })
            assert.deepStrictEqual(chosen, [
              { _tag: "Student", name: "Kavya", folder },
              { _tag: "Student", name: "Kavya", folder }
            ])
          }))
      }
    )

    it.live("shows the words large enough for the last row", () =>
      scene({ isTeacher: true, prepare: teacher() }, ({ page }) =>
        Effect.gen(function*() {
          yield* Effect.promise(() => page.getByRole("button", { name: "Show large" }).click())
          const size = yield* Effect.promise(() =>
            page.locator("dialog.large .words").evaluate((element) => element.getBoundingClientRect().height / 6)
          )
          assert.isAbove(size, 80)
          yield* isClean(page)
          yield* Browser.picture(page, "board-large")
          yield* Effect.promise(() => page.keyboard.press("Escape"))
          // It is closed at once, and taken out of the page a moment later.
          yield* Effect.promise(() => page.locator("dialog").waitFor({ state: "detached" }))
        })))

    it.live("starts empty and says what to do first", () =>
      scene(
        {
          isTeacher: true,
          prepare: (fake) =>
            Effect.andThen(
              teacher(Rooms.teacherView({ shares: [], devices: Rooms.teacherView().devices.slice(0, 1) }))(fake),
              Effect.sync(() => void (fake.conversation = []))
            )
        },
        ({ page }) =>
          Effect.gen(function*() {
            yield* Effect.promise(() => page.getByText("Drop files or folders anywhere").waitFor())
            yield* isClean(page)
            yield* Browser.picture(page, "teacher-empty")
          })
      ))

    it.live("ends the session only when asked twice", () =>
      scene({ isTeacher: true, prepare: teacher() }, ({ fake, page }) =>
        Effect.gen(function*() {
          yield* Effect.promise(() => page.getByRole("button", { name: "End session" }).click())
          yield* isClean(page)
          yield* Browser.picture(page, "end-session")
          yield* Effect.promise(() => page.getByRole("button", { name: "Cancel" }).click())
          assert.deepStrictEqual(fake.asked, [])
          yield* Effect.promise(() => page.getByRole("button", { name: "End session" }).click())
          // The dialog may be gone before the request has arrived.
          yield* Effect.promise(() =>
            Promise.all([
              page.waitForResponse((response) => response.request().method() !== "GET"),
              page.getByRole("button", { name: "End it for everybody" }).click()
            ])
          )
          yield* Effect.promise(() => page.locator("dialog").waitFor({ state: "detached" }))
          assert.deepStrictEqual(fake.asked, ["end"])
        })))

    const iso = { id: "preparing-1", title: "linux.iso", hashedBytes: 3_200_000_000, totalBytes: 10_000_000_000 }
    const photos = { id: "preparing-2", title: "photos", hashedBytes: 0, totalBytes: undefined }

    it.live.each<[string, BrowserContextOptions, string, string, string]>([
      ["teacher-preparing", {}, "Hashing, then handing out …", "3.2 GB of 10 GB", "Cancel: linux.iso"],
      ["teacher-preparing-dark-phone", { ...phone, ...dark }, "Hashing", "3.2 GB of 10 GB", "Cancel: linux.iso"],
      [
        "teacher-preparing-hindi",
        { locale: "hi" },
        "जाँच-संख्या बन रही है, फिर बाँटा जाएगा …",
        "में से 3.2",
        "रद्द करें: linux.iso"
      ]
    ])(
      "shows how far everything is that is being prepared, and calls it off: %s",
      ([name, browser, what, figures, button]) =>
        scene(
          { isTeacher: true, prepare: teacher(Rooms.teacherView({ preparing: [iso, photos] })), browser },
          ({ fake, page }) =>
            Effect.gen(function*() {
              const rows = page.locator(".share.preparing")
              yield* Effect.promise(() => rows.nth(1).waitFor())
              assert.strictEqual(yield* Effect.promise(() => rows.count()), 2)
              // The newest stands first, as among the shares.
              const [second, first] = [rows.first(), rows.nth(1)]
              const text = yield* Effect.promise(() => first.textContent())
              assert.include(text, what)
              assert.include(text?.replaceAll("\u00a0", " "), figures)
              const bar = first.getByRole("progressbar")
              assert.deepStrictEqual(
                yield* Effect.promise(() =>
                  Promise.all(["aria-valuenow", "aria-valuetext"].map((each) => bar.getAttribute(each)))
                ),
                ["32", "32%"]
              )
              assert.match(String(yield* Effect.promise(() => bar.getAttribute("aria-label"))), /linux\.iso/)
              assert.notMatch(String(yield* Effect.promise(() => second.textContent())), /\d/)
              yield* isWithinItsWidth(page)
              yield* isClean(page)
              yield* Browser.picture(page, name)
              yield* Effect.promise(() => page.getByRole("button", { name: button }).press("Enter"))
              while (fake.asked.length === 0) yield* Effect.promise(() => page.waitForTimeout(20))
              assert.deepStrictEqual(fake.asked, ["unshare preparing-1"])
              fake.view = Rooms.teacherView()
              yield* Effect.promise(() => first.waitFor({ state: "detached" }))
              assert.strictEqual(yield* Effect.promise(() => rows.count()), 0)
            })
        )
    )

    it.live("speaks at every quarter of what is being prepared, and not in between", () =>
      scene({ isTeacher: true, prepare: teacher() }, ({ fake, page }) =>
        Effect.gen(function*() {
          const spoken: Array<string> = []
          for (const hashedBytes of [0, 2_600_000_000, 4_900_000_000, 5_100_000_000]) {
            fake.view = Rooms.teacherView({ preparing: [{ ...iso, hashedBytes }] })
            yield* Effect.promise(() =>
              page.locator(`.preparing [aria-valuenow="${Math.floor(hashedBytes / 100_000_000)}"]`).first().waitFor()
            )
            yield* Effect.promise(() => page.waitForTimeout(50))
            spoken.push(String(yield* Effect.promise(() => page.locator(".spoken").last().textContent())))
          }
          assert.deepStrictEqual(spoken.slice(1), ["linux.iso: 26%", "linux.iso: 26%", "linux.iso: 51%"])
        })))

    it.live("shows what was dropped once: as it is copied, then as it is hashed, and then says nothing of a cancelled one", () =>
      scene({ isTeacher: true, prepare: teacher() }, ({ fake, page }) =>
        Effect.gen(function*() {
          const hashed = yield* Deferred.make<void, SessionRefused>()
          fake.beforeShared = Deferred.await(hashed)
          yield* Effect.promise(() =>
            page.locator("input[type=file]").first().setInputFiles({
              name: "linux.iso",
              mimeType: "application/octet-stream",
              buffer: Buffer.alloc(1_000)
            })
          )
          const rows = page.locator(".share", { hasText: "linux.iso" })
          yield* Effect.promise(() => page.locator(".copying", { hasText: "Hashing" }).waitFor())
          fake.view = Rooms.teacherView({ preparing: [iso] })
          yield* Effect.promise(() => page.locator(".share.preparing").waitFor())
          assert.strictEqual(yield* Effect.promise(() => rows.count()), 1)
          yield* Deferred.fail(hashed, new SessionRefused({ reason: "called-off", detail: "linux.iso" }))
          fake.view = Rooms.teacherView()
          yield* Effect.promise(() => rows.first().waitFor({ state: "detached" }))
          assert.strictEqual(yield* Effect.promise(() => page.getByRole("alert").count()), 0)
        })))

    it.live("takes the next path while one is being read, and gives it back if it was wrong", () =>
      scene({ isTeacher: true, prepare: teacher() }, ({ fake, page }) =>
        Effect.gen(function*() {
          const hashed = yield* Deferred.make<void>()
          fake.beforeShared = Deferred.await(hashed)
          const field = page.getByLabel("or the path of something on this machine")
          yield* Effect.promise(async () => {
            await field.fill("/large.iso")
            await page.keyboard.press("Enter")
            await page.keyboard.type("/next")
          })
          yield* Deferred.succeed(hashed, undefined)
          yield* Effect.promise(() => page.waitForTimeout(200))
          assert.strictEqual(yield* Effect.promise(() => field.inputValue()), "/next")
          yield* Effect.promise(async () => {
            await field.fill("/missing")
            await page.keyboard.press("Enter")
            await page.getByText("There is nothing at that path").waitFor()
          })
          assert.strictEqual(yield* Effect.promise(() => field.inputValue()), "/missing")
          assert.deepStrictEqual(fake.asked, ["share /large.iso", "share /missing"])
        })))

    it.live("says in words why something did not work", () =>
      scene({ isTeacher: true, prepare: teacher() }, ({ page }) =>
        Effect.gen(function*() {
          yield* Effect.promise(async () => {
            await page.getByLabel("or the path of something on this machine").fill("/missing")
            await page.keyboard.press("Enter")
            await page.getByText("There is nothing at that path").waitFor()
          })
          yield* isClean(page)
          yield* Browser.picture(page, "error")
        })))

    const found = (trust: "new" | "alarm", name: string, title: string, words: string) => ({
      ...SessionFake.examples["session.found"],
      session: SessionFake.sessionId(name),
      title,
      words,
      trust
    })

    it.live("shows a student the sessions in reach with their words, and an impostor as one", () =>
      scene(
        {
          isTeacher: false,
          prepare: (fake) => {
            fake.view = SessionFake.view({
              phase: "looking",
              title: undefined,
              words: undefined,
              session: undefined,
              mayWrite: false
            })
            return fake.happen(
              found("new", "a", "Algorithms, group B", Rooms.words),
              found("alarm", "b", "Networks 101", "veteran dragon captain pencil match renew")
            )
          }
        },
        ({ fake, page }) =>
          Effect.gen(function*() {
            yield* Effect.promise(() => page.getByText("Not the teacher you know").waitFor())
            assert.strictEqual(yield* Effect.promise(() => page.getByRole("button", { name: /Join/ }).count()), 1)
            yield* isClean(page)
            yield* Browser.picture(page, "student-looking", true)
            yield* Effect.promise(() => page.getByRole("button", { name: "Join: Algorithms, group B" }).click())
            yield* Effect.promise(() => page.waitForTimeout(0))
            while (fake.asked.length === 0) yield* Effect.promise(() => page.waitForTimeout(20))
            assert.deepStrictEqual(fake.asked, [`choose ${SessionFake.sessionId("a")}`])
          })
      ))

    it.live("keeps a student at the door of a closed session until the code is right, and says when it is tried again", () => {
      const at = (state: "wrong-code" | "later") =>
        SessionFake.view({
          phase: "looking",
          title: undefined,
          words: undefined,
          session: undefined,
          mayWrite: false,
          door: { session: SessionFake.sessionId("a"), title: "Algorithms, group B", words: Rooms.words, state }
        })
      const prepare = (fake: SessionFake.SessionFake) => Effect.sync(() => void (fake.view = at("wrong-code")))
      return scene({ isTeacher: false, prepare }, ({ fake, page }) =>
        Effect.gen(function*() {
          yield* Effect.promise(async () => {
            await page.getByText("This is not the join code.").waitFor()
            await page.getByRole("textbox", { name: "Join code" }).fill(" BLUE Whale42 ")
            await page.keyboard.press("Enter")
          })
          while (fake.asked.length === 0) yield* Effect.promise(() => page.waitForTimeout(20))
          assert.deepStrictEqual(fake.asked, ["enter BLUE Whale42"])
          fake.view = at("later")
          yield* Effect.promise(() =>
            page.getByText("Too many wrong codes were tried. labfx tries yours again by itself, within 75 seconds.")
              .waitFor()
          )
          yield* isWithinItsWidth(page)
          yield* isClean(page)
          fake.view = SessionFake.view({})
          yield* Effect.promise(() => page.getByText("The teacher has not shared anything yet.").waitFor())
        }))
    })

    const student = (fake: SessionFake.SessionFake) =>
      Effect.suspend(() => {
        const [lab, data] = Rooms.shares
        fake.view = SessionFake.view({
          title: "Algorithms, group B",
          words: Rooms.words,
          shares: [
            { ...lab!, path: "/home/kavya/Downloads/labfx/lab 1 – sorting" },
            {
              ...data!,
              state: "receiving",
              verifiedBytes: 873_000_000,
              receiveBytesPerSecond: 11_400_000,
              sendBytesPerSecond: 0,
              sources: 7,
              path: undefined
            },
            SessionFake.share({
              root: SessionFake.root("vm"),
              title: "debian.qcow2",
              sizeBytes: 8_000_000_000,
              verifiedBytes: 1_200_000_000,
              state: "paused",
              problem: "the disk is full: 310 MB left"
            })
          ],
          devices: [
            { ...Rooms.teacherView().devices[0]!, isSelf: false, linked: true },
            {
              peer: SessionFake.peer("kavya"),
              name: "Kavya",
              isHost: false,
              isSelf: true,
              linked: false,
              status: Rooms.fullDisk
            },
            ...Rooms.students(22, 0.5)
          ]
        })
        fake.conversation = Rooms.conversation
        return Effect.void
      })

    it.live.each<[string, BrowserContextOptions, boolean]>([
      ["student", {}, false],
      ["student-dark", dark, false],
      ["student-phone", phone, true]
    ])(
      "shows a student the files as they arrive, what is wrong, and the conversation: %s",
      ([name, browser, fullPage]) =>
        scene({ isTeacher: false, prepare: student, browser }, ({ page }) =>
          Effect.gen(function*() {
            yield* Effect.promise(() => page.getByText("from 7 devices").waitFor())
            yield* Effect.promise(() => page.getByText("Paused: Disk full").waitFor())
            yield* isWithinItsWidth(page)
            yield* isClean(page)
            yield* Browser.picture(page, name, fullPage)
          }))
    )

    it.live.each([["teacher-hindi", "hi", "साझा सामग्री"], ["student-hindi", "hi", "फ़ाइलें"]] as const)(
      "speaks Hindi where the browser does: %s",
      ([name, locale, text]) => {
        const isTeacher = name.startsWith("teacher")
        return scene(
          { isTeacher, prepare: isTeacher ? teacher() : student, browser: { locale } },
          ({ page }) =>
            Effect.gen(function*() {
              yield* Effect.promise(() => page.getByText(text).first().waitFor())
              assert.strictEqual(yield* Effect.promise(() => page.evaluate("document.documentElement.lang")), "hi")
              yield* isWithinItsWidth(page)
              yield* isClean(page)
              yield* Browser.picture(page, name)
            })
        )
      }
    )

    it.live("says on a student's card that its labfx is older than the teacher's", () => {
      const view = Rooms.teacherView()
      const status = { number: 1, name: "", links: 1, receiveBytesPerSecond: 0, shares: [] }
      const programs = ["labfx 0.10.0", "labfx 0.9.0", "labfx 0.10.0"]
      const devices = view.devices.map((device, index) => {
        const program = programs[index]
        return program === undefined ? device : { ...device, status: { ...status, ...device.status, program } }
      })
      return scene({ isTeacher: true, prepare: teacher({ ...view, devices }) }, ({ page }) =>
        Effect.gen(function*() {
          const old = page.locator(".card").filter({ hasText: "old version of labfx" })
          yield* Effect.promise(() => old.first().waitFor())
          assert.deepStrictEqual(yield* Effect.promise(() => old.locator(".name").allTextContents()), [
            devices[1]!.name
          ])
          yield* isClean(page)
        }))
    })

    it.live.each(
      [
        ["en", "Paused: the teacher's copy was changed while it was handed out."],
        ["hi", "रुका हुआ: बाँटते समय शिक्षक की प्रति बदल दी गई।"]
      ] as const
    )("says why a share stays incomplete when the teacher's copy was changed: %s", ([locale, text]) => {
      const share = SessionFake.share({ state: "paused", verifiedBytes: 400_000, problem: "in labfx's own words" })
      const [host] = Rooms.teacherView().devices
      const prepare = (fake: SessionFake.SessionFake) =>
        Effect.sync(() => {
          fake.view = SessionFake.view({
            shares: [share],
            devices: [{
              ...host!,
              isSelf: false,
              status: {
                number: 1,
                name: host!.name,
                links: 1,
                receiveBytesPerSecond: 0,
                shares: [{ root: share.root, verifiedBytes: 1_000_000, complete: false, problem: "source-changed" }]
              }
            }]
          })
        })
      return scene({ isTeacher: false, prepare, browser: { locale } }, ({ page }) =>
        Effect.gen(function*() {
          yield* Effect.promise(() => page.getByText(text).waitFor())
          assert.strictEqual(yield* Effect.promise(() => page.getByText("in labfx's own words").count()), 0)
          yield* isClean(page)
        }))
    })

    it.live("keeps its layout in a language from right to left, and longer than English", () =>
      scene({ isTeacher: true, prepare: teacher(), query: "?lang=xr" }, ({ page }) =>
        Effect.gen(function*() {
          yield* Effect.promise(() => page.locator(".card").first().waitFor())
          assert.strictEqual(yield* Effect.promise(() => page.evaluate("document.documentElement.dir")), "rtl")
          yield* isWithinItsWidth(page)
          yield* isClean(page)
          yield* Browser.picture(page, "teacher-rtl")
        })))

    it.live("draws the reference of the API", () =>
      scene({ isTeacher: true, prepare: teacher(), query: "?reference" }, ({ page }) =>
        Effect.gen(function*() {
          yield* Effect.promise(() => page.locator("summary", { hasText: "/api/messages" }).click())
          yield* Effect.promise(() => page.locator("pre:visible", { hasText: "text: string" }).first().waitFor())
          yield* isClean(page)
          yield* Browser.picture(page, "reference")
        })))

    it.live("shows hostile names and messages as text", () =>
      scene(
        {
          isTeacher: true,
          prepare: (fake) =>
            Effect.andThen(
              teacher(
                Rooms.teacherView({ shares: [{ ...Rooms.shares[0]!, title: "<img src=x onerror=alert(1)>.txt" }] })
              )(fake),
              Effect.sync(() => {
                fake.conversation = [{
                  ...Rooms.conversation[1]!,
                  name: "<b>root</b>",
                  text: "<script>document.title='owned'</script>\u202egnp.exe"
                }]
              })
            )
        },
        ({ page }) =>
          Effect.gen(function*() {
            yield* Effect.promise(() => page.getByText("<script>document.title").waitFor())
            assert.strictEqual(yield* Effect.promise(() => page.locator("img, main b").count()), 0)
            assert.strictEqual(yield* Effect.promise(() => page.title()), "labfx")
          })
      ))
  }
)
