/** The trees of `protocol/Trees` over random links: everybody is in both, inside one of them, and nobody sends more than it gets. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { generator } from "../../bench/SwarmModel.ts"
import * as Trees from "../../src/protocol/Trees.ts"

const Seed = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 2 ** 31 - 1 }))

/** Everybody has about as many links, or is linked with everybody. */
const links = (count: number, degree: number, random: () => number): ReadonlyArray<ReadonlyArray<number>> => {
  const neighbors = Array.from({ length: count }, () => new Set<number>())
  const connect = (a: number, b: number) => {
    if (a === b) return
    neighbors[a]!.add(b)
    neighbors[b]!.add(a)
  }
  for (let a = 1; a < count; a++) connect(a, Math.floor(random() * a))
  for (let a = 0; a < count; a++) {
    for (let tries = 0; neighbors[a]!.size < Math.min(degree, count - 1) && tries < 1_000; tries++) {
      connect(a, Math.floor(random() * count))
    }
  }
  return neighbors.map((some) => Array.from(some))
}

describe("Trees", () => {
  it.prop("reach everybody over links, with two children at most, each device inside one of them", {
    seed: Seed,
    count: Schema.Int.check(Schema.isBetween({ minimum: 2, maximum: 80 }))
  }, ({ count, seed }) => {
    const random = generator(seed)
    const neighbors = links(count, 12, random)
    const trees = Trees.plan(neighbors, random, 20)
    assert.isDefined(trees)
    const inside = trees!.map((tree) => {
      const reachedAt = new Map([[tree.root, 0]])
      for (const [device, atTime] of reachedAt) {
        const children = tree.children[device]!
        assert.isAtMost(children.length, 2)
        children.forEach((child, i) => {
          assert.isTrue(neighbors[device]!.includes(child))
          assert.isFalse(reachedAt.has(child), "nobody gets a chunk twice")
          reachedAt.set(child, atTime + i + 1)
        })
      }
      assert.strictEqual(reachedAt.size, count)
      assert.strictEqual(Math.max(...reachedAt.values()), tree.depth)
      return new Set(tree.children.flatMap((children, device) => children.length > 0 ? [device] : []))
    })
    for (const device of inside[0]!) assert.isFalse(inside[1]!.has(device))
  }, { arbitrary: { runs: 100 } })

  it("are shallow: 50 devices with ten links are reached within ten chunks' times", () => {
    const random = generator(1)
    const trees = Trees.plan(links(50, 10, random), random, 10)
    for (const { depth } of trees!) assert.isBelow(depth, 10)
  })

  it("are none where links do not allow it", () => {
    const star = [[1, 2, 3, 4], [0], [0], [0], [0]]
    assert.isUndefined(Trees.plan(star, generator(1), 50))
    assert.isUndefined(Trees.plan([[1], [0], [3], [2]], generator(1), 50))
    assert.isUndefined(Trees.plan([], generator(1), 5))
  })
})
