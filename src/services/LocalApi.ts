/**
 * The local API: what the page, the other commands and anybody's scripts see of the running session and can do in it.
 *
 * Only the contract: the handlers are in `LocalServer.ts`. It is served on loopback to this user alone; every call but
 * opening a link needs the run's key (`Authorization: Bearer …`, from the state folder) or a page let in by a link.
 */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { PeerId, Root, SessionId } from "../protocol/Ids.ts"
import { joinCodeBytesMax } from "../protocol/Limits.ts"
import { ShareStatus } from "../protocol/Status.ts"
import { shortText } from "../protocol/Text.ts"
import { DiskError } from "./Disk.ts"
import { DropRefused, OpenRefused, StartError } from "./LocalErrors.ts"
import { WriteRefused } from "./MessageRelay.ts"
import { SessionRefused } from "./Session.ts"
import { SessionFound } from "./SessionEvent.ts"
import { SourceError } from "./store/Source.ts"

// ---- what there is to see ------------------------------------------------------------------------------------------

/** How far a share has spread in the room, and what no protocol could beat. On the teacher's side only. */
export const Spread = Schema.Struct({
  /** Students in the room, and those who have all of it. */
  students: Schema.Natural,
  complete: Schema.Natural,
  /** From the moment it could be handed out until everybody had it, or until now. */
  elapsedMs: Schema.Natural,
  /**
   * The physical limit for this room: (1 + floor(log2 students) / chunks) times one copy at the fastest rate a student has
   * shown. Absent until a rate has been seen.
   */
  limitMs: Schema.optional(Schema.Natural),
  /** How many whole copies this device has sent. */
  copiesSent: Schema.Finite
})
export type Spread = typeof Spread.Type

export const ShareNow = Schema.Struct({
  root: Root,
  title: Schema.String,
  kind: Schema.Literals(["file", "folder"]),
  filesCount: Schema.Natural,
  sizeBytes: Schema.Natural,
  verifiedBytes: Schema.Natural,
  receiveBytesPerSecond: Schema.Finite,
  sendBytesPerSecond: Schema.Finite,
  /** Devices it is being received from. */
  sources: Schema.Natural,
  state: Schema.Literals(["waiting", "receiving", "complete", "paused", "withdrawn", "failed"]),
  /** Where it is, once it is complete. */
  path: Schema.optional(Schema.String),
  problem: Schema.optional(Schema.String),
  spread: Schema.optional(Spread)
})
export type ShareNow = typeof ShareNow.Type

/** Something that is read and hashed before it becomes a share. On the teacher's side only. */
export const PreparingNow = Schema.Struct({
  /** Names it for `unshare`, which calls it off. */
  id: Schema.String,
  title: Schema.String,
  hashedBytes: Schema.Natural,
  /** Absent while it waits for its turn and while its files are being counted. */
  totalBytes: Schema.optional(Schema.Natural)
})
export type PreparingNow = typeof PreparingNow.Type

export const DeviceNow = Schema.Struct({
  peer: PeerId,
  name: Schema.String,
  isHost: Schema.Boolean,
  isSelf: Schema.Boolean,
  /** Whether there is a direct link to it. */
  linked: Schema.Boolean,
  /** `here`: heard of lately. `silent`: not for half a minute. `gone`: its word on itself has expired. */
  presence: Schema.Literals(["here", "silent", "gone"]),
  /** When it was last heard of, directly or through others. Milliseconds since 1970. */
  seenAtMs: Schema.Natural,
  receiveBytesPerSecond: Schema.Finite,
  /** Far slower than most of the room, while something is being received. */
  slow: Schema.Boolean,
  /** What it runs, by its own word; absent until it has said so. */
  program: Schema.optional(Schema.String),
  /** Whether that is an older labfx than this device's. */
  outdated: Schema.Boolean,
  /** Its own word on each share; absent until it has said anything. */
  shares: Schema.optional(Schema.Array(ShareStatus))
})
export type DeviceNow = typeof DeviceNow.Type

