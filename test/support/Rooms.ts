/** Rooms for the page to show: a lesson in each of its moments. */
import type { PeerId } from "../../src/protocol/Ids.ts"
import type { DeviceView, SessionView, ShareView } from "../../src/services/Session.ts"
import type { MessageDelivered } from "../../src/services/SessionEvent.ts"
import * as SessionFake from "./SessionFake.ts"

const names = [
  "Aarav",
  "Ananya",
  "Björn",
  "Chiara",
  "Chen Wei",
  "Diego",
  "Divya",
  "Elif",
  "Emeka",
  "Fatima",
  "Finn",
  "Grace",
  "Hana",
  "Ishaan",
  "Ivana",
  "Jakub",
  "João",
  "Kavya",
  "Kofi",
  "Lakshmi",
  "Lena",
  "Linh",
  "Lukas",
  "Mariam",
  "Mateo",
  "Meera",
  "Mohamed",
  "Nadia",
  "Niamh",
  "Noah",
  "Nour",
  "Olga",
  "Omar",
  "Pooja",
  "Priya",
  "Rahul",
  "Rania",
  "Rosa",
  "Sahil",
  "Samira",
  "Sanjay",
  "Sofia",
  "Sven",
  "Tariq",
  "Tomás",
  "Uma",
  "Vikram",
  "Viktoria",
  "Wanjiru",
  "Xin",
  "Yara",
  "Yusuf",
  "Zeynep",
  "Zoë",
  "lab-07",
  "lab-12",
  "lab-13",
  "lab-21",
  "lab-22",
  "lab-30"
]

export const words = "surprise buzz dinosaur wet trust talent"
export const link =
  "labfx://join/poWbPr_0fXX0ES-3nNFwFfkX64r7xriRVWTFGtZ5sXM?s=luQ9hK6Yzr9iMOyQ7Iy3cg&a=192.168.1.20:41419"

export const shares: ReadonlyArray<ShareView> = [
  SessionFake.share({
    root: SessionFake.root("lab1"),
    title: "lab 1 – sorting",
    kind: "folder",
    sizeBytes: 4_210_000,
    verifiedBytes: 4_210_000,
    state: "complete",
    path: "/home/ada/lab 1 – sorting"
  }),
  SessionFake.share({
    root: SessionFake.root("data"),
    title: "measurements.parquet",
    sizeBytes: 2_000_000_000,
    verifiedBytes: 2_000_000_000,
    sendBytesPerSecond: 61_000_000,
    state: "complete",
    path: "/home/ada/measurements.parquet"
  })
]

/** Deterministic, so that a picture taken again is the same. */
const pseudo = (index: number): number => ((index * 7_919 + 104_729) % 997) / 997

const status = (index: number, progress: number, problem?: "disk-full" | "bad-names") => ({
  number: 1,
  name: names[index % names.length]!,
  links: 9,
  receiveBytesPerSecond: progress >= 1 || problem !== undefined
    ? 0
    : index === 5
    ? 900_000
    : 9_000_000 + 3_000_000 * pseudo(index),
  shares: [
    { root: shares[0]!.root, verifiedBytes: shares[0]!.sizeBytes, complete: true },
    {
      root: shares[1]!.root,
      verifiedBytes: Math.round(progress * shares[1]!.sizeBytes),
      complete: progress >= 1,
      ...(problem === undefined ? {} : { problem })
    }
  ]
})

const host: DeviceView = {
  peer: SessionFake.peer("host"),
  name: "Ms Ada",
  isHost: true,
  isSelf: true,
  linked: false,
  status: undefined
}

/** A room of so many students; `progress` of the larger share on average. */
export const students = (count: number, progress: number): ReadonlyArray<DeviceView> =>
  Array.from({ length: count }, (_, index): DeviceView => {
    const own = progress >= 1 ? 1 : Math.min(1, Math.max(0.02, progress + 0.5 * (pseudo(index) - 0.4)))
    return {
      peer: `${SessionFake.peer(`p${index}`)}` as PeerId,
      name: names[index % names.length]!,
      isHost: false,
      isSelf: false,
      linked: index % 5 < 2,
      status: index === 11 && progress < 1
        ? status(index, 0.31, "disk-full")
        : status(index, index === 5 && progress < 1 ? 0.12 : own)
    }
  })

export const teacherView = (changed: Partial<SessionView> = {}): SessionView =>
  SessionFake.view({
    isHost: true,
    title: "Algorithms, group B",
    words,
    shares,
    devices: [host, ...students(24, 0.62)],
    ...changed
  })

export const started = { ...SessionFake.examples["session.started"], title: "Algorithms, group B", words, link }

const at = Date.UTC(2026, 10, 22, 9, 0)

const message = (
  number: number,
  name: string,
  text: string,
  byHost = false
): typeof MessageDelivered.Type => ({
  event: "message.delivered",
  author: SessionFake.peer(byHost ? "host" : name.toLowerCase().replace(/[^a-z]/g, "")),
  name,
  byHost,
  number,
  writtenAt: at + 60_000 * number,
  text
})

export const conversation: ReadonlyArray<typeof MessageDelivered.Type> = [
  message(1, "Ms Ada", "Good morning! Lab 1 is on its way: open README.md first.", true),
  message(2, "Kavya", "Do we need all of measurements.parquet for part 1?"),
  message(3, "Ms Ada", "No, start with part 1; it will be complete by the time you need it.", true),
  message(4, "Mateo", "Mine says 40 %, is that all right?"),
  message(5, "Ms Ada", "Yes. Part 2 begins at 9:30.\nWhoever is done may help at their table.", true)
]

/** What a student says whose disk had no room for a virtual machine. */
export const fullDisk: DeviceView["status"] = {
  number: 1,
  name: "Kavya",
  links: 9,
  receiveBytesPerSecond: 11_400_000,
  shares: [{ root: SessionFake.root("vm"), verifiedBytes: 1_200_000_000, complete: false, problem: "disk-full" }]
}
