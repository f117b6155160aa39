"use strict";
// Removes sets and backups of ClickHouse that are not kept any more (docs/decisions/backup-sets.md, "Retention").
//
// It looks at the files of the newest sets first. If one of them is damaged, it removes nothing and fails: somebody may
// need an older one. The marker of a folder is removed first, so that an interrupted run leaves no half set.
//
// Environment: KEEP_MINIMUM, KEEP_DAILY, KEEP_WEEKLY, KEEP_MONTHLY, KEEP_LEGACY_DAYS, DRY_RUN (`true` only prints), and
// the variables of bucket.js with keys that may delete.

const { Bucket, MARKER, inParallel, main } = require("./bucket.js");
const { FORMAT, plan } = require("./sets.js");
const { FOLDER, damage } = require("./clickhouse-backups.js");

const SETS = "sets/";

/**
 * The folders under a prefix as the rules read them. Those of a newer release are left alone. A bucket that keeps former
 * versions also lists folders whose objects were all removed.
 */
async function folders(bucket, prefix, of) {
  const newer = ([, manifest]) => manifest?.format !== undefined && manifest.format !== FORMAT;
  const manifests = [...(await bucket.manifests(prefix))].filter((entry) => !newer(entry));
  const found = await inParallel(manifests, async ([id, manifest]) => {
    if (manifest?.format === FORMAT) return { id, finished: manifest.finished, complete: true, ...of(manifest) };
    let finished = "";
    for await (const { modified } of bucket.objects(`${prefix}${id}/`)) if (modified > finished) finished = modified;
    return finished ? { id, finished, complete: false, legacy: manifest !== undefined } : undefined;
  });
  return found.filter(Boolean);
}

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
  const number = (name) => Number(env[`KEEP_${name}`]);
  const keep = {
    ...{ minimum: number("MINIMUM"), daily: number("DAILY"), weekly: number("WEEKLY"), monthly: number("MONTHLY") },
    legacyDays: number("LEGACY_DAYS"),
  };
  const backups = await folders(bucket, FOLDER, ({ base }) => ({ base }));
  const sets = await folders(bucket, SETS, ({ clickhouse }) => ({
    clickhouse: clickhouse?.id ?? null,
    complete: clickhouse !== null, // a dump alone, from before the first backup of ClickHouse, is no set
  }));
  const { restorable, kept, remove: removed } = plan({ now: await bucket.now(), sets, backups }, keep);
  console.log(`${sets.length} sets, of which ${restorable.length} can be restored; ${kept.length} are kept`);
  if (kept.length < Math.min(keep.minimum, restorable.length)) throw new Error("fewer sets than configured would be left");
  for (const id of kept.slice(0, keep.minimum)) {
    const found = await fault(bucket, id);
    if (found) throw new Error(`set ${id} is damaged, so nothing is removed: ${found}`);
  }
  console.log(JSON.stringify(removed)); // what is or would be removed: {sets, backups}
  if (env.DRY_RUN === "true") return;
  await remove(bucket, SETS, removed.sets);
  await remove(bucket, FOLDER, removed.backups);
});
