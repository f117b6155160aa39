"use strict";
// What the running databases say about their schemas, read with Langfuse's own clients.

const { ClickHouse } = require("./check-clickhouse.js");
const { connected } = require("./check-postgres.js");

/** {finished: [name], unfinished: [name]} of Prisma's migrations; null without a schema. */
async function postgresSchema(env) {
  return connected(env.DIRECT_URL, async (database) => {
    if (!(await hasTable(database, "_prisma_migrations"))) return null;
    const rows = await database.query(
      `SELECT DISTINCT migration_name AS name, (finished_at IS NOT NULL)::text AS finished FROM _prisma_migrations
       WHERE rolled_back_at IS NULL ORDER BY migration_name`,
    );
    const names = (finished) => rows.filter((row) => row.finished === finished).map((row) => row.name);
    return { finished: names("true"), unfinished: names("false") };
  });
}

/** Rows of background_migrations: {name, finished, failed}, in the order in which workers do them. */
async function backgroundMigrations(env) {
  return connected(env.DIRECT_URL, async (database) => {
    if (!(await hasTable(database, "background_migrations"))) return [];
    const rows = await database.query(
      `SELECT name, (finished_at IS NOT NULL)::text AS finished,
              CASE WHEN failed_at IS NOT NULL THEN COALESCE(left(failed_reason, 200), 'unknown') END AS failed
       FROM background_migrations ORDER BY name`,
    );
    return rows.map((row) => ({ ...row, finished: row.finished === "true" }));
  });
}

async function hasTable(database, name) {
  const [{ found }] = await database.query(`SELECT to_regclass('${name}')::text AS found`);
  return found !== null;
}

/** Runs queries of ClickHouse. */
async function ofClickHouse(env, use) {
  const clickhouse = new ClickHouse(env);
  try {
    return await use(clickhouse);
  } finally {
    await clickhouse.client.close().catch(() => {});
  }
}

/** {version, dirty} of golang-migrate, which appends a row before and after each migration; null without a schema. */
async function clickhouseSchema(env) {
  return ofClickHouse(env, async (clickhouse) => {
    const [{ found }] = await clickhouse.rows(
      "SELECT toString(count()) AS found FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations'",
    );
    if (found === "0") return null;
    const [row] = await clickhouse.rows(
      "SELECT toString(version) AS version, toString(dirty) AS dirty FROM schema_migrations ORDER BY sequence DESC LIMIT 1",
    );
    return row ? { version: Number(row.version), dirty: row.dirty !== "0" } : null;
  });
}

/** {postgres, clickhouse}: whether the databases have traces. Version 2 had them in Postgres. */
async function traces(env) {
  const postgres = await connected(env.DIRECT_URL, async (database) => {
    if (!(await hasTable(database, "traces"))) return false;
    return (await database.query("SELECT 1 AS one FROM traces LIMIT 1")).length > 0;
  });
  const clickhouse = await ofClickHouse(env, async (server) => {
    const [{ rows }] = await server.rows(
      `SELECT toString(sum(rows)) AS rows FROM system.parts WHERE active AND database = currentDatabase()
       AND table IN ('traces', 'observations', 'scores', 'event_log')`,
    );
    return rows !== "0";
  });
  return { postgres, clickhouse };
}

module.exports = { backgroundMigrations, clickhouseSchema, postgresSchema, traces };