export const Message = Schema.Struct({
  author: PeerId,
  /** With `author` its name for ever. */
  number: Schema.Natural,
  name: Schema.String,
  byHost: Schema.Boolean,
  /** The author's clock; milliseconds since 1970. */
  writtenAt: Schema.Natural,
  text: Schema.String
})
export type Message = typeof Message.Type

export const Notice = Schema.Struct({
  number: Schema.Natural,
  atMs: Schema.Natural,
  /** Stable, as in `warning` events. */
  code: Schema.String,
  text: Schema.String
})
export type Notice = typeof Notice.Type

/** A closed session that has been decided for and asks for its join code. `later`: the code is tried again by itself. */
export const Door = Schema.Struct({
  session: SessionId,
  title: Schema.String,
  words: Schema.String,
  state: Schema.Literals(["code-needed", "asking", "wrong-code", "later"])
})
export type Door = typeof Door.Type

/** A session in reach. */
export const Found = Schema.Struct({
  session: SessionFound.fields.session,
  title: SessionFound.fields.title,
  words: SessionFound.fields.words,
  address: SessionFound.fields.address,
  trust: SessionFound.fields.trust
})
export type Found = typeof Found.Type

/** What the start page suggests, for as long as nothing has begun. */
export const StartDefaults = Schema.Struct({
  title: Schema.String,
  name: Schema.String,
  /** Where a student's received files appear. */
  folder: Schema.String,
  /** Whether a teacher's key is kept on this machine. */
  keyKept: Schema.Boolean
})
export type StartDefaults = typeof StartDefaults.Type

/** What a person chooses on the start page. */
export const StartChoice = Schema.Union([
  Schema.TaggedStruct("Teacher", {
    title: Schema.String,
    /** A phrase, or what a key file holds. Without one: the key kept on this machine, made the first time. */
    secret: Schema.optional(Schema.String),
    studentsMayWrite: Schema.Boolean,
    joinCode: Schema.optional(Schema.String)
  }),
  Schema.TaggedStruct("Student", {
    name: Schema.String,
    folder: Schema.String,
    joinCode: Schema.optional(Schema.String)
  })
])
export type StartChoice = typeof StartChoice.Type

export const Header = Schema.Struct({
  /** Name and version. */
  program: Schema.String,
  isTeacher: Schema.Boolean,
  /** This device's own name. */
  name: Schema.String,
  phase: Schema.Literals(["looking", "joined", "ended"]),
  session: Schema.optional(SessionId),
  title: Schema.optional(Schema.String),
  /** Six words to compare with those on the board. */
  words: Schema.optional(Schema.String),
  /** What students may open or scan instead of searching. */
  link: Schema.optional(Schema.String),
  /** TCP port of links. */
  port: Schema.optional(Schema.Natural),
  door: Schema.optional(Door),
  /** There while nobody has chosen yet who this device is; then `start` is called. */
  start: Schema.optional(StartDefaults),
  mayWrite: Schema.Boolean
})
export type Header = typeof Header.Type

export const LocalState = Schema.Struct({
  header: Header,
  shares: Schema.Array(ShareNow),
  preparing: Schema.Array(PreparingNow),
  devices: Schema.Array(DeviceNow),
  messages: Schema.Array(Message),
  found: Schema.Array(Found),
  notices: Schema.Array(Notice)
})
export type LocalState = typeof LocalState.Type

