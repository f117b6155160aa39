"use strict";
// Finds the media that a set lists and the bucket lacks, before and after restore-media.sh copies them.
//
// Environment: STEP (`choose` or `finish`), ACTION (`plan`, or `restore` or `fetch` to do it, or `list` to do nothing), SET_ID
// (empty for the newest; a file `set` in WORK_DIR comes first), WORK_DIR, the
// variables of bucket.js for the bucket of backups, and the same for that of media with the prefix MEDIA_.
//
// `choose` writes the missing keys to WORK_DIR/missing, with an empty WORK_DIR/few-media if they are few; or to fetch an empty
// WORK_DIR/all-media if the set has no list of them. `finish` prints the plan, or what was restored, and fails if media
// are still missing.

const { createWriteStream, existsSync, readFileSync, writeFileSync } = require("node:fs");
const { once } = require("node:events");
const { Bucket, main } = require("./bucket.js");
const { chosenSet } = require("./inventory.js");
const { LIST, listed, pairs } = require("./media-lists.js");
const { SETS } = require("./verdicts.js");

/** Media that an error names. */
const NAMED = 3;

/** One of how many media may be missing so that they are asked for one by one. A list has a thousand in each answer. */
const FEW = 100;

function mediaBucket(env) {
  const own = ["BUCKET", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY"].map((name) => [name, env[`MEDIA_${name}`]]);
  return new Bucket({ ...env, ...Object.fromEntries(own) });
}

/** Calls `report` for each object of a set that the bucket lacks, or has with another size. Returns the number of others. */
async function compare(env, set, report) {
  const [backups, state] = [new Bucket(env), {}];
  const lines = listed(backups, `${SETS}${set.id}/${LIST}`, state);
  let there = 0;
  for await (const { key, bytes, found } of pairs(lines, mediaBucket(env).objects(""), "")) {
    if (found?.bytes === bytes) there += 1;
    else await report(key);
  }
  if (state.sha256 !== set.media.sha256) throw new Error(`${LIST} of set ${set.id} differs from what was written`);
  return there;
}

async function choose(env, set) {
  if (set.media.error && env.ACTION === "fetch") {
    console.log(`all media are copied, because set ${set.id} has no list of them: ${set.media.error}`);
    return writeFileSync(`${env.WORK_DIR}/all-media`, "");
  }
  if (set.media.error) throw new Error(`set ${set.id} has no list of media: ${set.media.error}`);
  const file = createWriteStream(`${env.WORK_DIR}/missing`);
  const there = await compare(env, set, (key) => file.write(`${key}\n`) || once(file, "drain"));
  await new Promise((done) => file.end(done));
  if ((set.media.objects - there) * FEW < set.media.objects) writeFileSync(`${env.WORK_DIR}/few-media`, "");
  const rows = { objects: [there, set.media.objects] };
  writeFileSync(`${env.WORK_DIR}/plan.json`, JSON.stringify({ store: "media", set: set.id, rows, refusals: [] }));
  writeFileSync(`${env.WORK_DIR}/set`, set.id);
  console.log(`${set.media.objects - there} of ${set.media.objects} media of set ${set.id} are missing`);
}

async function finish(env, set) {
  if (env.ACTION === "plan") return console.log(readFileSync(`${env.WORK_DIR}/plan.json`, "utf8"));
  if (set.media.error) return;
  const missing = [];
  const there = await compare(env, set, (key) => missing.push(key));
  if (missing.length) {
    const named = missing.slice(0, NAMED).join(", ");
    throw new Error(`${missing.length} media of set ${set.id} are not in the off-site copy, for example ${named}`);
  }
  console.log(JSON.stringify({ store: "media", set: set.id, objects: there }));
}

main("restore-media", async (env) => {
  if (env.ACTION === "list") return;
  const chosen = `${env.WORK_DIR}/set`;
  const id = existsSync(chosen) ? readFileSync(chosen, "utf8") : env.SET_ID;
  const set = await chosenSet(new Bucket(env), id);
  return env.STEP === "finish" ? finish(env, set) : choose(env, set);
});
