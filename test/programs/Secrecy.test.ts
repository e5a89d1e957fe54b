/** What is told to labfx in confidence stays there: every place where a secret could turn up is searched. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as NodeChildProcess from "node:child_process"
import * as NodeFs from "node:fs"
import * as NodePath from "node:path"
import * as Child from "../../src/programs/Child.ts"
import * as Lab from "../support/Lab.ts"

const options = { timeout: 150_000 }

const secret = "abandon math mimic master filter design decline"
const joinCode = "blue-whale-forty-two"
const environment = { ...process.env, LABFX_SECRET: secret, LABFX_JOIN_CODE: joinCode }

/** A secret may turn up as it is, without its blanks, or as some encoding of either. */
const forms = [secret, joinCode].flatMap((text) =>
  [text, text.replace(/\s+/g, "")].flatMap((form) =>
    (["utf8", "base64", "base64url", "hex"] as const).map((encoding) =>
      encoding === "utf8" ? form : Buffer.from(form).toString(encoding).replace(/=+$/, "").slice(0, -2)
    )
  )
)

const assertSilent = (where: string, text: string) => {
  for (const form of forms) assert.isFalse(text.includes(form), `${where} says ${form.slice(0, 12)}…`)
}

const files = (folder: string): ReadonlyArray<string> =>
  NodeFs.readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) =>
    NodePath.join(entry.parentPath, entry.name)
  )

/** The arguments of every process of this machine whose parent is that one. */
const argumentsOfChildren = (pid: number): string =>
  NodeFs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    try {
      const stat = NodeFs.readFileSync(`/proc/${name}/stat`, "utf8")
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1])
      return parent === pid ? [NodeFs.readFileSync(`/proc/${name}/cmdline`, "utf8")] : []
    } catch {
      return []
    }
  }).join("\n")

const closed = (more: ReadonlyArray<string> = []) =>
  Effect.gen(function*() {
    const lab = yield* Lab.make
    const start = (role: "teacher" | "student", name: string, own: ReadonlyArray<string>) =>
      Child.start({
        name,
        environment,
        command: [
          process.execPath,
          lab.program,
          role,
          "--json",
          "--log-level",
          "all",
          "--name",
          name,
          "--state",
          NodePath.join(lab.folder, "state", name),
          "--discovery-port",
          String(lab.discoveryPort),
          ...own,
          ...more
        ] as never
      })
    const teacher = yield* start("teacher", "teacher", [])
    const student = yield* start("student", "student", ["--yes", "--dir", lab.downloads("student")])
    yield* student.event("peer.up").pipe(Lab.within(40, student, teacher))
    yield* teacher.type("hello")
    yield* student.event("message.delivered").pipe(Lab.within(20, student, teacher))
    return { lab, teacher, student }
  })

describe("secret and join code", () => {
  it.live("are in no event, log line, state file, argument or answer of the local API", () =>
    Effect.gen(function*() {
      const { lab, student, teacher } = yield* closed()
      for (const command of ["status", "who", "say"]) {
        const state = NodePath.join(lab.folder, "state", "teacher")
        const words = command === "say" ? ["say", "a line"] : [command]
        const said = NodeChildProcess.execFileSync(process.execPath, [lab.program, ...words, "--state", state], {
          env: environment,
          encoding: "utf8"
        })
        assertSilent(`labfx ${command}`, said)
      }
      for (const labfx of [teacher, student]) {
        assertSilent(`the events of the ${labfx.name}`, JSON.stringify(labfx.events))
        assertSilent(`the log of the ${labfx.name}`, labfx.complaint())
        if (process.platform === "linux") {
          assertSilent(`the arguments of the ${labfx.name}`, NodeFs.readFileSync(`/proc/${labfx.pid}/cmdline`, "utf8"))
          assertSilent(`the children of the ${labfx.name}`, argumentsOfChildren(labfx.pid))
        }
      }
      for (const file of files(NodePath.join(lab.folder, "state"))) {
        assertSilent(file, NodeFs.readFileSync(file, "latin1"))
      }
    }), options)

  it.live(
    "leave no trace when labfx fails, with a code it cannot use, a port it cannot have, or state it cannot read",
    () =>
      Effect.gen(function*() {
        const { lab, teacher } = yield* closed()
        const { port } = yield* teacher.event("session.started")
        const state = NodePath.join(lab.folder, "broken")
        NodeFs.mkdirSync(state)
        NodeFs.writeFileSync(NodePath.join(state, "pins.json"), "{\"version\":99}")
        const failures: ReadonlyArray<ReadonlyArray<string>> = [
          ["teacher", "--port", String(port), "--state", NodePath.join(lab.folder, "second")],
          ["student", "--yes", "--state", state],
          ["teacher", "--secret", `${secret}\u0007`, "--join-code", "x"],
          ["teacher", `--secret=${secret}`, `--join-code=${joinCode}`, "--no-such-flag"],
          ["student", "--join-code", `${joinCode}\n${joinCode}`],
          ["teacher", "--join-code", joinCode, "--title", "\u0000".slice(1), "--port", "99999999"]
        ]
        for (const words of failures) {
          for (const json of [[], ["--json"]]) {
            const { status, stderr, stdout } = NodeChildProcess.spawnSync(
              process.execPath,
              [lab.program, ...words, ...json, "--discovery-port", String(lab.discoveryPort)],
              { env: environment, encoding: "utf8", input: "", timeout: 15_000 }
            )
            assert.notStrictEqual(status, 0, words[0])
            assertSilent(`standard output of labfx ${words[0]}`, stdout)
            assertSilent(`standard error of labfx ${words[0]}`, stderr)
          }
        }
      }),
    options
  )

  it.live.skipIf(process.platform === "win32")(
    "keep their neighbours to this user: files 0600, folders 0700",
    () =>
      Effect.gen(function*() {
        const umask = process.umask(0)
        const { lab } = yield* Effect.ensuring(closed(), Effect.sync(() => process.umask(umask)))
        const key = yield* lab.key("key")
        const state = NodePath.join(lab.folder, "state")
        const mode = (path: string) => (NodeFs.statSync(path).mode & 0o777).toString(8)
        assert.strictEqual(mode(key), "600")
        for (const role of ["teacher", "student"]) {
          const top = NodePath.join(state, role)
          assert.strictEqual(mode(top), "700", top)
          for (const entry of NodeFs.readdirSync(top, { recursive: true, withFileTypes: true })) {
            const path = NodePath.join(entry.parentPath, entry.name)
            if (entry.isDirectory()) assert.strictEqual(mode(path), "700", path)
            else if (entry.isFile()) assert.strictEqual(mode(path), "600", path)
          }
        }
      }),
    options
  )

  it.live.skipIf(process.platform !== "linux")(
    "given on the command line, are covered in the list of processes",
    () =>
      Effect.gen(function*() {
        const lab = yield* Lab.make
        const teacher = yield* Child.start({
          name: "teacher",
          command: [
            process.execPath,
            lab.program,
            "teacher",
            "--json",
            "--secret",
            secret,
            "--join-code",
            joinCode,
            "--state",
            NodePath.join(lab.folder, "state"),
            "--discovery-port",
            String(lab.discoveryPort)
          ]
        })
        yield* teacher.event("session.started").pipe(Lab.within(30, teacher))
        assertSilent("the list of processes", NodeFs.readFileSync(`/proc/${teacher.pid}/cmdline`, "utf8"))
        assertSilent("its events", JSON.stringify(teacher.events))
      }),
    options
  )
})
