"use strict";
// Redis: connection, topology, release, policy, and the commands of the cache and of BullMQ.
//
// Options are those of packages/shared/src/server/redis/redis.ts, without its endless retries.

const fs = require("node:fs");
const { randomUUID } = require("node:crypto");
const { Problem, load, older, reason } = require("./store-results.js");

const NAMES = { single: "a single server", cluster: "a cluster", sentinel: "Sentinels" };

const nodes = (list) =>
  list.split(",").map((node) => {
    const parts = node.trim().split(":");
    return { host: parts.slice(0, -1).join(":"), port: Number(parts.at(-1)) };
  });

function tlsOptions(env) {
  if (env.REDIS_TLS_ENABLED !== "true") return {};
  const file = (name) => (env[name] ? fs.readFileSync(env[name]) : undefined);
  return {
    tls: {
      ca: file("REDIS_TLS_CA_PATH"),
      cert: file("REDIS_TLS_CERT_PATH"),
      key: file("REDIS_TLS_KEY_PATH"),
      passphrase: env.REDIS_TLS_KEY_PASSPHRASE || undefined,
      ...(env.REDIS_TLS_REJECT_UNAUTHORIZED
        ? { rejectUnauthorized: env.REDIS_TLS_REJECT_UNAUTHORIZED !== "false" }
        : {}),
      ...(env.REDIS_TLS_SERVERNAME ? { servername: env.REDIS_TLS_SERVERNAME } : {}),
      ...(env.REDIS_TLS_CHECK_SERVER_IDENTITY === "false" ? { checkServerIdentity: () => undefined } : {}),
    },
  };
}

function topology(env) {
  if (env.REDIS_CLUSTER_ENABLED === "true") return "cluster";
  return env.REDIS_SENTINEL_ENABLED === "true" ? "sentinel" : "single";
}

/** A connection that gives up at the first error. */
function client(env) {
  const { Cluster, Redis } = load("ioredis");
  const tls = tlsOptions(env);
  const options = {
    username: env.REDIS_USERNAME || undefined,
    password: env.REDIS_AUTH || undefined,
    connectTimeout: 5000,
    commandTimeout: 10_000,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    lazyConnect: true,
    ...tls,
  };
  if (topology(env) === "cluster") {
    const cluster = { dnsLookup: (address, callback) => callback(null, address), clusterRetryStrategy: () => null };
    return new Cluster(nodes(env.REDIS_CLUSTER_NODES), { ...cluster, redisOptions: options, lazyConnect: true });
  }
  if (topology(env) === "single") {
    if (env.REDIS_CONNECTION_STRING) return new Redis(env.REDIS_CONNECTION_STRING, options);
    return new Redis({ ...options, host: env.REDIS_HOST, port: Number(env.REDIS_PORT) });
  }
  const sentinelTls = env.REDIS_SENTINEL_TLS_ENABLED === "true" && tls.tls;
  return new Redis({
    ...options,
    sentinels: nodes(env.REDIS_SENTINEL_NODES),
    name: env.REDIS_SENTINEL_MASTER_NAME,
    sentinelUsername: env.REDIS_SENTINEL_USERNAME || undefined,
    sentinelPassword: env.REDIS_SENTINEL_PASSWORD || undefined,
    sentinelRetryStrategy: () => null,
    ...(sentinelTls ? { enableTLSForSentinelMode: true, sentinelTLS: tls.tls } : {}),
  });
}

function explainConnection(error) {
  const text = reason(error);
  if (/sentinels are unreachable/i.test(text) && /WRONGPASS|NOAUTH|NOPERM|AUTH <password>|invalid/i.test(text)) {
    return new Problem(
      `the Sentinels refuse the password (${text})`,
      "set REDIS_SENTINEL_PASSWORD, and REDIS_SENTINEL_USERNAME if they have users, in langfuse:extraEnv",
    );
  }
  if (/WRONGPASS|NOAUTH|invalid (username-)?password|AUTH <password> called without/i.test(text)) {
    return new Problem(
      `the server refuses the password (${text})`,
      "correct langfuse:credentials.values.redisPassword, or langfuse:redis.username",
    );
  }
  if (/cluster support disabled/i.test(text)) {
    return new Problem("the server is no cluster", "set langfuse:redis.topology to single");
  }
  if (/All sentinels are unreachable/i.test(text) && !/ECONN|ENOTFOUND|ETIMEDOUT|EAI_AGAIN/.test(text)) {
    return new Problem(
      `no Sentinel names a primary (${text})`,
      "check langfuse:redis.nodes, and that langfuse:redis.masterName is the name that the Sentinels monitor",
    );
  }
  return undefined;
}

/** Connects. The error of the socket says more than that of the command. */
async function connect(redis) {
  let last;
  for (const event of ["error", "node error"]) redis.on(event, (error) => (last = error));
  try {
    await redis.connect();
    return await redis.ping();
  } catch (error) {
    const cause = error.lastNodeError ?? last;
    if (cause && cause !== error) throw new Error(`${error.message}: ${reason(cause)}`);
    throw error;
  }
}

