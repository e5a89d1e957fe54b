/** How labfx ends: the number a script sees. Documented in docs/COMMANDS.md; a test compares the two. */

/** Done: the command did what it was asked, or `/quit` was typed, or the reader of standard output went away. */
export const ok = 0
/** Something failed while running; the sentence on standard error says what and what to do. */
export const failed = 1
/** The command line cannot be understood, or a teacher has no usable secret. Nothing was sent. */
export const usage = 2
/** The network cannot be used: a port that was asked for is taken or not allowed. */
export const network = 3
/** The state or download folder cannot be used: in use by another labfx, damaged, or not writable. */
export const state = 4
/** There is no running session of this user that the command could act on. */
export const notRunning = 5
/** The terminal was closed (SIGHUP). Ended cleanly. */
export const hangup = 129
/** Ctrl-C (SIGINT). Ended cleanly, or at once when pressed twice. */
export const interrupted = 130
/** SIGTERM. Ended cleanly. */
export const terminated = 143

export const all = { ok, failed, usage, network, state, notRunning, hangup, interrupted, terminated }
