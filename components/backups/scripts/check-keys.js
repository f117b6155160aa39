"use strict";
// Checks that ENCRYPTION_KEY and SALT are those that a set needs: by its fingerprints, and by what the restored database
// has. Stored LLM keys are decrypted, and the API key of the first start is hashed again.
//
// Environment: ENCRYPTION_KEY, SALT, SECRET_KEY (of the first start) and WORK_DIR, with set.json and what the restore
// noted: `llm-keys` (llm_api_keys.secret_key, one a line) and `api-key` (api_keys.fast_hashed_secret_key of the first
// start's key, if it exists). Faults are added to WORK_DIR/faults.

const { createDecipheriv, createHash } = require("node:crypto");
const { appendFileSync, existsSync, readFileSync } = require("node:fs");
require("./fingerprint-keys.js"); // writes WORK_DIR/keys.json

const { ENCRYPTION_KEY, SALT, SECRET_KEY, WORK_DIR } = process.env;

const read = (name) => (existsSync(`${WORK_DIR}/${name}`) ? readFileSync(`${WORK_DIR}/${name}`, "utf8") : "");
const lines = (name) => read(name).split("\n").filter(Boolean);

function fault(text) {
  console.error(`check-keys: ${text}`);
  appendFileSync(`${WORK_DIR}/faults`, `${text}\n`);
}

/** Whether the key decrypts `iv:ciphertext:tag`, in hex (packages/shared/src/encryption/encryption.ts, `decrypt`). */
function decrypts(text) {
  try {
    const [iv, ciphertext, tag] = text.split(":").map((part) => Buffer.from(part, "hex"));
    const decipher = createDecipheriv("aes-256-gcm", Buffer.from(ENCRYPTION_KEY, "hex"), iv, { authTagLength: 16 });
    decipher.setAuthTag(tag);
    decipher.update(ciphertext);
    decipher.final();
    return true;
  } catch {
    return false;
  }
}

/** What Langfuse stores of the secret of an API key (packages/shared/src/server/auth/apiKeys.ts, `createShaHash`). */
function hashed(secret) {
  const sha256 = (text) => createHash("sha256").update(text, "utf8").digest("hex");
  return sha256(`${secret}${sha256(SALT)}`);
}

const made = JSON.parse(read("set.json")).keys;
const own = JSON.parse(read("keys.json"));
const sameKey = own.encryptionKey === made.encryptionKey;
if (!sameKey) fault("ENCRYPTION_KEY is not the one that the set was made with");
// Fingerprints are made with ENCRYPTION_KEY: with another one, that of SALT differs in any case.
else if (own.salt !== made.salt) fault("SALT is not the one that the set was made with");

const stored = lines("llm-keys");
const decrypted = stored.filter(decrypts).length;
if (stored.length && !decrypted) fault(`ENCRYPTION_KEY decrypts none of ${stored.length} stored LLM keys`);
console.log(`${decrypted} of ${stored.length} stored LLM keys can be decrypted`);

const [hash] = lines("api-key");
if (!hash) console.log("the set has no API key whose secret is known, so SALT is compared by its fingerprint only");
else if (hashed(SECRET_KEY) === hash) console.log("the API key of the first start has the stored hash");
else if (!sameKey || own.salt !== made.salt) fault("the API key of the first start, hashed with SALT, is not what is stored");
// SALT is that of the set. Langfuse keeps the former secret of a pair if only that is changed (web/src/initialize.ts).
else console.log("the API key of the first start has another secret than in the set");
