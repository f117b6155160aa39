"use strict";
// Chooses the set that a restore takes, and says what the restore would do and why it must not be done.
//
// Environment: STORE (`postgres` or `clickhouse`), ACTION (`plan` or `restore`), SET_ID (empty: the newest that can
// be restored), OVERWRITE (`true` replaces rows), CLONE (`true` if the set is of an installation with other keys), MANIFEST
// (of a set that is not in the bucket yet; for a plan only), LANGFUSE_VERSION, STORAGE_BYTES (the volume of Postgres; 0 if it
// is not known), WORK_DIR, and the variables of bucket.js. WORK_DIR has keys.json and what the step before found: `server`
// (release), `rows` (of each table), `connected` (who uses the
// database), and of ClickHouse `disks` (host, free and used bytes) and `newest` (the time of the newest part).
//
// It writes WORK_DIR/plan.json, and notes for the next step. If there is a reason against it, `restore` ends here.

const { readFileSync, writeFileSync } = require("node:fs");
const { Bucket, main } = require("./bucket.js");
const { refusals } = require("./sets.js");
const { FOLDER, contents } = require("./clickhouse-backups.js");
const { damageOfChain, findSet } = require("./restorable-sets.js");
const { Fault, SETS } = require("./verdicts.js");

const DUMP = "database.dump";

/** Why a restore of Postgres would fill the volume. A server whose log has no room left stops, and can't start again. */
function refusalOfRoom(set, storage, [[used, log] = []]) {
  const { bytes } = set.postgres; // missing in sets of former releases
  const needed = Number(used) + Number(log) + bytes;
  if (!Number(storage) || !bytes || needed <= Number(storage)) return [];
  return [`the volume of Postgres has ${gigabytes(Number(storage))}, and the restore needs ${gigabytes(needed)}: increase langfuse:postgres.storage`];
}

const gigabytes = (bytes) => `${(bytes / 1e9).toFixed(1)} GB`;

/** Rows that are there now. */
function refusalOfRows(now, overwrite) {
  const filled = [...now].filter(([, rows]) => rows > 0);
  if (overwrite === "true" || !filled.length) return [];
  const rows = filled.reduce((sum, [, number]) => sum + number, 0);
  return [`the database has ${rows} rows in ${filled.length} tables: OVERWRITE=true replaces them`];
}

