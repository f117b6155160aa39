"use strict";
// Sends a bounded load to web, and reads back what web accepted. It uses nothing but Node.
//
// Usage: node load.js send [OPTION VALUE ...]
//   --url URL            address of web (required)
//   --seconds N          how long to send (10), or until SIGTERM
//   --fresh N            clients that open a connection for each request (2)
//   --kept N             clients that keep their connection open (2)
//   --pause MS           between two requests of a client (100)
//   --timeout MS         for one request (10000)
//   --api NAME           ingestion, otel, or a path to GET (ingestion)
//   --host NAME          the Host header, if it is not that of the URL
//   --read-back SECONDS  how long to wait until every accepted event can be read; 0 reads nothing back (0)
//
// and: node load.js read --url URL --run RUN --accepted RANGES [--host NAME] [--read-back SECONDS]
//
// LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY are the API keys. A client repeats a failed event until it is accepted
// or the time is over. The summary is one line of JSON on standard output; `lost` counts accepted events that can't be
// read back. The exit code is 1 if an event is lost, else 0: failed requests are for the caller to judge.

const { randomBytes } = require("node:crypto");
const http = require("node:http");
const https = require("node:https");
const { parseArgs } = require("node:util");

const REPORTED = 50; // of failures and of lost ids: the summary stays small

const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** `run` and a number make an id of 32 hexadecimal digits, which is a trace id for both APIs. */
const idOf = (run, number) => run + number.toString(16).padStart(32 - run.length, "0");

/** Numbers as ranges, such as `0-3,7`. */
function toRanges(numbers) {
  const ranges = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last && last[1] + 1 === number) last[1] = number;
    else ranges.push([number, number]);
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(",");
}

/** The reverse of toRanges. */
function fromRanges(text) {
  return text
    .split(",")
    .filter(Boolean)
    .flatMap((range) => {
      const [from, to = from] = range.split("-").map(Number);
      return Array.from({ length: to - from + 1 }, (_, index) => from + index);
    });
}

/** One request. Resolves to status, body and pod; rejects without an answer. */
function request(options, { method = "GET", path, body, agent }) {
  const url = new URL(path, options.url);
  const headers = {
    ...(options.host ? { host: options.host } : {}),
    ...(options.authorization ? { authorization: options.authorization } : {}),
    ...(body ? { "content-type": "application/json", "content-length": Buffer.byteLength(body) } : {}),
  };
  const { request: send } = url.protocol === "https:" ? https : http;
  return new Promise((resolve, reject) => {
    const call = send(url, { method, headers, agent, signal: AbortSignal.timeout(options.timeout) }, (answer) => {
      const chunks = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("error", reject);
      answer.on("end", () => {
        const pod = answer.headers["x-probe-pod"] ?? "unknown";
        resolve({ status: answer.statusCode, body: Buffer.concat(chunks).toString(), pod });
      });
    });
    call.on("error", reject);
    call.end(body);
  });
}

/** What a client sends for an id. */
function content(api, id) {
  const now = new Date();
  if (api === "otel") {
    const nanoseconds = `${now.getTime()}000000`;
    const span = { traceId: id, spanId: id.slice(-16), name: "probe", startTimeUnixNano: nanoseconds };
    const body = { resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] };
    return { method: "POST", path: "/api/public/otel/v1/traces", body: JSON.stringify(body) };
  }
  if (api !== "ingestion") return { path: api };
  const event = { id, type: "trace-create", timestamp: now.toISOString(), body: { id, name: "probe" } };
  return { method: "POST", path: "/api/public/ingestion", body: JSON.stringify({ batch: [event] }) };
}

/** Whether an answer says that the event is stored. */
function isAccepted(api, { status, body }) {
  if (api !== "ingestion") return status === 200;
  return status === 207 && JSON.parse(body).errors.length === 0;
}

class Load {
  constructor(options) {
    this.options = options;
    this.run = randomBytes(8).toString("hex");
    this.next = 0;
    this.accepted = new Set();
    this.pending = new Set();
    this.statuses = {};
    this.pods = {};
    this.failures = [];
    this.latencies = [];
    this.started = Date.now();
    this.stopped = false;
  }

  agent(kept) {
    const { Agent } = this.options.url.startsWith("https:") ? https : http;
    return kept ? new Agent({ keepAlive: true, maxSockets: 1 }) : new Agent({ keepAlive: false });
  }

  /** Sends until the time is over. A failed event is sent again after the pause. */
  async client(kept) {
    const agent = this.agent(kept);
    const end = this.started + this.options.seconds * 1000;
    let number;
    while (Date.now() < end && !this.stopped) {
      number ??= this.next++;
      if (await this.send(number, agent, kept)) number = undefined;
      await sleep(this.options.pause);
    }
    agent.destroy();
  }

