"use strict";
// Postgres, with Prisma's engine: connection, release, and the rights that the migrations need.
//
// The migrations create tables, types, indexes and views in the schema of the URL, and no extension
// (packages/shared/prisma/migrations). `prisma migrate deploy` needs no shadow database.

const fs = require("node:fs");
const { Problem, load, reason, tlsFault } = require("./store-results.js");

/** What ends a password in a URL: Langfuse pastes it there as it is (web/entrypoint.sh). */
const BREAKS_URL = /[\s/?#%[\]\\]/;

/** Created in a transaction that is rolled back: what is left in an empty database would stop Prisma (P3005). */
const DEFINITIONS = [
  "CREATE TYPE langfuse_check_stores_kind AS ENUM ('one')",
  "CREATE TABLE langfuse_check_stores (id text PRIMARY KEY, kind langfuse_check_stores_kind, at timestamp DEFAULT now())",
  "CREATE UNIQUE INDEX langfuse_check_stores_at ON langfuse_check_stores (at)",
  "ALTER TABLE langfuse_check_stores ADD COLUMN note jsonb",
  "CREATE VIEW langfuse_check_stores_view AS SELECT id FROM langfuse_check_stores",
  "INSERT INTO langfuse_check_stores (id, note) VALUES ('one', '{}')",
];

class RolledBack extends Error {}

/** Runs statements with Prisma's engine, as Langfuse does. */
class Prisma {
  constructor(url, { PrismaClient }) {
    this.client = new PrismaClient({ datasourceUrl: url, log: [] });
  }

  query(statement) {
    return this.client.$queryRawUnsafe(statement);
  }

  /** Runs statements in one transaction, each with `run` or, if it has rows, with `query`. */
  transaction(use, timeout = 30_000) {
    const used = (client) =>
      use({ run: (text) => client.$executeRawUnsafe(text), query: (text) => client.$queryRawUnsafe(text) });
    return this.client.$transaction(used, { timeout });
  }

  close() {
    return this.client.$disconnect();
  }
}

/** Runs statements with `pg`, where an image has no Prisma. */
class Pg {
  constructor(address, { Client }) {
    const url = new URL(address);
    const parameter = (name) => url.searchParams.get(name);
    const certificate = parameter("sslcert");
    const tls = {
      rejectUnauthorized: parameter("sslaccept") === "strict",
      ...(certificate ? { ca: fs.readFileSync(certificate) } : {}),
    };
    this.client = new Client({
      host: url.hostname,
      port: Number(url.port || 5432),
      user: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
      database: decodeURIComponent(url.pathname.slice(1)),
      ssl: ["disable", null].includes(parameter("sslmode")) ? false : tls,
      connectionTimeoutMillis: 5000,
    });
    this.client.on("error", () => {}); // the query that runs fails too
  }

  async query(statement) {
    this.connected ??= this.client.connect();
    await this.connected;
    return (await this.client.query(statement)).rows;
  }

  async transaction(use) {
    const query = (text) => this.query(text);
    await query("BEGIN");
    try {
      const result = await use({ run: query, query });
      await query("COMMIT");
      return result;
    } catch (error) {
      await query("ROLLBACK").catch(() => {}); // the connection may be lost
      throw error;
    }
  }

  close() {
    return this.client.end();
  }
}

async function rolledBack(database, statements) {
  const run = async (transaction) => {
    for (const statement of statements) await transaction.run(statement);
    throw new RolledBack();
  };
  await database.transaction(run).catch((error) => {
    if (!(error instanceof RolledBack)) throw error;
  });
}

function connection(url) {
  let prisma;
  try {
    prisma = load("@prisma/client");
  } catch {
    return new Pg(url, load("pg"));
  }
  return new Prisma(url, prisma);
}

function explain(error) {
  const text = reason(error);
  const known = [
    [
      /no pg_hba.conf entry/i,
      "allow the connection in pg_hba.conf of the server, or set langfuse:postgres.tls to require or verify",
    ],
    [
      /P1000|28P01|28000|password authentication failed/i,
      "correct langfuse:credentials.values.postgresPassword, or langfuse:postgres.username",
    ],
    [/P1003|3D000|database .* does not exist/i, "create the database, or correct langfuse:postgres.database"],
    [
      /P1010|42501|permission denied/i,
      "make the role the owner of the database: ALTER DATABASE ... OWNER TO ...; or name another role in langfuse:postgres.username",
    ],
    [/25006|read-only transaction/i, "set langfuse:postgres.host to the primary"],
    [/53300|too many (connections|clients)/i, "raise max_connections on the server"],
    [/prepared statement/i, "set langfuse:postgres.pooler to true"],
    [/P1011/, "check langfuse:postgres.tls and langfuse:postgres.ca"],
  ];
  const fix = known.find(([pattern]) => pattern.test(text))?.[1];
  return fix && tlsFault(error) === undefined ? new Problem(text, fix) : undefined;
}

async function release(database, env) {
  const [row] = await database.query(
    `SELECT current_setting('server_version') AS release, current_setting('server_version_num') AS number,
            current_setting('TimeZone') AS zone, current_setting('server_encoding') AS encoding`,
  );
  const least = Number(env.MINIMUM_POSTGRES);
  if (Number(row.number) < least * 10_000) {
    throw new Problem(
      `Postgres ${row.release} is too old for Langfuse ${env.LANGFUSE_VERSION}`,
      `use Postgres ${least} or newer (langfuse:postgres.host)`,
    );
  }
  if (row.encoding !== "UTF8") {
    throw new Problem(
      `the database has the encoding ${row.encoding}`,
      "create a database with the encoding UTF8, and set langfuse:postgres.database",
    );
  }
  return row;
}

function checkPassword(password) {
  if (!BREAKS_URL.test(password)) return;
  throw new Problem(
    "the password has a character with a meaning in a URL, into which Langfuse pastes it",
    "use a password of letters and digits (langfuse:credentials.values.postgresPassword)",
  );
}

/** What is in the schema already, and whose it is. */
async function checkTables(database) {
  const [row] = await database.query(
    `SELECT current_schema()::text AS schema, count(*)::text AS tables,
            count(*) FILTER (WHERE tablename = '_prisma_migrations')::text AS migrated,
            count(*) FILTER (WHERE NOT pg_has_role(current_user, tableowner, 'USAGE'))::text AS others,
            min(tableowner) FILTER (WHERE NOT pg_has_role(current_user, tableowner, 'USAGE'))::text AS owner
     FROM pg_tables WHERE schemaname = current_schema()`,
  );
  if (row.schema === null) {
    throw new Problem(
      "the role has no schema that it may use",
      "GRANT USAGE, CREATE ON SCHEMA public to the role, or name another one in langfuse:postgres.username",
    );
  }
  if (row.others !== "0") {
    throw new Problem(
      `${row.others} tables belong to ${row.owner}, and only their owner may alter them`,
      `run on the server: REASSIGN OWNED BY ${row.owner} TO the role, or name ${row.owner} in langfuse:postgres.username`,
    );
  }
  if (row.tables !== "0" && row.migrated === "0") {
    throw new Problem(
      `schema ${row.schema} has ${row.tables} tables of another application (Prisma: P3005)`,
      "set langfuse:postgres.database to an empty database",
    );
  }
  return row.tables === "0" ? `schema ${row.schema} is empty` : `schema ${row.schema} has ${row.tables} tables`;
}

async function checkDefinitions(database) {
  const [row] = await database.query("SELECT pg_is_in_recovery()::text AS replica");
  if (row.replica === "true")
    throw new Problem("the server is a read-only replica", "set langfuse:postgres.host to the primary");
  await rolledBack(database, DEFINITIONS);
  return "tables, types, indexes and views can be created";
}

async function connected(url, use) {
  const database = connection(url);
  try {
    return await use(database);
  } finally {
    await database.close().catch(() => {});
  }
}

module.exports = async function check(env, results) {
  const direct = env.DIRECT_URL || env.DATABASE_URL;
  // First: a client could take a part of the password for a host or a port, and show it.
  results.check = "password";
  checkPassword(env.DATABASE_PASSWORD ?? "");
  await connected(env.DATABASE_URL, async (database) => {
    const shown = async () => {
      const row = await release(database, env);
      results.zone = row.zone;
      return `Postgres ${row.release}`;
    };
    await results.step("connection", shown, explain);
  });
  if (!/^(Etc\/)?(UTC|GMT|Universal|Zulu)$/i.test(results.zone)) {
    results.warn(
      "time zone",
      `the time zone is ${results.zone}; Langfuse supports UTC only`,
      "run on the server: ALTER ROLE ... SET timezone TO 'UTC'",
    );
  }
  await connected(direct, async (database) => {
    if (direct !== env.DATABASE_URL) {
      await results.step(
        "connection for migrations",
        async () => `Postgres ${(await release(database, env)).release}`,
        explain,
      );
    }
    await results.separately("tables", () => checkTables(database), explain);
    await results.separately("definitions", () => checkDefinitions(database), explain);
  });
};

module.exports.connected = connected;
module.exports.explain = explain;
