/** The contract of Disk, on the real disk and in memory; and what only one of the two can do. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import * as NodeFs from "node:fs"
import * as NodeOs from "node:os"
import { vi } from "vitest"
import { Disk, DiskError, type DiskFile, type DiskFileNow } from "../../src/services/Disk.ts"
import { layerNode, reasonOf } from "../../src/services/node/DiskNode.ts"
import { patientCallsMax, patientCallsMin } from "../../src/services/node/Patience.ts"
import { DiskMemory } from "../../src/simulator/DiskMemory.ts"
import { tempFolder } from "../support/TempFolder.ts"

const bytes = (text: string) => new TextEncoder().encode(text)
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

const reason = <A, R>(effect: Effect.Effect<A, DiskError, R>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason)

const write = Effect.fnUntraced(function*(path: string, content: string) {
  const disk = yield* Disk
  yield* Effect.scoped(Effect.flatMap(disk.open(path, "write"), (file) => file.write(bytes(content), 0)))
})

/** Also where the machine was so busy that the disk seemed slow a while ago. */
const atOnce = (file: DiskFile, length: number): DiskFileNow | undefined => {
  for (let i = 0; i < 2 * patientCallsMax; i++) {
    const now = file.now(length)
    if (now !== undefined) return now
  }
  return undefined
}

const overNode = "Disk over node:fs"

