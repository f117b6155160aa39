"use strict";
// Checks that an installation may take a phase of the way from version 3 of Langfuse to version 4, as its data shows
// it. Prints one line for each thing that it looked at. Exits with 1 if the phase is refused. Changes nothing.
//
// Runs in the image of worker, the only one with clients of both databases.
//
// Environment: the variables of worker for the databases, DIRECT_URL, PHASE (what is configured), ACKNOWLEDGED (true:
// the loss of older clients is accepted), BACKFILLS (true: workers do the backfill), LOG_SECONDS (how long query_log
// may take to show a statement), STORE_CHECKS ("report": what the server can't do refuses nothing), and REPORT ("json"
// prints JSON, and what blocks the next phase).

const clickhouse = require("./check-clickhouse.js");
const facts = require("./phase-facts.js");
const rules = require("./phase-rules.js");
const { Problem, reason, redact } = require("./store-results.js");

/** What was found. */
class Findings {
  /** `reports`: what the server can't do refuses nothing. */
  constructor(reports, lines = [], prefix = "") {
    this.reports = reports;
    this.lines = lines;
    this.prefix = prefix;
    this.check = "phase";
  }

  /** Findings about another phase than the configured one: they refuse nothing. */
  about(prefix) {
    return new Findings(this.reports, this.lines, prefix);
  }

  add(outcome, detail, check = this.check, fix = undefined) {
    const known = this.prefix && outcome === "failed" ? "warning" : outcome;
    this.lines.push({ store: "phase", check: this.prefix + check, outcome: known, detail, ...(fix ? { fix } : {}) });
  }

  warn(check, detail, fix) {
    this.add("warning", detail, check, fix);
  }

  refuse(check, detail, fix) {
    this.add("failed", detail, check, fix);
  }

  problem(detail, fix) {
    throw new Problem(detail, fix);
  }

  /** Does a step that the next ones do not need. `explain` turns an error into a Problem. */
  async separately(check, run, explain) {
    try {
      this.add("ok", await run(), check);
    } catch (error) {
      const known = error instanceof Problem ? error : explain?.(error);
      this.add(this.reports ? "warning" : "failed", known?.message ?? reason(error), check, known?.fix);
    }
  }

  /** Explains errors of ClickHouse for a user. */
  granting(user, otherwise = "") {
    return (error) => {
      const known = clickhouse.explain(error, user);
      return known && new Problem(known.message, otherwise + known.fix);
    };
  }
}

function print(lines, env) {
  const order = ["ok", "warning", "failed"]; // the kubelet shows the end of the log as the reason of a failure
  const rank = ({ outcome }) => order.indexOf(outcome);
  for (const line of env.REPORT === "json" ? lines : lines.toSorted((one, other) => rank(one) - rank(other))) {
    const text = `${line.outcome.padEnd(7)}  ${line.check}: ${line.detail}${line.fix ? `; ${line.fix}` : ""}`;
    console.log(redact(env.REPORT === "json" ? JSON.stringify(line) : text, env));
  }
}

async function main(env) {
  const findings = new Findings(env.STORE_CHECKS === "report");
  const [acknowledged, backfills] = [env.ACKNOWLEDGED === "true", env.BACKFILLS === "true"];
  const options = { acknowledged, backfills, user: env.CLICKHOUSE_USER };
  const found = await facts.read(env);
  try {
    const judge = env.REPORT === "json" ? rules.report : rules.check;
    await judge(env.PHASE, found, findings, options);
  } finally {
    await found.close().catch(() => {});
  }
  print(findings.lines, env);
  const refused = findings.lines.some((line) => line.outcome === "failed");
  if (refused) console.error(`check-phase: langfuse:ingestion.phase: ${env.PHASE} is refused. Nothing was changed.`);
  process.exit(refused ? 1 : 0);
}

// The first process of a container has no default for signals.
process.on("SIGTERM", () => process.exit(143));
main(process.env).catch((error) => {
  console.error(`check-phase: ${redact(reason(error), process.env)}`);
  process.exit(1);
});
