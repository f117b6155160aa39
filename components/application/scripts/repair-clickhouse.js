"use strict";
// The half-applied migration of ClickHouse: what golang-migrate recorded of it, what all replicas show, and its repair.
//
// golang-migrate appends a row before and after each migration (database/clickhouse/clickhouse.go, SetVersion), and takes
// no lock on the server.

const fs = require("node:fs");
const path = require("node:path");
const { Problem, load } = require("./store-results.js");
const { oneLine, plan } = require("./migration-repair.js");
const { clickhouse } = require("./migration-statements.js");

/** How long a statement may take on all replicas. */
const STATEMENT_SECONDS = 3 * 3600;

/** How long a replica may take to fetch a record. */
const RECORD_SECONDS = 60;

/** How far the clocks of the server and of the migrator may be apart. */
const SKEW_SECONDS = 300;

/** golang-migrate's version of a database without migrations (database/driver.go, NilVersion). */
const NONE = -1;

const literal = (text) => `'${text.replace(/[\\']/g, "\\$&")}'`;

class ClickHouse {
  constructor(env) {
    this.clustered = env.CLICKHOUSE_CLUSTER_ENABLED !== "false";
    this.cluster = env.CLICKHOUSE_CLUSTER_NAME || "default";
    this.database = env.CLICKHOUSE_DB || "default";
    this.folder = path.join(env.RELEASE_DIR, "clickhouse", this.clustered ? "clustered" : "unclustered");
    this.client = load("@clickhouse/client").createClient({
      url: env.CLICKHOUSE_URL,
      username: env.CLICKHOUSE_USER,
      password: env.CLICKHOUSE_PASSWORD,
      database: this.database,
      request_timeout: STATEMENT_SECONDS * 1000,
      // Something between the pods could close a connection on which nothing is sent for long.
      clickhouse_settings: { send_progress_in_http_headers: 1, http_headers_progress_interval_ms: "50000" },
      log: { level: 127 }, // off: it would print statements and their errors a second time
    });
  }

  async rows(query) {
    const answer = await this.client.query({ query, format: "JSONEachRow" });
    return answer.json();
  }

  async run(query) {
    const settings = this.clustered ? { distributed_ddl_task_timeout: STATEMENT_SECONDS } : {};
    await this.client.command({ query, clickhouse_settings: settings });
  }

  /** A table of every replica. */
  all(table) {
    return this.clustered ? `clusterAllReplicas(${literal(this.cluster)}, ${table})` : table;
  }

  /** The last record of a migration: {version, dirty, sequence}; undefined if there is none. */
  async recorded() {
    const [{ found }] = await this.rows(`SELECT toString(count()) AS found FROM system.tables
      WHERE database = ${literal(this.database)} AND name = 'schema_migrations'`);
    if (found === "0") return undefined;
    const [row] = await this.rows(`SELECT toString(version) AS version, toString(dirty) AS dirty, toString(sequence) AS at
      FROM ${this.all(`${this.database}.schema_migrations`)} ORDER BY sequence DESC LIMIT 1`);
    return row && { version: Number(row.version), dirty: row.dirty !== "0", sequence: row.at };
  }

  migrations() {
    const files = fs.existsSync(this.folder) ? fs.readdirSync(this.folder) : [];
    const names = files.filter((name) => name.endsWith(".up.sql")).map((name) => name.slice(0, -".up.sql".length));
    return names.map((name) => ({ name, version: parseInt(name, 10) })).sort((one, other) => one.version - other.version);
  }

  /** Records a version as golang-migrate does, and waits until every replica has the record. */
  async record(version, former) {
    const [now, next] = [BigInt(Date.now()) * 1_000_000n, BigInt(former) + 1n];
    const sequence = now > next ? now : next; // a lower one, of a clock that is behind, would not be the last
    await this.run(`INSERT INTO schema_migrations (version, dirty, sequence) VALUES (${version}, 0, ${sequence})`);
    const lacking = `SELECT toString(count()) AS hosts FROM (SELECT DISTINCT hostName() AS host FROM ${this.all("system.tables")}) WHERE host NOT IN
      (SELECT hostName() FROM ${this.all(`${this.database}.schema_migrations`)} WHERE sequence = ${sequence})`;
    for (let left = RECORD_SECONDS; (await this.rows(lacking))[0].hosts !== "0"; left--) {
      if (!left) throw new Problem("it was repaired, but a replica has not fetched the record yet; look at system.replication_queue");
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }

  /** Statements that change a schema and still run, with those that another server has queued (DDLWorker.cpp). */
  running() {
    return this.rows(`SELECT hostName() AS host, toString(toUInt64(elapsed)) AS seconds, query FROM ${this.all("system.processes")}
      WHERE query_kind IN ('Create', 'Drop', 'Rename', 'Alter') AND NOT match(query, '(?i)\\\\b(DELETE|UPDATE)\\\\b')
        OR startsWith(query, '/* ddl_entry=') ORDER BY host`);
  }

  mutations(tables, sequence) {
    return this.rows(`SELECT table, command, latest_fail_reason AS reason, toString(is_done) AS done FROM ${this.all("system.mutations")}
      WHERE database = ${literal(this.database)} AND table IN (${tables.map(literal).join(", ")})
        AND toUnixTimestamp(create_time) >= intDiv(toUInt64(${sequence}), 1000000000) - ${SKEW_SECONDS}`);
  }

  async schema(statements, mutations) {
    const where = `WHERE database = ${literal(this.database)}`;
    const tables = await this.rows(`SELECT hostName() AS host, name, create_table_query AS definition, as_select AS query
      FROM ${this.all("system.tables")} ${where}`);
    const columns = await this.rows(`SELECT hostName() AS host, table, name, type FROM ${this.all("system.columns")} ${where}`);
    const effects = statements.flatMap((statement) => statement.effects);
    const types = await this.formatted(effects.map(({ type }) => type), (type) => `toTypeName(defaultValueOfTypeName(${literal(type)}))`);
    const queries = await this.formatted(effects.map(({ query }) => query), (query) => `formatQuerySingleLine(${literal(query)})`);
    return new Schema(this.database, { tables, columns, mutations, types, queries });
  }

  /** How the server writes types or queries. One that it can't format is missing. */
  async formatted(texts, expression) {
    const found = new Map();
    for (const text of new Set(texts.filter(Boolean))) {
      const [row] = await this.rows(`SELECT ${expression(text)} AS text`).catch(() => []);
      if (row) found.set(text, row.text);
    }
    return found;
  }
}

/** What the replicas show. What only some of them have is neither there nor absent. */
class Schema {
  constructor(database, { tables, columns, mutations, types, queries }) {
    this.prefix = new RegExp(`(?<![\\w.\`])\`?${database.replace(/[^\w]/g, "\\$&")}\`?\\.`, "g");
    this.hosts = [...new Set(tables.map(({ host }) => host))].sort();
    this.tables = new Map(tables.map((table) => [`${table.host} ${table.name}`, table]));
    this.columns = new Map(columns.map(({ host, table, name, type }) => [`${host} ${table}.column.${name}`, type]));
    this.mutations = mutations;
    this.types = types;
    this.queries = queries;
  }

