"use strict";
// Adds jobs to a queue as web does, and processes them as the worker does, until SIGTERM. Prints one line when it has added
// the first one. At the end it prints as JSON the ids of the jobs that were added and of those that were processed, and
// the errors of those that were refused.
//
// Environment: APP (the source of the probe application), GENERATION (the start of all ids), and the variables REDIS_* of
// web and worker.

const { Worker } = require("bullmq");
const { configureLog } = require(`${process.env.APP}/probe/log`);
const { queuePrefix } = require(`${process.env.APP}/probe/options`);
const { INGESTION, queue } = require(`${process.env.APP}/probe/queues`);
const { redis } = require(`${process.env.APP}/probe/stores`);

const CLIENTS = 4;
const PAUSE_MILLISECONDS = 25;

const settings = { REDIS_SOCKET_TIMEOUT_MS: "30000", ...process.env };
const added = [];
const refused = [];
const processed = [];
let ended = false;
process.on("SIGTERM", () => (ended = true));

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Each request of Langfuse's API first reads its key from the cache with GETEX, which waits during a handover. */
async function client(number, cache, jobs) {
  for (let count = 0; !ended; count++) {
    const id = `${settings.GENERATION}-${number}-${count}`;
    try {
      await cache.getex("api-key", "EX", 300);
      await jobs.add("event", { id });
      if (added.push(id) === 1) process.stdout.write("started\n");
    } catch (error) {
      refused.push(error.message);
    }
    await sleep(PAUSE_MILLISECONDS);
  }
}

async function main() {
  configureLog({ LANGFUSE_LOG_LEVEL: "fatal" });
  const [cache, jobs] = [redis(settings, "cache"), queue(settings, INGESTION)];
  const connection = redis(settings, "consumer");
  const worker = new Worker(INGESTION, async (job) => processed.push(job.data.id), {
    connection,
    prefix: queuePrefix(settings, INGESTION),
    concurrency: 20,
  });
  worker.on("error", () => {});
  await jobs.waitUntilReady();
  await Promise.all(Array.from({ length: CLIENTS }, (_, number) => client(number, cache, jobs)));
  while ((await jobs.getJobCountByTypes("waiting", "active", "delayed")) > 0) await sleep(50);
  await worker.close();
  process.stdout.write(`${JSON.stringify({ added, processed, refused })}\n`, () => process.exit());
}

main();
