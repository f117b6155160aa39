"use strict";
// The rules of backup sets: which backup an incremental one builds upon, what a dump is paired with, and what is kept.
//
// Pure functions of what the manifests state. All times are those of the object store's clock, as ISO 8601 text, so that
// no clock of a pod decides. docs/decisions/backup-sets.md explains the rules.

const FORMAT = 1;

/** A restore needs every backup of its chain: with a backup every day, a full one is made every week. */
const LONGEST_CHAIN = 7;

const HOUR = 3600 * 1000;
const DAY = 24 * HOUR;

/** A full backup that is as old as this is not built upon. A daily schedule may start some minutes early or late. */
const FULL_AGE = 7 * DAY - 12 * HOUR;

/** What is younger than two days is kept: runs that are still going on may need it, and most mistakes are noticed then. */
const RECENT = 48 * HOUR;

const time = (part) => Date.parse(part.finished);
const newestFirst = (one, other) => time(other) - time(one) || (one.id < other.id ? 1 : -1);

/**
 * The backups that a restore of one needs, the full one first; undefined if one of them is missing or incomplete.
 *
 * @param backups Complete backups of ClickHouse: {id, base, finished}.
 */
function chainOf(backups, id) {
  const known = new Map(backups.map((backup) => [backup.id, backup]));
  const chain = [];
  for (let next = id; next; next = known.get(next).base) {
    if (!known.has(next) || chain.includes(next)) return undefined;
    chain.unshift(next);
  }
  return chain.length ? chain : undefined;
}

/** The first backup of a chain that a verdict calls damaged; undefined if there is none. */
const damagedIn = (backups, chain) => chain.find((id) => backups.find((backup) => backup.id === id).damaged);

/**
 * What the next backup of ClickHouse builds upon.
 *
 * @returns {base, chain, why}: the id of the base, or null for a full backup; the chain of the base; the reason.
 */
function chooseBase(backups, database, now) {
  const full = (why) => ({ base: null, chain: [], why });
  const [newest] = backups.filter((backup) => backup.database === database).sort(newestFirst);
  if (!newest) return full("there is no backup yet");
  const chain = chainOf(backups, newest.id);
  if (!chain) return full(`the chain of ${newest.id} is incomplete`);
  const damaged = damagedIn(backups, chain);
  if (damaged) return full(`backup ${damaged}, which the next one would build upon, is damaged, says a verdict`);
  if (chain.length >= LONGEST_CHAIN) return full(`the chain of ${newest.id} has ${chain.length} backups`);
  const first = backups.find((backup) => backup.id === chain[0]);
  const age = Date.parse(now) - time(first);
  if (age >= FULL_AGE) return full(`the full backup ${first.id} is ${Math.floor(age / DAY)} days old`);
  if (Date.parse(now) < time(newest)) return full(`backup ${newest.id} is from the future`);
  return { base: newest.id, chain, why: `${chain.length} of at most ${LONGEST_CHAIN} backups are in its chain` };
}

/**
 * The backup of ClickHouse that belongs to a dump of Postgres: the newest that was finished before the dump began, so
 * that the dump has every project that a trace names.
 *
 * @param dump {started, restored}: if the database was restored from a set, {begun, at}: the beginning of that set, and the
 *   time of the restore. Traces in between may name projects that are gone.
 */
function pairWith(backups, { started, restored }) {
  const lost = (backup) =>
    restored && time(backup) > Date.parse(restored.begun) && Date.parse(backup.started) < Date.parse(restored.at);
  const before = backups.filter((backup) => time(backup) <= Date.parse(started) && !lost(backup)).sort(newestFirst);
  const chains = before.map((backup) => ({ backup, chain: chainOf(backups, backup.id) }));
  return chains.find(({ chain }) => chain && !damagedIn(backups, chain))?.backup ?? null;
}

const complete = (folders) => folders.filter((folder) => folder.complete && !folder.legacy);

/** Why a set can't be restored, as far as manifests and verdicts tell; undefined if nothing says so. */
function lacking(set, backups) {
  if (set.fault) return set.fault;
  if (!set.clickhouse) return undefined;
  const chain = chainOf(complete(backups), set.clickhouse);
  if (!chain) return `a backup that clickhouse/${set.clickhouse} needs is missing`;
  const damaged = damagedIn(backups, chain);
  return damaged && `clickhouse/${damaged} is damaged, says a verdict`;
}

/**
 * The set to restore: the one with an id, or the newest that can be restored.
 *
 * @param manifests The manifest of each set, or null for a folder without a marker, by id.
 * @param faults What verdicts say against sets, by id.
 * @param backups Manifests of the complete backups of ClickHouse.
 * @param id The id of a set; empty for the newest.
 * @returns {set}, or {refusal}: why there is none.
 */
