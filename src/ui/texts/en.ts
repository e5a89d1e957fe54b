/**
 * Everything the page says, in English: the catalogue that every other language must complete.
 *
 * `{name}` stands for a value. Where a count decides the word, there is one text a plural form.
 */
export type Text = string | ({ readonly other: string } & Partial<Readonly<Record<Intl.LDMLPluralRule, string>>>)

export const en = {
  // ---- everywhere
  "app.teacher": "Teacher",
  "app.student": "Student",
  "app.language": "Language",
  "app.reference": "API reference",
  "app.connecting": "Connecting to labfx …",
  "app.lost":
    "labfx on this machine does not answer: it has ended, or it is starting again. If this stays, run {command} in a terminal.",
  "app.locked.title": "This page needs to be opened by labfx",
  "app.locked":
    "Run {command} in a terminal on this machine. The page is shown to you alone, so every browser is let in by a link of its own.",
  "app.replayed":
    "That link had been opened before. Links work once; if it was not you, somebody else on this machine has read it, and whoever used it has been shut out as well.",
  "app.unknown": "That link is not valid any more.",
  "reference.title": "The API of labfx on this machine",
  "reference.back": "Back to the session",
  "reference.needs": "Needs",
  "reference.gives": "Gives",
  "app.cancel": "Cancel",
  "app.close": "Close",
  "app.skip": "Skip to the content",

  // ---- the board
  "board.words": "Words of this session",
  "board.explain": "Write them on the board. Students compare them before they join.",
  "board.large": "Show large",
  "board.qr": "QR code of the join link",
  "board.copy": "Copy join link",
  "board.copied": "Copied",
  "board.start": "Students run {command}",
  "board.ended": "This session has ended. What is complete stays with everybody.",

  // ---- shares
  "shares.title": "Shared",
  "shares.none": "Nothing is shared yet.",
  "shares.drop": "Drop files or folders anywhere on this page",
  "shares.dropNow": "Drop to hand out to everybody",
  "shares.files": "Choose files",
  "shares.folder": "Choose a folder",
  "shares.path": "or the path of something on this machine",
  "shares.share": "Share",
  "shares.reading": "Reading …",
  "shares.unshare": "Stop sharing",
  "shares.unshareName": "Stop sharing: {title}",
  "shares.filesCount": { one: "{count} file", other: "{count} files" },
  "shares.room": "{complete} of {students} have it",
  "shares.nobody": "Ready; nobody is here yet",
  "shares.limit": "physical limit {limit}",
  "shares.took": "Everybody had it after {time}",
  "shares.since": "Spreading for {time}",
  "shares.copies": "sent {copies} times from here",
  "shares.withdrawn": "No longer shared",
  "shares.copying": "Copying from the browser",
  "shares.copyingOf": "{done} of {total}",
  "shares.preparing": "Hashing, then handing out …",
  "shares.skipped": { one: "{count} file was left out: {names}", other: "{count} files were left out: {names}" },
  "shares.folderName": "Dropped files",

  // ---- students
  "students.title": "Students",
  "students.none": "Nobody has joined yet.",
  "students.noneHelp": "Students find this session by themselves. If none appears, see labfx doctor.",
  "students.count": { one: "{count} student", other: "{count} students" },
  "students.done": "{count} have everything",
  "students.stuck": { one: "{count} needs help", other: "{count} need help" },
  "students.export": "Export as CSV",
  "students.cards": "Cards",
  "students.table": "Table",
  "students.name": "Name",
  "students.state": "State",
  "students.rate": "Rate",
  "students.seen": "Last heard",
  "students.remove": "Remove",
  "students.removeName": "Remove: {name}",
  "students.removeTitle": "Remove {name} from this session?",
  "students.removeExplain":
    "This device can say nothing more and gets nothing more in this session. It cannot come back before the next one.",
  "students.view": "View",

  // ---- how a device stands
  "device.everything": "Has everything",
  "device.waiting": "Waiting",
  "device.joining": "Joining",
  "device.receiving": "Receiving, {rate}",
  "device.here": "Here",
  "device.gone": "Gone: closed labfx or lost the network",
  "device.silent": "Silent: asleep or out of reach",
  "device.slow": "Slower than the room: weak signal or slow disk",
  "device.disk-full": "Disk full",
  "device.disk-read-only": "Disk cannot be written to",
  "device.disk-failing": "Disk reports errors",
  "device.bad-names": "Some names do not fit its system",
  "device.other": "Stuck",
  "device.seenNow": "now",
  "device.progress": "{name}: {percent}",

  // ---- conversation
  "talk.title": "Conversation",
  "talk.none": "Nothing has been said yet.",
  "talk.placeholder": "Write to everybody",
  "talk.ask": "Ask the teacher; everybody can read it",
  "talk.send": "Send",
  "talk.closed": "The teacher has not opened the conversation to students.",
  "talk.earlier": "Show earlier",
  "talk.teacher": "teacher",
  "talk.you": "you",
  "talk.new": "{name}: {text}",

  // ---- ending
  "end.button": "End session",
  "end.title": "End the session for everybody?",
  "end.explain":
    "Nothing more can be said or shared in it. What is complete stays with everybody. If you only close labfx, the room carries on without you.",
  "end.confirm": "End it for everybody",

  // ---- the student's side
  "find.title": "Looking for your teacher's session",
  "find.none": "None is in reach yet. Stay on the lab's network; this page goes on looking.",
  "find.compare": "Join only if these are the words on the board.",
  "find.join": "Join",
  "find.joinName": "Join: {title}",
  "find.pinned": "A teacher you know. Joining …",
  "find.alarm": "Not the teacher you know",
  "find.alarmExplain":
    "This session has the title of a teacher you know, but another key. It is not joined. Tell your teacher before you go on.",
  "door.title": "This session asks for a join code",
  "door.code": "Join code",
  "door.enter": "Enter",
  "door.code-needed": "Your teacher has given it to the class. Capitals and blanks do not matter.",
  "door.asking": "Asking the teacher's machine. It must be here, for nobody else can let you in …",
  "door.wrong-code": "This is not the join code. Compare it with what your teacher has given you, and try again.",
  "door.later": "Too many wrong codes were tried. labfx tries yours again by itself, within {time}.",
  "files.title": "Files",
  "files.none": "The teacher has not shared anything yet.",
  "files.open": "Open folder",
  "files.openName": "Open folder: {title}",
  "files.complete": "Complete",
  "files.waiting": "Waiting for a device that has it",
  "files.receiving": { one: "{rate} from {count} device", other: "{rate} from {count} devices" },
  "files.left": "{time} left",
  "files.paused": "Paused: {problem}",
  "files.failed": "Failed: {problem}",
  "files.resumes": "It goes on by itself when the cause is gone.",
  "files.arrived": "{title} is complete.",
  "you.ended": "The teacher has ended the session. What is complete stays in your folder.",
  "you.others": { one: "{count} other device", other: "{count} other devices" },

  // ---- what went wrong
  "notices.title": "Notices",
  "notices.dismiss": "Dismiss",
  "error.title": "That did not work",
  "error.network": "labfx did not answer. Try again in a moment.",
  "error.SourceError.not-found": "There is nothing at that path. Check it, then try again.",
  "error.SourceError.permission": "It may not be read. Give yourself the right to read it, then try again.",
  "error.SourceError.not-a-file-or-folder": "That is neither a file nor a folder.",
  "error.SourceError.empty-name": "It has no name of its own. Share a named file or folder, not a whole drive.",
  "error.SourceError.too-many-files": "It has too many files. Share parts of it, or pack it into one archive.",
  "error.SourceError.too-large": "It is too large. Share parts of it.",
  "error.SourceError.changed-while-read":
    "It changed while it was being read. Close the program that writes to it, then try again.",
  "error.SourceError.io": "It could not be read. Check the disk or the network drive it is on.",
  "error.WriteRefused.not-allowed": "Students may not write in this session.",
  "error.WriteRefused.too-long":
    "That is too long for a message; nothing was sent. Send it in parts, or share it as a file.",
  "error.WriteRefused.too-fast": "Too many messages at once; this one was not sent. Wait a few seconds.",
  "error.WriteRefused.log-full": "This session has reached its limit of messages; nothing was sent.",
  "error.WriteRefused.ended": "The session has ended; nothing was sent.",
  "error.WriteRefused.removed": "The teacher has removed this device from the session; nothing was sent.",
  "error.WriteRefused.disk": "It could not be kept on disk, so it was not sent. Free some space.",
  "error.SessionRefused.not-joined": "No session is joined yet.",
  "error.SessionRefused.not-host": "Only the teacher can do that.",
  "error.SessionRefused.unknown-share": "That is not shared any more.",
  "error.SessionRefused.unknown-device": "That device is not in the session any more.",
  "error.SessionRefused.several-devices": "Several devices are meant; nothing was done.",
  "error.SessionRefused.unknown-session": "That session is no longer in reach.",
  "error.SessionRefused.not-asked": "No session asks for a join code now.",
  "error.DropRefused.unknown": "What was dropped did not arrive whole; nothing of it is shared. Drop it again.",
  "error.DropRefused.malformed": "What was dropped did not arrive whole; nothing of it is shared. Drop it again.",
  "error.DropRefused.cut-off":
    "The copy was broken off; nothing of it is shared. Did a file change or vanish? Drop it again, or give its path.",
  "error.DropRefused.too-many": "Too many things are being dropped at once. Wait until one is shared.",
  "error.DropRefused.nothing-left":
    "Nothing of it has a name that every system can hold. Rename the files and drop them again.",
  "error.OpenRefused.not-here": "It is not on this machine, or not complete yet.",
  "error.OpenRefused.no-desktop": "This system would not open a window. The folder is {detail}.",
  "error.DiskError.full": "The disk is full. Free some space, then try again.",
  "error.DiskError.other": "The disk refused: {detail}.",
  "error.other": "labfx refused: {detail}."
} satisfies Record<string, Text>

export type Key = keyof typeof en
export type Catalogue = Readonly<Record<Key, Text>>
