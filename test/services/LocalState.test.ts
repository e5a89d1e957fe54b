/** What the page is told of changes leads to the state that labfx has. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { LocalState } from "../../src/services/LocalApi.ts"
import * as State from "../../src/services/LocalState.ts"

type State = typeof LocalState.Type

const decode = Schema.decodeUnknownSync(LocalState)
const id = (kind: string, index: number) => `${kind}${index}`.padEnd(43, "A")

/** A state made of small numbers: the same numbers give the same parts, so that two states share some of them. */
const make = (
  { devices, heard, title, values }: {
    readonly title: number
    /** One share each; the number decides how far it is. */
    readonly values: ReadonlyArray<number>
    readonly devices: ReadonlyArray<number>
    /** From which message to which. */
    readonly heard: readonly [from: number, count: number]
  }
): State =>
  decode({
    header: { program: "labfx", isTeacher: true, name: "ada", phase: "joined", title: `t${title}`, mayWrite: true },
    shares: values.map((value, index) => ({
      root: id("r", index),
      title: `share ${index}`,
      kind: "file",
      filesCount: 1,
      sizeBytes: 10,
      verifiedBytes: value,
      receiveBytesPerSecond: 0,
      sendBytesPerSecond: 0,
      sources: 0,
      state: "receiving"
    })),
    preparing: values.filter((value) => value % 2 === 0).map((value, index) => ({
      id: `preparing-${index}`,
      title: `share ${index}`,
      hashedBytes: value,
      ...(value === 0 ? {} : { totalBytes: 10 })
    })),
    devices: [...new Set(devices)].map((device) => ({
      peer: id("p", device),
      name: `d${device}`,
      isHost: false,
      isSelf: false,
      linked: true,
      presence: "here",
      seenAtMs: title,
      receiveBytesPerSecond: device,
      slow: false,
      outdated: false
    })),
    messages: Array.from({ length: heard[1] }, (_, index) => ({
      author: id("p", 1),
      number: heard[0] + index,
      name: "x",
      byHost: false,
      writtenAt: 0,
      text: `m${heard[0] + index}`
    })),
    found: title % 2 === 0 ? [] : [{
      session: "s".padEnd(22, "A"),
      title: "x",
      words: "a b c d e f",
      address: "10.0.0.1:1",
      trust: "new"
    }],
    notices: []
  })

const small = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))
const list = (maximum: number, length: number) => Schema.Array(small(maximum)).check(Schema.isMaxLength(length))

/** Two states of one session, the second later: shares and messages are only added, devices come and go. */
const later = {
  titles: Schema.Tuple([small(3), small(3)]),
  shares: Schema.Tuple([list(9, 4), list(9, 6)]),
  devices: Schema.Tuple([list(6, 6), list(6, 6)]),
  heard: Schema.Tuple([small(5), small(4), small(8), small(4)])
}

const states = ({ devices, heard: [from, count, dropped, more], shares, titles }: {
  readonly [Name in keyof typeof later]: (typeof later)[Name]["Type"]
}) => {
  const before = make({ title: titles[0], values: shares[0], devices: devices[0], heard: [from, count] })
  // The list loses its oldest and grows at its end; where it loses all, none of the old remains.
  const start = from + Math.min(dropped, count + more)
  const after = make({
    title: titles[1],
    values: [...shares[1], ...shares[0].slice(shares[1].length)],
    devices: devices[1],
    heard: [start, from + count + more - start]
  })
  return { before, after }
}

const follow = (from: State, to: State) =>
  State.changes(from, to).reduce<State | undefined>((state, change) => State.apply(state, change), from)

/** Devices have no order of their own. */
const settled = (state: State | undefined) =>
  state === undefined ? undefined : {
    ...state,
    devices: state.devices.toSorted((a, b) => (a.peer < b.peer ? -1 : 1))
  }

describe("the live state", () => {
  it.prop("L1: is, after the changes to another, that other", later, (given) => {
    const { after, before } = states(given)
    assert.deepStrictEqual(settled(follow(before, after)), settled(after))
  })

  it.prop("L2: has no changes to an equal one", later, (given) => {
    const { after } = states(given)
    assert.deepStrictEqual(State.changes(after, structuredClone(after)), [])
  })

  it.prop("L3: is there from the snapshot on, and not before", later, (given) => {
    const { after, before } = states(given)
    for (const change of State.changes(before, after)) assert.isUndefined(State.apply(undefined, change))
    assert.strictEqual(State.apply(undefined, State.snapshot(after)), after)
    assert.strictEqual(State.apply(before, State.snapshot(after)), after)
  })

  it.prop("leaves untouched things the same objects, so that the page need not draw them again", later, (given) => {
    const { after, before } = states(given)
    const now = follow(before, after)!
    for (const share of now.shares) {
      const old = before.shares.find(({ root }) => root === share.root)
      if (old !== undefined && JSON.stringify(old) === JSON.stringify(share)) assert.strictEqual(share, old)
    }
  })
})