/** One step of the live state: first a snapshot, then what changed. Applied by `LocalState.apply`. */
export const Change = Schema.Union([
  Schema.TaggedStruct("Snapshot", { state: LocalState }),
  Schema.TaggedStruct("Header", { header: Header }),
  /** New and changed ones, by root. Shares never go. */
  Schema.TaggedStruct("Shares", { changed: Schema.Array(ShareNow) }),
  Schema.TaggedStruct("Preparing", { preparing: Schema.Array(PreparingNow) }),
  Schema.TaggedStruct("Devices", { changed: Schema.Array(DeviceNow), gone: Schema.Array(PeerId) }),
  /** Behind those that are there; `kept` of which remain. */
  Schema.TaggedStruct("Messages", { kept: Schema.Natural, added: Schema.Array(Message) }),
  Schema.TaggedStruct("Notices", { kept: Schema.Natural, added: Schema.Array(Notice) }),
  Schema.TaggedStruct("Found", { found: Schema.Array(Found) })
])
export type Change = typeof Change.Type

// ---- what can go wrong ---------------------------------------------------------------------------------------------

/** Why a request was turned away before anything looked at it. */
export const Denied = Schema.TaggedStruct("Denied", {
  reason: Schema.Literals(["host", "origin", "key", "upgrade"])
})

const refusals = {
  write: WriteRefused.pipe(HttpApiSchema.status(409)),
  session: SessionRefused.pipe(HttpApiSchema.status(409)),
  source: SourceError.pipe(HttpApiSchema.status(422)),
  drop: DropRefused.pipe(HttpApiSchema.status(422)),
  disk: DiskError.pipe(HttpApiSchema.status(507)),
  open: OpenRefused.pipe(HttpApiSchema.status(409))
}

// ---- calls ---------------------------------------------------------------------------------------------------------

const described = (summary: string, description = summary) => OpenApi.annotations({ summary, description })

const session = HttpApiGroup.make("session", { topLevel: true })
  .add(
    HttpApiEndpoint.get("state", "/state", { success: LocalState })
      .annotateMerge(described("The session as it stands")),
    HttpApiEndpoint.get("live", "/live", { success: HttpApiSchema.StreamSse({ data: Change }) })
      .annotateMerge(
        described("The session as it changes", "Server-sent events: a snapshot first, then what changes.")
      ),
    HttpApiEndpoint.post("say", "/messages", {
      payload: Schema.Struct({ text: Schema.String }),
      success: HttpApiSchema.NoContent,
      error: [refusals.write, refusals.session]
    }).annotateMerge(described("Send a line to everybody")),
    HttpApiEndpoint.post("share", "/shares", {
      payload: Schema.Struct({ path: Schema.String }),
      success: Schema.Struct({ root: Root }),
      error: [refusals.source, refusals.write, refusals.session]
    }).annotateMerge(
      described(
        "Hand out a file or a folder of this machine",
        "Answers when it has been read and can be handed out; how far that is stands in the state: `preparing`. It goes on " +
          "when nobody waits for the answer any more."
      )
    ),
    HttpApiEndpoint.delete("unshare", "/shares/:name", {
      params: { name: Schema.String },
      success: HttpApiSchema.NoContent,
      error: [refusals.write, refusals.session]
    }).annotateMerge(
      described(
        "Stop handing something out",
        "Named by its root or its title. What is complete stays. What is still being prepared is named by its id or its " +
          "title, and called off."
      )
    ),
    HttpApiEndpoint.delete("remove", "/devices/:device", {
      params: { device: Schema.String },
      success: HttpApiSchema.NoContent,
      error: [refusals.write, refusals.session]
    }).annotateMerge(
      described("Shut a device out for the rest of the session", "Named by its name or the beginning of its id.")
    ),
    HttpApiEndpoint.post("choose", "/choice", {
      payload: Schema.Struct({ session: SessionId }),
      success: HttpApiSchema.NoContent,
      error: refusals.session
    }).annotateMerge(described("Join a session that was found, and trust its teacher from now on")),
    HttpApiEndpoint.post("enter", "/code", {
      payload: Schema.Struct({ code: shortText(joinCodeBytesMax) }),
      success: HttpApiSchema.NoContent,
      error: refusals.session
    }).annotateMerge(
      described("Try a join code", "At the door of a closed session. What comes of it is in the state: `header.door`.")
    ),
    HttpApiEndpoint.post("start", "/start", {
      payload: StartChoice,
      success: HttpApiSchema.NoContent,
      error: StartError.members.map((error) => error.pipe(HttpApiSchema.status(422)))
    }).annotateMerge(
      described("Begin as the teacher or as a student", "Where labfx was started with the start page, and once.")
    ),
    HttpApiEndpoint.post("end", "/end", {
      success: HttpApiSchema.NoContent,
      error: [refusals.write, refusals.session]
    }).annotateMerge(described("End the session for everybody", "What is complete stays. Only the teacher may.")),
    HttpApiEndpoint.get("people", "/people.csv", {
      success: Schema.String.pipe(HttpApiSchema.asText({ contentType: "text/csv" }))
    }).annotateMerge(described("Who has what, as a table for a spreadsheet"))
  )
  .annotateMerge(OpenApi.annotations({ title: "The session" }))

