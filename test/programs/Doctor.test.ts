/** `labfx doctor` names what is wrong: faults are made in network namespaces, each the way it happens in a lab. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as NodeChildProcess from "node:child_process"
import * as NodeFs from "node:fs"
import * as NodePath from "node:path"
import type { Finding } from "../../src/programs/Diagnosis.ts"
import * as Lab from "../support/Lab.ts"

const missing = Lab.namespacesMissing ??
  (NodeChildProcess.spawnSync("nft", ["--version"]).status === 0 ? undefined : "there is no nft to make firewalls with")

/** What a lab's room is before anything goes wrong: a teacher on one machine, the doctor on another. */
interface Room {
  readonly lab: Lab.Lab
  readonly teacher: Lab.Machine
  readonly student: Lab.Machine
  /** Runs a command on a machine and waits for it. */
  readonly run: (at: Lab.Machine, ...command: ReadonlyArray<string>) => void
}

const room = Effect.gen(function*() {
  const lab = yield* Lab.make
  const [teacher, student] = yield* Lab.room(2)
  const key = yield* lab.key("teacher")
  const session = yield* lab.teacher({ key, name: "ada", at: teacher!, arguments: ["--title", "Networks 101"] })
  yield* session.event("session.started")
  const run = (at: Lab.Machine, ...command: ReadonlyArray<string>) =>
    void NodeChildProcess.execFileSync(at.prefix[0]!, [...at.prefix.slice(1), ...command], { stdio: "pipe" })
  const made: Room = { lab, teacher: teacher!, student: student!, run }
  return made
})

/** What the doctor finds; `dir` is where files are to appear. */
const doctor = ({ lab, student }: Room, dir = NodePath.join(lab.folder, "dl")) =>
  Effect.callback<ReadonlyArray<Finding>>((resume) => {
    const [program, ...prefix] = student.prefix
    const folders = ["--dir", dir, "--state", NodePath.join(lab.folder, "st")]
    const ports = ["--discovery-port", String(lab.discoveryPort)]
    const args = [...prefix, process.execPath, lab.program, "doctor", "--json", ...folders, ...ports]
    NodeChildProcess.execFile(
      program!,
      args,
      (_, stdout, stderr) => resume(stdout === "" ? Effect.die(new Error(stderr)) : Effect.succeed(JSON.parse(stdout)))
    )
  })

const firewall = ({ run }: Room, at: Lab.Machine, hook: "input" | "output", rule: string) => {
  run(at, "nft", "add table inet lab")
  run(at, "nft", `add chain inet lab ${hook} { type filter hook ${hook} priority 0; }`)
  run(at, "nft", `add rule inet lab ${hook} ${rule}`)
}

/** What is done to the room, and what the doctor must say; some faults are in a folder and give its path. */
const faults: ReadonlyArray<
  readonly [fault: string, expected: string, make: (room: Room) => string | void]
> = [
  ["the cable is out", "no-network", ({ student }) => void student.ip("link set eth0 down")],
  [
    "the network gives out no addresses",
    "no-address",
    ({ student }) => {
      student.ip("addr flush dev eth0")
      student.ip("addr add 169.254.7.8/16 brd + dev eth0")
    }
  ],
  [
    "there is nothing but a VPN",
    "no-broadcast",
    ({ student }) => {
      student.ip("link set eth0 down")
      student.ip("link add tun0 type veth peer name other")
      student.ip("link set other up")
      student.ip("addr add 10.9.0.2/32 dev tun0")
      student.ip("link set tun0 up")
    }
  ],
  [
    "a firewall forbids announcements to leave",
    "send-blocked",
    (room) => firewall(room, room.student, "output", `udp dport ${room.lab.discoveryPort} drop`)
  ],
  [
    "a firewall drops announcements that come in",
    "receive-blocked",
    (room) => firewall(room, room.student, "input", `udp dport ${room.lab.discoveryPort} drop`)
  ],
  [
    "the Wi-Fi keeps its devices apart",
    "isolated",
    (room) => firewall(room, room.teacher, "input", "tcp flags syn drop")
  ],
  [
    "the teacher's firewall turns connections away",
    "connections-refused",
    (room) => firewall(room, room.teacher, "input", "tcp flags syn reject with tcp reset")
  ],
  [
    "a VPN has the default route",
    "vpn",
    ({ student }) => {
      student.ip("link add wg0 type veth peer name other")
      student.ip("link set other up")
      student.ip("addr add 10.9.0.2/24 brd + dev wg0")
      student.ip("link set wg0 up")
      student.ip("route add default dev wg0")
    }
  ],
  [
    "the machines are in different networks",
    "nothing-heard",
    ({ student }) => {
      student.ip("link set eth0 down")
      student.ip("link add eth1 type veth peer name other")
      student.ip("link set other up")
      student.ip("addr add 10.78.0.1/24 brd + dev eth1")
      student.ip("link set eth1 up")
    }
  ],
  ["a folder cannot be written to", "folder", () => "/proc/labfx"],
  ["the disk is full", "disk-full", ({ lab }) => {
    const disk = NodePath.join(lab.folder, "disk")
    NodeFs.mkdirSync(disk)
    NodeChildProcess.execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", disk])
    return disk
  }]
]

