"use strict";
// Events: what the two ingestion APIs accept, and the rows of ClickHouse that they become.

/** Types of the ingestion API that become rows, and the kind of row (packages/shared/src/server/ingestion/types.ts). */
const KINDS = {
  "trace-create": "trace",
  "score-create": "score",
  ...Object.fromEntries(
    ["span", "generation", "event", "observation"].flatMap((each) => [
      [`${each}-create`, "observation"],
      [`${each}-update`, "observation"],
    ]),
  ),
};

/** What Langfuse 4 accepts in the write mode `events_only` (processEventBatch.ts). */
const VERSION_FOUR = ["score-create", "sdk-log"];

const isText = (value) => typeof value === "string" && value.length > 0 && value.length <= 800;

/** What is wrong with an event of a batch, or null. */
function problemOf(event, versionFourOnly) {
  if (event === null || typeof event !== "object") return "an event must be an object";
  if (!isText(event.id)) return "id must be a string of 1 to 800 characters";
  if (event.type !== "sdk-log" && !KINDS[event.type]) return `type ${JSON.stringify(event.type)} is not supported`;
  if (versionFourOnly && !VERSION_FOUR.includes(event.type)) return `type ${event.type} is of version 3`;
  if (Number.isNaN(Date.parse(event.timestamp))) return "timestamp must be a time in ISO 8601";
  if (event.type !== "sdk-log" && !isText(event.body?.id)) return "body.id must be a string of 1 to 800 characters";
  return null;
}

/** Splits a batch into accepted events and errors, as the answer with status 207 reports them. */
function sortBatch(batch, versionFourOnly = false) {
  const accepted = [];
  const errors = [];
  for (const event of batch) {
    const problem = problemOf(event, versionFourOnly);
    if (problem) {
      const id = typeof event?.id === "string" ? event.id : "unknown";
      errors.push({ id, status: 400, message: "Invalid request data", error: problem });
    } else accepted.push(event);
  }
  return { accepted, errors };
}

/** A segment of an object's key. MinIO stores it as a file name, so `/` and long ids must not stay as they are. */
function keySegment(id, maximum) {
  const encoded = encodeURIComponent(id).replaceAll(".", "%2E"); // `..` is no file name
  if (Buffer.byteLength(encoded) <= maximum) return encoded;
  const hash = require("node:crypto").createHash("sha256").update(id).digest("hex");
  return encoded.slice(0, Math.max(maximum - hash.length - 1, 0)) + "-" + hash;
}

/** The time as ClickHouse reads it. Releases differ in how they read a number (seconds or milliseconds). */
const clickhouseTime = (date) => date.toISOString().replace("T", " ").replace("Z", "");

/** The row of an event of the ingestion API. Of rows with the same kind and id, the one with the last time stays. */
function rowOfEvent(event, context) {
  const { body } = event;
  const kind = KINDS[event.type];
  return row(context, {
    id: body.id,
    kind,
    trace_id: kind === "trace" ? body.id : (body.traceId ?? ""),
    name: body.name ?? "",
    body: JSON.stringify(body),
    time: new Date(event.timestamp),
  });
}

/** The rows of the spans of an OTLP request in JSON (opentelemetry.io/docs/specs/otlp). */
function rowsOfSpans(resourceSpans, context) {
  const list = (value = []) => {
    if (!Array.isArray(value)) throw new TypeError("scopeSpans and spans must be lists");
    return value;
  };
  const spans = list(resourceSpans)
    .flatMap((each) => list(each.scopeSpans))
    .flatMap((each) => list(each.spans));
  return spans.map((span) =>
    row(context, {
      id: span.spanId,
      kind: "observation",
      trace_id: span.traceId,
      name: span.name ?? "",
      body: JSON.stringify(span),
      time: new Date(Number(BigInt(span.startTimeUnixNano ?? 0) / 1_000_000n)),
    }),
  );
}

function row({ project, web, worker }, { time, ...rest }) {
  const at = clickhouseTime(time);
  return { project_id: project, web, worker, timestamp: at, event_ts: at, is_deleted: 0, ...rest };
}

/** Whether every span has the ids that a row needs. Langfuse also rejects a request with one bad span as a whole. */
function spansAreValid(resourceSpans) {
  try {
    const hexadecimal = /^[0-9a-f]+$/i;
    return rowsOfSpans(resourceSpans, {}).every((each) => hexadecimal.test(each.id) && hexadecimal.test(each.trace_id));
  } catch {
    return false;
  }
}

module.exports = { KINDS, keySegment, rowOfEvent, rowsOfSpans, sortBatch, spansAreValid };
