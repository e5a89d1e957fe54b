/**
 * The words for everything that can go wrong: what happened, and what to do next.
 *
 * One case for every typed error and each of its reasons; the compiler sees to it that none is missing, and a test walks
 * them all.
 */
import { Schema } from "effect"
import { joinCodeBytesMax, joinCodeCharactersMin, messageTextBytesMax, sharesMax } from "../protocol/Limits.ts"
import { strengthBitsMin } from "../protocol/Phrase.ts"
import { FolderError, StoreError } from "../services/ChunkStore.ts"
import { ListenError } from "../services/Datagrams.ts"
import { DiskError } from "../services/Disk.ts"
import { StateError } from "../services/Identity.ts"
import { DropRefused, NothingRunning, OpenRefused, PageUnavailable, StartRefused } from "../services/LocalErrors.ts"
import { WriteRefused } from "../services/MessageRelay.ts"
import { SecretError } from "../services/Secrets.ts"
import { SessionRefused } from "../services/Session.ts"
import { SourceError } from "../services/store/Source.ts"
import { AcceptError } from "../services/Transport.ts"
import * as Display from "./Display.ts"
import * as ExitCode from "./ExitCode.ts"
import type { Refusal } from "./Typed.ts"

export interface Problem {
  /** Stable, for scripts: the error and its reason, e.g. `SourceError.not-found`. */
  readonly code: string
  /** A sentence: what happened. */
  readonly what: string
  /** A sentence: what to do next. */
  readonly next: string
  /** The exit code, should the program end because of it. */
  readonly exit: number
}

/** What only the command line can find wrong. */
export class UsageError extends Schema.TaggedError<UsageError>()("UsageError", {
  reason: Schema.Literals([
    "no-secret",
    "no-secret-file",
    "bad-address",
    "bad-port",
    "bad-words",
    "bad-trust",
    "bad-name",
    "bad-choice",
    "bad-join-code",
    "short-join-code"
  ]),
  detail: Schema.String
}) {}

/** The command ran, but not to the end that was asked for. */
export class NotDone extends Schema.TaggedError<NotDone>()("NotDone", {
  reason: Schema.Literals(["shares-missing", "demo-failed"]),
  detail: Schema.String
}) {}

export const LabfxError = Schema.Union([
  UsageError,
  NotDone,
  SecretError,
  FolderError,
  SourceError,
  StoreError,
  WriteRefused,
  SessionRefused,
  AcceptError,
  ListenError,
  StateError,
  DiskError,
  NothingRunning,
  PageUnavailable,
  DropRefused,
  OpenRefused,
  StartRefused
])
export type LabfxError = typeof LabfxError.Type

export const isLabfxError = Schema.is(LabfxError)

const disk = "Free some space or choose another folder with --dir or --state."

