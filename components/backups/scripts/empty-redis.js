"use strict";
// Deletes the keys of this installation in Redis: queued jobs and cached API keys of the data that a move or a clone replaced.
//
// Environment: the variables of check-redis.js, with REDIS_KEY_PREFIX.

const { client, connect } = require("./check-redis.js");
const { reason, redact } = require("./store-results.js");

const PAGE = 1000;

/** Deletes the keys with a prefix on one server, and returns their number. */
async function empty(server, prefix) {
  let deleted = 0;
  // In a cluster, keys of queues begin with a hash tag (packages/shared/src/server/redis/redis.ts, `getQueuePrefix`).
  for (const match of [`${prefix}*`, `{${prefix}*`]) {
    for await (const keys of server.scanStream({ match, count: PAGE })) {
      if (!keys.length) continue;
      const pipeline = server.pipeline(); // one command for each key: those of a cluster are in different slots
      for (const key of keys) pipeline.unlink(key);
      await pipeline.exec();
      deleted += keys.length;
    }
  }
  return deleted;
}

async function main(env) {
  const prefix = env.REDIS_KEY_PREFIX;
  if (!prefix) throw new Error("REDIS_KEY_PREFIX is empty, so the keys of other installations would be deleted");
  const redis = client(env);
  try {
    await connect(redis);
    let deleted = 0;
    for (const server of redis.nodes ? redis.nodes("master") : [redis]) deleted += await empty(server, prefix);
    console.log(JSON.stringify({ deleted }));
  } finally {
    redis.disconnect();
  }
}

main(process.env).catch((error) => {
  console.error(redact(`empty-redis: ${reason(error)}`, process.env));
  process.exitCode = 1;
});
