"use strict";
// What both databases show about the way from version 3 of Langfuse to version 4. Changes nothing.
//
// Sources: worker/src/backgroundMigrations (the backfill), worker/src/features/eventPropagation (dual writing),
// packages/shared/src/server/clickhouse/queryTracking.ts (how the backfill follows its statements).

const { randomUUID } = require("node:crypto");
const { ClickHouse } = require("./check-clickhouse.js");
const { connected } = require("./check-postgres.js");
const { reason } = require("./store-results.js");

/** The gate of the backfill's rows in the table background_migrations. */
const GATE = "LANGFUSE_BACKGROUND_MIGRATION_V4_ENABLE_HISTORIC_BACKFILL";

/** Minutes until a trace that older clients sent is in the new tables: partitions of 3 minutes, 10 minutes later. */
const SETTLE_MINUTES = 20;

/** Most traces that are compared. The sample is taken by a hash, so both tables have the same one. */
const SAMPLE = 200_000;

const DAYS = 7;

/** Rows of the new tables that clients wrote: neither the backfill nor Langfuse's own evaluations did. */
const FROM_CLIENTS = "NOT endsWith(source, '-backfill') AND NOT startsWith(environment, 'langfuse-')";

/** Milliseconds that a statement may take: some count all rows of a day. */
const STATEMENT_MILLISECONDS = 300_000;

class Reader {
  constructor(env) {
    const { client, clustered, cluster } = new ClickHouse(env, STATEMENT_MILLISECONDS);
    Object.assign(this, { client, clustered, cluster });
  }

  /** Rows, with numbers as numbers. */
  async rows(query, options = {}) {
    const settings = { output_format_json_quote_64bit_integers: 0 };
    const answer = await this.client.query({ query, format: "JSONEachRow", clickhouse_settings: settings, ...options });
    return answer.json();
  }

  async row(query) {
    return (await this.rows(query))[0];
  }

  /** The number that a statement without a format returns. */
  async number(query) {
    const { stream } = await this.client.exec({ query });
    let text = "";
    for await (const part of stream) text += part;
    return Number(text);
  }

  /** A system table of every replica. */
  everywhere(table) {
    return this.clustered ? `clusterAllReplicas('${this.cluster}', ${table})` : table;
  }
}

/** Rows and bytes of the tables, by name. */
async function tables(clickhouse) {
  const names = await clickhouse.rows("SELECT name FROM system.tables WHERE database = currentDatabase()");
  const sizes = await clickhouse.rows(`SELECT table, sum(rows) AS rows, sum(bytes_on_disk) AS bytes FROM system.parts
    WHERE active AND database = currentDatabase() GROUP BY table`);
  const found = Object.fromEntries(names.map(({ name }) => [name, { rows: 0, bytes: 0 }]));
  for (const { table, rows, bytes } of sizes) found[table] = { rows, bytes };
  return found;
}

/**
 * How many of the last day's traces are in the new tables too, and the times of the newest ones in seconds (0: none).
 *
 * Traces of experiments are left out: they are copied by another job, later.
 */
async function lastDay(clickhouse) {
  const recent = "created_at > now() - INTERVAL 1 DAY AND NOT startsWith(environment, 'langfuse-')";
  const { traces } = await clickhouse.row(`SELECT count() AS traces FROM traces WHERE ${recent}`);
  const sampled = (id) => `xxHash32(${id}) % ${Math.ceil((traces + 1) / SAMPLE)} = 0`;
  return clickhouse.row(`
    SELECT count() AS traces, countIf(here) AS present, toUnixTimestamp(now()) AS now,
      toUnixTimestamp(maxIf(created, here)) AS newest_present,
      toUnixTimestamp(maxIf(created, NOT here)) AS newest_missing,
      countIf(NOT here AND created > now() - INTERVAL ${SETTLE_MINUTES + 60} MINUTE) AS missing
    FROM (
      SELECT created, (project_id, id) IN (
        SELECT project_id, trace_id FROM events_full
        WHERE created_at > now() - INTERVAL 2 DAY AND ${FROM_CLIENTS} AND ${sampled("trace_id")}) AS here
      FROM (
        SELECT project_id, id, min(created_at) AS created, argMax(is_deleted, event_ts) AS deleted
        FROM traces WHERE ${recent} AND ${sampled("id")} GROUP BY project_id, id)
      WHERE deleted = 0 AND created < now() - INTERVAL ${SETTLE_MINUTES} MINUTE AND (project_id, id) NOT IN (
        SELECT project_id, trace_id FROM dataset_run_items_rmt WHERE created_at > now() - INTERVAL 2 DAY))`);
}

