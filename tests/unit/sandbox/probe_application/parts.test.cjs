"use strict";
const assert = require("node:assert");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { test } = require("node:test");

const { APP } = process.env;
const { keySegment, rowOfEvent, rowsOfSpans, sortBatch, spansAreValid } = require(`${APP}/probe/events.js`);
const { postgresOptions, queuePrefix, redisOptions } = require(`${APP}/probe/options.js`);
const { fromRanges, idOf, toRanges } = require(`${APP}/load/load.js`);

const EVENT = { id: "e", type: "trace-create", timestamp: "2026-11-26T10:00:00.123Z", body: { id: "t", name: "n" } };

test("a batch is split into accepted events and errors with the id of the event", () => {
  const wrong = { ...EVENT, id: "w", type: "unknown" };
  const { accepted, errors } = sortBatch([EVENT, wrong, null, { ...EVENT, body: {} }]);
  assert.deepStrictEqual(accepted, [EVENT]);
  assert.deepStrictEqual(
    errors.map(({ id, status }) => [id, status]),
    [
      ["w", 400],
      ["unknown", 400],
      ["e", 400],
    ],
  );
});

test("an event becomes a row with its time in words, and an observation keeps its trace", () => {
  const context = { project: "p", web: "a", worker: "b" };
  const row = rowOfEvent(EVENT, context);
  assert.deepStrictEqual([row.kind, row.id, row.trace_id], ["trace", "t", "t"]);
  assert.deepStrictEqual(
    [row.timestamp, row.project_id, row.web, row.worker],
    ["2026-11-26 10:00:00.123", "p", "a", "b"],
  );
  const span = rowOfEvent({ ...EVENT, type: "span-update", body: { id: "s", traceId: "t" } }, context);
  assert.deepStrictEqual([span.kind, span.id, span.trace_id], ["observation", "s", "t"]);
});

test("spans become rows, and a request with a span without ids is not valid", () => {
  const span = { traceId: "ab", spanId: "cd", name: "n", startTimeUnixNano: "1764151200123000000" };
  const spans = (each) => [{ scopeSpans: [{ spans: [span, each] }] }];
  assert.strictEqual(rowsOfSpans(spans(span), {})[1].timestamp, "2025-11-26 10:00:00.123");
  assert.ok(spansAreValid(spans(span)));
  assert.ok(!spansAreValid(spans({ ...span, spanId: undefined })));
  assert.ok(!spansAreValid([{ scopeSpans: "none" }]));
});

test("a segment of a key is a file name of at most the maximum", () => {
  assert.strictEqual(keySegment("a/../b", 255), "a%2F%2E%2E%2Fb");
  const [one, other] = ["a", "b"].map((end) => keySegment("x".repeat(300) + end, 255));
  assert.deepStrictEqual([one.length, other.length, one === other], [255, 255, false]);
});

test("Prisma's parameters for TLS become those of pg", () => {
  const authority = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "probe-")), "ca.pem");
  fs.writeFileSync(authority, "certificate");
  const options = (query) => postgresOptions(`postgresql://u%40x:p%2Fw@host:5433/db${query}`);
  const { user, password, host, port, database, ssl } = options("");
  assert.deepStrictEqual([user, password, host, port, database, ssl], ["u@x", "p/w", "host", 5433, "db", false]);
  assert.deepStrictEqual(options("?sslmode=require&sslaccept=accept_invalid_certs").ssl, { rejectUnauthorized: false });
  const strict = options(`?sslmode=require&sslaccept=strict&sslcert=${authority}`).ssl;
  assert.deepStrictEqual([strict.rejectUnauthorized, strict.ca.toString()], [true, "certificate"]);
});

test("a queue refuses commands without a connection, and its consumer keeps them", () => {
  const settings = { REDIS_SOCKET_TIMEOUT_MS: "30000", REDIS_TLS_ENABLED: "false", REDIS_KEY_PREFIX: "dev:" };
  assert.strictEqual(redisOptions(settings, "queue").enableOfflineQueue, false);
  assert.strictEqual(redisOptions(settings, "consumer").enableOfflineQueue, undefined);
  assert.strictEqual(redisOptions(settings, "consumer").reconnectOnError(new Error("READONLY")), 2);
  assert.strictEqual(redisOptions(settings, "cache").keyPrefix, "dev:");
});

test("the queues of a cluster have one slot each", () => {
  assert.strictEqual(queuePrefix({ REDIS_KEY_PREFIX: "dev:", REDIS_CLUSTER_ENABLED: "false" }, "q"), "dev:");
  assert.strictEqual(queuePrefix({ REDIS_KEY_PREFIX: "dev:", REDIS_CLUSTER_ENABLED: "true" }, "q"), "{dev::q}");
  assert.strictEqual(queuePrefix({ REDIS_CLUSTER_ENABLED: "true" }, "q"), "{q}");
});

test("ranges of numbers are read back", () => {
  assert.strictEqual(toRanges([3, 1, 2, 7, 9, 8, 20]), "1-3,7-9,20");
  assert.deepStrictEqual(fromRanges("1-3,7-9,20"), [1, 2, 3, 7, 8, 9, 20]);
  assert.deepStrictEqual([toRanges([]), fromRanges("")], ["", []]);
  assert.strictEqual(idOf("0123456789abcdef", 255), "0123456789abcdef00000000000000ff");
});
