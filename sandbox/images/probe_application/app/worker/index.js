"use strict";
// The worker of the probe application. It reads events from the bucket, inserts them into ClickHouse, and writes
// exports.
//
// A job ends when ClickHouse has confirmed its rows. Langfuse's worker ends it when the rows are in its memory, so a
// worker that is killed loses them; the probe application must not, because tests count what the stack loses.

const { Worker } = require("bullmq");
const { rowOfEvent, rowsOfSpans } = require("../probe/events");
const { NAME, createServer } = require("../probe/http");
const { POD, configureLog, log, reason } = require("../probe/log");
const { queuePrefix } = require("../probe/options");
const { EXPORT, INGESTION, OTEL, PROPAGATION, queue } = require("../probe/queues");
const { SettingsError, readSettings } = require("../probe/settings");
const stores = require("../probe/stores");

/** How often the heartbeat runs, and how long Redis remembers the last one. */
const HEARTBEAT_MILLISECONDS = 60_000;
const HEARTBEAT_KEY = "probe:last-heartbeat";

/** worker/src/features/health/index.ts */
const PING_MILLISECONDS = 2000;

const BATCH_ROWS = 100_000;

/** Inserts rows in batches: the rows that arrive while one batch is inserted are the next one. */
class Writer {
  constructor(clickhouse, maximum) {
    this.clickhouse = clickhouse;
    this.maximum = maximum;
    this.waiting = [];
    this.running = false;
  }

  /** Returns when ClickHouse has confirmed the rows. */
  insert(rows) {
    return new Promise((resolve, reject) => {
      this.waiting.push({ rows, resolve, reject });
      if (!this.running) this.flush();
    });
  }

  async flush() {
    this.running = true;
    await new Promise(setImmediate); // jobs that are ready at the same time share a batch
    while (this.waiting.length) {
      const batch = this.waiting.splice(0, this.maximum);
      const values = batch.flatMap(({ rows }) => rows);
      try {
        await this.clickhouse.insert({ table: "probe_events", values, format: "JSONEachRow" });
        batch.forEach(({ resolve }) => resolve());
      } catch (error) {
        batch.forEach(({ reject }) => reject(error));
      }
    }
    this.running = false;
  }
}

class Consumer {
  constructor(env) {
    this.env = env;
    this.stopping = false;
    this.lastActivity = Date.now();
    this.postgres = stores.postgres(env);
    this.cache = stores.redis(env, "cache");
    this.clickhouse = stores.clickhouse(env);
    this.events = new stores.Bucket(env, "EVENT_UPLOAD");
    this.exports = new stores.Bucket(env, "BATCH_EXPORT");
    this.writer = new Writer(this.clickhouse, Number(env.LANGFUSE_INGESTION_CLICKHOUSE_WRITE_BATCH_SIZE));
    this.workers = [];
    this.queues = [];
  }

  /** Asks both databases, and starts without one that does not answer (worker/src/initialize.ts). */
  async initialize() {
    await stores.logRelease(this.env);
    try {
      await this.postgres.query("SELECT count(*) FROM probe_projects");
    } catch (error) {
      log.error(`Postgres did not tell the number of projects: ${reason(error)}`);
    }
  }

  start() {
    const { env } = this;
    this.consume(INGESTION, (job) => this.ingest(job), env.LANGFUSE_INGESTION_QUEUE_PROCESSING_CONCURRENCY);
    this.consume(OTEL, (job) => this.ingestSpans(job), env.LANGFUSE_OTEL_INGESTION_QUEUE_PROCESSING_CONCURRENCY);
    if (env.LANGFUSE_S3_BATCH_EXPORT_ENABLED === "true") this.consume(EXPORT, (job) => this.export(job), 1);
    this.consume(PROPAGATION, () => this.heartbeat(), 1);
    this.queues = [INGESTION, OTEL, EXPORT, PROPAGATION].map((name) => queue(env, name));
    // Without Redis, the worker starts all the same, and is not ready.
    this.queues[3]
      .waitUntilReady()
      .then(() => this.queues[3].upsertJobScheduler("heartbeat", { every: HEARTBEAT_MILLISECONDS }))
      .catch((error) => log.error(`${PROPAGATION}: there is no heartbeat: ${reason(error)}`));
  }

  consume(name, processor, concurrency) {
    const lock = Number(this.env.PROBE_LOCK_MILLISECONDS);
    const worker = new Worker(name, processor, {
      connection: stores.redis(this.env, "consumer"),
      prefix: queuePrefix(this.env, name),
      concurrency: Number(concurrency),
      lockDuration: lock,
      stalledInterval: lock,
    });
    worker.on("active", () => (this.lastActivity = Date.now()));
    worker.on("completed", () => (this.lastActivity = Date.now()));
    worker.on("stalled", (id) => log.warn(`${name}: job ${id} of a lost worker is run again`));
    worker.on("failed", (job, error) =>
      log.error(`${name}: job ${job?.id}, attempt ${job?.attemptsMade}: ${reason(error)}`),
    );
    worker.on("error", (error) => log.warn(`${name}: ${reason(error)}`));
    this.workers.push(worker);
  }

