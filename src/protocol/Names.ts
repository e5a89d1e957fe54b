/**
 * What a file may be called: one portable profile on every system.
 *
 * A name comes from another machine and becomes a path here, so it is refused where any system in the room could not hold
 * it, would read it as something else (a device, a stream, another folder) or would show it as something else. The
 * profile is the same everywhere: a class sees the same files on all of its machines.
 *
 * Invariants, each with a property in the tests:
 * N1  A path without a problem stays inside the folder it is joined to, on every system.
 * N2  Two paths without a problem in one share are different files on every system, case-insensitive ones included.
 * N3  A safe title has no problem, whatever it was made from, and a free name of it has none either.
 * N4  Of paths that collide, the first in the share's order keeps its place.
 */
import * as Limits from "./Limits.ts"
import { utf8Bytes } from "./Text.ts"
import type { Work } from "./Work.ts"

/** C0, DEL, C1 and the line separators: they break terminals, logs and scripts. */
// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const control = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/
/** Characters that turn the reading direction: `cod.exe` can be shown as `exe.doc`. */
const bidi = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/
/** What Windows gives a meaning; the colon also names alternate streams there and separates folders on old Macs. */
const reserved = /[<>:"|?*/\\]/
/**
 * DOS devices, which Windows finds in every folder, with any extension and with spaces before it. The superscript digits
 * count as digits there.
 */
const device = /^(?:con|prn|aux|nul|clock\$|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3]) *(?:[.:]|$)/i
const noncharacter = /\p{Noncharacter_Code_Point}/u
/** The hidden folder of a download folder: a share must not be able to look like one. */
const ownFolder = /^\.labfx$/i

/** A character takes at most three UTF-8 bytes a code unit, so short texts need no encoding to be counted. */
const longerThan = (text: string, bytesMax: number): boolean => text.length * 3 > bytesMax && utf8Bytes(text) > bytesMax

const plain = /^[A-Za-z0-9_-][A-Za-z0-9_ .-]*$/

/** Why a file or folder must not have this name, in words; `undefined` if it may. */
export const componentProblem = (name: string): string | undefined => {
  if (name === "") return "a name is empty"
  if (name === "." || name === "..") return "the name leads to another folder"
  if (!plain.test(name)) {
    if (!name.isWellFormed() || noncharacter.test(name)) return "the name is not valid text"
    if (control.test(name)) return "the name has control characters"
    if (bidi.test(name)) return "the name has characters that turn the reading direction"
    if (reserved.test(name)) return "the name has one of the characters < > : \" / \\ | ? *"
    if (name.normalize("NFC") !== name) return "the name is not in Unicode normal form C"
  }
  if (name.endsWith(".") || name.endsWith(" ")) return "the name ends with a dot or a space"
  if (device.test(name)) return "the name is a device on Windows"
  if (ownFolder.test(name)) return "the name is the one of labfx's own folder"
  if (longerThan(name, Limits.pathComponentBytesMax)) {
    return `the name is longer than ${Limits.pathComponentBytesMax} bytes`
  }
  return undefined
}

/** Why a path must not be used, in words; `undefined` if it may. Components are joined by `/`. */
export const pathProblem = (path: string): string | undefined => {
  if (longerThan(path, Limits.pathBytesMax)) return `the path is longer than ${Limits.pathBytesMax} bytes`
  const components = path.split("/")
  if (components.length > Limits.pathDepthMax) return `the path is deeper than ${Limits.pathDepthMax} folders`
  for (const component of components) {
    const problem = componentProblem(component)
    if (problem !== undefined) return problem
  }
  return undefined
}

/**
 * Equal for any two names that some system takes for one.
 *
 * Case goes down, up and down again because nothing less joins `ẞ` with `ß` and `SS`, and the two small sigmas. Characters
 * that are not shown are dropped: some systems ignore them, and people cannot tell the names apart.
 */
export const foldedName = (name: string): string =>
  plain.test(name)
    ? name.toLowerCase()
    : name.normalize("NFD").replace(/\p{Default_Ignorable_Code_Point}/gu, "")
      .toLowerCase().toUpperCase().toLowerCase().normalize("NFC")

interface Folder {
  readonly id: number
  /** What is wrong with it or with a folder around it: everything below is lost with it. */
  readonly problem: string | undefined
}

/** Paths looked at between two rests: about a millisecond. */
const pathsPerStep = 1_000

/**
 * The problems of all paths of a share: index → reason in words. Paths without an entry may be created together.
 *
 * Files are indexes 0 to `files.length - 1`, the empty directories follow. Two spellings of one folder are no collision:
 * where they are one folder both parts meet in it, and nothing is lost. A file is lost where an earlier file or folder has
 * its name.
 */
