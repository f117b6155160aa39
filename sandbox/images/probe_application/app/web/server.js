"use strict";
// The web server of the probe application. It answers the paths of Langfuse that probes, SDKs and tests use:
//
//   GET  /api/public/health, /api/public/ready           probes
//   POST /api/public/ingestion, /api/public/otel/v1/traces   events in (OTLP as JSON only)
//   GET  /api/public/traces/ID, /api/public/v2/observations   events out
//   DELETE /api/public/traces/ID                         events away
//   GET  /api/public/projects                            the project of the keys
//   POST /api/admin/ingestion-replay                     stored events in again
//   POST /api/public/media, PATCH and GET /api/public/media/ID   presigned links for media
//
// and of its own, below /api/public/probe: GET traces (ids by prefix), POST exports and GET exports/ID.
//
// Unlike Langfuse 4, it accepts events of every type at /api/public/ingestion in every write mode, unless
// PROBE_REFUSES_VERSION_3 is true: then it refuses what Langfuse 4 refuses in `events_only`, and answers 207 as well.

const { createHash, randomUUID, timingSafeEqual } = require("node:crypto");
const { KINDS, keySegment, sortBatch, spansAreValid } = require("../probe/events");
const { HttpError, NAME, basicAuth, createServer, readJson } = require("../probe/http");
const { initialize, keyHash } = require("../probe/initialize");
const { POD, configureLog, log, reason } = require("../probe/log");
const { EXPORT, INGESTION, OTEL, ingestionDelay, queue } = require("../probe/queues");
const { SettingsError, readSettings } = require("../probe/settings");
const stores = require("../probe/stores");

/** web/src/pages/api/public/ingestion.ts */
const INGESTION_LIMIT = 4.5 * 1024 ** 2;
const OTEL_LIMIT = 64 * 1024 ** 2;
const REPLAYED_KEYS = 1000;
const LINK_SECONDS = 3600;
const PAGE_ROWS = 10_000;
/** packages/shared/src/server/auth/types.ts */
const UNKNOWN_KEY = "api-key-non-existent";

class Web {
  constructor(env) {
    this.env = env;
    this.postgres = stores.postgres(env);
    this.cache = stores.redis(env, "cache");
    this.clickhouse = stores.clickhouse(env);
    this.events = new stores.Bucket(env, "EVENT_UPLOAD");
    this.media = new stores.Bucket(env, "MEDIA_UPLOAD");
    this.exports = new stores.Bucket(env, "BATCH_EXPORT");
    this.queues = Object.fromEntries([INGESTION, OTEL, EXPORT].map((name) => [name, queue(env, name)]));
  }

  /**
   * The project of a request's API key. Redis keeps the answer for a while, also that there is no such key, as for
   * Langfuse (apiAuth.ts).
   */
  async project(request) {
    const { user, password } = basicAuth(request);
    const hash = keyHash(password, this.env.SALT);
    const cached = this.env.LANGFUSE_CACHE_API_KEY_ENABLED === "true";
    const entry = `api-key:${hash}`;
    const lifetime = Number(this.env.LANGFUSE_CACHE_API_KEY_TTL_SECONDS);
    // A write, because it extends the lifetime.
    const known = cached ? await this.cache.getex(entry, "EX", lifetime) : null;
    if (known === UNKNOWN_KEY) throw new HttpError(401, "Invalid credentials");
    if (known) {
      const { publicKey, project } = JSON.parse(known);
      if (publicKey === user) return project;
    }
    const { rows } = await this.postgres.query("SELECT * FROM api_keys WHERE public_key = $1", [user]);
    if (!rows.length || !timingSafeEqual(Buffer.from(rows[0].fast_hashed_secret_key), Buffer.from(hash))) {
      if (cached) await this.cache.set(entry, UNKNOWN_KEY, "EX", lifetime);
      throw new HttpError(401, "Invalid credentials");
    }
    const value = JSON.stringify({ publicKey: user, project: rows[0].project_id });
    if (cached) await this.cache.set(entry, value, "EX", lifetime);
    return rows[0].project_id;
  }

