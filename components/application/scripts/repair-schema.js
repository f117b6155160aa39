"use strict";
// Shows a half-applied migration of Postgres and ClickHouse, and repairs it.
//
// Prints one JSON line for each store: {store, migration, error, statements: [{sql, effect, why}], repair, cleanup, remaining,
// refusal, unclear, shown}; `migration` is null if there is nothing to repair. After a repair: {store, migration, repaired},
// and the line of what is found then.
//
// Environment: ACTION (`show`, or `apply` to repair one store as it was shown), STORE (`postgres`, `clickhouse` or `all`),
// SHOWN (`shown` of the line that a person agreed to), ASSUME (`applied`, `not-applied`, or empty), RELEASE_DIR (written by
// copy-release-migrations.sh), and the variables of the migrations.

const { createHash } = require("node:crypto");
const { Problem, reason, redact } = require("./store-results.js");

const STORES = { postgres: require("./repair-postgres.js"), clickhouse: require("./repair-clickhouse.js") };

/** Stops the Job: another attempt would find the same. */
const FAULT_EXIT = 3;

const print = (value) => console.log(JSON.stringify(value));

/** Names a state, so that nobody repairs another one than the person has seen. */
function shownOf({ statements, ...found }) {
  const effects = (statements ?? []).map(({ sql, effect }) => [sql, effect]);
  return createHash("sha256").update(JSON.stringify([effects, found])).digest("hex").slice(0, 16);
}

/** What a person sees of it. */
function visible(store, found) {
  const { migration, error, statements, repair, cleanup = [], remaining = [], refusal, unclear } = found;
  if (migration === null) return { store, migration };
  const run = remaining.map(({ sql }) => sql);
  return { store, migration, error, statements, repair, cleanup, remaining: run, refusal, unclear, shown: shownOf(found) };
}

async function apply(store, env) {
  const found = await STORES[store].look(env);
  if (found.migration === null) throw new Problem("there is nothing to repair any more; nothing was changed");
  if (found.refusal) throw new Problem(`${found.refusal}. Nothing was changed`);
  if (shownOf(found) !== env.SHOWN) throw new Problem("the schema is no longer as it was shown; nothing was changed");
  await STORES[store].repair(env, found);
  print({ store, migration: found.migration, repaired: found.repair });
  print(visible(store, await STORES[store].look(env))); // Postgres may have another one
}

async function main(env) {
  const stores = env.STORE === "all" ? Object.keys(STORES) : [env.STORE];
  for (const store of stores) {
    try {
      if (env.ACTION === "apply") await apply(store, env);
      else print(visible(store, await STORES[store].look(env)));
    } catch (error) {
      const text = error instanceof Problem ? error.message : reason(error);
      console.error(`repair-schema: ${store}: ${redact(text, env)}`);
      process.exitCode = FAULT_EXIT;
    }
  }
}

main(process.env);
