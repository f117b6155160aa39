"use strict";
// Writes log lines to standard output, as text or JSON (LANGFUSE_LOG_FORMAT), and names the pod.

const os = require("node:os");

/** The name of the pod: the kernel's host name. The variable HOSTNAME has the address to listen on. */
const POD = os.hostname();
const LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"];

let least = LEVELS.indexOf("info");
let asJson = false;

/** Sets level and format from the settings of a program. */
function configureLog(settings) {
  least = LEVELS.indexOf(settings.LANGFUSE_LOG_LEVEL);
  asJson = settings.LANGFUSE_LOG_FORMAT === "json";
}

function write(level, message) {
  if (LEVELS.indexOf(level) < least) return;
  const timestamp = new Date().toISOString();
  const line = asJson
    ? JSON.stringify({ level, message, timestamp, pod: POD })
    : `${timestamp} ${level} probe application: ${message}`;
  process.stdout.write(`${line}\n`);
}

const log = Object.fromEntries(LEVELS.map((level) => [level, (message) => write(level, message)]));

/** The message of an error. Connection errors of several addresses have an empty one. */
function reason(error) {
  return error?.message || error?.errors?.map((each) => each.message).join("; ") || error?.code || String(error);
}

module.exports = { POD, configureLog, log, reason };
