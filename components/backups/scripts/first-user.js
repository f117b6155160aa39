"use strict";
// Notes the first user of this installation for clean-clone.sql, with the hash of the password that Langfuse would store
// (web/src/features/auth-credentials/lib/credentialsServerUtils.ts, `hashPassword`).
//
// Environment: CLONE (`true`, or nothing is done), USER_EMAIL, USER_NAME, USER_PASSWORD and WORK_DIR.

const { writeFileSync } = require("node:fs");
const { main } = require("./bucket.js");
const { load } = require("./store-results.js");

const ROUNDS = 12;

main("first-user", async ({ CLONE, USER_EMAIL, USER_NAME, USER_PASSWORD, WORK_DIR }) => {
  if (CLONE !== "true") return;
  const password = await load("bcryptjs").hash(USER_PASSWORD, ROUNDS);
  const user = JSON.stringify({ email: USER_EMAIL, name: USER_NAME, password });
  writeFileSync(`${WORK_DIR}/first-user.json`, user.replaceAll("'", "''")); // in a string of SQL
});
