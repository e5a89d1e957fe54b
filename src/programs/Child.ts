/** Another labfx, run as a process of its own and followed by its `--json` events. For the demonstration and the tests. */
import { Deferred, Effect, Schema, type Scope } from "effect"
import * as NodeChildProcess from "node:child_process"
import * as readline from "node:readline"
import type { OutputEvent } from "./OutputEvent.ts"

/** The process ended before it said what was waited for. */
export class ChildEnded extends Schema.TaggedError<ChildEnded>()("ChildEnded", {
  child: Schema.String,
  /** The exit code, or the signal that ended it. */
  status: Schema.String,
  /** The last of what it wrote on standard error. */
  complaint: Schema.String
}) {
  override get message(): string {
    return `${this.child} ended (${this.status})${this.complaint === "" ? "" : `: ${this.complaint}`}`
  }
}

export type ChildEvent = OutputEvent & { readonly time: string }
type Named<Name extends ChildEvent["event"]> = Extract<ChildEvent, { readonly event: Name }>

export interface Child {
  readonly name: string
  readonly pid: number
  /** Every event so far, in order; of progress only the newest for each share. */
  readonly events: ReadonlyArray<ChildEvent>
  /** The first event of that name for which the test holds, past or to come. */
  readonly event: <Name extends ChildEvent["event"]>(
    name: Name,
    test?: (event: Named<Name>) => boolean
  ) => Effect.Effect<Named<Name>, ChildEnded>
  /** Writes a line to its standard input. */
  readonly type: (line: string) => Effect.Effect<void>
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** Exit code or signal, once it has ended. */
  readonly ended: Effect.Effect<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
  readonly complaint: () => string
}

export interface ChildOptions {
  readonly name: string
  /** Program and arguments. */
  readonly command: readonly [string, ...ReadonlyArray<string>]
  readonly environment?: Readonly<Record<string, string | undefined>>
}

/** Enough for a sentence or a stack. */
const complaintCharactersMax = 8_192
/** labfx promises to end within five seconds; one that does not is killed. */
const endWithinMs = 6_000

interface Waiter {
  readonly test: (event: ChildEvent) => boolean
  readonly found: Deferred.Deferred<ChildEvent, ChildEnded>
}

/** Starts a process; it is ended, if need be by force, with the scope. */
export const start = (options: ChildOptions): Effect.Effect<Child, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => spawn(options)),
    (child) =>
      child.signal("SIGTERM").pipe(
        Effect.andThen(child.ended),
        Effect.timeoutOrElse({
          duration: endWithinMs,
          orElse: () => Effect.andThen(child.signal("SIGKILL"), child.ended)
        })
      )
  )

const spawn = ({ command: [program, ...args], environment, name }: ChildOptions): Child => {
  const child = NodeChildProcess.spawn(program, args, { stdio: "pipe", env: environment ?? process.env })
  const events: Array<ChildEvent> = []
  const waiters = new Set<Waiter>()
  const ended = Deferred.makeUnsafe<{ code: number | null; signal: NodeJS.Signals | null }>()
  let complaint = ""
  let end: ChildEnded | undefined

  const onEnd = (code: number | null, signal: NodeJS.Signals | null) => {
    end = new ChildEnded({ child: name, status: signal ?? String(code), complaint: complaint.trim() })
    for (const { found } of waiters) Deferred.doneUnsafe(found, Effect.fail(end))
    waiters.clear()
    Deferred.doneUnsafe(ended, Effect.succeed({ code, signal }))
  }
  child.on("error", (error) => {
    complaint += error.message
    if (child.pid === undefined) onEnd(null, null)
  })
  // `close` comes after the last line of output, `exit` may come before it.
  child.on("close", onEnd)
  child.stdin.on("error", () => {})
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaint = (complaint + text).slice(-complaintCharactersMax)
  })
  readline.createInterface({ input: child.stdout }).on("line", (line) => {
    const event = parse(line)
    if (event === undefined) {
      complaint = `${complaint}\nnot an event: ${line}`.slice(-complaintCharactersMax)
      return
    }
    if (event.event === "share.progress") {
      const older = events.findLastIndex((other) => other.event === "share.progress" && other.root === event.root)
      if (older !== -1) events.splice(older, 1)
    }
    events.push(event)
    for (const waiter of waiters) {
      if (!waiter.test(event)) continue
      waiters.delete(waiter)
      Deferred.doneUnsafe(waiter.found, Effect.succeed(event))
    }
  })

  const waitFor = (test: Waiter["test"]) =>
    Effect.suspend(() => {
      const past = events.find(test)
      if (past !== undefined) return Effect.succeed(past)
      if (end !== undefined) return Effect.fail(end)
      const waiter: Waiter = { test, found: Deferred.makeUnsafe() }
      waiters.add(waiter)
      return Effect.ensuring(Deferred.await(waiter.found), Effect.sync(() => waiters.delete(waiter)))
    })

  return {
    name,
    pid: child.pid ?? -1,
    events,
    event: <Name extends ChildEvent["event"]>(name: Name, test: (event: Named<Name>) => boolean = () => true) =>
      waitFor((event) => event.event === name && test(event as Named<Name>)) as Effect.Effect<Named<Name>, ChildEnded>,
    type: (line) => Effect.sync(() => void child.stdin.write(`${line}\n`)),
    signal: (signal) => Effect.sync(() => void child.kill(signal)),
    ended: Deferred.await(ended),
    complaint: () => complaint.trim()
  }
}

/** A line of a program of the same version: known to be an event, if it is JSON at all. */
const parse = (line: string): ChildEvent | undefined => {
  try {
    return JSON.parse(line) as ChildEvent
  } catch {
    return undefined
  }
}
