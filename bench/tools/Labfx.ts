/** labfx itself, by its `--json` events. */
import * as Fs from "node:fs"
import { type Event, keygen, labfx, program } from "../Processes.ts"
import type { Tool } from "./Tool.ts"

export const tool: Tool = {
  name: "labfx",
  missing: () => Fs.existsSync(program) ? undefined : `${program} is not there: \`npm run build\` makes it`,
  enter: async (field) => {
    const key = `${field.home(0)}/key`
    await keygen(key)
    const start = (index: number, ...args: ReadonlyArray<string>) =>
      labfx([...args, "--state", `${field.home(index)}/state`, "--json", "--no-ui"], field.prefix(index))
    let share = () => {}
    const paths = new Map<number, string>()
    return {
      armTeacher: () => {
        const teacher = start(0, "teacher", "--secret-file", key, "--title", "Bench")
        share = () => void teacher.child.stdin.write(`/share ${field.file}\n`)
        return teacher.until("session.started")
      },
      armStudent: async (index) => {
        const student = start(index, "student", "--yes", "--dir", `${field.home(index)}/received`)
        student.onEvent((event: Event) => {
          if (event["event"] !== "share.completed") return
          paths.set(index, String(event["path"]))
          field.done(index, Date.parse(String(event["time"])))
        })
        await student.until("peer.up")
        return () => {}
      },
      share: () => share(),
      copy: (index) => paths.get(index)!
    }
  }
}
