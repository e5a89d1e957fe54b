/** The page: its frame, and what it shows while labfx cannot be heard. */
import { useSignal } from "@preact/signals"
import { render } from "preact"
import type { LocalState } from "../services/LocalApi.ts"
import * as Language from "./language.ts"
import { t } from "./language.ts"
import { announcement, follow, line, refusedLink, state, trouble } from "./live.ts"
import { Foreign, WithCommand } from "./parts.tsx"
import { Reference } from "./Reference.tsx"
import { Start } from "./Start.tsx"
import { Student } from "./Student.tsx"
import { EndSession, Teacher } from "./Teacher.tsx"

const Masthead = ({ now }: { readonly now: LocalState }) => {
  const { header } = now
  // Nobody has said yet who sits here.
  if (header.start !== undefined) {
    return (
      <header class="masthead">
        <span class="brand" aria-hidden="true">labfx</span>
      </header>
    )
  }
  const others = now.devices.filter(({ isSelf, presence }) => !isSelf && presence !== "gone").length
  return (
    <header class="masthead">
      <span class="brand" aria-hidden="true">labfx</span>
      <h1 class={header.title === undefined ? "spoken" : undefined}>
        <Foreign>{header.title ?? "labfx"}</Foreign>
      </h1>
      {!header.isTeacher && header.words !== undefined && (
        <span class="fingerprint" lang="en" dir="ltr">{header.words}</span>
      )}
      <span class="hint">
        <Foreign>{header.name}</Foreign> · {t(header.isTeacher ? "app.teacher" : "app.student")}
        {header.phase === "joined" && ` · ${t("you.others", { count: others })}`}
      </span>
      {header.isTeacher && header.phase === "joined" && <EndSession />}
    </header>
  )
}

const Locked = () => (
  <main id="content" class="locked">
    <span class="brand" aria-hidden="true">labfx</span>
    <h1>{t("app.locked.title")}</h1>
    {refusedLink.value !== undefined && (
      <p class="problem" role="alert">{t(refusedLink.value === "replayed" ? "app.replayed" : "app.unknown")}</p>
    )}
    <p>
      <WithCommand text={t("app.locked", { command: "labfx open" })} command="labfx open" />
    </p>
  </main>
)

/** The door says these itself, with a place for the code. */
const toldAtTheDoor = new Set(["join-code-needed", "join-code-wrong", "join-code-later"])

/** What went wrong and what somebody should know, one at a time and as long as nobody has put it away. */
const Notices = ({ now }: { readonly now: LocalState | undefined }) => {
  const read = useSignal(0)
  const notice = now?.notices.findLast(({ code }) => !toldAtTheDoor.has(code))
  const shown = notice !== undefined && notice.number > read.value ? notice : undefined
  return (
    <div class="notices">
      {trouble.value !== undefined && (
        <div class="notice bad" role="alert">
          <p>
            <strong>{t("error.title")}</strong> {trouble.value}
          </p>
          <button type="button" class="quiet" onClick={() => (trouble.value = undefined)}>
            {t("notices.dismiss")}
          </button>
        </div>
      )}
      {shown !== undefined && (
        <div class="notice" role="status">
          <p dir="auto">{shown.text}</p>
          <button type="button" class="quiet" onClick={() => (read.value = shown.number)}>
            {t("notices.dismiss")}
          </button>
        </div>
      )}
    </div>
  )
}

const Footer = ({ program }: { readonly program: string | undefined }) => (
  <footer>
    <label>
      {t("app.language")}{" "}
      <select value={Language.language.value.tag} onChange={(event) => Language.choose(event.currentTarget.value)}>
        {Language.languages.map(({ name, tag }) => <option key={tag} value={tag} lang={tag}>{name}</option>)}
      </select>
    </label>
    <a href="?reference">{t("app.reference")}</a>
    <span>{program}</span>
  </footer>
)

const App = () => {
  const now = state.value
  const locked = line.value === "locked"
  return (
    <>
      <a class="skip" href="#content">{t("app.skip")}</a>
      {line.value === "lost" && now !== undefined && (
        <p class="lost" role="alert">{t("app.lost", { command: "labfx open" })}</p>
      )}
      {!locked && now !== undefined && <Masthead now={now} />}
      {!locked && <Notices now={now} />}
      {locked
        ? <Locked />
        : now === undefined
        ? (
          <main id="content" class="locked">
            <p>{t(line.value === "lost" ? "app.lost" : "app.connecting", { command: "labfx open" })}</p>
          </main>
        )
        : now.header.start !== undefined
        ? <Start defaults={now.header.start} />
        : now.header.isTeacher
        ? <Teacher now={now} />
        : <Student now={now} />}
      <Footer program={now?.header.program} />
      <div class="spoken" aria-live="polite">{announcement.value}</div>
    </>
  )
}

const place = document.getElementById("app")!
if (new URLSearchParams(location.search).has("reference")) render(<Reference />, place)
else {
  render(<App />, place)
  void follow()
}
