"use strict";
// Which upgrades leave out a release that is needed in between. Pure functions of what the databases state.
//
// Langfuse 4 needs the newest release of version 3, with its background migrations finished: 0044_drop_event_log drops a
// table whose rows one of them copies (packages/shared/clickhouse/migrations, and the guides for upgrades from version 2
// and 3 at langfuse.com/self-hosting/upgrade).

/** The first migration of ClickHouse that version 3 does not have: 0038_create_observations_batch_staging. */
const FIRST_OF_VERSION_4 = 38;

/** Prisma's migrations from here on are of version 3 (20241206115829_remove_trace_score_observation_constraints). */
const AFTER_VERSION_2 = "20241206";

/** Background migrations from here on are of version 4 (20260701_v4_step_0_create_root_spans). */
const BACKGROUND_OF_VERSION_4 = "20260701";

/** @param background {name, finished, failed}: rows of background_migrations; `failed` is the reason, or null. */
function waitsFor(background) {
  const open = background.filter(({ name, finished }) => !finished && name < BACKGROUND_OF_VERSION_4);
  const shown = open.map(({ name, failed }) => (failed === null ? name : `${name} (failed: ${failed})`));
  return shown.length ? shown.join(", ") : undefined;
}

/**
 * Why a release must not migrate the databases yet.
 *
 * @param running {postgres, clickhouse, background, rows}: the schemas as schemas.js reads them, the background
 *   migrations, and whether `postgres` and `clickhouse` have traces. Without traces there is nothing to lose.
 * @param release {clickhouse: [number]}: the migrations of the release.
 * @returns {found, between}: what was found, and what has to happen in between; undefined if nothing has to.
 */
function refusal({ postgres, clickhouse, background, rows }, release) {
  const needs = release.clickhouse.includes(FIRST_OF_VERSION_4);
  if (!needs || !(rows.postgres || rows.clickhouse)) return undefined;
  const newest = postgres?.finished.at(-1) ?? "";
  if (!clickhouse && rows.postgres && newest < AFTER_VERSION_2) {
    return { found: `Postgres has the schema of version 2 (its last migration is ${newest}) and all traces`, between: "all" };
  }
  if (!clickhouse || clickhouse.version >= FIRST_OF_VERSION_4) return undefined;
  const last = FIRST_OF_VERSION_4 - 1;
  if (clickhouse.version < last) {
    const found = `ClickHouse has the schema of an older release of version 3 (migration ${clickhouse.version} of ${last})`;
    return { found, between: "all" };
  }
  const open = waitsFor(background);
  return open && { found: `background migrations of version 3 have not finished: ${open}`, between: "background" };
}

module.exports = { refusal, waitsFor };
