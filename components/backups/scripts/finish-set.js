"use strict";
// Finishes a set: pairs the dump of Postgres with a backup of ClickHouse, and writes the manifest last.
//
// Environment: WORK_DIR, INSTANCE, LANGFUSE_VERSION, CLICKHOUSE_BACKED_UP_BY (`job` or `provider`), and the variables of
// bucket.js. WORK_DIR has begin.json, keys.json, media.json, media.jsonl.gz, and what backup-postgres.sh noted: `files`
// (size, checksum and name of each), `server`, `client`, `rows` (of each table in the dump), `size` (of the database),
// `restored` (the set that it was restored from; empty for none) and `migrations`. Before an upgrade, it also has upgrade.json
// (need-set.js).

const { createReadStream, existsSync, readFileSync, statSync } = require("node:fs");
const { createHash } = require("node:crypto");
const { Bucket, MARKER, main } = require("./bucket.js");
const { FORMAT, pairWith } = require("./sets.js");
const { backupsOf } = require("./clickhouse-backups.js");

const MEDIA = "media.jsonl.gz";

/** A table as pg_restore writes it, for example `public."Account"`. */
const plainName = (table) => table.replaceAll('"', "");

/** The rows of _prisma_migrations, in the format of COPY: columns, and one line for each migration. */
function migrationsOf(text) {
  const [columns, ...lines] = text.split("\n").filter(Boolean);
  const names = (/\((.*)\)/.exec(columns ?? "")?.[1] ?? "").split(", ").map(plainName);
  const value = (line, name) => line.split("\t")[names.indexOf(name)];
  const rolledBack = (line) => value(line, "rolled_back_at") !== "\\N";
  const finished = lines.filter((line) => value(line, "finished_at") !== "\\N" && !rolledBack(line));
  const unfinished = lines.filter((line) => value(line, "finished_at") === "\\N" && !rolledBack(line));
  const all = finished.map((line) => value(line, "migration_name")).sort();
  return { applied: all.length, last: all.at(-1) ?? null, unfinished: unfinished.map((line) => value(line, "migration_name")) };
}

async function uploadMedia(bucket, folder, work) {
  const path = `${work}/${MEDIA}`;
  const { size } = statSync(path);
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  const key = `${folder}${MEDIA}`;
  // A node's clock may differ. The client learns the store's from an answer, and a stream can't be sent again.
  await bucket.now();
  const body = () => ({ Key: key, Body: createReadStream(path), ContentLength: size, ...bucket.encryption });
  await bucket.send("PutObject", body);
  const stored = await bucket.digest(key);
  if (stored.sha256 !== hash.digest("hex")) throw new Error(`the stored ${key} differs from what was written`);
  return { name: MEDIA, ...stored };
}

/** Fails if a file is not stored with its size. */
async function requireFiles(bucket, folder, files) {
  const stored = await bucket.files(folder);
  if (stored.has(MARKER)) throw new Error(`another run has finished ${folder}`);
  for (const { name, bytes } of files) {
    const found = stored.get(name)?.bytes;
    if (found !== bytes) throw new Error(`${folder}${name} has ${found ?? "no"} bytes, not ${bytes}`);
  }
}

async function clickhouseOf(bucket, begun, by) {
  if (by === "provider") return { by };
  const found = pairWith(await backupsOf(bucket), begun);
  if (!found) return null;
  const { counts: _counts, files: _files, filesSha256: _sum, format: _format, store: _store, ...facts } = found;
  return { by, ...facts };
}

main("finish-set", async ({ WORK_DIR, INSTANCE, LANGFUSE_VERSION, CLICKHOUSE_BACKED_UP_BY, ...env }) => {
  const note = (name) => readFileSync(`${WORK_DIR}/${name}`, "utf8").trim();
  const begun = JSON.parse(note("begin.json"));
  const bucket = new Bucket(env);
  const folder = `sets/${begun.id}/`;
  const lines = note("files").split("\n").map((line) => line.split(" "));
  const files = lines.map(([bytes, sha256, name]) => ({ name, bytes: Number(bytes), sha256 }));
  const media = JSON.parse(note("media.json"));
  if (!media.error) files.push(await uploadMedia(bucket, folder, WORK_DIR));
  await requireFiles(bucket, folder, files);
  const restored = note("restored") ? JSON.parse(note("restored")) : null;
  const clickhouse = await clickhouseOf(bucket, { ...begun, restored }, CLICKHOUSE_BACKED_UP_BY);
  const rows = note("rows").split("\n").filter(Boolean).map((line) => line.split("\t"));
  const upgrade = existsSync(`${WORK_DIR}/upgrade.json`) ? JSON.parse(note("upgrade.json")) : {};
  const manifest = {
    ...{ format: FORMAT, id: begun.id, instance: INSTANCE, langfuse: LANGFUSE_VERSION, ...upgrade },
    ...{ started: begun.started, finished: await bucket.now(), keys: JSON.parse(note("keys.json")) },
    postgres: {
      ...{ database: begun.database, server: note("server"), client: note("client") },
      bytes: Number(note("size")),
      schema: migrationsOf(existsSync(`${WORK_DIR}/migrations`) ? note("migrations") : ""),
      rows: Object.fromEntries(rows.map(([table, number]) => [plainName(table), Number(number)])),
    },
    ...{ clickhouse, media, files },
  };
  await bucket.write(`${folder}${MARKER}`, JSON.stringify(manifest));
  console.log(JSON.stringify({ id: begun.id }));
  const why = restored ? " since the restore" : "";
  const pair = clickhouse === null ? `without a backup of ClickHouse, because none was finished${why} before it began` : "";
  const id = clickhouse?.id ? `with clickhouse/${clickhouse.id}` : pair;
  console.log(`set sets/${begun.id} is complete ${id || "without ClickHouse, which its provider backs up"}`);
});
