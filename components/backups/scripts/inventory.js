"use strict";
// What is in the bucket of backups, as the rules read it (sets.js).

const { MARKER, inParallel } = require("./bucket.js");
const { FORMAT, lacking } = require("./sets.js");
const { FOLDER } = require("./clickhouse-backups.js");
const { CLONE, SETS, damagedBackups, faultIn, verdictsOf } = require("./verdicts.js");

/**
 * The folders under a prefix. Those of a newer release are left alone. A bucket that keeps former versions also lists
 * folders whose objects were all removed.
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

/** {now, sets, backups} for `plan`. A complete set also has its `manifest` and `verdicts`. */
async function inventory(bucket) {
  const verdicts = await verdictsOf(bucket);
  const damaged = damagedBackups(verdicts);
  const backups = await folders(bucket, FOLDER, ({ id, base }) => ({ base, damaged: damaged.has(id) }));
  const sets = await folders(bucket, SETS, (manifest) => ({
    clickhouse: manifest.clickhouse?.id ?? null,
    beforeUpgrade: manifest.reason === "before-upgrade",
    complete: manifest.clickhouse !== null, // a dump alone, from before the first backup of ClickHouse, is no set
    fault: faultIn(verdicts.get(manifest.id)),
    ...{ manifest, verdicts: verdicts.get(manifest.id) ?? {} },
  }));
  return { now: await bucket.now(), sets, backups };
}

/** Why a set of an inventory can't be restored; null if nothing says so. */
function reasonOf(set, backups) {
  if (set.complete) return lacking(set, backups) ?? null;
  return set.manifest ? "it has no backup of ClickHouse, because none was finished before it" : `it has no ${MARKER}`;
}

/** How many sets are kept, from the variables KEEP_*. */
function keepOf(env) {
  const number = (name) => Number(env[`KEEP_${name}`]);
  return {
    ...{ minimum: number("MINIMUM"), daily: number("DAILY"), weekly: number("WEEKLY"), monthly: number("MONTHLY") },
    beforeUpgradeDays: number("BEFORE_UPGRADE_DAYS"),
    legacyDays: number("LEGACY_DAYS"),
  };
}

/**
 * The manifest of a set.
 *
 * @param id The set; empty for the newest that has everything.
 * @param root The folder of the sets in a copy of the bucket, for example `backups/`.
 */
async function chosenSet(bucket, id, root = "") {
  const sets = `${root}${SETS}`;
  if (id) {
    const manifest = await bucket.json(`${sets}${id}/${MARKER}`);
    if (!manifest) throw new Error(`${sets}${id} is no set: it has no manifest (${MARKER}) that can be read`);
    if (manifest.format !== FORMAT) throw new Error(`a newer release of this program wrote ${sets}${id}`);
    return manifest;
  }
  const manifests = [...(await bucket.manifests(sets))];
  const known = manifests.map(([, manifest]) => manifest).filter((manifest) => manifest?.format === FORMAT);
  const whole = known.filter(({ clickhouse }) => clickhouse !== null);
  let newest;
  for (const one of whole.sort((one, other) => Date.parse(other.finished) - Date.parse(one.finished))) {
    newest = one;
    if (!(await bucket.json(`${sets}${one.id}/verdicts/${CLONE}.json`))) break;
    newest = undefined; // of another installation
  }
  if (!newest) {
    const dumps = known.length ? `${known.length} have a dump of Postgres only` : `no folder in ${sets} has a ${MARKER}`;
    throw new Error(`the bucket ${bucket.name} has no set: ${dumps}`);
  }
  for (const [name, manifest] of manifests) {
    // A bucket that keeps former versions also lists folders whose objects were all removed.
    if (manifest || name < newest.id || !(await bucket.files(`${sets}${name}/`)).size) continue;
    console.log(`${sets}${name} does not count: it has no ${MARKER}`);
  }
  return newest;
}

module.exports = { chosenSet, inventory, keepOf, reasonOf };
