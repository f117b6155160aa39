"use strict";
// Which phases of the way from version 3 of Langfuse to version 4 an installation may take:
// docs/decisions/v4-phases.md.
//
// The rules get facts (phase-facts.js), and add one line for each thing that they looked at to the results.

const { reason } = require("./store-results.js");

const ORDER = ["legacy", "dual", "backfill", "events_only"];

/**
 * Bytes that the backfill needs for each byte of the old tables. Langfuse says "roughly 3x" (upgrade guide v3 to v4).
 * Measured with its statements: 2.8 to 3.6 times, and merges need more for a while.
 */
const FACTOR = 4;

/** The new tables got rows for this long while the old ones got none: the installation is in events_only. */
const CUT_OVER_SECONDS = 3600;

/** Traces that may be missing of a thousand: a client can delete one between two reads. */
const TOLERATED = 1;

const RUNBOOK = "docs/runbooks/v3-to-v4.md";

const gib = (bytes) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
const time = (seconds) => `${new Date(seconds * 1000).toISOString().slice(0, 16)}Z`;
const size = (facts, table) => facts.tables[table] ?? { rows: 0, bytes: 0 };
const oldRows = (facts) => size(facts, "traces").rows + size(facts, "observations").rows;
const started = (step) => step.phase !== "init" || step.running || Boolean(step.finished || step.failed);

/** The state of the backfill: none, waiting, running, failed or finished. */
function backfill(facts) {
  const { steps } = facts;
  if (!steps.length) return "none";
  if (steps.every((step) => step.finished)) return "finished";
  if (steps.some((step) => step.failed)) return "failed";
  return steps.some(started) ? "running" : "waiting";
}

/** Whether every trace of the last hour is in the tables of both versions. */
function dualIsLive({ lastDay }) {
  return Boolean(lastDay?.present) && lastDay.missing === 0 && lastDay.newest_present > lastDay.newest_missing;
}

/** Since when only the new tables get rows, in seconds; 0 if the old ones do too. */
function cutOver({ newest }) {
  return newest && newest.events - newest.old > CUT_OVER_SECONDS ? newest.old || newest.events : 0;
}

/** The phase that the installation has reached, as its data shows it: a phase, "empty", or "unknown". */
function reached(facts) {
  if (oldRows(facts) === 0) return size(facts, "events_full").rows ? "events_only" : "empty";
  if (!facts.tables.events_full) return "legacy";
  if (cutOver(facts)) return "events_only";
  if (dualIsLive(facts)) return ["none", "waiting"].includes(backfill(facts)) ? "dual" : "backfill";
  return facts.lastDay.traces && !facts.lastDay.present ? "legacy" : "unknown";
}

function found(facts) {
  const version = facts.tables.events_full ? "" : ", with the schema of version 3";
  const why = {
    empty: "there are no traces",
    legacy: `only the tables of version 3 get traces${version}`,
    dual: "the tables of both versions get traces",
    backfill: `the tables of both versions get traces, and the backfill is ${backfill(facts)}`,
    events_only: "only the tables of version 4 get traces",
    unknown: liveness(facts),
  };
  const phase = reached(facts);
  return `${phase === "unknown" ? "no phase is certain" : phase}: ${why[phase]}`;
}

/** Why dual writing is not certain. */
function liveness({ lastDay }) {
  if (!lastDay?.traces) return "no trace arrived within the last day, or only within the last 20 minutes";
  if (!lastDay.present) return `none of ${lastDay.traces} traces of the last day is in the tables of version 4`;
  const missing = `${lastDay.missing} traces of the last hour are not in the tables of version 4`;
  return lastDay.missing
    ? `${missing}, the last of them of ${time(lastDay.newest_missing)}`
    : "the newest traces are not in the tables of version 4";
}

function refuseSkip(facts, results, next) {
  const fix = `set langfuse:ingestion.phase to ${next} (${RUNBOOK})`;
  results.refuse("order", `found ${found(facts)}; phases can't be skipped`, fix);
}