describe.skipIf(missing !== undefined)(
  `labfx doctor (${missing ?? "in network namespaces"})`,
  { timeout: 60_000, concurrent: true },
  () => {
    it.live("finds nothing wrong in a room where nothing is", () =>
      Effect.gen(function*() {
        const findings = yield* doctor(yield* room)
        assert.deepStrictEqual(findings.filter(({ level }) => level === "bad"), [])
        assert.isTrue(findings.some(({ code, what }) => code === "session" && what.includes("Networks 101")))
      }).pipe(Effect.scoped))

    it.live.each(faults)("says so when %s: %s", ([, expected, make]) =>
      Effect.gen(function*() {
        const made = yield* room
        yield* Effect.addFinalizer(() =>
          Effect.sync(() =>
            void NodeChildProcess.spawnSync("umount", [NodePath.join(made.lab.folder, "disk")], { stdio: "ignore" })
          )
        )
        const findings = yield* doctor(made, make(made) ?? undefined)
        const found = findings.find(({ code }) => code === expected)
        assert.isDefined(found, JSON.stringify(findings, undefined, 1))
        assert.match(found!.next ?? "", /^[A-Z].*\.$/)
        const worse = findings.filter(({ code, level }) => level === "bad" && code !== expected)
        assert.deepStrictEqual(worse, [], "nothing else is blamed")
      }).pipe(Effect.scoped))

    it.live("says so when another program has the discovery port, and when another version is in reach", () =>
      Effect.gen(function*() {
        const made = yield* room
        const { lab, student } = made
        const [program, ...prefix] = student.prefix
        const start = (script: string) =>
          Effect.acquireRelease(
            Effect.callback<NodeChildProcess.ChildProcess>((resume) => {
              const child = NodeChildProcess.spawn(program!, [...prefix, process.execPath, "-e", script], {
                stdio: ["ignore", "pipe", "ignore"]
              })
              child.stdout!.once("data", () => resume(Effect.succeed(child)))
            }),
            (child) => Effect.sync(() => void child.kill("SIGKILL"))
          )
        const socket = `const s = require("dgram").createSocket({ type: "udp4", reuseAddr: true })`
        const newer = `Buffer.from([0x9b, 0x6c, 0x66, 0x78, 2, 0x7b, 0x7d])`
        yield* start(
          `${socket}; s.bind(0, "10.77.0.2", () => { s.setBroadcast(true); console.log("up"); ` +
            `setInterval(() => s.send(${newer}, ${lab.discoveryPort}, "10.77.0.255"), 200) })`
        )
        assert.include((yield* doctor(made)).map(({ code }) => code), "other-version")
        yield* start(
          `const s = require("dgram").createSocket("udp4"); s.bind(${lab.discoveryPort}, () => console.log("up"))`
        )
        assert.include((yield* doctor(made)).map(({ code }) => code), "discovery-port")
      }).pipe(Effect.scoped))
  }
)
