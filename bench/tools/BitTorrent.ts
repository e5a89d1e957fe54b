/**
 * BitTorrent clients, each tuned for a fast LAN: everybody served, no limits, no encryption, TCP only. They find each other by
 * multicast and by a tracker on the teacher's machine; the torrent file is there beforehand.
 *
 * Transmission 3.00 knows every address after a fraction of a second, and still sends next to nothing for about eleven: a file has
 * to be large for that not to decide.
 */
import { spawnSync } from "node:child_process"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { eventually, type Field, missingPrograms, type Tool } from "./Tool.ts"

const trackerPort = 6_969
const peerPort = 6_881

/** About 512 pieces of a power of two, as the makers of torrents advise. */
const pieceBytes = (bytes: number): number => 2 ** Math.min(20, Math.max(15, Math.ceil(Math.log2(bytes / 512))))

const torrentOf = (field: Field): Buffer => {
  const size = pieceBytes(field.bytes)
  const file = Fs.openSync(field.file, "r")
  const piece = Buffer.alloc(size)
  const hashes: Array<Buffer> = []
  for (let at = 0; at < field.bytes; at += size) {
    const count = Fs.readSync(file, piece, 0, size, at)
    hashes.push(Crypto.createHash("sha1").update(piece.subarray(0, count)).digest())
  }
  Fs.closeSync(file)
  const text = (value: string) => `${Buffer.byteLength(value)}:${value}`
  const announce = `http://${field.address(0)}:${trackerPort}/announce`
  const info = `d6:lengthi${field.bytes}e4:name${text(Path.basename(field.file))}12:piece lengthi${size}e6:pieces`
  const pieces = Buffer.concat(hashes)
  return Buffer.concat([
    Buffer.from(`d8:announce${text(announce)}4:info${info}${pieces.length}:`),
    pieces,
    Buffer.from("ee")
  ])
}

interface Client {
  readonly name: string
  readonly missing: () => string | undefined
  readonly enter: (field: Field, torrent: string) => {
    readonly seed: () => Promise<unknown>
    readonly student: (index: number) => Promise<() => void>
  }
}

const bitTorrent = ({ enter, missing, name }: Client): Tool => ({
  name,
  missing,
  enter: (field) => {
    const torrent = `${field.home(0)}/data.torrent`
    Fs.writeFileSync(torrent, torrentOf(field))
    const client = enter(field, torrent)
    return {
      armTeacher: () => {
        field.start(0, [process.execPath, Path.join(import.meta.dirname, "tracker.ts"), String(trackerPort)])
        return client.seed()
      },
      armStudent: client.student,
      // The students have the torrent file and begin; the teacher has been seeding.
      share: () => {},
      copy: (index) => `${field.home(index)}/${Path.basename(field.file)}`
    }
  }
})

export const aria2 = bitTorrent({
  name: "aria2",
  missing: () => missingPrograms("aria2c"),
  enter: (field, torrent) => {
    const command = (index: number) => [
      "aria2c",
      ..."--quiet --enable-dht=false --enable-dht6=false --bt-enable-lpd=true --bt-lpd-interface=eth0".split(" "),
      ..."--bt-max-peers=0 --bt-request-peer-speed-limit=1000M --bt-tracker-interval=2 --seed-ratio=0.0".split(" "),
      ..."--file-allocation=none --disk-cache=64M --auto-save-interval=1 --allow-overwrite=true".split(" "),
      `--listen-port=${peerPort}`,
      `--dir=${field.home(index)}`
    ]
    return {
      seed: async () => field.start(0, [...command(0), "--check-integrity=true", torrent]),
      student: async (index) => {
        const hook = `--on-bt-download-complete=${field.hook}`
        const { go, ready } = field.hold(index, [...command(index), hook, torrent], { marks: false })
        await ready
        return go
      }
    }
  }
})

