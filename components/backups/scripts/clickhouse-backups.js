"use strict";
// Backups of ClickHouse in the bucket, and the file `.backup` in which the server lists what one contains.

const { FORMAT } = require("./sets.js");
const { damagedBackups, verdictsOf } = require("./verdicts.js");

/** Backups in `clickhouse/`. Those that releases without sets wrote have no format. */
const FOLDER = "clickhouse/";

/** The list of the stored files of a backup, one JSON object a line: {name, bytes, etag, sha256}. */
const FILES = "files.jsonl";

/** The manifests of complete backups; with `damaged` if a verdict calls one so. */
async function backupsOf(bucket) {
  const manifests = await bucket.manifests(FOLDER);
  const damaged = damagedBackups(await verdictsOf(bucket));
  const known = [...manifests.values()].filter((manifest) => manifest?.format === FORMAT);
  return known.map((manifest) => ({ ...manifest, ...(damaged.has(manifest.id) ? { damaged: true } : {}) }));
}

/**
 * The first file of a backup that is missing or not as it was written; undefined if there is none.
 *
 * A copy of the bucket may have other ETags. With `copies`, a file with another ETag is read and compared by its SHA-256.
 */
async function damage(bucket, id, { copies = false } = {}) {
  const text = await bucket.read(`${FOLDER}${id}/${FILES}`);
  if (text === undefined) return `${FILES} is missing`;
  const found = await bucket.files(`${FOLDER}${id}/`);
  for (const line of text.split("\n").filter(Boolean)) {
    const { name, bytes, etag, sha256 } = JSON.parse(line);
    const object = found.get(name);
    if (!object) return `${name} is missing`;
    if (object.bytes !== bytes) return `${name} has ${object.bytes} bytes, not ${bytes}`;
    if (object.etag === etag) continue;
    if (!copies || (await bucket.digest(object.key)).sha256 !== sha256) return `${name} was replaced`;
  }
  return undefined;
}

const ENTITIES = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

const unescaped = (text) => text.replace(/&(?:#(\d+)|(\w+));/g, (_, code, name) => (code ? String.fromCodePoint(code) : ENTITIES[name]));

const element = (xml, name) => new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1];

/**
 * The files that a backup contains: {name, size, checksum, baseSize, object, encrypted} (src/Backups/BackupImpl.cpp,
 * writeBackupMetadata). `object` is where the part of it that is not in the base is stored.
 */
function* contents(xml) {
  for (const [, file] of xml.matchAll(/<file>(.*?)<\/file>/gs)) {
    const name = unescaped(element(file, "name"));
    const size = Number(element(file, "size"));
    const useBase = element(file, "use_base") === "true";
    yield {
      name,
      size,
      checksum: element(file, "checksum"),
      baseSize: Number(element(file, "base_size") ?? (useBase ? size : 0)),
      object: unescaped(element(file, "data_file") ?? name),
      encrypted: element(file, "encrypted_by_disk") === "true",
    };
  }
}

/** The folder of the backup that this one builds upon; null if it uses none. */
function baseOf(xml) {
  const text = element(xml, "base_backup");
  return text === undefined ? null : /clickhouse\/([^/'"]+)/.exec(unescaped(text))?.[1];
}

/** The table of the file with the number of rows of a part, as `database.table`; undefined for another file. */
function tableOfCount(name) {
  const match = /(?:^|\/)data\/([^/]+)\/([^/]+)\/[^/]+\/count\.txt$/.exec(name);
  return match && `${decodeURIComponent(match[1])}.${decodeURIComponent(match[2])}`;
}

module.exports = { FILES, FOLDER, backupsOf, baseOf, contents, damage, tableOfCount };
