/** What is handed out, seen from the teacher's side: how far each share has spread, and what physics allows. */
import { useRef } from "preact/hooks"
import type { PreparingNow, ShareNow } from "../services/LocalApi.ts"
import { cancel, handOver, handovers, itemsOfFiles } from "./drop.ts"
import * as Language from "./language.ts"
import { t } from "./language.ts"
import { attempt, sharePath, unshare } from "./live.ts"
import { Bar, Foreign, Section, Steady } from "./parts.tsx"

const about = ({ filesCount, kind, sizeBytes }: ShareNow): string =>
  [Language.bytes(sizeBytes), kind === "folder" ? t("shares.filesCount", { count: filesCount }) : ""]
    .filter((part) => part !== "").join(" · ")

/** How the spread stands beside the fastest that this room could do. */
const pace = ({ sendBytesPerSecond, spread }: ShareNow): string => {
  // Nothing to tell where everybody had it before this page knew of it.
  if (spread === undefined || spread.students === 0 || spread.elapsedMs === 0) return ""
  const done = spread.complete === spread.students
  return [
    t(done ? "shares.took" : "shares.since", { time: Language.span(spread.elapsedMs) }),
    spread.limitMs === undefined ? "" : t("shares.limit", { limit: Language.span(spread.limitMs) }),
    spread.copiesSent < 0.005 ? "" : t("shares.copies", { copies: Math.round(100 * spread.copiesSent) / 100 }),
    done || sendBytesPerSecond < 1 ? "" : Language.rate(sendBytesPerSecond)
  ].filter((part) => part !== "").join(" · ")
}

class ShareRow extends Steady<{ readonly share: ShareNow; readonly language: string; readonly roomPercent: number }> {
  override render() {
    const { roomPercent, share } = this.props
    const { problem, root, spread, state, title, verifiedBytes, sizeBytes } = share
    // What everybody has needs no more than a line.
    const settled = state === "complete" && spread !== undefined && spread.students > 0 &&
      spread.complete === spread.students
    const reading = state === "waiting" || state === "receiving"
    const value = reading ? Language.percentOf(verifiedBytes, sizeBytes) : roomPercent
    return (
      <li class={`share ${state}`}>
        <div class="line">
          <strong class="name">
            <Foreign>{title}</Foreign>
          </strong>
          {settled && <span class="figures whole">{t("shares.room", spread)}</span>}
          <span class="figures">{about(share)}</span>
          {state !== "withdrawn" && (
            <button
              type="button"
              class="quiet"
              aria-label={t("shares.unshareName", { title })}
              onClick={() => attempt(() => unshare(root))}
            >
              {t("shares.unshare")}
            </button>
          )}
        </div>
        {settled
          ? <p class="hint figures">{pace(share)}</p>
          : state === "withdrawn"
          ? <p class="hint">{t("shares.withdrawn")}</p>
          : state === "failed" || state === "paused"
          ? (
            <p class="problem" role="alert">
              {t(state === "failed" ? "files.failed" : "files.paused", { problem: problem ?? "" })}
            </p>
          )
          : (
            <>
              <Bar label={title} value={value} tone={!reading && value === 100 ? "done" : "plain"} />
              <div class="line hint">
                <span>
                  {reading
                    ? t("shares.reading")
                    : spread === undefined || spread.students === 0
                    ? t("shares.nobody")
                    : t("shares.room", spread)}
                </span>
                <span class="figures">{pace(share)}</span>
              </div>
            </>
          )}
      </li>
    )
  }
}

/** What is read and hashed before it can be handed out. */
class PreparingRow extends Steady<{ readonly preparing: PreparingNow; readonly language: string }> {
  override render() {
    const { hashedBytes, id, title, totalBytes } = this.props.preparing
    return (
      <li class="share preparing">
        <div class="line">
          <strong class="name">
            <Foreign>{title}</Foreign>
          </strong>
          <button
            type="button"
            class="quiet"
            aria-label={t("shares.callOffName", { title })}
            onClick={() => attempt(() => unshare(id))}
          >
            {t("app.cancel")}
          </button>
        </div>
        <Bar
          label={t("shares.preparingName", { title })}
          value={totalBytes === undefined ? 0 : Language.percentOf(hashedBytes, totalBytes)}
        />
        <div class="line hint">
          <span>{t("shares.preparing")}</span>
          {totalBytes !== undefined && (
            <span class="figures">
              {t("shares.copyingOf", { done: Language.bytes(hashedBytes), total: Language.bytes(totalBytes) })}
            </span>
          )}
        </div>
      </li>
    )
  }
}

