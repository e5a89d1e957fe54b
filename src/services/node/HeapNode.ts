/** How much memory the engine may take for what is soon thrown away. */
import { Duration, Effect, Layer } from "effect"
import * as NodeV8 from "node:v8"
import * as NodeVm from "node:vm"

const growingPercent = 50
/** Datagrams come in buffers of their own, which are garbage at once: collecting it cost a fifth of the processor (decision 0067). */
const growingPercentOfDatagrams = 400

/**
 * What they leave is taken again soon. Linux's allocator (glibc) gives memory at its end back when there is more than twice as
 * much of it as the largest mapping that was ever freed (`mallopt(3)`, `M_MMAP_THRESHOLD`), and each page that is taken again is a fault.
 */
const largestFreedBytes = 8 * 1024 * 1024
let keeps = false

/** Whether many datagrams come for now. */
export const expectDatagrams = (expected: boolean): void => {
  NodeV8.setFlagsFromString(`--heap-growing-percent=${expected ? growingPercentOfDatagrams : growingPercent}`)
  if (!expected || keeps) return
  keeps = true
  // Never touched, so it costs a moment and no memory.
  new ArrayBuffer(largestFreedBytes).transfer(0)
}

/** By then a session has begun, and hardly anybody has shared anything yet. */
const collectedAfter = Duration.seconds(2)

/** Node gives `gc` only to who asks for it on its command line, or in a context that is made while the flag is set. */
const collect = Effect.sync(() => {
  NodeV8.setFlagsFromString("--expose-gc")
  const gc: unknown = NodeVm.runInNewContext("globalThis.gc")
  NodeV8.setFlagsFromString("--no-expose-gc")
  if (typeof gc === "function") gc()
})

/**
 * From the moment a session begins, new objects get no more room than they have (a few MiB), and the heap is collected when
 * it is half as large again as what was left of it. V8 on its own would let the first grow to 64 MiB under load and the heap
 * to many times what is in use, and give back little: one peer that sends much could make a device hold 130 MiB more for the
 * rest of the lesson. Chunks hardly pass through the heap, so this costs no processor time there (docs/RELIABILITY.md).
 *
 * What the start has left is collected in the calm after it: else the heap was full just when the first share was opened, on every
 * machine of the room at once (decision 0076).
 */
export const layerNode = Layer.effectDiscard(Effect.suspend(() => {
  NodeV8.setFlagsFromString("--semi-space-growth-factor=1")
  expectDatagrams(false)
  return Effect.forkScoped(Effect.delay(collect, collectedAfter))
}))
