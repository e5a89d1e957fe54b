/**
 * Every maximum of the protocol and the program, with its reason.
 *
 * Units stand last in a name. What a peer sends beyond one of these ends its link or drops its datagram; what a person
 * asks for beyond one of these is refused with a sentence.
 */

const KiB = 1024
const MiB = 1024 * KiB

// ---- Datagrams -----------------------------------------------------------------------------------------------------

/** One Ethernet frame with room for VPN headers: a fragmented broadcast is lost whole on Wi-Fi. */
export const datagramBytesMax = 1_200
/** A room that hears fifty sessions is a campus; more is a flood. Pinned sessions are never evicted. */
export const sessionsListedMax = 64
/** A verification costs 0.2 ms: this keeps a flood of announcements under a tenth of a core. */
export const announcementVerificationsPerSecondMax = 200
/** Of these at once, so that a whole room that wakes up is heard, and a flood stalls the event loop for 10 ms at most. */
export const announcementVerificationsBurstMax = 50
/** Announcements never seen before that one address may have decoded a second: a flood from one device takes a tenth. */
export const announcementsPerAddressPerSecondMax = 20
/** Addresses whose announcements are counted: a full room four times over. */
export const announcingAddressesMax = 256
/** Sessions listed because of one address: one device cannot fill the list alone. */
export const sessionsPerAddressMax = 8
/** Devices remembered for one listed session: a full room. */
export const sightingsPerSessionMax = 64
/** A sighting older than this is forgotten: whoever is there has been heard twenty times since. */
export const sightingAgeMs = 30_000
/**
 * A peer at one address is reported this often: whoever needs one tries again later than that, and each announcement comes
 * twice by each interface, a flood a thousand times.
 */
export const sightingReportMs = 2_500
/** Addresses announced from: a laptop has five, one with many container networks twenty. */
export const interfacesMax = 32
/** Whoever announces a session goes on this often; one who has listened for the longer has heard every session in reach. */
export const announceIntervalMsMin = 800
export const announceIntervalMsMax = 1_000
/** Listening this long means that every session has been announced and its datagram has had the time to arrive. */
export const settleFromStartMs = 1_100
/** A network that comes up late delivers what it has kept in one burst: the beacon intervals of a sleeping Wi-Fi. */
export const settleFromSightingMs = 200
/** A session not heard for ten turns is not in reach. */
export const inReachMs = 10_000
/** Another device than the host takes over after a silence of this long: longer than a turn and its way together. */
export const silenceMsMin = 1_200
export const silenceMsMax = 2_400
/**
 * Whatever it hears, a device speaks once in this long: hearing is not mutual, and who replays an announcement must not
 * silence a room. Fifty devices that do make one announcement a second more.
 */
export const muteMsMin = 30_000
export const muteMsMax = 60_000
/**
 * What a student's device that stands in a network waits longer on loopback: who runs on its machine hears it in the network
 * as well, unless a firewall is in the way.
 */
export const loopbackWaitMs = 3_000
/**
 * How often one machine is dialled, whoever is said to be there: made-up peers must not turn a room into a hammer. A
 * machine with several labfx on it is linked all the same, some seconds later.
 */
export const dialIntervalMs = 5_000
export const dialsPerIntervalMax = 8

/** Addresses in a join link: two of every interface of a laptop, short enough for a QR code. */
export const joinLinkAddressesMax = 8
/** A join link with all of them in their longest form, twice over. */
export const joinLinkCharactersMax = 1_024

// ---- Names and texts -----------------------------------------------------------------------------------------------

/** Fits an announcement beside two signatures. Counted in UTF-8 bytes. */
export const titleBytesMax = 128
/** A person's or a device's name. Counted in UTF-8 bytes. */
export const nameBytesMax = 64
/** Name and version of a device's program. Counted in UTF-8 bytes. */
export const programBytesMax = 64
/** One message of a person. Counted in UTF-8 bytes. */
export const messageTextBytesMax = 16 * KiB

// ---- Links and frames ----------------------------------------------------------------------------------------------

