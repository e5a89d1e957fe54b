/** A lesson from end to end: real labfx processes, each with its page in a browser of its own. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as NodeChildProcess from "node:child_process"
import * as NodeFs from "node:fs"
import * as NodePath from "node:path"
import type { Page } from "playwright-core"
import * as Folders from "../../src/programs/Folders.ts"
import * as Browser from "../support/Browser.ts"
import * as Lab from "../support/Lab.ts"

/** Asks the running session for a link, as a person does. */
const linkTo = (lab: Lab.Lab, name: string) =>
  Effect.sync(() =>
    NodeChildProcess.execFileSync(
      process.execPath,
      [lab.program, "open", "--print", "--state", NodePath.join(lab.folder, "state", name)],
      { encoding: "utf8" }
    ).trim()
  )

/** What hangs from the pointer is let go over the page, as the system tells it to the browser: paths, no scripts. */
const dropOnto = (page: Page, path: string) =>
  Effect.promise(async () => {
    const debug = await page.context().newCDPSession(page)
    const data = { items: [], files: [path], dragOperationsMask: 1 }
    for (const type of ["dragEnter", "dragOver", "drop"] as const) {
      await debug.send("Input.dispatchDragEvent", { type, x: 400, y: 400, data })
    }
    await debug.detach()
  })

const see = (page: Page, text: string | RegExp) => Effect.promise(() => page.getByText(text).first().waitFor())

/** `labfx start` for somebody whose home is that folder, and the link of its page. */
const startPage = async (lab: Lab.Lab, home: string) => {
  const child = NodeChildProcess.spawn(
    process.execPath,
    [lab.program, "start", "--print", "--discovery-port", String(lab.discoveryPort)],
    { env: { PATH: process.env["PATH"], HOME: home, USERPROFILE: home, LOCALAPPDATA: home } }
  )
  let complaint = ""
  child.stderr.setEncoding("utf8").on("data", (text: string) => void (complaint += text))
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding("utf8").once("data", (text: string) => resolve(text.trim()))
    child.once("close", () => reject(new Error(complaint)))
  })
  return { child, url }
}

/** A room with the teacher's page and one for each student. */
const room = (...students: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const lab = yield* Lab.make
    const key = yield* lab.key("teacher")
    const teacher = yield* lab.teacher({
      key,
      name: "ada",
      arguments: ["--students-may-write", "--title", "Algorithms"]
    })
    yield* teacher.event("session.started")
    const processes = yield* Effect.forEach(students, (name) => lab.student({ name }))
    yield* Effect.forEach(processes, (process) => process.event("session.joined"))
    const browser = yield* Browser.launch
    const pageOf = Effect.fnUntraced(function*(name: string) {
      return yield* Browser.open(yield* Browser.context(browser), yield* linkTo(lab, name))
    })
    return {
      lab,
      teacher,
      processes,
      pageOf,
      teacherPage: yield* pageOf("ada"),
      studentPages: yield* Effect.forEach(students, pageOf)
    }
  })

