/**
 * Watches a simulated lesson and says what must never be, at the moment it is.
 *
 * It knows what the teacher handed out and what everybody said, and sees every disk and every event. What it finds is
 * safety only: whether all that should happen does happen in the end is asked by `Simulation`.
 */
import type { PeerId, PublicKey, Root, SessionId } from "../protocol/Ids.ts"
import * as Names from "../protocol/Names.ts"
import type { SessionEvent } from "../services/SessionEvent.ts"
import type { Material } from "./Scenario.ts"
import { type Device, downloads, stateFolder } from "./VirtualLab.ts"

/** A title that is taken gets a number; more of one name than this do not come up in a lesson. */
const sameNamesMax = 8

/** What is known of one device over all its runs. */
interface Known {
  readonly device: Device
  readonly isTeacher: boolean
  /** What lay in the download folder before, by path. */
  readonly earlier: Map<string, Uint8Array>
  /** The last number shown of each author. */
  readonly shown: Map<PeerId, number>
  /** Every message it has shown. */
  readonly said: Set<string>
  /** The state of the download folder that was last found to be right, by name at its top. */
  readonly right: Map<string, string>
  changed: boolean
  /** Files in the download folder that its disk has spoilt behind the back of everybody: these and no others may be wrong. */
  readonly spoilt: Set<string>
  /** Whether its disk has spoilt something that nobody sees: packs, or a log. */
  rotten: boolean
  /** Whether that was in its state folder, where the logs are. */
  stateRotten: boolean
  /** Whether its log on disk has ever been behind what it had shown. */
  behind: boolean
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

export class Observer {
  readonly violations: Array<string> = []
  /** The keys of devices that do not belong to the room. */
  readonly hostile = new Set<PeerId>()
  readonly #known = new Map<Device, Known>()
  readonly #shares = new Map<string, Array<Material>>()
  readonly #roots = new Set<Root>()
  readonly #withdrawn = new Set<Root>()
  readonly #sessions = new Map<SessionId, PublicKey>()
  /** Which device each author is. */
  readonly #authors = new Map<PeerId, string>()
  /** The teacher's key in the latest link to it: after its state is lost it has another one. */
  #teacherNow: PeerId | undefined
  /** What has been shown under each author's numbers. */
  readonly #numbered = new Map<string, Set<string>>()
  /** Texts that people have typed, by device. */
  readonly #typed = new Map<string, Set<string>>()
  readonly #onViolation: (who: string, what: string) => void
  #changed = false

  constructor(onViolation: (who: string, what: string) => void) {
    this.#onViolation = onViolation
  }

  #violated(device: Device, what: string): void {
    this.violations.push(`${device.name}: ${what}`)
    this.#onViolation(device.name, what)
  }

  /** Begins to watch a device; what lies in its download folder is to stay as it is. */
  watch(device: Device, isTeacher: boolean): void {
    const known: Known = {
      device,
      isTeacher,
      earlier: new Map(device.downloaded),
      shown: new Map(),
      said: new Set(),
      right: new Map(),
      changed: true,
      spoilt: new Set(),
      rotten: false,
      stateRotten: false,
      behind: false
    }
    this.#known.set(device, known)
    device.disk.onChange = (path) => {
      if (path.startsWith(`${downloads}/`) || path === downloads) {
        if (!path.startsWith(`${downloads}/.labfx`)) this.#changed = known.changed = true
      } else if (path !== "/home" && path !== stateFolder && !path.startsWith(`${stateFolder}/`)) {
        this.#violated(device, `touched ${path}`)
      }
    }
  }

  /** Lets something happen on a disk that labfx has not done. */
  aside(device: Device, body: () => void): void {
    const watching = device.disk.onChange
    device.disk.onChange = () => {}
    body()
    device.disk.onChange = watching
  }

  /** The teacher is about to hand this out. */
  shared(material: Material): void {
    for (let n = 1; n <= sameNamesMax; n++) {
      const name = Names.freeName(material.title, n, material.kind)
      this.#shares.set(name, [...(this.#shares.get(name) ?? []), material])
    }
  }

  /** A person is about to say this on a device. */
  typed(device: Device, text: string): void {
    const texts = this.#typed.get(device.name) ?? new Set()
    this.#typed.set(device.name, texts.add(text))
  }