const STORES = {
  postgres: {
    of: (set) => ({ rows: set.postgres.rows, since: set.started, bytes: fileOf(set).bytes }),

    async refusals(bucket, set, note, { STORAGE_BYTES }) {
      const { bytes } = fileOf(set);
      const found = (await bucket.files(`${SETS}${set.id}/`)).get(DUMP)?.bytes;
      const damage = found === bytes ? [] : [`${DUMP} of the set has ${found ?? "no"} bytes, not ${bytes}`];
      return [...damage, ...refusalOfRoom(set, STORAGE_BYTES, note("used"))];
    },

    notes: (set, now) => ({
      dump: `${fileOf(set).bytes} ${fileOf(set).sha256}\n`,
      // Both are strings in a statement.
      "rows.json": JSON.stringify(set.postgres.rows).replaceAll("'", "''"),
      restored: JSON.stringify({ restored: set.id, begun: set.started, at: now }).replaceAll("'", "''"),
    }),
  },

  clickhouse: {
    of: ({ clickhouse }) => ({ rows: clickhouse?.rows ?? {}, since: clickhouse?.started, bytes: clickhouse?.bytes }),

    async refusals(bucket, set, note) {
      if (!set.clickhouse?.id) return [];
      const damage = await damageOfChain(bucket, set);
      if (damage) return [damage];
      const xml = await bucket.read(`${FOLDER}${set.clickhouse.id}/.backup`);
      const needed = [...contents(xml)].reduce((sum, { size }) => sum + size, 0);
      const disks = note("disks").map(([host, free, used]) => ({ host, room: Number(free) + Number(used) }));
      return disks
        .filter(({ room }) => room < needed)
        .map(({ host, room }) => `the volume of ${host} has room for ${gigabytes(room)}, and the set needs ${gigabytes(needed)}`);
    },

    notes: ({ clickhouse }) => ({
      backup: clickhouse.id,
      // As a literal of SQL.
      expected: `[${Object.entries(clickhouse.rows).map(([table, rows]) => `('${table.replaceAll("'", "''")}', ${rows})`)}]`,
    }),
  },
};

const fileOf = (set) => set.files.find(({ name }) => name === DUMP) ?? {};

/** The set that a person means; or one that is not in the bucket yet, whose files are checked when they are. */
async function wantedSet(bucket, { ACTION, MANIFEST, SET_ID }) {
  if (ACTION === "restore" || !MANIFEST) return findSet(bucket, SET_ID);
  const set = JSON.parse(MANIFEST);
  return { set, backups: (set.clickhouse?.chain ?? []).map((id) => ({ id })), isElsewhere: true };
}

/** What a restore would do. */
async function planOf(bucket, env, note) {
  const { STORE, SET_ID, OVERWRITE, CLONE, LANGFUSE_VERSION } = env;
  const now = new Map(note("rows").map(([table, rows]) => [table, Number(rows)]));
  const [[server]] = note("server");
  const connected = note("connected").map(([text]) => text);
  const { set, refusal, backups, isElsewhere } = await wantedSet(bucket, env);
  const plan = { store: STORE, server, connected };
  if (!set) return { plan: { ...plan, set: SET_ID || null, refusals: [refusal] } };
  const [[own]] = note("keys.json");
  const keys = CLONE === "true" ? set.keys : JSON.parse(own);
  const target = { store: STORE, langfuse: LANGFUSE_VERSION, keys, server };
  const { rows, since, bytes } = STORES[STORE].of(set);
  const faults = refusals(set, target, backups);
  if (!faults.length && !isElsewhere) faults.push(...(await STORES[STORE].refusals(bucket, set, note, env)));
  const tables = [...new Set([...now.keys(), ...Object.keys(rows)])].sort();
  return {
    set,
    plan: {
      ...plan,
      ...{ set: set.id, finished: set.finished, langfuse: set.langfuse, bytes },
      rows: Object.fromEntries(tables.map((table) => [table, [now.get(table) ?? null, rows[table] ?? null]])),
      refusals: [...faults, ...refusalOfRows(now, OVERWRITE)],
      lost: { since, newestRow: note("newest")[0]?.[0] ?? null },
    },
  };
}

main("choose-set", async (env) => {
  const { STORE, ACTION, WORK_DIR } = env;
  if (!["plan", "restore"].includes(ACTION)) throw new Error(`ACTION is ${ACTION}, not plan or restore`);
  const read = (name) => {
    try {
      return readFileSync(`${WORK_DIR}/${name}`, "utf8");
    } catch {
      return "";
    }
  };
  const note = (name) => read(name).split("\n").filter(Boolean).map((line) => line.split("\t"));
  const bucket = new Bucket(env);
  const { set, plan } = await planOf(bucket, env, note);
  writeFileSync(`${WORK_DIR}/plan.json`, `${JSON.stringify(plan)}\n`);
  if (ACTION === "plan") return;
  const reasons = [...plan.refusals];
  if (plan.connected.length) {
    reasons.push(`the database is in use (${plan.connected.join(", ")}): stop web and worker, and wait for Jobs that use it`);
  }
  if (reasons.length) throw new Fault(`refused, and nothing was changed: ${reasons.join("; ")}`);
  const now = await bucket.now();
  writeFileSync(`${WORK_DIR}/set`, set.id);
  for (const [name, text] of Object.entries(STORES[STORE].notes(set, now))) writeFileSync(`${WORK_DIR}/${name}`, text);
  console.log(`restoring set ${set.id} of ${set.finished}`);
});
