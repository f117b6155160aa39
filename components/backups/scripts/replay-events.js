"use strict";
// Queues raw events again that web received since a time: after ClickHouse was restored, or the queue was lost.
//
// Web stores each event in its bucket before it adds a job. POST /api/admin/ingestion-replay adds such jobs again
// (web/src/pages/api/admin/ingestion-replay.ts). A worker then processes the event as if it had just been received.
// That is harmless for an event that is in ClickHouse already: it replaces the row.
//
//   PROJECT/TYPE/BODY/EVENT.json                  a job reads the whole folder of a body, so one key of each is enough
//   otel/PROJECT/yyyy/mm/dd/HH/MM/EVENT.json      names are in the order of time, so a list begins at SINCE
//
// A note in the bucket, langfuse-replay/RUN.json, has the last keys that were queued. The next attempt begins there,
// unless the former one came to its end.
//
// Environment: SINCE (ISO 8601), RUN (a name that all attempts share: the time of SINCE, or the uid of a restore), WEB_URL,
// ADMIN_API_KEY, DRY_RUN (`true` only counts), RATE (keys a second), WAIT_SECONDS (for web), SETTLE_SECONDS (see
// `settle`), and the variables of bucket.js. It prints {queued, skipped, seen, reasons}.

const { setTimeout: sleep } = require("node:timers/promises");
const { Bucket, batches, main } = require("./bucket.js");

/** The most keys that one request may have. */
const BATCH = 1000;

const OTEL = "otel/";
const NOTES = "langfuse-replay/";
const HOUR = 3600_000;

/** The statuses after which web may accept the same request later. */
const RETRIED = [408, 429, 500, 502, 503, 504];

class RefusedError extends Error {}

/** The keys of a list that were written since a time. */
async function* written(bucket, input, since) {
  for await (const { Contents = [] } of bucket.pages(input)) {
    for (const { Key, LastModified } of Contents) if (LastModified.getTime() >= since) yield Key;
  }
}

/** Keys of spans after a key. Their names have web's time, so a list begins an hour before. */
async function* spans(bucket, since, after) {
  const from = new Date(since - HOUR).toISOString().slice(0, 13).replace(/[-T]/g, "/");
  for (const project of await bucket.folders(OTEL)) {
    const prefix = `${OTEL}${project}/`;
    const first = `${prefix}${from}`;
    yield* written(bucket, { Prefix: prefix, StartAfter: after > first ? after : first }, since);
  }
}

/** Keys of other events after a key: the last one of each body. */
async function* events(bucket, since, after) {
  for (const project of await bucket.folders("")) {
    if ([OTEL, NOTES].includes(`${project}/`)) continue;
    let last;
    for await (const key of written(bucket, { Prefix: `${project}/`, StartAfter: after }, since)) {
      if (last && folder(last) !== folder(key)) yield last;
      last = key;
    }
    if (last) yield last;
  }
}

const folder = (key) => key.slice(0, key.lastIndexOf("/"));

/** Web's answer to one request. It is repeated while web does not answer, for WAIT_SECONDS. */
async function post(env, body) {
  const url = `${env.WEB_URL}/api/admin/ingestion-replay`;
  const headers = { authorization: `Bearer ${env.ADMIN_API_KEY}`, "content-type": "application/json" };
  const deadline = Date.now() + Number(env.WAIT_SECONDS) * 1000;
  for (;;) {
    let found;
    try {
      const answer = await fetch(url, { method: "POST", headers, body, signal: AbortSignal.timeout(60_000) });
      if (answer.ok) return await answer.json();
      found = `answered ${answer.status}`;
      if (!RETRIED.includes(answer.status)) throw new RefusedError(`${url} ${found}${hint(answer.status)}`);
    } catch (error) {
      if (error instanceof RefusedError) throw error;
      found ??= `can't be reached: ${error.cause?.code ?? error.name}`;
    }
    if (Date.now() > deadline) throw new Error(`${url} ${found}, for ${env.WAIT_SECONDS} s`);
    await sleep(2000);
  }
}

const hint = (status) =>
  [401, 403].includes(status) ? ": web has another ADMIN_API_KEY; it restarts with the next `pulumi up`" : "";

/**
 * Waits until a worker takes an event again that it processed before. It may remember those of the last five minutes
 * (components/backups/replay.py).
 */
async function settle(seconds) {
  if (!seconds) return;
  console.log(`waiting ${seconds} s, because workers skip events that they processed in the last five minutes`);
  await sleep(seconds * 1000);
}

/** Counts the reasons why keys were skipped. They may end with the key. */
function count(reasons, errors) {
  for (const error of errors ?? []) {
    const reason = error.startsWith("Invalid key format") ? "Invalid key format" : error;
    reasons[reason] = (reasons[reason] ?? 0) + 1;
  }
}

main("replay-events", async ({ SINCE, RUN, DRY_RUN, RATE, SETTLE_SECONDS, ...env }) => {
  const since = Date.parse(SINCE);
  if (Number.isNaN(since)) throw new Error(`SINCE is ${JSON.stringify(SINCE)}; set it to a time like 2026-11-26T08:30:00Z`);
  const bucket = new Bucket(env);
  const dry = DRY_RUN === "true";
  const note = `${NOTES}${RUN}.json`;
  const former = JSON.parse((dry ? undefined : await bucket.read(note)) ?? "{}");
  const begun = former.found && !former.done;
  const { after, found } = begun ? former : { after: {}, found: { seen: 0, queued: 0, skipped: 0, reasons: {} } };
  if (begun) console.log(`continuing after ${found.seen} events`);
  else if (!dry) await settle(Number(SETTLE_SECONDS));
  for (const [kind, list] of Object.entries({ spans, events })) {
    for await (const keys of batches(list(bucket, since, after[kind] ?? ""), BATCH)) {
      found.seen += keys.length;
      if (dry) continue;
      const started = Date.now();
      const { queued, skipped, errors } = await post(env, JSON.stringify({ keys }));
      found.queued += queued;
      found.skipped += skipped;
      count(found.reasons, errors);
      after[kind] = keys.at(-1);
      await bucket.write(note, JSON.stringify({ after, found }));
      console.log(`${found.queued} of ${found.seen} events are queued`);
      await sleep(Math.max(0, (keys.length / Number(RATE)) * 1000 - (Date.now() - started)));
    }
  }
  if (!dry) await bucket.write(note, JSON.stringify({ found, done: true }));
  console.log(JSON.stringify({ since: SINCE, ...found }));
});
