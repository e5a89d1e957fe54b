import { assert, describe, it } from "@effect/vitest"
import * as Limits from "../../src/protocol/Limits.ts"
import * as PeerNotices from "../../src/services/PeerNotices.ts"

const notice = (reason: PeerNotices.PeerNotice["reason"], n = 0): PeerNotices.PeerNotice => ({
  reason,
  address: { host: `10.0.${n >> 8}.${n & 255}`, port: 1_024 + n },
  detail: ""
})
const others = ["version", "refused"] as const

describe("a notice of a link that did not come about", () => {
  it.each(others)(
    "is heard once of each machine, whatever its port, and of machinesNoticedMax machines: %s",
    (reason) => {
      const noticed = PeerNotices.make()
      for (let n = 0; n < Limits.machinesNoticedMax; n++) {
        assert.isTrue(PeerNotices.isNews(noticed, notice(reason, n)))
        assert.isFalse(
          PeerNotices.isNews(noticed, { ...notice(reason, n), address: { ...notice(reason, n).address, port: 1 } })
        )
      }
      assert.isFalse(PeerNotices.isNews(noticed, notice(reason, Limits.machinesNoticedMax)))
    }
  )

  it("is heard once where it is about this device, however many machines were named before", () => {
    const noticed = PeerNotices.make()
    for (const reason of others) {
      for (let n = 0; n <= Limits.machinesNoticedMax; n++) PeerNotices.isNews(noticed, notice(reason, n))
    }
    for (const reason of ["closed", "wrong-code", "later", "removed"] as const) {
      assert.isTrue(PeerNotices.isNews(noticed, notice(reason, 1)), reason)
      assert.isFalse(PeerNotices.isNews(noticed, notice(reason, 2)), reason)
    }
  })

  it("is heard of every guess, because those who answer guesses count them", () => {
    const noticed = PeerNotices.make()
    for (let n = 0; n <= Limits.machinesNoticedMax; n++) assert.isTrue(PeerNotices.isNews(noticed, notice("guess")))
  })
})