/** A control frame: the largest is a bitfield or a batch of log entries. */
export const controlFrameBytesMax = 64 * KiB
/** The JSON header of a data frame: a share, an index and an offset. */
export const dataHeaderBytesMax = 512
/** A data frame's payload: short enough that a message never waits for long behind one. */
export const dataFrameBytesMax = 64 * KiB
/** TLS, and then once more for the hello: closes silent, trickling and endless strangers. */
export const handshakeTimeoutMs = 3_000
/** Handshakes under way at once; further strangers wait. */
export const handshakesMax = 64
/** Handshakes under way at once from one address: one stranger cannot take every place. */
export const handshakesPerAddressMax = 8
/** Strangers that wait for a place; a further one is closed at once. Fifty devices may share an address and come together. */
export const handshakesWaitingMax = 64
/** How long an ended connection may take to send what was written before: a goodbye over a bad Wi-Fi. */
export const closeGraceMs = 500
/** Silence after which the system asks whether the other machine is still there. */
export const keepAliveAfterMs = 10_000
/** Established links: everybody of a room of 60 whose devices reach only the teacher, and some reserve. */
export const linksMax = 80
/** Rooms up to this size are a full mesh. */
export const fullMeshPeersMax = 10
/** How many links a device wants in a larger room, at least and at most. */
export const linksWantedMin = 8
export const linksWantedMax = 12
/** Links that the device dialled itself, so that nobody can surround it. */
export const linksDialledMin = 3
/** Links that a device that has just come dials before it waits for others to dial it: half of what it wants. */
export const linksDialledFirst = linksWantedMin / 2
/** Machines without a link of which a person is told, for each reason. */
export const machinesNoticedMax = 64
/** Addresses known beyond the linked ones. */
export const peersKnownMax = 256
/** Peers remembered for having lied; the oldest is forgotten first. */
export const peersBannedMax = 1_024
/** Addresses kept for one peer. */
export const addressesPerPeerMax = 4
/** Peers in one `Peers` message. */
export const peersPerMessageMax = 64
/** Control bytes waiting for one peer; a slower peer is disconnected and catches up when it returns. */
export const outboxBytesMax = 4 * MiB
/**
 * Frames and bytes of messages that wait for this device's own machines, a link; more stops reading from that link.
 * All links together stay under 32 MiB.
 */
export const inboxFramesMax = 256
export const inboxBytesMax = 256 * KiB
/** Events of all links that wait for one machine; a full queue holds up the links that feed it. */
export const logEventsMax = 64
/**
 * Control frames a link may send a second, on average and at once; a link that sends more is not read for a while. A
 * chunk costs two: at 64 KiB a chunk this is 400 MB/s.
 */
export const controlFramesPerSecondMax = 12_000
export const controlFramesBurstMax = 12_000
/**
 * Bytes of control frames a link may send a second, on average and at once: decoding a flood of JSON makes several times
 * its size of garbage. Ten times what the busiest link of a room needs; only a log filled by an attack takes seconds.
 */
export const controlBytesPerSecondMax = 4 * MiB
export const controlBytesBurstMax = 2 * MiB
/**
 * Bytes of chunks that a link may send without being asked, a second on average and at once. Late answers to what has been
 * cancelled are four of the largest chunks at most; a flood of them is read into fresh buffers all the same.
 */
export const unaskedBytesPerSecondMax = 4 * MiB
export const unaskedBytesBurstMax = 16 * MiB
/**
 * Bytes of a link that bring nothing new, a second on average and at once: a link that has sent more is not read until that
 * holds again, for `overheadPauseMsMax` at a time, so that neither side takes it for dead. Twenty that flood a device take
 * an eighth of 20 Mbit/s; the busiest link of an honest room of 60 was never more than 14 KiB over its average.
 */
export const overheadBytesPerSecondMax = 16 * KiB
export const overheadBytesBurstMax = 64 * KiB
export const overheadPauseMsMax = 10_000
/** Silence after which a link is asked for a sign of life, and after which it is dead. */
export const pingAfterMs = 5_000
export const deadAfterMs = 15_000

