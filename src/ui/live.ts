/** The page's line to labfx: the live state, and what can be asked for. */
import { effect, signal } from "@preact/signals"
import type { Change, LocalState, StartChoice } from "../services/LocalApi.ts"
import { apply } from "../services/LocalState.ts"
import * as Language from "./language.ts"
import { isKey, t } from "./language.ts"

export const state = signal<LocalState | undefined>(undefined)

/** `locked`: this browser was not let in; `lost`: labfx does not answer at the moment. */
export const line = signal<"connecting" | "live" | "lost" | "locked">("connecting")

/** Why the link that led here let nobody in. */
export const refusedLink = signal<"replayed" | "unknown" | undefined>(undefined)

/** Wall time, for "3 minutes ago". */
export const now = signal(Date.now())
setInterval(() => {
  now.value = Date.now()
}, 5_000)

const storedAs = "labfx-key"

/**
 * A link leads here with the page's key behind the `#`, which no server sees. It is kept where only this origin, port
 * included, can read it.
 */
const takeKey = (): string => {
  const given = location.hash.slice(1)
  if (given !== "") history.replaceState(null, "", location.pathname + location.search)
  if (given === "replayed" || given === "unknown") refusedLink.value = given
  else if (given !== "") localStorage.setItem(storedAs, given)
  return localStorage.getItem(storedAs) ?? ""
}

const key = takeKey()

export const headers = { "x-labfx-key": key }

// ---- what is heard -----------------------------------------------------------------------------------------------

const pauseMsMin = 500
const pauseMsMax = 5_000

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Follows the live state; a line that breaks is taken up again for as long as the page is open. */
export const follow = async (): Promise<never> => {
  let pauseMs = pauseMsMin
  while (true) {
    try {
      const response = await fetch("/api/live", { headers })
      if (response.status === 401) line.value = "locked"
      else if (response.ok && response.body !== null) {
        for await (const heard of changes(response.body)) {
          state.value = heard.reduce(apply, state.value)
          line.value = "live"
          pauseMs = pauseMsMin
        }
        line.value = "lost"
      } else line.value = "lost"
    } catch {
      line.value = "lost"
    }
    await wait(pauseMs)
    pauseMs = Math.min(pauseMsMax, pauseMs * 2)
  }
}

/** Server-sent events, each one change: those that came together, so that they are drawn together. */
async function* changes(body: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<ReadonlyArray<Change>> {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let text = ""
  while (true) {
    const { done, value } = await reader.read()
    if (done) return
    text += value
    const events = text.split("\n\n")
    text = events.pop() ?? ""
    const heard = events
      .map((event) => event.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5)))
      .filter((data) => data.length > 0)
      .map((data) => JSON.parse(data.join("\n")) as Change)
    if (heard.length > 0) yield heard
  }
}

// ---- what is asked -----------------------------------------------------------------------------------------------

/** What labfx answered instead of doing it. */
export interface Refusal {
  readonly _tag: string
  readonly reason?: string
  readonly detail?: string
}

export class Refused extends Error {
  readonly refusal: Refusal
  constructor(refusal: Refusal) {
    super(refusal._tag)
    this.refusal = refusal
  }
}

/** Who has called something off sees that it is gone, and need not be told. */
const isCalledOff = (error: unknown): boolean => error instanceof Refused && error.refusal.reason === "called-off"

/** A refusal in the language of the page. */
export const wordsFor = (error: unknown): string => {
  if (!(error instanceof Refused)) return t("error.network")
  const { _tag, detail = "", reason = "" } = error.refusal
  const key = [`error.${_tag}.${reason}`, `error.${_tag}.other`].find(isKey)
  return key === undefined ? t("error.other", { detail: `${_tag} ${detail}` }) : t(key, { detail })
}

export const refusalOf = (body: string): Refused => {
  try {
    return new Refused(JSON.parse(body) as Refusal)
  } catch {
    return new Refused({ _tag: "Unknown" })
  }
}