const contract = (
  name: string,
  provided: <A, E>(body: (folder: string) => Effect.Effect<A, E, Disk | Scope.Scope>) => Effect.Effect<A, E>
) =>
  describe(name, () => {
    it.effect("reads what was written, at any position, and less only at the end", () =>
      provided(Effect.fnUntraced(function*(folder) {
        const disk = yield* Disk
        const file = yield* disk.open(`${folder}/a`, "create")
        yield* file.write(bytes("world"), 6)
        yield* file.write(bytes("hello "), 0)
        const buffer = new Uint8Array(64)
        assert.strictEqual(yield* file.read(buffer, 0), 11)
        assert.strictEqual(text(buffer.subarray(0, 11)), "hello world")
        assert.strictEqual(yield* file.read(buffer.subarray(0, 3), 6), 3)
        assert.strictEqual(text(buffer.subarray(0, 3)), "wor")
        assert.strictEqual(yield* file.read(buffer, 11), 0)
        yield* file.truncate(5)
        yield* file.sync
        assert.strictEqual((yield* file.stat).sizeBytes, 5)
      })))

    it.effect("reads and writes runs of any length alike", () =>
      provided(Effect.fnUntraced(function*(folder) {
        const disk = yield* Disk
        const file = yield* disk.open(`${folder}/a`, "create")
        // Synchronous on the real disk, and asynchronous.
        for (const length of [1, 256 * 1024, 256 * 1024 + 1]) {
          const there = Uint8Array.from({ length }, (_, i) => i * 7 + length)
          yield* file.write(there, 3)
          const found = new Uint8Array(length)
          assert.strictEqual(yield* file.read(found, 3), length)
          assert.deepStrictEqual(found, there)
        }
      })))

    it.effect("does at once what goes at once, and leaves to the patient way why it does not", () =>
      provided(Effect.fnUntraced(function*(folder) {
        const disk = yield* Disk
        const file = yield* disk.open(`${folder}/a`, "create")
        const there = Uint8Array.from({ length: 5_000 }, (_, i) => i * 7)
        const now = atOnce(file, there.length)!
        assert.isTrue(now.write(there, 3))
        const found = new Uint8Array(5_000)
        assert.isTrue(now.read(found, 3))
        assert.deepStrictEqual(found, there)
        assert.isFalse(now.read(found, 4), "the file ends before")
        assert.deepStrictEqual(now.stat(), yield* file.stat)
        assert.strictEqual(now.stat()?.sizeBytes, 5_003)
        if (name !== overNode) return
        assert.isDefined(atOnce(file, 256 * 1024))
        assert.isUndefined(atOnce(file, 256 * 1024 + 1))
        assert.isFalse(atOnce(yield* disk.open(`${folder}/a`, "read"), 1)!.write(there, 0))
      })))

    it.effect("creates only what is not there and reads only what is", () =>
      provided(Effect.fnUntraced(function*(folder) {
        const disk = yield* Disk
        assert.strictEqual(yield* reason(disk.open(`${folder}/a`, "read")), "not-found")
        yield* disk.open(`${folder}/a`, "create")
        assert.strictEqual(yield* reason(disk.open(`${folder}/a`, "create")), "exists")
        assert.strictEqual(yield* reason(disk.open(`${folder}/missing/a`, "write")), "not-found")
      })))

    it.effect("publishes a file and a folder without ever replacing anything", () =>
      provided(Effect.fnUntraced(function*(folder) {
        const disk = yield* Disk
        yield* write(`${folder}/new`, "new")
        yield* write(`${folder}/old`, "old")
        assert.strictEqual(yield* reason(disk.publish(`${folder}/new`, `${folder}/old`)), "exists")
        assert.strictEqual(text(yield* disk.readFile(`${folder}/old`, 99)), "old")
        yield* disk.publish(`${folder}/new`, `${folder}/there`)
        assert.strictEqual(text(yield* disk.readFile(`${folder}/there`, 99)), "new")
        assert.strictEqual(yield* reason(disk.stat(`${folder}/new`)), "not-found")

        yield* disk.makeDirectory(`${folder}/tree/sub`)
        yield* write(`${folder}/tree/sub/x`, "x")
        yield* disk.makeDirectory(`${folder}/empty`)
        assert.strictEqual(yield* reason(disk.publish(`${folder}/tree`, `${folder}/empty`)), "exists")
        assert.strictEqual(yield* reason(disk.publish(`${folder}/tree`, `${folder}/there`)), "exists")
        yield* disk.publish(`${folder}/tree`, `${folder}/shown`)
        assert.strictEqual(text(yield* disk.readFile(`${folder}/shown/sub/x`, 99)), "x")
        assert.strictEqual(yield* reason(disk.stat(`${folder}/tree`)), "not-found")
      })))

    it.effect("replaces and appends small files, and refuses to read large ones whole", () =>
      provided(Effect.fnUntraced(function*(folder) {
        const disk = yield* Disk
        yield* disk.replaceFile(`${folder}/a`, bytes("first, and longer"))
        yield* disk.replaceFile(`${folder}/a`, bytes("second"))
        yield* disk.appendFile(`${folder}/a`, bytes("+third"))
        yield* disk.appendFile(`${folder}/b`, bytes("fresh"))
        assert.strictEqual(text(yield* disk.readFile(`${folder}/a`, 12)), "second+third")
        assert.strictEqual(yield* reason(disk.readFile(`${folder}/a`, 11)), "io")
        assert.deepStrictEqual(yield* disk.list(folder), ["a", "b"])
      })))

    it.effect("reads and writes many small files, telling each one's trouble", () =>
      provided(Effect.fnUntraced(function*(folder) {
        const disk = yield* Disk
        yield* disk.makeDirectory(`${folder}/many`)
        const names = Array.from({ length: 500 }, (_, i) => `${folder}/many/${i}`)
        yield* disk.writeFiles(names.map((path) => ({ path, bytes: bytes("longer than the next") })))
        yield* disk.writeFiles(names.map((path, i) => ({ path, bytes: bytes(`#${i}`) })))
        const wanted = [...names, `${folder}/many/none`].map((path, i) => ({
          path,
          into: new Uint8Array(`#${i}`.length)
        }))
        const short = { path: names[0]!, into: new Uint8Array(3) }
        const results = yield* disk.readFiles([...wanted, short])
        for (let i = 0; i < names.length; i++) assert.strictEqual(text(wanted[i]!.into), `#${i}`)
        assert.deepStrictEqual(
          results.map((result) => result instanceof DiskError ? result.reason : "read").filter((r) => r !== "read"),
          ["not-found", "io"]
        )
        const entries = yield* disk.entries(`${folder}/many`)
        assert.deepStrictEqual(entries.map((entry) => entry.name), yield* disk.list(`${folder}/many`))
        assert.strictEqual(
          yield* reason(disk.writeFiles([{ path: `${folder}/none/a`, bytes: bytes("a") }])),
          "not-found"
        )
      })))

    it.effect("removes trees, and what is not there without a word", () =>
      provided(Effect.fnUntraced(function*(folder) {
        const disk = yield* Disk
        yield* disk.makeDirectory(`${folder}/tree/sub`)
        yield* disk.makeDirectory(`${folder}/tree/sub`)
        yield* write(`${folder}/tree/sub/x`, "x")
        yield* disk.remove(`${folder}/tree`)
        yield* disk.remove(`${folder}/tree`)
        assert.deepStrictEqual(yield* disk.list(folder), [])
        yield* disk.syncDirectory(folder)
        assert.isAbove(yield* disk.freeBytes(folder), 0)
      })))

    it.effect("tells a changed file from an unchanged one, and one file from another", () =>
      provided(Effect.fnUntraced(function*(folder) {
        const disk = yield* Disk
        yield* write(`${folder}/a`, "a")
        yield* write(`${folder}/b`, "a")
        const before = yield* disk.stat(`${folder}/a`)
        assert.deepStrictEqual(yield* disk.stat(`${folder}/a`), before)
        yield* write(`${folder}/a`, "longer")
        const after = yield* disk.stat(`${folder}/a`)
        assert.strictEqual(after.identity, before.identity)
        assert.strictEqual(after.sizeBytes, 6)
        assert.notStrictEqual((yield* disk.stat(`${folder}/b`)).identity, before.identity)
      })))

    it.effect("gives a lock to one at a time, and again when its scope has closed", () =>
      provided(Effect.fnUntraced(function*(folder) {
        const disk = yield* Disk
        const scope = yield* Scope.make()
        yield* disk.lock(`${folder}/lock`).pipe(Scope.provide(scope))
        assert.strictEqual(yield* reason(Effect.scoped(disk.lock(`${folder}/lock`))), "busy")
        yield* Scope.close(scope, Exit.void)
        yield* disk.lock(`${folder}/lock`)
      })))
  })

