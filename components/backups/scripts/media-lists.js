"use strict";
// The list of media that a set has (list-media.js), compared with what a bucket has.

const { createHash } = require("node:crypto");
const { createInterface } = require("node:readline");
const { createGunzip } = require("node:zlib");

const LIST = "media.jsonl.gz";

/** The lines of the list. `state.sha256` is that of the list, when all were read. */
async function* listed(copy, key, state) {
  const hash = createHash("sha256");
  const { Body } = await copy.send("GetObject", { Key: key });
  const text = Body.pipe(createGunzip());
  Body.on("error", (error) => text.destroy(error));
  for await (const line of createInterface({ input: text, crlfDelay: Infinity })) {
    hash.update(`${line}\n`);
    yield JSON.parse(line);
  }
  state.sha256 = hash.digest("hex");
}

/** Each listed object with the one of the copy, or undefined. Both are in the order in which stores list keys. */
async function* pairs(lines, stored, prefix) {
  const ahead = (key) => !next.done && Buffer.compare(Buffer.from(next.value.key), Buffer.from(key)) < 0;
  let next = await stored.next();
  for await (const one of lines) {
    const key = `${prefix}${one.key}`;
    while (ahead(key)) next = await stored.next();
    yield { ...one, key, found: !next.done && next.value.key === key ? next.value : undefined };
  }
}

/** Whether an object is named by another hash than its own (packages/shared/src/server/services, `getMediaId`). */
function hasOtherName(key, sha256) {
  const [, name] = /\/([\w-]{22})\.\w+$/.exec(key) ?? [];
  return Boolean(name) && name !== Buffer.from(sha256, "hex").toString("base64url").slice(0, 22);
}

module.exports = { LIST, hasOtherName, listed, pairs };