export const call = async <A>(method: "GET" | "POST" | "DELETE", path: string, payload?: unknown): Promise<A> => {
  const response = await fetch(`/api${path}`, {
    method,
    headers: payload === undefined ? headers : { ...headers, "content-type": "application/json" },
    ...(payload === undefined ? {} : { body: JSON.stringify(payload) })
  })
  const text = await response.text()
  if (!response.ok) throw refusalOf(text)
  return (text === "" ? undefined : JSON.parse(text)) as A
}

export const say = (text: string) => call<void>("POST", "/messages", { text })
export const sharePath = (path: string) => call<{ readonly root: string }>("POST", "/shares", { path })
export const unshare = (root: string) => call<void>("DELETE", `/shares/${encodeURIComponent(root)}`)
export const remove = (peer: string) => call<void>("DELETE", `/devices/${encodeURIComponent(peer)}`)
export const choose = (session: string) => call<void>("POST", "/choice", { session })
export const enter = (code: string) => call<void>("POST", "/code", { code })
export const begin = (choice: StartChoice) => call<void>("POST", "/start", choice)
export const end = () => call<void>("POST", "/end", {})
export const openFolder = (root: string) => call<void>("POST", "/folder", { root })

/** Saves the table of students as a file. */
export const exportPeople = async (): Promise<void> => {
  const response = await fetch("/api/people.csv", { headers })
  if (!response.ok) throw refusalOf(await response.text())
  const url = URL.createObjectURL(await response.blob())
  const link = document.createElement("a")
  link.href = url
  link.download = `labfx-${new Date().toISOString().slice(0, 10)}.csv`
  link.click()
  URL.revokeObjectURL(url)
}

// ---- what went wrong here ------------------------------------------------------------------------------------------

/** The last thing that did not work, until it is dismissed or something else is tried. */
export const trouble = signal<string | undefined>(undefined)

/** Shows why something did not work. */
export const complain = (error: unknown): void => {
  if (!isCalledOff(error)) trouble.value = wordsFor(error)
}

/** Does what a person asked for; a refusal is shown. */
export const attempt = async (action: () => Promise<unknown>): Promise<boolean> => {
  trouble.value = undefined
  try {
    await action()
    return true
  } catch (error) {
    complain(error)
    return false
  }
}

// ---- what is spoken ------------------------------------------------------------------------------------------------

/** The newest sentence for screen readers. */
export const announcement = signal("")

let before: LocalState | undefined
effect(() => {
  const after = state.value
  const known = before
  before = after
  if (after === undefined || known === undefined) return
  const complete = new Set(known.shares.filter((share) => share.state === "complete").map(({ root }) => root))
  const arrived = after.shares.find((share) => share.state === "complete" && !complete.has(share.root))
  if (arrived !== undefined && !after.header.isTeacher) {
    announcement.value = t("files.arrived", { title: arrived.title })
  }
  const self = after.devices.find(({ isSelf }) => isSelf)?.peer
  const message = after.messages.at(-1)
  const last = known.messages.at(-1)
  if (message === undefined || message.author === self) return
  if (last?.author !== message.author || last.number !== message.number) {
    announcement.value = t("talk.new", { name: message.name, text: message.text })
  }
})

/** Spoken at every quarter of a share, not at every step. */
const quarters = new Map<string, number>()
const speakQuarter = (key: string, name: string, percent: number): void => {
  const quarter = Math.floor(percent / 25)
  if (quarter <= (quarters.get(key) ?? 0)) return
  quarters.set(key, quarter)
  announcement.value = t("device.progress", { name, percent: Language.percent(percent) })
}
effect(() => {
  for (const { root, sizeBytes, state: standing, title, verifiedBytes } of state.value?.shares ?? []) {
    if (standing === "receiving") speakQuarter(root, title, Language.percentOf(verifiedBytes, sizeBytes))
  }
  for (const { hashedBytes, id, title, totalBytes } of state.value?.preparing ?? []) {
    if (totalBytes !== undefined) speakQuarter(id, title, Language.percentOf(hashedBytes, totalBytes))
  }
})
