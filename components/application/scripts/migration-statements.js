"use strict";
// What the statements of a migration do to the schema, as far as the catalogs of Postgres and ClickHouse can show it.
//
// Covers every kind of statement that Langfuse's releases contain (packages/shared/{prisma,clickhouse}/migrations). Of
// another kind nothing is known: `unknown`.
//
// An effect is {key, needs, leaves, type, query, view, replaces}: what has to be there before the statement, and what is
// there after it: `exists` or `absent`; undefined if any. `type` is the type that a column gets, `query` the query of a
// view. With `replaces`, it may have been there before. What a key names belongs to what it names without its last parts:
// `scores.column.id` to `scores`.

const COMMENT = String.raw`--[^\n]*|\/\*[\s\S]*?\*\/`;
const ESCAPED = String.raw`'(?:[^'\\]|''|\\[\s\S])*'`;
const OTHERS = String.raw`"(?:[^"]|"")*"|${"`[^`]*`"}|[\p{L}_][\p{L}\p{N}_$]*|\d[\w.]*|[^\s]`;

/** In Postgres, a backslash escapes in strings with an E in front only, and dollars quote strings. */
const TOKENS = {
  clickhouse: new RegExp(`${COMMENT}|${ESCAPED}|${OTHERS}`, "gu"),
  postgres: new RegExp(String.raw`${COMMENT}|(\$\w*\$)[\s\S]*?\1|[eE]${ESCAPED}|'(?:[^']|'')*'|${OTHERS}`, "gu"),
};

/** The tokens of an SQL text: {kind: "word" | "name" | "string" | "sign", text, start, end}. Comments are none. */
function tokens(sql, dialect) {
  const found = [];
  for (const { 0: text, index } of sql.matchAll(TOKENS[dialect])) {
    if (text.startsWith("--") || text.startsWith("/*")) continue;
    const first = /^[eE]'/.test(text) ? "'" : text[0];
    const place = { start: index, end: index + text.length };
    if (first === '"' || first === "`") {
      found.push({ kind: "name", text: text.slice(1, -1).replaceAll('""', '"'), ...place });
    } else if (first === "'" || (first === "$" && text.length > 1)) {
      found.push({ kind: "string", text: first === "'" ? text.slice(1, -1).replaceAll("''", "'") : text, ...place });
    } else {
      found.push({ kind: /[\p{L}\p{N}_]/u.test(first) ? "word" : "sign", text, ...place });
    }
  }
  return found;
}

/** Postgres cuts longer names off (NAMEDATALEN). */
const NAME_BYTES = 63;

/** Reads tokens one after the other. */
class Reader {
  constructor(sql, dialect) {
    this.sql = sql;
    this.list = tokens(sql, dialect);
    this.at = 0;
    this.folds = dialect === "postgres";
  }

  /** Whether these words come next. If they do, they are read. */
  take(...words) {
    const next = this.list.slice(this.at, this.at + words.length);
    const isWord = ({ kind, text }, word) => ["word", "sign"].includes(kind) && text.toUpperCase() === word;
    const same = next.length === words.length && next.every((token, index) => isWord(token, words[index]));
    if (same) this.at += words.length;
    return same;
  }

  /** The last part of a name, which may have a schema or a database. Unquoted names of Postgres are in lower case. */
  name() {
    let found = this.part();
    while (this.take(".")) found = this.part();
    return found;
  }

  part() {
    const token = this.list[this.at++];
    if (!token || token.kind === "sign" || token.kind === "string") throw new SyntaxError("expected a name");
    if (!this.folds) return token.text;
    const name = token.kind === "word" ? token.text.toLowerCase() : token.text;
    return Buffer.from(name).subarray(0, NAME_BYTES).toString();
  }

  string() {
    const token = this.list[this.at++];
    if (token?.kind !== "string") throw new SyntaxError("expected a string");
    return token.text;
  }

  names() {
    const found = [this.name()];
    while (this.take(",")) found.push(this.name());
    return found;
  }

  /** The text of the next tokens up to one of these words or signs outside of brackets. */
  until(...words) {
    const from = this.at;
    let depth = 0;
    for (; this.at < this.list.length; this.at++) {
      const { kind, text } = this.list[this.at];
      if (kind === "sign" && "([".includes(text)) depth++;
      if (kind === "sign" && ")]".includes(text)) depth--;
      if (depth === 0 && kind !== "name" && kind !== "string" && words.includes(text.toUpperCase())) break;
    }
    return this.at > from ? this.sql.slice(this.list[from].start, this.list[this.at - 1].end) : "";
  }

  rest() {
    return this.until();
  }
}

const creates = (key, more = {}) => ({ key, needs: "absent", leaves: "exists", ...more });
const drops = (key) => ({ key, needs: "exists", leaves: "absent" });
const renames = (from, to) => [drops(from), creates(to)];

/** Effects of a statement that runs again without an error: nothing has to be, or not to be, before it. */
const again = (effects) => effects.map((effect) => ({ ...effect, needs: undefined }));

/** What a statement is: its effects, and whether it can run again with the same result, whatever was done before. */
const known = (effects, repeatable = false) => ({ effects: repeatable ? again(effects) : effects, repeatable });
const unknown = { effects: [], repeatable: false };

function parsed(sql, dialect, parse) {
  try {
    return { sql, ...parse(new Reader(sql, dialect)) };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { sql, ...unknown };
  }
}

/** The statements of a file of ClickHouse, as golang-migrate divides it (database/multistmt/parse.go). */
function clickhouse(text) {
  return text
    .split(";")
    .map((sql) => sql.trim())
    .filter((sql) => tokens(sql, "clickhouse").length)
    .map((sql) => parsed(sql, "clickhouse", clickhouseStatement));
}

function clickhouseStatement(reader) {
  if (reader.take("CREATE")) {
    const replaces = reader.take("OR", "REPLACE");
    const kind = ["TABLE", "VIEW", "MATERIALIZED"].find((word) => reader.take(word));
    if (kind === undefined || (kind === "MATERIALIZED" && !reader.take("VIEW"))) return unknown;
    const repeatable = reader.take("IF", "NOT", "EXISTS") || replaces;
    const name = reader.name();
    if (kind === "TABLE") return known([creates(name, { replaces })], repeatable);
    reader.until("AS");
    reader.take("AS");
    return known([creates(name, { query: reader.rest(), view: true })], repeatable);
  }
  if (reader.take("DROP")) {
    if (!reader.take("TABLE") && !reader.take("VIEW")) return unknown;
    const repeatable = reader.take("IF", "EXISTS");
    return known([drops(reader.name())], repeatable);
  }
  if (reader.take("RENAME", "TABLE")) {
    const from = reader.name();
    if (!reader.take("TO")) return unknown;
    return known(renames(from, reader.name()));
  }
  if (!reader.take("ALTER", "TABLE")) return unknown;
  const table = reader.name();
  if (reader.take("ON", "CLUSTER")) reader.at++;
  if (reader.take("MODIFY", "QUERY")) {
    return known([{ key: table, leaves: "exists", query: reader.until("SETTINGS") }], true);
  }
  const actions = [];
  do {
    actions.push(clickhouseAction(reader, table));
    reader.until(",", "SETTINGS");
  } while (reader.take(","));
  return known(
    actions.flatMap(({ effects }) => effects),
    actions.every(({ repeatable }) => repeatable),
  );
}

function clickhouseAction(reader, table) {
  const verb = ["ADD", "DROP", "MODIFY", "RENAME", "MATERIALIZE", "COMMENT", "CLEAR"].find((word) => reader.take(word));
  if (verb === "MODIFY" && ["SETTING", "TTL", "COMMENT", "ORDER"].some((word) => reader.take(word))) return known([], true);
  const kind = ["COLUMN", "INDEX", "PROJECTION"].find((word) => reader.take(word));
  if (verb === undefined || kind === undefined || verb === "CLEAR") throw new SyntaxError("another action");
  const repeatable = reader.take("IF", "NOT", "EXISTS") || reader.take("IF", "EXISTS");
  const from = reader.at;
  const name = reader.name();
  const key = `${table}.${kind.toLowerCase()}.${name}`;
  switch (verb) {
    case "ADD":
      return known([creates(key, kind === "COLUMN" ? { type: typeOf(reader) } : {})], repeatable);
    case "DROP":
      return known([drops(key)], repeatable);
    case "MODIFY":
      return known([{ key, leaves: "exists", type: typeOf(reader) }], true);
    case "MATERIALIZE":
      reader.at = from;
      return known([{ key: `${table}.mutation.MATERIALIZE ${kind} ${name}` }], true);
    case "COMMENT":
      return known([], true);
    default:
      if (!reader.take("TO")) throw new SyntaxError("expected TO");
      return known(renames(key, `${table}.column.${reader.name()}`), repeatable);
  }
}

/** The type of a column, if the definition has one. */
function typeOf(reader) {
  const ends = ["DEFAULT", "MATERIALIZED", "ALIAS", "EPHEMERAL", "CODEC", "TTL", "COMMENT", "AFTER", "FIRST", "SETTINGS", "REMOVE", ","];
  return reader.until(...ends) || undefined;
}

/** The statements of a text, divided at each `;` outside of strings and comments. */
function divided(text) {
  const parts = [];
  let start = 0;
  for (const { kind, text: sign, start: place, end } of tokens(text, "postgres")) {
    if (kind !== "sign" || sign !== ";") continue;
    parts.push(text.slice(start, place));
    start = end;
  }
  parts.push(text.slice(start));
  return parts.map((sql) => sql.trim()).filter((sql) => tokens(sql, "postgres").length);
}

/**
 * The transactions of a migration of Postgres. Prisma sends the file as one query, which is a transaction unless it has
 * COMMIT (www.postgresql.org/docs/current/protocol-flow.html, "Multiple Statements in a Simple Query").
 */
function postgres(text) {
  const transactions = [[]];
  for (const sql of divided(text)) {
    const [first, second] = tokens(sql, "postgres").map((token) => token.text.toUpperCase());
    if (first === "BEGIN" || (first === "START" && second === "TRANSACTION")) continue;
    if (first === "COMMIT" || first === "END") transactions.push([]);
    else transactions.at(-1).push(parsed(sql, "postgres", postgresStatement));
  }
  return transactions.filter((statements) => statements.length).map(withoutTemporary);
}

/** Temporary tables end with the session. Statements about them alone leave nothing, and can be repeated. */
function withoutTemporary(statements) {
  const temporary = new Set(statements.map((statement) => statement.temporary).filter(Boolean));
  const isTemporary = (name) => temporary.has(name);
  return statements.map((statement) => {
    const { effects, writes = [], on } = statement;
    const tables = [...writes, ...(on ? [on] : []), ...effects.map(({ key }) => key.replace(/^relation /, "").split(".")[0])];
    const alone = on ? isTemporary(on) : tables.length > 0 && tables.every(isTemporary);
    return alone ? { sql: statement.sql, ...known([], true) } : { ...statement, writes: writes.filter((name) => !isTemporary(name)) };
  });
}

const relation = (name) => `relation ${name}`;

function postgresStatement(reader) {
  if (reader.take("SET")) return known([], true);
  if (reader.take("CREATE")) return postgresCreate(reader);
  if (reader.take("DROP")) return postgresDrop(reader);
  if (reader.take("ALTER", "TYPE")) return postgresType(reader);
  if (reader.take("ALTER", "INDEX")) {
    const repeatable = reader.take("IF", "EXISTS");
    const from = reader.name();
    return reader.take("RENAME", "TO") ? known(renames(`index ${from}`, `index ${reader.name()}`), repeatable) : unknown;
  }
  if (reader.take("ALTER", "TABLE")) return postgresTable(reader);
  return postgresRows(reader);
}

/**
 * A statement that writes rows: `writes` has the tables, `inserts` is true if it writes at least one row for certain.
 *
 * A deletion can be repeated. A row with a literal id is an effect.
 */
function postgresRows(reader) {
  const { list } = reader;
  const isWord = (token, word) => token?.kind === "word" && token.text.toUpperCase() === word;
  const at = (index, ...words) => words.every((word, after) => isWord(list[index + after], word));
  const writes = [];
  let deletes = true;
  for (let index = 0; index < list.length; index++) {
    const words = [["INSERT", "INTO"], ["DELETE", "FROM"], ["UPDATE"]].find((each) => at(index, ...each));
    // ON CONFLICT ... DO UPDATE SET, and FOR UPDATE
    if (!words || (words[0] === "UPDATE" && (at(index + 1, "SET") || at(index - 1, "FOR")))) continue;
    const place = new Reader(reader.sql, "postgres");
    place.at = index + words.length;
    place.take("ONLY");
    writes.push(place.name());
    if (words[0] !== "DELETE") deletes = false;
  }
  if (!writes.length) return unknown;
  if (deletes) return { ...known([], true), writes };
  const conflicts = list.some((_, index) => at(index, "ON", "CONFLICT"));
  if (!reader.take("INSERT", "INTO")) return { ...unknown, writes };
  const table = relation(reader.name());
  if (!reader.take("(")) return { ...unknown, writes };
  const column = reader.names().indexOf("id");
  if (!reader.take(")") || !reader.take("VALUES", "(")) return { ...unknown, writes };
  for (let skipped = 0; skipped < column; skipped++) {
    reader.until(",");
    reader.take(",");
  }
  const token = list[reader.at];
  const effects = column >= 0 && token?.kind === "string" ? [creates(`${table}.row.${token.text}`)] : [];
  return { ...known(effects, conflicts), writes, inserts: !conflicts };
}

function postgresCreate(reader) {
  const replaces = reader.take("OR", "REPLACE");
  if (reader.take("TEMP") || reader.take("TEMPORARY")) {
    if (!reader.take("TABLE")) return unknown;
    reader.take("IF", "NOT", "EXISTS");
    return { ...known([], true), temporary: reader.name() };
  }
  if (reader.take("TABLE")) {
    const repeatable = reader.take("IF", "NOT", "EXISTS");
    return known([creates(relation(reader.name()))], repeatable);
  }
  if (reader.take("VIEW")) return known([creates(relation(reader.name()), { replaces, view: true })], replaces);
  if (reader.take("TYPE")) return known([creates(`type ${reader.name()}`)]);
  reader.take("UNIQUE");
  if (!reader.take("INDEX")) return unknown;
  const concurrently = reader.take("CONCURRENTLY");
  const repeatable = reader.take("IF", "NOT", "EXISTS");
  const effects = reader.take("ON") ? [] : [creates(`index ${reader.name()}`)]; // the server can give it a name
  if (effects.length && !reader.take("ON")) return unknown;
  reader.take("ONLY");
  return { ...known(effects, repeatable), concurrently, on: reader.name() };
}

function postgresDrop(reader) {
  const kind = ["TABLE", "VIEW", "TYPE", "INDEX"].find((word) => reader.take(word));
  if (kind === undefined) return unknown;
  const concurrently = reader.take("CONCURRENTLY");
  const repeatable = reader.take("IF", "EXISTS");
  const prefix = { TABLE: "relation", VIEW: "relation" }[kind] ?? kind.toLowerCase();
  return { ...known(reader.names().map((name) => drops(`${prefix} ${name}`)), repeatable), concurrently };
}

function postgresType(reader) {
  const name = reader.name();
  const value = (text) => `type ${name}.value.${text}`;
  if (reader.take("ADD", "VALUE")) {
    const repeatable = reader.take("IF", "NOT", "EXISTS");
    return known([creates(value(reader.string()))], repeatable);
  }
  if (reader.take("RENAME", "VALUE")) {
    const from = reader.string();
    return reader.take("TO") ? known(renames(value(from), value(reader.string()))) : unknown;
  }
  return reader.take("RENAME", "TO") ? known(renames(`type ${name}`, `type ${reader.name()}`)) : unknown;
}

function postgresTable(reader) {
  const conditional = reader.take("IF", "EXISTS");
  reader.take("ONLY");
  const table = relation(reader.name());
  const actions = [];
  do {
    actions.push(postgresAction(reader, table));
    reader.until(",");
  } while (reader.take(","));
  const effects = actions.flatMap((action) => action.effects);
  return { effects: conditional ? again(effects) : effects, repeatable: actions.every((action) => action.repeatable) };
}

function postgresAction(reader, table) {
  const column = (name) => `${table}.column.${name}`;
  const constraint = (name) => `${table}.constraint.${name}`;
  if (reader.take("RENAME", "TO")) return known(renames(table, relation(reader.name())));
  if (reader.take("RENAME")) {
    const named = reader.take("CONSTRAINT") ? constraint : column;
    reader.take("COLUMN");
    const from = reader.name();
    if (!reader.take("TO")) throw new SyntaxError("expected TO");
    return known(renames(named(from), named(reader.name())));
  }
  if (reader.take("ADD")) {
    if (reader.take("CONSTRAINT")) return known([creates(constraint(reader.name()))]);
    if (["PRIMARY", "FOREIGN", "CHECK", "UNIQUE"].some((word) => reader.take(word))) return unknown;
    reader.take("COLUMN");
    const repeatable = reader.take("IF", "NOT", "EXISTS");
    return known([creates(column(reader.name()))], repeatable);
  }
  if (reader.take("DROP")) {
    const named = reader.take("CONSTRAINT") ? constraint : column;
    reader.take("COLUMN");
    const repeatable = reader.take("IF", "EXISTS");
    return known([drops(named(reader.name()))], repeatable);
  }
  if (!reader.take("ALTER")) throw new SyntaxError("another action");
  reader.take("COLUMN");
  const name = column(reader.name());
  for (const [words, part] of [[["NOT", "NULL"], "not null"], [["DEFAULT"], "default"]]) {
    if (reader.take("SET", ...words)) return known([{ key: `${name}.${part}`, leaves: "exists" }], true);
    if (reader.take("DROP", ...words)) return known([{ key: `${name}.${part}`, leaves: "absent" }], true);
  }
  return known([], true); // another type
}

module.exports = { clickhouse, postgres };
