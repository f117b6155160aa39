"use strict";
// Clients of the four stores, with the libraries and options that Langfuse uses.
//
// Prisma, which Langfuse uses for Postgres, downloads its engine when it is installed. `pg` takes its place.

const { GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } = require("@aws-sdk/client-s3");
const { getSignedUrl } = require("@aws-sdk/s3-request-presigner");
const { createClient } = require("@clickhouse/client");
const { Cluster, Redis } = require("ioredis");
const { Pool } = require("pg");
const { log, reason } = require("./log");
const { nodes, postgresOptions, redisOptions } = require("./options");

/** How long Langfuse waits at its start for the version of ClickHouse (compatibility.ts). */
const VERSION_MILLISECONDS = 10_000;

/** A pool of connections to Postgres. Like Prisma's, its queries have no time limit. */
function postgres(settings) {
  const pool = new Pool({ ...postgresOptions(settings.DATABASE_URL), max: 5, keepAlive: true });
  pool.on("error", (error) => log.warn(`Postgres closed an idle connection: ${reason(error)}`));
  return pool;
}

/**
 * A connection to Redis.
 *
 * @param {"cache" | "queue" | "consumer"} use Consumers keep their commands while there is no connection.
 */
function redis(settings, use) {
  const options = redisOptions(settings, use);
  const connection = connectRedis(settings, options);
  connection.on("error", (error) => log.warn(`Redis (${use}): ${reason(error)}`));
  return connection;
}

function connectRedis(settings, options) {
  if (settings.REDIS_CLUSTER_ENABLED === "true") {
    return new Cluster(nodes(settings.REDIS_CLUSTER_NODES), {
      dnsLookup: (address, callback) => callback(null, address),
      redisOptions: options,
      retryDelayOnFailover: 100,
    });
  }
  if (settings.REDIS_SENTINEL_ENABLED === "true") {
    return new Redis({
      ...options,
      sentinels: nodes(settings.REDIS_SENTINEL_NODES),
      name: settings.REDIS_SENTINEL_MASTER_NAME,
      sentinelUsername: settings.REDIS_SENTINEL_USERNAME,
      sentinelPassword: settings.REDIS_SENTINEL_PASSWORD,
      ...(settings.REDIS_SENTINEL_TLS_ENABLED === "true" && options.tls
        ? { enableTLSForSentinelMode: true, sentinelTLS: options.tls }
        : {}),
    });
  }
  if (settings.REDIS_CONNECTION_STRING) return new Redis(settings.REDIS_CONNECTION_STRING, options);
  return new Redis({ ...options, host: settings.REDIS_HOST, port: Number(settings.REDIS_PORT) });
}

/** A client of ClickHouse. The server confirms an insert when it has written it. Requests have the library's limit. */
function clickhouse(settings, options = {}) {
  return createClient({
    url: settings.CLICKHOUSE_URL,
    username: settings.CLICKHOUSE_USER,
    password: settings.CLICKHOUSE_PASSWORD,
    database: settings.CLICKHOUSE_DB,
    application: "probe-application",
    keep_alive: { idle_socket_ttl: Number(settings.CLICKHOUSE_KEEP_ALIVE_IDLE_SOCKET_TTL) },
    max_open_connections: Number(settings.CLICKHOUSE_MAX_OPEN_CONNECTIONS),
    clickhouse_settings: { async_insert: 1, wait_for_async_insert: 1 },
    ...options,
  });
}

/** Logs the release of ClickHouse. Langfuse asks for it at its start, and continues without it (compatibility.ts). */
async function logRelease(settings) {
  const client = clickhouse(settings, { request_timeout: VERSION_MILLISECONDS });
  try {
    const answer = await client.query({ query: "SELECT version() AS version", format: "JSONEachRow" });
    log.info(`ClickHouse ${(await answer.json())[0].version}`);
  } catch (error) {
    log.warn(`ClickHouse did not tell its version: ${reason(error)}`);
  } finally {
    await client.close();
  }
}

/**
 * A bucket and its presigned links (packages/shared/src/server/services/StorageService.ts).
 *
 * Links of batch exports have the external endpoint. The endpoint of media is the public one in web; web reads by the
 * internal endpoint, if there is one.
 */
class Bucket {
  constructor(settings, purpose) {
    const get = (name) => settings[`LANGFUSE_S3_${purpose}_${name}`];
    const client = (endpoint) =>
      new S3Client({
        endpoint,
        region: get("REGION"),
        forcePathStyle: get("FORCE_PATH_STYLE") === "true",
        ...(get("ACCESS_KEY_ID") && get("SECRET_ACCESS_KEY")
          ? { credentials: { accessKeyId: get("ACCESS_KEY_ID"), secretAccessKey: get("SECRET_ACCESS_KEY") } }
          : {}),
        requestHandler: { httpsAgent: { maxSockets: 50 } }, // no time limits
        requestChecksumCalculation: "WHEN_REQUIRED",
        responseChecksumValidation: "WHEN_REQUIRED",
      });
    this.name = get("BUCKET");
    this.prefix = get("PREFIX");
    this.client = client(get("INTERNAL_ENDPOINT") ?? get("ENDPOINT"));
    this.signer = client(get("EXTERNAL_ENDPOINT") ?? get("ENDPOINT"));
    this.encryption = {
      ...(get("SSE") ? { ServerSideEncryption: get("SSE") } : {}),
      ...(get("SSE") === "aws:kms" && get("SSE_KMS_KEY_ID") ? { SSEKMSKeyId: get("SSE_KMS_KEY_ID") } : {}),
    };
  }

  async put(key, body, type = "application/json") {
    const object = { Bucket: this.name, Key: this.prefix + key, Body: body, ContentType: type, ...this.encryption };
    await this.client.send(new PutObjectCommand(object));
  }

  async read(key) {
    const answer = await this.client.send(new GetObjectCommand({ Bucket: this.name, Key: this.prefix + key }));
    return answer.Body.transformToString();
  }

  /** The keys below a folder. */
  async keys(folder) {
    const found = [];
    for (let token; ; ) {
      const input = { Bucket: this.name, Prefix: `${this.prefix}${folder}/`, ContinuationToken: token };
      const page = await this.client.send(new ListObjectsV2Command(input));
      found.push(...(page.Contents ?? []).map(({ Key }) => Key.slice(this.prefix.length)));
      if (!page.IsTruncated) return found;
      token = page.NextContinuationToken;
    }
  }

  downloadLink(key, seconds) {
    const command = new GetObjectCommand({ Bucket: this.name, Key: this.prefix + key });
    return getSignedUrl(this.signer, command, { expiresIn: seconds });
  }

  /** A link for an upload of exactly this content. `sha256` is the hash in base64. */
  uploadLink(key, { type, length, sha256 }, seconds) {
    const command = new PutObjectCommand({
      Bucket: this.name,
      Key: this.prefix + key,
      ContentType: type,
      ContentLength: length,
      ChecksumSHA256: sha256,
      ...this.encryption,
    });
    return getSignedUrl(this.signer, command, {
      expiresIn: seconds,
      signableHeaders: new Set(["content-type", "content-length"]),
      unhoistableHeaders: new Set(["x-amz-checksum-sha256"]),
    });
  }
}

module.exports = { Bucket, clickhouse, logRelease, postgres, redis };
