"use strict";
// Refuses a release of Langfuse that leaves out a release which is needed in between, as the running databases show it.
// Warns of background migrations that have not finished. Changes nothing.
//
// Environment: the variables of check-postgres.js and check-clickhouse.js for the databases, RELEASE_DIR (written by
// list-release-migrations.sh), LANGFUSE_VERSION (the release that will migrate) and BETWEEN (the newest known release of
// version 3). The checks before have waited for both databases.

const { readFileSync } = require("node:fs");
const { reason, redact } = require("./store-results.js");
const { backgroundMigrations, clickhouseSchema, postgresSchema, traces } = require("./schemas.js");
const { refusal, waitsFor } = require("./upgrade-rules.js");

function advice({ LANGFUSE_VERSION, BETWEEN }, between) {
  const wait =
    "wait until every background migration has finished (in the UI, click on the version; failed ones are retried there)";
  const steps = [`pulumi config set langfuse:version ${BETWEEN}, or a newer 3.x, and pulumi up`, wait];
  const again = `pulumi config set langfuse:version ${LANGFUSE_VERSION} and pulumi up`;
  const named = between === "all" ? steps : [`keep the release of version 3 (${steps[0]})`, wait];
  return [...named, again].map((step, index) => `  ${index + 1}. ${step}`).join("\n");
}

async function main(env) {
  const running = {
    postgres: await postgresSchema(env),
    clickhouse: await clickhouseSchema(env),
    background: await backgroundMigrations(env),
    rows: await traces(env),
  };
  const numbers = readFileSync(`${env.RELEASE_DIR}/clickhouse`, "utf8").split("\n").filter(Boolean).map(Number);
  const refused = refusal(running, { clickhouse: numbers });
  if (refused) {
    const { found, between } = refused;
    throw new Error(
      `Langfuse ${env.LANGFUSE_VERSION} can't follow yet: ${found}. Nothing was changed. In this order:\n${advice(env, between)}`,
    );
  }
  const open = waitsFor(running.background);
  console.log(open ? `warning: background migrations have not finished: ${open}` : "no release is left out");
}

// The first process of a container has no default for signals.
process.on("SIGTERM", () => process.exit(143));
main(process.env).catch((error) => {
  const text = error.message.includes("\n") ? error.message : reason(error); // `reason` makes one line of an error
  console.error(redact(`check-upgrade: ${text}`, process.env));
  process.exit(1);
});
