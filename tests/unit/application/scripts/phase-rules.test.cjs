"use strict";
// The rules of the phases where real databases are hard to bring into the state.

const assert = require("node:assert");
const test = require("node:test");
const rules = require("../../../../components/application/scripts/phase-rules.js");

const { backfill, needed, reached } = rules;

const GIB = 2 ** 30;
const step = (more) => ({ name: "20260701_v4_step_1_create", phase: "init", running: false, ...more });

/** An installation in phase dual, with 100 GiB of old rows. */
function dual(more = {}) {
  return {
    tables: {
      traces: { rows: 9, bytes: 40 * GIB },
      observations: { rows: 9, bytes: 60 * GIB },
      events_full: { rows: 9, bytes: 20 * GIB },
    },
    lastDay: { traces: 9, present: 9, missing: 0, newest_present: 2000, newest_missing: 0 },
    newest: { old: 5000, events: 5000 },
    steps: [step()],
    projects: {},
    features: [],
    freeBytes: async () => 399 * GIB,
    statementIsLogged: async () => true,
    missingGrants: async () => ({ missing: [], database: "default" }),
    ...more,
  };
}

/** Collects what is refused. */
function results() {
  const refused = [];
  const found = {
    refused,
    add: () => {},
    warn: () => {},
    refuse: (check, detail, fix) => refused.push(`${check}: ${detail}; ${fix}`),
    granting: () => () => undefined,
    problem: (detail, fix) => {
      throw Object.assign(new Error(detail), { fix });
    },
    separately: (check, run) => run().catch((error) => found.refuse(check, error.message, error.fix)),
  };
  return found;
}

const refused = async (phase, facts, options = {}) => {
  const found = results();
  await rules.check(phase, facts, found, { acknowledged: true, backfills: true, user: "langfuse", ...options });
  return found.refused;
};

test("the backfill needs four times the old tables, less what it has written", async () => {
  assert.strictEqual(needed(dual()), 400 * GIB);
  const [line, ...others] = await refused("backfill", dual());
  assert.deepStrictEqual(others, []);
  assert.match(line, /399.0 GiB are free on a server of ClickHouse, and the backfill needs 400.0 GiB.*storage/);
  assert.deepStrictEqual(await refused("backfill", dual({ freeBytes: async () => 400 * GIB })), []);
  const running = dual({ steps: [step({ phase: "backfill", running: true })] });
  assert.strictEqual(needed(running), 380 * GIB);
  assert.deepStrictEqual(await refused("backfill", running), []);
});

test("events_only needs no backfill once all older rows have expired", async () => {
  const expired = { coverage: async () => ({ traces: 9, missing: 0 }), clients: async () => [], readers: async () => [] };
  const full = dual({ ...expired, freeBytes: async () => GIB });
  assert.match((await refused("events_only", full))[0], /^free disk: /); // workers would begin the backfill
  assert.deepStrictEqual(await refused("events_only", full, { backfills: false }), []);
  const early = dual({ ...expired, coverage: async () => ({ traces: 9, missing: 1 }) });
  assert.match((await refused("events_only", early))[0], /found dual.*set langfuse:ingestion.phase to backfill/);
});

test("a quiet installation is in no certain phase, and does not begin the backfill", async () => {
  const quiet = dual({ lastDay: { traces: 0, present: 0, missing: 0, newest_present: 0, newest_missing: 0 } });
  assert.strictEqual(reached(quiet), "unknown");
  assert.match((await refused("backfill", quiet))[0], /^dual writing: .*no trace arrived within the last day/);
});

test("a span long after its trace is no sign that version 3 gets nothing any more", () => {
  assert.strictEqual(reached(dual({ newest: { old: 5000, events: 8600 } })), "dual");
  assert.strictEqual(reached(dual({ newest: { old: 5000, events: 8601 } })), "events_only");
});

test("the backfill is finished when every step is, and has failed when one has", () => {
  const finished = step({ finished: "2026-11-26" });
  assert.strictEqual(backfill({ steps: [] }), "none");
  assert.strictEqual(backfill({ steps: [step(), step()] }), "waiting");
  assert.strictEqual(backfill({ steps: [finished, step()] }), "running");
  assert.strictEqual(backfill({ steps: [finished, step({ failed: "2026-11-26" })] }), "failed");
  assert.strictEqual(backfill({ steps: [finished, finished] }), "finished");
});
