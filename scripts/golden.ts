/**
 * Writes the golden files and the table of limits in docs/PROTOCOL.md from the code.
 *
 *     node scripts/golden.ts
 *
 * Run it when the protocol was meant to change, and read the difference: other implementations have to follow it.
 */
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { goldenFiles } from "../test/support/Golden.ts"
import { withTable } from "../test/support/LimitsTable.ts"

const root = Path.resolve(import.meta.dirname, "..")

for (const [name, bytes] of await Effect.runPromise(goldenFiles)) {
  const path = Path.join(root, "test/golden", name)
  Fs.mkdirSync(Path.dirname(path), { recursive: true })
  Fs.writeFileSync(path, bytes)
}

const source = Fs.readFileSync(Path.join(root, "src/protocol/Limits.ts"), "utf8")
const document = Path.join(root, "docs/PROTOCOL.md")
Fs.writeFileSync(document, withTable(Fs.readFileSync(document, "utf8"), source))
