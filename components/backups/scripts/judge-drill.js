"use strict";
// Compares what was restored with the manifest of the set, and writes the verdict.
//
// Environment: STORE (`postgres` or `clickhouse`), WORK_DIR, and the variables of bucket.js. WORK_DIR has set.json, `begun`,
// `faults`, and what the restore noted: `restore-faults`, `rows` (table and number), and `unfinished` (names of
// migrations of Postgres) or `schema` (version and dirty flag of that of ClickHouse).

const { existsSync, readFileSync } = require("node:fs");
const { Bucket, main } = require("./bucket.js");
const { judge } = require("./verdicts.js");

/** Tables whose rows differ. A table without rows may be missing from either list. */
function* differences(wanted, found) {
  for (const table of [...new Set([...Object.keys(wanted), ...Object.keys(found)])].sort()) {
    const [expected, rows] = [wanted[table] ?? 0, found[table] ?? 0];
    if (rows !== expected) yield `table ${table} has ${rows} rows after the restore, not ${expected}`;
  }
}

main("judge-drill", async ({ STORE, WORK_DIR, ...env }) => {
  const read = (name) => (existsSync(`${WORK_DIR}/${name}`) ? readFileSync(`${WORK_DIR}/${name}`, "utf8") : "");
  const lines = (name) => read(name).split("\n").filter(Boolean);
  const set = JSON.parse(read("set.json"));
  const faults = [...lines("faults"), ...lines("restore-faults")];
  if (existsSync(`${WORK_DIR}/rows`)) {
    const found = Object.fromEntries(lines("rows").map((line) => line.split("\t")).map(([table, rows]) => [table, Number(rows)]));
    faults.push(...differences(set[STORE].rows, found));
    for (const name of lines("unfinished")) faults.push(`migration ${name} of Postgres was not finished`);
    const [version, dirty] = read("schema").trim().split("\t");
    if (dirty === "1") faults.push(`migration ${version} of ClickHouse was not finished (schema_migrations is dirty)`);
    const expected = set.clickhouse?.schema;
    if (version && Number(version) !== expected?.version) faults.push(`schema_migrations has ${version}, not ${expected?.version}`);
    console.log(`${Object.keys(found).length} tables were compared`);
  } else if (!faults.length) {
    throw new Error("the restore noted neither rows nor a fault, so there is nothing to judge");
  }
  const seconds = Math.round((Date.now() - Number(read("begun"))) / 1000);
  const bytes = STORE === "postgres" ? Number(read("dump").split(" ")[0]) : set.clickhouse.bytes;
  await judge(new Bucket(env), set.id, `drill-${STORE}`, { faults, damaged: [], seconds, bytes });
});
