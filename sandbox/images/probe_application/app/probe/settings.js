"use strict";
// Reads the environment variables that Langfuse reads, with its names, defaults and checks.
//
// Sources: packages/shared/src/env.ts, web/src/env.mjs and worker/src/env.ts of Langfuse 4.16. An empty value counts as
// unset there. Variables that configure features which the probe application does not have are not checked.

const optional = (check, fallback) => ({ check, fallback });
const required = (check) => ({ check, required: true });

const text = () => null;
const url = (value) => (URL.canParse(value) ? null : "must be a URL");
const oneOf =
  (...values) =>
  (value) =>
    values.includes(value) ? null : `must be one of ${values.join(", ")}`;
const boolean = oneOf("true", "false");
const integer =
  (least, most = Infinity) =>
  (value) => {
    const within = /^\d+$/.test(value) && Number(value) >= least && Number(value) <= most;
    return within ? null : `must be a number from ${least} to ${most}`;
  };
// BullMQ's blocking commands receive nothing for about 5 s, so a lower value would close connections that work.
const socketTimeout = (value) => (value === "0" ? null : integer(10_000)(value));

const PURPOSES = ["EVENT_UPLOAD", "MEDIA_UPLOAD", "BATCH_EXPORT"];

const bucket = (purpose) =>
  Object.fromEntries(
    Object.entries({
      BUCKET: purpose === "EVENT_UPLOAD" ? required(text) : optional(text),
      PREFIX: optional(text, ""),
      REGION: optional(text),
      ENDPOINT: optional(text),
      EXTERNAL_ENDPOINT: optional(text),
      INTERNAL_ENDPOINT: optional(text),
      ACCESS_KEY_ID: optional(text),
      SECRET_ACCESS_KEY: optional(text),
      FORCE_PATH_STYLE: optional(boolean, "false"),
      SSE: optional(oneOf("AES256", "aws:kms")),
      SSE_KMS_KEY_ID: optional(text),
    }).map(([name, rule]) => [`LANGFUSE_S3_${purpose}_${name}`, rule]),
  );

const SHARED = {
  DATABASE_URL: required(url),
  NODE_ENV: optional(oneOf("development", "test", "production"), "development"),
  HOSTNAME: optional(text, "0.0.0.0"),
  ENCRYPTION_KEY: optional((value) => (value.length === 64 ? null : "must be 64 hexadecimal characters")),
  CLICKHOUSE_URL: required(url),
  CLICKHOUSE_USER: required(text),
  CLICKHOUSE_PASSWORD: required(text),
  CLICKHOUSE_DB: optional(text, "default"),
  CLICKHOUSE_CLUSTER_ENABLED: optional(boolean, "true"),
  CLICKHOUSE_KEEP_ALIVE_IDLE_SOCKET_TTL: optional(integer(0), "9000"),
  CLICKHOUSE_MAX_OPEN_CONNECTIONS: optional(integer(1), "25"),
  REDIS_CONNECTION_STRING: optional(text),
  REDIS_HOST: optional(text),
  REDIS_PORT: optional(integer(1, 65_536), "6379"),
  REDIS_USERNAME: optional(text),
  REDIS_AUTH: optional(text),
  REDIS_KEY_PREFIX: optional(text),
  REDIS_SOCKET_TIMEOUT_MS: optional(socketTimeout, "30000"),
  REDIS_TLS_ENABLED: optional(boolean, "false"),
  REDIS_TLS_CA_PATH: optional(text),
  REDIS_TLS_CERT_PATH: optional(text),
  REDIS_TLS_KEY_PATH: optional(text),
  REDIS_TLS_SERVERNAME: optional(text),
  REDIS_TLS_REJECT_UNAUTHORIZED: optional(boolean, "true"),
  REDIS_CLUSTER_ENABLED: optional(boolean, "false"),
  REDIS_CLUSTER_NODES: optional(text),
  REDIS_SENTINEL_ENABLED: optional(boolean, "false"),
  REDIS_SENTINEL_NODES: optional(text),
  REDIS_SENTINEL_MASTER_NAME: optional(text),
  REDIS_SENTINEL_USERNAME: optional(text),
  REDIS_SENTINEL_PASSWORD: optional(text),
  REDIS_SENTINEL_TLS_ENABLED: optional(boolean, "false"),
  LANGFUSE_INGESTION_QUEUE_DELAY_MS: optional(integer(0), "15000"),
  LANGFUSE_LOG_LEVEL: optional(oneOf("trace", "debug", "info", "warn", "error", "fatal"), "info"),
  LANGFUSE_LOG_FORMAT: optional(oneOf("text", "json"), "text"),
  LANGFUSE_S3_EVENT_KEY_MAX_SEGMENT_BYTES: optional(integer(64, 2048), "2048"),
  LANGFUSE_S3_MEDIA_DOWNLOAD_URL_EXPIRY_SECONDS: optional(integer(1), "3600"),
  LANGFUSE_S3_MEDIA_MAX_CONTENT_LENGTH: optional(integer(1), "1000000000"),
  LANGFUSE_MIGRATION_V4_WRITE_MODE: optional(oneOf("legacy", "dual", "events_only"), "events_only"),
  LANGFUSE_MIGRATION_V4_ALLOW_PREVIEW_OPT_IN: optional(boolean, "true"),
  ...Object.assign({}, ...PURPOSES.map(bucket)),
  // Of the probe application alone.
  PROBE_VERSION: optional(text, "0.0.0"),
};

