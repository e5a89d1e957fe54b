/** The arrows of the design, read from the imports. */
import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { type Source, violations } from "./Imports.ts"

const root = Path.resolve(import.meta.dirname, "../..")

const sources: ReadonlyArray<Source> = Fs.readdirSync(Path.join(root, "src"), { recursive: true, encoding: "utf8" })
  .filter((name) => /\.tsx?$/.test(name))
  .map((name) => ({
    path: `src/${name.replaceAll(Path.sep, "/")}`,
    text: Fs.readFileSync(Path.join(root, "src", name), "utf8")
  }))

const judge = (path: string, text: string) => violations([{ path, text }]).map(({ why }) => why)

describe("architecture", () => {
  it("has no arrow that runs back", () => {
    assert.isAbove(sources.length, 20, "the sources were found")
    assert.deepStrictEqual(violations(sources), [])
  })

  it.each([
    ["protocol importing a service", "src/protocol/A.ts", `import { Disk } from "../services/Disk.ts"`],
    [
      "protocol importing only a type of a service",
      "src/protocol/A.ts",
      `import type { Disk } from "../services/Disk.ts"`
    ],
    ["protocol importing node", "src/protocol/A.ts", `import * as Fs from "node:fs"`],
    ["protocol running effects", "src/protocol/A.ts", `import { Effect, Schema } from "effect"`],
    ["protocol reading the clock", "src/protocol/A.ts", `export const now = () => Date.now()`],
    ["protocol using Buffer", "src/protocol/A.ts", `export const bytes = Buffer.alloc(1)`],
    ["a service importing a program", "src/services/A.ts", `import { run } from "../programs/cli.ts"`],
    ["a service importing node", "src/services/A.ts", `import * as Net from "node:net"`],
    ["a service importing its node layer", "src/services/A.ts", `import { layerNode } from "./node/ANode.ts"`],
    ["a service importing the platform", "src/services/A.ts", `import * as S from "@effect/platform-node/NodeSocket"`],
    ["a service re-exporting from node", "src/services/A.ts", `export { connect } from "node:net"`],
    ["a service importing dynamically", "src/services/A.ts", `const net = await import("node:net")`],
    ["a service drawing at random", "src/services/A.ts", `export const draw = () => Math.random()`],
    ["a service reading the environment", "src/services/A.ts", `export const home = process.env["HOME"]`],
    ["a service setting a timer", "src/services/A.ts", `setTimeout(() => {}, 1)`],
    ["a node layer importing a program", "src/services/node/A.ts", `import { version } from "../../programs/cli.ts"`],
    ["a node layer writing to the console", "src/services/node/A.ts", `console.log("here")`],
    ["the page importing a machine", "src/ui/A.ts", `import * as Gossip from "../protocol/Gossip.ts"`],
    ["the page importing the store", "src/ui/A.ts", `import { ChunkStore } from "../services/ChunkStore.ts"`],
    [
      "a service importing the simulator",
      "src/services/A.ts",
      `import { VirtualTime } from "../simulator/VirtualTime.ts"`
    ],
    ["the simulator importing a program", "src/simulator/A.ts", `import { run } from "../programs/cli.ts"`],
    ["the simulator importing node", "src/simulator/A.ts", `import * as Fs from "node:fs"`],
    ["the simulator reading the clock", "src/simulator/A.ts", `export const now = () => Date.now()`],
    ["the barrel of the platform", "src/programs/A.ts", `import { NodeRuntime } from "@effect/platform-node"`],
    ["a folder without a meaning", "src/protocol/utils/A.ts", ""],
    ["a file outside every part", "src/A.ts", ""]
  ])("finds %s", (_, path, text) => {
    assert.lengthOf(judge(path, text), 1)
  })

  it("leaves alone what only looks like a violation", () => {
    assert.deepStrictEqual(
      judge("src/protocol/A.ts", `/** Unlike Date.now, time is an input. */\nimport { Schema } from "effect"`),
      []
    )
    assert.deepStrictEqual(judge("src/protocol/A.ts", `export const text = "see node:fs and Math.random()"`), [])
    assert.deepStrictEqual(judge("src/services/A.ts", `import type { SessionId } from "../protocol/Ids.ts"`), [])
    assert.deepStrictEqual(judge("src/services/A.ts", `export const processed = input.process.done`), [])
    assert.deepStrictEqual(judge("src/services/node/A.ts", `import * as Net from "node:net"`), [])
  })
})
