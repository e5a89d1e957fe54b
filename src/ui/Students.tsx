/** The grid of students: who has what, and who needs help, without scrolling in a room of usual size. */
import { signal } from "@preact/signals"
import { Component } from "preact"
import type { ShareNow } from "../services/LocalApi.ts"
import * as Language from "./language.ts"
import { t } from "./language.ts"
import { attempt, exportPeople, now, remove } from "./live.ts"
import { Bar, Dialog, Foreign, Section, Steady } from "./parts.tsx"
import type { Standing } from "./standing.ts"

const view = signal<"cards" | "table">("cards")
/** Whom the teacher is about to remove. */
const leaving = signal<Standing["device"] | undefined>(undefined)

const wordsOf = ({ device, key }: Standing): string =>
  [t(key, { rate: Language.rate(device.receiveBytesPerSecond) }), device.outdated ? t("device.outdated") : ""]
    .filter((part) => part !== "").join(" · ")

const barTone = { done: "done", stuck: "bad", busy: "plain", idle: "plain", away: "plain" } as const

interface CardProps {
  readonly name: string
  readonly words: string
  /** When it was last heard, of one that is away. */
  readonly seen: string | undefined
  /** Of everything; nothing where nothing is shared. */
  readonly percent: number | undefined
  readonly tone: Standing["tone"]
  readonly language: string
}

/** Made of what is seen on it and of nothing else: a device is another value every second, its card hardly ever. */
class Card extends Steady<CardProps> {
  override render() {
    const { name, percent, seen, tone, words } = this.props
    return (
      <li class={`card ${tone}`}>
        <div class="line">
          <strong class="name" title={name}>
            <Foreign>{name}</Foreign>
          </strong>
          {percent !== undefined && <span class="figures">{Language.percent(percent)}</span>}
        </div>
        {percent !== undefined && <Bar label={name} value={percent} tone={barTone[tone]} />}
        <p class="hint">{words}{seen !== undefined && <span class="seen">{seen}</span>}</p>
      </li>
    )
  }
}

const seenOf = ({ device }: Standing): string =>
  device.presence === "here" ? t("device.seenNow") : Language.ago(device.seenAtMs, now.value)

const cardProps = (standing: Standing): CardProps & { readonly key: string } => ({
  key: standing.device.peer,
  name: standing.device.name,
  words: wordsOf(standing),
  seen: standing.tone === "away" ? seenOf(standing) : undefined,
  percent: standing.each.length > 0 ? standing.percent : undefined,
  tone: standing.tone,
  language: Language.language.value.tag
})

interface RowProps {
  readonly standing: Standing
  /** What it was drawn from: a standing is made afresh at every change, its device is not. */
  readonly device: Standing["device"]
  readonly shares: number
  readonly language: string
  readonly seen: string
}

class TableRow extends Component<RowProps> {
  override shouldComponentUpdate(next: Readonly<RowProps>): boolean {
    const { standing: _, ...before } = this.props
    const { standing: __, ...after } = next
    return (Object.keys(after) as ReadonlyArray<keyof typeof after>).some((key) => before[key] !== after[key]) ||
      this.props.standing.percent !== next.standing.percent || this.props.standing.key !== next.standing.key
  }

  override render() {
    const { seen, standing } = this.props
    const { device, each, tone } = standing
    return (
      <tr class={tone}>
        <th scope="row">
          <Foreign>{device.name}</Foreign>
        </th>
        <td>{wordsOf(standing)}</td>
        {each.map(({ percent, root }) => (
          <td key={root} class={`figures ${percent === 100 ? "whole" : ""}`}>{Language.percent(percent)}</td>
        ))}
        <td class="figures">{device.receiveBytesPerSecond > 0 ? Language.rate(device.receiveBytesPerSecond) : "–"}</td>
        <td class="figures">{seen}</td>
        <td class="figures">
          <button
            type="button"
            class="quiet"
            aria-label={t("students.removeName", { name: device.name })}
            onClick={() => (leaving.value = device)}
          >
            {t("students.remove")}
          </button>
        </td>
      </tr>
    )
  }
}

const rowProps = (standing: Standing, shares: number): RowProps & { readonly key: string } => ({
  key: standing.device.peer,
  standing,
  device: standing.device,
  shares,
  language: Language.language.value.tag,
  seen: seenOf(standing)
})

const Summary = ({ standings }: { readonly standings: ReadonlyArray<Standing> }) => {
  const present = standings.filter(({ tone }) => tone !== "away")
  const done = present.filter(({ tone }) => tone === "done").length
  const stuck = present.filter(({ tone }) => tone === "stuck").length
  return (
    <p class="summary">
      <span>{t("students.count", { count: present.length })}</span>
      {done > 0 && <span class="good">{t("students.done", { count: done })}</span>}
      {stuck > 0 && <span class="bad">{t("students.stuck", { count: stuck })}</span>}
    </p>
  )
}

const Removal = ({ device }: { readonly device: Standing["device"] }) => {
  const close = () => (leaving.value = undefined)
  const confirm = async () => {
    close()
    await attempt(() => remove(device.peer))
  }
  const title = t("students.removeTitle", { name: device.name })
  return (
    <Dialog label={title} class="ask" onClose={close}>
      <h2>{title}</h2>
      <p>{t("students.removeExplain")}</p>
      <form method="dialog" class="actions">
        <button class="quiet">{t("app.cancel")}</button>
        <button type="button" class="grave" onClick={confirm}>{t("students.remove")}</button>
      </form>
    </Dialog>
  )
}

export const Students = (
  { shares, standings }: { readonly standings: ReadonlyArray<Standing>; readonly shares: ReadonlyArray<ShareNow> }
) => {
  const wanted = shares.filter(({ state }) => state !== "withdrawn" && state !== "failed")
  const actions = standings.length > 0 && (
    <div class="actions">
      <Summary standings={standings} />
      <div class="choice" role="group" aria-label={t("students.view")}>
        {(["cards", "table"] as const).map((each) => (
          <button key={each} type="button" aria-pressed={view.value === each} onClick={() => (view.value = each)}>
            {t(`students.${each}`)}
          </button>
        ))}
      </div>
      <button type="button" class="quiet" onClick={() => attempt(exportPeople)}>{t("students.export")}</button>
    </div>
  )
  return (
    <Section id="students" title={t("students.title")} actions={actions}>
      {leaving.value !== undefined && <Removal device={leaving.value} />}
      {standings.length === 0
        ? (
          <p class="empty">
            {t("students.none")} <span class="hint">{t("students.noneHelp")}</span>
          </p>
        )
        : view.value === "cards"
        ? (
          <ul class="grid">
            {standings.map((standing) => <Card {...cardProps(standing)} />)}
          </ul>
        )
        : (
          <div class="scroller" tabIndex={0} role="group" aria-label={t("students.table")}>
            <table>
              <thead>
                <tr>
                  <th scope="col">{t("students.name")}</th>
                  <th scope="col">{t("students.state")}</th>
                  {wanted.map(({ root, title }) => (
                    <th scope="col" key={root} class="figures">
                      <Foreign>{title}</Foreign>
                    </th>
                  ))}
                  <th scope="col" class="figures">{t("students.rate")}</th>
                  <th scope="col" class="figures">{t("students.seen")}</th>
                  <td />
                </tr>
              </thead>
              <tbody>{standings.map((standing) => <TableRow {...rowProps(standing, wanted.length)} />)}</tbody>
            </table>
          </div>
        )}
    </Section>
  )
}
