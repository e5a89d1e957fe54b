/** A language nobody speaks: written from right to left, longer than English and accented, to try the layout with. */
import { type Catalogue, en, type Key, type Text } from "./en.ts"

const letters = new Map(
  [..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"].map((letter, index) => [
    letter,
    [..."áƀçđéƒǧĥíĵķłɱñóƥɋŕśţúṽŵẋýžÁƁÇĐÉƑǦĤÍĴĶŁṀÑÓƤɊŔŚŢÚṼŴẊÝŽ"][index]!
  ])
)

/** Placeholders stay as they are. */
const strange = (text: string): string =>
  `\u202e[${
    text.split(/(\{\w+\})/).map((part) =>
      part.startsWith("{") ? `\u202c${part}\u202e` : [...part].map((letter) => letters.get(letter) ?? letter).join("")
    ).join("")
  } ~~]\u202c`

const of = (text: Text): Text =>
  typeof text === "string"
    ? strange(text)
    : Object.fromEntries(Object.entries(text).map(([form, each]) => [form, strange(each)])) as Text

export const pseudo: Catalogue = Object.fromEntries(
  (Object.keys(en) as ReadonlyArray<Key>).map((key) => [key, of(en[key])])
) as Record<Key, Text>
