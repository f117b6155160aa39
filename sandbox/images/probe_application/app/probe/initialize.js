"use strict";
// Creates the first organization, project, API keys and owner (LANGFUSE_INIT_*), as web/src/initialize.ts does.
//
// It looks for each row before it creates it. Servers that start at the same time therefore fail on each other's rows,
// as Langfuse's do.

const { createHash, randomBytes, randomUUID, scryptSync } = require("node:crypto");
const { log } = require("./log");

/** The hash by which requests are checked (createShaHash in packages/shared/src/server/auth/apiKeys.ts). */
function keyHash(secretKey, salt) {
  const salted = createHash("sha256").update(salt, "utf8").digest("hex");
  return createHash("sha256").update(secretKey).update(salted).digest("hex");
}

async function create(pool, table, key, values) {
  const found = await pool.query(`SELECT 1 FROM ${table} WHERE ${key} = $1`, [values[key]]);
  if (found.rowCount) return false;
  const names = Object.keys(values);
  const places = names.map((_, index) => `$${index + 1}`);
  await pool.query(`INSERT INTO ${table} (${names}) VALUES (${places})`, Object.values(values));
  log.info(`created a row of ${table}`);
  return true;
}

/** Creates what is missing. Existing rows stay as they are, but for the project of a key and the role of the owner. */
async function initialize(pool, env) {
  const organization = env.LANGFUSE_INIT_ORG_ID;
  if (!organization) {
    const ignored = Object.keys(env).filter(
      (name) => /^LANGFUSE_INIT_.*_(ID|KEY|EMAIL|PASSWORD)$/.test(name) && env[name],
    );
    if (ignored.length)
      log.warn(`LANGFUSE_INIT_ORG_ID is not set, so these variables are ignored: ${ignored.join(", ")}`);
    return;
  }
  await create(pool, "probe_organizations", "id", { id: organization, name: env.LANGFUSE_INIT_ORG_NAME });
  await createProject(pool, env, organization);
  await createOwner(pool, env, organization);
}

async function createProject(pool, env, organization) {
  const project = env.LANGFUSE_INIT_PROJECT_ID;
  if (!project) return;
  const name = env.LANGFUSE_INIT_PROJECT_NAME;
  await create(pool, "probe_projects", "id", { id: project, organization_id: organization, name });
  const publicKey = env.LANGFUSE_INIT_PROJECT_PUBLIC_KEY;
  const secretKey = env.LANGFUSE_INIT_PROJECT_SECRET_KEY;
  if (!publicKey || !secretKey) return;
  await pool.query("DELETE FROM api_keys WHERE public_key = $1 AND project_id <> $2", [publicKey, project]);
  await create(pool, "api_keys", "public_key", {
    public_key: publicKey,
    fast_hashed_secret_key: keyHash(secretKey, env.SALT),
    project_id: project,
  });
}

async function createOwner(pool, env, organization) {
  const password = env.LANGFUSE_INIT_USER_PASSWORD;
  if (!env.LANGFUSE_INIT_USER_EMAIL || !password) return;
  if (password.length < 8) throw new Error("LANGFUSE_INIT_USER_PASSWORD must have at least 8 characters");
  const email = env.LANGFUSE_INIT_USER_EMAIL.toLowerCase();
  const salt = randomBytes(16);
  await create(pool, "probe_users", "email", {
    id: randomUUID(),
    email,
    name: env.LANGFUSE_INIT_USER_NAME,
    password_hash: `${salt.toString("hex")}:${scryptSync(password, salt, 32).toString("hex")}`,
  });
  await pool.query(
    `INSERT INTO probe_memberships (organization_id, user_id, role)
     SELECT $1, id, 'OWNER' FROM probe_users WHERE email = $2
     ON CONFLICT (organization_id, user_id) DO UPDATE SET role = 'OWNER'`,
    [organization, email],
  );
}

module.exports = { initialize, keyHash };
