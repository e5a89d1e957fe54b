/** Who this device is: its peer key, kept with its state and bound to machine, user and folder. */
import { Context, Effect, Layer, Result, Schema, Semaphore } from "effect"
import { Base64Url } from "effect/encoding"
import { PublicKey } from "../protocol/Ids.ts"
import * as Limits from "../protocol/Limits.ts"
import { Crypto, type KeyPair } from "./Crypto.ts"
import { Disk, DiskError } from "./Disk.ts"
import { MachineId } from "./MachineId.ts"

/** A root key that this device trusts, under the name it was first seen with. */
export const Pin = Schema.Struct({ root: PublicKey, title: Schema.String })
export type Pin = typeof Pin.Type

/** The state folder cannot be used. Nothing in it was changed. */
export class StateError extends Schema.TaggedError<StateError>()("StateError", {
  path: Schema.String,
  reason: Schema.Literals(["in-use", "damaged", "newer-version", "disk"]),
  detail: Schema.String
}) {}

export class Identity extends Context.Service<Identity, {
  /**
   * The device's own peer key. Made at the first start and kept; made afresh when the state folder is found on another
   * machine, under another user or in another place, so that a cloned disk image does not give thirty devices one name.
   */
  readonly device: Effect.Effect<KeyPair, StateError>
  /** A key for one run only; the teacher's peer key. Never written down. */
  readonly ephemeral: Effect.Effect<KeyPair>
  readonly pins: Effect.Effect<ReadonlyArray<Pin>, StateError>
  /** Trusts a root key from now on. One that is pinned already gets the new title. */
  readonly pin: (pin: Pin) => Effect.Effect<void, StateError | DiskError>
}>()("labfx/services/Identity") {
  /** Holds the state folder as long as it lives: a second process that wants it fails with `in-use`. */
  static readonly layer = (stateFolder: string) => Layer.effect(Identity, make(stateFolder))
}

const fileBytesMax = 1024 * 1024

const AnyVersion = Schema.Struct({ version: Schema.Natural })

const decodeVersion = Schema.decodeUnknownResult(Schema.fromJsonString(AnyVersion))

/** 32 bytes as base64url text. */
const Seed = Schema.Uint8ArrayFromBase64Url.check(
  Schema.makeFilter((bytes) => (bytes.length === 32 ? undefined : "32 bytes"))
)

const DeviceFile = Schema.Struct({
  version: Schema.Literal(1),
  seed: Seed,
  /** The hash of installation, user and folder. */
  place: Schema.String,
  /** Hashes of the hardware addresses seen so far, those seen last at the end. */
  hardware: Schema.Array(Schema.String).check(Schema.isMaxLength(Limits.hardwareKnownMax))
})
type DeviceFile = typeof DeviceFile.Type

const PinsFile = Schema.Struct({ version: Schema.Literal(1), pins: Schema.Array(Pin) })

const fail = (path: string, reason: StateError["reason"], detail: string) => new StateError({ path, reason, detail })

const onDisk = <A>(path: string, effect: Effect.Effect<A, DiskError>) =>
  Effect.mapError(effect, (error) => fail(path, "disk", error.detail))

