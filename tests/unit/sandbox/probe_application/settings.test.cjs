"use strict";
const assert = require("node:assert");
const { test } = require("node:test");
const { SettingsError, readSettings } = require(`${process.env.APP}/probe/settings.js`);

const COMPLETE = {
  DATABASE_URL: "postgresql://user:password@host/database",
  CLICKHOUSE_URL: "http://host:8123",
  CLICKHOUSE_USER: "user",
  CLICKHOUSE_PASSWORD: "password",
  REDIS_HOST: "host",
  LANGFUSE_S3_EVENT_UPLOAD_BUCKET: "events",
  NEXTAUTH_URL: "https://host",
  NEXTAUTH_SECRET: "secret",
  SALT: "salt",
};

const problems = (program, changed) => {
  try {
    readSettings(program, { ...COMPLETE, ...changed });
    return [];
  } catch (error) {
    assert.ok(error instanceof SettingsError);
    return error.problems;
  }
};

test("the defaults are those of Langfuse", () => {
  const web = readSettings("web", COMPLETE);
  assert.deepStrictEqual(
    [web.PORT, web.REDIS_PORT, web.CLICKHOUSE_CLUSTER_ENABLED, web.PROBE_DRAIN_MILLISECONDS],
    ["3000", "6379", "true", "110000"],
  );
  assert.strictEqual(readSettings("worker", COMPLETE).PORT, "3030");
});

test("every missing variable is named at once, and an empty one counts as missing", () => {
  const missing = { SALT: "", CLICKHOUSE_USER: undefined, LANGFUSE_S3_EVENT_UPLOAD_BUCKET: "", REDIS_HOST: "" };
  assert.deepStrictEqual(problems("web", missing).sort(), [
    "CLICKHOUSE_USER is required",
    "LANGFUSE_S3_EVENT_UPLOAD_BUCKET is required",
    "REDIS_CONNECTION_STRING or REDIS_HOST is required",
    "SALT is required",
  ]);
});

test("the worker needs no variables of web", () => {
  assert.deepStrictEqual(problems("worker", { SALT: "", NEXTAUTH_URL: "", NEXTAUTH_SECRET: "" }), []);
});

for (const [name, value] of [
  ["CLICKHOUSE_URL", "host"],
  ["ENCRYPTION_KEY", "short"],
  ["REDIS_PORT", "65537"],
  ["REDIS_SOCKET_TIMEOUT_MS", "5000"],
  ["REDIS_TLS_ENABLED", "yes"],
  ["LANGFUSE_S3_EVENT_KEY_MAX_SEGMENT_BYTES", "10"],
  ["KEEP_ALIVE_TIMEOUT", "soon"],
]) {
  test(`a wrong ${name} is refused without its value`, () => {
    const [problem, ...others] = problems("web", { [name]: value });
    assert.deepStrictEqual(others, []);
    assert.ok(problem.startsWith(name) && !problem.includes(` ${value}`), problem);
  });
}

test("combinations that Langfuse refuses are refused", () => {
  const sentinel = { REDIS_SENTINEL_ENABLED: "true" };
  assert.match(problems("web", sentinel)[0], /^REDIS_SENTINEL_NODES and REDIS_SENTINEL_MASTER_NAME/);
  assert.match(problems("web", { ...sentinel, REDIS_CLUSTER_ENABLED: "true" })[0], /must not both be true/);
  const legacy = { LANGFUSE_MIGRATION_V4_WRITE_MODE: "legacy" };
  assert.match(problems("worker", legacy)[0], /does not work with LANGFUSE_MIGRATION_V4_WRITE_MODE=legacy/);
  const dual = { ...legacy, LANGFUSE_MIGRATION_V4_NATIVE_OTEL_BEHAVIOUR: "dual_write" };
  assert.deepStrictEqual(problems("worker", dual), []);
});
