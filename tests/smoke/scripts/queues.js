"use strict";
// Prints the lengths of BullMQ's queues as JSON: waiting and failed jobs by queue.
//
// The variables are those of worker. BullMQ's keys: packages/shared/src/server/redis/redis.ts, `getQueuePrefix`.

const { client, connect } = require("./check-redis.js");
const { reason } = require("./store-results.js");

async function main(env) {
  const redis = client(env);
  try {
    await connect(redis);
    const lengths = {};
    for (const queue of QUEUES) {
      const prefix = env.REDIS_KEY_PREFIX;
      const slot = env.REDIS_CLUSTER_ENABLED === "true" ? `{${prefix ? `${prefix}:` : ""}${queue}}` : prefix || "bull";
      const [waiting, failed] = [await redis.llen(`${slot}:${queue}:wait`), await redis.zcard(`${slot}:${queue}:failed`)];
      lengths[queue] = { waiting, failed };
    }
    console.log(JSON.stringify(lengths));
  } finally {
    redis.disconnect();
  }
}

main(process.env).catch((error) => {
  console.log(JSON.stringify({ error: reason(error) }));
});
