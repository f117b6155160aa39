"use strict";
// Finds the set that a restore, a verification or a drill works with.

const { chooseSet } = require("./sets.js");
const { FOLDER, backupsOf, damage } = require("./clickhouse-backups.js");

const SETS = "sets/";

/**
 * The set with an id, or the newest of which nothing is missing.
 *
 * @returns {set, backups}, or {refusal, backups}: why there is none; and the manifests of the backups of ClickHouse.
 */
async function findSet(bucket, id) {
  const backups = await backupsOf(bucket);
  const manifests = [...(await bucket.manifests(SETS))].map(([name, manifest]) => [name, manifest ?? null]);
  return { ...chooseSet(Object.fromEntries(manifests), backups, id), backups };
}

/** What is wrong with the files of the chain of a set's backup of ClickHouse; undefined if nothing is. */
async function damageOfChain(bucket, set) {
  for (const id of set.clickhouse?.chain ?? []) {
    const found = await damage(bucket, id, { copies: true });
    if (found) return `${FOLDER}${id} is damaged: ${found}`;
  }
  return undefined;
}

module.exports = { SETS, damageOfChain, findSet };
