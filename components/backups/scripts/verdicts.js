"use strict";
// Verdicts: what a check found out about a set, in the object `sets/ID/verdicts/CHECK.json`. Each run of a check replaces
// the former verdict, and the manifest of the set stays as it is.
//
// {"format": 1, "check": "verify", "set": ID, "ok": false, "finished": time of the store, "faults": [text, ...],
//  "damaged": [ids of backups of ClickHouse], "seconds": 12, "bytes": 123456}

const { FORMAT } = require("./sets.js");

const SETS = "sets/";

/** Faults in a verdict. A damaged store may have thousands. */
const MOST_FAULTS = 20;

/** The exit code of a check that found a fault (components/kubernetes/jobs.py). */
const FAULT_EXIT = 3;

const VERDICT = /^sets\/([^/]+)\/verdicts\/([a-z-]+)\.json$/;

/** The verdicts on all sets: a map of ids to {check: verdict}. */
async function verdictsOf(bucket) {
  const found = new Map();
  for await (const { key } of bucket.objects(SETS)) {
    const [, id, check] = VERDICT.exec(key) ?? [];
    const verdict = id && (await bucket.json(key));
    if (verdict?.format === FORMAT) found.set(id, { ...found.get(id), [check]: verdict });
  }
  return found;
}

/** The backups of ClickHouse that a verdict calls damaged. Every set that needs one of them can't be restored. */
const damagedBackups = (verdicts) =>
  new Set([...verdicts.values()].flatMap((checks) => Object.values(checks).flatMap(({ damaged = [] }) => damaged)));

/** The verdict that says that a set is of another installation (fetch-set.js). */
const CLONE = "clone";

/** A check of the off-site copy. Its faults are not those of the set in this store. */
const OFF_SITE = "drill-media";

/** The first fault that a check found in a set; undefined if none did. */
function faultIn(checks = {}) {
  const [check, verdict] = Object.entries(checks).find(([name, { ok }]) => !ok && name !== OFF_SITE) ?? [];
  return verdict && `${check}: ${verdict.faults?.[0] ?? "failed"}`;
}

/** A fault of a set or a reason against a restore, as opposed to a check that could not be done. */
class Fault extends Error {
  exitCode = FAULT_EXIT;
}

/**
 * Writes the verdict on a set. Fails if there is a fault.
 *
 * @param result {faults, damaged, seconds, bytes}
 */
async function judge(bucket, id, check, { faults, ...facts }) {
  const more = faults.length - MOST_FAULTS;
  const shown = [...faults.slice(0, MOST_FAULTS), ...(more > 0 ? [`and ${more} more`] : [])];
  const ok = !faults.length;
  const verdict = { format: FORMAT, check, set: id, ok, finished: await bucket.now(), faults: shown, ...facts };
  const key = `${SETS}${id}/verdicts/${check}.json`;
  await bucket.write(key, JSON.stringify(verdict));
  console.log(`verdict ${key}: ${ok ? "ok" : "not ok"}`);
  console.log(JSON.stringify(verdict)); // for `python -m operations backup verify`
  if (!ok) throw new Fault(`set ${id} can't be restored: ${shown.join("; ")}`);
}

module.exports = { CLONE, Fault, SETS, damagedBackups, faultIn, judge, verdictsOf };
