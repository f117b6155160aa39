"use strict";
// Lists the bucket of media in WORK_DIR/media.jsonl.gz, one JSON object a line: {key, bytes, etag}.
//
// Media are named by their hash and never change, so a set needs no copy of its own: the list tells what a restore must
// find, and copies in another store (`backups.offSite`) keep what is deleted here.
//
// Environment: WORK_DIR, and the variables of bucket.js.

const { createHash } = require("node:crypto");
const { createWriteStream, writeFileSync } = require("node:fs");
const { Readable } = require("node:stream");
const { pipeline } = require("node:stream/promises");
const { createGzip } = require("node:zlib");
const { Bucket, main } = require("./bucket.js");
const { reason } = require("./store-results.js");

main("list-media", async ({ WORK_DIR, ...env }) => {
  const summary = { objects: 0, bytes: 0 };
  const hash = createHash("sha256");
  const bucket = new Bucket(env);
  async function* lines() {
    for await (const { key, bytes, etag } of bucket.objects("")) {
      summary.objects += 1;
      summary.bytes += bytes;
      const line = `${JSON.stringify({ key, bytes, etag })}\n`;
      hash.update(line);
      yield line;
    }
  }
  try {
    const file = createWriteStream(`${WORK_DIR}/media.jsonl.gz`);
    await pipeline(Readable.from(lines()), createGzip(), file);
    summary.sha256 = hash.digest("hex");
    console.log(`${summary.objects} media, ${summary.bytes} bytes`);
  } catch (error) {
    // Langfuse itself never lists media, so the key of an external store may not be allowed to.
    if (error.$metadata?.httpStatusCode !== 403) throw error;
    summary.error = `${reason(error)}; allow s3:ListBucket to the key of the media bucket`;
    console.error(`list-media: the set has no list of media: ${summary.error}`);
  }
  writeFileSync(`${WORK_DIR}/media.json`, JSON.stringify(summary));
});