const make = Effect.fnUntraced(function*(stateFolder: string) {
  const crypto = yield* Crypto
  const disk = yield* Disk
  const machine = yield* MachineId
  /** One reader or writer of the files at a time: what is read, changed and written back must not change in between. */
  const alone = yield* Semaphore.make(1)
  const devicePath = `${stateFolder}/device.json`
  const pinsPath = `${stateFolder}/pins.json`

  yield* onDisk(stateFolder, disk.makeDirectory(stateFolder, 0o700))
  yield* disk.lock(`${stateFolder}/lock`).pipe(
    Effect.mapError((error) => fail(stateFolder, error.reason === "busy" ? "in-use" : "disk", error.detail))
  )
  const folder = yield* onDisk(stateFolder, disk.realPath(stateFolder))

  /** A file's contents; nothing if there is none. Fails with `damaged` where it is not what it should be. */
  const read = Effect.fnUntraced(function*<S extends Schema.ConstraintDecoder<unknown>>(path: string, schema: S) {
    const bytes = yield* disk.readFile(path, fileBytesMax).pipe(
      Effect.catchTag(
        "DiskError",
        (error) => error.reason === "not-found" ? Effect.succeed(undefined) : fail(path, "disk", error.detail)
      )
    )
    if (bytes === undefined) return undefined
    const text = new TextDecoder().decode(bytes)
    const { version } = Result.getOrElse(decodeVersion(text), () => ({ version: 0 }))
    if (version > 1) return yield* fail(path, "newer-version", `version ${version}`)
    const contents = Schema.decodeUnknownResult(Schema.fromJsonString(schema))(text)
    return Result.isSuccess(contents)
      ? contents.success
      : yield* fail(path, "damaged", "it is not what labfx has written")
  })

  const write = (path: string, contents: unknown) =>
    disk.replaceFile(path, new TextEncoder().encode(JSON.stringify(contents)))

  /** What the device file of this machine, user and folder says beside the key. */
  const binding = Effect.map(machine.facts, ({ hardware, installation, user }) => {
    const hash = (...parts: ReadonlyArray<string>) =>
      crypto.sha256Text(
        new TextEncoder().encode(JSON.stringify(["labfx/1/device", installation, user, folder, ...parts]))
      )
    return { place: hash(), hardware: hardware.map((address) => hash(address)) }
  })

  /** Keeps a damaged file for whoever wants to look at it, under the first name that is free. */
  const moveAside = Effect.fnUntraced(function*(path: string) {
    for (let n = 1; n <= Limits.damagedFilesMax; n++) {
      const moved = yield* Effect.result(disk.publish(path, `${path}.damaged-${n}`))
      if (Result.isSuccess(moved)) return
      if (moved.failure.reason !== "exists") return yield* moved.failure
    }
    yield* disk.remove(path)
  })

  const saveDevice = (pair: KeyPair, place: string, hardware: ReadonlyArray<string>) =>
    onDisk(
      devicePath,
      write(devicePath, {
        version: 1,
        seed: Base64Url.encode(pair.seed),
        place,
        hardware: hardware.slice(-Limits.hardwareKnownMax)
      })
    )

  const freshKey = Effect.map(crypto.randomBytes(32), crypto.keyPair)

  const device = alone.withPermit(Effect.gen(function*() {
    const { hardware, place } = yield* binding
    const file = yield* read(devicePath, DeviceFile).pipe(
      // The key is not worth a person's time: another one serves as well, and P2 asks for it.
      Effect.catchIf(
        (error) => error.reason === "damaged",
        () => Effect.as(onDisk(devicePath, moveAside(devicePath)), undefined)
      )
    )
    if (file === undefined || !isBoundTo(file, place, hardware)) {
      const pair = yield* freshKey
      yield* saveDevice(pair, place, hardware)
      return pair
    }
    const pair = crypto.keyPair(file.seed)
    if (hardware.some((address) => !file.hardware.includes(address))) {
      const absent = file.hardware.filter((address) => !hardware.includes(address))
      yield* saveDevice(pair, place, [...absent, ...hardware])
    }
    return pair
  }))

  const readPins = Effect.map(read(pinsPath, PinsFile), (file) => file?.pins ?? [])

  const pin = Effect.fn("Identity.pin")(function*(pin: Pin) {
    const others = (yield* readPins).filter(({ root }) => root !== pin.root)
    yield* write(pinsPath, { version: 1, pins: [...others, pin].slice(-Limits.pinsMax) })
  }, alone.withPermit)

  return Identity.of({ device, ephemeral: freshKey, pins: alone.withPermit(readPins), pin })
})

/**
 * Whether the file was written here. One common hardware address is enough, since cards are plugged in and out; where one
 * side knows of none, the place has to do.
 */
const isBoundTo = (file: DeviceFile, place: string, hardware: ReadonlyArray<string>): boolean =>
  file.place === place &&
  (file.hardware.length === 0 || hardware.length === 0 || hardware.some((address) => file.hardware.includes(address)))
