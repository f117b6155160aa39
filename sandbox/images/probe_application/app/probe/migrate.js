"use strict";
// Migrates Postgres as `prisma migrate deploy` does, and ClickHouse as golang-migrate does: the same tables, locks and
// refusals, so that the checks and repairs of the stack apply. web/entrypoint.sh runs it.
//
// Usage: node migrate.js cleanup FILE | postgres FOLDER | clickhouse FOLDER

const { createHash, randomUUID } = require("node:crypto");
const fs = require("node:fs");
const net = require("node:net");
const path = require("node:path");
const { Client } = require("pg");
const { reason } = require("./log");
const { postgresOptions } = require("./options");

/** The key of Prisma's advisory lock, and how long Prisma waits for it (prisma-engines, sql-schema-connector). */
const LOCK = 72707369;
const LOCK_MILLISECONDS = 10_000;

const QUERY_MILLISECONDS = 300_000;

// prisma-engines, schema-engine/ARCHITECTURE.md: the _prisma_migrations table
const MIGRATIONS_TABLE = `CREATE TABLE _prisma_migrations (
  id                  VARCHAR(36) PRIMARY KEY NOT NULL,
  checksum            VARCHAR(64) NOT NULL,
  finished_at         TIMESTAMPTZ,
  migration_name      VARCHAR(255) NOT NULL,
  logs                TEXT,
  rolled_back_at      TIMESTAMPTZ,
  started_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
  applied_steps_count INTEGER NOT NULL DEFAULT 0
)`;

/** A migration was refused or failed. The message has Prisma's or golang-migrate's words. */
class MigrationError extends Error {}

const say = (message) => process.stdout.write(`probe application: ${message}\n`);

async function withPostgres(url, use) {
  const client = new Client(postgresOptions(url));
  client.on("error", () => {}); // the query that is running fails too
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end().catch(() => {});
  }
}

/** Runs a file of statements, as `prisma db execute` does. */
function cleanUp(url, file) {
  return withPostgres(url, (client) => client.query(fs.readFileSync(file, "utf8")));
}

function postgresMigrations(folder) {
  const names = fs.readdirSync(folder).filter((name) => fs.existsSync(path.join(folder, name, "migration.sql")));
  return names.sort().map((name) => {
    const script = fs.readFileSync(path.join(folder, name, "migration.sql"));
    return { name, script: script.toString(), checksum: createHash("sha256").update(script).digest("hex") };
  });
}

/** Applies the migrations that are not yet recorded. Another migrator is waited for, as Prisma does. */
function migratePostgres(url, folder) {
  return withPostgres(url, async (client) => {
    await client.query(`SET lock_timeout = ${LOCK_MILLISECONDS}`);
    await client.query(`SELECT pg_advisory_lock(${LOCK})`).catch((error) => {
      throw new MigrationError(`P1002: timed out trying to acquire a postgres advisory lock (${reason(error)})`);
    });
    await client.query("SET lock_timeout = 0");
    const applied = await appliedMigrations(client);
    const pending = postgresMigrations(folder).filter(({ name }) => !applied.has(name));
    for (const migration of pending) await applyToPostgres(client, migration);
    say(pending.length ? `applied ${pending.length} migrations to Postgres` : "no pending migrations for Postgres");
  });
}

async function appliedMigrations(client) {
  const { rows: tables } = await client.query(
    `SELECT table_name FROM information_schema.tables
     WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'`,
  );
  if (!tables.some((table) => table.table_name === "_prisma_migrations")) {
    if (tables.length) throw new MigrationError("P3005: the database schema is not empty");
    await client.query(MIGRATIONS_TABLE);
  }
  const { rows } = await client.query("SELECT * FROM _prisma_migrations WHERE rolled_back_at IS NULL");
  const failed = rows.filter((row) => row.finished_at === null).map((row) => row.migration_name);
  if (failed.length) {
    throw new MigrationError(`P3009: found failed migrations, new ones will not be applied: ${failed.join(", ")}`);
  }
  return new Set(rows.map((row) => row.migration_name));
}

async function applyToPostgres(client, { name, script, checksum }) {
  const id = randomUUID();
  await client.query("INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ($1, $2, $3)", [
    id,
    checksum,
    name,
  ]);
  try {
    await client.query(script);
  } catch (error) {
    await client.query("UPDATE _prisma_migrations SET logs = $2 WHERE id = $1", [id, reason(error)]);
    throw new MigrationError(`P3018: the migration ${name} failed to apply: ${reason(error)}`);
  }
  await client.query(
    "UPDATE _prisma_migrations SET finished_at = now(), applied_steps_count = applied_steps_count + 1 WHERE id = $1",
    [id],
  );
}

