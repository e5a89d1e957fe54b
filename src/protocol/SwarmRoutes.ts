/**
 * Routes: chunks that go down the origin's trees, without being announced and asked for.
 *
 * In a large room the origin asks its neighbors whom they are linked with, lays two trees over these links (`Trees`), and
 * promises each chunk to the root of one of them, with the whole tree below it. Whoever is promised a chunk promises it to
 * its children at once, and sends it to them when it is here. To its receiver a promise is a request of which nothing is
 * expected yet: it is waited for, taken back and asked for elsewhere as requests are (`SwarmRequests`). So no tree need be
 * right: everybody also announces what it has, some time after it came, and who stands in no tree, or below somebody who
 * does not pass on, asks for it then.
 */
import * as Bitfield from "./Bitfield.ts"
import * as Limits from "./Limits.ts"
import * as Requests from "./SwarmRequests.ts"
import { isManifest, type Link, type Routes, send, type Share, type Swarm, type View } from "./SwarmState.ts"
import * as Uploads from "./SwarmUploads.ts"
import * as Trees from "./Trees.ts"
import { hopOf, type Neighbors, type Route } from "./Wire.ts"

/** Plans that are tried: where everybody has ten links, every other one fails. */
const triesMax = 10
/** While members come and go it is planned anew, but not more often. */
const planEveryMs = 100
/**
 * For so long the first chunks wait for the first plan, as what is handed out before is asked for by everybody; and for so long
 * after an answer for the next one: there are those who do not answer.
 */
const firstPlanMs = 1_000
const nextAnswerMs = 150
/** So many devices that are not linked to the origin may be in the room, as a part of those that are. */
const strangersPartMax = 1 / 10
/** So many say that somebody does not keep its promises: one alone may be mistaken, or lie. */
const witnessesMin = 2
/** Who is slow is looked at so often, if most members have got so many chunks since: they tell of them in batches. */
const compareEveryMs = 5_000
const comparedChunks = 8
/** Slow is who gets less than this part of what most get; it is not any more when it gets as much as the second. */
const slowPart = 1 / 3
const quickPart = 2 / 3

export const make = (nowMs: number): Routes => ({
  members: [],
  trees: undefined,
  plannedAtMs: -Infinity,
  stale: true,
  givenUp: false,
  sentCount: 0,
  answeredAtMs: Infinity,
  comparedAtMs: nowMs
})

// ---- Whom the members are linked with ------------------------------------------------------------------------------

/** In a large room everybody who has opened a share that comes from here is asked. */
export const survey = (swarm: Swarm, share: Share): void => {
  if (!isForTrees(swarm, share)) return
  for (const view of share.views.values()) {
    if (!view.opened || view.asked) continue
    view.asked = true
    send(swarm, view.link, { _tag: "Survey", share: share.root })
  }
}

/** Who opens a share, or opens it again, has not been asked. */
export const opened = (view: View): void => {
  view.asked = false
}

/** The origin of a share asks whom this device is linked with. */
export const surveyed = (swarm: Swarm, view: View): void => {
  view.surveys = true
  view.surveyed = true
  tellNeighbors(swarm, view.share)
}

/** A link has come or gone, or is not to be counted on. */
export const linksChanged = (swarm: Swarm): void => {
  for (const share of swarm.shares.values()) {
    for (const view of share.views.values()) view.surveyed ||= view.surveys
  }
}

/** Tells those who ask. Who does not know the manifest takes nothing that it could pass on, and says nothing yet. */
export const tellNeighbors = (swarm: Swarm, share: Share): void => {
  if (!share.manifestKnown) return
  for (const view of share.views.values()) {
    if (!view.surveyed) continue
    view.surveyed = false
    const links = Array.from(swarm.links.values()).slice(0, Limits.linksMax)
    const hops = (some: ReadonlyArray<Link>) => some.map(({ peer }) => hopOf(peer))
    const hoarders = hops(links.filter((link) => !Requests.isBelieved(link)))
    send(swarm, view.link, { _tag: "Neighbors", share: share.root, peers: hops(links), hoarders })
  }
}

export const neighborsTold = (swarm: Swarm, view: View, { hoarders, peers }: Neighbors): void => {
  view.neighbors = peers
  view.hoarders = hoarders
  if (view.share.handout === undefined) return
  view.share.handout.routes.stale = true
  view.share.handout.routes.answeredAtMs = swarm.nowMs
  swarm.revealing.add(view.share)
}