  async send(number, agent, kept) {
    const { api } = this.options;
    const kind = kept ? "kept" : "fresh";
    const began = Date.now();
    const count = (map, key) => (map[key] = (map[key] ?? 0) + 1);
    this.pending.add(number);
    try {
      const answer = await request(this.options, { ...content(api, idOf(this.run, number)), agent });
      count(this.statuses, `${kind} ${answer.status}`);
      count(this.pods, answer.pod);
      this.latencies.push(Date.now() - began);
      if (!isAccepted(api, answer)) throw new Error(`status ${answer.status}: ${answer.body.slice(0, 200)}`);
      this.accepted.add(number);
      this.pending.delete(number);
      return true;
    } catch (error) {
      const at = (began - this.started) / 1000;
      this.failures.push({ at, took: (Date.now() - began) / 1000, kind, error: error.message || error.code });
      return false;
    }
  }

  async sendAll() {
    const clients = [true, false].flatMap((kept) =>
      Array.from({ length: kept ? this.options.kept : this.options.fresh }, () => this.client(kept)),
    );
    await Promise.all(clients);
  }

  summary() {
    const sorted = this.latencies.sort((a, b) => a - b);
    const outage = this.failures.length
      ? Math.max(...this.failures.map(({ at, took }) => at + took)) - Math.min(...this.failures.map(({ at }) => at))
      : 0;
    const percentile = (share) => sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? null;
    return {
      run: this.run,
      seconds: (Date.now() - this.started) / 1000,
      requests: this.latencies.length + this.failures.filter(({ error }) => !error.startsWith("status")).length,
      failed: this.failures.length,
      failures: this.failures.slice(0, REPORTED),
      outage, // seconds from the start of the first failed request to the end of the last one
      statuses: this.statuses,
      pods: this.pods,
      milliseconds: { p50: percentile(0.5), p99: percentile(0.99), max: sorted.at(-1) ?? null },
      accepted: this.accepted.size,
      unaccepted: this.pending.size,
      ranges: toRanges(this.accepted),
    };
  }
}

async function readableIds(options, run) {
  const ids = new Set();
  let rows = 0;
  let after = "";
  for (;;) {
    const answer = await request(options, { path: `/api/public/probe/traces?prefix=${run}&after=${after}` });
    if (answer.status !== 200) throw new Error(`status ${answer.status}: ${answer.body.slice(0, 200)}`);
    const page = JSON.parse(answer.body);
    page.ids.forEach((id) => ids.add(id));
    rows += page.rows;
    if (!page.more) return { ids, rows };
    after = page.ids.at(-1);
  }
}

/** Reads until every accepted event is there, or the time is over. */
async function readBack(options, run, numbers) {
  const began = Date.now();
  const expected = numbers.map((number) => idOf(run, number));
  for (;;) {
    const found = await readableIds(options, run).catch((error) => ({ ids: new Set(), rows: 0, error: error.message }));
    const lost = expected.filter((id) => !found.ids.has(id));
    const seconds = (Date.now() - began) / 1000;
    if (!lost.length || seconds >= options.readBack) {
      const inserted = { rows: found.rows, readable: found.ids.size, ...(found.error ? { error: found.error } : {}) };
      return { lost: lost.length, lostIds: lost.slice(0, REPORTED), readBackSeconds: seconds, ...inserted };
    }
    await sleep(500);
  }
}

function readOptions(words) {
  const defaults = {
    ...{ url: "", seconds: "10", fresh: "2", kept: "2", pause: "100", timeout: "10000", api: "ingestion" },
    ...{ host: "", "read-back": "0", run: "", accepted: "" },
  };
  const options = Object.fromEntries(Object.keys(defaults).map((name) => [name, { type: "string" }]));
  const { values, positionals } = parseArgs({ args: words, options, allowPositionals: true });
  const given = { ...defaults, ...values };
  for (const name of ["seconds", "fresh", "kept", "pause", "timeout", "read-back"]) given[name] = Number(given[name]);
  const { LANGFUSE_PUBLIC_KEY: user, LANGFUSE_SECRET_KEY: password } = process.env;
  const authorization = user ? `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` : "";
  return { ...given, command: positionals[0], readBack: given["read-back"], authorization };
}

async function main() {
  const options = readOptions(process.argv.slice(2));
  if (!options.url || !["send", "read"].includes(options.command)) {
    process.stderr.write("usage: node load.js send|read --url URL [OPTION VALUE ...]\n");
    process.exit(2);
  }
  let summary = {};
  let numbers = fromRanges(options.accepted);
  let { run } = options;
  if (options.command === "send") {
    const load = new Load(options);
    process.once("SIGTERM", () => (load.stopped = true));
    await load.sendAll();
    summary = load.summary();
    numbers = [...load.accepted];
    run = load.run;
  }
  if (options.readBack || options.command === "read") Object.assign(summary, await readBack(options, run, numbers));
  process.stdout.write(`${JSON.stringify(summary)}\n`);
  process.exitCode = summary.lost ? 1 : 0;
}

if (require.main === module) main();

module.exports = { content, fromRanges, idOf, toRanges };
