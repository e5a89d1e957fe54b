/** The catalogue of the page: complete in every language, and with words for everything the API can answer. */
import { assert, describe, it } from "@effect/vitest"
import { FolderError } from "../../src/services/ChunkStore.ts"
import { DiskError } from "../../src/services/Disk.ts"
import { StateError } from "../../src/services/Identity.ts"
import { DropRefused, OpenRefused, StartRefused } from "../../src/services/LocalErrors.ts"
import { WriteRefused } from "../../src/services/MessageRelay.ts"
import { SecretError } from "../../src/services/Secrets.ts"
import { SessionRefused } from "../../src/services/Session.ts"
import { SourceError } from "../../src/services/store/Source.ts"
import { AcceptError } from "../../src/services/Transport.ts"
import { type Catalogue, en, type Key, type Text } from "../../src/ui/texts/en.ts"
import { hi } from "../../src/ui/texts/hi.ts"
import { pseudo } from "../../src/ui/texts/pseudo.ts"

const keys = Object.keys(en) as ReadonlyArray<Key>
const forms = (text: Text): ReadonlyArray<string> => typeof text === "string" ? [text] : Object.values(text)
const placeholders = (text: string) => [...new Set(text.match(/\{\w+\}/g) ?? [])].toSorted()

describe.each<[string, Catalogue, string]>([["Hindi", hi, "hi"], ["the pseudo-language", pseudo, "en"]])(
  "the catalogue in %s",
  (_, catalogue, tag) => {
    it("has exactly the texts of English, none of them empty, with the same values in them", () => {
      assert.deepStrictEqual(Object.keys(catalogue).toSorted(), [...keys].toSorted())
      for (const key of keys) {
        const wanted = placeholders(forms(en[key]).at(-1)!)
        for (const text of forms(catalogue[key])) {
          assert.notStrictEqual(text.trim(), "", key)
          assert.deepStrictEqual(placeholders(text), wanted, key)
        }
      }
    })

    it("has a text for every plural form of the language", () => {
      const { pluralCategories } = new Intl.PluralRules(tag).resolvedOptions()
      for (const key of keys) {
        const text = catalogue[key]
        if (typeof text !== "string") assert.includeMembers(Object.keys(text), pluralCategories, key)
      }
    })
  }
)

it("is translated, not copied: Hindi is written in its own letters", () => {
  const alone = new Set<Key>(["talk.new", "device.progress"])
  for (const key of keys) {
    if (!alone.has(key)) assert.match(forms(hi[key]).join(" "), /\p{Script=Devanagari}/u, key)
  }
})

it("has words for every error and reason that the API answers", () => {
  const errors = {
    SourceError,
    WriteRefused,
    SessionRefused,
    DropRefused,
    OpenRefused,
    DiskError,
    StartRefused,
    SecretError,
    AcceptError,
    StateError,
    FolderError
  }
  for (const [name, { fields }] of Object.entries(errors)) {
    for (const reason of fields.reason.literals) {
      const found = [`error.${name}.${reason}`, `error.${name}.other`].some((key) => key in en)
      assert.isTrue(found, `${name}.${reason}`)
    }
  }
})
