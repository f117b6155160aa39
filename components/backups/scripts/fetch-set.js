"use strict";
// Lists the sets in a copy of a bucket, or chooses the one that the next step (fetch-set.sh, or copy-back.js if it is
// encrypted) copies into the bucket of this stack.
//
// Environment: STEP (`choose` or `report`), ACTION (`list` or `fetch`), SET_ID (empty for the newest that can be restored),
// CLONE (`true` if the set is of an installation with other keys), LANGFUSE_VERSION, WORK_DIR with keys.json, ENCRYPTED
// (whether the next step decrypts), AGE_IDENTITY (the private key, or none), and the variables of bucket.js for the copy.
//
// `choose` writes to WORK_DIR: `report.jsonl`; and to fetch `set`, `folders` (one a line, in the order in which they are
// copied), and for a clone `clone.json`, a verdict. `report` prints report.jsonl: for `list` one line for each set, as
// verify-backups.js does, the oldest first; for `fetch` {set, fetched: [folders]}.

const { readFileSync, writeFileSync } = require("node:fs");
const age = require("./age.js");
const { Bucket, main } = require("./bucket.js");
const { FORMAT, chainOf, refusals } = require("./sets.js");
const { FOLDER } = require("./clickhouse-backups.js");
const { inventory, reasonOf } = require("./inventory.js");
const { findSet } = require("./restorable-sets.js");
const { identityOf, isLeft, isReadable, requireIdentity } = require("./second-store.js");
const { CLONE, Fault, SETS } = require("./verdicts.js");

const json = (one) => `${JSON.stringify(one)}\n`;

/** The sets of the copy, as JSON lines. */
async function listed(bucket) {
  const { sets, backups } = await inventory(bucket);
  const sorted = sets.sort((one, other) => Date.parse(one.finished) - Date.parse(other.finished));
  const line = ({ id, finished, manifest = null }, lacks) => json({ id, finished, manifest, verdicts: {}, lacks, kept: false });
  return sorted.map((set) => line(set, reasonOf(set, backups))).join("");
}

/** The folders that a restore of a set needs, those that others build upon first, and the set last. */
function foldersOf(set, backups) {
  if (!set.clickhouse) throw new Fault(`set ${set.id} has no backup of ClickHouse: none was complete when it was made`);
  const { id } = set.clickhouse;
  const chain = id ? chainOf(backups, id) : [];
  if (!chain) throw new Fault(`a backup that ${FOLDER}${id} of set ${set.id} needs is not in the copy`);
  return [...chain.map((one) => `${FOLDER}${one}`), `${SETS}${set.id}`];
}

/** Refuses a folder that is encrypted if the next step can't decrypt it. Each may be for other recipients. */
async function requireKey(bucket, folder, { ENCRYPTED, AGE_IDENTITY }) {
  for await (const { key, bytes } of bucket.objects(`${folder}/`)) {
    if (isReadable(key) || isLeft(key) || !bytes) continue;
    const begin = await bucket.begin(key, age.LONGEST_HEADER);
    if (!age.isEncrypted(begin)) return;
    if (ENCRYPTED === "true") return requireIdentity(key, begin, identityOf(AGE_IDENTITY));
    throw new Fault(
      `${key} is encrypted with age, which the stack does not expect; set ` +
        "langfuse:backups.importFrom.encrypted to true (for its own copies, set langfuse:backups.offSite.recipients), and " +
        "run `pulumi up`",
    );
  }
}

async function choose({ ACTION, SET_ID, WORK_DIR, LANGFUSE_VERSION, ...env }) {
  const note = (name, text) => writeFileSync(`${WORK_DIR}/${name}`, text);
  const bucket = new Bucket(env);
  if (ACTION === "list") return note("report.jsonl", await listed(bucket));
  if (ACTION !== "fetch") throw new Error(`ACTION is ${ACTION}, not list or fetch`);
  const { set, refusal, backups } = await findSet(bucket, SET_ID);
  if (!set) throw new Fault(refusal);
  const isClone = env.CLONE === "true";
  const keys = isClone ? set.keys : JSON.parse(readFileSync(`${WORK_DIR}/keys.json`, "utf8"));
  const reasons = refusals(set, { langfuse: LANGFUSE_VERSION, keys }, backups);
  if (reasons.length) throw new Fault(`nothing was copied: ${reasons.join("; ")}`);
  const folders = foldersOf(set, backups);
  for (const folder of folders) await requireKey(bucket, folder, env);
  const other = "it is of another installation, so only a clone of that one is restored from it";
  const verdict = { format: FORMAT, check: CLONE, set: set.id, ok: false, finished: await bucket.now(), faults: [other] };
  if (isClone) note(`${CLONE}.json`, JSON.stringify(verdict));
  note("set", set.id);
  note("folders", folders.map((folder) => `${folder}\n`).join(""));
  note("report.jsonl", json({ set: set.id, fetched: folders }));
  console.log(`copying set ${set.id} of ${set.finished} from ${env.STORE_URL}/${bucket.name}/${bucket.prefix}`);
}

main("fetch-set", async (env) => {
  if (env.STEP === "choose") await choose(env);
  else process.stdout.write(readFileSync(`${env.WORK_DIR}/report.jsonl`));
});