function legacy(facts, results) {
  const state = backfill(facts);
  if (["none", "waiting"].includes(state)) return results.add("ok", "the backfill has not begun");
  results.refuse(
    "order",
    `the backfill is ${state}, and runs only once: what is written in legacy would be missing in version 4 forever`,
    "set langfuse:ingestion.phase to dual",
  );
}

function dual(facts, results) {
  const since = cutOver(facts);
  if (!since) return results.add("ok", found(facts));
  results.warn("order", `traces since ${time(since)} are in the tables of version 4 only, and stay there`);
}

/** The bytes that the backfill still needs. What it has written is taken off once it has begun. */
function needed(facts) {
  const old = size(facts, "traces").bytes + size(facts, "observations").bytes;
  const written = ["events_full", "events_core", "observations_pid_tid_sorting"];
  const begun = ["running", "failed"].includes(backfill(facts));
  return Math.max(0, FACTOR * old - (begun ? written.reduce((sum, table) => sum + size(facts, table).bytes, 0) : 0));
}

/** What the backfill needs of the server. Each step returns what it found, or throws a Problem. */
async function canBackfill(facts, results, user) {
  const disk = async () => {
    const [free, least] = [await facts.freeBytes(), needed(facts)];
    if (free >= least) return `${gib(free)} free, and the backfill needs up to ${gib(least)}`;
    return results.problem(
      `${gib(free)} are free on a server of ClickHouse, and the backfill needs ${gib(least)}: ${FACTOR} times the ` +
        "tables traces and observations",
      "raise langfuse:clickhouse.storage, or the disk of the external server",
    );
  };
  const log = async () => {
    if (await facts.statementIsLogged()) return "the server logs statements";
    return results.problem(
      "the log shows no statement that was just run; without it, every chunk of the backfill fails for good",
      "turn on query_log on the server, and log_queries in the profile of the user",
    );
  };
  const grants = async () => {
    const { missing, database } = await facts.missingGrants();
    if (!missing.length) return "the user may freeze and synchronize tables";
    const privileges = missing.join(", ");
    const fix = `run on the server: GRANT ${privileges} ON ${database}.* TO ${user}`;
    return results.problem(`the user ${user} lacks ${privileges}`, fix);
  };
  await results.separately("free disk", disk, results.granting(user));
  await results.separately("query_log", log, results.granting(user, "turn on query_log on the server, or "));
  await results.separately("grants", grants, results.granting(user));
}

async function backfillPhase(facts, results, user) {
  const state = backfill(facts);
  if (oldRows(facts) === 0) return results.add("ok", "there are no rows to copy");
  if (!facts.tables.events_full) return refuseSkip(facts, results, "dual");
  if (state === "finished") return results.add("ok", "the backfill has finished");
  if (cutOver(facts)) return refuseSkip(facts, results, "dual");
  if (dualIsLive(facts)) results.add("ok", "the tables of both versions get traces", "dual writing");
  else {
    const text = `dual writing must be live before the backfill, which runs only once: ${liveness(facts)}`;
    const fix = `set langfuse:ingestion.phase to dual, send traces, and wait for an hour and a half (${RUNBOOK})`;
    if (["none", "waiting"].includes(state)) results.refuse("dual writing", text, fix);
    else results.warn("dual writing", text);
  }
  await canBackfill(facts, results, user);
}

const LOSS = {
  batch: "by the batch interface: everything that it sends would be refused",
  otel: "by OpenTelemetry without version 4: its spans would not get the user, session and tags of their trace",
};

/** Lists what stops working in events_only. */
async function broken(facts, results) {
  const named = (id) => `project ${facts.projects[id] ?? id}`;
  for (const one of await facts.clients()) {
    const client = `${one.sdk || "unknown"} ${one.version}`.trim();
    const text = `${named(one.project)}: ${client}, ${one.rows} rows, last at ${one.last.slice(0, 16)}Z`;
    results.warn("client", `${text}, ${LOSS[one.interface]}`, "upgrade it");
  }
  for (const { project, what, number } of facts.features) {
    results.warn("feature", `${named(project)}: ${number} ${what} would stop`, "replace them in the UI");
  }
  const reads = await facts.readers().catch((error) => {
    results.warn("reader", `what clients read is not known: ${reason(error)}`);
    return [];
  });
  for (const { project, route, reads: number } of reads) {
    const text = `${named(project)}: ${number} statements for ${route}, which would answer 404`;
    results.warn("reader", text, "upgrade it");
  }
}