// ---- Closed sessions -----------------------------------------------------------------------------------------------

/** A join code: a few words or a line of digits. Counted in UTF-8 bytes. */
export const joinCodeBytesMax = 128
/** The shortest code: a minute allows 30 guesses in all, so a lesson of an hour finds one of a million with 0.2 %. */
export const joinCodeCharactersMin = 6
/** Wrong join codes of one peer key, and of one address, in a minute: three typing mistakes and their corrections. */
export const wrongCodesPerSourceMax = 5
/** Wrong join codes in a minute from everybody together. */
export const wrongCodesMax = 30
/** Of these, kept for addresses that have not been wrong for an hour: a guesser must not keep out those who know it. */
export const wrongCodesReserved = 15
/** Closed sessions whose membership a device keeps: a year of courses. The oldest goes first. */
export const membershipsKeptMax = 64

// ---- Logs ----------------------------------------------------------------------------------------------------------

/** The signed body of one log entry: a message of `messageTextBytesMax` with JSON escapes and its frame. */
export const entryBodyBytesMax = 24 * KiB
/** Entries of one author in a session, and their bytes, by role. An author who reaches this can write no more. */
export const entriesPerStudentMax = 2_048
export const entriesPerHostMax = 16_384
export const logBytesPerStudentMax = 1 * MiB
export const logBytesPerHostMax = 16 * MiB
/** Authors whose logs are kept: four times a full room, so that re-installed machines fit. */
export const authorsMax = 256
/** Messages an author may write a second, on average and at once; enforced by every relay. */
export const entriesPerSecondMax = 5
export const entriesBurstMax = 20
/**
 * Bytes of all students' logs together: everything is kept in memory, and made-up keys must not fill it. Only an attack
 * gets here: 24 MiB are fifty thousand lines of conversation. From here on devices may differ in what they keep.
 */
export const logBytesStudentsMax = 24 * MiB
/** Entries in one `Entries` message. */
export const entriesPerMessageMax = 256
/** Bytes of entries under way to one peer: a late joiner is paced by its own acknowledgements, far below its outbox. */
export const catchUpWindowBytes = 256 * KiB
/** How often links compare how far their logs go, if anything has changed. */
export const headsIntervalMs = 15_000
/** How long after a link came up what the other side had by then passes the rate limit: the history, but no pretext. */
export const historyMs = 60_000
/** Entries beyond a gap that a link may send in a row: each has cost a verification and led to nothing. */
export const gapsPerLinkMax = 1_024
/** Second versions of an author's entries that are looked at before nothing more is taken from it. */
export const conflictsPerAuthorMax = 8
/** Messages that a page shows: an hour of a lively class; a browser scrolls through them smoothly. */
export const conversationMax = 2_000
/** Sessions whose logs are kept on disk; the ones not touched for longest go first. */
export const sessionsKeptMax = 32
/** Certificates of one session: a teacher who restarts more often starts a new one. */
export const certificatesMax = 16

// ---- Statuses ------------------------------------------------------------------------------------------------------

/**
 * How often a device says how it stands, at most; and how many statuses a second that tell figures alone a whole room makes,
 * about: what a host verifies in 3 ms of each second.
 */
export const statusIntervalMs = 3_000
export const statusesPerSecondMax = 15
/**
 * How often a device repeats its status unchanged; how many statuses a second a whole room makes that everybody hears,
 * about, which comes to 3 KB; and after how much silence a device is forgotten.
 */
export const statusRefreshMs = 20_000
export const statusFloodsPerSecondMax = 1
export const statusExpiryMs = 60_000
/** How often statuses go over one link, at most. */
export const statusBatchIntervalMs = 2_000
/** The signed body of one status: 32 shares of some 130 bytes. */
export const statusBodyBytesMax = 8 * KiB
/** Shares that a status tells about. */
export const statusSharesMax = 32
/** Statuses in one `Statuses` message. */
export const statusesPerMessageMax = 64
/** Devices whose statuses are kept: as many as may be authors. */
export const statusPeersMax = 256

