"use strict";
// The queues between web and worker, with the names and retries of Langfuse's (packages/shared/src/server/queues.ts,
// ingestionQueue.ts, otelIngestionQueue.ts and batchExport.ts in packages/shared/src/server/redis).

const { Queue } = require("bullmq");
const { log, reason } = require("./log");
const { queuePrefix } = require("./options");
const { redis } = require("./stores");

const INGESTION = "ingestion-queue";
const OTEL = "otel-ingestion-queue";
const EXPORT = "batch-export-queue";
/** Its scheduled job is the heartbeat that the worker's health checks look for. */
const PROPAGATION = "event-propagation-queue";

const ATTEMPTS = { [INGESTION]: 6, [OTEL]: 6, [EXPORT]: 8, [PROPAGATION]: 1 };

/** A queue for adding jobs. It keeps failed jobs, because each names an event that was accepted. */
function queue(settings, name) {
  const made = new Queue(name, {
    connection: redis(settings, "queue"),
    prefix: queuePrefix(settings, name),
    defaultJobOptions: {
      removeOnComplete: true,
      removeOnFail: name === PROPAGATION ? 100 : 100_000,
      attempts: ATTEMPTS[name],
      backoff: { type: "exponential", delay: 5000 },
    },
  });
  made.on("error", (error) => log.warn(`queue ${name}: ${reason(error)}`));
  return made;
}

/**
 * Milliseconds before a job of the ingestion API runs (getDelay in processEventBatch.ts). Around midnight UTC it is the
 * whole configured delay.
 */
function ingestionDelay(settings, now = new Date()) {
  const configured = Number(settings.LANGFUSE_INGESTION_QUEUE_DELAY_MS);
  const minutes = now.getUTCHours() * 60 + now.getUTCMinutes();
  const aroundMidnight = minutes >= 23 * 60 + 45 || minutes <= 15;
  return aroundMidnight ? configured : Math.min(5000, configured);
}

module.exports = { EXPORT, INGESTION, OTEL, PROPAGATION, ingestionDelay, queue };
