/**
 * {@link Disk} in memory, with a steering wheel: capacity, failures on demand, power cuts and killed processes.
 *
 * Deterministic: chance comes in as a function, and a file is as old as the clock says, each change by at least a nanosecond
 * younger than the one before.
 *
 * What a power cut costs: bytes written since the last `sync` of their file, each run of them kept, torn or lost. Names
 * survive, as they do on a journaling file system. A process can be killed before an operation or, with
 * {@link DiskMemory.killsTear}, in the middle of it: half the bytes are written, a file has its new name beside its old one,
 * a tree is half removed.
 */
import { Clock, Effect, Layer } from "effect"
import {
  type DirectoryEntry,
  Disk,
  DiskError,
  type DiskFile,
  type DiskReason,
  placeholder,
  type Stat
} from "../services/Disk.ts"

interface FileNode {
  readonly kind: "file"
  readonly id: number
  /** The first `size` bytes of `room`, which is written in place and grows by doubling. */
  room: Uint8Array
  size: number
  /** What survives a power cut for certain, and what was written since; `undefined`: all of it. */
  synced: Uint8Array | undefined
  unsynced: Array<{ readonly position: number; readonly bytes: Uint8Array; readonly atMs: number }>
  modified: bigint
}

interface DirectoryNode {
  readonly kind: "directory" | "symlink" | "other"
  readonly id: number
  readonly names: Map<string, Node>
  modified: bigint
}

type Node = FileNode | DirectoryNode

export type Operation = "open" | "read" | "write" | "sync" | "rename" | "list" | "stat"

interface Failure {
  readonly operation: Operation
  readonly reason: DiskReason
  /** Only paths that contain this. */
  readonly path: string
  left: number
}

/** The system writes by itself what nobody has synced for this long. */
const writtenAfterMs = 60_000

export class DiskMemory {
  /** Bytes the disk holds; nothing more can be written beyond. */
  capacityBytes = Number.POSITIVE_INFINITY
  /** Called before each operation: the place to look, to count, or to pull the plug. */
  onOperation: (operation: Operation, path: string) => void = () => {}
  /** Whether an operation that {@link kill} is called in from {@link onOperation} is done by half, or not at all. */
  killsTear = false
  /** Whether a file can have two names; FAT and some network folders have no such thing. */
  hasLinks = true
  /** Called when something at or below a path has changed. */
  onChange: (path: string) => void = () => {}
  /** How long an operation takes; 0 lets others have their turn and no time pass. */
  operationMs: () => number = () => 0

  /** The time, where any passes. */
  nowMs: () => number = () => 0

  #root: DirectoryNode = { kind: "directory", id: 0, names: new Map(), modified: 0n }
  #ids = 0
  #clock = 0n
  #failures: Array<Failure> = []
  #locks = new Set<string>()
  /** Counts the processes: those of an earlier one have been killed, and nothing they do happens. */
  #process = 0
  #openFiles = 0

  /** Files open at this moment, in all living processes. */
  get openFiles(): number {
    return this.#openFiles
  }

