"use strict";
// Sends a trace with the variables of a client, reads it back with the same keys, and deletes it.
//
// `python -m operations clients check` runs it in a pod of the client's namespace. It prints facts, one line of JSON each;
// `hops.py` decides what they mean. It needs nothing but Node, and prints no key.
//
// Environment: the ConfigMap and the Secret of the client; CHECK_KIND, its kind; CHECK_TRACE, the id of the trace;
// CHECK_PATIENCE_SECONDS for connections, and CHECK_READ_SECONDS until the trace can be read.

const dns = require("node:dns/promises");
const net = require("node:net");
const tls = require("node:tls");
const { setTimeout: sleep } = require("node:timers/promises");

const OTLP_PATH = "/api/public/otel/v1/traces";
const STEP_MILLISECONDS = 5000;
const REQUEST_MILLISECONDS = 15_000;
const SHOWN = 300;
const NAME = "langfuse-check";

const seconds = (since) => (Date.now() - since) / 1000;

/** The codes and the message of an error. Those of `fetch` are in its cause. */
function reason(error) {
  const found = [error.cause?.code, error.code, error.cause?.message, error.name, error.message];
  return [...new Set(found.filter((one) => one && typeof one === "string"))].join(": ");
}

function print(step, fact) {
  console.log(JSON.stringify({ step, ...fact }));
  return !fact.error;
}

/** Where the client sends, and how it signs, by its variables. */
function target(env) {
  const basic = `Basic ${Buffer.from(`${env.LANGFUSE_PUBLIC_KEY}:${env.LANGFUSE_SECRET_KEY}`).toString("base64")}`;
  if (env.CHECK_KIND !== "otel") {
    const host = env.CHECK_KIND === "litellm" ? env.LANGFUSE_OTEL_HOST : env.LANGFUSE_BASE_URL;
    return { url: host.replace(/\/+$/, ""), basic, headers: { authorization: basic } };
  }
  const pairs = env.OTEL_EXPORTER_OTLP_TRACES_HEADERS.split(",").map((pair) => {
    const at = pair.indexOf("=");
    return [pair.slice(0, at).trim().toLowerCase(), decodeURIComponent(pair.slice(at + 1).trim())];
  });
  const url = env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT.replace(OTLP_PATH, "");
  return { url, basic, headers: Object.fromEntries(pairs) };
}

/** What a client of the kind sends: events of version 3 from Dify, spans from all others. */
function content(kind, trace, environment) {
  const span = trace.slice(0, 16);
  if (kind === "dify") {
    const timestamp = new Date().toISOString();
    const event = (type, body) => ({ id: `${trace}-${type}`, type, timestamp, body: { name: NAME, environment, ...body } });
    const observation = { id: span, traceId: trace, startTime: timestamp, endTime: timestamp };
    const batch = [event("trace-create", { id: trace, timestamp }), event("span-create", observation)];
    return { path: "/api/public/ingestion", body: { batch } };
  }
  const text = (key, value) => ({ key, value: { stringValue: value } });
  const now = `${Date.now()}000000`;
  const attributes = [text("service.name", NAME), ...(environment ? [text("langfuse.environment", environment)] : [])];
  const spans = [
    { traceId: trace, spanId: span, name: NAME, kind: 1, startTimeUnixNano: now, endTimeUnixNano: now, attributes: [] },
  ];
  const body = { resourceSpans: [{ resource: { attributes }, scopeSpans: [{ scope: { name: NAME }, spans }] }] };
  // SDKs state the version of their spans (langfuse.com/integrations/native/opentelemetry, real-time ingestion).
  return { path: OTLP_PATH, body, headers: kind === "sdk" ? { "x-langfuse-ingestion-version": "4" } : {} };
}

/** One attempt after another: a sidecar or a network rule of a new pod may take a moment. */
async function patiently(env, step, attempt) {
  const begun = Date.now();
  const deadline = begun + Number(env.CHECK_PATIENCE_SECONDS) * 1000;
  for (;;) {
    try {
      return print(step, { detail: (await attempt()) ?? "", seconds: seconds(begun) });
    } catch (error) {
      if (Date.now() > deadline) return print(step, { error: reason(error), seconds: seconds(begun) });
    }
    await sleep(1000);
  }
}