export function* problems(
  files: ReadonlyArray<string>,
  directories: ReadonlyArray<string>
): Work<ReadonlyMap<number, string>> {
  const found = new Map<number, string>()
  const taken = new Map<string, "file" | "folder">()
  /** Folders as they are spelled. Those that are one folder somewhere share an id, and keys are made of ids, not of paths. */
  const folders = new Map<string, Folder>()
  const root: Folder = { id: 0, problem: undefined }
  const ids = new Map<string, number>()

  const enter = (spelled: string): Folder => {
    const known = folders.get(spelled)
    if (known !== undefined) return known
    const cut = spelled.lastIndexOf("/")
    const parent = cut < 0 ? root : enter(spelled.slice(0, cut))
    if (parent.problem !== undefined) return parent
    const name = spelled.slice(cut + 1)
    const key = `${parent.id}/${foldedName(name)}`
    let problem = componentProblem(name)
    if (problem === undefined && taken.get(key) === "file") problem = "a file before it has the name of its folder"
    if (problem === undefined && folders.size >= Limits.foldersPerShareMax) problem = "the share has too many folders"
    if (problem !== undefined) return { id: 0, problem }
    taken.set(key, "folder")
    const id = ids.get(key) ?? ids.size + 1
    ids.set(key, id)
    const folder = { id, problem }
    folders.set(spelled, folder)
    return folder
  }

  const check = (path: string, directory: boolean): string | undefined => {
    if (longerThan(path, Limits.pathBytesMax)) return `the path is longer than ${Limits.pathBytesMax} bytes`
    let depth = 1
    for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) depth++
    if (depth > Limits.pathDepthMax) return `the path is deeper than ${Limits.pathDepthMax} folders`
    if (directory) return enter(path).problem
    const cut = path.lastIndexOf("/")
    const name = path.slice(cut + 1)
    const own = componentProblem(name)
    if (own !== undefined) return own
    const folder = cut < 0 ? root : enter(path.slice(0, cut))
    if (folder.problem !== undefined) return folder.problem
    const key = `${folder.id}/${foldedName(name)}`
    const earlier = taken.get(key)
    if (earlier !== undefined) return `a ${earlier} before it has the same name where upper and lower case are one`
    taken.set(key, "file")
    return undefined
  }

  for (let i = 0; i < files.length + directories.length; i++) {
    const problem = i < files.length ? check(files[i]!, false) : check(directories[i - files.length]!, true)
    if (problem !== undefined) found.set(i, problem)
    if (i % pathsPerStep === pathsPerStep - 1) yield
  }
  return found
}

/** Cuts text to at most `bytesMax` UTF-8 bytes without splitting a character. */
const truncated = (text: string, bytesMax: number): string => {
  if (!longerThan(text, bytesMax)) return text
  let kept = ""
  let bytes = 0
  for (const character of text) {
    bytes += utf8Bytes(character)
    if (bytes > bytesMax) break
    kept += character
  }
  return kept
}

/** Where the extension of a file's name begins; the whole length if there is none worth keeping. */
const extensionAt = (name: string, kind: "file" | "folder"): number => {
  const dot = name.lastIndexOf(".")
  return kind === "file" && dot > 0 && name.length - dot <= 16 ? dot : name.length
}

/** The name under which a share may appear: the title where it is a safe name, else the nearest safe one. Never empty. */
export const safeTitle = (title: string): string => {
  let name = title.toWellFormed().normalize("NFC")
    .replace(new RegExp(`${control.source}|${bidi.source}|${reserved.source}`, "g"), "_")
    .replace(/\p{Noncharacter_Code_Point}/gu, "_")
  if (longerThan(name, Limits.pathComponentBytesMax - 1)) {
    const cut = extensionAt(name, "file")
    const extension = name.slice(cut)
    // One byte is left for the underscore that the next steps may put in front.
    name = truncated(name.slice(0, cut), Limits.pathComponentBytesMax - 1 - utf8Bytes(extension)) + extension
  }
  name = name.replace(/[. ]+$/, "")
  if (name === "" || device.test(name) || ownFolder.test(name)) name = `_${name}`
  return name
}

/** The `n`-th name to try for a title, counted from 1: `notes.txt`, `notes (2).txt`, `notes (3).txt`. */
export const freeName = (title: string, n: number, kind: "file" | "folder"): string => {
  if (n === 1) return title
  const cut = extensionAt(title, kind)
  const suffix = ` (${n})`
  const extension = title.slice(cut)
  return truncated(title.slice(0, cut), Limits.pathComponentBytesMax - suffix.length - utf8Bytes(extension)) + suffix +
    extension
}