  get usedBytes(): number {
    let used = 0
    const seen = new Set<Node>()
    const visit = (node: Node) => {
      if (seen.has(node)) return
      seen.add(node)
      if (node.kind === "file") used += node.size
      else for (const child of node.names.values()) visit(child)
    }
    visit(this.#root)
    return used
  }

  /** The next `count` operations of a kind on paths that contain `path` fail. */
  failNext(operation: Operation, count: number, reason: DiskReason, path = ""): void {
    this.#failures.push({ operation, reason, path, left: count })
  }

  /** All demanded failures are over: the disk works again. */
  recover(): void {
    this.#failures = []
  }

  /** Flips one bit of a file without a trace, as ageing storage does. Says whether there was one. */
  rot(path: string, random: () => number): boolean {
    const node = this.#find(path)
    if (node?.kind !== "file" || node.size === 0) return false
    const at = Math.floor(random() * node.size)
    const bit = 1 << Math.floor(random() * 8)
    for (const bytes of [node.room, node.synced]) if (bytes !== undefined && at < bytes.length) bytes[at]! ^= bit
    this.onChange(path)
    return true
  }

  /** As `kill -9` does: whatever the process had under way never happens, what it has written stays. */
  kill(): void {
    this.#process++
    this.#locks.clear()
    this.#openFiles = 0
  }

  /** As a power cut does: {@link kill}, and what was not synced is kept, torn or lost as `random` (in [0, 1)) says. */
  crash(random: () => number): void {
    this.kill()
    const visit = (node: Node) => {
      if (node.kind !== "file") {
        for (const child of node.names.values()) visit(child)
        return
      }
      if (node.synced === undefined) return
      const runs = node.unsynced
      setContent(node, node.synced)
      for (const { atMs, bytes, position } of runs) {
        const fate = atMs < this.nowMs() - writtenAfterMs ? 1 / 2 : random()
        if (fate < 1 / 3) continue
        writeInto(node, fate < 2 / 3 ? bytes : bytes.subarray(0, Math.floor(random() * bytes.length)), position)
      }
      markSynced(node)
    }
    visit(this.#root)
  }

  /** Every file below a folder with its bytes, by path relative to it. */
  files(path: string): ReadonlyMap<string, Uint8Array> {
    const found = new Map<string, Uint8Array>()
    const visit = (node: Node | undefined, at: string) => {
      if (node?.kind === "file") found.set(at, content(node).slice())
      if (node?.kind === "directory") {
        for (const [name, child] of node.names) visit(child, at === "" ? name : `${at}/${name}`)
      }
    }
    visit(this.#find(path), "")
    return found
  }

  /** Shows every file below a folder: its path relative to it, its bytes in place, and a text that changes with them. */
  walk(path: string, each: (relative: string, bytes: Uint8Array, edition: string) => void): void {
    const visit = (node: Node | undefined, at: string) => {
      if (node?.kind === "file") each(at, content(node), `${node.id}.${node.modified}`)
      if (node?.kind === "directory") {
        for (const [name, child] of node.names) visit(child, at === "" ? name : `${at}/${name}`)
      }
    }
    visit(this.#find(path), "")
  }

  /** Puts a file there as another program would, with its parent folders. */
  put(path: string, bytes: Uint8Array): void {
    this.#mkdir(path.slice(0, path.lastIndexOf("/")))
    const found = this.#find(path)
    const node = found?.kind === "file" ? found : this.#create(path, this.#newFile())
    setContent(node, bytes)
    markSynced(node)
    node.modified = ++this.#clock
  }

  /** Puts something there that is neither file nor folder. */
  putSpecial(path: string, kind: "symlink" | "other"): void {
    this.#create(path, { kind, id: ++this.#ids, names: new Map(), modified: ++this.#clock })
  }

  /** Takes away whatever is there. */
  delete(path: string): void {
    const [folder, name] = this.#parent(path)
    folder.names.delete(name)
    folder.modified = ++this.#clock
    this.onChange(path)
  }

  /** The disk as one process sees it. */
  get layer(): Layer.Layer<Disk> {
    return Layer.sync(Disk, () => this.#forProcess(this.#process))
  }

  // ---- The tree ----------------------------------------------------------------------------------------------------

  #find(path: string): Node | undefined {
    let node: Node | undefined = this.#root
    for (const name of path.split("/")) {
      if (name === "" || node === undefined) continue
      node = node.kind === "directory" ? node.names.get(name) : undefined
    }
    return node
  }

  #need(path: string): Node {
    return this.#find(path) ?? raise("not-found", path)
  }

  #parent(path: string): [DirectoryNode, string] {
    const cut = path.lastIndexOf("/")
    const node = this.#need(path.slice(0, cut))
    if (node.kind !== "directory") raise("not-a-directory", path)
    return [node as DirectoryNode, path.slice(cut + 1)]
  }

  #newFile(): FileNode {
    const room = new Uint8Array()
    return { kind: "file", id: ++this.#ids, room, size: 0, synced: undefined, unsynced: [], modified: ++this.#clock }
  }

  #create<N extends Node>(path: string, node: N): N {
    const [folder, name] = this.#parent(path)
    folder.names.set(name, node)
    folder.modified = ++this.#clock
    this.onChange(path)
    return node
  }

  #mkdir(path: string): void {
    let node = this.#root
    for (const name of path.split("/")) {
      if (name === "") continue
      const next = node.names.get(name)
      if (next === undefined) {
        const made: DirectoryNode = { kind: "directory", id: ++this.#ids, names: new Map(), modified: ++this.#clock }
        node.names.set(name, made)
        node = made
      } else if (next.kind === "directory") node = next
      else raise("not-a-directory", path)
    }
  }

  #write(path: string, node: FileNode, bytes: Uint8Array, position: number): void {
    const grows = Math.max(0, position + bytes.length - node.size)
    if (grows > 0 && Number.isFinite(this.capacityBytes) && this.usedBytes + grows > this.capacityBytes) {
      raise("full", path)
    }
    node.synced ??= content(node).slice()
    node.unsynced.push({ position, bytes: bytes.slice(), atMs: this.nowMs() })
    writeInto(node, bytes, position)
    node.modified = ++this.#clock
    this.onChange(path)
  }

