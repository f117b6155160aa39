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
const { Bucket, main } = require("./bucket.js");
const { chosenSet } = require("./inventory.js");
const { LIST, listed, pairs } = require("./media-lists.js");
const { SETS, judge } = require("./verdicts.js");

/** What is wrong with the content of an object; undefined if nothing is. */
async function faultIn(copy, { key, bytes }) {
  const { fault, bytes: read, sha256 } = await copy.content(key);
  if (fault) return fault;
  if (read !== bytes) return `has ${read} bytes, not ${bytes}`;
  const [, name] = /\/([\w-]{22})\.\w+$/.exec(key) ?? [];
  return name && name !== Buffer.from(sha256, "hex").toString("base64url").slice(0, 22) ? "has another content" : undefined;
}

main("drill-media", async ({ SET_ID, MEDIA_BUCKET, SAMPLE, ...env }) => {
  const begun = Date.now();
  const own = Object.entries(env).filter(([name]) => name.startsWith("OFF_SITE_"));
  const { HTTPS_PROXY, NO_PROXY } = env;
  const off = Object.fromEntries(own.map(([name, value]) => [name.slice("OFF_SITE_".length), value]));
  const copy = new Bucket({ ...off, HTTPS_PROXY, NO_PROXY });
  const set = await chosenSet(copy, SET_ID, `${env.BUCKET}/`);
  if (set.media.error) throw new Error(`set ${set.id} has no list of media: ${set.media.error}`);
  console.log(`looking for ${set.media.objects} media of set ${set.id} in ${env.OFF_SITE_STORE_URL}/${copy.name}`);
  const [faults, state, sample] = [[], {}, []];
  const step = Math.max(1, Math.ceil(set.media.objects / Number(SAMPLE)));
  let [count, first] = [0, randomInt(step)];
  const lines = listed(copy, `${env.BUCKET}/${SETS}${set.id}/${LIST}`, state);
  for await (const one of pairs(lines, copy.objects(`${MEDIA_BUCKET}/`), `${MEDIA_BUCKET}/`)) {
    if (!one.found) faults.push(`${one.key} is missing in the copy`);
    else if (one.found.bytes !== one.bytes) faults.push(`${one.key} has ${one.found.bytes} bytes in the copy, not ${one.bytes}`);
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
