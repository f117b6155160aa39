"use strict";
// Finds the set that a restore takes.

const { chooseSet } = require("./sets.js");
const { FOLDER, backupsOf, damage } = require("./clickhouse-backups.js");
const { SETS, faultIn, verdictsOf } = require("./verdicts.js");

/**
 * The set with an id, or the newest that can be restored.
 *
 * @returns {set, backups}, or {refusal, backups}: why there is none; and the manifests of the backups of ClickHouse.
 */
async function findSet(bucket, id) {
  const backups = await backupsOf(bucket);
  const manifests = [...(await bucket.manifests(SETS))].map(([name, manifest]) => [name, manifest ?? null]);
  const faults = [...(await verdictsOf(bucket))].map(([name, checks]) => [name, faultIn(checks)]);
  return { ...chooseSet(Object.fromEntries(manifests), Object.fromEntries(faults), backups, id), backups };
}

/** What is wrong with the files of the chain of a set's backup of ClickHouse; undefined if nothing is. */
async function damageOfChain(bucket, set) {
  for (const id of set.clickhouse?.chain ?? []) {
    const found = await damage(bucket, id, { copies: true });
    if (found) return `${FOLDER}${id} is damaged: ${found}`;
  }
  return undefined;
}

module.exports = { damageOfChain, findSet };