  /** What was not synced is lost: messages may be shown once more, from where the disk still has them; files must be right. */
  lostPower(device: Device): void {
    const known = this.#known.get(device)!
    this.mayRepeat(device)
    known.right.clear()
    this.#changed = known.changed = true
  }

  /** Its log on disk may be behind what it has shown: it may show messages once more, in order. */
  mayRepeat(device: Device): void {
    const known = this.#known.get(device)!
    known.shown.clear()
    known.behind = true
  }

  /** The disk has spoilt a file that a person can see: that is not labfx's doing. */
  spoilt(device: Device, path: string): void {
    this.#known.get(device)!.spoilt.add(path)
  }

  /** The disk has spoilt something that may be the only copy in the room: a message, or a chunk. */
  rotted(device: Device): void {
    this.#known.get(device)!.rotten = true
  }

  /** Its disk has spoilt something of its state folder, a log perhaps: what it has shown, it may show once more. */
  stateRotted(device: Device): void {
    this.mayRepeat(device)
    this.rotted(device)
    this.#known.get(device)!.stateRotten = true
  }

  isRotten(device: Device): boolean {
    return this.#known.get(device)!.rotten
  }

  /** Whether its disk has spoilt anything, seen or not. */
  isSpoilt(device: Device): boolean {
    const { rotten, spoilt } = this.#known.get(device)!
    return rotten || spoilt.size > 0
  }