async function eventsOnly(facts, results, { acknowledged, backfills, user }) {
  if (oldRows(facts) === 0) return results.add("ok", "there are no rows of version 3");
  if (!facts.tables.events_full) return refuseSkip(facts, results, "dual");
  const since = cutOver(facts);
  if (since) return results.add("ok", `only the tables of version 4 get traces, since ${time(since)}`);
  const state = backfill(facts);
  const waits = ["none", "waiting"].includes(state);
  if (waits && !dualIsLive(facts)) return refuseSkip(facts, results, "dual");
  if (!waits && state !== "finished") return refuseSkip(facts, results, "backfill");
  const { traces, missing, oldest, newest } = await facts.coverage();
  if (missing * 1000 > traces * TOLERATED) {
    if (waits) return refuseSkip(facts, results, "backfill");
    results.refuse(
      "copied traces",
      `${missing} of ${traces} traces are not in the tables of version 4, of ${oldest} to ${newest}`,
      `keep langfuse:ingestion.phase at backfill (${RUNBOOK})`,
    );
  } else results.add("ok", `${traces - missing} of ${traces} traces are in the tables of version 4`, "copied traces");
  // Older rows have expired since dual writing began. Workers do the backfill nevertheless, unless it is off.
  if (waits && backfills) await canBackfill(facts, results, user);
  await broken(facts, results);
  if (acknowledged) return undefined;
  return results.refuse(
    "acknowledgement",
    "there is no way back, and clients that are listed here lose what they send",
    "set langfuse:ingestion.acknowledgeEventsOnly to true",
  );
}

/** Checks whether an installation may take a phase. */
async function check(phase, facts, results, options) {
  results.check = `phase ${phase}`;
  if (phase === "legacy") legacy(facts, results);
  if (phase === "dual") dual(facts, results);
  if (phase === "backfill") await backfillPhase(facts, results, options.user);
  if (phase === "events_only") await eventsOnly(facts, results, options);
}

/** The step that runs, and how long the rest takes at its pace. */
function progress(step) {
  if (step.finished) return `finished at ${step.finished.slice(0, 16)}Z`;
  if (step.failed) return `failed at ${step.failed.slice(0, 16)}Z: ${step.reason}`;
  if (!started(step)) return "has not begun";
  const where = step.chunks ? `${step.done} of ${step.chunks} chunks` : `${step.items ?? 0} items`;
  const left = step.done ? (step.seconds / step.done) * (step.chunks - step.done) : 0;
  const rest = left ? `, about ${(left / 3600).toFixed(1)} h left at this pace` : "";
  return `${where}${rest}${step.running ? "" : "; no worker runs it"}`;
}

/** Reports how far an installation is, and what blocks the next phase. */
async function report(phase, facts, results, options) {
  results.add("ok", phase, "asked");
  const now = reached(facts);
  results.add("ok", found(facts), "reached");
  for (const step of facts.steps) {
    const name = step.name.replace(/^\d+_v4_step_(\d+)_/, "$1 ").replaceAll("_", " ");
    const fix = "mend the reason, then retry it on the page of background migrations in the UI";
    if (step.failed) results.warn(`backfill ${name}`, progress(step), fix);
    else results.add("ok", progress(step), `backfill ${name}`);
  }
  await check(phase, facts, results, options);
  const next = ORDER[ORDER.indexOf(now) + 1];
  if (!next || ORDER.indexOf(next) <= ORDER.indexOf(phase)) return;
  await check(next, facts, results.about(`next, ${next}: `), options);
}

module.exports = { backfill, check, needed, reached, report };