const WEB = {
  PORT: optional(integer(1, 65_535), "3000"),
  NEXTAUTH_URL: required(url),
  NEXTAUTH_SECRET: required(text),
  SALT: required(text),
  ADMIN_API_KEY: optional(text),
  // Next's standalone server reads this variable (packages/next/src/build/utils.ts).
  KEEP_ALIVE_TIMEOUT: optional(integer(0)),
  LANGFUSE_CACHE_API_KEY_ENABLED: optional(boolean, "true"),
  LANGFUSE_CACHE_API_KEY_TTL_SECONDS: optional(integer(1), "300"),
  LANGFUSE_INIT_ORG_ID: optional(text),
  LANGFUSE_INIT_ORG_NAME: optional(text, "Provisioned Org"),
  LANGFUSE_INIT_PROJECT_ID: optional(text),
  LANGFUSE_INIT_PROJECT_NAME: optional(text, "Provisioned Project"),
  LANGFUSE_INIT_PROJECT_RETENTION: optional(integer(3)),
  LANGFUSE_INIT_PROJECT_PUBLIC_KEY: optional(text),
  LANGFUSE_INIT_PROJECT_SECRET_KEY: optional(text),
  LANGFUSE_INIT_USER_EMAIL: optional(text),
  LANGFUSE_INIT_USER_NAME: optional(text, "Provisioned User"),
  LANGFUSE_INIT_USER_PASSWORD: optional(text),
  // web/src/utils/shutdown.ts waits for a fixed 110 s. Only tests of the probe application shorten it.
  PROBE_DRAIN_MILLISECONDS: optional(integer(0), "110000"),
};

const WORKER = {
  PORT: optional(integer(1, 65_535), "3030"),
  LANGFUSE_INGESTION_QUEUE_PROCESSING_CONCURRENCY: optional(integer(1), "20"),
  LANGFUSE_OTEL_INGESTION_QUEUE_PROCESSING_CONCURRENCY: optional(integer(1), "5"),
  LANGFUSE_INGESTION_CLICKHOUSE_WRITE_BATCH_SIZE: optional(integer(1), "1000"),
  LANGFUSE_MIGRATION_V4_NATIVE_OTEL_BEHAVIOUR: optional(oneOf("dual_write", "direct"), "direct"),
  LANGFUSE_S3_BATCH_EXPORT_ENABLED: optional(boolean, "false"),
  LANGFUSE_QUEUE_CONSUMPTION_STUCK_THRESHOLD_MINUTES: optional(integer(1), "60"),
  LANGFUSE_EVENT_PROPAGATION_STUCK_THRESHOLD_MINUTES: optional(integer(1), "15"),
  // BullMQ's defaults (lockDuration, stalledInterval). Only tests of the probe application shorten them.
  PROBE_LOCK_MILLISECONDS: optional(integer(1000), "30000"),
};