const words = (error: LabfxError): readonly [what: string, next: string, exit: number] => {
  switch (error._tag) {
    case "UsageError":
      switch (error.reason) {
        case "no-secret":
          return [
            "A teacher needs a secret, and none was given.",
            "Make one with `labfx keygen --out labfx.key`, then run `labfx teacher --secret-file labfx.key`; `--yes` makes and " +
            "keeps one by itself.",
            ExitCode.usage
          ]
        case "no-secret-file":
          return [
            `The secret file “${error.detail}” cannot be read.`,
            "Check the path and that you may read it; `labfx keygen --out FILE` makes a new one.",
            ExitCode.usage
          ]
        case "bad-address":
          return [
            `“${error.detail}” is not an address.`,
            "Write it as HOST:PORT with an IP address, for example 192.168.1.20:4711; the teacher's screen shows it.",
            ExitCode.usage
          ]
        case "bad-port":
          return [`“${error.detail}” is not a port.`, "Give a number from 0 to 65535.", ExitCode.usage]
        case "bad-words":
          return [
            `“${error.detail}” cannot be the words of a session.`,
            "Give the six words as the teacher wrote them on the board, in quotes: --join \"one two three four five six\".",
            ExitCode.usage
          ]
        case "bad-join-code":
          return [
            "That cannot be a join code.",
            `Give one line of at most ${joinCodeBytesMax} bytes, as the teacher has given it to the class.`,
            ExitCode.usage
          ]
        case "short-join-code":
          return [
            "That join code could be guessed.",
            `Take at least ${joinCodeCharactersMin} characters; three short words do well.`,
            ExitCode.usage
          ]
        case "bad-trust":
          return [
            `“${error.detail}” is neither a public key nor a file that begins with one.`,
            "Give the 43 characters that `labfx keygen` printed as the public key, or a file with them.",
            ExitCode.usage
          ]
        case "bad-choice":
          return [
            `“${error.detail}” is none of the numbers above.`,
            "Type one of them, or press Enter for the first.",
            ExitCode.usage
          ]
        case "bad-name":
          return [
            `“${error.detail}” is too long or has control characters.`,
            "Give a shorter, plain text: a name has at most 64 bytes, a title 128.",
            ExitCode.usage
          ]
      }
    case "NotDone":
      switch (error.reason) {
        case "shares-missing":
          return [
            `Not everything could be received: ${error.detail}.`,
            "See the reason above, then start labfx student again: it goes on where it stopped.",
            ExitCode.failed
          ]
        case "demo-failed":
          return [
            `The demonstration failed: ${error.detail}.`,
            "Check that no firewall blocks node from talking to itself, and try `labfx demo --students 1`.",
            ExitCode.failed
          ]
      }
    case "SecretError":
      switch (error.reason) {
        case "empty":
          return [
            "The secret is empty.",
            "Check that it was typed or that the file or variable holds it; `labfx keygen` makes a new one.",
            ExitCode.usage
          ]
        case "weak":
          return [
            `The secret is too easy to guess (about ${error.strengthBits ?? 0} bits of ${strengthBitsMin}): ` +
            "anybody could become the teacher.",
            "Make a strong one with `labfx keygen --phrase`, or accept the risk with --allow-weak-secret.",
            ExitCode.usage
          ]
        case "mistyped":
          return [
            "The secret looks like a phrase of labfx keygen, but one of its words is wrong.",
            "Compare it with what was written down, word by word, and try again.",
            ExitCode.usage
          ]
        case "malformed-key":
          return [
            "The secret begins like a key of labfx keygen, but it is not complete.",
            "Copy the whole line of the key file, or name the file with --secret-file.",
            ExitCode.usage
          ]
      }
    case "StoreError":
      switch (error.reason) {
        case "disk-full":
          return ["The disk is full.", disk, ExitCode.state]
        case "disk-read-only":
          return [`The folder cannot be written to: ${error.detail}.`, disk, ExitCode.state]
        case "disk-failing":
          return [`The disk reports errors: ${error.detail}.`, "Choose a folder on another disk.", ExitCode.state]
        case "folder-gone":
          return [
            `The download folder is not there any more: ${error.detail}.`,
            "Put it back, or leave it: labfx makes a new one in its place and begins again, unless a link stands there.",
            ExitCode.state
          ]
        case "bad-manifest":
          return [
            `The description of a share is not valid: ${error.detail}.`,
            "Ask the teacher to share it again.",
            ExitCode.failed
          ]
      }
    case "FolderError":
      switch (error.reason) {
        case "in-use":
          return [
            `Another labfx is using ${error.path}.`,
            "Use the one that runs, end it first, or give this one a folder of its own with --dir.",
            ExitCode.state
          ]
        case "read-only":
          return [`${error.path} may not be written: ${error.detail}.`, disk, ExitCode.state]
        case "full":
          return [`The disk of ${error.path} is full.`, disk, ExitCode.state]
        case "io":
          return [`${error.path} cannot be used: ${error.detail}.`, disk, ExitCode.state]
      }
    case "SourceError":
      switch (error.reason) {
        case "not-found":
          return [`There is no “${error.path}”.`, "Check the path, then type /share PATH.", ExitCode.failed]
        case "permission":
          return [
            `“${error.path}” may not be read.`,
            "Give yourself the right to read it, then type /share PATH again.",
            ExitCode.failed
          ]
        case "not-a-file-or-folder":
          return [
            `“${error.path}” is neither a file nor a folder.`,
            "Share a file or a folder that holds what the class needs.",
            ExitCode.failed
          ]
        case "empty-name":
          return [
            `“${error.path}” has no name of its own.`,
            "Share a named file or folder, not a drive or the root.",
            ExitCode.failed
          ]
        case "too-many-files":
          return [
            `“${error.path}” has too many files: ${error.detail}.`,
            "Share parts of it, or pack it into one archive.",
            ExitCode.failed
          ]
        case "too-large":
          return [`“${error.path}” is too large: ${error.detail}.`, "Share parts of it.", ExitCode.failed]
        case "changed-while-read":
          return [
            `“${error.path}” changed while it was being read.`,
            "Close the program that writes to it, then type /share PATH again.",
            ExitCode.failed
          ]
        case "io":
          return [
            `“${error.path}” cannot be read: ${error.detail}.`,
            "Check the disk or the network drive it is on, then type /share PATH again.",
            ExitCode.failed
          ]
      }
    case "WriteRefused":
      switch (error.reason) {
        case "not-allowed":
          return [
            "Students may not write in this session.",
            "Ask the teacher, who can start it with --students-may-write.",
            ExitCode.failed
          ]
        case "too-long":
          return [
            `The line is longer than ${Display.bytes(messageTextBytesMax)}; nothing was sent.`,
            "Send it in parts, or share it as a file.",
            ExitCode.failed
          ]
        case "too-fast":
          return [
            "Too many lines at once; this one was not sent.",
            "Wait a few seconds and send it again.",
            ExitCode.failed
          ]
        case "log-full":
          return [
            "This session has reached its limit of messages; nothing was sent.",
            "The teacher can go on in a new session: another --state folder makes one.",
            ExitCode.failed
          ]
        case "ended":
          return [
            "The session has ended; nothing was sent.",
            "Start labfx again to join the next one.",
            ExitCode.failed
          ]
        case "removed":
          return [
            "The teacher has removed this device from the session; nothing was sent.",
            "Ask the teacher.",
            ExitCode.failed
          ]
        case "disk":
          return [`The message could not be kept on disk: ${error.detail}.`, disk, ExitCode.failed]
      }
    case "SessionRefused":
      switch (error.reason) {
        case "not-joined":
          return [
            "No session is joined yet.",
            "Wait until labfx says that it has joined, then type the line again.",
            ExitCode.failed
          ]
        case "not-host":
          return ["Only the teacher can do that.", "Ask the teacher to share it.", ExitCode.failed]
        case "unknown-share":
          return [
            `Nothing called “${error.detail}” is shared.`,
            "Type the name as the list of shares shows it.",
            ExitCode.failed
          ]
        case "too-many-shares":
          return [
            `${sharesMax} shares are being prepared already; “${error.detail}” was left out.`,
            "Wait until some are ready, then share it again.",
            ExitCode.failed
          ]
        case "called-off":
          return [
            `“${error.detail}” was called off; nothing of it is handed out.`,
            "Share it again if that was a mistake.",
            ExitCode.failed
          ]
        case "unknown-device":
          return [
            `No device here is called “${error.detail}”.`,
            "Type /who for the names, or give the beginning of its id as --json prints it.",
            ExitCode.failed
          ]
        case "several-devices":
          return [
            `Several devices are meant (${error.detail}).`,
            "Name one by the beginning of its id, as listed here.",
            ExitCode.failed
          ]
        case "not-asked":
          return [
            "No session asks for a join code now.",
            "Choose a session first, or go on in the one that is joined.",
            ExitCode.failed
          ]
        case "unknown-session":
          return [
            "That session is no longer in reach.",
            "Wait until it is found again, then choose it.",
            ExitCode.failed
          ]
      }
    case "AcceptError":
      switch (error.reason) {
        case "in-use":
          return [
            `TCP port ${error.port} is used by another program.`,
            "Leave --port away, so that a free one is taken, or choose another.",
            ExitCode.network
          ]
        case "permission":
          return [
            `TCP port ${error.port} may not be opened.`,
            "Choose a port above 1023, or leave --port away.",
            ExitCode.network
          ]
        case "other":
          return [
            `TCP port ${error.port} cannot be opened: ${error.detail}.`,
            "Check that the network is up, or choose another port with --port.",
            ExitCode.network
          ]
      }
    case "ListenError":
      return [
        `UDP port ${error.port} cannot be opened, so sessions cannot be heard: ${error.detail}.`,
        "Close the program that uses it, give the whole class another --discovery-port, or use --connect HOST:PORT.",
        ExitCode.network
      ]
    case "StateError":
      switch (error.reason) {
        case "in-use":
          return [
            `Another labfx is using ${error.path}.`,
            "Use the one that runs, end it first, or give this one a folder of its own with --state.",
            ExitCode.state
          ]
        case "damaged":
          return [
            `The state in ${error.path} is damaged: ${error.detail}.`,
            "Move that folder away and start again; downloads that were not complete begin anew.",
            ExitCode.state
          ]
        case "newer-version":
          return [
            `The state in ${error.path} was written by a newer labfx.`,
            "Install the newer labfx, or give this one a folder of its own with --state.",
            ExitCode.state
          ]
        case "disk":
          return [`The state folder ${error.path} cannot be used: ${error.detail}.`, disk, ExitCode.state]
      }
    case "DiskError":
      switch (error.reason) {
        case "not-found":
          return [`There is no ${error.path}.`, "Check the path and try again.", ExitCode.failed]
        case "exists":
          return [
            `${error.path} exists already and was left as it is.`,
            "Choose another name, or move the existing one away first.",
            ExitCode.failed
          ]
        case "full":
          return [`The disk of ${error.path} is full.`, disk, ExitCode.state]
        case "read-only":
        case "permission":
          return [
            `${error.path} may not be read or written: ${error.detail}.`,
            "Give yourself the right, or choose another folder with --dir or --state.",
            ExitCode.state
          ]
        case "not-a-directory":
          return [`A part of ${error.path} is not a folder.`, "Choose another folder.", ExitCode.state]
        case "is-a-directory":
          return [`${error.path} is a folder, not a file.`, "Name the file itself.", ExitCode.failed]
        case "too-many-open-files":
          return [
            "This system allows too few open files.",
            "Close other programs, or raise the limit (`ulimit -n 4096`).",
            ExitCode.failed
          ]
        case "busy":
        case "io":
          return [
            `${error.path} cannot be used: ${error.detail}.`,
            "Check the disk or the network drive it is on, and try again.",
            ExitCode.failed
          ]
      }
    case "NothingRunning":
      return error.reason === "none"
        ? [
          "No labfx session of yours is running on this machine.",
          "Start one with `labfx teacher` or `labfx student`; if it runs with --state DIR, give the same --state here.",
          ExitCode.notRunning
        ]
        : [
          "The running labfx does not answer as expected.",
          "Look at its terminal; if both are not of the same version, end it and start it again.",
          ExitCode.notRunning
        ]
    case "PageUnavailable":
      return [
        `The page cannot be shown on port ${error.port}: ${error.detail}.`,
        "Leave --ui-port away, so that a free one is taken, or go without the page with --no-ui.",
        ExitCode.network
      ]
    case "DropRefused":
      switch (error.reason) {
        case "unknown":
        case "malformed":
        case "cut-off":
          return [
            "What was dropped onto the page did not arrive whole; nothing of it is shared.",
            "Drop it again, or type its path into the page.",
            ExitCode.failed
          ]
        case "too-many":
          return [
            "Too many folders are being dropped at once.",
            "Wait until one of them is shared, then drop it again.",
            ExitCode.failed
          ]
        case "nothing-left":
          return [
            "Nothing of what was dropped has a name that every system can hold.",
            "Rename the files and drop them again.",
            ExitCode.failed
          ]
      }
    case "StartRefused":
      switch (error.reason) {
        case "started":
          return ["A session has begun here already.", "Go on in it, or end labfx and start it again.", ExitCode.failed]
        case "bad-title":
        case "bad-name":
          return words(new UsageError({ reason: "bad-name", detail: error.detail }))
        case "bad-join-code":
          return words(new UsageError({ reason: "short-join-code", detail: error.detail }))
      }
    case "OpenRefused":
      switch (error.reason) {
        case "not-here":
          return [
            "It is not on this machine, or not complete yet.",
            "Wait until it is complete; it may also have been moved away.",
            ExitCode.failed
          ]
        case "no-desktop":
          return [
            `This system would not open a window: ${error.detail}.`,
            "Open the folder or the link by hand: `labfx open --print` prints the link.",
            ExitCode.failed
          ]
      }
  }
}