describe.skipIf(Browser.missing !== undefined)(
  `a room with pages (${Browser.missing ?? "in Chromium"})`,
  { timeout: 120_000 },
  () => {
    it.live("hands out a dropped folder, carries messages both ways, survives a killed student, and ends", () =>
      Effect.gen(function*() {
        const { lab, pageOf, processes, studentPages, teacher, teacherPage } = yield* room("anna", "ben")
        const [annaPage, benPage] = studentPages as [Page, Page]

        // A folder with everything that makes a folder hard: depth, an empty file, an empty folder, foreign letters.
        const folder = NodePath.join(lab.folder, "lab 1 – résumé")
        NodeFs.mkdirSync(NodePath.join(folder, "src", "deep", "er"), { recursive: true })
        NodeFs.mkdirSync(NodePath.join(folder, "nothing"))
        for (let file = 0; file < 300; file++) {
          NodeFs.writeFileSync(NodePath.join(folder, "src", `task ${file}.py`), `print(${file})\n`.repeat(1 + file))
        }
        NodeFs.writeFileSync(NodePath.join(folder, "src", "deep", "er", "données.bin"), Buffer.alloc(3_000_000, 7))
        NodeFs.writeFileSync(NodePath.join(folder, "empty.txt"), "")
        yield* dropOnto(teacherPage, folder)
        for (const page of studentPages) yield* see(page, "Complete")
        for (const name of ["anna", "ben"]) {
          assert.deepStrictEqual(Lab.digests(NodePath.join(lab.downloads(name), "lab 1 – résumé")), Lab.digests(folder))
          assert.isTrue(NodeFs.existsSync(NodePath.join(lab.downloads(name), "lab 1 – résumé", "nothing")))
        }
        yield* see(teacherPage, "2 have everything")

        yield* Effect.promise(async () => {
          await teacherPage.getByLabel("Write to everybody").fill("<script>alert(1)</script> Open task 1")
          await teacherPage.keyboard.press("Enter")
        })
        for (const page of studentPages) yield* see(page, "<script>alert(1)</script> Open task 1")
        yield* Effect.promise(async () => {
          await annaPage.getByLabel("Ask the teacher; everybody can read it").fill("Which task first?")
          await annaPage.getByRole("button", { name: "Send" }).click()
        })
        yield* see(teacherPage, "Which task first?")
        yield* see(benPage, "Which task first?")

        // A name that no system but this one could hold stays behind, and the page says so.
        const odd = NodePath.join(lab.folder, "odd")
        NodeFs.mkdirSync(odd)
        NodeFs.writeFileSync(NodePath.join(odd, "<img src=x onerror=alert(1)>.txt"), "x")
        NodeFs.writeFileSync(NodePath.join(odd, "good.txt"), "good")
        const [anna, ben] = processes as [Lab.Labfx, Lab.Labfx]
        yield* ben.signal("SIGKILL")
        yield* ben.ended
        yield* see(benPage, "labfx on this machine does not answer")
        yield* Browser.picture(benPage, "student-lost")
        yield* dropOnto(teacherPage, odd)
        yield* see(teacherPage, /1 file was left out: odd\/<img/)
        yield* anna.event("share.completed", ({ title }) => title === "odd")
        assert.deepStrictEqual(NodeFs.readdirSync(NodePath.join(lab.downloads("anna"), "odd")), ["good.txt"])

        const again = yield* lab.student({ name: "ben" })
        yield* again.event("share.completed", ({ title }) => title === "odd")
        const benAgain = yield* pageOf("ben")
        yield* see(benAgain, "Which task first?")
        yield* see(teacherPage, "2 have everything")

        yield* Effect.promise(async () => {
          await teacherPage.getByRole("button", { name: "End session" }).click()
          await teacherPage.getByRole("button", { name: "End it for everybody" }).click()
        })
        yield* see(annaPage, "The teacher has ended the session")
        yield* see(teacherPage, "This session has ended")
        yield* Browser.picture(annaPage, "student-ended")
        assert.strictEqual(teacher.complaint(), "")
      }).pipe(Effect.scoped))

    it.live(
      "asks a student for the join code of a closed session, says what is wrong with one, and lets in",
      () =>
        Effect.gen(function*() {
          const lab = yield* Lab.make
          const key = yield* lab.key("teacher")
          const teacher = yield* lab.teacher({ key, name: "ada", arguments: ["--join-code", "blue whale 42"] })
          yield* teacher.event("session.started")
          const student = yield* lab.student({ name: "anna" })
          yield* student.event("warning", ({ code }) => code === "join-code-needed")
          const browser = yield* Browser.launch
          const page = yield* Browser.open(yield* Browser.context(browser), yield* linkTo(lab, "anna"))
          yield* see(page, "This session asks for a join code")
          const isClean = Effect.map(Browser.axeFindings(page), (findings) => assert.deepStrictEqual(findings, []))
          const give = (code: string) =>
            Effect.promise(async () => {
              await page.getByRole("textbox", { name: "Join code" }).fill(code)
              await page.keyboard.press("Enter")
            })
          yield* see(page, "Your teacher has given it to the class")
          yield* isClean
          yield* Browser.picture(page, "student-code")
          yield* give("red whale 42")
          yield* see(page, "This is not the join code.")
          yield* isClean
          yield* Browser.picture(page, "student-code-wrong")
          yield* give("BLUE Whale42")
          yield* student.event("session.joined").pipe(Lab.within(40, student, teacher))
          yield* see(page, "The teacher has not shared anything yet.")
        }).pipe(Effect.scoped)
    )

    it.live("begins as a teacher and as a student on the start page, with the keyboard alone", () =>
      Effect.gen(function*() {
        const lab = yield* Lab.make
        const browser = yield* Browser.launch
        /** A machine of its own on which somebody has started labfx and types nothing. */
        const startOn = Effect.fnUntraced(function*(name: string) {
          const home = NodePath.join(lab.folder, name)
          NodeFs.mkdirSync(home)
          const { url } = yield* Effect.acquireRelease(
            Effect.promise(() => startPage(lab, home)),
            ({ child }) => Effect.sync(() => void child.kill("SIGKILL"))
          )
          return { home, page: yield* Browser.open(yield* Browser.context(browser), url) }
        })
        const isClean = (page: Page) =>
          Effect.map(Browser.axeFindings(page), (findings) => assert.deepStrictEqual(findings, []))
        const key = (page: Page, ...keys: ReadonlyArray<string>) =>
          Effect.promise(async () => {
            for (const each of keys) await page.keyboard.press(each)
          })

        const { home, page: teacherPage } = yield* startOn("teacher-home")
        yield* see(teacherPage, "What are you today?")
        yield* isClean(teacherPage)
        yield* Effect.promise(() => teacherPage.getByLabel("What the session is called").focus())
        yield* key(teacherPage, "Control+a")
        yield* Effect.promise(() => teacherPage.keyboard.type("Physics"))
        // A weak phrase is refused, in words; what was filled in is still there.
        yield* key(teacherPage, "Tab", "ArrowDown", "ArrowDown", "Tab")
        yield* Effect.promise(() => teacherPage.keyboard.type("hunter2"))
        yield* key(teacherPage, "Enter")
        yield* see(teacherPage, "That phrase is too easy to guess")
        yield* isClean(teacherPage)
        yield* key(teacherPage, "Shift+Tab", "ArrowUp", "ArrowUp", "Tab", "Space", "Tab")
        yield* Effect.promise(() => teacherPage.keyboard.type("abc"))
        yield* key(teacherPage, "Enter")
        yield* see(teacherPage, "That join code could be guessed")
        yield* Effect.promise(() => teacherPage.keyboard.type("def"))
        yield* key(teacherPage, "Enter")
        yield* see(teacherPage, "Physics")
        yield* see(teacherPage, "Nobody has joined yet.")
        const state = Folders.state(
          { platform: process.platform, home, environment: { LOCALAPPDATA: home }, folderExists: () => false },
          "teacher"
        )
        assert.strictEqual(NodeFs.statSync(NodePath.join(state, "teacher.key")).mode & 0o777, 0o600)
        assert.isTrue(NodeFs.existsSync(NodePath.join(state, "running.json")))

        const student = yield* startOn("student-home")
        yield* Effect.promise(async () => {
          await student.page.getByLabel("Your name").fill("Kavya")
          await student.page.keyboard.press("Enter")
          await student.page.getByRole("button", { name: "Join: Physics" }).press("Enter")
          await student.page.getByRole("textbox", { name: "Join code" }).fill("ABC def")
          await student.page.keyboard.press("Enter")
        })
        yield* see(teacherPage, "Kavya")
        yield* Effect.promise(async () => {
          await student.page.getByLabel("Ask the teacher; everybody can read it").fill("hello")
          await student.page.getByRole("button", { name: "Send" }).click()
        })
        yield* see(teacherPage, "hello")
        const file = yield* lab.file("data.bin", 1_000_000)
        yield* dropOnto(teacherPage, file)
        yield* see(student.page, "Complete")
        const received = NodePath.join(student.home, "labfx", "data.bin")
        assert.deepStrictEqual(Lab.digests(received), Lab.digests(file))
      }).pipe(Effect.scoped))

    it.live("shows how far a large file is read, of which nothing is left when it is called off", () =>
      Effect.gen(function*() {
        const { lab, teacher, teacherPage } = yield* room()
        // Zeros that lie on no disk, and take a minute to hash.
        const large = NodePath.join(lab.folder, "linux.iso")
        NodeFs.closeSync(NodeFs.openSync(large, "w"))
        NodeFs.truncateSync(large, 64 * 2 ** 30)
        const path = teacherPage.getByLabel("or the path of something on this machine")
        yield* Effect.promise(async () => {
          await path.fill(large)
          await teacherPage.keyboard.press("Enter")
        })
        yield* see(teacherPage, /GB of 68.7 GB/)
        const bytes = (yield* teacher.event("share.preparing", ({ bytes, hashedBytes }) =>
          hashedBytes > 0 && bytes !== 0))
          .bytes
        assert.strictEqual(bytes, 64 * 2 ** 30)
        yield* Effect.promise(async () => {
          // Whoever closes the page takes nothing back.
          await teacherPage.reload()
          await teacherPage.getByRole("button", { name: "Cancel: linux.iso" }).click()
          await teacherPage.getByText("Nothing is shared yet.").waitFor()
        })
        yield* teacher.event("share.prepared", ({ outcome }) => outcome === "called-off")
        const small = yield* lab.file("data.bin", 1_000)
        yield* Effect.promise(async () => {
          await path.fill(small)
          await teacherPage.keyboard.press("Enter")
        })
        yield* see(teacherPage, "Stop sharing")
        const kept = NodeFs.readdirSync(NodePath.join(lab.folder, "state", "ada", "shares")).filter((name) =>
          /^.{43}$/.test(name)
        )
        assert.lengthOf(kept, 1)
      }).pipe(Effect.scoped))

    it.live("is used from start to end with the keyboard alone", () =>
      Effect.gen(function*() {
        const { lab, studentPages, teacherPage } = yield* room("anna")
        const file = yield* lab.file("data.bin", 2_000_000)
        /** Tabs on until something of that name has the focus. */
        const reach = (page: Page, name: string) =>
          Effect.promise(async () => {
            for (let steps = 0; steps < 60; steps++) {
              await page.keyboard.press("Tab")
              // Both in one step: between two the focus could move on.
              const focused = await page.locator(":root").evaluate((root) => {
                const element = root.querySelector(":focus")
                return element === null
                  ? undefined
                  : [element.getAttribute("aria-label") ?? element.textContent, element.matches(":focus-visible")]
              })
              if (focused?.[0] === name) return assert.isTrue(focused[1], `${name} shows that it has the focus`)
            }
            assert.fail(`${name} cannot be reached with the keyboard`)
          })
        const type = (page: Page, text: string) =>
          Effect.promise(async () => {
            await page.keyboard.type(text)
            await page.keyboard.press("Enter")
          })
        yield* see(teacherPage, "1 student")
        yield* reach(teacherPage, "or the path of something on this machine")
        yield* type(teacherPage, file)
        yield* see(studentPages[0]!, "Complete")
        yield* reach(teacherPage, "Write to everybody")
        yield* type(teacherPage, "hello")
        yield* see(studentPages[0]!, "hello")
        yield* reach(teacherPage, "Stop sharing: data.bin")
        yield* Effect.promise(() => teacherPage.keyboard.press("Enter"))
        yield* see(studentPages[0]!, "No longer shared")
        yield* reach(teacherPage, "End session")
        yield* Effect.promise(() => teacherPage.keyboard.press("Enter"))
        // A key that is pressed while the dialog opens would be the page's and not the dialog's.
        yield* see(teacherPage, "End it for everybody")
        yield* reach(teacherPage, "End it for everybody")
        yield* Effect.promise(() => teacherPage.keyboard.press("Enter"))
        yield* see(studentPages[0]!, "The teacher has ended the session")
      }).pipe(Effect.scoped))
  }
)
