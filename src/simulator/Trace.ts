/** What happened in a simulation, one line an event, and a digest of all of it: equal runs have equal digests. */

/** Lines with their virtual time. Every line and every note goes into the digest; only lines are shown. */
export class Trace {
  readonly #nowMs: () => number
  readonly #show: ((line: string) => void) | undefined
  // Two lanes of a multiplicative hash (cyrb53): it tells runs apart and proves nothing, so it may be fast.
  #a = 0xdeadbeef
  #b = 0x41c6ce57
  linesCount = 0

  constructor(nowMs: () => number, show: ((line: string) => void) | undefined) {
    this.#nowMs = nowMs
    this.#show = show
  }

  line(who: string, text: string): void {
    this.linesCount++
    const line = `${(this.#nowMs() / 1_000).toFixed(3).padStart(9)}  ${who.padEnd(11)} ${text}`
    this.#hash(line)
    this.#show?.(line)
  }

  /** Something too frequent to show: a write on the network. */
  note(text: string): void {
    this.#hash(`${this.#nowMs()} ${text}`)
  }

  #hash(text: string): void {
    let a = this.#a
    let b = this.#b
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      a = Math.imul(a ^ code, 2_654_435_761)
      b = Math.imul(b ^ code, 1_597_334_677)
    }
    this.#a = a ^ (b >>> 15)
    this.#b = b ^ (a >>> 13)
  }

  get digest(): string {
    const hex = (n: number) => (n >>> 0).toString(16).padStart(8, "0")
    return hex(this.#a) + hex(this.#b)
  }
}
