/** When a synchronous call of the system is worth its stall: while the disk is quick. */

/** After a slow synchronous call so many are asynchronous, at about four times the processor time. */
export const patientCallsMin = 32
export const patientCallsMax = 2_048

/**
 * Whether the next call may be synchronous. One that takes longer than `slowMs` waits for the disk or for its turn on a busy
 * processor; `inARow` of them wait for the disk. Then a number of calls are asynchronous before a synchronous one tries
 * again, twice as many each time that this one is slow too.
 */
export class Patience {
  readonly #slowMs: number
  readonly #inARow: number
  #slowCalls = 0
  #callsLeft = 0
  #callsNext = patientCallsMin

  constructor(slowMs: number, inARow = 1) {
    this.#slowMs = slowMs
    this.#inARow = inARow
  }

  /** Asked once for each call. */
  isNeeded(): boolean {
    if (this.#callsLeft === 0) return false
    this.#callsLeft--
    return true
  }

  /** Whether a synchronous call that has taken so long has waited for the disk. */
  isSlow(ms: number): boolean {
    return ms > this.#slowMs
  }

  /** Whether what was synchronous, one call or a few, was slow. */
  note(isSlow: boolean): void {
    if (isSlow) this.#callsLeft = this.#callsNext
    this.#callsNext = isSlow ? Math.min(2 * this.#callsNext, patientCallsMax) : patientCallsMin
  }

  /** A synchronous call has taken so long. */
  took(ms: number): void {
    const isSlow = this.isSlow(ms)
    this.#slowCalls = isSlow ? this.#slowCalls + 1 : 0
    const isKnown = this.#callsNext > patientCallsMin
    if (!isSlow || isKnown || this.#slowCalls >= this.#inARow) this.note(isSlow)
  }
}
