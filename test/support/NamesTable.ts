/**
 * Names that some system takes for something else, cannot hold or shows as something else, and what each system would make
 * of them if labfx let it. Because a class is of all systems, labfx takes a name only where all of them agree on it: the
 * outcome in labfx is the same on every system.
 */
import * as Limits from "../../src/protocol/Limits.ts"

/**
 * What a system makes of a path below a folder.
 *
 * `file`: the file of that name. `outside`: something beyond the folder. `elsewhere`: another file or folder in it.
 * `device`, `stream`: what these are on Windows. `refused`: the system has no such name. `misleading`: the file, shown to
 * people as another.
 */
export type Fate = "file" | "outside" | "elsewhere" | "device" | "stream" | "refused" | "misleading"

export interface Group {
  readonly why: string
  readonly linux: Fate
  readonly macos: Fate
  readonly windows: Fate
  readonly paths: ReadonlyArray<string>
}

const group = (why: string, linux: Fate, macos: Fate, windows: Fate, paths: ReadonlyArray<string>): Group => ({
  why,
  linux,
  macos,
  windows,
  paths
})
const everywhere = (why: string, fate: Fate, paths: ReadonlyArray<string>) => group(why, fate, fate, fate, paths)

const long = (character: string, bytesEach: number, bytes: number) => character.repeat(Math.ceil(bytes / bytesEach))

// ---- What each system does, written down from its own documentation and apart from labfx's rules -------------------

// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const steers = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/
const noCharacter = /\p{Noncharacter_Code_Point}/u
const bytesOf = (text: string) => Buffer.byteLength(text)
/** labfx keeps its own things there, on every system. */
const isOwn = (component: string) => component.toLowerCase() === ".labfx"

/** Walks a path: where it leads, or the fate of the first component that has one of its own. */
const walk = (components: ReadonlyArray<string>, fateOf: (component: string) => Fate): Fate => {
  let depth = 0
  let turned = false
  for (const component of components) {
    if (component === "..") depth--
    if (depth < 0) return "outside"
    if (component === "" || component === "." || component === "..") turned = true
    else depth++
  }
  if (turned) return "elsewhere"
  for (const component of components) {
    const fate = fateOf(component)
    if (fate !== "file") return fate
  }
  return "file"
}

const shown = (component: string): Fate => steers.test(component) || noCharacter.test(component) ? "misleading" : "file"

/** `ext4` and what people see in a terminal. */
const linux = (path: string): Fate => {
  if (path.includes("\u0000")) return "refused"
  if (path.startsWith("/")) return "outside"
  return walk(path.split("/"), (component) => {
    if (!component.isWellFormed() || isOwn(component)) return "elsewhere"
    if (bytesOf(component) > 255) return "refused"
    return shown(component)
  })
}

/** `APFS` as Macs come, the Finder's slashes, and 1,024 bytes for the whole path, of which the download folder has 150. */
const macos = (path: string): Fate => {
  if (path.includes("\u0000")) return "refused"
  if (path.startsWith("/")) return "outside"
  const fate = walk(path.split("/"), (component) => {
    if (!component.isWellFormed() || isOwn(component)) return "elsewhere"
    if (component.length > 255) return "refused"
    if (component.normalize("NFC") !== component) return "elsewhere"
    return component.includes(":") ? "misleading" : shown(component)
  })
  return fate === "file" && bytesOf(path) > 1_024 - 150 && path.split("/").length < 20 ? "refused" : fate
}

