"use strict";
// The half-applied migration of Postgres: what Prisma recorded of it, what the catalog shows, and its repair.
//
// A repair records what `prisma migrate resolve` records (prisma-engines: schema-engine/core/src/commands/
// mark_migration_{applied,rolled_back}.rs), in one transaction with what it changes, and under Prisma's own lock.

const { createHash, randomUUID } = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");
const { connected } = require("./check-postgres.js");
const { Problem } = require("./store-results.js");
const { plan } = require("./migration-repair.js");
const { postgres } = require("./migration-statements.js");

/** Prisma's advisory lock. The session of a migrator that has ended keeps it while the server runs its statement. */
const LOCK = 72707369;

/** How long a statement waits for others that use a table, while new ones wait behind it. */
const LOCK_TIMEOUT = "30s";

const COMMIT_MILLISECONDS = 3 * 3600 * 1000;

const literal = (text) => `'${text.replaceAll("'", "''")}'`;
const quoted = (name) => `"${name.replaceAll('"', '""')}"`;

const UNFINISHED = `SELECT id, migration_name AS name, checksum, logs, applied_steps_count::text AS steps
  FROM _prisma_migrations WHERE finished_at IS NULL AND rolled_back_at IS NULL ORDER BY started_at, id`;

/** Names in the schema that Prisma uses. One that a transaction of somebody else creates is not there yet. */
const CATALOG = `WITH ours AS (SELECT oid FROM pg_namespace WHERE nspname = current_schema()),
  relations AS (SELECT c.oid, relname, relkind FROM pg_class c JOIN ours ON ours.oid = relnamespace)
SELECT concat('relation ', relname) AS key, true AS valid FROM relations WHERE relkind IN ('r', 'p', 'v', 'm')
UNION ALL SELECT concat('index ', relname), indisvalid FROM relations JOIN pg_index ON indexrelid = oid
UNION ALL SELECT concat('relation ', relname, '.column.', attname, part), true
  FROM relations JOIN pg_attribute ON attrelid = oid AND attnum > 0 AND NOT attisdropped
  CROSS JOIN LATERAL (VALUES ('', true), ('.not null', attnotnull), ('.default', atthasdef)) AS parts (part, there) WHERE there
UNION ALL SELECT concat('relation ', relname, '.constraint.', conname), true FROM relations JOIN pg_constraint ON conrelid = relations.oid
UNION ALL SELECT concat('type ', typname), true FROM pg_type JOIN ours ON ours.oid = typnamespace WHERE typtype IN ('e', 'd')
UNION ALL SELECT concat('type ', typname, '.value.', enumlabel), true
  FROM pg_enum JOIN pg_type ON pg_type.oid = enumtypid JOIN ours ON ours.oid = typnamespace`;

/** What the catalog and the written rows show. */
class Schema {
  constructor(catalog) {
    this.catalog = new Map(catalog.map(({ key, valid }) => [key, valid]));
    this.rows = new Map();
    this.written = new Map();
  }

  exists(key, effect = {}) {
    if (key.includes(".rows")) return this.written.get(key) === false ? false : undefined;
    if (key.includes(".row.")) {
      const state = this.rows.get(key) ?? "missing";
      if (state === "former") return effect.needs === "absent" ? true : effect.follows ? false : undefined;
      return state === "new";
    }
    const valid = this.catalog.get(key);
    // A migration that creates an index CONCURRENTLY and fails leaves one that the server does not use.
    return valid === false ? effect.leaves !== "exists" : valid === true;
  }

  hasType() {
    return undefined;
  }

  hasQuery() {
    return undefined;
  }

  remark(key) {
    return /\.rows?(\.|$)/.test(key) ? "rows of this table may be those of the migration" : undefined;
  }

  /** Looks whether rows were written since the migration began, for the statements that write some. */
  async look(database, statements, id) {
    const newer = `age(xmin) <= (SELECT age(xmin) FROM _prisma_migrations WHERE id = ${literal(id)})`;
    for (const statement of statements) {
      for (const table of statement.writes ?? []) {
        const key = `relation ${table}.rows`;
        if (this.catalog.has(`relation ${table}`) && !this.written.has(key)) {
          const [{ found }] = await database.query(`SELECT EXISTS (SELECT 1 FROM ${quoted(table)} WHERE ${newer})::text AS found`);
          this.written.set(key, found === "true");
        }
      }
      for (const { key } of statement.effects) {
        const [, table, row] = /^relation (.+?)\.row\.(.*)$/s.exec(key) ?? [];
        if (table === undefined || !this.catalog.has(`relation ${table}`)) continue;
        const [found] = await database.query(`SELECT (${newer})::text AS new FROM ${quoted(table)} WHERE id::text = ${literal(row)}`);
        this.rows.set(key, found ? (found.new === "true" ? "new" : "former") : "missing");
      }
    }
  }
}