  /**
   * Stores each event in the bucket, and then adds a job for each. The answer follows when all are stored, so an event
   * with status 201 is in the bucket and in the queue (processEventBatch.ts).
   */
  async ingest({ request }) {
    const project = await this.project(request);
    const { batch } = await readJson(request, INGESTION_LIMIT);
    if (!Array.isArray(batch)) throw new HttpError(400, "batch must be a list of events");
    const { accepted, errors } = sortBatch(batch, this.env.PROBE_REFUSES_VERSION_3 === "true");
    const maximum = Number(this.env.LANGFUSE_S3_EVENT_KEY_MAX_SEGMENT_BYTES) - ".json".length;
    const stored = accepted.filter((event) => event.type !== "sdk-log");
    const keys = await Promise.all(
      stored.map(async (event) => {
        const segments = [project, KINDS[event.type], event.body.id, event.id].map((each) => keySegment(each, maximum));
        const key = `${segments.join("/")}.json`;
        await this.events.put(key, JSON.stringify([event]));
        return key;
      }),
    );
    const delay = ingestionDelay(this.env);
    await Promise.all(
      keys.map((key) => this.queues[INGESTION].add("ingestion-job", { project, key, web: POD }, { delay })),
    );
    return [207, { successes: accepted.map(({ id }) => ({ id, status: 201 })), errors }];
  }

  /** Stores an OTLP request as it is, and adds one job for it. */
  async ingestSpans({ request }) {
    const project = await this.project(request);
    if (!request.headers["content-type"]?.includes("application/json")) {
      throw new HttpError(400, `Invalid content type: the ${NAME} reads OTLP as application/json only`);
    }
    const { resourceSpans = [] } = await readJson(request, OTEL_LIMIT);
    if (!spansAreValid(resourceSpans)) throw new HttpError(400, "Invalid OTLP trace export: every span needs its ids");
    if (!resourceSpans.length) return [200, {}];
    const time = new Date().toISOString().slice(0, 16).replace(/[-T:]/g, "/");
    const key = `otel/${project}/${time}/${randomUUID()}.json`;
    await this.events.put(key, JSON.stringify(resourceSpans));
    await this.queues[OTEL].add("otel-ingestion-job", { project, key, web: POD });
    return [200, {}];
  }

