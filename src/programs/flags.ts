/** Flags that several commands share. */
import { Flag } from "effect/cli"
import { usualPort } from "../protocol/Wire.ts"
import * as Parsing from "./Parsing.ts"

/** Not assigned to anything; above the ports that need rights and below those that systems hand out. */

const port = (name: string) =>
  Flag.Int(name).pipe(
    Flag.filter(Parsing.isPort, () => "a number from 0 to 65535")
  )

export const listenPort = port("port").pipe(
  Flag.withDescription(`TCP port for links from other devices (default: ${usualPort}, or a free one if that is taken)`),
  Flag.withDefault(0)
)

export const discoveryPort = port("discovery-port").pipe(
  Flag.withDescription(`UDP port for announcements, the same in the whole room (default: ${usualPort})`),
  Flag.withDefault(usualPort)
)

export const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print events as JSON, one object a line, instead of words"),
  Flag.withDefault(false)
)

export const stateFolder = Flag.String("state").pipe(
  Flag.withMetavar("DIR"),
  Flag.withDescription("Where keys, trusted teachers and unfinished downloads are kept"),
  Flag.optional
)

export const name = Flag.String("name").pipe(
  Flag.withDescription("What others see (default: this machine's name)"),
  Flag.optional
)

export const noUi = Flag.Boolean("no-ui").pipe(
  Flag.withDescription("Serve no page and no local API; labfx share, say and status then find nothing"),
  Flag.withDefault(false)
)

export const uiPort = port("ui-port").pipe(
  Flag.withDescription("Port of the page and the local API on this machine (default: a free one)"),
  Flag.withDefault(0)
)
