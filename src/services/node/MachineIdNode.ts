/**
 * {@link MachineId} from what each system knows of itself.
 *
 * Linux writes `/etc/machine-id` when it is installed; macOS has the hardware's IOPlatformUUID; Windows makes a MachineGuid
 * when it is installed. The first and the last are copied with the disk, hence the hardware addresses beside them.
 */
import { Effect, Layer } from "effect"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import { MachineId } from "../MachineId.ts"

/** How long a system's own tool may take to answer; at a start everybody waits for it. */
const toolTimeoutMs = 1_000

/** The contents of `/etc/machine-id`: 32 hexadecimal digits. A system that is being installed has something else there. */
export const parseMachineId = (text: string): string | undefined => /^([0-9a-f]{32})\s*$/.exec(text)?.[1]

/** The UUID in the output of `ioreg -rd1 -c IOPlatformExpertDevice`. */
export const parseIoreg = (text: string): string | undefined =>
  /"IOPlatformUUID"\s*=\s*"([0-9A-Fa-f-]{36})"/.exec(text)?.[1]

/** The GUID in the output of `reg query HKLM\SOFTWARE\Microsoft\Cryptography /v MachineGuid`. */
export const parseMachineGuid = (text: string): string | undefined =>
  /MachineGuid\s+REG_SZ\s+([0-9A-Fa-f-]{36})/.exec(text)?.[1]

interface InterfaceInfo {
  readonly mac: string
  readonly internal: boolean
}

/**
 * Hardware addresses that tell machines apart. Those made up by software (bit 1 of the first byte) only count where there
 * are no others, as in many virtual machines; those that VMware gives to every host's own networks never do.
 */
export const hardwareAddresses = (
  interfaces: Readonly<Record<string, ReadonlyArray<InterfaceInfo> | undefined>>
): ReadonlyArray<string> => {
  const all = Object.values(interfaces).flatMap((infos) => infos ?? [])
    .filter(({ internal, mac }) => !internal && mac !== "00:00:00:00:00:00" && !/^00:50:56:c0:00:/i.test(mac))
    .map(({ mac }) => mac.toLowerCase())
  const built = all.filter((mac) => (Number.parseInt(mac.slice(0, 2), 16) & 2) === 0)
  return [...new Set(built.length > 0 ? built : all)]
}

const readText = (path: string) =>
  Effect.sync(() => {
    try {
      return Fs.readFileSync(path, "utf8")
    } catch {
      return ""
    }
  })

/** A tool's standard output; nothing if it fails or takes too long. By full path: no program of that name elsewhere runs. */
const run = (path: string, args: ReadonlyArray<string>) =>
  Effect.callback<string>((resume) => {
    const child = ChildProcess.execFile(
      path,
      args,
      { timeout: toolTimeoutMs, windowsHide: true },
      (error, output) => resume(Effect.succeed(error === null ? output : ""))
    )
    return Effect.sync(() => child.kill())
  })

const installation: Effect.Effect<string | undefined> = Effect.suspend(() => {
  switch (process.platform) {
    case "darwin":
      return Effect.map(run("/usr/sbin/ioreg", ["-rd1", "-c", "IOPlatformExpertDevice"]), parseIoreg)
    case "win32":
      return Effect.map(
        run(`${process.env["SystemRoot"] ?? "C:\\Windows"}\\System32\\reg.exe`, [
          "query",
          "HKLM\\SOFTWARE\\Microsoft\\Cryptography",
          "/v",
          "MachineGuid",
          "/reg:64"
        ]),
        parseMachineGuid
      )
    default:
      return Effect.map(readText("/etc/machine-id"), parseMachineId)
  }
})

/** The number where users have numbers, else the name. A container's user may have neither name nor home. */
const user = Effect.sync(() => {
  try {
    return String(process.getuid?.() ?? Os.userInfo().username)
  } catch {
    return ""
  }
})

export const layerNode = Layer.succeed(
  MachineId,
  MachineId.of({
    facts: Effect.gen(function*() {
      return {
        installation: (yield* installation) ?? Os.hostname(),
        hardware: hardwareAddresses(Os.networkInterfaces()),
        user: yield* user
      }
    })
  })
)
