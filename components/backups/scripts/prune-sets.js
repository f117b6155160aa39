"use strict";
// Removes sets and backups of ClickHouse that are not kept any more (docs/decisions/backup-sets.md, "Retention").
//
// Sets that a verdict calls faulty do not count, and go when newer ones can be restored.
//
// It looks at the files of the newest sets first. If one of them is damaged, it removes nothing and fails: somebody may
// need an older one. The marker of a folder is removed first, so that an interrupted run leaves no half set.
//
// Environment: KEEP_MINIMUM, KEEP_DAILY, KEEP_WEEKLY, KEEP_MONTHLY, KEEP_BEFORE_UPGRADE_DAYS, KEEP_LEGACY_DAYS,
// DRY_RUN (`true` only prints), and the variables of bucket.js with keys that may delete.

const { Bucket, MARKER, inParallel, main } = require("./bucket.js");
const { plan } = require("./sets.js");
const { FOLDER, damage } = require("./clickhouse-backups.js");
const { inventory, keepOf } = require("./inventory.js");
const { SETS } = require("./verdicts.js");

/** What is wrong with the files of a set and of the backups that it needs; undefined if nothing is. */
async function fault(bucket, id) {
  const { files, clickhouse } = JSON.parse(await bucket.read(`${SETS}${id}/${MARKER}`));
  const stored = await bucket.files(`${SETS}${id}/`);
  for (const { name, bytes } of files) {
    const found = stored.get(name)?.bytes;
    if (found !== bytes) return `${name} has ${found ?? "no"} bytes`;
  }
  for (const each of clickhouse.chain ?? []) {
    const found = await damage(bucket, each);
    if (found) return `${FOLDER}${each}: ${found}`;
  }
  return undefined;
}

/** Removes the markers of folders, then everything else in them. */
async function remove(bucket, prefix, ids) {
  for (const id of ids) await bucket.send("DeleteObject", { Key: `${prefix}${id}/${MARKER}` });
  for (const id of ids) {
    const keys = [];
    for await (const { key } of bucket.objects(`${prefix}${id}/`)) keys.push(key);
    await inParallel(keys, (key) => bucket.send("DeleteObject", { Key: key }));
    console.log(`removed ${prefix}${id}: ${keys.length} objects`);
  }
}

main("prune-sets", async (env) => {
  const bucket = new Bucket(env);
  const keep = keepOf(env);
  const found = await inventory(bucket);
  const { restorable, kept, remove: removed } = plan(found, keep);
  console.log(`${found.sets.length} sets, of which ${restorable.length} can be restored; ${kept.length} are kept`);
  for (const id of kept.slice(0, keep.minimum)) {
    const found = await fault(bucket, id);
    if (found) throw new Error(`set ${id} is damaged, so nothing is removed: ${found}`);
  }
  console.log(JSON.stringify(removed)); // what is or would be removed: {sets, backups}
  if (env.DRY_RUN === "true") return;
  await remove(bucket, SETS, removed.sets);
  await remove(bucket, FOLDER, removed.backups);
});
