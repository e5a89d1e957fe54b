/** The reference of the local API, drawn from its OpenAPI document. */
import { useSignal } from "@preact/signals"
import { useEffect } from "preact/hooks"
import { t } from "./language.ts"
import { call, wordsFor } from "./live.ts"

interface Schema {
  readonly $ref?: string
  readonly type?: string
  readonly enum?: ReadonlyArray<unknown>
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: ReadonlyArray<string>
  readonly items?: Schema
  readonly anyOf?: ReadonlyArray<Schema>
  readonly allOf?: ReadonlyArray<Schema>
  readonly description?: string
}

interface Media {
  readonly content?: Readonly<Record<string, { readonly schema?: Schema }>>
}

interface Operation {
  readonly summary?: string
  readonly description?: string
  readonly tags?: ReadonlyArray<string>
  readonly parameters?: ReadonlyArray<{ readonly name: string; readonly in: string }>
  readonly requestBody?: Media
  readonly responses: Readonly<Record<string, Media & { readonly description?: string }>>
}

interface Document {
  readonly info: { readonly title: string; readonly description?: string }
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components?: { readonly schemas?: Readonly<Record<string, Schema>> }
}

/** Deeper than this a reader opens the document itself. */
const depthMax = 5

/** A schema as one would write it down: `{ text: string }`. */
const write = (schema: Schema | undefined, document: Document, depth = 0): string => {
  if (schema === undefined || depth > depthMax) return "…"
  if (schema.$ref !== undefined) {
    return write(document.components?.schemas?.[schema.$ref.split("/").at(-1)!], document, depth)
  }
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(" | ")
  const either = schema.anyOf ?? schema.allOf
  if (either !== undefined && schema.properties === undefined && schema.type === undefined) {
    return either.map((each) => write(each, document, depth)).join(schema.anyOf === undefined ? " & " : " | ")
  }
  if (schema.items !== undefined) return `[${write(schema.items, document, depth)}, …]`
  if (schema.properties !== undefined) {
    const indent = "  ".repeat(depth + 1)
    const fields = Object.entries(schema.properties).map(([name, field]) =>
      `${indent}${name}${schema.required?.includes(name) === true ? "" : "?"}: ${write(field, document, depth + 1)}`
    )
    return fields.length === 0 ? "{}" : `{\n${fields.join(",\n")}\n${"  ".repeat(depth)}}`
  }
  return schema.type ?? "…"
}

const Body = (
  { document, label, media }: { readonly label: string; readonly media: Media | undefined; readonly document: Document }
) => (
  <>
    {Object.entries(media?.content ?? {}).map(([type, { schema }]) => (
      <div key={type}>
        <h2>
          {label} <span class="hint">{type}</span>
        </h2>
        <pre dir="ltr" tabIndex={0}>{write(schema, document)}</pre>
      </div>
    ))}
  </>
)

export const Reference = () => {
  const document = useSignal<Document | undefined>(undefined)
  const trouble = useSignal("")
  useEffect(() => {
    call<Document>("GET", "/openapi.json").then(
      (found) => (document.value = found),
      (error: unknown) => (trouble.value = wordsFor(error))
    )
  }, [])
  const found = document.value
  return (
    <main id="content" class="reference">
      <p>
        <a href="/">{t("reference.back")}</a>
      </p>
      <h1>{t("reference.title")}</h1>
      {trouble.value !== "" && <p class="problem" role="alert">{trouble.value}</p>}
      {found !== undefined && (
        <>
          <p lang="en">{found.info.description}</p>
          {Object.entries(found.paths).flatMap(([path, operations]) =>
            Object.entries(operations).map(([method, operation]) => (
              <details key={`${method} ${path}`} class="panel" lang="en">
                <summary>
                  <code dir="ltr">{method.toUpperCase()} {path}</code> {operation.summary}
                </summary>
                {operation.description !== operation.summary && <p>{operation.description}</p>}
                <Body label={t("reference.needs")} media={operation.requestBody} document={found} />
                {Object.entries(operation.responses).map(([status, media]) => (
                  <Body key={status} label={`${t("reference.gives")} ${status}`} media={media} document={found} />
                ))}
              </details>
            ))
          )}
        </>
      )}
    </main>
  )
}
