/** The teacher's page. */
import { useComputed, useSignal } from "@preact/signals"
import { useEffect } from "preact/hooks"
import type { LocalState } from "../services/LocalApi.ts"
import { Board } from "./Board.tsx"
import { Conversation } from "./Conversation.tsx"
import { handOver, itemsOfDrop } from "./drop.ts"
import { t } from "./language.ts"
import { attempt, end, state } from "./live.ts"
import { Dialog } from "./parts.tsx"
import { Shares } from "./Shares.tsx"
import { roomPercents, standings } from "./standing.ts"
import { Students } from "./Students.tsx"

/** The whole page takes what is dropped; a veil says so while something hangs over it. */
const DropVeil = () => {
  const hangs = useSignal(false)
  useEffect(() => {
    let depth = 0
    const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") === true
    const enter = (event: DragEvent) => {
      if (!carriesFiles(event)) return
      depth++
      hangs.value = true
    }
    const leave = () => {
      depth = Math.max(0, depth - 1)
      if (depth === 0) hangs.value = false
    }
    const over = (event: DragEvent) => {
      if (carriesFiles(event)) event.preventDefault()
    }
    const drop = (event: DragEvent) => {
      depth = 0
      hangs.value = false
      if (event.dataTransfer === null || !carriesFiles(event)) return
      event.preventDefault()
      void handOver(itemsOfDrop(event.dataTransfer))
    }
    const stop = new AbortController()
    const { signal } = stop
    addEventListener("dragenter", enter, { signal })
    addEventListener("dragleave", leave, { signal })
    addEventListener("dragover", over, { signal })
    addEventListener("drop", drop, { signal })
    return () => stop.abort()
  }, [])
  return hangs.value
    ? (
      <div class="veil">
        <p>{t("shares.dropNow")}</p>
      </div>
    )
    : null
}

export const EndSession = () => {
  const asks = useSignal(false)
  const confirm = async () => {
    asks.value = false
    await attempt(end)
  }
  return (
    <>
      <button type="button" class="quiet" onClick={() => (asks.value = true)}>{t("end.button")}</button>
      {asks.value && (
        <Dialog label={t("end.title")} class="ask" onClose={() => (asks.value = false)}>
          <h2>{t("end.title")}</h2>
          <p>{t("end.explain")}</p>
          <form method="dialog" class="actions">
            <button class="quiet">{t("app.cancel")}</button>
            <button type="button" class="grave" onClick={confirm}>{t("end.confirm")}</button>
          </form>
        </Dialog>
      )}
    </>
  )
}

export const Teacher = ({ now }: { readonly now: LocalState }) => {
  const { devices, header, messages, preparing, shares } = now
  const room = useComputed(() => standings(state.value?.devices ?? [], state.value?.shares ?? []))
  const ended = header.phase === "ended"
  return (
    <main id="content" class="teacher">
      <Board words={header.words ?? ""} link={header.link} ended={ended} compact={room.value.length > 0} />
      <Shares shares={shares} preparing={preparing} roomPercents={roomPercents(room.value)} ended={ended} />
      <Students standings={room.value} shares={shares} />
      <Conversation
        messages={messages}
        mayWrite={header.mayWrite && !ended}
        isTeacher
        self={devices.find(({ isSelf }) => isSelf)?.peer}
      />
      {!ended && <DropVeil />}
    </main>
  )
}
