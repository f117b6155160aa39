"use strict";
// Which statements of a half-applied migration took effect, and what repairs it (docs/decisions/repairs.md).
//
// A migration is a list of units, which take effect as a whole and one after the other: the transactions of a file of
// Postgres, the statements of a file of ClickHouse. So the first `done` of them took effect. The catalog rules numbers out.

const LABELS = { exists: "exists", absent: "is not there" };

/** How a message names what a key names: `scores.column.id` is `column scores.id`. */
function label(key) {
  const [owner, kind, ...rest] = key.split(".");
  if (kind === undefined) return owner.includes(" ") ? owner.replace(/^relation /, "") : owner;
  const name = owner.replace(/^(relation|type) /, "");
  if (kind === "mutation") return `${rest.join(".")} of ${name}`;
  if (kind === "value") return `value ${rest.join(".")} of type ${name}`;
  const part = kind === "column" && rest.length > 1 ? `${rest.pop()} of ` : "";
  return `${part}${kind} ${name}.${rest.join(".")}`;
}

const owns = (key, other) => key === other || other.startsWith(`${key}.`);

/** Whether the schema is as an effect leaves it: true, false, or undefined if that can't be seen. */
function after(effect, schema) {
  const exists = schema.exists(effect.key, effect);
  if (exists === undefined || effect.leaves === undefined) return undefined;
  if (exists !== (effect.leaves === "exists")) return false;
  if (exists && effect.type !== undefined && schema.hasType(effect.key, effect.type) === false) return false;
  if (exists && effect.query !== undefined) return schema.hasQuery(effect.key, effect.query) || undefined;
  if (exists && effect.replaces) return undefined;
  return true;
}

/** Whether the schema is as an effect needs it: true, false, or undefined if any will do or that can't be seen. */
function before(effect, schema) {
  if (effect.needs === undefined) return undefined;
  const exists = schema.exists(effect.key, effect);
  return exists === undefined ? undefined : exists === (effect.needs === "exists");
}

/** All effects in order, each with the number of its unit and statement. */
function writesOf(units) {
  return units.flatMap((statements, unit) =>
    statements.flatMap((statement) => statement.effects.map((effect) => ({ unit, statement, effect }))),
  );
}

/** The effects that speak against it that exactly the first `done` units took effect. */
function objections(writes, done, schema) {
  const found = [];
  for (const key of new Set(writes.map(({ effect }) => effect.key))) {
    const relevant = writes.filter(({ effect }) => owns(effect.key, key));
    const last = relevant.filter(({ unit }) => unit < done).at(-1);
    const decisive = last ?? relevant[0];
    if (decisive.effect.key !== key) continue; // its owner was created, dropped or renamed
    if ((last ? after(last.effect, schema) : before(decisive.effect, schema)) === false) found.push(decisive);
  }
  return found;
}

/** `applied`, `not-applied` or `unknown` for each unit. */
function unitEffects(units, possible, schema) {
  const [least, most] = [Math.min(...possible), Math.max(...possible)];
  return units.map((statements, unit) => {
    if (unit < least) return "applied";
    if (unit >= most) return "not-applied";
    // Of a statement with IF EXISTS, for example, only the result can be seen.
    const seen = statements.every(({ effects }) => effects.length && effects.every((effect) => after(effect, schema)));
    return seen ? "applied" : "unknown";
  });
}

/** Why the whole migration can't run again from the beginning; undefined if it can, and nothing is lost. */
function againstRerun(units, effects, schema) {
  if (effects.every((effect) => effect === "not-applied")) return undefined;
  const writes = writesOf(units);
  const left = [];
  for (const [unit, statements] of units.entries()) {
    for (const statement of statements) {
      const touched = effects[unit] !== "not-applied";
      if (touched && !statement.repeatable && !statement.effects.length) return "it would do something twice";
      for (const effect of statement.effects) {
        const former = left.filter(({ key }) => owns(key, effect.key)).at(-1);
        const exists = former ? former.key === effect.key && former.leaves === "exists" : schema.exists(effect.key, effect);
        if (effect.needs !== undefined && exists !== (effect.needs === "exists")) {
          return `${label(effect.key)} is in the way`;
        }
        left.push(effect);
      }
      const lost = statement.effects.find(({ key, leaves }) => leaves === "absent" && replaced(key, unit, writes, effects));
      if (lost) return `it would drop what it has put into ${label(lost.key)}`;
    }
  }
  return undefined;
}

