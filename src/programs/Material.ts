/** What the demonstration hands out, and how it is compared with what arrived. */
import { Effect } from "effect"
import * as NodeCrypto from "node:crypto"
import * as NodeFs from "node:fs/promises"
import * as NodePath from "node:path"
import { NotDone } from "./Problems.ts"

const failed = (detail: string) => new NotDone({ reason: "demo-failed", detail })

/** A file of random bytes and a folder of small files, as a lesson might have them: their paths. */
export const make = (folder: string, sizeBytes: number) =>
  Effect.tryPromise({
    try: async () => {
      const dataset = NodePath.join(folder, "dataset.bin")
      const handle = await NodeFs.open(dataset, "wx")
      try {
        for (let left = sizeBytes; left > 0; left -= 2 ** 20) {
          await handle.write(NodeCrypto.randomBytes(Math.min(left, 2 ** 20)))
        }
      } finally {
        await handle.close()
      }
      const exercise = NodePath.join(folder, "exercise")
      for (const part of ["part-1", "part-2"]) {
        await NodeFs.mkdir(NodePath.join(exercise, part, "src"), { recursive: true })
        await NodeFs.writeFile(NodePath.join(exercise, part, "README.md"), `# ${part}\n\nRead src, then change it.\n`)
        for (let file = 1; file <= 10; file++) {
          await NodeFs.writeFile(
            NodePath.join(exercise, part, "src", `task-${file}.js`),
            NodeCrypto.randomBytes(2_000 * file)
          )
        }
      }
      await NodeFs.writeFile(NodePath.join(exercise, "empty.txt"), "")
      return [dataset, exercise]
    },
    catch: (error) => failed(`the material cannot be written: ${String(error)}`)
  })

/** The files below a file or folder, by their path from there, with their digests. */
export const digests = (root: string): Effect.Effect<ReadonlyMap<string, string>, NotDone> =>
  Effect.tryPromise({
    try: async () => {
      const found = new Map<string, string>()
      const isFolder = (await NodeFs.stat(root)).isDirectory()
      const names = isFolder ? await NodeFs.readdir(root, { recursive: true, withFileTypes: true }) : []
      const files = isFolder
        ? names.filter((entry) => entry.isFile()).map((entry) => NodePath.join(entry.parentPath, entry.name))
        : [root]
      for (const file of files) {
        const hash = NodeCrypto.createHash("sha256")
        const handle = await NodeFs.open(file)
        try {
          for await (const bytes of handle.createReadStream({ autoClose: false })) hash.update(bytes as Uint8Array)
        } finally {
          await handle.close()
        }
        found.set(NodePath.relative(root, file), hash.digest("hex"))
      }
      return found
    },
    catch: (error) => failed(`${root} cannot be read: ${String(error)}`)
  })
