"use strict";
// Does with each store what Langfuse will do, with its clients, variables and certificates, and prints one line for
// each check. Exits with 1 if a check failed. What it creates in a store it removes again.
//
// Runs in the image of worker, the only one with all clients in node_modules (worker/Dockerfile).
//
// Environment: the variables of web and worker for the stores, LANGFUSE_VERSION with its floors MINIMUM_POSTGRES and
// MINIMUM_REDIS (check-clickhouse-schema.sh has that of ClickHouse), MANAGED_STORES (comma-separated names of the stores that
// this stack runs), CHECKED_STORES (comma-separated names; empty checks all), NAMESPACE, WAIT_SECONDS (how long to wait for a store that does not answer), STORE_CHECKS ("report"
// exits with 0 in every case), and REPORT ("json" prints JSON).

const { Results, reason, redact, unreachable } = require("./store-results.js");

const STORES = {
  postgres: require("./check-postgres.js"),
  clickhouse: require("./check-clickhouse.js"),
  redis: require("./check-redis.js"),
  "object-store": require("./check-object-store.js"),
};

/** Checks a store, again and again until it answers or the time is over. */
async function checkStore(store, env, deadline) {
  for (;;) {
    const results = new Results(store, env);
    try {
      await STORES[store](env, results);
      return results;
    } catch (error) {
      if (unreachable(error) && Date.now() < deadline) {
        console.error(`waiting for ${store}: ${redact(reason(error), env)}`);
        await new Promise((resolve) => setTimeout(resolve, 3000));
        continue;
      }
      results.stop(error);
      return results;
    }
  }
}

function print(lines, env) {
  for (const line of lines) {
    const { store, check, outcome, detail, fix } = line;
    const text = `${outcome.padEnd(7)}  ${store}: ${check}: ${detail}${fix ? `; ${fix}` : ""}`;
    console.log(redact(env.REPORT === "json" ? JSON.stringify(line) : text, env));
  }
}

async function main(env) {
  const deadline = Date.now() + Number(env.WAIT_SECONDS) * 1000;
  const wanted = env.CHECKED_STORES ? env.CHECKED_STORES.split(",") : Object.keys(STORES);
  const all = await Promise.all(wanted.map((store) => checkStore(store, env, deadline)));
  const lines = all.flatMap((results) => results.lines);
  // The kubelet shows the end of the log as the reason of a failure.
  const order = ["ok", "warning", "failed"];
  lines.sort((one, other) => order.indexOf(one.outcome) - order.indexOf(other.outcome));
  print(lines, env);
  const failed = lines.some((line) => line.outcome === "failed");
  process.exit(failed && env.STORE_CHECKS !== "report" ? 1 : 0);
}

// A client that reports an error later, for example of a socket that it closes, must not hide the results.
process.on("uncaughtException", (error) => console.error(redact(reason(error), process.env)));
process.on("unhandledRejection", (error) => console.error(redact(reason(error), process.env)));
// The first process of a container has no default for signals.
process.on("SIGTERM", () => process.exit(143));
main(process.env);