  /**
   * Whether it may have forgotten for good what it has shown: its disk has spoilt something, or its log was behind, and the
   * disk of another, who could have given it back, has spoilt its state folder.
   */
  mayForget(device: Device): boolean {
    const { behind, rotten } = this.#known.get(device)!
    return rotten || (behind && Array.from(this.#known.values()).some((other) => other.stateRotten))
  }

  /**
   * Whether its author has given the number of a line to two messages, because its own log was spoilt and nobody was there to
   * give it back: devices keep the one they saw first.
   */
  isTwofold(line: string): boolean {
    const [author, number] = line.split(" ") as [PeerId, string]
    const name = this.#authors.get(author)
    const isSpoilt = Array.from(this.#known.values()).some(({ device, rotten }) => rotten && device.name === name)
    return isSpoilt && (this.#numbered.get(`${author} ${number}`)?.size ?? 0) > 1
  }

  /** Whether a line of {@link messages} was said by somebody who belongs to the room. */
  isHonest(line: string): boolean {
    return !this.hostile.has(line.slice(0, line.indexOf(" ")) as PeerId)
  }

  /** A message as {@link messages} has it. */
  static line({ author, number, text }: { readonly author: PeerId; readonly number: number; readonly text: string }) {
    return `${author} ${number} ${text}`
  }

  /** Every message of an honest author that the device has ever shown. */
  messages(device: Device): ReadonlySet<string> {
    return this.#known.get(device)!.said
  }

  // ---- files -------------------------------------------------------------------------------------------------------

  /** Looks at the folders in which something has changed since the last time. */
  check(): void {
    if (!this.#changed) return
    this.#changed = false
    for (const known of this.#known.values()) {
      if (known.changed) this.#checkFolder(known)
    }
  }

  /** Looks at every folder, whether anything is known to have changed or not. */
  checkAll(): void {
    for (const known of this.#known.values()) this.#checkFolder(known)
  }

  #checkFolder(known: Known): void {
    known.changed = false
    const tops = new Map<string, { edition: string; readonly files: Map<string, Uint8Array> }>()
    known.device.disk.walk(downloads, (path, bytes, edition) => {
      if (path.startsWith(".labfx/")) return
      const cut = path.indexOf("/")
      const name = cut < 0 ? path : path.slice(0, cut)
      const top = tops.get(name) ?? { edition: "", files: new Map<string, Uint8Array>() }
      top.edition += `${path} ${edition} `
      top.files.set(cut < 0 ? "" : path.slice(cut + 1), bytes)
      tops.set(name, top)
    })
    for (const [path, bytes] of known.earlier) {
      const now = tops.get(path)?.files.get("")
      if (!known.spoilt.has(path) && (now === undefined || !sameBytes(now, bytes))) {
        this.#violated(known.device, `${path} was there before and is not`)
      }
    }
    for (const [name, { edition, files }] of tops) {
      if (known.right.get(name) === edition || known.earlier.has(name)) continue
      const versions = this.#shares.get(name) ?? []
      const isSpoilt = (path: string) => known.spoilt.has(path === "" ? name : `${name}/${path}`)
      const wrong = versions.map((version) => firstWrong(version, files, isSpoilt))
      if (wrong.includes(undefined)) known.right.set(name, edition)
      else {
        this.#violated(
          known.device,
          `${name} is visible and is not what the teacher handed out: ${wrong.join("; or ")}`
        )
      }
    }
  }

  // ---- events ------------------------------------------------------------------------------------------------------

  event(device: Device, event: SessionEvent): void {
    const known = this.#known.get(device)!
    switch (event.event) {
      case "session.started":
        this.#sessions.set(event.session, event.root)
        return
      case "session.joined":
        if (this.#sessions.get(event.session) !== event.root) {
          this.#violated(device, `joined ${event.title}, a session of nobody`)
        }
        this.#author(device, event.peer, device.name)
        return
      case "peer.up":
        if (event.host) this.#teacherNow = event.peer
        return
      case "session.ended":
        return this.#violated(device, "says that the teacher ended the session")
      case "share.offered":
        if (known.isTeacher) this.#roots.add(event.root)
        else if (!this.#roots.has(event.root)) {
          this.#violated(device, `was offered ${event.title}, which the teacher did not share`)
        }
        return
      case "share.withdrawn":
        if (known.isTeacher) this.#withdrawn.add(event.root)
        else if (!this.#withdrawn.has(event.root)) {
          this.#violated(device, `${event.title} was withdrawn, but not by the teacher`)
        }
        return
      case "share.completed":
        if (known.isTeacher) return
        if (!event.path.startsWith(`${downloads}/`)) {
          return this.#violated(device, `says that ${event.path} is complete`)
        }
        this.#checkFolder(known)
        if (!device.downloaded.has(event.path.slice(downloads.length + 1)) && !this.#isFolder(known, event.path)) {
          this.#violated(device, `says that ${event.path} is complete, and it is not there`)
        }
        return
      case "message.delivered":
        return this.#message(known, event)
      default:
        return
    }
  }

  #isFolder({ device }: Known, path: string): boolean {
    let found = false
    device.disk.walk(path, () => (found = true))
    return found
  }

  #author(device: Device, peer: PeerId, name: string): void {
    const before = this.#authors.get(peer)
    if (before !== undefined && before !== name) this.#violated(device, `${name} speaks with the key of ${before}`)
    this.#authors.set(peer, name)
  }

  #message(known: Known, event: Extract<SessionEvent, { readonly event: "message.delivered" }>): void {
    const { author, byHost, name, number, text } = event
    const { device } = known
    const line = Observer.line(event)
    const last = known.shown.get(author) ?? 0
    if (number <= last) this.#violated(device, `shows message ${number} of ${name} after ${last}`)
    known.shown.set(author, number)
    if (this.hostile.has(author)) {
      // What the hostile say with their own keys is their own affair, as long as it is not taken for the teacher's word.
      if (byHost) this.#violated(device, `takes a hostile device for the teacher`)
      return
    }
    // Who plays a session back may leave out the certificate of an earlier key of the teacher.
    const mayBeUnknown = name === "teacher" && this.hostile.size > 0 && author !== this.#teacherNow
    if (byHost !== (name === "teacher") && !mayBeUnknown) {
      this.#violated(device, `takes ${name} for ${byHost ? "the teacher" : "a student"}`)
    }
    this.#author(device, author, name)
    known.said.add(line)
    const numbered = this.#numbered.get(`${author} ${number}`) ?? new Set()
    this.#numbered.set(`${author} ${number}`, numbered.add(text))
    if (this.#typed.get(name)?.has(text) !== true) this.#violated(device, `shows "${text}", which ${name} never said`)
  }
}

/** The first file that is not as it was handed out, and what is wrong with it. */
const firstWrong = (
  version: Material,
  files: ReadonlyMap<string, Uint8Array>,
  isSpoilt: (path: string) => boolean
): string | undefined => {
  for (const [path, bytes] of version.files) {
    const found = files.get(path)
    if (found === undefined) return `"${path}" is missing`
    if (!sameBytes(found, bytes) && !isSpoilt(path)) {
      return `"${path}" has ${found.length} bytes of ${bytes.length} or others than those`
    }
  }
  for (const path of files.keys()) if (!version.files.has(path)) return `"${path}" was never handed out`
  return undefined
}
