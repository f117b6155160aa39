"use strict";
// Fills queues as web does, with BullMQ and the prefix of Langfuse.
//
// Environment: APP (the source of the probe application), QUEUES (JSON: for each queue the numbers of jobs that wait and of
// those that are due later), CLUSTER (`true` for the keys of a Redis cluster), and the variables REDIS_* of the worker.

const { Queue } = require("bullmq");
const { queuePrefix } = require(`${process.env.APP}/probe/options`);
const { redis } = require(`${process.env.APP}/probe/stores`);

const LATER_MILLISECONDS = 600_000;

async function main() {
  const connection = redis({ REDIS_SOCKET_TIMEOUT_MS: "30000", ...process.env }, "queue");
  for (const [name, [waiting, later]] of Object.entries(JSON.parse(process.env.QUEUES))) {
    const prefix = queuePrefix({ ...process.env, REDIS_CLUSTER_ENABLED: process.env.CLUSTER }, name);
    const queue = new Queue(name, { connection, prefix });
    const jobs = (count, opts) => Array.from({ length: count }, (_, id) => ({ name: "event", data: { id }, opts }));
    await queue.addBulk([...jobs(waiting, {}), ...jobs(later, { delay: LATER_MILLISECONDS })]);
  }
  process.exit();
}

main();