/** When clients last wrote rows, in seconds (0: none within 30 days). Spans can follow long after their trace. */
async function newest(clickhouse) {
  const last = async (table, where) => {
    const { at } = await clickhouse.row(`SELECT toUnixTimestamp(max(created_at)) AS at FROM ${table}
      WHERE created_at > now() - INTERVAL 30 DAY AND ${where}`);
    return at;
  };
  const others = "NOT startsWith(environment, 'langfuse-')";
  const old = [await last("traces", others), await last("observations", others)];
  return { old: Math.max(...old), events: await last("events_full", FROM_CLIENTS) };
}

/** How many traces of the old tables are in the new ones, in a sample. */
async function coverage(clickhouse, rows) {
  const sampled = (id) => `xxHash32(${id}) % ${Math.ceil((rows + 1) / SAMPLE)} = 0`;
  return clickhouse.row(`
    SELECT count() AS traces, countIf(NOT here) AS missing,
      toString(minIf(created, NOT here)) AS oldest, toString(maxIf(created, NOT here)) AS newest
    FROM (
      SELECT created, (project_id, id) IN (
        SELECT project_id, trace_id FROM events_full WHERE ${sampled("trace_id")}) AS here
      FROM (
        SELECT project_id, id, min(created_at) AS created, argMax(is_deleted, event_ts) AS deleted
        FROM traces WHERE ${sampled("id")} AND NOT startsWith(environment, 'langfuse-') GROUP BY project_id, id)
      WHERE deleted = 0 AND created < now() - INTERVAL ${SETTLE_MINUTES} MINUTE)`);
}

/** Clients of the last days whose rows were copied from the old tables: they don't write the new ones themselves. */
async function clients(clickhouse) {
  return clickhouse.rows(`
    SELECT project_id AS project, ingestion_sdk_name AS sdk, ingestion_sdk_version AS version,
      if(startsWith(source, 'otel'), 'otel', 'batch') AS interface, count() AS rows, toString(max(created_at)) AS last
    FROM events_full
    WHERE created_at > now() - INTERVAL ${DAYS} DAY AND ${FROM_CLIENTS} AND position(source, '-dual-write') > 0
    GROUP BY project, sdk, version, interface ORDER BY interface, rows DESC LIMIT 50`);
}

/** Reads of the last days by interfaces that events_only no longer has (worker/src/features/v4). */
async function readers(clickhouse) {
  const lists = "traces|observations|sessions|scores|v2/scores|spans|generations|metrics|dataset-run-items";
  const log = clickhouse.everywhere(clickhouse.clustered ? "merge(system, '^query_log*')" : "system.query_log");
  return clickhouse.rows(`
    SELECT JSONExtractString(log_comment, 'projectId') AS project, count() AS reads,
      replaceRegexpOne(splitByChar('?', JSONExtractString(log_comment, 'route'))[1],
        '^(GET /api/public/(v2/)?(traces|observations|sessions|scores))/.*', '\\\\1/{id}') AS route
    FROM ${log}
    WHERE event_date >= today() - ${DAYS} AND type = 'QueryFinish'
      AND JSONExtractString(log_comment, 'surface') = 'publicapi'
      AND match(route, '^GET /api/public/(${lists}|datasets/[^/]+/runs)(/|$)')
    GROUP BY project, route ORDER BY reads DESC LIMIT 50`);
}

/** The least free bytes of a replica, on the disks that hold the old tables. */
async function freeBytes(clickhouse) {
  const { free } = await clickhouse.row(`
    SELECT min(free) AS free FROM (
      SELECT hostName() AS host, sum(toFloat64(unreserved_space)) AS free FROM ${clickhouse.everywhere("system.disks")}
      WHERE name IN (SELECT disk_name FROM system.parts WHERE active AND database = currentDatabase()
        AND table IN ('traces', 'observations'))
      GROUP BY host)`);
  return free;
}

