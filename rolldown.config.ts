import { defineConfig, type Plugin } from "rolldown"
import { buildPage } from "./scripts/buildPage.ts"

/** Puts the page's finished texts in place of the module that would put them together. */
const embedPage: Plugin = {
  name: "embed-page",
  load: {
    filter: { id: /[\\/]src[\\/]programs[\\/]pageFiles\.ts$/ },
    handler: async () => ({
      code: `const files = ${JSON.stringify(await buildPage())}; export const pageFiles = async () => files`,
      moduleType: "js"
    })
  }
}

/** The shipped program: one file, because resolving Effect's modules one by one costs a second at every start. */
export default defineConfig({
  input: "src/programs/labfx.ts",
  platform: "node",
  plugins: [embedPage],
  output: { file: "dist/labfx.mjs", format: "esm", minify: true, codeSplitting: false, banner: "#!/usr/bin/env node" }
})