export const explain = (error: LabfxError): Problem => {
  const [what, next, exit] = words(error)
  const code = "reason" in error ? `${error._tag}.${error.reason}` : error._tag
  return { code, what: Display.safeLine(what), next: Display.safeLine(next), exit }
}

/** A typed line that was not carried out. */
export const refusal = (reason: Refusal): Problem => {
  switch (reason._tag) {
    case "TooLong":
      return explain(new WriteRefused({ reason: "too-long", detail: "" }))
    case "UnknownCommand":
      return {
        code: "Typed.unknown-command",
        what: `There is no command /${Display.truncate(Display.safeLine(reason.command), 40)}; nothing was sent.`,
        next: "Type /help for the list; a line that should begin with a slash is written with two.",
        exit: ExitCode.failed
      }
    case "NothingNamed":
      return {
        code: "Typed.nothing-named",
        what: `/${reason.command} needs to know what.`,
        next: reason.command === "share" ? "Write /share PATH." : `Write /${reason.command} NAME.`,
        exit: ExitCode.failed
      }
  }
}

/** A bug, told as one. */
export const unexpected = (detail: string): Problem => ({
  code: "Unexpected",
  what: `labfx has met a bug and must end (${Display.truncate(Display.safeLine(detail), 300)}).`,
  next: "Start it again: nothing that was complete is lost. Please report the sentence above.",
  exit: ExitCode.failed
})