function chooseSet(manifests, faults, backups, id) {
  if (!id) {
    const sets = Object.values(manifests).filter((set) => set?.format === FORMAT);
    const usable = backups.map((backup) => ({ ...backup, complete: true }));
    const lacks = (set) => lacking({ fault: faults[set.id], clickhouse: set.clickhouse.id }, usable);
    const [set] = sets.filter((one) => one.clickhouse && !lacks(one)).sort(newestFirst);
    return set ? { set } : { refusal: `none of the ${sets.length} complete sets in the bucket can be restored` };
  }
  if (!Object.hasOwn(manifests, id)) return { refusal: `there is no set ${id}` };
  const set = manifests[id];
  if (!set) return { refusal: `set ${id} is not complete: it has no marker` };
  if (set.format === FORMAT) return { set };
  return { refusal: `set ${id} has format ${set.format}, and this release knows only ${FORMAT}` };
}

/** The first numbers of a release: [17, 4] of `17.4 (Debian 17.4-1)`. */
const numbers = (release, count) => (/^\d+(\.\d+)*/.exec(release)?.[0] ?? "").split(".").slice(0, count).map(Number);

/** Whether a release is newer than another, by the first numbers of both. */
function isNewer(one, other, count) {
  const [mine, theirs] = [numbers(one, count), numbers(other, count)];
  const index = mine.findIndex((number, place) => number !== (theirs[place] ?? 0));
  return index >= 0 && mine[index] > (theirs[index] ?? 0);
}

const SECRETS = { encryptionKey: "ENCRYPTION_KEY", salt: "SALT" };

/**
 * Why a set can't be restored into an installation, whatever its stores contain.
 *
 * @param set The manifest.
 * @param target {store, langfuse, keys, server}: `postgres` or `clickhouse`, the release of Langfuse, the fingerprints of
 *   its keys, and the release of the store's server.
 * @param backups Manifests of the complete backups of ClickHouse.
 */
function refusals(set, { store, langfuse, keys, server }, backups) {
  const found = [];
  const other = Object.keys(SECRETS).filter((key) => set.keys[key] !== keys[key]);
  // Fingerprints are made with ENCRYPTION_KEY: with another one, that of SALT differs in any case.
  const names = other.includes("encryptionKey") ? "ENCRYPTION_KEY (and perhaps SALT)" : "SALT";
  if (other.length) found.push(`the set was made with another ${names}: restore that of the former installation first`);
  if (isNewer(set.langfuse, langfuse, 3)) {
    found.push(`the set is of Langfuse ${set.langfuse}, and this is ${langfuse}: set langfuse:version to ${set.langfuse} or newer`);
  }
  if (store === "postgres" && numbers(set.postgres.server, 1)[0] !== numbers(server, 1)[0]) {
    found.push(
      `the dump is of Postgres ${set.postgres.server}, and the server is ${server}: restore it with a server of that major ` +
        "release, then upgrade it (docs/runbooks/postgres-release.md)",
    );
  }
  if (store === "clickhouse") found.push(...refusalsOfClickHouse(set.clickhouse, server, backups));
  return found;
}

function refusalsOfClickHouse(pair, server, backups) {
  if (!pair) return ["the set has no backup of ClickHouse: none was complete when it was made"];
  if (!pair.id) return ["the set has no backup of ClickHouse, which its provider backed up"];
  const found = [];
  const known = new Set(backups.map((backup) => backup.id));
  const missing = pair.chain.filter((id) => !known.has(id)).map((id) => `clickhouse/${id}`);
  if (missing.length) found.push(`the chain of its backup of ClickHouse is incomplete: ${missing.join(", ")} is missing`);
  if (isNewer(pair.version, server, 2)) {
    found.push(`the backup is of ClickHouse ${pair.version}, and the server is ${server}: set langfuse:clickhouse.version`);
  }
  return found;
}

/** The day, the ISO week and the month of a time, each as a number that grows with it. */
function periods(part) {
  const date = new Date(part.finished);
  const day = Math.floor(time(part) / DAY);
  return {
    daily: day,
    weekly: Math.floor((day + 3) / 7), // 1 January 1970 was a Thursday; weeks start on Monday
    monthly: date.getUTCFullYear() * 12 + date.getUTCMonth(),
  };
}

/**
 * The sets that are kept: the newest `minimum`, those of the two days before the newest, those of more days that were
 * taken before an upgrade, and the newest of each of the last days, weeks and months that have one. It depends on no
 * clock: when no set is added, none is removed.
 *
 * @param sets Sets that can be restored.
 * @param keep {minimum, daily, weekly, monthly, beforeUpgradeDays}
 */
