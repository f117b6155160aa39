"use strict";
// The bucket in a second object store, whose variables are those of bucket.js with the prefix OFF_SITE_, and what is encrypted
// there.

const age = require("./age.js");
const { Bucket } = require("./bucket.js");
const { Fault } = require("./verdicts.js");

const PREFIX = "OFF_SITE_";

function secondStore(env) {
  const own = Object.entries(env).filter(([name]) => name.startsWith(PREFIX));
  const { HTTPS_PROXY, NO_PROXY } = env;
  const given = Object.fromEntries(own.map(([name, value]) => [name.slice(PREFIX.length), value]));
  return new Bucket({ HTTPS_PROXY, NO_PROXY, ...given });
}

/** Manifests and lists are not encrypted: by them, others find a set without the private key. */
const isReadable = (key) => /(^|\/)(\.complete|files\.jsonl|media\.jsonl\.gz)$/.test(key);

/** Objects that are not copied: a backup that is being made, and verdicts, which are about the objects of one store. */
const isLeft = (key) => /(^|\/)\.lock$|^sets\/[^/]+\/verdicts\//.test(key);

/** Where the private key belongs (components/backups/off_site.py). */
const PLACE = "Secret langfuse-age-identity";
const CREATE =
  "create it for the time of the restore: kubectl create secret generic langfuse-age-identity --from-file=AGE_IDENTITY=KEY_FILE";

/** The private key of the second store's files; undefined if there is none. */
function identityOf(text) {
  if (!text) return undefined;
  try {
    return age.identityKey(text);
  } catch (error) {
    throw new Fault(`AGE_IDENTITY in ${PLACE}: ${error.message}`);
  }
}

/** Refuses a file that begins so if it can't be decrypted. */
function requireIdentity(key, begin, identity) {
  if (!identity) throw new Fault(`${key} is encrypted with age, and there is no AGE_IDENTITY in ${PLACE}; ${CREATE}`);
  if (age.opens(identity, begin)) return;
  throw new Fault(
    `${key} is encrypted for other recipients than the AGE_IDENTITY in ${PLACE}; put the private key of one of ` +
      "langfuse:backups.offSite.recipients there",
  );
}

module.exports = { identityOf, isLeft, isReadable, requireIdentity, secondStore };
