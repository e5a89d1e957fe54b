/** Reads source files as the architecture test needs them: what they import, and what they name outside text. */

export interface Source {
  /** Path from the project's root, with forward slashes. */
  readonly path: string
  readonly text: string
}

export interface Violation {
  readonly path: string
  readonly why: string
}

/** The code with comments and the contents of texts blanked, so that words in them count for nothing. */
export const bare = (text: string): string =>
  text.replace(
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`/g,
    (found) => found.startsWith("/") ? " " : found[0]! + found.at(-1)!
  )

const importing =
  /(?:^|\n)\s*(?:import|export)\s+(type\s+)?([^"';]*?)\s*from\s*"([^"]+)"|(?:^|\n)\s*import\s*"([^"]+)"|\bimport\(\s*"([^"]+)"\s*\)/g

export interface Import {
  readonly specifier: string
  /** Names of values, none for a type-only import. */
  readonly values: ReadonlyArray<string>
}

export const imports = ({ text }: Source): ReadonlyArray<Import> => {
  const code = text.replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/[^\n]*/g, "$1")
  return [...code.matchAll(importing)].map(([, type, clause = "", from, bareImport, dynamic]) => ({
    specifier: from ?? bareImport ?? dynamic!,
    values: type === undefined
      ? clause.replace(/[{}]/g, ",").split(",").map((name) => name.trim()).filter((name) =>
        name !== "" && !name.startsWith("type ")
      )
      : []
  }))
}

/** `./Ids.ts` seen from `src/protocol/Wire.ts` is `src/protocol/Ids.ts`; a package stays as it is. */
const resolve = (from: string, specifier: string): string => {
  if (!specifier.startsWith(".")) return specifier
  const parts = from.split("/").slice(0, -1)
  for (const step of specifier.split("/")) {
    if (step === "..") parts.pop()
    else if (step !== ".") parts.push(step)
  }
  return parts.join("/")
}

type Part = "protocol" | "services" | "services/node" | "simulator" | "programs" | "ui"

const partOf = (path: string): Part | undefined =>
  (["services/node", "protocol", "services", "simulator", "programs", "ui"] as const).find((part) =>
    path.startsWith(`src/${part}/`)
  )

const isNode = (specifier: string) => specifier.startsWith("node:") || specifier.startsWith("@effect/platform-node")
const isPageLibrary = (specifier: string) => /^(?:preact|@preact\/signals|uqr)(?:\/|$)/.test(specifier)
const isEffect = (specifier: string) => specifier === "effect" || specifier.startsWith("effect/")

/** Which import a part may make. The left may import the right, never back: programs → simulator → services → protocol, ui → services. */
const allows: Record<Part, (target: string) => boolean> = {
  protocol: (target) => partOf(target) === "protocol" || isEffect(target) || target.startsWith("@scure/bip39"),
  services: (target) => partOf(target) === "protocol" || partOf(target) === "services" || isEffect(target),
  "services/node": (target) =>
    partOf(target) === "protocol" || partOf(target) === "services" || partOf(target) === "services/node" ||
    isEffect(target) || isNode(target),
  simulator: (target) =>
    partOf(target) === "protocol" || partOf(target) === "services" || partOf(target) === "simulator" ||
    isEffect(target),
  programs: () => true,
  ui: (target) =>
    partOf(target) === "ui" || target === "src/services/Session.ts" || target === "src/services/SessionEvent.ts" ||
    target === "src/services/LocalApi.ts" || target === "src/services/LocalState.ts" || isPageLibrary(target)
}

/** Modules of Effect that run, wait, draw or remember: a pure machine has none of them. */
const running = [
  "Clock",
  "Context",
  "Deferred",
  "Effect",
  "Fiber",
  "Layer",
  "PubSub",
  "Queue",
  "Random",
  "Ref",
  "Runtime",
  "Schedule",
  "Scope",
  "Stream"
]

/** What may not be named outside comments and texts, and where. */
const forbiddenGlobals: ReadonlyArray<readonly [pattern: RegExp, name: string, parts: ReadonlyArray<Part>]> = [
  [/(?<![.\w])Date\b/, "Date", ["protocol", "services", "simulator"]],
  [/\bMath\.random\b/, "Math.random", ["protocol", "services", "simulator"]],
  [/(?<![.\w])process\s*\./, "process", ["protocol", "services", "simulator"]],
  [/(?<![.\w])performance\s*\./, "performance", ["protocol", "services", "simulator"]],
  [/(?<![.\w])set(?:Timeout|Interval|Immediate)\b/, "a timer", ["protocol", "services", "simulator"]],
  [/(?<![.\w])Buffer\b/, "Buffer", ["protocol"]],
  [/(?<![.\w])console\s*\./, "console", ["protocol", "services", "services/node", "simulator"]]
]

/** Every arrow that runs back, every reach around a service, every folder without a meaning. */
export const violations = (sources: ReadonlyArray<Source>): ReadonlyArray<Violation> =>
  sources.flatMap((source): ReadonlyArray<Violation> => {
    const { path, text } = source
    const part = partOf(path)
    const found: Array<string> = []
    const vague = path.split("/").find((folder) => /^(utils?|helpers?|common|types?)$/.test(folder))
    if (vague !== undefined) found.push(`a folder named ${vague} says nothing about what is in it`)
    if (part === undefined) return [...found, "is in no part of the architecture"].map((why) => ({ path, why }))
    for (const { specifier, values } of imports(source)) {
      const target = resolve(path, specifier)
      if (target === "@effect/platform-node") {
        found.push("imports the barrel @effect/platform-node, which costs half a second at start")
      } else if (!allows[part](target)) found.push(`${part} may not import ${target}`)
      if (part === "protocol" && isEffect(target)) {
        for (const value of values.filter((name) => running.includes(name))) {
          found.push(`protocol may not run effects: ${value}`)
        }
      }
    }
    const code = bare(text)
    for (const [pattern, name, parts] of forbiddenGlobals) {
      if (parts.includes(part) && pattern.test(code)) found.push(`${part} may not use ${name}`)
    }
    return found.map((why) => ({ path, why }))
  })