  #truncate(path: string, node: FileNode, sizeBytes: number): void {
    setContent(node, content(node).subarray(0, sizeBytes))
    if (sizeBytes > node.size) writeInto(node, new Uint8Array(sizeBytes - node.size), node.size)
    markSynced(node)
    node.modified = ++this.#clock
    this.onChange(path)
  }

  #openFile(path: string, how: "read" | "write" | "create"): FileNode {
    const node = this.#find(path)
    if (how === "create" && node !== undefined) raise("exists", path)
    if (node === undefined) return how === "read" ? raise("not-found", path) : this.#create(path, this.#newFile())
    if (node.kind === "directory") raise("is-a-directory", path)
    if (node.kind !== "file") raise("io", path)
    return node as FileNode
  }

  #stat(node: Node): Stat {
    return {
      kind: node.kind,
      sizeBytes: node.kind === "file" ? node.size : 0,
      modifiedNs: node.modified,
      identity: `memory:${node.id}`
    }
  }

  #move(from: string, to: string): void {
    const node = this.#need(from)
    this.delete(from)
    this.#create(to, node)
  }

  // ---- The service -------------------------------------------------------------------------------------------------

  #forProcess(process: number): Disk["Service"] {
    const dueFailure = (operation: Operation, path: string): Failure | undefined =>
      this.#failures.find((failure) =>
        failure.left > 0 && failure.operation === operation && path.includes(failure.path)
      )

    /** One operation: never happens in a killed process, and fails on demand. */
    const attempt = <A>(operation: Operation, path: string, body: () => A, half: () => void): A | DiskError | Dead => {
      if (process !== this.#process) return dead
      this.onOperation(operation, path)
      if (process !== this.#process) {
        if (this.killsTear) half()
        return dead
      }
      const failure = dueFailure(operation, path)
      try {
        if (failure !== undefined) {
          failure.left--
          raise(failure.reason, path)
        }
        return body()
      } catch (cause) {
        if (cause instanceof DiskError) return cause
        throw cause
      }
    }

    /** The same, letting other fibers have their turn. */
    const run = <A>(
      operation: Operation,
      path: string,
      body: () => A,
      half: () => void = () => {}
    ): Effect.Effect<A, DiskError> =>
      Effect.suspend(() => {
        const ms = this.operationMs()
        return ms > 0 ? Effect.uninterruptible(Effect.sleep(ms)) : Effect.yieldNow
      }).pipe(
        Effect.andThen(Clock.currentTimeNanos),
        Effect.flatMap((now): Effect.Effect<A, DiskError> => {
          if (process === this.#process && now > this.#clock) this.#clock = now
          const result = attempt(operation, path, body, half)
          if (result === dead) return Effect.never
          return result instanceof DiskError ? Effect.fail(result) : Effect.succeed(result)
        })
      )

    /** The same at once; what is to fail is left to {@link run}. */
    const runNow = <A>(
      operation: Operation,
      path: string,
      body: () => A,
      half: () => void = () => {}
    ): A | undefined => {
      if (dueFailure(operation, path) !== undefined) return undefined
      const result = attempt(operation, path, body, half)
      return result === dead || result instanceof DiskError ? undefined : result
    }

    const fileOf = (path: string, node: FileNode): DiskFile => ({
      path,
      read: (buffer, position) =>
        run("read", path, () => {
          const run = content(node).subarray(position, position + buffer.length)
          buffer.set(run)
          return run.length
        }),
      write: (bytes, position) =>
        run(
          "write",
          path,
          () => this.#write(path, node, bytes, position),
          () => this.#write(path, node, halfOf(bytes), position)
        ),
      truncate: (sizeBytes) => run("write", path, () => this.#truncate(path, node, sizeBytes)),
      sync: run("sync", path, () => markSynced(node)),
      stat: run("stat", path, () => this.#stat(node)),
      now: () => {
        if (this.operationMs() > 0) return undefined
        return {
          read: (buffer, position) =>
            runNow("read", path, () => {
              const run = content(node).subarray(position, position + buffer.length)
              buffer.set(run)
              return run.length
            }) === buffer.length,
          write: (bytes, position) =>
            runNow("write", path, () => {
              this.#write(path, node, bytes, position)
              return true
            }, () => this.#write(path, node, halfOf(bytes), position)) === true,
          stat: () => runNow("stat", path, () => this.#stat(node))
        }
      }
    })

    const entryOf = ([name, node]: [string, Node]): DirectoryEntry => ({
      name,
      isText: name.isWellFormed(),
      stat: this.#stat(node)
    })
    const directory = (path: string): DirectoryNode => {
      const node = this.#need(path)
      return node.kind === "directory" ? (node as DirectoryNode) : raise("not-a-directory", path)
    }

    return Disk.of({
      open: (path, how) =>
        Effect.acquireRelease(
          run("open", path, () => {
            this.#openFiles++
            return fileOf(path, this.#openFile(path, how))
          }).pipe(Effect.tapError(() => Effect.sync(() => this.#openFiles--))),
          () => Effect.sync(() => process === this.#process && this.#openFiles--)
        ),
      readFile: (path, bytesMax) =>
        run("read", path, () => {
          const node = this.#openFile(path, "read")
          return node.size > bytesMax ? raise("io", path) : content(node).slice()
        }),
      replaceFile: (path, bytes) =>
        run("write", path, () => {
          const node = this.#newFile()
          this.#write(path, node, bytes, 0)
          markSynced(node)
          this.#create(path, node)
        }, () => this.#write(path, this.#openFile(`${path}.new`, "write"), halfOf(bytes), 0)),
      appendFile: (path, bytes) => {
        const append = (bytes: Uint8Array) => {
          const node = this.#openFile(path, "write")
          this.#write(path, node, bytes, node.size)
        }
        return run("write", path, () => append(bytes), () => append(halfOf(bytes)))
      },
      stat: (path) => run("stat", path, () => this.#stat(this.#need(path))),
      list: (path) => run("list", path, () => byName(directory(path).names).map(([name]) => name)),
      entries: (path) => run("list", path, () => byName(directory(path).names).map(entryOf)),
      readFiles: (files) =>
        Effect.forEach(files, ({ into, path }) =>
          run("read", path, () => {
            const node = this.#openFile(path, "read")
            if (node.size < into.length) raise("io", path)
            into.set(content(node).subarray(0, into.length))
            return this.#stat(node)
          }).pipe(Effect.catch((error) => Effect.succeed(error)))),
      writeFiles: (files) =>
        Effect.forEach(files, ({ bytes, path }) => {
          const write = (bytes: Uint8Array) => {
            const node = this.#openFile(path, "write")
            this.#truncate(path, node, 0)
            this.#write(path, node, bytes, 0)
          }
          return run("write", path, () => write(bytes), () => write(halfOf(bytes)))
        }, { discard: true }),
      makeDirectory: (path) => run("rename", path, () => this.#mkdir(path)),
      publish: (from, to) => {
        const free = () => void (this.#find(to) !== undefined && raise("exists", to))
        const isFile = () => this.#need(from).kind === "file"
        const move = run("rename", to, () => {
          free()
          this.#move(from, to)
        }, () => void (isFile() && this.#find(to) === undefined && this.#create(to, this.#need(from))))
        const replace = run("rename", to, () => this.#move(from, to))
        return Effect.suspend(() =>
          this.hasLinks || !isFile() ? move : Effect.andThen(
            run("write", to, () => {
              free()
              this.#write(to, this.#create(to, this.#newFile()), placeholder, 0)
            }, () => void this.#create(to, this.#newFile())),
            replace
          )
        )
      },
      remove: (path) =>
        run("rename", path, () => void (this.#find(path) !== undefined && this.delete(path)), () => {
          const node = this.#find(path)
          if (node?.kind !== "directory") return
          for (const name of [...node.names.keys()].filter((_, i) => i % 2 === 0)) node.names.delete(name)
        }),
      syncDirectory: (path) => run("sync", path, () => void directory(path)),
      freeBytes: (path) => run("stat", path, () => Math.max(0, this.capacityBytes - this.usedBytes)),
      realPath: (path) => run("stat", path, () => (this.#need(path), path)),
      lock: (path) =>
        Effect.acquireRelease(
          run("open", path, () => {
            if (this.#locks.has(path)) raise("busy", path)
            this.#locks.add(path)
          }),
          () => Effect.sync(() => process === this.#process && this.#locks.delete(path))
        )
    })
  }
}

/** What comes of an operation of a process that has been killed. */
const dead = Symbol("dead")
type Dead = typeof dead

const raise = (reason: DiskReason, path: string): never => {
  throw new DiskError({ reason, path, detail: `${reason} (memory)` })
}

const halfOf = (bytes: Uint8Array): Uint8Array => bytes.subarray(0, bytes.length >> 1)

const content = (node: FileNode): Uint8Array => node.room.subarray(0, node.size)

const setContent = (node: FileNode, bytes: Uint8Array): void => {
  node.room = bytes.slice()
  node.size = bytes.length
}

const markSynced = (node: FileNode): void => {
  node.synced = undefined
  node.unsynced = []
}

/** A gap reads as zeros. */
const writeInto = (node: FileNode, bytes: Uint8Array, position: number): void => {
  if (bytes.length === 0) return
  const end = position + bytes.length
  if (end > node.room.length) {
    const room = new Uint8Array(Math.max(end, node.room.length * 2))
    room.set(content(node))
    node.room = room
  }
  node.room.set(bytes, position)
  node.size = Math.max(node.size, end)
}

const byName = <A>(entries: Iterable<[string, A]>): ReadonlyArray<[string, A]> =>
  [...entries].toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