  async ingest({ data }) {
    const events = JSON.parse(await this.events.read(data.key));
    await this.writer.insert(events.map((event) => rowOfEvent(event, { ...data, worker: POD })));
  }

  async ingestSpans({ data }) {
    const spans = JSON.parse(await this.events.read(data.key));
    await this.writer.insert(rowsOfSpans(spans, { ...data, worker: POD }));
  }

  async export({ data: { project, id } }) {
    const answer = await this.clickhouse.query({
      query: `SELECT DISTINCT trace_id AS id FROM probe_events WHERE project_id = {project: String}
              ORDER BY id LIMIT ${BATCH_ROWS}`,
      query_params: { project },
      format: "JSONEachRow",
    });
    const rows = await answer.json();
    const key = `${project}/${id}.jsonl`;
    await this.exports.put(key, rows.map((row) => `${JSON.stringify(row)}\n`).join(""), "application/x-ndjson");
    await this.postgres.query("UPDATE probe_exports SET object_key = $2, rows = $3 WHERE id = $1", [
      id,
      key,
      rows.length,
    ]);
  }

  /**
   * Runs on one worker every minute. It puts failed jobs back into their queues: an outage that is longer than all
   * attempts of a job must not lose an event that was accepted. Langfuse does that on request (/api/admin/bullmq).
   */
  async heartbeat() {
    await this.cache.set(HEARTBEAT_KEY, Date.now());
    for (const each of this.queues.filter(({ name }) => name !== PROPAGATION)) {
      if (await each.getFailedCount()) await each.retryJobs({ state: "failed" });
    }
  }

  /** worker/src/features/health/index.ts: readiness fails after SIGTERM, and both fail without Postgres or Redis. */
  async health(query, failAfterSignal) {
    if (failAfterSignal && this.stopping) return [500, { status: "SIGTERM / SIGINT received, shutting down" }];
    try {
      await this.postgres.query("SELECT 1");
      await within(PING_MILLISECONDS, this.cache.ping(), "Redis ping timeout after 2 seconds");
      const problems = await this.stuck(query);
      return problems.length ? [503, { status: problems.join("; ") }] : [200, { status: "ok" }];
    } catch (error) {
      log.error(`health: ${reason(error)}`);
      return [500, { status: "error" }];
    }
  }

  async stuck(query) {
    const problems = [];
    const minutes = (time) => (Date.now() - Number(time)) / 60_000;
    if (query.get("failIfEventPropagationStuck") === "true") {
      const last = await this.cache.get(HEARTBEAT_KEY);
      const threshold = Number(this.env.LANGFUSE_EVENT_PROPAGATION_STUCK_THRESHOLD_MINUTES);
      if (last !== null && minutes(last) > threshold) problems.push("Event propagation stuck");
    }
    if (query.get("failIfQueueConsumptionStuck") === "true") {
      const threshold = Number(this.env.LANGFUSE_QUEUE_CONSUMPTION_STUCK_THRESHOLD_MINUTES);
      if (minutes(this.lastActivity) > threshold) problems.push("Queue consumption stuck");
    }
    return problems;
  }

  /** Finishes the running jobs (worker/src/utils/shutdown.ts). */
  async close() {
    await Promise.all(this.workers.map((worker) => worker.close()));
    log.info("all jobs are finished");
    this.cache.disconnect();
    await Promise.allSettled([
      this.clickhouse.close(),
      this.postgres.end(),
      ...this.queues.map((each) => each.close()),
    ]);
  }
}

function within(milliseconds, promise, message) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(message)), milliseconds)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function main() {
  const env = readSettings("worker", process.env);
  configureLog(env);
  const consumer = new Consumer(env);
  await consumer.initialize();
  consumer.start();
  const server = createServer({
    "GET /": async () => [200, { message: `Worker of the ${NAME}` }],
    "GET /api/health": ({ query }) => consumer.health(query, false),
    "GET /api/ready": ({ query }) => consumer.health(query, true),
  });
  for (const signal of ["SIGTERM", "SIGINT"]) {
    process.once(signal, async () => {
      log.info(`received ${signal}, finishing the running jobs`);
      consumer.stopping = true;
      server.close();
      await consumer.close();
      process.exit(0);
    });
  }
  server.listen(Number(env.PORT), env.HOSTNAME, () => {
    log.info(`worker of the ${NAME}, version ${env.PROBE_VERSION}, listens on ${env.HOSTNAME}:${env.PORT}`);
  });
}

if (require.main === module) {
  main().catch((error) => {
    const message = error instanceof SettingsError ? error.message : `the start failed: ${reason(error)}`;
    process.stderr.write(`probe application: worker: ${message}\n`);
    process.exit(1);
  });
}