function keptSets(sets, keep) {
  const sorted = [...sets].sort(newestFirst);
  const kept = new Set(sorted.slice(0, Math.max(1, keep.minimum)));
  for (const set of sorted) {
    const age = time(sorted[0]) - time(set);
    if (age < RECENT || (set.beforeUpgrade && age < keep.beforeUpgradeDays * DAY)) kept.add(set);
  }
  for (const period of ["daily", "weekly", "monthly"]) {
    const seen = new Set();
    for (const set of sorted) {
      const value = periods(set)[period];
      if (seen.has(value) || seen.size >= keep[period]) continue;
      seen.add(value);
      kept.add(set);
    }
  }
  return sorted.filter((set) => kept.has(set));
}

/**
 * What to remove. Nothing at all while no set can be restored.
 *
 * @param inventory {now, sets, backups}. Both are folders: {id, finished, complete}; without a marker, `finished` is the
 *   time of the last object. A set also has {clickhouse}, the id of its backup of ClickHouse or null, {fault}, what a
 *   verdict found in it, and {beforeUpgrade}, whether it was taken before an upgrade. A backup also has {base}, {damaged}, and `legacy` if a release without sets wrote it.
 * @param keep {minimum, daily, weekly, monthly, beforeUpgradeDays, legacyDays}
 * @returns {restorable: [id], kept: [id], remove: {sets: [id], backups: [id]}}
 */
function plan({ now, sets, backups }, keep) {
  const usable = complete(backups);
  const restorable = complete(sets).filter((set) => !lacking(set, backups));
  const kept = keptSets(restorable, keep);
  const ids = (folders) => folders.map((folder) => folder.id);
  if (!kept.length) return { restorable: [], kept: [], remove: { sets: [], backups: [] } };

  const settled = Math.min(time(kept[0]), Date.parse(now)) - RECENT;
  const removed = sets.filter((set) => !kept.includes(set) && time(set) < settled);
  const needed = new Set();
  const need = (id) => chainOf(usable, id)?.forEach((each) => needed.add(each));
  for (const set of sets) if (set.complete && !removed.includes(set)) need(set.clickhouse);
  const [latest] = [...usable].sort(newestFirst);
  if (latest) need(latest.id); // the next backup builds upon it

  const expiry = (backup) => (backup.legacy ? Date.parse(now) - keep.legacyDays * DAY : settled);
  const expired = backups.filter((one) => !needed.has(one.id) && time(one) < Math.min(expiry(one), settled));
  // Increments go before what they build upon: a removal that is interrupted leaves no chain with a gap.
  return {
    restorable: ids(restorable),
    kept: ids(kept),
    remove: { sets: ids(removed), backups: ids(expired.sort(newestFirst)) },
  };
}

/**
 * Whether a set is needed before a release migrates, and why.
 *
 * No set is taken of a schema that the migration Job refuses: it would be no way back.
 *
 * @param running {postgres: {finished: [name], unfinished: [name]}, clickhouse: {version, dirty}}: the schemas of the
 *   running databases. A database without a schema is null.
 * @param release {postgres: [name], clickhouse: [number], removed}: the migrations of the release, and the text with the
 *   names that its entrypoint removes before it migrates.
 * @returns {needed, why}
 */
function beforeUpgrade({ postgres, clickhouse }, release) {
  const no = (why) => ({ needed: false, why });
  if (!postgres && !clickhouse) return no("the databases have no schema yet");
  if (postgres?.unfinished.length || clickhouse?.dirty) return no("a migration is half applied, which the next Job refuses");
  const finished = new Set(postgres?.finished);
  const version = clickhouse?.version ?? -1;
  const foreign = [...finished].filter((name) => !release.postgres.includes(name) && !release.removed.includes(`'${name}'`));
  if (foreign.length || version > Math.max(...release.clickhouse)) {
    return no("a schema is newer than this release, which the next Job refuses");
  }
  const ofPostgres = release.postgres.filter((name) => !finished.has(name)).length;
  const ofClickHouse = release.clickhouse.filter((number) => number > version).length;
  if (!ofPostgres && !ofClickHouse) return no("this release changes no schema, so the former one can be set again");
  return { needed: true, why: `${ofPostgres} migrations of Postgres and ${ofClickHouse} of ClickHouse follow` };
}

module.exports = {
  ...{ FORMAT, LONGEST_CHAIN, beforeUpgrade, chainOf, chooseBase, chooseSet, keptSets, lacking, pairWith, plan, refusals },
};
