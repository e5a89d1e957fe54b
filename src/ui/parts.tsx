/** Small pieces that both sides of the page are made of. */
import { Component, type ComponentChildren, type JSX } from "preact"
import { useEffect, useRef } from "preact/hooks"
import * as Language from "./language.ts"

/** Draws again only when one of its properties is another value: the rows of sixty students depend on it. */
export abstract class Steady<Props extends object> extends Component<Props> {
  override shouldComponentUpdate(next: Readonly<Props>): boolean {
    const keys = new Set([...Object.keys(this.props), ...Object.keys(next)]) as Set<keyof Props>
    return [...keys].some((key) => this.props[key] !== next[key])
  }
}

/** Text of a person or a file: shown as text, in its own direction, and never wider than its place. */
export const Foreign = ({ children }: { readonly children: string }) => <bdi>{children}</bdi>

export const Bar = (
  { label, tone = "plain", value }: {
    readonly label: string
    readonly value: number
    readonly tone?: "plain" | "done" | "bad"
  }
) => (
  <div
    class={`bar ${tone}`}
    role="progressbar"
    aria-label={label}
    aria-valuemin={0}
    aria-valuemax={100}
    aria-valuenow={value}
    aria-valuetext={Language.percent(value)}
  >
    <span style={{ transform: `scaleX(${value / 100})` }} />
  </div>
)

export const Section = (
  { actions, children, id, title }: {
    readonly id: string
    readonly title: string
    readonly actions?: ComponentChildren
    readonly children: ComponentChildren
  }
) => (
  <section class={`panel ${id}`} aria-labelledby={`${id}-title`}>
    <header>
      <h2 id={`${id}-title`}>{title}</h2>
      {actions}
    </header>
    {children}
  </section>
)

/** A window over the page; Escape closes it, and the keyboard stays inside. */
export const Dialog = (
  { children, class: name, label, onClose }: {
    readonly label: string
    readonly class?: string
    readonly onClose: () => void
    readonly children: ComponentChildren
  }
) => {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => dialog.current?.showModal(), [])
  return (
    <dialog ref={dialog} class={name ?? ""} aria-label={label} onClose={onClose}>
      {children}
    </dialog>
  )
}

/** Words that come with a command in them. */
export const WithCommand = ({ command, text }: { readonly text: string; readonly command: string }): JSX.Element => {
  const [before = "", after = ""] = text.split(command)
  return (
    <>
      {before}
      <code dir="ltr">{command}</code>
      {after}
    </>
  )
}
