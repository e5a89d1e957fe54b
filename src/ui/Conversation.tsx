/** What was said, and a line to say something. */
import { useSignal } from "@preact/signals"
import { useLayoutEffect, useRef } from "preact/hooks"
import type { Message } from "../services/LocalApi.ts"
import * as Language from "./language.ts"
import { t } from "./language.ts"
import { attempt, now, say } from "./live.ts"
import { Foreign, Section, Steady } from "./parts.tsx"

/** Drawn at first, and added at every "show earlier". */
const portion = 100

class Line extends Steady<
  { readonly message: Message; readonly isOwn: boolean; readonly time: string; readonly language: string }
> {
  override render() {
    const { isOwn, message, time } = this.props
    return (
      <li class={message.byHost ? "message host" : "message"}>
        <div class="line">
          <strong class="name">
            <Foreign>{message.name}</Foreign>
          </strong>
          {(message.byHost || isOwn) && <span class="role">{t(isOwn ? "talk.you" : "talk.teacher")}</span>}
          <time>{time}</time>
        </div>
        <p dir="auto">{message.text}</p>
      </li>
    )
  }
}

interface Talk {
  readonly messages: ReadonlyArray<Message>
  readonly mayWrite: boolean
  readonly isTeacher: boolean
  /** This device. */
  readonly self: string | undefined
}

const Talking = ({ isTeacher, mayWrite, messages, self }: Talk) => {
  const shown = useSignal(portion)
  const list = useRef<HTMLOListElement>(null)
  const atEnd = useRef(true)
  const field = useRef<HTMLTextAreaElement>(null)
  const last = messages.at(-1)
  // Whoever reads further up is left there; whoever is at the end stays at the end.
  useLayoutEffect(() => {
    if (atEnd.current && list.current !== null) list.current.scrollTop = list.current.scrollHeight
  }, [last])
  const watch = () => {
    const { clientHeight, scrollHeight, scrollTop } = list.current!
    atEnd.current = scrollHeight - scrollTop - clientHeight < 40
  }
  const send = async (event: Event) => {
    event.preventDefault()
    const text = field.current!.value.trim()
    if (text === "") return
    atEnd.current = true
    if (await attempt(() => say(text))) field.current!.value = ""
  }
  const onKey = (event: KeyboardEvent) => {
    // While a word is being composed (Hindi, Japanese), Enter ends the word and not the message.
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) void send(event)
  }
  return (
    <Section id="talk" title={t("talk.title")}>
      {messages.length === 0 ?
        <p class="empty">{t("talk.none")}</p> :
        (
          <ol class="messages" ref={list} onScroll={watch} tabIndex={0} aria-label={t("talk.title")}>
            {messages.length > shown.value && (
              <li>
                <button type="button" class="quiet" onClick={() => (shown.value += portion)}>
                  {t("talk.earlier")}
                </button>
              </li>
            )}
            {messages.slice(-shown.value).map((message) => (
              <Line
                key={`${message.author} ${message.number}`}
                message={message}
                isOwn={message.author === self}
                time={Language.clock(message.writtenAt, now.value)}
                language={Language.language.value.tag}
              />
            ))}
          </ol>
        )}
      {mayWrite
        ? (
          <form class="say" onSubmit={send}>
            <textarea
              ref={field}
              rows={2}
              aria-label={t(isTeacher ? "talk.placeholder" : "talk.ask")}
              placeholder={t(isTeacher ? "talk.placeholder" : "talk.ask")}
              onKeyDown={onKey}
              dir="auto"
            />
            <button>{t("talk.send")}</button>
          </form>
        )
        : !isTeacher && <p class="hint">{t("talk.closed")}</p>}
    </Section>
  )
}

/** Drawn again when something was said, not whenever a figure elsewhere on the page has moved. */
export class Conversation extends Steady<Talk> {
  override render() {
    return <Talking {...this.props} />
  }
}