/** Adds what only the rows show: a row that is inserted after a deletion, and statements that have written nothing. */
function considerRows(transactions, schema) {
  for (const statements of transactions) {
    const emptied = new Set();
    for (const statement of statements) {
      const writes = statement.writes ?? [];
      if (statement.repeatable && !statement.effects.length) writes.forEach((table) => emptied.add(`relation ${table}.row`));
      for (const effect of statement.effects) {
        if ([...emptied].some((prefix) => effect.key.startsWith(`${prefix}.`))) Object.assign(effect, { needs: undefined, follows: true });
      }
      if (!writes.length) continue;
      if (statement.inserts) statement.effects.push({ key: `relation ${writes[0]}.rows`, leaves: "exists" });
      const untouched = writes.every((table) => schema.written.get(`relation ${table}.rows`) === false);
      if (untouched && !statement.repeatable) {
        Object.assign(statement, { repeatable: !statement.inserts, note: `no row of ${writes.join(", ")} was written since it began` });
      }
    }
  }
}

/** The message of Prisma's log without details, which may contain rows. */
function errorOf(logs) {
  if (!logs?.trim()) return undefined;
  const code = /Database error code: (\w+)/.exec(logs)?.[1];
  const message = /ERROR: ([^\n]*)/.exec(logs)?.[1] ?? logs.trim().split("\n")[0];
  return [code, message].filter(Boolean).join(" ");
}

async function lookAt(database, env) {
  const [{ migrated }] = await database.query("SELECT (to_regclass('_prisma_migrations') IS NOT NULL)::text AS migrated");
  const unfinished = migrated === "true" ? await database.query(UNFINISHED) : [];
  if (!unfinished.length) return { migration: null };
  const { name, checksum } = unfinished[0];
  const rows = unfinished.filter((row) => row.name === name);
  const error = rows.map(({ logs }) => errorOf(logs)).findLast(Boolean);
  const found = { migration: name, ...(error ? { error } : {}), ids: rows.map(({ id }) => id) };
  const [{ free }] = await database.query(`SELECT (count(*) = 0)::text AS free FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objid = ${LOCK} AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`);
  const refused = (refusal) => ({ ...found, statements: [], refusal });
  if (free !== "true") return refused("the server still runs a migration: Prisma's lock is held. Wait until it has ended");
  const file = path.join(env.RELEASE_DIR, "postgres", name, "migration.sql");
  if (!fs.existsSync(file)) return refused("this release does not contain the migration; set langfuse:version to the release that began it");
  const script = fs.readFileSync(file);
  const digest = createHash("sha256").update(script).digest("hex");
  if (rows.some((row) => row.checksum !== digest)) {
    return refused("this release has another text of the migration; set langfuse:version to the release that began it");
  }
  const attempt = { id: rows.at(-1).id, error, steps: Math.max(...rows.map(({ steps }) => Number(steps))) };
  return { ...found, checksum, ...(await planned(database, script.toString(), attempt, env)) };
}

async function planned(database, text, { id, error, steps }, env) {
  const transactions = postgres(text);
  if (steps > 0) {
    // Prisma counts the step when the server has committed it.
    const statements = transactions.flat().map(({ sql }) => ({ sql, effect: "applied", why: "Prisma has counted it" }));
    return { statements, repair: "finish", remaining: [], cleanup: [] };
  }
  const schema = new Schema(await database.query(CATALOG));
  await schema.look(database, transactions.flat(), id);
  considerRows(transactions, schema);
  const most = transactions.length - (error ? 1 : 0);
  const result = plan(transactions, schema, { most, assume: env.ASSUME || undefined });
  const created = transactions.flat().flatMap(({ effects }) => effects.filter(({ leaves, key }) => leaves === "exists" && schema.catalog.get(key) === false));
  const cleanup = created.map(({ key }) => `DROP INDEX IF EXISTS ${quoted(key.slice("index ".length))}`);
  if (result.remaining?.some(({ concurrently }) => concurrently)) {
    return { statements: result.statements, refusal: "its other statements can't run in a transaction" };
  }
  return { ...result, cleanup };
}

async function repair(database, found) {
  const { migration, ids, checksum } = found;
  await database.transaction(async (transaction) => {
    await transaction.run(`SET LOCAL lock_timeout = '${LOCK_TIMEOUT}'`);
    const [{ free }] = await transaction.query(`SELECT pg_try_advisory_xact_lock(${LOCK})::text AS free`);
    if (free !== "true") throw new Problem("a migration has started meanwhile; nothing was changed");
    for (const sql of [...found.cleanup, ...found.remaining.map((one) => one.sql)]) await transaction.run(sql);
    const [{ rows }] = await transaction.query(`WITH ours AS (
        UPDATE _prisma_migrations SET rolled_back_at = now() WHERE id IN (${ids.map(literal).join(", ")})
          AND finished_at IS NULL AND rolled_back_at IS NULL RETURNING 1
      ) SELECT count(*)::text AS rows FROM ours`);
    if (Number(rows) !== ids.length) throw new Problem("somebody has repaired it meanwhile; nothing was changed");
    if (found.repair === "rerun") return;
    await transaction.run(`INSERT INTO _prisma_migrations (id, checksum, logs, started_at, finished_at, migration_name)
      VALUES (${literal(randomUUID())}, ${literal(checksum)}, '', now(), now(), ${literal(migration)})`);
  }, COMMIT_MILLISECONDS);
}

const withDatabase = (env, use) => connected(env.DIRECT_URL || env.DATABASE_URL, use);

module.exports = {
  look: (env) => withDatabase(env, (database) => lookAt(database, env)),
  repair: (env, found) => withDatabase(env, (database) => repair(database, found)),
};