  /** Adds jobs again for events in the bucket (web/src/pages/api/admin/ingestion-replay.ts). */
  async replay({ request }) {
    const key = this.env.ADMIN_API_KEY;
    if (!key) throw new HttpError(403, "ADMIN_API_KEY is not set");
    const given = Buffer.from(request.headers.authorization ?? "");
    const expected = Buffer.from(`Bearer ${key}`);
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
      throw new HttpError(401, "Unauthorized: Invalid token");
    }
    const { keys } = await readJson(request, INGESTION_LIMIT);
    if (!Array.isArray(keys) || !keys.length || keys.length > REPLAYED_KEYS) {
      throw new HttpError(400, `keys must be a list of 1 to ${REPLAYED_KEYS} keys`);
    }
    const errors = [];
    const jobs = await Promise.all(keys.map((each) => this.replayed(each, errors)));
    await Promise.all(jobs.flat().map(({ name, data }) => this.queues[name].add("replay-job", { ...data, web: POD })));
    return [200, { queued: keys.length - errors.length, skipped: errors.length, errors }];
  }

  /** The jobs for one key. Langfuse's worker reads the whole folder of a body; here, each of its events has a job. */
  async replayed(key, errors) {
    const span = /^otel\/([^/]+)(\/\d{2,4}){5}\/[^./]+\.json$/.exec(key);
    if (span) return [{ name: OTEL, data: { project: span[1], key } }];
    const [, project, kind] = /^([^/]+)\/([^/]+)\/.+\/[^/]+\.json$/.exec(key) ?? [];
    if (!kind) errors.push(`Invalid key format: ${key}`);
    else if (!Object.values(KINDS).includes(kind)) errors.push(`Unsupported replay type: ${kind}`);
    else {
      const found = await this.events.keys(key.slice(0, key.lastIndexOf("/")));
      return found.map((each) => ({ name: INGESTION, data: { project, key: each } }));
    }
    return [];
  }

  async query(query, parameters) {
    const answer = await this.clickhouse.query({ query, query_params: parameters, format: "JSONEachRow" });
    return answer.json();
  }

  /** A trace with its observations and scores. */
  async trace({ request, id }) {
    const project = await this.project(request);
    const rows = await this.query(
      `SELECT kind, id, name, body, web, worker, timestamp FROM probe_events FINAL
       WHERE project_id = {project: String} AND trace_id = {id: String} ORDER BY event_ts, id`,
      { project, id },
    );
    if (!rows.length) throw new HttpError(404, "Trace not found");
    const of = (kind) => rows.filter((row) => row.kind === kind).map((row) => ({ ...row, body: JSON.parse(row.body) }));
    return [200, { id, ...of("trace")[0], observations: of("observation"), scores: of("score") }];
  }

  /** The observations of a trace (web/src/pages/api/public/v2/observations). It has no other filters and one page. */
  async observations({ request, query }) {
    const project = await this.project(request);
    const id = query.get("traceId");
    if (!id) throw new HttpError(400, `The ${NAME} lists the observations of one traceId only`);
    const rows = await this.query(
      `SELECT id, trace_id AS traceId, name, timestamp AS startTime FROM probe_events FINAL
       WHERE project_id = {project: String} AND trace_id = {id: String} AND kind = 'observation' ORDER BY event_ts, id`,
      { project, id },
    );
    return [200, { data: rows, meta: {} }];
  }

  /** Deletes a trace at once. Langfuse's worker does it later (web/src/pages/api/public/traces/[traceId].ts). */
  async deleteTrace({ request, id }) {
    const project = await this.project(request);
    await this.clickhouse.command({
      query: `INSERT INTO probe_events SELECT * REPLACE (now64(3) AS event_ts, 1 AS is_deleted) FROM probe_events FINAL
              WHERE project_id = {project: String} AND trace_id = {id: String}`,
      query_params: { project, id },
    });
    return [200, { message: "Trace deleted successfully" }];
  }

  /**
   * The ids of the traces that begin with `prefix`, in order, and the number of their rows. Rows beyond one for each id
   * were inserted twice and not merged yet. The next page begins after the id `after`.
   */
  async traces({ request, query }) {
    const project = await this.project(request);
    const rows = await this.query(
      `SELECT trace_id AS id, count() AS rows FROM probe_events
       WHERE project_id = {project: String} AND startsWith(trace_id, {prefix: String}) AND trace_id > {after: String}
       GROUP BY trace_id ORDER BY trace_id LIMIT ${PAGE_ROWS}`,
      { project, prefix: query.get("prefix") ?? "", after: query.get("after") ?? "" },
    );
    const count = rows.reduce((sum, row) => sum + Number(row.rows), 0);
    return [200, { ids: rows.map((row) => row.id), rows: count, more: rows.length === PAGE_ROWS }];
  }

  /** A link for the upload of a file. The id is that of its content (getMediaId.ts). */
  async addMedia({ request }) {
    const project = await this.project(request);
    if (!this.media.name) throw new HttpError(500, "LANGFUSE_S3_MEDIA_UPLOAD_BUCKET is not set");
    const { contentType, contentLength, sha256Hash } = await readJson(request, INGESTION_LIMIT);
    if (!contentType || !(contentLength > 0) || !sha256Hash) {
      throw new HttpError(400, "contentType, contentLength and sha256Hash are required");
    }
    if (contentLength > Number(this.env.LANGFUSE_S3_MEDIA_MAX_CONTENT_LENGTH)) {
      throw new HttpError(400, `The file is larger than ${this.env.LANGFUSE_S3_MEDIA_MAX_CONTENT_LENGTH} bytes`);
    }
    const mediaId = createHash("sha256").update(sha256Hash).digest("base64url").slice(0, 22);
    await this.postgres.query(
      `INSERT INTO probe_media (project_id, id, content_type, content_length) VALUES ($1, $2, $3, $4)
       ON CONFLICT (project_id, id) DO NOTHING`,
      [project, mediaId, contentType, contentLength],
    );
    const content = { type: contentType, length: contentLength, sha256: sha256Hash };
    const uploadUrl = await this.media.uploadLink(`${project}/${mediaId}`, content, LINK_SECONDS);
    return [201, { mediaId, uploadUrl }];
  }

  /** Records that a client has uploaded a file. */
  async updateMedia({ request, id }) {
    const project = await this.project(request);
    const { uploadHttpStatus } = await readJson(request, INGESTION_LIMIT);
    const updated = await this.postgres.query(
      "UPDATE probe_media SET upload_status = $3 WHERE project_id = $1 AND id = $2",
      [project, id, uploadHttpStatus],
    );
    if (!updated.rowCount) throw new HttpError(404, "Media asset not found");
    return [200, {}];
  }

  /** A link for the download of a file. */
  async getMedia({ request, id }) {
    const project = await this.project(request);
    const { rows } = await this.postgres.query("SELECT * FROM probe_media WHERE project_id = $1 AND id = $2", [
      project,
      id,
    ]);
    if (![200, 201].includes(rows[0]?.upload_status)) throw new HttpError(404, "Media not yet uploaded");
    const seconds = Number(this.env.LANGFUSE_S3_MEDIA_DOWNLOAD_URL_EXPIRY_SECONDS);
    const url = await this.media.downloadLink(`${project}/${id}`, seconds);
    return [
      200,
      { mediaId: id, contentType: rows[0].content_type, contentLength: Number(rows[0].content_length), url },
    ];
  }

  /** Starts an export of all ids, which the worker writes into the bucket. */
  async addExport({ request }) {
    const project = await this.project(request);
    const id = randomUUID();
    await this.postgres.query("INSERT INTO probe_exports (id, project_id) VALUES ($1, $2)", [id, project]);
    await this.queues[EXPORT].add("batch-export-job", { project, id });
    return [202, { id }];
  }

  /** The link of a finished export. */
  async getExport({ request, id }) {
    const project = await this.project(request);
    const { rows } = await this.postgres.query("SELECT * FROM probe_exports WHERE project_id = $1 AND id = $2", [
      project,
      id,
    ]);
    if (!rows.length) throw new HttpError(404, "Export not found");
    const [found] = rows;
    const url = found.object_key ? await this.exports.downloadLink(found.object_key, LINK_SECONDS) : null;
    return [200, { id, rows: found.rows, url }];
  }

  /** web/src/features/public-api/server/health-service.ts */
  async health({ query }) {
    const version = this.env.PROBE_VERSION;
    const checks = query.get("failIfDatabaseUnavailable") === "true";
    const failed = checks && (await this.postgres.query("SELECT 1").then(() => null, reason));
    if (failed) log.warn(`health: Postgres is not available: ${failed}`);
    return failed ? [503, { status: "Database not available", version }] : [200, { status: "OK", version }];
  }

  /** web/src/pages/api/public/ready.ts */
  async ready() {
    const version = this.env.PROBE_VERSION;
    if (!globalThis.sigtermReceived) return [200, { status: "OK", version }];
    return [500, { status: "SIGTERM / SIGINT received, shutting down", version }];
  }

  routes() {
    return {
      "GET /": async () => [200, `<!doctype html><title>${NAME}</title><h1>${NAME}</h1><p>Pod ${POD}</p>`],
      "GET /api/public/health": (call) => this.health(call),
      "GET /api/public/ready": (call) => this.ready(call),
      "GET /api/public/projects": async ({ request }) => [200, { data: [{ id: await this.project(request) }] }],
      "POST /api/public/ingestion": (call) => this.ingest(call),
      "POST /api/public/otel/v1/traces": (call) => this.ingestSpans(call),
      "POST /api/admin/ingestion-replay": (call) => this.replay(call),
      "GET /api/public/traces/*": (call) => this.trace(call),
      "DELETE /api/public/traces/*": (call) => this.deleteTrace(call),
      "GET /api/public/v2/observations": (call) => this.observations(call),
      "POST /api/public/media": (call) => this.addMedia(call),
      "PATCH /api/public/media/*": (call) => this.updateMedia(call),
      "GET /api/public/media/*": (call) => this.getMedia(call),
      "GET /api/public/probe/traces": (call) => this.traces(call),
      "POST /api/public/probe/exports": (call) => this.addExport(call),
      "GET /api/public/probe/exports/*": (call) => this.getExport(call),
    };
  }

  /** Closes the connections to the stores. */
  async close() {
    this.cache.disconnect();
    await Promise.allSettled([
      this.clickhouse.close(),
      this.postgres.end(),
      ...Object.values(this.queues).map((each) => each.close()),
    ]);
  }
}

