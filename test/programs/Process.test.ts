/** The shipped program as a process: what it prints, how it ends, what it never does. No network. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import * as NodeChildProcess from "node:child_process"
import * as NodeFs from "node:fs"
import * as NodePath from "node:path"
import manifest from "../../package.json" with { type: "json" }
import * as ExitCode from "../../src/programs/ExitCode.ts"
import * as Lab from "../support/Lab.ts"

const scope = Scope.makeUnsafe()
let lab: Lab.Lab

beforeAll(async () => {
  lab = await Effect.runPromise(Scope.provide(Lab.make, scope))
}, 60_000)
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

const run = (
  args: ReadonlyArray<string>,
  options: { readonly input?: string; readonly environment?: Record<string, string> } = {}
) => {
  const { signal, status, stderr, stdout } = NodeChildProcess.spawnSync(process.execPath, [lab.program, ...args], {
    cwd: lab.folder,
    input: options.input ?? "",
    encoding: "utf8",
    timeout: 20_000,
    env: { PATH: process.env["PATH"], HOME: lab.folder, ...options.environment }
  })
  return { signal, status, stderr, stdout }
}

describe("labfx simulate", () => {
  const lesson = ["simulate", "--peers", "5", "--hostile", "1", "--loss", "2%", "--churn", "20%", "--bytes", "100kB"]
  const short = [...lesson, "--minutes", "0.2"]

  it("tells in a few lines what a seed has come to, the same every time", () => {
    const { status, stderr, stdout } = run([...short, "--seed", "42"])
    assert.strictEqual(status, ExitCode.ok)
    assert.strictEqual(stderr, "")
    assert.match(stdout, /^Seed 42: a teacher, 3 students and 1 hostile; [\d.]+ s of virtual time\.\n/)
    assert.match(stdout, /\nTrace: \d+ events, digest [0-9a-f]{16}\.\n$/)
    assert.isAtMost(stdout.split("\n").length, 10)
    assert.strictEqual(run([...short, "--seed", "42"]).stdout, stdout)
    assert.notStrictEqual(run([...short, "--seed", "43"]).stdout, stdout)
  })

  it("shows with --trace one line an event, as many as it says, and the same digest", () => {
    const { stdout } = run([...short, "--seed", "42", "--trace"])
    const lines = stdout.trimEnd().split("\n")
    const events = lines.filter((line) => /^ *\d+\.\d{3} {2}\S/.test(line))
    const summary = lines.slice(events.length)
    assert.match(summary[0]!, /^Seed 42: /)
    assert.strictEqual(summary.at(-1), run([...short, "--seed", "42"]).stdout.trimEnd().split("\n").at(-1))
    assert.match(summary.at(-1)!, new RegExp(`^Trace: ${events.length} events, `))
  })

  it("draws a seed where none is given, and says which", () => {
    const [first, second] = [run(short).stdout, run(short).stdout].map((stdout) => /^Seed (\d+): /.exec(stdout)?.[1])
    assert.isDefined(first)
    assert.notStrictEqual(first, second)
  })

  it("says what is wrong with a share, a size or a role", () => {
    assert.strictEqual(run(["simulate", "--roles", "stall,sulk"]).status, ExitCode.usage)
    assert.strictEqual(run([...short, "--roles", "stall, hoard"]).status, ExitCode.ok)
    assert.strictEqual(run(["simulate", "--loss", "lots"]).status, ExitCode.usage)
    assert.strictEqual(run(["simulate", "--bytes", "2TB"]).status, ExitCode.usage)
  })
})

describe("labfx keygen", () => {
  it("writes a key that only its owner can read, and says how students recognise it", () => {
    const { status, stdout } = run(["keygen", "--out", "first.key"])
    assert.strictEqual(status, ExitCode.ok)
    const file = NodePath.join(lab.folder, "first.key")
    if (process.platform !== "win32") assert.strictEqual(NodeFs.statSync(file).mode & 0o777, 0o600)
    assert.match(stdout, /Its words, which every session shows: ([a-z]+ ){5}[a-z]+\n/)
    assert.match(stdout, /Public key, for labfx student --trust: [\w-]{43}\n/)
    assert.notInclude(stdout, NodeFs.readFileSync(file, "utf8").trim())
  })

  it("never overwrites a file", () => {
    NodeFs.writeFileSync(NodePath.join(lab.folder, "precious"), "mine")
    const { status, stderr, stdout } = run(["keygen", "--out", "precious"])
    assert.strictEqual(status, ExitCode.failed)
    assert.include(stderr, "exists already and was left as it is")
    assert.strictEqual(stdout, "")
    assert.strictEqual(NodeFs.readFileSync(NodePath.join(lab.folder, "precious"), "utf8"), "mine")
  })

  it("makes a phrase that nothing keeps", () => {
    const before = NodeFs.readdirSync(lab.folder)
    const { status, stdout } = run(["keygen", "--phrase"])
    assert.strictEqual(status, ExitCode.ok)
    assert.match(stdout, /^The secret: ([a-z]+ ){6}[a-z]+\n/)
    assert.deepStrictEqual(NodeFs.readdirSync(lab.folder), before)
  })
})

describe("labfx teacher without a usable secret", () => {
  it.each<[string, ReadonlyArray<string>, Parameters<typeof run>[1], RegExp]>([
    ["none at all", [], {}, /none was given[^]*labfx keygen --out labfx\.key/],
    ["an empty variable", [], { environment: { LABFX_SECRET: "" } }, /secret is empty/],
    ["an empty value", ["--secret="], {}, /secret is empty/],
    ["a question that nobody answers", ["--secret"], {}, /secret is empty/],
    ["a file that is not there", ["--secret-file", "nowhere"], {}, /cannot be read/],
    ["one that is easily guessed", ["--secret", "hunter2"], {}, /too easy to guess[^]*--allow-weak-secret/],
    ["a weak one on standard input", ["--secret"], { input: "hunter2\n" }, /too easy to guess/],
    ["a weak one from the environment", [], { environment: { LABFX_SECRET: "hunter2" } }, /too easy to guess/],
    ["half a key", ["--secret", "labfx-key-1:abc"], {}, /not complete/]
  ])("ends with the code for usage: %s", (_, args, options, expected) => {
    const { status, stderr, stdout } = run(["teacher", ...args], options)
    assert.strictEqual(status, ExitCode.usage, stderr)
    assert.match(stderr, expected)
    assert.notInclude(stderr + stdout, "hunter2")
  })

  it("says with --json, as its last event, why it ends", () => {
    const { status, stderr, stdout } = run(["teacher", "--secret", "hunter2", "--json"])
    assert.strictEqual(status, ExitCode.usage)
    const events = stdout.trim().split("\n").map((line) => JSON.parse(line))
    assert.deepStrictEqual(events.map(({ code, event }) => [event, code]), [
      ["warning", "secret-exposed"],
      ["run.failed", "SecretError.weak"]
    ])
    assert.strictEqual(events[1].exit, ExitCode.usage)
    assert.include(stderr, "too easy to guess")
    assert.notInclude(stderr, "Warning")
  })
})

describe("a mistaken command line", () => {
  it.each<[string, ReadonlyArray<string>, RegExp]>([
    ["an unknown flag, with a guess at what was meant", ["teacher", "--tilte", "x"], /--title/],
    ["an unknown command", ["teach"], /teacher/],
    ["a port that is none", ["student", "--port", "70000"], /65535/],
    ["an address that is none", ["student", "--connect", "here"], /HOST:PORT/],
    ["words that are none", ["student", "--join", "one two"], /six words/],
    ["a key that is none", ["student", "--trust", "x"], /public key/],
    ["a name that would steer a terminal", ["student", "--name", "\u001b[2J"], /control characters/],
    ["too many students", ["demo", "--students", "1000"], /from 1 to 60/],
    ["a size that is none", ["demo", "--size", "big"], /16GiB/]
  ])("is refused before anything is opened or sent: %s", (_, args, expected) => {
    const { status, stderr, stdout } = run(args)
    assert.strictEqual(status, ExitCode.usage, stderr)
    assert.match(stderr, expected)
    assert.strictEqual(stdout, "")
    assert.notMatch(stderr, /(?!\n)\p{Cc}/u)
  })

  it("never repeats a secret that was given to the wrong command", () => {
    const { status, stderr, stdout } = run(["student", "--secret", "open sesame"])
    assert.strictEqual(status, ExitCode.usage)
    assert.notInclude(stderr + stdout, "sesame")
  })
})

describe("labfx open without a terminal", () => {
  it.each([["open"], ["open", "--print"]])("begins nothing where no session runs: %s %s", (...args) => {
    const { status, stderr, stdout } = run(args)
    assert.strictEqual(status, ExitCode.notRunning)
    assert.include(stderr, "No labfx session of yours is running")
    assert.strictEqual(stdout, "")
  })
})

describe("help", () => {
  it.each(["teacher", "student", "keygen", "demo"])("of labfx %s has examples", (command) => {
    const { status, stdout } = run([command, "--help"])
    assert.strictEqual(status, ExitCode.ok)
    assert.match(stdout, new RegExp(`EXAMPLES[^]*labfx ${command}`))
  })

  it("is shown for no command, and the version is the package's", () => {
    assert.strictEqual(run([]).status, ExitCode.ok)
    assert.match(run([]).stdout, /teacher[^]*student[^]*keygen[^]*demo/)
    assert.include(run(["--version"]).stdout, manifest.version)
  })

  it.each(["bash", "zsh", "fish", "powershell"])("completes in %s", (shell) => {
    const { status, stdout } = run(["--completions", shell])
    assert.strictEqual(status, ExitCode.ok)
    assert.include(stdout, "student")
  })
})