// ---- The origin ----------------------------------------------------------------------------------------------------

/** Whether the first plan is about to be: neighbors are saying whom they are linked with, and some have not yet. */
export const isAboutToPlan = (swarm: Swarm, share: Share, routes: Routes): boolean => {
  if (!isForTrees(swarm, share) || swarm.nowMs >= waitEndsMs(share, routes)) return false
  for (const view of share.views.values()) if (view.opened && view.neighbors.length === 0) return true
  return false
}

const waitEndsMs = ({ openedAtMs }: Share, { answeredAtMs }: Routes): number =>
  openedAtMs + Math.min(firstPlanMs, Math.max(0, answeredAtMs - openedAtMs) + nextAnswerMs)

/** When somebody is not waited for any more. */
export const nextPlanMs = (swarm: Swarm): number => {
  let next = Infinity
  for (const share of swarm.shares.values()) {
    if (share.handout === undefined || !isAboutToPlan(swarm, share, share.handout.routes)) continue
    next = Math.min(next, waitEndsMs(share, share.handout.routes))
  }
  return next
}

/** Few chunks are with everybody before a tree is laid. */
const isForTrees = ({ links, policy }: Swarm, { small }: Share): boolean => links.size > policy.treesFrom && !small

/** Lays trees over the links as they are now. Says whether there are any. */
export const plan = (swarm: Swarm, share: Share, routes: Routes): boolean => {
  const isDue = routes.stale && swarm.nowMs >= routes.plannedAtMs + planEveryMs
  if (isDue && isForTrees(swarm, share)) planAnew(swarm, share, routes)
  return routes.trees !== undefined
}

const planAnew = (swarm: Swarm, share: Share, routes: Routes): void => {
  for (const view of share.views.values()) if (isDoubted(view)) giveUp(routes, view)
  routes.stale = false
  if (routes.givenUp) return
  const members = Array.from(share.views.values()).filter(({ link, neighbors, slow }) =>
    neighbors.length > 0 && !slow && !link.hoards
  )
  const numbers = new Map(members.map(({ link }, number) => [hopOf(link.peer), number]))
  const said = members.map(({ neighbors }) => new Set(neighbors.flatMap((hop) => numbers.get(hop) ?? [])))
  // A link is what both sides say.
  const links = said.map((some, number) =>
    Array.from(some).filter((other) => other !== number && said[other]!.has(number))
  )
  routes.members = members
  routes.trees = undefined
  if (members.length === 0 || !isWholeRoom(share, members)) return
  routes.plannedAtMs = swarm.nowMs
  routes.trees = Trees.plan(links, swarm.random, triesMax)
}

/**
 * Somebody keeps for itself what it should pass on: it stands in no tree any more, and the rest of the share goes to those who
 * ask. Where one hoards there may be more, and each takes chunks from all below it before it is found out.
 */
export const giveUp = (routes: Routes, hoarder: View): void => {
  hoarder.link.hoards = true
  routes.givenUp = true
  routes.trees = undefined
}

/** Whether several say that it has not kept its promises to them. */
const isDoubted = ({ link, share }: View): boolean => {
  const hop = hopOf(link.peer)
  let witnesses = 0
  for (const { hoarders } of share.views.values()) if (hoarders.includes(hop)) witnesses++
  return witnesses >= witnessesMin
}

/** Whether hardly anybody is linked to members and not to this device: trees that leave out many only delay them. */
const isWholeRoom = (share: Share, members: ReadonlyArray<View>): boolean => {
  const strangers = new Set(members.flatMap(({ neighbors }) => neighbors))
  for (const { link } of share.views.values()) strangers.delete(hopOf(link.peer))
  // They name this device, too.
  return strangers.size - 1 <= strangersPartMax * members.length
}

export const rootOf = ({ members, trees }: Routes, tree: 0 | 1): View => members[trees![tree].root]!

/** Whether there is room for one more promise to this neighbor besides so many that are about to be sent. */
export const mayPromise = ({ link }: View, soonCount: number): boolean =>
  link.claim.promisedCount + soonCount < Limits.promisesPerLinkMax