/** `NTFS` through Win32, with the long paths that Node asks for: 32,767 in all, 255 units a name. */
const windows = (path: string): Fate => {
  if (path.includes("\u0000")) return "refused"
  if (/^[/\\]/.test(path) || /^[A-Za-z]:/.test(path)) return "outside"
  const fate = walk(path.split(/[/\\]/), (component) => {
    if (!component.isWellFormed() || isOwn(component)) return "elsewhere"
    if (/^(con|prn|aux|nul|clock\$|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3]) *(\.|$)/i.test(component)) {
      return "device"
    }
    if (component.includes(":")) return "stream"
    // oxlint-disable-next-line no-control-regex -- as Windows does
    if (/[<>"|?*\u0000-\u001f]/.test(component)) return "refused"
    if (/[. ]$/.test(component)) return "elsewhere"
    return component.length > 255 ? "refused" : shown(component)
  })
  return fate === "file" && path.includes("\\") ? "elsewhere" : fate
}

export const fate = { linux, macos, windows }

// ---- The table -----------------------------------------------------------------------------------------------------

export const hostile: ReadonlyArray<Group> = [
  everywhere("climbs out of the folder", "outside", [
    "..",
    "../x",
    "../../../../etc/passwd",
    "a/../../x",
    "a/b/../../../x",
    "../",
    "..//x",
    "a/../../../../../../../../../../tmp/x"
  ]),
  everywhere("leads to another place in the folder", "elsewhere", [
    "",
    ".",
    "./",
    "a/..",
    "a/../b",
    "./a",
    "a/./b",
    "a/.",
    "a/b/..",
    "a//b",
    "a///b",
    "a/"
  ]),
  everywhere("begins at the root", "outside", [
    "/",
    "/etc/passwd",
    "//server/share",
    "///x",
    "/dev/null",
    "/proc/self/mem"
  ]),
  group("the separator of Windows", "file", "file", "elsewhere", ["a\\b", ".\\a", "a\\.\\b", "a\\", "a\\b\\c.txt"]),
  group("climbs out on Windows", "file", "file", "outside", [
    "..\\x",
    "..\\..\\x",
    "a\\..\\..\\x",
    "a/..\\..\\..\\x",
    "\\x",
    "\\\\server\\share\\x",
    "\\\\.\\COM1",
    "\\\\?\\GLOBALROOT\\Device\\x",
    "..\\",
    "a/..\\b/..\\..\\c"
  ]),
  group("begins with a drive on Windows; a colon is shown as a slash on macOS", "file", "misleading", "outside", [
    "C:",
    "C:x",
    "C:/x",
    "c:..",
    "Z:../x",
    "C:\\x",
    "C:\\Windows\\System32\\x.dll",
    "\\\\?\\C:\\x"
  ]),
  group("an alternate stream on Windows; a colon is shown as a slash on macOS", "file", "misleading", "stream", [
    "abc:stream",
    "a.txt:b.exe",
    "abc::$DATA",
    "abc:Zone.Identifier",
    "dir::$INDEX_ALLOCATION/x",
    "abc:stream:$DATA",
    "abc:",
    ":abc",
    "a/b:c/d"
  ]),
  group("a device on Windows", "file", "file", "device", [
    "CON",
    "con",
    "Con",
    "PRN",
    "prn",
    "AUX",
    "aux",
    "NUL",
    "nul",
    "CLOCK$",
    "clock$",
    "CONIN$",
    "CONOUT$",
    "conout$",
    "COM0",
    "COM1",
    "com2",
    "COM3",
    "COM4",
    "COM5",
    "COM6",
    "COM7",
    "COM8",
    "COM9",
    "LPT0",
    "LPT1",
    "lpt2",
    "LPT3",
    "LPT4",
    "LPT5",
    "LPT6",
    "LPT7",
    "LPT8",
    "lpt9",
    "COM\u00b9",
    "COM\u00b2",
    "com\u00b3",
    "LPT\u00b9",
    "LPT\u00b2",
    "lpt\u00b3"
  ]),
  group("a device on Windows, with an extension or spaces or below a folder", "file", "file", "device", [
    "nul.txt",
    "Nul.tar.gz",
    "con.c",
    "AUX.h",
    "prn.",
    "COM1.log",
    "lpt9.log",
    "LPT\u00b2.x",
    "NUL .txt",
    "con  .txt",
    "CON ",
    "CON  ",
    "AUX.",
    "src/aux.c",
    "a/NUL/b",
    "a/com1.d/b",
    "conin$.txt",
    "CLOCK$.dat",
    "a/b/c/prn"
  ]),
  group("Windows drops its end", "file", "file", "elsewhere", [
    "a.",
    "a..",
    "a...",
    "a ",
    "a  ",
    "a. ",
    "a .",
    "a. .",
    "a.txt.",
    "a.txt ",
    "...",
    "....",
    ".. .",
    " ",
    "  ",
    "... ",
    "a./b",
    "a /b",
    "a.../b",
    "src./main.c",
    "\u00e9."
  ]),
  group("characters that Windows does not have in names", "file", "file", "refused", [
    "a<b",
    "a>b",
    "<script>",
    "a\"b",
    "\"quoted\"",
    "a|b",
    "|",
    "a?b",
    "what?",
    "a*b",
    "*",
    "*.*",
    "?.txt",
    "a/b|c/d"
  ]),
  everywhere("has an end of text in it", "refused", [
    "\u0000",
    "a\u0000",
    "a\u0000.txt",
    "a.exe\u0000.txt",
    "a/b\u0000/c",
    "\u0000/x"
  ]),
  group(
    "control characters: they steer terminals and break lists, and Windows has none",
    "misleading",
    "misleading",
    "refused",
    [
      "a\nb",
      "a\rb",
      "a\r\nb",
      "a\tb",
      "a\bb",
      "a\u0007",
      "\u001b[2J",
      "\u001b]0;title\u0007",
      "\u001b[31mred",
      "a\u001f",
      "\u0001"
    ]
  ),
  everywhere("control characters of another block, and line separators", "misleading", [
    "a\u007f",
    "a\u0080b",
    "a\u0085b",
    "a\u009bb",
    "\u009b2J",
    "a\u009f",
    "a\u2028b",
    "a\u2029b"
  ]),
  everywhere("turns the reading direction: an .exe is shown as a .pdf", "misleading", [
    "a\u202efdp.exe",
    "a\u202dfdp.exe",
    "\u202aa",
    "\u202ba",
    "a\u202c",
    "a\u2066b",
    "a\u2067b",
    "a\u2068b",
    "a\u2069",
    "\u200ea",
    "\u200fa",
    "a\u061cb",
    "dir\u202e/x"
  ]),
  everywhere("no text: another name, or none, is what arrives on disk", "elsewhere", [
    "\ud800",
    "\udfff",
    "a\udfff",
    "\ud83d",
    "\ude00\ud83d",
    "a/\udc00/b",
    "x\ud800.txt"
  ]),
  everywhere("characters that are none", "misleading", [
    "\uffff",
    "\ufffe",
    "\ufdd0",
    "\ufdef",
    "a\u{1ffff}",
    "\u{10fffe}"
  ]),
  group("not in normal form C: another spelling of a name that macOS takes for the same", "file", "elsewhere", "file", [
    "e\u0301",
    "a\u030a",
    "A\u0308.txt",
    "o\u0302\u0301",
    "\u1100\u1161",
    "\u212b",
    "\u2126",
    "\u0344",
    "\u0958",
    "\ufb1d",
    "dir\u0301/x",
    "n\u0303/x"
  ]),
  group("longer than a name may be on Linux; within a few units on macOS and Windows", "refused", "file", "file", [
    long("\u00e9", 2, 256),
    long("\u65e5", 3, 256),
    long("\u{1f600}", 4, 256),
    `${long("\u0434", 2, 256)}.txt`
  ]),
  everywhere("longer than a name may be", "refused", [
    long("x", 1, 256),
    `${long("x", 1, 256)}.txt`,
    `a/${long("x", 1, 300)}/b`,
    long("x", 1, 5_000)
  ]),
  everywhere("has no room left for the number that keeps two apart", "file", [
    long("x", 1, Limits.pathComponentBytesMax + 1),
    long("\u00e9", 2, Limits.pathComponentBytesMax + 1),
    long("\u{1f600}", 4, Limits.pathComponentBytesMax + 1)
  ]),
  group("a path too long for macOS, download folder included", "file", "refused", "file", [
    Array.from({ length: 6 }, () => "x".repeat(200)).join("/"),
    Array.from({ length: 5 }, () => "\u00e9".repeat(110)).join("/"),
    Array.from({ length: 4 }, () => "x".repeat(220)).join("/")
  ]),
  everywhere("deeper than people go: other programs recurse into it", "file", [
    `${"x/".repeat(Limits.pathDepthMax)}x`,
    `${"x/".repeat(300)}x`
  ]),
  everywhere("labfx's own folder", "elsewhere", [".labfx", ".labfx/lock", ".LabFX", "a/.labfx/b", ".LABFX/x"])
]

/** Names as people have them, odd ones too. */
export const good: ReadonlyArray<string> = [
  "a",
  "a.txt",
  "a b",
  " a",
  ".gitignore",
  ".git/config",
  "-rf",
  "--help",
  "~",
  "~root",
  "a~1",
  "PROGRA~1",
  "$HOME",
  "$(reboot)",
  "%PATH%",
  "a'b",
  "a`b",
  "a;b",
  "a&b",
  "a#b",
  "console.log",
  "CON1",
  "CONX",
  "COM10",
  "COM1x",
  "COMA",
  "null",
  "nully/x",
  "auxiliary.c",
  "nul_",
  "_nul",
  "lpt",
  "com",
  "clock",
  "conin",
  "a.b.c",
  "..a",
  "...a",
  "a..b",
  "desktop.ini",
  "Thumbs.db",
  "autorun.inf",
  ".DS_Store",
  "__MACOSX/x",
  "\u00e9",
  "\u00e5ngstr\u00f6m.txt",
  "stra\u00dfe",
  "\u0130stanbul",
  "\u65e5\u672c\u8a9e.md",
  "\ud55c\uad6d\uc5b4",
  "\u{1f600}.png",
  "\u0645\u0631\u062d\u0628\u0627",
  "\u05e9\u05dc\u05d5\u05dd.txt",
  "\u{1f469}\u200d\u{1f4bb}",
  "\u0928\u092e\u0938\u094d\u0924\u0947",
  "\u{20000}",
  "#1",
  "@x",
  "a=b",
  "a,b",
  "a+b",
  "(a)",
  "[a]",
  "{a}",
  "!",
  "^",
  "x".repeat(Limits.pathComponentBytesMax),
  "__pycache__/m.cpython-312.pyc",
  "labfx",
  ".labfx2",
  "a.labfx",
  Array.from({ length: Limits.pathDepthMax }, () => "x").join("/")
]

/** Paths of one share of which some system makes one file: on each system, `one` or `two`; the later of the two is lost. */
export interface Collision {
  readonly why: string
  readonly linux: "one" | "two"
  readonly macos: "one" | "two"
  readonly windows: "one" | "two"
  readonly pairs: ReadonlyArray<readonly [kept: string, lost: string]>
}

export const collisions: ReadonlyArray<Collision> = [
  {
    why: "upper and lower case",
    linux: "two",
    macos: "one",
    windows: "one",
    pairs: [
      ["A.txt", "a.TXT"],
      ["Makefile", "makefile"],
      ["SRC/a.c", "src/a.C"],
      ["\u00c9", "\u00e9"],
      ["\u0391", "\u03b1"],
      ["\u0416", "\u0436"],
      ["\u01c4", "\u01c6"],
      ["\u{10400}", "\u{10428}"]
    ]
  },
  {
    why: "case that is folded by more than one letter, or to a third letter",
    linux: "two",
    macos: "one",
    windows: "two",
    pairs: [
      ["stra\u00dfe", "strasse"],
      ["STRASSE", "stra\u00dfe"],
      ["\u1e9e", "\u00df"],
      ["stra\u00dfe", "STRA\u1e9eE"],
      ["\u03a3", "\u03c2"],
      ["\u03c2", "\u03c3"],
      ["\ufb03x", "ffix"],
      ["\u017f", "s"],
      ["\u0149", "\u02bcn"]
    ]
  },
  {
    why: "characters that are not shown: macOS passes over some, and people over all",
    linux: "two",
    macos: "one",
    windows: "two",
    pairs: [
      ["d", "d\u00ad"],
      ["a\u200bb", "ab"],
      ["a\u200db", "ab"],
      ["a\ufe0f", "a"],
      ["a\u2060", "a"],
      ["a\ufeff", "a"]
    ]
  },
  {
    why: "a file where a folder is, and a folder where a file is",
    linux: "one",
    macos: "one",
    windows: "one",
    pairs: [
      ["a", "a/b"],
      ["a/b", "a"],
      ["a/b/c", "a/b"],
      ["a", "a/b/c/d"]
    ]
  },
  {
    why: "a file where a folder is, in another case",
    linux: "two",
    macos: "one",
    windows: "one",
    pairs: [
      ["B", "b/c"],
      ["B/c", "b"],
      ["Lab/x", "LAB"],
      ["\u00c9/x", "\u00e9"]
    ]
  }
]
