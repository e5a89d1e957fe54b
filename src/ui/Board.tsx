/** What the teacher writes on the board: six words, and the join link for a camera. */
import { useState } from "preact/hooks"
import { encode } from "uqr"
import { t } from "./language.ts"
import { Dialog, Steady, WithCommand } from "./parts.tsx"

/** One path for all dark modules: a single element to draw, and drawn once. */
class Code extends Steady<{ readonly link: string; readonly label: string }> {
  override render() {
    const { label, link } = this.props
    const { data, size } = encode(link, { border: 2 })
    const path = data.flatMap((row, y) => row.map((dark, x) => dark ? `M${x} ${y}h1v1h-1z` : "")).join("")
    return (
      <svg class="code" viewBox={`0 0 ${size} ${size}`} role="img" aria-label={label} shape-rendering="crispEdges">
        <rect width={size} height={size} class="paper" />
        <path d={path} class="ink" />
      </svg>
    )
  }
}

export const Words = ({ words }: { readonly words: string }) => (
  <ol class="words" aria-label={t("board.words")} lang="en" dir="ltr">
    {words.split(" ").map((word, index) => <li key={index}>{word}</li>)}
  </ol>
)

const CopyLink = ({ link }: { readonly link: string }) => {
  const [copied, setCopied] = useState(false)
  const copy = async () => {
    await navigator.clipboard.writeText(link)
    setCopied(true)
    setTimeout(() => setCopied(false), 2_000)
  }
  return <button type="button" class="quiet" onClick={copy}>{t(copied ? "board.copied" : "board.copy")}</button>
}

export const Board = (
  { compact, ended, link, words }: {
    readonly words: string
    readonly link: string | undefined
    readonly ended: boolean
    /** Makes room for the students once there are some. */
    readonly compact: boolean
  }
) => {
  const [large, setLarge] = useState(false)
  if (ended) {
    return (
      <section class="board ended">
        <p>{t("board.ended")}</p>
      </section>
    )
  }
  return (
    <section class={compact ? "board compact" : "board"} aria-label={t("board.words")}>
      <div>
        <Words words={words} />
        <p class="hint">
          {t("board.explain")}{" "}
          <WithCommand text={t("board.start", { command: "labfx student" })} command="labfx student" />
        </p>
        <p class="actions">
          <button type="button" onClick={() => setLarge(true)}>{t("board.large")}</button>
          {link !== undefined && <CopyLink link={link} />}
        </p>
      </div>
      {link !== undefined && <Code link={link} label={t("board.qr")} />}
      {large && (
        <Dialog label={t("board.words")} class="large" onClose={() => setLarge(false)}>
          <Words words={words} />
          {link !== undefined && <Code link={link} label={t("board.qr")} />}
          <form method="dialog">
            <button>{t("app.close")}</button>
          </form>
        </Dialog>
      )}
    </section>
  )
}