/** Promises chunks to the root of a tree. */
export const sendDown = (swarm: Swarm, routes: Routes, tree: 0 | 1, indexes: ReadonlyArray<number>): void => {
  if (indexes.length === 0) return
  const { children, root } = routes.trees![tree]
  const hops: Array<string> = []
  const depths: Array<number> = []
  const list = (device: number, depth: number): void => {
    for (const child of children[device]!) {
      hops.push(hopOf(routes.members[child]!.link.peer))
      depths.push(depth)
      list(child, depth + 1)
    }
  }
  list(root, 0)
  promise(swarm, routes.members[root]!, indexes, hops, depths)
}

/** Who is slow stands in no tree: all below it would wait. */
const compare = ({ nowMs }: Swarm, share: Share, routes: Routes): void => {
  if (nowMs < routes.comparedAtMs + compareEveryMs) return
  const gains = routes.members.map((view) => view.count - view.countBefore).toSorted((a, b) => a - b)
  const most = gains[gains.length >> 1] ?? 0
  if (most < comparedChunks) return
  routes.comparedAtMs = nowMs
  for (const view of share.views.values()) {
    const gained = view.count - view.countBefore
    view.countBefore = view.count
    const slow = view.count < share.chunksCount && gained < most * (view.slow ? quickPart : slowPart)
    routes.stale ||= slow !== view.slow
    view.slow = slow
  }
}

// ---- Everybody -----------------------------------------------------------------------------------------------------

/** Promises a neighbor chunks that it has not got, and says who is below it. */
const promise = (
  swarm: Swarm,
  view: View,
  indexes: ReadonlyArray<number>,
  hops: ReadonlyArray<string>,
  depths: ReadonlyArray<number>
): void => {
  const { link, promised, queue, share } = view
  const news = indexes.filter((index) => !Bitfield.has(view.bits, index) && !queue.has(index) && !promised.has(index))
  const fitting = news.slice(0, Limits.promisesPerLinkMax - link.claim.promisedCount)
  for (let from = 0; from < fitting.length; from += Limits.routeIndexesMax) {
    const part = fitting.slice(from, from + Limits.routeIndexesMax)
    send(swarm, link, { _tag: "Route", share: share.root, indexes: part as never, hops, depths })
    for (const index of part) Uploads.promise(swarm, view, index)
  }
}

/** A neighbor promises chunks: what will be here, or is, is promised to those below. */
export const take = (
  swarm: Swarm,
  link: Link,
  view: View | undefined,
  { depths, hops, indexes, share }: Route
): void => {
  const passed = indexes.filter((index) => {
    if (view !== undefined && !isManifest(view.share, index) && Requests.expect(swarm, view, index)) return true
    send(swarm, link, { _tag: "Cancel", share, index })
    return view !== undefined && (Bitfield.has(view.share.have, index) || view.share.flights.has(index))
  })
  if (view === undefined || passed.length === 0) return
  for (let from = 0; from < hops.length;) {
    let to = from + 1
    while (to < hops.length && depths[to]! > depths[from]!) to++
    const child = childOf(view.share, hops[from]!)
    const below = depths.slice(from + 1, to).map((depth) => depth - depths[from]! - 1)
    if (child !== undefined && child !== view) promise(swarm, child, passed, hops.slice(from + 1, to), below)
    from = to
  }
}

const childOf = (share: Share, hop: string): View | undefined => {
  for (const view of share.views.values()) if (view.opened && hopOf(view.link.peer) === hop) return view
  return undefined
}

/** A chunk is here: it goes to those to whom it was promised. */
export const gained = (swarm: Swarm, share: Share, index: number): void => {
  for (const view of share.views.values()) if (view.promised.has(index)) Uploads.enqueue(swarm, view, index)
}

/** A link of the origin has ended: nothing goes down a tree that has lost its root. */
export const viewClosed = (view: View): void => {
  const routes = view.share.handout?.routes
  if (routes === undefined) return
  routes.stale = true
  if (routes.trees?.some(({ root }) => routes.members[root] === view)) routes.trees = undefined
}

/** Time passes. */
export const watch = (swarm: Swarm): void => {
  for (const share of swarm.shares.values()) {
    tellNeighbors(swarm, share)
    if (share.handout !== undefined) compare(swarm, share, share.handout.routes)
  }
}
