"use strict";
// Options of connections: pure functions of the settings.

const fs = require("node:fs");

/**
 * Options for `pg` from a URL in Prisma's dialect, whose parameter `sslcert` is a CA certificate
 * (prisma.io/docs/orm/core-concepts/supported-databases/postgresql).
 */
function postgresOptions(address) {
  const parts = new URL(address);
  const parameters = parts.searchParams;
  const tls = !["disable", null].includes(parameters.get("sslmode"));
  const strict = parameters.get("sslaccept") === "strict";
  const authority = parameters.get("sslcert");
  const schema = parameters.get("schema");
  return {
    host: parts.hostname.replace(/^\[|\]$/g, ""),
    port: Number(parts.port || 5432),
    user: decodeURIComponent(parts.username),
    password: decodeURIComponent(parts.password),
    database: decodeURIComponent(parts.pathname.slice(1)),
    ssl: tls ? { rejectUnauthorized: strict, ...(authority ? { ca: fs.readFileSync(authority) } : {}) } : false,
    ...(schema ? { options: `-c search_path=${schema}` } : {}),
    connectionTimeoutMillis: Number(parameters.get("connect_timeout") ?? 5) * 1000,
  };
}

/** The hosts and ports of a list `host:port,host:port`. */
const nodes = (list) =>
  list.split(",").map((node) => {
    const [host, port] = node.trim().split(":");
    return { host, port: Number(port) };
  });

function redisTls(settings) {
  if (settings.REDIS_TLS_ENABLED !== "true") return undefined;
  const file = (path) => (path ? fs.readFileSync(path) : undefined);
  return {
    ca: file(settings.REDIS_TLS_CA_PATH),
    cert: file(settings.REDIS_TLS_CERT_PATH),
    key: file(settings.REDIS_TLS_KEY_PATH),
    rejectUnauthorized: settings.REDIS_TLS_REJECT_UNAUTHORIZED === "true",
    ...(settings.REDIS_TLS_SERVERNAME ? { servername: settings.REDIS_TLS_SERVERNAME } : {}),
  };
}

/**
 * Options of a connection to Redis (packages/shared/src/server/redis/redis.ts). Commands are repeated until they
 * succeed. A command to a former primary is repeated on the new one.
 */
function redisOptions(settings, use) {
  const tls = redisTls(settings);
  const timeout = Number(settings.REDIS_SOCKET_TIMEOUT_MS);
  return {
    username: settings.REDIS_USERNAME,
    password: settings.REDIS_AUTH,
    maxRetriesPerRequest: null,
    enableAutoPipelining: true,
    keepAlive: 10_000,
    ...(timeout ? { socketTimeout: timeout } : {}),
    ...(tls ? { tls } : {}),
    // Queues and their consumers retry forever. The cache has ioredis' defaults.
    ...(use === "cache"
      ? { keyPrefix: settings.REDIS_KEY_PREFIX ?? "" }
      : {
          retryStrategy: (times) => Math.max(Math.min(Math.exp(times), 20_000), 1000),
          reconnectOnError: (error) => (error.message.includes("READONLY") ? 2 : false),
        }),
    // A queue without a connection refuses jobs at once. The request fails, and its client sends it again.
    ...(use === "queue" ? { enableOfflineQueue: false } : {}),
  };
}

/** The prefix of a queue's keys: one slot for each queue of a cluster (packages/shared/src/server/redis/redis.ts). */
function queuePrefix(settings, queue) {
  const prefix = settings.REDIS_KEY_PREFIX;
  if (settings.REDIS_CLUSTER_ENABLED === "true") return prefix ? `{${prefix}:${queue}}` : `{${queue}}`;
  return prefix;
}

module.exports = { nodes, postgresOptions, queuePrefix, redisOptions };
