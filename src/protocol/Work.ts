/**
 * A long computation in short steps.
 *
 * A manifest of 200,000 files takes longer to check than a device may stop answering. Pure code cannot wait, so it rests:
 * it yields after every few milliseconds of work, and whoever drives it decides what happens meanwhile.
 */
export type Work<A> = Generator<void, A, void>

/** Runs the work to its end without resting. */
export const finish = <A>(work: Work<A>): A => {
  let step = work.next()
  while (step.done !== true) step = work.next()
  return step.value
}
