"use strict";
// Finishes a backup of ClickHouse: reads every file back, compares it with the server's list, counts the rows that the
// backup contains, and writes the manifest last.
//
// Environment: WORK_DIR, and the variables of bucket.js. WORK_DIR has begin.json, and what the server reported: `version`,
// `migration` (version and dirty flag of the schema) and `behind` (tables that did not catch up).

const { readFileSync } = require("node:fs");
const { Bucket, MARKER, inParallel, main } = require("./bucket.js");
const { FORMAT, chainOf } = require("./sets.js");
const { FILES, FOLDER, backupsOf, baseOf, contents, tableOfCount } = require("./clickhouse-backups.js");

const OWN = [MARKER, FILES];

/** Fails if the server's list names a file that is not stored, or not with its size. */
function requireFiles(xml, objects) {
  for (const { name, size, baseSize, object, encrypted } of contents(xml)) {
    if (size === baseSize) continue; // empty, or whole in the base
    const found = objects.get(object);
    if (!found) throw new Error(`${object} is missing, which the server lists as the content of ${name}`);
    if (!encrypted && found.bytes !== size - baseSize) {
      throw new Error(`${object} has ${found.bytes} bytes, but the server wrote ${size - baseSize}`);
    }
  }
}

/**
 * The rows of each table: the sum over its parts, as system.parts counts them. Each part has a file with its number.
 *
 * @returns {rows, counts}: by table; and by the checksum of such a file, for the backups that build upon this one.
 */
async function countRows(bucket, folder, xml, known) {
  const rows = {};
  const counts = {};
  const parts = [...contents(xml)].map((file) => ({ ...file, table: tableOfCount(file.name) })).filter(({ table }) => table);
  const fresh = new Map(parts.filter(({ size, baseSize }) => !baseSize && size).map((part) => [part.checksum, part.object]));
  await inParallel([...fresh], async ([checksum, object]) => {
    counts[checksum] = Number(await bucket.read(`${folder}${object}`));
  });
  for (const { table, checksum, name } of parts) {
    counts[checksum] ??= known[checksum];
    if (!Number.isSafeInteger(counts[checksum])) throw new Error(`the number of rows in ${name} is not known`);
    rows[table] = (rows[table] ?? 0) + counts[checksum];
  }
  return { rows, counts };
}

async function readBack(bucket, folder, objects) {
  const lines = await inParallel([...objects], async ([name, { bytes, etag }]) => {
    const read = await bucket.digest(`${folder}${name}`);
    if (read.bytes !== bytes) throw new Error(`${name} has ${bytes} bytes, but ${read.bytes} could be read`);
    return JSON.stringify({ name, bytes, etag, sha256: read.sha256 });
  });
  return `${lines.sort().join("\n")}\n`;
}

main("finish-clickhouse", async ({ WORK_DIR, ...env }) => {
  const note = (name) => readFileSync(`${WORK_DIR}/${name}`, "utf8").trim();
  const { id, started, database, base } = JSON.parse(note("begin.json"));
  const bucket = new Bucket(env);
  const folder = `${FOLDER}${id}/`;
  const objects = await bucket.files(folder);
  const xml = await bucket.read(`${folder}.backup`);
  if (xml === undefined || objects.has(".lock")) throw new Error(`the server has not finished ${folder}`);
  if (OWN.some((name) => objects.has(name))) throw new Error(`another run has finished ${folder}`);
  const used = baseOf(xml);
  if (used !== null && used !== base) throw new Error(`${folder} builds upon ${used}, not upon ${base}`);
  requireFiles(xml, objects);

  const backups = await backupsOf(bucket);
  const chain = [...(used ? (chainOf(backups, used) ?? []) : []), id];
  if (used && chain.length === 1) throw new Error(`the backup ${used} is gone, which ${folder} builds upon`);
  const known = backups.find((backup) => backup.id === used)?.counts ?? {};
  const { rows, counts } = await countRows(bucket, folder, xml, known);
  console.log(`reading ${objects.size} files back`);
  const { sha256 } = await bucket.write(`${folder}${FILES}`, await readBack(bucket, folder, objects));
  const bytes = [...objects.values()].reduce((sum, object) => sum + object.bytes, 0);
  const [version, dirty] = note("migration").split("\t");
  const manifest = {
    ...{ format: FORMAT, store: "clickhouse", id, database, base: used, chain, started, finished: await bucket.now() },
    ...{ version: note("version"), schema: version ? { version: Number(version), dirty: dirty === "1" } : null },
    behind: note("behind").split("\n").filter(Boolean),
    ...{ files: objects.size, bytes, filesSha256: sha256, rows, counts },
  };
  await bucket.write(`${folder}${MARKER}`, JSON.stringify(manifest));
  console.log(`backup ${folder.slice(0, -1)} is complete: ${bytes} bytes, ${chain.length} in its chain`);
});
