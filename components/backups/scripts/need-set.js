"use strict";
// Decides whether a set is needed before a release migrates, from what the running databases say.
//
// If not, it writes WORK_DIR/skip, and the steps that follow do nothing (unless-skipped.sh). If so, it writes
// WORK_DIR/upgrade.json, which becomes a part of the set's manifest: {reason, to, langfuse}. `langfuse` is the release
// that runs now, as web states it, or null if it does not answer.
//
// Environment: the variables of check-postgres.js and check-clickhouse.js for the databases, RELEASE_DIR (written by
// list-release-migrations.sh), LANGFUSE_VERSION (the release that will migrate), WEB_URL, CLICKHOUSE_BACKED_UP_BY,
// WAIT_SECONDS and WORK_DIR.

const { existsSync, readFileSync, rmSync, writeFileSync } = require("node:fs");
const { main } = require("./bucket.js");
const { beforeUpgrade } = require("./sets.js");
const { clickhouseSchema, postgresSchema } = require("./schemas.js");
const { reason, redact, unreachable } = require("./store-results.js");

const WEB_MILLISECONDS = 10_000;

/** What a database says, as soon as it answers. */
async function ask(store, question, env, deadline) {
  for (;;) {
    try {
      return await question(env);
    } catch (error) {
      if (!unreachable(error) || Date.now() > deadline) throw new Error(`${store}: ${reason(error)}`);
      console.log(redact(`waiting for ${store}: ${reason(error)}`, env));
      await new Promise((resolve) => setTimeout(resolve, 3000));
    }
  }
}

/** The release that web runs (web/src/pages/api/public/health.ts); null if it does not answer. */
async function runningRelease(url) {
  try {
    const answer = await fetch(`${url}/api/public/health`, { signal: AbortSignal.timeout(WEB_MILLISECONDS) });
    return (await answer.json()).version ?? null;
  } catch {
    return null;
  }
}

function releaseMigrations(folder) {
  const lines = (name) => readFileSync(`${folder}/${name}`, "utf8").split("\n").filter(Boolean);
  const removed = existsSync(`${folder}/cleanup.sql`) ? readFileSync(`${folder}/cleanup.sql`, "utf8") : "";
  return { postgres: lines("postgres"), clickhouse: lines("clickhouse").map(Number), removed };
}

main("need-set", async (env) => {
  const { LANGFUSE_VERSION: to, WORK_DIR, RELEASE_DIR, WEB_URL, CLICKHOUSE_BACKED_UP_BY } = env;
  const deadline = Date.now() + Number(env.WAIT_SECONDS) * 1000;
  for (const name of ["skip", "upgrade.json"]) rmSync(`${WORK_DIR}/${name}`, { force: true }); // the container may run again
  const running = {
    postgres: await ask("Postgres", postgresSchema, env, deadline),
    clickhouse: await ask("ClickHouse", clickhouseSchema, env, deadline),
  };
  const { needed, why } = beforeUpgrade(running, releaseMigrations(RELEASE_DIR));
  if (!needed) {
    console.log(`no set is taken before Langfuse ${to}: ${why}`);
    writeFileSync(`${WORK_DIR}/skip`, why);
    return;
  }
  const langfuse = await runningRelease(WEB_URL);
  console.log(`a set is taken before Langfuse ${to} migrates, for a way back to ${langfuse ?? "the former release"}: ${why}`);
  if (CLICKHOUSE_BACKED_UP_BY === "provider") {
    console.log("it has no backup of ClickHouse: without one of its provider, there is no way back for ClickHouse");
  }
  writeFileSync(`${WORK_DIR}/upgrade.json`, JSON.stringify({ reason: "before-upgrade", to, langfuse }));
});
