"use strict";
// Deletes a key pair of Langfuse, and what Redis remembers of it, so that the next request with it is refused.
//
// Langfuse does the same when somebody deletes a key in its settings: web/src/features/public-api/server/apiAuth.ts
// (`deleteApiKey`) and packages/shared/src/server/auth/invalidateApiKeys.ts (`cacheKeysForRows`) in langfuse/langfuse.
//
// Environment: PUBLIC_KEY, SALT, DIRECT_URL, and the variables of check-redis.js with REDIS_KEY_PREFIX. Prints one line of
// JSON: `deleted`, the number of key pairs, and `project`, the id of their project.

const { createHash } = require("node:crypto");
const { setTimeout: sleep } = require("node:timers/promises");
const { connected } = require("./check-postgres.js");
const { client, connect } = require("./check-redis.js");
const { reason, redact } = require("./store-results.js");

/** A request that was under way while the row was deleted may remember the key again. */
const ROUNDS = 2;
const PAUSE_MILLISECONDS = 1000;

/** packages/shared/src/server/auth/apiKeys.ts, `createShaHash` */
function shaHash(text, salt) {
  const salted = createHash("sha256").update(salt, "utf8").digest("hex");
  return createHash("sha256").update(text).update(salted).digest("hex");
}

/** The keys of the cache, those of newer releases included (packages/shared/src/server/auth/apiKeyCache.ts). */
function cacheKeys(publicKey, secretHash, salt) {
  const hashes = [shaHash(publicKey, salt), ...(secretHash ? [secretHash] : [])];
  const prefixes = ["api-key:", "authz:context:", "authz:context:v2:basic:", "authz:context:v2:bearer:"];
  return hashes.flatMap((hash) => prefixes.map((prefix) => prefix + hash));
}

async function main(env) {
  // It becomes a part of a statement: Prisma's engine and `pg` have different parameters.
  if (!/^pk-lf-[A-Za-z0-9-]{1,100}$/.test(env.PUBLIC_KEY)) throw new Error("PUBLIC_KEY is not a public key of Langfuse");
  const redis = client(env);
  try {
    await connect(redis); // first: a key that is deleted and remembered would still work
    const rows = await connected(env.DIRECT_URL, (database) =>
      database.query(
        `DELETE FROM api_keys WHERE public_key = '${env.PUBLIC_KEY}'
         RETURNING project_id AS project, fast_hashed_secret_key AS hash`,
      ),
    );
    const keys = cacheKeys(env.PUBLIC_KEY, rows[0]?.hash, env.SALT).map((key) => `${env.REDIS_KEY_PREFIX}${key}`);
    for (let round = 0; round < ROUNDS; round++) {
      if (round) await sleep(PAUSE_MILLISECONDS);
      for (const key of keys) await redis.del(key); // one by one: those of a cluster are in different slots
    }
    console.log(JSON.stringify({ revoked: true, deleted: rows.length, project: rows[0]?.project ?? null }));
  } finally {
    redis.disconnect();
  }
}

main(process.env).catch((error) => {
  console.error(redact(`revoke-key: ${reason(error)}`, process.env));
  process.exitCode = 1;
});