const onNode = <A, E>(body: (folder: string) => Effect.Effect<A, E, Disk | Scope.Scope>) =>
  Effect.flatMap(tempFolder, body).pipe(Effect.scoped, Effect.provide(layerNode))

contract(overNode, onNode)

/** Each call of the system seems to take 10 ms. */
const slowly = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      let nowMs = 0
      return vi.spyOn(performance, "now").mockImplementation(() => nowMs += 10)
    }),
    () => effect,
    (spy) => Effect.sync(() => spy.mockRestore())
  )

contract("Disk over node:fs while it is slow", (body) => slowly(onNode(body)))

contract("Disk in memory", (body) =>
  Effect.suspend(() => {
    const memory = new DiskMemory()
    memory.put("/home/-", bytes(""))
    memory.delete("/home/-")
    return body("/home").pipe(Effect.scoped, Effect.provide(memory.layer))
  }))

describe("Disk over node:fs", () => {
  it.effect("never follows a symbolic link in the last component", () =>
    onNode(Effect.fnUntraced(function*(folder) {
      const disk = yield* Disk
      NodeFs.writeFileSync(`${folder}/target`, "secret")
      NodeFs.symlinkSync("target", `${folder}/link`)
      NodeFs.mkdirSync(`${folder}/inside`)
      NodeFs.symlinkSync(folder, `${folder}/inside/up`)
      assert.strictEqual(yield* reason(disk.open(`${folder}/link`, "read")), "io")
      assert.strictEqual(yield* reason(disk.open(`${folder}/link`, "write")), "io")
      assert.strictEqual(yield* reason(disk.writeFiles([{ path: `${folder}/link`, bytes: bytes("x") }])), "io")
      const [result] = yield* disk.readFiles([{ path: `${folder}/link`, into: new Uint8Array(6) }])
      assert.instanceOf(result, DiskError)
      assert.strictEqual((yield* disk.stat(`${folder}/link`)).kind, "symlink")
      assert.strictEqual(yield* disk.realPath(`${folder}/link`), `${folder}/target`)
      // Removing a folder removes the link in it and not what the link leads to.
      yield* disk.remove(`${folder}/inside`)
      assert.strictEqual(NodeFs.readFileSync(`${folder}/target`, "utf8"), "secret")
    })))

  it.effect("looks names up at once while the disk is quick, and beside other things while it is slow", () =>
    onNode(Effect.fnUntraced(function*(folder) {
      const disk = yield* Disk
      const isAtOnce = () => Exit.isSuccess(Effect.runSyncExit(disk.stat(folder)))
      // What other tests have made slow is tried again after so many calls.
      let inARow = 0
      for (let calls = 0; calls < 4 * patientCallsMax && inARow < 3; calls++) inARow = isAtOnce() ? inARow + 1 : 0
      assert.strictEqual(inARow, 3)
      yield* slowly(Effect.sync(() => {
        for (let calls = 0; calls < 3; calls++) assert.isTrue(isAtOnce())
        for (let calls = 0; calls < patientCallsMin; calls++) assert.isFalse(isAtOnce())
      }))
    })))

  it.effect("tells names that are not text from those that are", () =>
    onNode(Effect.fnUntraced(function*(folder) {
      const disk = yield* Disk
      NodeFs.writeFileSync(`${folder}/good`, "")
      NodeFs.writeFileSync(Buffer.concat([Buffer.from(`${folder}/bad-`), Buffer.from([0xff])]), "")
      const entries = yield* disk.entries(folder)
      assert.deepStrictEqual(entries.map(({ isText, name }) => [name, isText]), [["bad-\ufffd", false], ["good", true]])
    })))

  it.effect("keeps what it writes from other users, unless it is for people", () =>
    onNode(Effect.fnUntraced(function*(folder) {
      const disk = yield* Disk
      yield* Effect.scoped(disk.open(`${folder}/own`, "create"))
      yield* disk.replaceFile(`${folder}/replaced`, bytes("x"))
      yield* disk.appendFile(`${folder}/appended`, bytes("x"))
      yield* disk.writeFiles([{ path: `${folder}/shown`, bytes: bytes("x") }])
      const mode = (name: string) => NodeFs.statSync(`${folder}/${name}`).mode & 0o777
      assert.deepStrictEqual(["own", "replaced", "appended"].map(mode), [0o600, 0o600, 0o600])
      assert.strictEqual(mode("shown"), 0o666 & ~process.umask())
    })))

  it.effect("takes over the lock of a process that is gone, and of another machine that is silent", () =>
    onNode(Effect.fnUntraced(function*(folder) {
      const disk = yield* Disk
      const left = {
        "a process id used again": { pid: process.ppid, host: NodeOs.hostname(), mark: "0" },
        "no such process": { pid: 2 ** 22 + 1, host: NodeOs.hostname(), mark: "1" },
        "cloned from another machine": { pid: 1, host: "image", mark: "1" }
      }
      for (const holder of Object.values(left)) {
        NodeFs.writeFileSync(`${folder}/lock`, JSON.stringify(holder))
        NodeFs.utimesSync(`${folder}/lock`, 1e9, 1e9)
        yield* Effect.scoped(disk.lock(`${folder}/lock`))
        assert.deepStrictEqual(NodeFs.readdirSync(folder), [])
      }
    })))

  it.live("leaves a lock to the live process that holds it, and to another machine that was heard of just now", () =>
    onNode(Effect.fnUntraced(function*(folder) {
      const disk = yield* Disk
      for (const holder of [{ pid: process.ppid, host: NodeOs.hostname() }, { pid: 1, host: "another" }]) {
        NodeFs.writeFileSync(`${folder}/lock`, JSON.stringify(holder))
        assert.strictEqual(yield* reason(Effect.scoped(disk.lock(`${folder}/lock`))), "busy")
        assert.deepStrictEqual(NodeFs.readdirSync(folder), ["lock"])
      }
    })))

  it("says what a system's error means to a caller", () => {
    const codes = ["ENOENT", "EEXIST", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "EMFILE", "ELOOP", undefined]
    assert.deepStrictEqual(codes.map(reasonOf), [
      "not-found",
      "exists",
      "full",
      "full",
      "read-only",
      "permission",
      "too-many-open-files",
      "io",
      "io"
    ])
  })
})

describe("Disk in memory", () => {
  it.effect("is full at its capacity and fails on demand", () =>
    Effect.gen(function*() {
      const memory = new DiskMemory()
      const disk = yield* Effect.provide(Disk, memory.layer)
      memory.capacityBytes = 10
      yield* disk.appendFile("/a", bytes("123456"))
      assert.strictEqual(yield* reason(disk.appendFile("/b", bytes("12345"))), "full")
      assert.strictEqual(yield* disk.freeBytes("/"), 4)
      memory.failNext("write", 1, "read-only")
      assert.strictEqual(yield* reason(disk.appendFile("/a", bytes("1"))), "read-only")
      yield* disk.appendFile("/a", bytes("1"))
    }))

  it.effect("loses in a power cut only what was not synced", () =>
    Effect.gen(function*() {
      const memory = new DiskMemory()
      const disk = yield* Effect.provide(Disk, memory.layer)
      const file = yield* disk.open("/a", "write")
      yield* file.write(bytes("synced"), 0)
      yield* file.sync
      yield* file.write(bytes("LOST"), 2)
      memory.crash(() => 0)
      assert.strictEqual(text(memory.files("/").get("a")!), "synced")
    }).pipe(Effect.scoped))
})
