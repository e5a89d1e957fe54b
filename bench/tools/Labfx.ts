/** labfx itself, by its `--json` events. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { type Event, keygen, labfx, program } from "../Processes.ts"
import type { Tool } from "./Tool.ts"

/** Whether an event is of the share of that file. */
const isOf = (file: string, event: Event): boolean => Path.basename(String(event["path"])) === Path.basename(file)

export const tool: Tool = {
  name: "labfx",
  missing: () => Fs.existsSync(program) ? undefined : `${program} is not there: \`npm run build\` makes it`,
  enter: async (field) => {
    const key = `${field.home(0)}/key`
    await keygen(key)
    const start = (index: number, ...args: ReadonlyArray<string>) =>
      labfx([...args, "--state", `${field.home(index)}/state`, "--json", "--no-ui"], field.prefix(index))
    let share = (_file: string) => {}
    const students: Array<ReturnType<typeof labfx>> = []
    const paths = new Map<number, string>()
    return {
      armTeacher: () => {
        const teacher = start(0, "teacher", "--secret-file", key, "--title", "Bench")
        share = (file) => void teacher.child.stdin.write(`/share ${file}\n`)
        return teacher.until("session.started")
      },
      armStudent: async (index) => {
        const student = start(index, "student", "--yes", "--dir", `${field.home(index)}/received`)
        student.onEvent((event: Event) => {
          if (event["event"] !== "share.completed" || !isOf(field.file, event)) return
          paths.set(index, String(event["path"]))
          field.done(index, Date.parse(String(event["time"])))
        })
        students.push(student)
        await student.until("peer.up")
        return () => {}
      },
      shareBefore: (file) => {
        share(file)
        return Promise.all(students.map((student) => student.until("share.completed", (event) => isOf(file, event))))
      },
      share: () => share(field.file),
      copy: (index) => paths.get(index)!
    }
  }
}
