/** What most people do: the file on the teacher's web server, and everybody downloads it. */
import * as Fs from "node:fs"
import { missingPrograms, type Tool } from "./Tool.ts"

export const tool: Tool = {
  name: "nginx",
  missing: () => missingPrograms("nginx", "curl"),
  enter: (field) => {
    const home = field.home(0)
    const configuration = `${home}/nginx.conf`
    Fs.writeFileSync(
      configuration,
      `daemon off; pid ${home}/pid; error_log stderr; user root; worker_processes 1; events { worker_connections 1024; }
http { access_log off; sendfile on; tcp_nopush on; server { listen 80; root ${home}; } }
`
    )
    const copy = (index: number) => `${field.home(index)}/data.bin`
    return {
      armTeacher: async () => void field.start(0, ["nginx", "-c", configuration, "-p", home]),
      armStudent: async (index) => {
        const { go, ready } = field.hold(index, [
          ..."curl --silent --show-error --continue-at - --retry 3 --retry-all-errors --output".split(" "),
          copy(index),
          `http://${field.address(0)}/data.bin`
        ])
        await ready
        return go
      },
      share: () => {},
      copy
    }
  }
}
