/** The door of a closed session: it asks for the join code, and says what came of it. */
import { useRef } from "preact/hooks"
import type { Door as DoorNow } from "../services/LocalApi.ts"
import { Words } from "./Board.tsx"
import * as Language from "./language.ts"
import { t } from "./language.ts"
import { attempt, enter } from "./live.ts"
import { Foreign } from "./parts.tsx"

/** Wrong codes are forgotten after a minute, and the teacher's device is asked again every fifteen seconds at the latest. */
const laterMs = 75_000

export const Door = ({ door: { state, title, words } }: { readonly door: DoorNow }) => {
  const field = useRef<HTMLInputElement>(null)
  const send = (event: Event) => {
    event.preventDefault()
    const code = field.current!.value.trim()
    if (code !== "") void attempt(() => enter(code))
  }
  const bad = state === "wrong-code" || state === "later"
  return (
    <section class="looking" aria-labelledby="door-title">
      <h2 id="door-title">{t("door.title")}</h2>
      <div class="found door">
        <h3>
          <Foreign>{title}</Foreign>
        </h3>
        <Words words={words} />
        <form class="entry" onSubmit={send}>
          <label for="door-code">{t("door.code")}</label>
          <input
            id="door-code"
            ref={field}
            type="text"
            required
            maxLength={128}
            autoComplete="off"
            spellcheck={false}
            dir="auto"
            aria-describedby="door-state"
          />
          <button>{t("door.enter")}</button>
        </form>
        <p id="door-state" class={bad ? "problem" : "hint"} role={bad ? "alert" : "status"}>
          {t(`door.${state}`, { time: Language.span(laterMs) })}
        </p>
      </div>
    </section>
  )
}
