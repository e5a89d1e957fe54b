/**
 * The command line before Effect's parser sees it.
 *
 * An optional value attaches only with `=` there, so in `--secret VALUE` the word would be a stray argument. People write
 * all three forms, and all three must work:
 *
 * - `--secret VALUE` becomes `--secret=VALUE`, if a next word exists and is not itself a flag;
 * - `--secret=VALUE` is left alone;
 * - `--secret` with nothing or another flag behind it is left alone: the program asks.
 *
 * `--join-code` is treated alike.
 *
 * A secret that begins with `-` can be given with `=` only. Nothing behind a bare `--` is touched.
 */
export const attachSecret = (args: ReadonlyArray<string>): ReadonlyArray<string> => {
  const attached: Array<string> = []
  for (let index = 0; index < args.length; index++) {
    const word = args[index]!
    if (word === "--") return [...attached, ...args.slice(index)]
    const next = args[index + 1]
    if ((word === "--secret" || word === "--join-code") && next !== undefined && !next.startsWith("-")) {
      attached.push(`${word}=${next}`)
      index++
    } else attached.push(word)
  }
  return attached
}