/** Rules between variables. Each returns a problem or null. */
const CONFLICTS = {
  shared: [
    (env) =>
      env.REDIS_CLUSTER_ENABLED === "true" && env.REDIS_SENTINEL_ENABLED === "true"
        ? "REDIS_CLUSTER_ENABLED and REDIS_SENTINEL_ENABLED must not both be true"
        : null,
    (env) =>
      env.REDIS_CLUSTER_ENABLED === "true" && !env.REDIS_CLUSTER_NODES
        ? "REDIS_CLUSTER_NODES is required when REDIS_CLUSTER_ENABLED is true"
        : null,
    (env) =>
      env.REDIS_SENTINEL_ENABLED === "true" && !(env.REDIS_SENTINEL_NODES && env.REDIS_SENTINEL_MASTER_NAME)
        ? "REDIS_SENTINEL_NODES and REDIS_SENTINEL_MASTER_NAME are required when REDIS_SENTINEL_ENABLED is true"
        : null,
    (env) =>
      env.REDIS_CONNECTION_STRING || env.REDIS_HOST || env.REDIS_CLUSTER_NODES || env.REDIS_SENTINEL_NODES
        ? null
        : "REDIS_CONNECTION_STRING or REDIS_HOST is required",
  ],
  web: [],
  // worker/src/env.ts refuses these combinations.
  worker: [
    (env) => conflict(env, "legacy", "LANGFUSE_MIGRATION_V4_NATIVE_OTEL_BEHAVIOUR", "direct"),
    (env) => conflict(env, "events_only", "LANGFUSE_MIGRATION_V4_NATIVE_OTEL_BEHAVIOUR", "dual_write"),
    (env) => conflict(env, "events_only", "LANGFUSE_MIGRATION_V4_ALLOW_PREVIEW_OPT_IN", "false"),
  ],
};

function conflict(env, mode, name, value) {
  const found = env.LANGFUSE_MIGRATION_V4_WRITE_MODE === mode && env[name] === value;
  return found ? `${name}=${value} does not work with LANGFUSE_MIGRATION_V4_WRITE_MODE=${mode}` : null;
}

/** The environment does not allow a start. `problems` has one line for each variable. */
class SettingsError extends Error {
  constructor(problems) {
    super(`Invalid environment variables:\n${problems.map((problem) => `  ${problem}`).join("\n")}`);
    this.problems = problems;
  }
}

/**
 * The variables of a program with defaults filled in. Throws a SettingsError that names every problem.
 *
 * @param {"web" | "worker"} program
 * @param {Record<string, string | undefined>} environment
 * @returns {Record<string, string | undefined>}
 */
function readSettings(program, environment) {
  const rules = { ...SHARED, ...(program === "web" ? WEB : WORKER) };
  const problems = [];
  const values = {};
  for (const [name, rule] of Object.entries(rules)) {
    const value = environment[name] || undefined;
    values[name] = value ?? rule.fallback;
    if (value === undefined && rule.required) problems.push(`${name} is required`);
    const problem = value === undefined ? null : rule.check(value);
    if (problem) problems.push(`${name} ${problem}`); // never the value: it may be a credential
  }
  for (const rule of [...CONFLICTS.shared, ...CONFLICTS[program]]) {
    const problem = rule(values);
    if (problem) problems.push(problem);
  }
  if (problems.length) throw new SettingsError(problems);
  return values;
}

module.exports = { readSettings, SettingsError };