// ---- Shares --------------------------------------------------------------------------------------------------------

/** Shares at one time in one session. */
export const sharesMax = 256
/**
 * Sources hashed at once: each holds two blocks of a chunk's size, and a disk that reads many at a time reads none of them
 * fast. More than one, so that a page of text need not wait for the disk image before it.
 */
export const sourcesHashedMax = 4
/** How often is told how far a source is hashed; what takes less time than that is not shown at all. */
export const preparingTellMs = 500
/** Files of one share: a large `node_modules` has 100,000. */
export const filesPerShareMax = 200_000
/** Folders of one share: what lies in further ones is lost, so that deep paths cannot multiply memory. */
export const foldersPerShareMax = 200_000
/** A manifest: 200,000 files with long paths. */
export const manifestBytesMax = 48 * MiB
/** One line of a manifest: a longest path with every character escaped, or `manifestHashesPerLine` hashes. */
export const manifestLineBytesMax = 64 * KiB
/** Hashes in one line of a manifest: decoded at a go. */
export const manifestHashesPerLine = 1_024
/** Chunks that carry one manifest: their hashes must fit a log entry. */
export const manifestChunksMax = 128
/** Chunk sizes: a chunk is one hash, one request, one source. */
export const chunkBytesMin = 64 * KiB
export const chunkBytesMax = 4 * MiB
/** Chunks wanted of one share: enough for the swarm to spread, few enough to keep track of. */
export const chunksPerShareTarget = 512
/** Content chunks of one share: 1 TiB at the largest chunk size. */
export const chunksPerShareMax = 262_144
/** Files of all shares open at once: well below the 256 that some systems allow a program. */
export const openFilesMax = 64
/** Bytes verified on disk and not yet marked there: what a kill costs beyond what is in flight. A mark takes 0.3 ms. */
export const unmarkedBytesMax = 4 * MiB
/** And for how long, while chunks come slowly. */
export const unmarkedMs = 500
/**
 * Small files of a share that are synced one by one before it appears: a second on a slow disk. With more of them it would
 * be a minute, and they are made again after a power cut instead.
 */
export const smallFilesSyncedMax = 256
/** How often a source that changes while it is read is read again. */
export const importRoundsMax = 3
/** Names tried for a share whose own is taken: `name (2)` to this one. */
export const freeNamesMax = 1_000
/** Earlier shares that are searched for chunks of a new one, the newest first. */
export const earlierSharesSearchedMax = 16
/** What is left free on the disk beyond the missing chunks: for records, and for everybody else. */
export const freeBytesReserve = 32 * MiB
/**
 * What the hidden folder holds of a share (packs, unfinished files) that no session has opened for so long is removed: a
 * weekly course with a fortnight's holidays finds its own again.
 */
export const leftoversKeptMs = 30 * 86_400_000
/** And for so long only where a share needs the room: an unfinished download of yesterday goes on today. */
export const leftoversKeptWhenFullMs = 2 * 86_400_000
/** How long after the start leftovers are looked for: what the session needs is open by then. */
export const leftoversRemovedAfterMs = 600_000
/** After this, every system has written to disk what a program gave it to write; most wait 30 s. */
export const settledAfterMs = 120_000
/** One path component in UTF-8 bytes: the shortest of NTFS, APFS and ext4, with room for a number. */
export const pathComponentBytesMax = 240
/** A path in UTF-8 bytes: macOS takes 1,024 in all, of which this leaves 256 for the download folder and labfx's own. */
export const pathBytesMax = 768
export const pathDepthMax = 32

// ---- Swarm ---------------------------------------------------------------------------------------------------------