/** Continues for the time of the drain after SIGTERM, and then ends (web/src/utils/shutdown.ts). */
function drainOnSignal(web, env) {
  globalThis.sigtermReceived = false;
  for (const signal of ["SIGTERM", "SIGINT"]) {
    process.once(signal, () => {
      globalThis.sigtermReceived = true;
      const wait = Number(env.PROBE_DRAIN_MILLISECONDS);
      log.info(`received ${signal}, shutting down in ${wait / 1000} seconds`);
      setTimeout(async () => {
        await Promise.race([web.close(), new Promise((done) => setTimeout(done, 5000))]);
        log.info("shutdown complete");
        process.exit(0);
      }, wait);
    });
  }
}

function main() {
  const env = readSettings("web", process.env);
  configureLog(env);
  const web = new Web(env);
  drainOnSignal(web, env);
  // Requests wait until the first organization exists. If it could not be created, all of them fail, as with Langfuse.
  const started = stores.logRelease(env).then(() => initialize(web.postgres, env));
  started.catch((error) => log.error(`the start failed, so every request is answered with 500: ${reason(error)}`));
  const server = createServer(web.routes(), () => started);
  if (env.KEEP_ALIVE_TIMEOUT) server.keepAliveTimeout = Number(env.KEEP_ALIVE_TIMEOUT);
  server.listen(Number(env.PORT), env.HOSTNAME, () => {
    log.info(`web of the ${NAME}, version ${env.PROBE_VERSION}, listens on ${env.HOSTNAME}:${env.PORT}`);
  });
}

if (require.main === module) {
  try {
    main();
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    process.stderr.write(`probe application: web: ${error.message}\n`);
    process.exit(1);
  }
}
