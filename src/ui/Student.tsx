/** The student's page: finding the session, the files as they arrive, and the conversation. */
import type { DeviceNow, Found, LocalState, ShareNow } from "../services/LocalApi.ts"
import { Words } from "./Board.tsx"
import { Conversation } from "./Conversation.tsx"
import { Door } from "./Door.tsx"
import * as Language from "./language.ts"
import { t } from "./language.ts"
import { attempt, choose, openFolder } from "./live.ts"
import { Bar, Foreign, Section, Steady } from "./parts.tsx"

type Problem = NonNullable<NonNullable<DeviceNow["shares"]>[number]["problem"]>

const FoundSession = ({ found }: { readonly found: Found }) => (
  <li class={`found ${found.trust}`}>
    {found.trust === "alarm" && (
      <p class="warning" role="alert">
        <strong>{t("find.alarm")}</strong> {t("find.alarmExplain")}
      </p>
    )}
    <h3>
      <Foreign>{found.title}</Foreign>
    </h3>
    <Words words={found.words} />
    <div class="line">
      <span class="hint" dir="ltr">{found.address}</span>
      {found.trust === "new" && (
        <button
          type="button"
          class="chief"
          aria-label={t("find.joinName", { title: found.title })}
          onClick={() => attempt(() => choose(found.session))}
        >
          {t("find.join")}
        </button>
      )}
      {found.trust === "pinned" && <span class="hint">{t("find.pinned")}</span>}
    </div>
  </li>
)

const Looking = ({ found }: { readonly found: ReadonlyArray<Found> }) => (
  <section class="looking" aria-labelledby="looking-title">
    <div class="pulse" aria-hidden="true">
      <span />
      <span />
      <span />
    </div>
    <h2 id="looking-title">{t("find.title")}</h2>
    <p class="hint">{t(found.length === 0 ? "find.none" : "find.compare")}</p>
    <ul class="sessions">{found.map((each) => <FoundSession key={each.session} found={each} />)}</ul>
  </section>
)

/** Why a share does not go on: in the page's language where labfx has a word for it, else in its own words. */
const reason = (share: ShareNow, problem: Problem | undefined): string =>
  problem === undefined || problem === "other" ? share.problem ?? "" : t(`device.${problem}`)

const problemIn = (device: DeviceNow | undefined, { root }: ShareNow): Problem | undefined =>
  device?.shares?.find((share) => share.root === root)?.problem

/** Of what is wrong on the teacher's side, this alone keeps a share from going on here. */
const sourceProblemIn = (host: DeviceNow | undefined, share: ShareNow): Problem | undefined =>
  problemIn(host, share) === "source-changed" ? "source-changed" : undefined

const standing = (share: ShareNow, problem: Problem | undefined): string => {
  switch (share.state) {
    case "complete":
      return t("files.complete")
    case "withdrawn":
      return t("shares.withdrawn")
    case "paused":
      return problem === "source-changed"
        ? t("files.source-changed")
        : `${t("files.paused", { problem: reason(share, problem) })} · ${t("files.resumes")}`
    case "failed":
      return t("files.failed", { problem: reason(share, problem) })
    case "waiting":
    case "receiving":
      if (share.sources === 0 || share.receiveBytesPerSecond < 1) return t("files.waiting")
      return [
        t("files.receiving", { count: share.sources, rate: Language.rate(share.receiveBytesPerSecond) }),
        t("files.left", {
          time: Language.span(1_000 * (share.sizeBytes - share.verifiedBytes) / share.receiveBytesPerSecond)
        })
      ].join(" · ")
  }
}

class FileRow extends Steady<
  { readonly share: ShareNow; readonly problem: Problem | undefined; readonly language: string }
> {
  override render() {
    const { problem, share } = this.props
    const { filesCount, kind, path, root, sizeBytes, state, title, verifiedBytes } = share
    const whole = state === "complete"
    const percent = whole ? 100 : Math.min(99, Language.percentOf(verifiedBytes, sizeBytes))
    const bad = state === "paused" || state === "failed"
    return (
      <li class={`share ${state}`}>
        <div class="line">
          <strong class="name">
            <Foreign>{title}</Foreign>
          </strong>
          <span class="figures">
            {[Language.bytes(sizeBytes), kind === "folder" ? t("shares.filesCount", { count: filesCount }) : ""]
              .filter((part) => part !== "").join(" · ")}
          </span>
          {path !== undefined && (
            <button
              type="button"
              class="quiet"
              aria-label={t("files.openName", { title })}
              onClick={() => attempt(() => openFolder(root))}
            >
              {t("files.open")}
            </button>
          )}
        </div>
        {state !== "withdrawn" && <Bar label={title} value={percent} tone={whole ? "done" : bad ? "bad" : "plain"} />}
        <div class={bad ? "line problem" : "line hint"} role={bad ? "alert" : undefined}>
          <span>{standing(share, problem)}</span>
          {!whole && state !== "withdrawn" && <span class="figures">{Language.percent(percent)}</span>}
        </div>
        {whole && path !== undefined && (
          <p class="path" dir="ltr">
            <Foreign>{path}</Foreign>
          </p>
        )}
      </li>
    )
  }
}

export const Student = ({ now }: { readonly now: LocalState }) => {
  const { devices, found, header, messages, shares } = now
  const self = devices.find(({ isSelf }) => isSelf)
  const host = devices.find(({ isHost }) => isHost)
  if (header.phase === "looking") {
    return (
      <main id="content" class="finding">
        {header.door === undefined ? <Looking found={found} /> : <Door door={header.door} />}
      </main>
    )
  }
  return (
    <main id="content" class="student">
      {header.phase === "ended" && <p class="board ended">{t("you.ended")}</p>}
      <Section id="files" title={t("files.title")}>
        {shares.length === 0 && <p class="empty">{t("files.none")}</p>}
        <ul class="list">
          {shares.toReversed().map((share) => (
            <FileRow
              key={share.root}
              share={share}
              problem={problemIn(self, share) ?? sourceProblemIn(host, share)}
              language={Language.language.value.tag}
            />
          ))}
        </ul>
      </Section>
      <Conversation
        messages={messages}
        mayWrite={header.mayWrite && header.phase === "joined"}
        isTeacher={false}
        self={self?.peer}
      />
    </main>
  )
}
