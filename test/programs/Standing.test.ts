/** What `labfx who` says of each device. */
import { assert, describe, it } from "@effect/vitest"
import * as Standing from "../../src/programs/Standing.ts"
import type { DeviceNow, LocalState } from "../../src/services/LocalApi.ts"
import * as SessionFake from "../support/SessionFake.ts"

const device = (name: string, changed: Partial<DeviceNow>): DeviceNow => ({
  peer: SessionFake.peer(name),
  name,
  isHost: false,
  isSelf: false,
  linked: true,
  presence: "here",
  seenAtMs: 0,
  receiveBytesPerSecond: 0,
  slow: false,
  outdated: false,
  ...changed
})

const who = (...devices: ReadonlyArray<DeviceNow>): ReadonlyArray<string> =>
  Standing.text(Standing.devices({ devices, shares: [] as LocalState["shares"] } as LocalState)).split("\n").slice(
    1,
    -1
  )

describe("labfx status", () => {
  it("says how far is what is being prepared", () => {
    const preparing = [
      { id: "preparing-1", title: "linux.iso\u0007", hashedBytes: 3_200_000_000, totalBytes: 10_000_000_000 },
      { id: "preparing-2", title: "photos", hashedBytes: 0 }
    ]
    const header = { phase: "joined", title: "Physics" } as LocalState["header"]
    const now: Partial<LocalState> = { header, shares: [], devices: [], messages: [], preparing }
    assert.deepStrictEqual(Standing.text(Standing.session(now as LocalState)).split("\n").slice(3, -1), [
      "  linux.iso: being prepared, 3.20 GB of 10.0 GB",
      "  photos: being prepared"
    ])
  })
})

describe("labfx who", () => {
  it("names the version of whoever runs an older labfx, and of nobody else", () => {
    assert.deepStrictEqual(
      who(
        device("ada", { isHost: true, isSelf: true, program: "labfx 0.10.0" }),
        device("anna", { program: "labfx 0.9.0", outdated: true }),
        device("ben", { program: "labfx 0.10.0" })
      ),
      [
        "  ada (teacher): this device",
        "  anna: linked, has 0 of 0 shares, old version (labfx 0.9.0)",
        "  ben: linked, has 0 of 0 shares"
      ]
    )
  })

  it("says what is wrong with a device, and with the teacher's own copy", () => {
    const [root, verifiedBytes] = [SessionFake.root("r"), 0]
    const lines = who(
      device("ada", { isHost: true, shares: [{ root, verifiedBytes, complete: false, problem: "source-changed" }] }),
      device("anna", { shares: [{ root, verifiedBytes, complete: false, problem: "disk-full" }] })
    )
    assert.match(lines[0]!, /, what it hands out was changed$/)
    assert.match(lines[1]!, /, its disk is full$/)
  })
})
