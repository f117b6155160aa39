"use strict";
// Begins a drill: chooses a set, and looks for what its restore needs. What is missing or changed is a fault of the set,
// and nothing is restored then.
//
// Environment: STORE (`postgres` or `clickhouse`), SERVER (the release of the server that restores), SET_ID (empty for the
// newest), WORK_DIR, and the variables of bucket.js. It writes to WORK_DIR: set.json, the manifest; `begun`; `faults`, one a
// line; and for scripts `set`, `backup` and `dump` (bytes and SHA-256).

const { writeFileSync } = require("node:fs");
const { Bucket, main } = require("./bucket.js");
const { FOLDER, damage } = require("./clickhouse-backups.js");
const { chosenSet } = require("./inventory.js");
const { SETS } = require("./verdicts.js");

const DUMP = "database.dump";

async function faultOfDump(bucket, { id, files }) {
  const { bytes } = files.find(({ name }) => name === DUMP);
  const found = (await bucket.files(`${SETS}${id}/`)).get(DUMP)?.bytes;
  return found === bytes ? undefined : `${SETS}${id}/${DUMP} has ${found ?? "no"} bytes, not ${bytes}`;
}

async function faultOfChain(bucket, { clickhouse }) {
  for (const id of clickhouse.chain) {
    const found = await damage(bucket, id, { copies: true });
    if (found) return `${FOLDER}${id}: ${found}`;
  }
  return undefined;
}

main("begin-drill", async ({ STORE, SERVER, SET_ID, WORK_DIR, ...env }) => {
  const note = (name, text) => writeFileSync(`${WORK_DIR}/${name}`, text);
  note("begun", String(Date.now()));
  const bucket = new Bucket(env);
  const set = await chosenSet(bucket, SET_ID);
  const made = STORE === "postgres" ? set.postgres.server : set.clickhouse.version;
  if (!made) throw new Error(`set ${set.id} has no backup of ClickHouse: its provider backed it up`);
  if (parseInt(made, 10) > parseInt(SERVER, 10)) {
    throw new Error(`set ${set.id} is of ${STORE} ${made}, and this stack has ${SERVER}: only the same or a newer one restores it`);
  }
  const fault = await (STORE === "postgres" ? faultOfDump : faultOfChain)(bucket, set);
  note("set.json", JSON.stringify(set));
  note("set", set.id);
  note("backup", set.clickhouse.id ?? "");
  note("dump", set.files.filter(({ name }) => name === DUMP).map(({ bytes, sha256 }) => `${bytes} ${sha256}\n`)[0]);
  note("faults", fault ? `${fault}\n` : "");
  console.log(fault ?? `restoring the ${STORE} part of set ${set.id} of ${set.finished} into a server of its own`);
});
