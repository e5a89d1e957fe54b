/** The start page: a person says who they are, and labfx begins. */
import { useSignal } from "@preact/signals"
import type { ComponentChildren } from "preact"
import type { StartChoice, StartDefaults } from "../services/LocalApi.ts"
import { t } from "./language.ts"
import { attempt, begin } from "./live.ts"
import { Section } from "./parts.tsx"

type Ask = (choice: () => StartChoice | Promise<StartChoice>) => (event: Event) => void

const Field = (
  { hidden = false, label, name, required = false, value = "" }: {
    readonly label: string
    readonly name: string
    readonly value?: string
    readonly required?: boolean
    readonly hidden?: boolean
  }
) => (
  <label>
    {label}
    {hidden
      ? <input type="password" name={name} required={required} autoComplete="off" />
      : (
        <input
          type="text"
          name={name}
          defaultValue={value}
          required={required}
          autoComplete="off"
          spellcheck={false}
          dir="auto"
        />
      )}
  </label>
)

const Tick = (
  { checked, children, name, onInput, type, value }: {
    readonly type: "radio" | "checkbox"
    readonly name: string
    readonly value: string
    readonly checked?: boolean
    readonly onInput?: () => void
    readonly children: ComponentChildren
  }
) => (
  <label class="tick">
    <input type={type} name={name} value={value} checked={checked} onInput={onInput} />
    <span>{children}</span>
  </label>
)

/** What was filled into a form. */
const read = (event: Event) => {
  const filled = new FormData(event.currentTarget as HTMLFormElement)
  return (name: string) => String(filled.get(name) ?? "").trim()
}

const optional = (code: string) => code === "" ? {} : { joinCode: code }

const Student = (
  { ask, busy, defaults }: { readonly defaults: StartDefaults; readonly ask: Ask; readonly busy: boolean }
) => {
  const send = (event: Event) => {
    const field = read(event)
    ask(() => ({ _tag: "Student", name: field("name"), folder: field("folder"), ...optional(field("code")) }))(event)
  }
  return (
    <Section id="start-student" title={t("start.student")}>
      <form onSubmit={send}>
        <Field label={t("start.name")} name="name" value={defaults.name} required />
        <Field label={t("start.folder")} name="folder" value={defaults.folder} required />
        <Field label={t("start.code")} name="code" />
        <button disabled={busy}>{t(busy ? "start.beginning" : "start.look")}</button>
      </form>
    </Section>
  )
}

/** More than any key file has. */
const keyFileBytesMax = 64 * 1_024

const Teacher = (
  { ask, busy, defaults }: { readonly defaults: StartDefaults; readonly ask: Ask; readonly busy: boolean }
) => {
  const key = useSignal<"kept" | "file" | "phrase">("kept")
  const send = (event: Event) => {
    const form = event.currentTarget as HTMLFormElement
    const field = read(event)
    const [file] = (form.elements.namedItem("file") as HTMLInputElement | null)?.files ?? []
    ask(async () => ({
      _tag: "Teacher",
      title: field("title"),
      studentsMayWrite: field("write") !== "",
      ...optional(field("code")),
      ...(file !== undefined
        ? { secret: await file.slice(0, keyFileBytesMax).text() }
        : key.value === "phrase"
        ? { secret: field("phrase") }
        : {})
    }))(event)
  }
  const choice = (value: typeof key.value, label: string) => (
    <Tick type="radio" name="key" value={value} checked={key.value === value} onInput={() => (key.value = value)}>
      {label}
    </Tick>
  )
  return (
    <Section id="start-teacher" title={t("start.teacher")}>
      <form onSubmit={send}>
        <Field label={t("start.sessionTitle")} name="title" value={defaults.title} required />
        <fieldset>
          <legend>{t("start.key")}</legend>
          {choice("kept", t(defaults.keyKept ? "start.kept" : "start.make"))}
          {choice("file", t("start.keyFile"))}
          {key.value === "file" && (
            <label>
              {t("start.chooseKey")}
              <input type="file" name="file" required />
            </label>
          )}
          {choice("phrase", t("start.phrase"))}
          {key.value === "phrase" && <Field label={t("start.typePhrase")} name="phrase" hidden required />}
        </fieldset>
        <Tick type="checkbox" name="write" value="yes">{t("start.mayWrite")}</Tick>
        <Field label={t("start.close")} name="code" />
        <button disabled={busy}>{t(busy ? "start.beginning" : "start.open")}</button>
      </form>
    </Section>
  )
}

export const Start = ({ defaults }: { readonly defaults: StartDefaults }) => {
  const busy = useSignal(false)
  const ask: Ask = (choice) => (event) => {
    event.preventDefault()
    busy.value = true
    // What has begun takes this page's place by itself.
    void attempt(async () => begin(await choice())).then((begun) => {
      if (!begun) busy.value = false
    })
  }
  return (
    <main id="content" class="starting">
      <h1>{t("start.title")}</h1>
      <div class="roles">
        <Student defaults={defaults} ask={ask} busy={busy.value} />
        <Teacher defaults={defaults} ask={ask} busy={busy.value} />
      </div>
    </main>
  )
}
