/** What can go wrong around the local API, apart from it: the catalogue of words needs them and nothing else of it. */
import { Schema } from "effect"
import { FolderError } from "./ChunkStore.ts"
import { ListenError } from "./Datagrams.ts"
import { DiskError } from "./Disk.ts"
import { StateError } from "./Identity.ts"
import { SecretError } from "./Secrets.ts"
import { AcceptError } from "./Transport.ts"

/** Something dropped onto the page was not taken. What had arrived of it is removed. */
export class DropRefused extends Schema.TaggedError<DropRefused>()("DropRefused", {
  reason: Schema.Literals(["unknown", "too-many", "malformed", "cut-off", "nothing-left"]),
  detail: Schema.String
}) {}

/** The system would not open a window. */
export class OpenRefused extends Schema.TaggedError<OpenRefused>()("OpenRefused", {
  reason: Schema.Literals(["not-here", "no-desktop"]),
  detail: Schema.String
}) {}

/** No labfx of this user is running, or the one that runs has no local API. */
export class NothingRunning extends Schema.TaggedError<NothingRunning>()("NothingRunning", {
  reason: Schema.Literals(["none", "stopped-answering"]),
  detail: Schema.String
}) {}

/** The local API could not be served. The session itself is not touched. */
export class PageUnavailable extends Schema.TaggedError<PageUnavailable>()("PageUnavailable", {
  port: Schema.Natural,
  detail: Schema.String
}) {}

/** What was chosen on the start page cannot be begun. */
export class StartRefused extends Schema.TaggedError<StartRefused>()("StartRefused", {
  reason: Schema.Literals(["started", "bad-title", "bad-name", "bad-join-code"]),
  detail: Schema.String
}) {}

/** Why a session could not be begun from the start page. */
export const StartError = Schema.Union([
  StartRefused,
  SecretError,
  AcceptError,
  ListenError,
  StateError,
  FolderError,
  DiskError
])
export type StartError = typeof StartError.Type
