/** The program's own name, version and purpose, from the package it is built of. */
import manifest from "../../package.json" with { type: "json" }

export const { description, version } = manifest

/** As it introduces itself to other devices, for their logs. */
export const program = `labfx ${version}`