  on(host, key) {
    const [table, kind, name] = key.split(".");
    if (kind === undefined) return this.tables.has(`${host} ${table}`);
    if (kind === "column") return this.columns.has(`${host} ${key}`);
    // The names of indexes follow their word (src/Parsers/ASTIndexDeclaration.cpp). Langfuse's user can't read
    // system.data_skipping_indices.
    const definition = this.tables.get(`${host} ${table}`)?.definition ?? "";
    return new RegExp(`[(,]\\s*${kind.toUpperCase()} \`?${name}\`?\\s`).test(definition);
  }

  exists(key) {
    const [table, kind, command] = key.split(".");
    if (kind === "mutation") {
      const same = this.mutations.some((one) => one.table === table && new RegExp(`\\b${command}\\b`).test(one.command));
      return same || undefined; // the server keeps the last hundred
    }
    const found = new Set(this.hosts.map((host) => this.on(host, key)));
    return found.size > 1 ? undefined : found.has(true);
  }

  hasType(key, type) {
    const expected = this.types.get(type);
    return expected && this.hosts.every((host) => this.columns.get(`${host} ${key}`) === expected);
  }

  hasQuery(key, query) {
    const expected = this.queries.get(query);
    const found = this.hosts.map((host) => this.tables.get(`${host} ${key}`)?.query ?? "");
    return expected !== undefined && found.every((text) => text.replace(this.prefix, "") === expected);
  }

  remark(key) {
    const [having, lacking] = [true, false].map((there) => this.hosts.filter((host) => this.on(host, key) === there));
    return having.length && lacking.length ? `${having.join(", ")} has it, ${lacking.join(", ")} does not` : undefined;
  }
}

async function lookAt(server, env) {
  const recorded = await server.recorded();
  if (!recorded?.dirty) return { migration: null };
  const { version, sequence } = recorded;
  const migrations = server.migrations();
  const migration = migrations.find((each) => each.version === version);
  if (!migration) {
    const refusal = "this release does not contain the migration; set langfuse:version to the release that began it";
    return { migration: String(version), statements: [], refusal };
  }
  const found = { migration: migration.name, version, sequence, former: migrations.findLast((each) => each.version < version)?.version ?? NONE };
  const statements = clickhouse(fs.readFileSync(path.join(server.folder, `${migration.name}.up.sql`), "utf8"));
  const [running] = await server.running();
  if (running) {
    const since = `${running.host} has been running a statement for ${running.seconds} s that changes the schema`;
    return { ...found, statements: [], refusal: `${since}. Wait until it has ended: ${oneLine(running.query)}` };
  }
  const tables = [...new Set(statements.flatMap(({ effects }) => effects.map(({ key }) => key.split(".")[0])))];
  const mutations = tables.length ? await server.mutations(tables, sequence) : [];
  const failing = mutations.find(({ done, reason }) => done === "0" && reason);
  if (failing) {
    const fault = `a mutation of ${failing.table} fails, and would block the next ones: ${failing.command}: ${failing.reason.slice(0, 300)}`;
    return { ...found, statements: [], refusal: `${fault}. Mend its cause, or end it with KILL MUTATION` };
  }
  const schema = await server.schema(statements, mutations);
  return { ...found, ...plan(statements.map((one) => [one]), schema, { assume: env.ASSUME || undefined }) };
}

async function repair(server, found) {
  for (const { sql } of found.remaining) {
    console.log(`running: ${oneLine(sql)}`);
    await server.run(sql);
  }
  await server.record(found.repair === "rerun" ? found.former : found.version, found.sequence);
}

async function withServer(env, use) {
  const server = new ClickHouse(env);
  try {
    return await use(server);
  } finally {
    await server.client.close().catch(() => {});
  }
}

module.exports = {
  Schema,
  look: (env) => withServer(env, (server) => lookAt(server, env)),
  repair: (env, found) => withServer(env, (server) => repair(server, found)),
};
