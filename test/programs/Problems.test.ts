/** Every error a person can meet has words: what happened, and what to do next. */
import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Display from "../../src/programs/Display.ts"
import * as ExitCode from "../../src/programs/ExitCode.ts"
import * as Problems from "../../src/programs/Problems.ts"
import type { Root } from "../../src/protocol/Ids.ts"
import { messageTextBytesMax } from "../../src/protocol/Limits.ts"
import { FolderError, StoreError } from "../../src/services/ChunkStore.ts"
import { ListenError } from "../../src/services/Datagrams.ts"
import { DiskError } from "../../src/services/Disk.ts"
import { StateError } from "../../src/services/Identity.ts"
import {
  DropRefused,
  NothingRunning,
  OpenRefused,
  PageUnavailable,
  StartRefused
} from "../../src/services/LocalErrors.ts"
import { WriteRefused } from "../../src/services/MessageRelay.ts"
import { SecretError } from "../../src/services/Secrets.ts"
import { SessionRefused } from "../../src/services/Session.ts"
import { SourceError } from "../../src/services/store/Source.ts"
import { AcceptError } from "../../src/services/Transport.ts"

/** Control characters as a peer or a file name could bring them in. */
const detail = "the \u001b[31mdetail\u0007"
const path = "/a/\u001b[2Jname"
const root = "r".repeat(43) as Root

const reasonsOf = (error: { readonly fields: { readonly reason: { readonly literals: ReadonlyArray<string> } } }) =>
  error.fields.reason.literals

/** One of every error and reason, read from the schemas: a new reason comes in by itself. */
const everyError: ReadonlyArray<Problems.LabfxError> = [
  ...reasonsOf(Problems.UsageError).map((reason) => new Problems.UsageError({ reason: reason as never, detail })),
  ...reasonsOf(Problems.NotDone).map((reason) => new Problems.NotDone({ reason: reason as never, detail })),
  ...reasonsOf(SecretError).map((reason) => new SecretError({ reason: reason as never, strengthBits: 12 })),
  ...reasonsOf(SourceError).map((reason) => new SourceError({ reason: reason as never, path, detail })),
  ...reasonsOf(FolderError).map((reason) => new FolderError({ reason: reason as never, path, detail })),
  ...reasonsOf(StoreError).map((reason) => new StoreError({ reason: reason as never, root, detail })),
  ...reasonsOf(WriteRefused).map((reason) => new WriteRefused({ reason: reason as never, detail })),
  ...reasonsOf(SessionRefused).map((reason) => new SessionRefused({ reason: reason as never, detail })),
  ...reasonsOf(AcceptError).map((reason) => new AcceptError({ reason: reason as never, port: 80, detail })),
  ...reasonsOf(StateError).map((reason) => new StateError({ reason: reason as never, path, detail })),
  ...reasonsOf(DiskError).map((reason) => new DiskError({ reason: reason as never, path, detail })),
  ...reasonsOf(NothingRunning).map((reason) => new NothingRunning({ reason: reason as never, detail })),
  ...reasonsOf(DropRefused).map((reason) => new DropRefused({ reason: reason as never, detail })),
  ...reasonsOf(OpenRefused).map((reason) => new OpenRefused({ reason: reason as never, detail })),
  ...reasonsOf(StartRefused).map((reason) => new StartRefused({ reason: reason as never, detail })),
  new PageUnavailable({ port: 80, detail }),
  new ListenError({ port: 24726, detail })
]

const everyProblem: ReadonlyArray<Problems.Problem> = [
  ...everyError.map(Problems.explain),
  Problems.refusal({ _tag: "UnknownCommand", command: "\u001b[2Jdance" }),
  Problems.refusal({ _tag: "NothingNamed", command: "share" }),
  Problems.refusal({ _tag: "NothingNamed", command: "unshare" }),
  Problems.refusal({ _tag: "TooLong" }),
  Problems.unexpected("TypeError: x is\nundefined")
]

describe("the catalogue of problems", () => {
  it("knows every error and reason", () => {
    assert.isAbove(everyError.length, 45)
    for (const problem of everyProblem) {
      assert.match(problem.what, /^.{10,400}[.:…]$/u, problem.code)
      assert.match(problem.next, /^[A-Z].{10,300}\.$/u, problem.code)
      assert.include(Object.values(ExitCode.all), problem.exit, problem.code)
      assert.notStrictEqual(problem.exit, ExitCode.ok, problem.code)
    }
    const codes = new Set(everyError.map((error) => Problems.explain(error).code))
    assert.strictEqual(codes.size, everyError.length, "every error has a code of its own")
  })

  it("prints nothing that steers a terminal", () => {
    for (const problem of everyProblem) assert.notMatch(problem.what + problem.next, /\p{Cc}|\p{Cf}/u, problem.code)
  })

  it("ends with the exit code for usage wherever no usable secret was given", () => {
    for (const reason of reasonsOf(SecretError)) {
      assert.strictEqual(Problems.explain(new SecretError({ reason: reason as never })).exit, ExitCode.usage)
    }
    const { exit, next } = Problems.explain(new Problems.UsageError({ reason: "no-secret", detail: "" }))
    assert.strictEqual(exit, ExitCode.usage)
    assert.include(next, "labfx keygen")
  })

  it("names the limit that a line was over", () => {
    assert.include(Problems.refusal({ _tag: "TooLong" }).what, Display.bytes(messageTextBytesMax))
  })

  it("covers every error that a service declares", () => {
    const services = Path.resolve(import.meta.dirname, "../../src/services")
    const declared = Fs.readdirSync(services, { recursive: true, encoding: "utf8" }).filter((name) =>
      name.endsWith(".ts")
    )
      .flatMap((
        name
      ) => [...Fs.readFileSync(Path.join(services, name), "utf8").matchAll(/TaggedError<\w+>\(\)\("(\w+)"/g)])
      .map(([, name]) => name!)
    // These never leave the services: a link that ends or a chunk that is wrong is told as an event, and where there is no
    // multicast everything comes by links.
    const inner = ["ChunkCorrupt", "ChunkLost", "ConnectionLost", "DialError", "MulticastError"]
    const known = new Set(everyError.map(({ _tag }) => _tag as string))
    assert.deepStrictEqual(declared.filter((name) => !known.has(name) && !inner.includes(name)), [])
  })
})
