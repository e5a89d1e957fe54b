/** What devices say of the program they run, e.g. `labfx 0.1.0`: for people, who want to know whose is old. */
import * as Limits from "./Limits.ts"
import { shortText } from "./Text.ts"

export const Program = shortText(Limits.programBytesMax)

/** A name, then a version as semantic versioning writes it. */
const form = /^(?:(.*) )?(\d{1,9})\.(\d{1,9})\.(\d{1,9})(-[\w.-]+)?(?:\+[\w.-]+)?$/

/** Name and figures; the last one puts what comes before a release, like `1.0.0-rc.1`, before it. */
const read = (program: string): readonly [name: string, figures: ReadonlyArray<number>] | undefined => {
  const found = form.exec(program)
  if (found === null) return undefined
  const [, name = "", major, minor, patch, early] = found
  return [name, [Number(major), Number(minor), Number(patch), early === undefined ? 1 : 0]]
}

/** Whether one program is an earlier version of another. What cannot be read, or has another name, is not. */
export const isOlder = (program: string, than: string): boolean => {
  const [one, other] = [read(program), read(than)]
  if (one === undefined || other === undefined || one[0] !== other[0]) return false
  const index = one[1].findIndex((figure, index) => figure !== other[1][index])
  return index >= 0 && one[1][index]! < other[1][index]!
}