export const transmission = bitTorrent({
  name: "transmission",
  missing: () => missingPrograms("transmission-daemon", "transmission-remote"),
  enter: (field, torrent) => {
    const remote = (index: number, ...words: ReadonlyArray<string>) => {
      const [ip, ...rest] = [...field.prefix(index), "transmission-remote", "127.0.0.1", ...words]
      return spawnSync(ip!, rest, { encoding: "utf8" })
    }
    const daemon = async (index: number) => {
      const folder = `${field.home(index)}/transmission`
      // What it remembers of one that was killed is of no use: it looks at the data anew.
      Fs.rmSync(folder, { recursive: true, force: true })
      Fs.mkdirSync(folder)
      Fs.writeFileSync(
        `${folder}/settings.json`,
        JSON.stringify({
          "cache-size-mb": 64,
          "dht-enabled": false,
          "download-dir": field.home(index),
          "encryption": 0,
          "incomplete-dir-enabled": false,
          "lpd-enabled": true,
          "peer-limit-global": 500,
          "peer-limit-per-torrent": 200,
          "peer-port": peerPort,
          "pex-enabled": true,
          "port-forwarding-enabled": false,
          "preallocation": 0,
          "ratio-limit-enabled": false,
          "rename-partial-files": false,
          "rpc-bind-address": "127.0.0.1",
          "rpc-host-whitelist-enabled": false,
          "rpc-whitelist-enabled": false,
          "script-torrent-done-enabled": index > 0,
          "script-torrent-done-filename": field.hook,
          "speed-limit-down-enabled": false,
          "speed-limit-up-enabled": false,
          "upload-slots-per-torrent": 100,
          "utp-enabled": false
        })
      )
      field.start(index, ["transmission-daemon", "-f", "-g", folder, "--log-error"])
      await eventually("transmission-daemon to answer", () => remote(index, "--session-info").status === 0)
    }
    const adding = (index: number) => ["--add", torrent, "--download-dir", field.home(index)]
    return {
      seed: async () => {
        await daemon(0)
        remote(0, ...adding(0))
        await eventually("transmission to look at the file", () => remote(0, "--list").stdout.includes("100%"))
      },
      student: async (index) => {
        await daemon(index)
        const { go, ready } = field.hold(
          index,
          ["transmission-remote", "127.0.0.1", ...adding(index)],
          { marks: false }
        )
        await ready
        return go
      }
    }
  }
})

/** libtorrent is a library: this is the least program that uses it, waiting for a line before a student begins. */
const libtorrentPeer = `
import os, sys
import libtorrent as lt
role, torrent, folder, address = sys.argv[1:]
session = lt.session({
    "listen_interfaces": address, "enable_dht": False, "enable_upnp": False, "enable_natpmp": False, "enable_lsd": True,
    "enable_outgoing_utp": False, "enable_incoming_utp": False, "out_enc_policy": 2, "in_enc_policy": 2,
    "unchoke_slots_limit": -1, "connections_limit": 1000, "connection_speed": 500, "torrent_connect_boost": 200,
    "max_out_request_queue": 500, "request_queue_time": 1, "min_reconnect_time": 1, "min_announce_interval": 1,
    "allow_multiple_connections_per_ip": True, "alert_mask": lt.alert.category_t.status_notification })
open(os.environ["LABFX_BENCH_READY"], "w").close()
seeds = role == "seed"
if not seeds: sys.stdin.readline()
flags = lt.torrent_flags.seed_mode if seeds else lt.torrent_flags.update_subscribe
handle = session.add_torrent({"ti": lt.torrent_info(torrent), "save_path": folder, "flags": flags})
handle.set_max_connections(1000)
handle.set_max_uploads(1000)
while True:
    session.wait_for_alert(500)
    for alert in session.pop_alerts():
        if isinstance(alert, lt.torrent_finished_alert) and not seeds: open(os.environ["LABFX_BENCH_DONE"], "w").close()
`

/** The system's Python has the binding where a package installed it, even if another one comes first on the path. */
const python = (): string | undefined =>
  ["python3", "/usr/bin/python3"].find((each) => spawnSync(each, ["-c", "import libtorrent"]).status === 0)

export const libtorrent = bitTorrent({
  name: "libtorrent",
  missing: () => python() === undefined ? "not installed: libtorrent's Python binding" : undefined,
  enter: (field, torrent) => {
    const interpreter = python()!
    const command = (index: number, role: "seed" | "get") => [
      interpreter,
      "-c",
      libtorrentPeer,
      role,
      torrent,
      field.home(index),
      `${field.address(index)}:${peerPort}`
    ]
    return {
      seed: () => field.start(0, command(0, "seed")).ready,
      student: async (index) => {
        const { go, ready } = field.start(index, command(index, "get"))
        await ready
        return go
      }
    }
  }
})
