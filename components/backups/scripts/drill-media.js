"use strict";
// Looks in the off-site copy for every media object that a set lists, and reads a sample of them.
//
// Everything is read from the copy alone, also the set: it is what is left when this object store is lost. The newest set
// there was complete when the copy began, so all of its media should be there. Langfuse names media by their hash, so
// content is compared with the name (packages/shared/src/server/services, `getMediaId`).
//
// Environment: SET_ID (empty for the newest in the copy), MEDIA_BUCKET, SAMPLE (objects to read), the variables of bucket.js
// for the bucket of backups, where the verdict is written, and the same for the copy with the prefix OFF_SITE_.

const { randomInt } = require("node:crypto");
const age = require("./age.js");
const { Bucket, main } = require("./bucket.js");
const { secondStore } = require("./second-store.js");
const { chosenSet } = require("./inventory.js");
const { LIST, hasOtherName, listed, pairs } = require("./media-lists.js");
const { SETS, judge } = require("./verdicts.js");

/** Whether an object of the copy has the size of a file, or of a file that is encrypted. */
const fits = (found, bytes) => found.bytes === bytes || age.isEncryptedSize(found.bytes, bytes);

/** What is wrong with an encrypted object. Its private key is elsewhere, so nothing here can read more of it. */
async function faultInEncrypted(copy, key) {
  return age.isEncrypted(await copy.begin(key, age.LONGEST_HEADER)) ? undefined : "has another content";
}

/** What is wrong with the content of an object; undefined if nothing is. */
async function faultIn(copy, { key, bytes, found }) {
  if (found.bytes !== bytes) return faultInEncrypted(copy, key);
  const { fault, bytes: read, sha256 } = await copy.content(key);
  if (fault) return fault;
  if (read !== bytes) return `has ${read} bytes, not ${bytes}`;
  return hasOtherName(key, sha256) ? "has another content" : undefined;
}

main("drill-media", async ({ SET_ID, MEDIA_BUCKET, SAMPLE, ...env }) => {
  const begun = Date.now();
  const copy = secondStore(env);
  const set = await chosenSet(copy, SET_ID, `${env.BUCKET}/`);
  if (set.media.error) throw new Error(`set ${set.id} has no list of media: ${set.media.error}`);
  console.log(`looking for ${set.media.objects} media of set ${set.id} in ${env.OFF_SITE_STORE_URL}/${copy.name}`);
  const [faults, state, sample] = [[], {}, []];
  const step = Math.max(1, Math.ceil(set.media.objects / Number(SAMPLE)));
  let [count, first] = [0, randomInt(step)];
  const lines = listed(copy, `${env.BUCKET}/${SETS}${set.id}/${LIST}`, state);
  for await (const one of pairs(lines, copy.objects(`${MEDIA_BUCKET}/`), `${MEDIA_BUCKET}/`)) {
    if (!one.found) faults.push(`${one.key} is missing in the copy`);
    else if (!fits(one.found, one.bytes)) faults.push(`${one.key} has ${one.found.bytes} bytes in the copy, not ${one.bytes}`);
    else if (count % step === first) sample.push(one);
    count += 1;
  }
  if (state.sha256 !== set.media.sha256) faults.push(`${LIST} differs from what was written`);
  for (const one of sample) {
    const fault = await faultIn(copy, one);
    if (fault) faults.push(`${one.key} ${fault} in the copy`);
  }
  console.log(`${count} media were looked for, ${sample.length} of them were read`);
  const bytes = sample.reduce((sum, one) => sum + one.bytes, 0);
  const seconds = Math.round((Date.now() - begun) / 1000);
  await judge(new Bucket(env), set.id, "drill-media", { faults, damaged: [], seconds, bytes });
});
