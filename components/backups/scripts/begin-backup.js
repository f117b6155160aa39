"use strict";
// Begins a backup: gives it an id, and chooses what an incremental backup of ClickHouse builds upon.
//
// The server acknowledges an incremental backup on a base that has lost files (ClickHouse issue 112395), and a restore
// fails then. So every file of the chain is looked for first. If one is missing or has changed, a full backup follows.
//
// Environment: STORE (`clickhouse` or `postgres`), DATABASE, WORK_DIR, and the variables of bucket.js. It writes
// WORK_DIR/begin.json for the steps that follow, and WORK_DIR/id and WORK_DIR/base for scripts.

const { randomInt } = require("node:crypto");
const { writeFileSync } = require("node:fs");
const { Bucket, main } = require("./bucket.js");
const { chooseBase } = require("./sets.js");
const { backupsOf, damage } = require("./clickhouse-backups.js");

/** Letters and digits that are not mistaken for each other. */
const ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz";

/** The time, and random characters: two runs that begin in the same second write to different folders. */
function newId(now) {
  const suffix = Array.from({ length: 4 }, () => ALPHABET[randomInt(ALPHABET.length)]).join("");
  return `${now.slice(0, 19).replaceAll(":", "-")}Z-${suffix}`;
}

async function base(bucket, database, now) {
  const backups = await backupsOf(bucket);
  const choice = chooseBase(backups, database, now);
  for (const id of choice.chain) {
    const fault = await damage(bucket, id);
    if (fault) return { base: null, why: `the backup ${id}, which the next one would build upon, is damaged: ${fault}` };
  }
  return choice;
}

main("begin-backup", async ({ STORE, DATABASE, WORK_DIR, ...env }) => {
  const bucket = new Bucket(env);
  const now = await bucket.now();
  const begun = { id: newId(now), started: now, database: DATABASE };
  if (STORE === "clickhouse") {
    const { base: id, why } = await base(bucket, DATABASE, now);
    begun.base = id;
    console.log(id ? `an incremental backup on ${id}: ${why}` : `a full backup: ${why}`);
    writeFileSync(`${WORK_DIR}/base`, id ?? "");
  }
  writeFileSync(`${WORK_DIR}/id`, begun.id);
  writeFileSync(`${WORK_DIR}/begin.json`, JSON.stringify(begun));
});
