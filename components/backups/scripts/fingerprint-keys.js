"use strict";
// Writes fingerprints of ENCRYPTION_KEY and SALT to WORK_DIR/keys.json, by which a restore knows whether it has the keys
// that a set needs.
//
// The fingerprints are HMACs with ENCRYPTION_KEY, which has 256 random bits. Nobody without that key can test a guess of
// SALT, which may be short. They are cut to 64 bits.
//
// Environment: ENCRYPTION_KEY, SALT and WORK_DIR.

const { createHmac } = require("node:crypto");
const { writeFileSync } = require("node:fs");

const { ENCRYPTION_KEY, SALT, WORK_DIR } = process.env;

const fingerprint = (name, value) =>
  createHmac("sha256", Buffer.from(ENCRYPTION_KEY, "hex")).update(`${name}\0${value}`).digest("hex").slice(0, 16);

const keys = { encryptionKey: fingerprint("ENCRYPTION_KEY", ENCRYPTION_KEY), salt: fingerprint("SALT", SALT) };
writeFileSync(`${WORK_DIR}/keys.json`, JSON.stringify(keys));
