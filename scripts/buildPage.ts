/** Puts the page together: one script and one style sheet, nothing fetched from anywhere. */
import * as NodeFs from "node:fs/promises"
import * as NodePath from "node:path"
import { rolldown } from "rolldown"
import type { PageFiles } from "../src/services/LocalServer.ts"

const folder = NodePath.resolve(import.meta.dirname, "../src/ui")

const script = async (entry: string): Promise<string> => {
  const bundle = await rolldown({
    input: NodePath.join(folder, entry),
    platform: "browser",
    tsconfig: NodePath.join(folder, "tsconfig.json"),
    transform: { define: { "process.env.NODE_ENV": "\"production\"" } }
  })
  try {
    const { output: [chunk] } = await bundle.generate({ format: "iife", minify: true, codeSplitting: false })
    return chunk.code
  } finally {
    await bundle.close()
  }
}

export const buildPage = async (): Promise<PageFiles> => ({
  html: await NodeFs.readFile(NodePath.join(folder, "page.html"), "utf8"),
  script: await script("main.tsx"),
  style: await NodeFs.readFile(NodePath.join(folder, "page.css"), "utf8")
})
