/**
 * A process that uses the real datagrams: `listen PORT` prints what it hears, `broadcast PORT TEXT` sends the text on
 * every interface and prints how many left, again and again. One JSON value a line; ends when its standard input does.
 */
import { Console, Effect, Queue } from "effect"
import { type Datagram, Datagrams } from "../../src/services/Datagrams.ts"
import { layerNode } from "../../src/services/node/DatagramsNode.ts"

const [mode, port, text] = process.argv.slice(2)

const print = (value: unknown) => Console.log(JSON.stringify(value))

const program = Effect.gen(function*() {
  const datagrams = yield* Datagrams
  if (mode === "listen") {
    const heard = yield* Queue.unbounded<Datagram>()
    yield* datagrams.listen(Number(port), (datagram) => Queue.offerUnsafe(heard, datagram))
    yield* print("listening")
    while (true) {
      const { bytes, from } = yield* Queue.take(heard)
      yield* print({ text: new TextDecoder().decode(bytes), host: from.host })
    }
  }
  while (true) {
    const from = yield* datagrams.interfaces
    const left = yield* datagrams.broadcast(Number(port), new TextEncoder().encode(text), from)
    yield* print({ left, interfaces: from.map(({ name }) => name) })
    yield* Effect.sleep("50 millis")
  }
})

process.stdin.resume().on("end", () => process.exit(0))
Effect.runFork(program.pipe(Effect.scoped, Effect.provide(layerNode)))