const desk = HttpApiGroup.make("desk", { topLevel: true })
  .add(
    HttpApiEndpoint.post("link", "/links", { success: Schema.Struct({ url: Schema.String }) })
      .annotateMerge(
        described("A link that opens the page once", "Whoever opens it first is let in; show it to nobody.")
      ),
    HttpApiEndpoint.post("openFolder", "/folder", {
      payload: Schema.Struct({ root: Root }),
      success: HttpApiSchema.NoContent,
      error: refusals.open
    }).annotateMerge(described("Show where a complete share lies", "Opens the folder it is in; never the file itself."))
  )
  .annotateMerge(OpenApi.annotations({ title: "This machine's desk" }))

const drops = HttpApiGroup.make("drops")
  .add(
    HttpApiEndpoint.post("begin", "/drops", {
      success: Schema.Struct({ drop: Schema.Natural }),
      error: [refusals.drop, refusals.disk, refusals.session]
    }).annotateMerge(described("Begin to hand over files that have no path, as a browser does")),
    HttpApiEndpoint.post("files", "/drops/:drop/files", {
      params: { drop: Schema.Natural },
      payload: HttpApiSchema.StreamUint8Array(),
      success: Schema.Struct({
        files: Schema.Natural,
        /** Files left out because of their names, with the reason in words. */
        skipped: Schema.Array(Schema.Struct({ path: Schema.String, reason: Schema.String }))
      }),
      error: [refusals.drop, refusals.disk]
    }).annotateMerge(described(
      "Some of the files",
      "Any number of records: one line of JSON, {\"path\": \"folder/file\", \"size\": 5}, then that many bytes. An empty " +
        "folder has {\"path\": \"folder\", \"folder\": true}."
    )),
    HttpApiEndpoint.post("finish", "/drops/:drop/share", {
      params: { drop: Schema.Natural },
      success: Schema.Struct({ roots: Schema.Array(Root) }),
      error: [refusals.drop, refusals.disk, refusals.source, refusals.write, refusals.session]
    }).annotateMerge(described("Share everything that was handed over")),
    HttpApiEndpoint.delete("discard", "/drops/:drop", {
      params: { drop: Schema.Natural },
      success: HttpApiSchema.NoContent,
      error: refusals.disk
    }).annotateMerge(described("Throw away what was handed over"))
  )
  .annotateMerge(OpenApi.annotations({ title: "Dropped files" }))

export class LocalApi extends HttpApi.make("labfx")
  .add(session, desk, drops)
  .prefix("/api")
  .annotateMerge(OpenApi.annotations({
    title: "labfx on this machine",
    description:
      "What the page, `labfx share`, `labfx say` and the other commands use. Only for the user who runs labfx: the port " +
      "and the key are in `running.json` in the state folder. Send the key as `Authorization: Bearer KEY`.",
    version: "1",
    transform: (document) => ({
      ...document,
      components: {
        ...(document["components"] as object),
        securitySchemes: { key: { type: "http", scheme: "bearer" } }
      },
      security: [{ key: [] }]
    })
  }))
{}
