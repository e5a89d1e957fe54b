/**
 * The program as one text, for {@link file://./shipped.ts}. The build puts the finished text in place of this module; from
 * source, `labfx.ts` is run itself.
 */
export const programText = ""
