/** Real processes of a test: started with it, ended with it, and read line by line. */
import { Effect, Queue, type Scope } from "effect"
import * as ChildProcess from "node:child_process"
import * as ReadLine from "node:readline"

export interface Process {
  /** Completes with the next line that the function recognises; those before it are gone. */
  readonly line: <A>(recognise: (value: unknown) => A | undefined) => Effect.Effect<A>
  /** Passes over the lines that are there already. */
  readonly skip: Effect.Effect<void>
}

/** Starts a program that prints one JSON value a line. It is killed with the scope. */
export const start = (command: string, args: ReadonlyArray<string>): Effect.Effect<Process, never, Scope.Scope> =>
  Effect.gen(function*() {
    const lines = yield* Queue.sliding<unknown>(1_000)
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const child = ChildProcess.spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] })
        ReadLine.createInterface(child.stdout).on("line", (line) => Queue.offerUnsafe(lines, JSON.parse(line)))
        return child
      }),
      (child) =>
        Effect.callback<void>((resume) => {
          if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
          child.once("exit", () => resume(Effect.void))
          child.kill("SIGKILL")
        })
    )
    return {
      line: Effect.fnUntraced(function*(recognise) {
        while (true) {
          const found = recognise(yield* Queue.take(lines))
          if (found !== undefined) return found
        }
      }),
      skip: Effect.asVoid(Queue.clear(lines))
    }
  })
