import { assert, describe, it } from "@effect/vitest"
import * as Folders from "../../src/programs/Folders.ts"

const system = (changed: Partial<Folders.System>): Folders.System => ({
  platform: "linux",
  home: "/home/ada",
  environment: {},
  folderExists: () => true,
  ...changed
})
const windows = system({ platform: "win32", home: "C:\\Users\\Ada" })

describe("folders by each system's custom", () => {
  it.each<[string, Folders.System, string]>([
    ["Linux", system({}), "/home/ada/.local/state/labfx/student"],
    [
      "Linux with a state folder of its own",
      system({ environment: { XDG_STATE_HOME: "/var/s" } }),
      "/var/s/labfx/student"
    ],
    [
      "Linux, where a relative one does not count",
      system({ environment: { XDG_STATE_HOME: "s" } }),
      "/home/ada/.local/state/labfx/student"
    ],
    [
      "macOS",
      system({ platform: "darwin", home: "/Users/ada" }),
      "/Users/ada/Library/Application Support/labfx/student"
    ],
    ["Windows", system({ ...windows, environment: { LOCALAPPDATA: "D:\\L" } }), "D:\\L\\labfx\\student"],
    ["Windows without the variable", windows, "C:\\Users\\Ada\\AppData\\Local\\labfx\\student"]
  ])("state: %s", (_, system, expected) => {
    assert.strictEqual(Folders.state(system, "student"), expected)
  })

  it("downloads go where downloads are, or home", () => {
    assert.strictEqual(Folders.downloads(system({})), "/home/ada/Downloads/labfx")
    assert.strictEqual(Folders.downloads(system({ folderExists: () => false })), "/home/ada/labfx")
    assert.strictEqual(Folders.downloads(windows), "C:\\Users\\Ada\\Downloads\\labfx")
  })
})

describe("a path typed into labfx", () => {
  it.each<[string, Folders.System, string, string]>([
    ["is taken from the working folder", system({}), "lab 1/data.csv", "/w/lab 1/data.csv"],
    ["may begin at home", system({}), "~/lab1", "/home/ada/lab1"],
    ["may be home", system({}), "~", "/home/ada"],
    ["may have its blanks escaped, as terminals drop it", system({}), "/a/my\\ lab\\ \\(1\\)", "/a/my lab (1)"],
    ["keeps its separators on Windows", windows, "D:\\lab 1\\data", "D:\\lab 1\\data"],
    ["may begin at home on Windows", windows, "~\\lab1", "C:\\Users\\Ada\\lab1"]
  ])("%s", (_, system, typed, expected) => {
    assert.strictEqual(Folders.typed(system, system.platform === "win32" ? "C:\\w" : "/w", typed), expected)
  })
})