function clickhouseMigrations(folder) {
  const files = fs.readdirSync(folder).filter((name) => name.endsWith(".up.sql"));
  return files.sort().map((name) => ({
    version: Number(name.split("_")[0]),
    statements: fs
      .readFileSync(path.join(folder, name), "utf8")
      .split(";")
      .filter((each) => each.trim()),
  }));
}

/**
 * Applies the migrations after the recorded version. It records a version as dirty before it runs its statements.
 *
 * @param query Runs a statement, and returns the rows of one that has rows.
 * @param cluster Whether the tables are replicated, in the cluster `default`.
 */
async function migrateClickhouse(query, folder, { cluster }) {
  // golang-migrate, database/clickhouse/clickhouse.go: ensureVersionTable, Version and SetVersion
  await query(
    `CREATE TABLE IF NOT EXISTS schema_migrations ${cluster ? "ON CLUSTER default " : ""}(
       version Int64, dirty UInt8, sequence UInt64
     ) ENGINE = ${cluster ? "ReplicatedMergeTree" : "MergeTree"} ORDER BY sequence`,
  );
  const [last] = await query("SELECT version, dirty FROM schema_migrations ORDER BY sequence DESC LIMIT 1");
  const current = Number(last?.version ?? -1);
  if (Number(last?.dirty)) throw new MigrationError(`Dirty database version ${current}. Fix and force version.`);
  const migrations = clickhouseMigrations(folder);
  if (current >= 0 && !migrations.some(({ version }) => version === current)) {
    throw new MigrationError(`no migration found for version ${current}`);
  }
  let sequence = BigInt(Date.now()) * 1_000_000n; // nanoseconds
  const record = (version, dirty) =>
    query(`INSERT INTO schema_migrations (version, dirty, sequence) VALUES (${version}, ${dirty}, ${sequence++})`);
  const pending = migrations.filter(({ version }) => version > current);
  for (const { version, statements } of pending) {
    await record(version, 1);
    for (const statement of statements) await query(statement);
    await record(version, 0);
  }
  say(pending.length ? `applied ${pending.length} migrations to ClickHouse` : "no change of ClickHouse");
}

/**
 * Runs a statement at the port of the native protocol, and returns its rows. Policies let migrations reach no other
 * port of ClickHouse. The protocol is that of the sandbox's ClickHouse: a request and an answer, each a line of JSON,
 * and then the rows (sandbox/images/clickhouse/programs/native.py).
 */
async function queryClickhouse(env, statement) {
  const { hostname, port } = new URL(env.CLICKHOUSE_MIGRATION_URL.replace(/^\w+:/, "http:"));
  const socket = net.connect({ host: hostname, port: Number(port), timeout: QUERY_MILLISECONDS });
  socket.on("timeout", () => socket.destroy(new Error(`ClickHouse did not answer within ${QUERY_MILLISECONDS} ms`)));
  const request = {
    user: env.CLICKHOUSE_USER,
    password: env.CLICKHOUSE_PASSWORD,
    database: env.CLICKHOUSE_DB || "default",
    query: statement,
    format: "JSONEachRow",
  };
  socket.write(`${JSON.stringify(request)}\n`);
  let received = Buffer.alloc(0);
  for await (const chunk of socket) {
    received = Buffer.concat([received, chunk]);
    const end = received.indexOf("\n");
    const answer = end < 0 ? null : JSON.parse(received.subarray(0, end));
    if (answer?.error) throw new MigrationError(answer.error);
    const rows = received.subarray(end + 1);
    if (answer && rows.length >= answer.bytes) {
      return rows
        .toString()
        .split("\n")
        .filter(Boolean)
        .map((row) => JSON.parse(row));
    }
  }
  throw new MigrationError("ClickHouse closed the connection");
}

async function runClickhouse(env, folder) {
  for (const name of ["CLICKHOUSE_MIGRATION_URL", "CLICKHOUSE_USER", "CLICKHOUSE_PASSWORD"]) {
    if (!env[name]) throw new MigrationError(`${name} is not set`);
  }
  const cluster = env.CLICKHOUSE_CLUSTER_ENABLED !== "false";
  await migrateClickhouse((statement) => queryClickhouse(env, statement), folder, { cluster });
}

async function main([command, target]) {
  const commands = {
    cleanup: () => cleanUp(process.env.DIRECT_URL, target),
    postgres: () => migratePostgres(process.env.DIRECT_URL, target),
    clickhouse: () => runClickhouse(process.env, target),
  };
  try {
    await commands[command]();
  } catch (error) {
    process.stderr.write(`probe application: migrate ${command}: ${reason(error)}\n`);
    process.exitCode = 1;
  }
}

main(process.argv.slice(2));