/** Whether something with rows is created again after it was dropped, and may exist by now. */
function replaced(key, unit, writes, effects) {
  const rows = /^(relation )?[^. ]+$|\.column\.[^.]+$/.test(key);
  return (
    rows &&
    writes.some(
      (write) =>
        write.unit >= unit &&
        write.effect.key === key &&
        write.effect.leaves === "exists" &&
        !write.effect.view &&
        effects[write.unit] !== "not-applied",
    )
  );
}

function why(statement, effect, schema) {
  const seen = statement.effects.find((one) => after(one, schema) !== undefined) ?? statement.effects[0];
  if (statement.note) return statement.note;
  if (!seen) return effect === "unknown" ? "it leaves no trace in the catalog" : "statements around it show it";
  const exists = schema.exists(seen.key, seen);
  if (exists === undefined) return schema.remark?.(seen.key) ?? `${label(seen.key)}: the catalog does not show it`;
  const other = exists && seen.type !== undefined && schema.hasType(seen.key, seen.type) === false;
  return `${label(seen.key)} ${other ? "has another type" : LABELS[exists ? "exists" : "absent"]}`;
}

/**
 * What was done of a migration, and its repair:
 *
 * - `finish`: all of it took effect; it is recorded as finished.
 * - `rerun`: it is recorded as not begun; the next migration runs it from the beginning.
 * - `continue`: its other statements are run, and it is recorded as finished.
 *
 * @param units The migration.
 * @param schema Answers what exists: {exists(key), hasType(key, type), hasQuery(key, query), remark(key)}.
 * @param most The most units that can have taken effect.
 * @param assume What to take for an effect that can't be seen: `applied`, `not-applied`, or undefined.
 * @returns {statements, repair, refusal, remaining}: `remaining` are the statements to run.
 */
function plan(units, schema, { most = units.length, assume } = {}) {
  const writes = writesOf(units);
  const possible = [];
  for (let done = 0; done <= most; done++) {
    if (!objections(writes, done, schema).length) possible.push(done);
  }
  if (!possible.length) return contradiction(units, writes, schema);
  const effects = unitEffects(units, possible, schema).map((effect) => (effect === "unknown" && assume ? assume : effect));
  const statements = units.flatMap((list, unit) =>
    list.map((one) => ({ sql: one.sql, effect: effects[unit], why: why(one, effects[unit], schema) })),
  );
  if (effects.every((effect) => effect === "applied")) return { statements, repair: "finish", remaining: [] };
  const against = againstRerun(units, effects, schema);
  if (against === undefined) return { statements, repair: "rerun", remaining: [] };
  const unclear = units.flatMap((list, unit) => (effects[unit] === "unknown" ? list : [])).find(({ repeatable }) => !repeatable);
  if (unclear) {
    const refusal = `the catalog does not show whether this took effect: ${oneLine(unclear.sql)}`;
    return { statements, refusal, unclear: true };
  }
  const remaining = units.flatMap((list, unit) => (effects[unit] === "applied" ? [] : list));
  return { statements, repair: "continue", remaining };
}

/** No number of finished units explains the schema: something else changed it. */
function contradiction(units, writes, schema) {
  const statements = units.flat().map((one) => ({ sql: one.sql, effect: "unknown", why: why(one, "unknown", schema) }));
  let fewest;
  for (let done = 0; done <= units.length; done++) {
    const found = objections(writes, done, schema);
    if (!fewest || found.length < fewest.length) fewest = found;
  }
  const { effect, statement } = fewest[0];
  const seen = why({ effects: [effect] }, "unknown", schema);
  const misfit = `something else than this migration changed the schema: ${seen}, which does not fit the other statements`;
  return { statements, refusal: `${misfit}. Undo that change; the statement is: ${oneLine(statement.sql)}` };
}

const SHOWN_CHARACTERS = 160;

function oneLine(sql) {
  const text = sql.replace(/--[^\n]*/g, "").replace(/\s+/g, " ").trim();
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}...` : text;
}

module.exports = { oneLine, plan };
