/**
 * Two trees over a room's links, for handing every other chunk down one of them.
 *
 * Everybody is inside one tree and at the edge of the other: inside it passes each chunk on to two, at the edge to nobody. So
 * each device sends one copy for each that it gets, all the time and in the same order, and no way out is idle or crowded.
 * After SplitStream (Castro et al., SOSP 2003).
 *
 * A tree begins with a backbone of those inside it, the nearest place first. Those at its edge then get the places that
 * are left, by a maximum matching (Kuhn 1955): nearest first, and whoever holds a place gives it up if it finds another.
 * Which half is inside which tree is chance; of some tries the shallowest counts.
 */

/** Devices by number; `children` in the order in which they are sent a chunk. */
export interface Tree {
  readonly root: number
  readonly children: ReadonlyArray<ReadonlyArray<number>>
  /** How many chunks' times after the root the last one has a chunk, if nothing is in its way. */
  readonly depth: number
}

export type Trees = readonly [Tree, Tree]

/** To how many a device inside a tree passes each chunk of it: half of the chunks twice is each chunk once. */
const childrenMax = 2

/** `neighbors[i]`: whom device `i` is linked with, in numbers below `neighbors.length`. `undefined` if no try succeeds. */
export const plan = (
  neighbors: ReadonlyArray<ReadonlyArray<number>>,
  random: () => number,
  tries: number
): Trees | undefined => {
  let best: Trees | undefined
  for (let i = 0; i < tries; i++) {
    const inside = half(neighbors.length, random)
    const first = grow(neighbors, inside, random)
    const second = first && grow(neighbors, inside.map((isInside) => !isInside), random)
    if (second === undefined) continue
    if (best === undefined || depthOf([first!, second]) < depthOf(best)) best = [first!, second]
  }
  return best
}

const depthOf = ([first, second]: Trees): number => Math.max(first.depth, second.depth)

/** Half of them, by chance, are true; of an odd number one more. */
const half = (count: number, random: () => number): ReadonlyArray<boolean> => {
  const order = shuffled(Array.from({ length: count }, (_, i) => i), random)
  const inside = order.map(() => false)
  for (const device of order.slice(0, Math.ceil(count / 2))) inside[device] = true
  return inside
}

const shuffled = <A>(all: ReadonlyArray<A>, random: () => number): Array<A> => {
  const result = Array.from(all)
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[result[i], result[j]] = [result[j]!, result[i]!]
  }
  return result
}

const grow = (
  neighbors: ReadonlyArray<ReadonlyArray<number>>,
  inside: ReadonlyArray<boolean>,
  random: () => number
): Tree | undefined => {
  const backbone = growBackbone(neighbors, inside, random)
  return backbone && addEdge(neighbors, inside, backbone)
}

interface Backbone {
  readonly root: number
  readonly children: ReadonlyArray<Array<number>>
  /** When each of those inside has a chunk, in chunks' times after the root. */
  readonly atTime: ReadonlyArray<number>
}

/** Joins those inside, always at the device that is free first. */
const growBackbone = (
  neighbors: ReadonlyArray<ReadonlyArray<number>>,
  inside: ReadonlyArray<boolean>,
  random: () => number
): Backbone | undefined => {
  const all = shuffled(inside.flatMap((isInside, device) => isInside ? [device] : []), random)
  const root = all[0]
  if (root === undefined) return undefined
  const children = neighbors.map((): Array<number> => [])
  const atTime = neighbors.map(() => Infinity)
  atTime[root] = 0
  /** With room for a child, by the time at which they are free. */
  const free = [root]
  const freeAt = (device: number) => atTime[device]! + children[device]!.length
  for (let left = all.length - 1; left > 0;) {
    if (free.length === 0) return undefined
    let place = 0
    for (let i = 1; i < free.length; i++) if (freeAt(free[i]!) < freeAt(free[place]!)) place = i
    const parent = free[place]!
    const open = neighbors[parent]!.filter((device) => inside[device] && atTime[device] === Infinity)
    const child = open[Math.floor(random() * open.length)]
    if (child === undefined) {
      free.splice(place, 1)
      continue
    }
    atTime[child] = freeAt(parent) + 1
    children[parent]!.push(child)
    if (children[parent]!.length === childrenMax) free.splice(place, 1)
    free.push(child)
    left--
  }
  return { root, children, atTime }
}

/** Gives each of the others a place at the backbone. */
const addEdge = (
  neighbors: ReadonlyArray<ReadonlyArray<number>>,
  inside: ReadonlyArray<boolean>,
  { atTime, children, root }: Backbone
): Tree | undefined => {
  const edge = neighbors.map((): Array<number> => [])
  const hasRoom = (parent: number) => children[parent]!.length + edge[parent]!.length < childrenMax
  const place = (device: number, asked: Set<number>): boolean => {
    const parents = neighbors[device]!.filter((parent) => inside[parent]).toSorted((a, b) => atTime[a]! - atTime[b]!)
    const parent = parents.find(hasRoom) ?? parents.find((parent) => {
      if (asked.has(parent)) return false
      asked.add(parent)
      const moved = edge[parent]!.findIndex((other) => place(other, asked))
      if (moved >= 0) edge[parent]!.splice(moved, 1)
      return moved >= 0
    })
    if (parent !== undefined) edge[parent]!.push(device)
    return parent !== undefined
  }
  for (let device = 0; device < neighbors.length; device++) {
    if (!inside[device] && !place(device, new Set())) return undefined
  }
  const all = children.map((backbone, device) => [...backbone, ...edge[device]!])
  const depth = Math.max(...all.map((some, device) => inside[device] ? atTime[device]! + some.length : 0))
  return { root, children: all, depth }
}
