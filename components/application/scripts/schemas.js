"use strict";
// What the running databases say about their schemas, read with Langfuse's own clients.

const { ClickHouse } = require("./check-clickhouse.js");
const { connected } = require("./check-postgres.js");

/** {finished: [name], unfinished: [name]} of Prisma's migrations; null without a schema. */
async function postgresSchema(env) {
  return connected(env.DIRECT_URL, async (database) => {
    const [{ found }] = await database.query("SELECT to_regclass('_prisma_migrations')::text AS found");
    if (found === null) return null;
    const rows = await database.query(
      `SELECT DISTINCT migration_name AS name, (finished_at IS NOT NULL)::text AS finished FROM _prisma_migrations
       WHERE rolled_back_at IS NULL ORDER BY migration_name`,
    );
    const names = (finished) => rows.filter((row) => row.finished === finished).map((row) => row.name);
    return { finished: names("true"), unfinished: names("false") };
  });
}

/** {version, dirty} of golang-migrate, which appends a row before and after each migration; null without a schema. */
async function clickhouseSchema(env) {
  const clickhouse = new ClickHouse(env);
  try {
    const [{ found }] = await clickhouse.rows(
      "SELECT toString(count()) AS found FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations'",
    );
    if (found === "0") return null;
    const [row] = await clickhouse.rows(
      "SELECT toString(version) AS version, toString(dirty) AS dirty FROM schema_migrations ORDER BY sequence DESC LIMIT 1",
    );
    return row ? { version: Number(row.version), dirty: row.dirty !== "0" } : null;
  } finally {
    await clickhouse.client.close().catch(() => {});
  }
}

module.exports = { clickhouseSchema, postgresSchema };
