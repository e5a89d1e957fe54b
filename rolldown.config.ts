import { defineConfig } from "rolldown"

/** The shipped program: one file, because resolving Effect's modules one by one costs a second at every start. */
export default defineConfig({
  input: "src/programs/labfx.ts",
  platform: "node",
  output: { file: "dist/labfx.mjs", format: "esm", minify: true, codeSplitting: false, banner: "#!/usr/bin/env node" }
})
