"use strict";
// Lists the sets in the bucket, or verifies one: reads every file of it and of the backups of ClickHouse that it needs,
// and compares size and SHA-256 with the manifests. The verdict is written beside the set (verdicts.js).
//
// A fault is a verdict. A check that could not be done, because the store did not answer or refused the key, has none.
//
// Environment: ACTION (`list` or `verify`), SET_ID (empty for the newest set), KEEP_MINIMUM, KEEP_DAILY, KEEP_WEEKLY,
// KEEP_MONTHLY, KEEP_BEFORE_UPGRADE_DAYS, KEEP_LEGACY_DAYS, and the variables of bucket.js.
//
// `list` prints one JSON object a line for each folder in `sets/`, the oldest first, and nothing else to standard output:
//
// - id: the name of the folder;
// - finished: the time of its manifest, or of its newest object if it has none;
// - manifest: the manifest as docs/decisions/backup-sets.md describes it; null if it has none;
// - verdicts: by the name of the check (`verify`, `drill-postgres`, `drill-clickhouse`), as in verdicts.js;
// - lacks: why it can't be restored; null if nothing says that it can't;
// - kept: whether `backups.keep` keeps it;
// - removable: whether the next run of langfuse-retention, if there is one, removes it.

const { Bucket, MARKER, inParallel, main } = require("./bucket.js");
const { FORMAT, plan } = require("./sets.js");
const { FILES, FOLDER } = require("./clickhouse-backups.js");
const { chosenSet, inventory, keepOf, reasonOf } = require("./inventory.js");
const { SETS, judge } = require("./verdicts.js");

const PROGRESS_MILLISECONDS = 15_000;

async function list(bucket, env) {
  const found = await inventory(bucket);
  const { kept, remove } = plan(found, keepOf(env));
  for (const set of found.sets.sort((one, other) => Date.parse(one.finished) - Date.parse(other.finished))) {
    const { id, finished, manifest = null, verdicts = {} } = set;
    const retention = { kept: kept.includes(id), removable: remove.sets.includes(id) };
    console.log(JSON.stringify({ id, finished, manifest, verdicts, lacks: reasonOf(set, found.backups), ...retention }));
  }
}

/** Reads files and compares them with what a manifest says. */
class Reader {
  constructor(bucket) {
    this.bucket = bucket;
    this.bytes = 0;
    this.faults = [];
    this.begun = Date.now();
    this.shown = this.begun;
  }

  /** Whether an object is there, and as it was written. */
  async compare(key, expected) {
    const found = await this.bucket.content(key);
    this.bytes += found.bytes ?? 0;
    const changed = found.sha256 !== expected.sha256 && "differs from what was written";
    const size = found.bytes !== expected.bytes && expected.bytes !== undefined;
    const fault = found.fault ?? (size ? `has ${found.bytes} bytes, not ${expected.bytes}` : changed);
    if (fault) this.faults.push(`${key} ${fault}`);
    if (Date.now() - this.shown > PROGRESS_MILLISECONDS) {
      this.shown = Date.now();
      console.log(`read ${this.bytes} bytes; ${this.faults.length} faults`);
    }
    return !fault;
  }

  /** Whether a backup of ClickHouse is complete and as it was written. */
  async backup(id) {
    const folder = `${FOLDER}${id}/`;
    const manifest = await this.bucket.json(`${folder}${MARKER}`);
    if (manifest?.format !== FORMAT) {
      this.faults.push(`${folder}${MARKER} ${manifest ? "is of a newer release" : "is missing or damaged"}`);
      return false;
    }
    if (!(await this.compare(`${folder}${FILES}`, { sha256: manifest.filesSha256 }))) return false;
    const lines = (await this.bucket.read(`${folder}${FILES}`)).split("\n").filter(Boolean);
    const whole = await inParallel(lines, (line) => {
      const { name, ...expected } = JSON.parse(line);
      return this.compare(`${folder}${name}`, expected);
    });
    return whole.every(Boolean);
  }
}

async function verify(bucket, { id, files, clickhouse }) {
  const chain = clickhouse?.chain ?? [];
  console.log(`verifying ${SETS}${id}${chain.map((each) => `, ${FOLDER}${each}`).join("")}`);
  const reader = new Reader(bucket);
  for (const { name, ...expected } of files) await reader.compare(`${SETS}${id}/${name}`, expected);
  const damaged = [];
  for (const each of chain) if (!(await reader.backup(each))) damaged.push(each);
  const { faults, bytes } = reader;
  const seconds = Math.round((Date.now() - reader.begun) / 1000);
  await judge(bucket, id, "verify", { faults, damaged, seconds, bytes });
}

main("verify-backups", async ({ ACTION, SET_ID, ...env }) => {
  const bucket = new Bucket(env);
  if (ACTION === "list") return list(bucket, env);
  if (ACTION === "verify") return verify(bucket, await chosenSet(bucket, SET_ID));
  throw new Error(`ACTION is ${JSON.stringify(ACTION)}; set it to list or verify`);
});