/** Bytes asked for and not yet verified, written and marked, a device: what a crash can cost. */
export const inFlightBytesMax = 32 * MiB
/** Bytes of chunks read from disk for sending and not yet taken by the system, a device: what serving costs in memory. */
export const uploadBytesMax = 16 * MiB
/** What a peer may say about shares that this device has not opened yet: 4 TiB in the largest chunks. */
export const rememberedBytesMax = 128 * KiB
/** Chunk buffers kept for the next chunk. */
export const pooledBytesMax = 32 * MiB
/** Requests a link may have waiting here; more is a protocol violation. */
export const requestsPerLinkMax = 256
/** Chunk indexes in one `Have` message. */
export const haveIndexesMax = 1_024

// ---- Casts ---------------------------------------------------------------------------------------------------------

/**
 * One piece of a chunk in a datagram of a multicast: many Ethernet frames, because each datagram costs a program as much as
 * all of its bytes. And the least that is taken for one, a frame's worth.
 */
export const pieceBytesMax = 32 * KiB
export const pieceBytesMin = 1 * KiB
/** The whole datagram: a piece, and what stands around it. */
export const fragmentDatagramBytesMax = pieceBytesMax + 64
/** Groups of one multicast, among which fragments are dealt out: a system queues only so much for each that is listened to. */
export const castGroupsMax = 16
/** Chunks of casts that are under way to this device, in bytes: what has begun longest is given up for what comes. */
export const castBytesMax = 16 * MiB
/** Largest chunks that are cast: the larger one is, the more often one of its pieces is lost, and with it the chunk. */
export const castChunkBytesMax = 1 * MiB
/** Casts that a device keeps in mind: as many as there may be shares. */
export const castsMax = sharesMax
/** A share of no more content is not cast: it has left before the room is ready. */
export const uncastBytesMax = 16 * KiB
/** A cast needs so many listeners: of three, one that is busy would already be too many who lose something. */
export const castListenersMin = 4
/** Casts in one notice, the newest; who has no link to the host asks for the others as ever. And the longest notice, in characters. */
export const castsNoticedMax = 16
export const castNoticeCharactersMax = 4 * KiB
/** Datagrams that are no fragments of the multicast, a second on average and at once; with more this device stops to listen. */
export const strayFragmentsPerSecondMax = 200
export const strayFragmentsBurstMax = 1_000
/** How often a host may ask a listener to report: a report costs both sides a message. */
export const castReportMsMin = 50
export const castReportMsMax = 5_000
/** Cast chunks with a false hash before this device stops to listen: somebody in the room makes them. */
export const castChunksFalseMax = 3

// ---- State ---------------------------------------------------------------------------------------------------------

/** Teachers a device trusts: forty courses a year for a lab machine's life. The oldest goes first. */
export const pinsMax = 1_024
/** Peers of the last session that a new run asks at once: one is enough, and that all of eight are gone is rare. */
export const peersRememberedMax = 8
/** Sessions that a device has seen end and is not led into again: one a day for years. The oldest is forgotten first. */
export const endedSessionsKeptMax = 1_024
/** Hardware addresses by which a device knows its machine: cards come and go, the last ones count. */
export const hardwareKnownMax = 32
/** Damaged files kept for whoever wants to look at them; further ones are removed. */
export const damagedFilesMax = 9

// ---- The local API -------------------------------------------------------------------------------------------------

/** Pages and scripts that follow the live state at once: a person has two or three tabs. */
export const liveSubscribersMax = 32
/** One-time links that wait to be opened; a further one replaces the oldest. */
export const linksWaitingMax = 8
/** Browsers let in by a link in one run; the oldest must ask for a new link then. */
export const browsersMax = 16
/** Notices that a page shows; older ones have scrolled away. */
export const noticesMax = 50
/** Folders being dropped onto the page at once. */
export const dropsMax = 8
/** The line before each dropped file: the longest path, every character escaped, and its size. */
export const dropRecordBytesMax = 8 * KiB
/** Files of a drop that were left out and are named one by one. */
export const dropSkippedListedMax = 20
/** Dropped files up to this size are written together; of these and of larger ones, this much at a go. */
export const dropSmallFileBytes = 64 * KiB
export const dropBatchBytes = 2 * MiB