/** The fields of INFO. */
async function info(redis, section) {
  const answer = await (redis.nodes ? redis.nodes("master")[0] : redis).info(section);
  return Object.fromEntries(
    answer.split(/\r?\n/).map((line) => [line.split(":")[0], line.split(":").slice(1).join(":")]),
  );
}

async function checkTopology(env, redis) {
  const expected = topology(env);
  const clustered = (await info(redis, "cluster")).cluster_enabled === "1";
  if (clustered && expected !== "cluster") {
    throw new Problem(
      "the server is part of a cluster",
      "set langfuse:redis.topology to cluster, and langfuse:redis.nodes",
    );
  }
  const { role } = await info(redis, "replication");
  if (role && role !== "master") {
    throw new Problem(
      "the server is a read-only replica",
      "set langfuse:redis.host to the primary, or langfuse:redis.topology to sentinel",
    );
  }
  return NAMES[expected];
}

async function checkVersion(redis, env) {
  const found = await info(redis, "server");
  const release = found.redis_version ?? "";
  const shown = found.valkey_version ? `Valkey ${found.valkey_version}` : `Redis ${release}`;
  if (release && older(release, env.MINIMUM_REDIS)) {
    throw new Problem(
      `${shown} is too old for Langfuse ${env.LANGFUSE_VERSION}`,
      `use Redis ${env.MINIMUM_REDIS} or newer, or Valkey (langfuse:redis.host)`,
    );
  }
  return shown;
}

/** BullMQ loses jobs when keys are evicted (docs.bullmq.io/guide/going-to-production). */
async function checkPolicy(redis) {
  const policy = (await info(redis, "memory")).maxmemory_policy;
  if (policy && policy !== "noeviction") {
    throw new Problem(
      `maxmemory-policy is ${policy}, which evicts jobs`,
      "set maxmemory-policy to noeviction on the server, or name another server in langfuse:redis.host",
    );
  }
  return policy ? `maxmemory-policy ${policy}` : "the server does not tell its maxmemory-policy";
}

function explainCommand(error) {
  const text = reason(error);
  if (/NOPERM/.test(text)) {
    return new Problem(
      text,
      "allow the user all commands and keys (ACL: ~* &* +@all), or name another one in langfuse:redis.username",
    );
  }
  if (/READONLY/.test(text)) return new Problem(text, "set langfuse:redis.host to the primary");
  if (/OOM/.test(text)) return new Problem(text, "give the server more memory");
  return undefined;
}

/** The commands of the cache and of BullMQ's scripts, on keys with the prefix of this installation. */
async function useCommands(env, redis) {
  const prefix = env.REDIS_KEY_PREFIX ?? "";
  const tag = `${prefix}check-stores:${randomUUID()}`;
  const key = (name) => (topology(env) === "cluster" ? `{${tag}}:${name}` : `${tag}:${name}`);
  const all = ["cache", "list", "zset", "hash", "stream", "script"].map(key);
  const [cache, list, zset, hash, stream, script] = all;
  try {
    await redis.set(cache, "1", "EX", 60);
    await redis.get(cache);
    await redis.lpush(list, "1");
    await redis.rpoplpush(list, list);
    await redis.zadd(zset, 1, "1");
    await redis.bzpopmin(zset, 1);
    await redis.hset(hash, "field", "1");
    await redis.xadd(stream, "MAXLEN", "~", 10, "*", "field", "1");
    await redis.eval("return redis.call('SET', KEYS[1], ARGV[1])", 1, script, "1");
  } finally {
    await redis.del(...all).catch(() => {});
  }
  await (redis.nodes ? redis.nodes("master")[0] : redis).scan("0", "MATCH", `${tag}*`);
  return "commands of the cache and the queues work";
}

async function checkPersistence(redis, results) {
  const { aof_enabled: enabled } = await info(redis, "persistence");
  if (enabled === "0") {
    results.warn(
      "persistence",
      "the append-only file is off: a restart of the server loses jobs",
      "set appendonly to yes on the server",
    );
  } else if (enabled === "1") {
    await results.step("persistence", async () => "append-only file");
  }
}

module.exports = async function check(env, results) {
  const redis = client(env);
  const encrypted = env.REDIS_TLS_ENABLED === "true" ? "with TLS" : "without TLS";
  try {
    await results.step("connection", async () => `${await connect(redis)} ${encrypted}`, explainConnection);
    await results.step("topology", () => checkTopology(env, redis), explainCommand);
    await results.separately("release", () => checkVersion(redis, env), explainCommand);
    await results.separately("policy", () => checkPolicy(redis), explainCommand);
    const works = await results.separately("commands", () => useCommands(env, redis), explainCommand);
    if (works) await checkPersistence(redis, results);
  } finally {
    redis.disconnect();
  }
};

Object.assign(module.exports, { client, connect, explain: explainConnection });