/** What the browser copies, and has copied until labfx itself says how far it is with it. */
const Handovers = ({ preparing }: { readonly preparing: ReadonlyArray<PreparingNow> }) => (
  <>
    {handovers.value.filter(({ phase, titles }) =>
      phase === "copying" || !preparing.some(({ title }) => titles.includes(title))
    ).map(({ doneBytes, id, phase, titles, totalBytes }) => (
      <li class="share copying" key={`handover ${id}`}>
        <div class="line">
          <strong class="name">
            <Foreign>{titles.join(", ")}</Foreign>
          </strong>
          {phase === "copying" && (
            <button
              type="button"
              class="quiet"
              onClick={() => cancel(id)}
            >
              {t("app.cancel")}
            </button>
          )}
        </div>
        <Bar label={t("shares.copying")} value={Language.percentOf(doneBytes, totalBytes)} />
        <div class="line hint">
          <span>{t(phase === "copying" ? "shares.copying" : "shares.preparing")}</span>
          <span class="figures">
            {t("shares.copyingOf", { done: Language.bytes(doneBytes), total: Language.bytes(totalBytes) })}
          </span>
        </div>
      </li>
    ))}
  </>
)

/** Known to every browser and to no standard. */
const folderChoice = { webkitdirectory: true }

const Giving = () => {
  const files = useRef<HTMLInputElement>(null)
  const folder = useRef<HTMLInputElement>(null)
  const path = useRef<HTMLInputElement>(null)
  const chosen = (input: HTMLInputElement) => {
    if (input.files !== null && input.files.length > 0) void handOver(itemsOfFiles(input.files))
    input.value = ""
  }
  const give = async (event: Event) => {
    event.preventDefault()
    const typed = path.current!.value.trim()
    if (typed === "") return
    // Empty at once: while this is being read, the next path can be typed.
    path.current!.value = ""
    if (await attempt(() => sharePath(typed))) return
    if (path.current?.value === "") path.current.value = typed
  }
  return (
    <div class="giving">
      <p class="invitation">{t("shares.drop")}</p>
      <input ref={files} type="file" multiple hidden onChange={(event) => chosen(event.currentTarget)} />
      <input ref={folder} type="file" {...folderChoice} hidden onChange={(event) => chosen(event.currentTarget)} />
      <button type="button" onClick={() => files.current!.click()}>{t("shares.files")}</button>
      <button type="button" onClick={() => folder.current!.click()}>{t("shares.folder")}</button>
      <form onSubmit={give}>
        <input
          ref={path}
          type="text"
          aria-label={t("shares.path")}
          placeholder={t("shares.path")}
          spellcheck={false}
          dir="ltr"
        />
        <button>{t("shares.share")}</button>
      </form>
    </div>
  )
}

export const Shares = (
  { ended, preparing, roomPercents, shares }: {
    readonly shares: ReadonlyArray<ShareNow>
    readonly preparing: ReadonlyArray<PreparingNow>
    /** How much of each share the room has together. */
    readonly roomPercents: ReadonlyMap<string, number>
    readonly ended: boolean
  }
) => {
  const order = (share: ShareNow) => share.state === "withdrawn" ? 1 : 0
  const shown = shares.toReversed().toSorted((a, b) => order(a) - order(b))
  return (
    <Section id="shares" title={t("shares.title")}>
      {!ended && <Giving />}
      {shares.length + preparing.length + handovers.value.length === 0 && <p class="empty">{t("shares.none")}</p>}
      <ul class="list">
        <Handovers preparing={preparing} />
        {preparing.toReversed().map((each) => (
          <PreparingRow key={each.id} preparing={each} language={Language.language.value.tag} />
        ))}
        {shown.map((share) => (
          <ShareRow
            key={share.root}
            share={share}
            language={Language.language.value.tag}
            roomPercent={roomPercents.get(share.root) ?? 0}
          />
        ))}
      </ul>
    </Section>
  )
}
