/**
 * Files dropped onto the page, handed over to labfx: a browser tells no paths, so their bytes are streamed to it.
 *
 * The body of an upload is put together of file references, not of bytes: the browser reads each file when its turn has
 * come, so a dataset of gigabytes costs no memory.
 */
import { signal } from "@preact/signals"
import { t } from "./language.ts"
import { call, complain, headers, refusalOf, trouble } from "./live.ts"

export interface Handover {
  readonly id: number
  /** What lies at the top of it, each to become a share. */
  readonly titles: ReadonlyArray<string>
  readonly doneBytes: number
  readonly totalBytes: number
  readonly phase: "copying" | "preparing"
}

export const handovers = signal<ReadonlyArray<Handover>>([])
const cancels = new Map<number, () => void>()

export const cancel = (id: number) => cancels.get(id)?.()

/** Something with a path inside the drop; without a file it is an empty folder. */
interface Item {
  readonly path: string
  readonly file: File | undefined
}

/** Files in one upload: large enough that ten thousand small ones cost a few requests. */
const filesPerUploadMax = 500
const bytesPerUploadMax = 256 * 1_000_000
/** More loose files than this are put into one folder: nobody wants ten shares of a file each. */
const looseFilesMax = 5

const systemFiles = new Set([".DS_Store", "Thumbs.db", "desktop.ini"])

const entriesOf = (reader: FileSystemDirectoryReader) =>
  new Promise<ReadonlyArray<FileSystemEntry>>((resolve, reject) => reader.readEntries(resolve, reject))

const fileOf = (entry: FileSystemFileEntry) => new Promise<File>((resolve, reject) => entry.file(resolve, reject))

/** Everything below an entry. */
const walk = async (entry: FileSystemEntry, folder: string, items: Array<Item>): Promise<void> => {
  const path = `${folder}${entry.name}`.normalize("NFC")
  if (entry.isFile) {
    if (!systemFiles.has(entry.name)) items.push({ path, file: await fileOf(entry as FileSystemFileEntry) })
    return
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader()
  let empty = true
  // A reader gives its names in portions; an empty one is the last.
  for (let names = await entriesOf(reader); names.length > 0; names = await entriesOf(reader)) {
    empty = false
    for (const name of names) await walk(name, `${path}/`, items)
  }
  if (empty) items.push({ path, file: undefined })
}

/** What a drop holds. Its entries must be asked for at once: they are gone when the event is over. */
export const itemsOfDrop = (data: DataTransfer): Promise<ReadonlyArray<Item>> => {
  const entries = [...data.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null)
  return (async () => {
    const items: Array<Item> = []
    for (const entry of entries) await walk(entry, "", items)
    return items
  })()
}

/** What was chosen in a file dialog; a chosen folder tells each file's path below it. */
export const itemsOfFiles = (files: FileList): ReadonlyArray<Item> =>
  [...files].filter((file) => !systemFiles.has(file.name)).map((file) => ({
    path: (file.webkitRelativePath || file.name).normalize("NFC"),
    file
  }))

const gathered = (items: ReadonlyArray<Item>): ReadonlyArray<Item> => {
  const loose = items.filter(({ path }) => !path.includes("/"))
  if (loose.length <= looseFilesMax) return items
  const folder = t("shares.folderName")
  return items.map((item) => item.path.includes("/") ? item : { ...item, path: `${folder}/${item.path}` })
}

const record = ({ file, path }: Item): ReadonlyArray<BlobPart> =>
  file === undefined
    ? [`${JSON.stringify({ path, folder: true })}\n`]
    : [`${JSON.stringify({ path, size: file.size })}\n`, file]

interface Written {
  readonly files: number
  readonly skipped: ReadonlyArray<{ readonly path: string; readonly reason: string }>
}

/** One upload; told in bytes as it goes. */
const upload = (drop: number, body: Blob, onProgress: (bytes: number) => void, onStart: (abort: () => void) => void) =>
  new Promise<Written>((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open("POST", `/api/drops/${drop}/files`)
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value)
    request.setRequestHeader("content-type", "application/octet-stream")
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded))
    request.addEventListener("load", () =>
      request.status === 200
        ? resolve(JSON.parse(request.responseText) as Written)
        : reject(refusalOf(request.responseText)))
    // A file that changed or vanished while it was being read ends the upload like a lost network.
    request.addEventListener(
      "error",
      () => reject(refusalOf(JSON.stringify({ _tag: "DropRefused", reason: "cut-off" })))
    )
    request.addEventListener("abort", () => reject(new DOMException("cancelled", "AbortError")))
    onStart(() => request.abort())
    request.send(body)
  })

/** Hands files over and has them shared; what happens is shown. */
export const handOver = async (found: ReadonlyArray<Item> | Promise<ReadonlyArray<Item>>): Promise<void> => {
  trouble.value = undefined
  let drop: number | undefined
  let isShared = false
  try {
    const items = gathered(await found)
    if (items.length === 0) return
    const totalBytes = items.reduce((sum, { file }) => sum + (file?.size ?? 0), 0)
    const { drop: id } = await call<{ readonly drop: number }>("POST", "/drops")
    drop = id
    const titles = [...new Set(items.map(({ path }) => path.split("/")[0]!))]
    const show = (changed: Partial<Handover>) => {
      const old = handovers.value.find((each) => each.id === id) ??
        { id, titles, doneBytes: 0, totalBytes, phase: "copying" as const }
      handovers.value = [...handovers.value.filter((each) => each.id !== id), { ...old, ...changed }]
    }
    show({})
    const skipped: Array<string> = []
    let before = 0
    for (let from = 0; from < items.length;) {
      const batch: Array<Item> = []
      let batchBytes = 0
      while (
        from < items.length && batch.length < filesPerUploadMax &&
        (batch.length === 0 || batchBytes < bytesPerUploadMax)
      ) {
        const item = items[from++]!
        batch.push(item)
        batchBytes += item.file?.size ?? 0
      }
      const written = await upload(
        id,
        new Blob(batch.flatMap(record)),
        (bytes) => show({ doneBytes: Math.min(totalBytes, before + bytes) }),
        (abort) => cancels.set(id, abort)
      )
      before += batchBytes
      skipped.push(...written.skipped.map(({ path }) => path))
      show({ doneBytes: before })
    }
    show({ phase: "preparing" })
    await call("POST", `/drops/${id}/share`)
    isShared = true
    if (skipped.length > 0) {
      trouble.value = t("shares.skipped", { count: skipped.length, names: skipped.slice(0, 5).join(", ") })
    }
  } catch (error) {
    if (!(error instanceof DOMException && error.name === "AbortError")) complain(error)
    if (drop !== undefined && !isShared) await call("DELETE", `/drops/${drop}`).catch(() => undefined)
  } finally {
    handovers.value = handovers.value.filter(({ id }) => id !== drop)
    if (drop !== undefined) cancels.delete(drop)
  }
}