function connect(host, port) {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host, port, autoSelectFamilyAttemptTimeout: STEP_MILLISECONDS });
    socket.setTimeout(STEP_MILLISECONDS, () => {
      socket.destroy();
      reject(Object.assign(new Error("no answer within 5 s"), { code: "ETIMEDOUT" }));
    });
    socket.once("error", reject).once("connect", () => {
      resolve(`port ${port} at ${socket.remoteAddress}`);
      socket.destroy();
    });
  });
}

function certificate(host, port) {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host, port, servername: net.isIP(host) ? undefined : host });
    socket.setTimeout(STEP_MILLISECONDS, () => reject(Object.assign(new Error("no answer"), { code: "ETIMEDOUT" })));
    socket.once("error", reject).once("secureConnect", () => {
      resolve(`certificate until ${new Date(socket.getPeerCertificate().valid_to).toISOString()}`);
      socket.destroy();
    });
  });
}

async function request(method, url, headers, body) {
  const answer = await fetch(url, {
    method,
    headers: { ...headers, ...(body ? { "content-type": "application/json" } : {}) },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(REQUEST_MILLISECONDS),
  });
  return { status: answer.status, text: await answer.text() };
}

/** Prints the answer of a request as a fact. `detail` of a good answer is made of its JSON. */
async function ask(step, send, detail) {
  try {
    const { status, text } = await send();
    let shown = text.slice(0, SHOWN);
    try {
      if (status < 300) shown = detail(JSON.parse(text));
    } catch {
      // not the JSON of Langfuse: the beginning of the answer says what it is
    }
    return print(step, { status, detail: shown }) && status < 300;
  } catch (error) {
    return print(step, { error: reason(error) });
  }
}

/** Whether the trace can be read: by the API of version 4, or that of version 3 in phases that still have it. */
async function readable(url, headers, trace) {
  const now = await request("GET", `${url}/api/public/v2/observations?traceId=${trace}&fields=core&limit=1`, headers);
  if (now.status === 200 && JSON.parse(now.text).data.length) return 200;
  const before = await request("GET", `${url}/api/public/traces/${trace}`, headers);
  return before.status === 200 ? 200 : now.status === 200 ? 404 : now.status;
}

async function readBack(env, url, headers, trace) {
  const begun = Date.now();
  let last = { status: 0, error: "" };
  while (seconds(begun) < Number(env.CHECK_READ_SECONDS)) {
    try {
      last = { status: await readable(url, headers, trace) };
      if (last.status === 200) return print("read", { status: 200, detail: "the trace is there", seconds: seconds(begun) });
    } catch (error) {
      last = { status: 0, error: reason(error) };
    }
    await sleep(1000);
  }
  const error = last.error || `the trace can't be read after ${env.CHECK_READ_SECONDS} s`;
  return print("read", { status: last.status, error, seconds: seconds(begun) });
}

async function main(env) {
  const trace = env.CHECK_TRACE;
  const { url, basic, headers } = target(env);
  const { hostname, protocol, port } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, "");
  const at = Number(port || (protocol === "https:" ? 443 : 80));
  const resolved = async () => (await dns.lookup(host, { all: true })).map((one) => one.address).join(", ");
  if (!(await patiently(env, "dns", resolved))) return;
  if (!(await patiently(env, "connect", () => connect(host, at)))) return;
  if (protocol === "https:" && !(await patiently(env, "tls", () => certificate(host, at)))) return;
  const project = () => request("GET", `${url}/api/public/projects`, { authorization: basic });
  if (!(await ask("project", project, (body) => body.data[0].id))) return;
  const environment = env.LANGFUSE_TRACING_ENVIRONMENT ?? /langfuse\.environment=([^,]+)/.exec(env.OTEL_RESOURCE_ATTRIBUTES)?.[1];
  const sent = content(env.CHECK_KIND, trace, environment);
  const send = () => request("POST", url + sent.path, { ...headers, ...sent.headers }, sent.body);
  const accepted = (body) => (body.errors?.length ? JSON.stringify({ errors: body.errors }) : `trace ${trace}`);
  if (!(await ask("send", send, accepted))) return;
  await readBack(env, url, { authorization: basic }, trace); // a trace that can't be read yet is deleted all the same
  const erase = () => request("DELETE", `${url}/api/public/traces/${trace}`, { authorization: basic });
  await ask("delete", erase, () => "the trace is deleted");
}

main(process.env).catch((error) => {
  console.error(`clients check: ${reason(error)}`);
  process.exitCode = 1;
});