/** Whether the log shows a statement that was just run, as the backfill needs it for each of its statements. */
async function statementIsLogged(clickhouse, seconds) {
  const id = `langfuse-check-phase-${randomUUID()}`;
  const log = clickhouse.everywhere(clickhouse.clustered ? "merge(system, '^query_log*')" : "system.query_log");
  await clickhouse.rows("SELECT 1", { query_id: id });
  for (const end = Date.now() + seconds * 1000; ; ) {
    // A server creates the table when it writes the first entries.
    const found = await clickhouse.rows(`SELECT type FROM ${log} WHERE query_id = '${id}' LIMIT 1`).catch((error) => {
      if (!/no tables in the database|UNKNOWN_TABLE|does not exist|doesn't exist/.test(reason(error))) throw error;
      return [];
    });
    if (found.length) return true;
    if (Date.now() > end) return false;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

/** Privileges of the backfill that the user lacks (langfuse.com, ClickHouse: "User permissions"). */
async function missingGrants(clickhouse) {
  const { database } = await clickhouse.row("SELECT currentDatabase() AS database");
  const needed = ["ALTER SETTINGS", "SYSTEM MERGES", ...(clickhouse.clustered ? ["SYSTEM SYNC REPLICA"] : [])];
  const missing = [];
  for (const privilege of needed) {
    if (!(await clickhouse.number(`CHECK GRANT ${privilege} ON ${database}.*`))) missing.push(privilege);
  }
  return { missing, database };
}

const STEPS = `
  SELECT name, finished_at::text AS finished, failed_at::text AS failed, failed_reason AS reason,
    COALESCE(locked_at > (now() AT TIME ZONE 'UTC') - interval '2 minutes', false) AS running,
    COALESCE(state->>'phase', 'init') AS phase, state->>'processedDris' AS items,
    (SELECT count(*)::int FROM jsonb_array_elements(todos)) AS chunks,
    (SELECT count(*)::int FROM jsonb_array_elements(todos) AS todo WHERE todo->>'status' = 'completed') AS done,
    (SELECT extract(epoch FROM now() - min((todo->>'startedAt')::timestamptz))::int
      FROM jsonb_array_elements(todos) AS todo) AS seconds
  FROM background_migrations, LATERAL (
    SELECT CASE WHEN jsonb_typeof(state->'todos') = 'array' THEN state->'todos' ELSE '[]' END AS todos) AS list
  WHERE args->>'envGate' = '${GATE}' ORDER BY name`;

const EXPORTS = ["blob_storage_integrations", "posthog_integrations", "mixpanel_integrations"];

/** What Postgres knows: the steps of the backfill, names of projects, and features that read the old tables. */
async function postgresFacts(env) {
  return connected(env.DIRECT_URL || env.DATABASE_URL, async (database) => {
    const [{ there }] = await database.query("SELECT to_regclass('background_migrations')::text AS there");
    if (there === null) return { steps: [], projects: {}, features: [] };
    const projects = await database.query("SELECT id, name FROM projects");
    const features = await database.query(`
      SELECT project_id AS project, count(*)::int AS number, 'evaluators of traces and datasets' AS what
      FROM job_configurations WHERE status::text = 'ACTIVE' AND target_object IN ('trace', 'dataset') GROUP BY 1`);
    // Version 3 has no sources of exports at first.
    const [{ sources }] = await database.query(`
      SELECT count(*)::int AS sources FROM information_schema.columns
      WHERE table_schema = current_schema() AND column_name = 'export_source'
        AND table_name IN ('${EXPORTS.join("', '")}')`);
    for (const table of sources === EXPORTS.length ? EXPORTS : []) {
      features.push(
        ...(await database.query(`
          SELECT project_id AS project, count(*)::int AS number,
            'exports of traces and observations (${table.split("_integrations")[0]})' AS what
          FROM ${table} WHERE enabled AND export_source::text LIKE 'TRACES_OBSERVATIONS%' GROUP BY 1`)),
      );
    }
    const names = Object.fromEntries(projects.map(({ id, name }) => [id, name]));
    return { steps: await database.query(STEPS), projects: names, features };
  });
}

/** The facts. Those that cost more are functions, which the rules call if they need them. */
async function read(env) {
  const clickhouse = new Reader(env);
  const close = () => clickhouse.client.close();
  const facts = { ...(await postgresFacts(env)), tables: await tables(clickhouse), close };
  const { traces, observations, events_full } = facts.tables;
  if (events_full && (traces?.rows || observations?.rows)) {
    facts.lastDay = await lastDay(clickhouse);
    facts.newest = await newest(clickhouse);
  }
  facts.coverage = () => coverage(clickhouse, traces.rows);
  facts.clients = () => clients(clickhouse);
  facts.readers = () => readers(clickhouse);
  facts.freeBytes = () => freeBytes(clickhouse);
  facts.statementIsLogged = () => statementIsLogged(clickhouse, Number(env.LOG_SECONDS));
  facts.missingGrants = () => missingGrants(clickhouse);
  return facts;
}

module.exports = { DAYS, SETTLE_MINUTES, read };
