"use strict";
// ClickHouse by HTTP: connection, settings, and the statements of the migrations and of web and worker.
//
// Sources: packages/shared/src/server/clickhouse/client.ts, packages/shared/clickhouse/migrations, and "User
// permissions" in langfuse.com/self-hosting/deployment/infrastructure/clickhouse. check-clickhouse-schema.sh checks the
// native protocol and the release.

const { randomBytes } = require("node:crypto");
const { Problem, load, reason } = require("./store-results.js");

const PREFIX = "langfuse_check_stores_";
const CLUSTER_SECONDS = 30;

/** System tables that Langfuse's background jobs read, and its v4 migration. */
const SYSTEM_TABLES = ["columns", "mutations", "parts", "processes", "replicas", "tables"];

/** What ends a password in the query of a URL: the migrations paste it there (packages/shared/clickhouse/scripts/up.sh). */
const BREAKS_URL = /[\s&#%+]/;

/** Milliseconds that a request of a check may take. */
const REQUEST_MILLISECONDS = 45_000;

class ClickHouse {
  constructor(env, requestMilliseconds = REQUEST_MILLISECONDS) {
    this.env = env;
    this.clustered = env.CLICKHOUSE_CLUSTER_ENABLED !== "false";
    this.cluster = env.CLICKHOUSE_CLUSTER_NAME || "default";
    this.on = this.clustered ? `ON CLUSTER ${this.cluster}` : "";
    this.table = PREFIX + randomBytes(6).toString("hex");
    this.client = load("@clickhouse/client").createClient({
      url: env.CLICKHOUSE_URL,
      username: env.CLICKHOUSE_USER,
      password: env.CLICKHOUSE_PASSWORD,
      database: env.CLICKHOUSE_DB || "default",
      request_timeout: requestMilliseconds,
      log: { level: 127 }, // off: it would print statements and their errors a second time
    });
  }

  async rows(query, settings = {}) {
    const answer = await this.client.query({ query, format: "JSONEachRow", clickhouse_settings: settings });
    return answer.json();
  }

  /** Runs a statement without rows. On a cluster it waits for every replica, and names the ones that failed. */
  async run(statement) {
    const settings = this.clustered ? { distributed_ddl_task_timeout: CLUSTER_SECONDS } : {};
    await this.client.command({ query: statement, clickhouse_settings: settings });
  }

  checkPassword() {
    if (!BREAKS_URL.test(this.env.CLICKHOUSE_PASSWORD ?? "")) return;
    throw new Problem(
      "the password has a character with a meaning in a URL, into which the migrations paste it",
      "use a password of letters and digits (langfuse:credentials.values.clickhousePassword)",
    );
  }

  async settings() {
    const [row] = await this.rows(
      "SELECT toString(getSetting('readonly')) AS readonly, timezone() AS zone, version() AS version",
    );
    if (row.readonly !== "0") {
      throw new Problem(
        `the user's profile sets readonly to ${row.readonly}`,
        "remove it from the profile, or name another user in langfuse:clickhouse.username",
      );
    }
    if (!["UTC", "Etc/UTC"].includes(row.zone)) {
      throw new Problem(
        `the server's time zone is ${row.zone}; Langfuse returns wrong or no results then`,
        "set timezone to UTC in the server's configuration",
      );
    }
    return `ClickHouse ${row.version}, UTC`;
  }

  async define() {
    await this.removeLeftovers();
    const engine = this.clustered ? "ReplicatedReplacingMergeTree" : "ReplacingMergeTree";
    await this.run(`CREATE TABLE ${this.table} ${this.on} (id String, at DateTime64(3), version UInt8 DEFAULT 0)
      ENGINE = ${engine}(at, version) PARTITION BY toYYYYMM(at) ORDER BY id`);
    await this.run(`ALTER TABLE ${this.table} ${this.on} ADD COLUMN IF NOT EXISTS note Nullable(String)`);
    await this.run(
      `ALTER TABLE ${this.table} ${this.on} ADD INDEX IF NOT EXISTS by_note note TYPE bloom_filter GRANULARITY 1`,
    );
    await this.run(`CREATE VIEW ${this.table}_view ${this.on} AS SELECT id FROM ${this.table}`);
    return this.clustered
      ? "tables and views can be created and altered on every replica"
      : "tables and views can be created and altered";
  }

  async use() {
    await this.client.insert({
      table: this.table,
      values: [{ id: "one", at: "2026-01-01 00:00:00.000" }],
      format: "JSONEachRow",
      clickhouse_settings: { async_insert: 1, wait_for_async_insert: 1 },
    });
    // A load balancer may send the query to a replica that does not have the row yet.
    for (let left = 30; ; left--) {
      const [{ rows }] = await this.rows(`SELECT toString(count()) AS rows FROM ${this.table}_view`);
      if (rows === "1") break;
      if (!left) throw new Error(`${rows} rows instead of 1`);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    await this.run(`DELETE FROM ${this.table} WHERE id = 'one'`);
    return "rows can be written, read and deleted";
  }

  async remove() {
    await this.run(`DROP VIEW IF EXISTS ${this.table}_view ${this.on} SYNC`);
    await this.run(`DROP TABLE IF EXISTS ${this.table} ${this.on} SYNC`);
    return "tables can be dropped";
  }

  /** A check that was killed leaves its table. */
  async removeLeftovers() {
    const found = await this.rows(`SELECT name, engine FROM system.tables WHERE database = currentDatabase()
      AND startsWith(name, '${PREFIX}') AND metadata_modification_time < now() - 3600 ORDER BY engine = 'View' DESC`);
    for (const { name, engine } of found) {
      await this.run(`DROP ${engine === "View" ? "VIEW" : "TABLE"} IF EXISTS ${name} ${this.on} SYNC`);
    }
  }

  async systemTables() {
    for (const table of SYSTEM_TABLES) await this.rows(`SELECT 1 FROM system.${table} LIMIT 1`);
    if (!this.clustered) return "system tables can be read";
    // A cluster that does not exist is reported by the definitions.
    await this.rows(`SELECT count() FROM clusterAllReplicas('${this.cluster}', system.processes)`).catch((error) => {
      if (!/CLUSTER_DOESNT_EXIST|Requested cluster/.test(reason(error))) throw error;
    });
    return "system tables can be read, also of other replicas";
  }

  async replicas() {
    const rows = await this.rows(
      "SELECT cluster, toString(uniq(host_name, port)) AS hosts FROM system.clusters GROUP BY cluster",
    );
    const hosts = Number(rows.find(({ cluster }) => cluster === this.cluster)?.hosts ?? 1);
    if (!this.clustered && hosts > 1) {
      throw new Problem(
        `the server is one of ${hosts} in the cluster default, and tables would exist on one of them only`,
        "set langfuse:clickhouse.clustered to true before the first deployment",
      );
    }
    return hosts > 1 ? `${hosts} servers in the cluster` : "one server";
  }
}

function explain(error, user) {
  const text = reason(error);
  const needed = /grant (.+?)(?: for table| to |\.? ?\(|$)/i.exec(text)?.[1] ?? "the missing privilege";
  const known = [
    [
      /AUTHENTICATION_FAILED|\b516\b/,
      "correct langfuse:credentials.values.clickhousePassword, or langfuse:clickhouse.username",
    ],
    [
      /SHOW DATABASES ON|UNKNOWN_DATABASE|Database .* does not exist/,
      "create the database, or correct langfuse:clickhouse.database",
    ],
    [
      /ACCESS_DENIED|Not enough privileges/,
      `run on the server: GRANT ${needed} TO ${user}; or name another user in langfuse:clickhouse.username`,
    ],
    [
      /CLUSTER_DOESNT_EXIST|Requested cluster/,
      "name the cluster `default` on the server, or set langfuse:clickhouse.clustered to false",
    ],
    [
      /NO_ZOOKEEPER|KEEPER_EXCEPTION|ZooKeeper|Can't create replicated table/i,
      "connect the server to Keeper, or set langfuse:clickhouse.clustered to false",
    ],
    [
      /NO_ELEMENTS_IN_CONFIG|Macro/i,
      "define the macros shard and replica on every server, or set langfuse:clickhouse.clustered to false",
    ],
    [
      /READONLY\b/,
      "remove readonly from the profile of the user, or name another user in langfuse:clickhouse.username",
    ],
    [/TIMEOUT_EXCEEDED|UNFINISHED/, "check that every replica of the cluster runs, and that Keeper answers"],
    [
      /SUPPORT_IS_DISABLED|UNKNOWN_SETTING|SYNTAX_ERROR|CANNOT_PARSE/,
      "use a release that Langfuse supports (langfuse:clickhouse.version)",
    ],
  ];
  const fix = known.find(([pattern]) => pattern.test(text))?.[1];
  return fix ? new Problem(text, fix) : undefined;
}

module.exports = async function check(env, results) {
  const clickhouse = new ClickHouse(env);
  const why = (error) => explain(error, env.CLICKHOUSE_USER);
  try {
    results.check = "password";
    clickhouse.checkPassword();
    await results.step("connection", () => clickhouse.settings(), why);
    await results.separately("replicas", () => clickhouse.replicas(), why);
    await results.separately("system tables", () => clickhouse.systemTables(), why);
    if (await results.separately("definitions", () => clickhouse.define(), why)) {
      await results.separately("rows", () => clickhouse.use(), why);
    }
    await results.separately("removal", () => clickhouse.remove(), why);
  } finally {
    await clickhouse.client.close().catch(() => {});
  }
};

module.exports.explain = explain;
module.exports.ClickHouse = ClickHouse;
