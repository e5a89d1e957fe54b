import { createRequire, isBuiltin } from "node:module"
import { fileURLToPath } from "node:url"
import { defineConfig, type Plugin, rolldown } from "rolldown"
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

/**
 * Loads a module of Node when the first module that uses it runs, and touches no more of it than is used. An `import` of it
 * would load it at every start, however late it is needed, and read its every property: that of node:http loads undici,
 * which alone costs as much as all of `labfx --help`.
 */
const lazyBuiltins: Plugin = {
  name: "lazy-builtins",
  // What a CommonJS module requires is loaded when it runs anyway.
  resolveId: (id, _, { kind }) =>
    isBuiltin(id) && id !== "node:module" && kind !== "require-call" ? `\0builtin:${id}` : null,
  load: {
    filter: { id: /^\0builtin:/ },
    handler: (id) => {
      const name = id.slice("\0builtin:".length)
      const names = Object.keys(createRequire(import.meta.url)(name)).filter((key) => /^[A-Za-z_$][\w$]*$/.test(key))
      return {
        code: [
          `import { createRequire } from "node:module"`,
          `const builtin = /* @__PURE__ */ createRequire(import.meta.url)(${JSON.stringify(name)})`,
          `const pick = (key) => builtin[key]`,
          `export default builtin`,
          ...names.filter((key) => key !== "default").map((key) =>
            `const pick_${key} = /* @__PURE__ */ pick(${JSON.stringify(key)}); export { pick_${key} as ${key} }`
          )
        ].join("\n"),
        moduleType: "js",
        moduleSideEffects: false
      }
    }
  }
}

/** Effect's command line segments text, too, and would load Unicode's tables for it at every start. */
const lazyGraphemes: Plugin = {
  name: "lazy-graphemes",
  transform: {
    filter: { id: /[\\/]effect[\\/]dist[\\/]cli[\\/]CliOutput\.js$/ },
    handler: (code) => {
      const eager = /new Intl\.Segmenter\(undefined, \{\s*granularity: "grapheme"\s*\}\)/
      if (!eager.test(code)) {
        throw new Error("CliOutput.js of effect segments text in another way: look at lazyGraphemes")
      }
      const graphemes = JSON.stringify(fileURLToPath(new URL("src/programs/Graphemes.ts", import.meta.url)))
      return `import { graphemes } from ${graphemes}\n${code.replace(eager, "{ segment: graphemes }")}`
    }
  }
}

/**
 * Has the functions of a module parsed when they are called. Each module is wrapped in a function that runs when the module
 * is needed, and V8 parses all that is inside an arrow function at once: for the whole program that takes 13 MB, which
 * the system's allocator then keeps for as long as the program runs. Other functions it only skims.
 */
const skimmedModules: Plugin = {
  name: "skimmed-modules",
  renderChunk: (code) => {
    const wrapped = code.replace(/__esmMin\(\(\(\) => \{$([^]*?)^\}\)\);$/gm, "__esmMin(function () {$1});")
    if (wrapped === code) throw new Error("rolldown wraps modules in another way: look at skimmedModules")
    return { code: wrapped, map: null }
  }
}

/** In ASCII, because V8 keeps a source with any other character in twice the memory, for as long as the program runs. */
const output = { minify: true, codeSplitting: false, charset: "ascii" } as const

/** A program in one text has no imports: what it needs of Node it gets from who calls it (`shipped.ts`). */
const asFunction = (code: string): string => `(function (require, __filename) {"use strict";${code}\n})`

/** Puts the whole program, bundled, in place of the module that stands for its text. */
const embedProgram: Plugin = {
  name: "embed-program",
  load: {
    filter: { id: /[\\/]src[\\/]programs[\\/]programText\.ts$/ },
    handler: async () => {
      const program = await rolldown({
        input: "src/programs/labfx.ts",
        platform: "node",
        transform: { define: { "import.meta.env": "undefined" } }, // Effect looks for that of Vite.
        plugins: [embedPage, lazyBuiltins, lazyGraphemes, skimmedModules]
      })
      const { output: [{ code }] } = await program.generate({ ...output, format: "cjs" })
      await program.close()
      return { code: `export const programText = ${JSON.stringify(asFunction(code))}`, moduleType: "js" }
    }
  }
}

/** The shipped program: one file, because resolving Effect's modules one by one costs a second at every start. */
export default defineConfig({
  input: "src/programs/shipped.ts",
  platform: "node",
  plugins: [embedProgram],
  output: { ...output, file: "dist/labfx.mjs", format: "esm", banner: "#!/usr/bin/env node" }
})
