"use strict";
// Results of the checks of a store, and what errors of its client mean.

const fs = require("node:fs");
const { createRequire } = require("node:module");

/** How long a single step may take. */
const PATIENT_MILLISECONDS = 60_000;

/** Characters of a message. */
const LONGEST = 400;

/** Where worker's image has the packages of Langfuse (pnpm links them there), and where other layouts have them. */
const MODULES = ["/app/worker/node_modules/@langfuse/shared/", "/app/packages/shared/", "/app/worker/", "/app/"];

/** Errors of a server that is not there, or not yet: of Node, of Prisma, of Postgres, of Redis and of S3. */
const UNREACHABLE =
  /\b(ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EPIPE|P1001|P1002|P1008|57P03|LOADING|ServiceUnavailable|SlowDown)\b|Connection is closed|Connection terminated|Timeout error|did not answer|timeout expired|timed out|connecting to ZooKeeper|socket hang up/i;

/** What errors of TLS mean. */
const TLS = [
  [
    /SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)|unable to (verify|get local issuer)|self.signed certificate|certificate verify failed/i,
    "ca",
  ],
  [/CERT_HAS_EXPIRED|certificate has expired/i, "expired"],
  [/ERR_TLS_CERT_ALTNAME_INVALID|does not match certificate|Hostname mismatch/i, "name"],
  [
    /wrong version number|packet length too long|does not support SSL|does not support TLS|server does not support/i,
    "plain",
  ],
];

/** A fault of a store, and the key of the stack file that mends it. */
class Problem extends Error {
  constructor(message, fix) {
    super(message);
    this.fix = fix;
  }
}

/** The packages of Langfuse's image. */
function load(name) {
  for (const folder of MODULES) {
    if (!fs.existsSync(folder)) continue;
    try {
      return createRequire(`${fs.realpathSync(folder)}/`)(name);
    } catch (error) {
      if (error.code !== "MODULE_NOT_FOUND") throw error;
    }
  }
  return require(name); // NODE_PATH
}

/** The message and the codes of an error and of what caused it, in one line. */
function reason(error) {
  const parts = [];
  for (let each = error; each && parts.length < 4; each = each.cause ?? each.lastNodeError ?? each.errors?.[0]) {
    const code = each.code ?? each.errorCode ?? (each.$metadata ? each.name : undefined);
    const status = each.$metadata?.httpStatusCode;
    const text = [status, code, each.message].filter((part) => part && part !== "UnknownError").join(" ");
    parts.push(text || each.name || String(each));
  }
  const text = [...new Set(parts)].join(": ").replace(/\s+/g, " ").trim();
  // The last word goes as a whole: `redact` would not find a part of a credential.
  return text.length > LONGEST ? text.slice(0, LONGEST).replace(/\S*$/, "...") : text;
}

function unreachable(error) {
  return !(error instanceof Problem) && tlsFault(error) === undefined && UNREACHABLE.test(reason(error));
}

function tlsFault(error) {
  return TLS.find(([pattern]) => pattern.test(reason(error)))?.[1];
}

/** Replaces the values of credentials, and passwords in URLs. */
function redact(text, env) {
  const secret = Object.entries(env).filter(
    ([name, value]) =>
      /PASSWORD|SECRET|_KEY|_AUTH|PASSPHRASE|_ID$/.test(name) && value.length >= 4 && !/KMS/.test(name),
  );
  const forms = secret.flatMap(([, value]) => [value, encodeURIComponent(value)]);
  const hidden = forms.sort((one, other) => other.length - one.length);
  return hidden
    .reduce((shown, value) => shown.split(value).join("***"), String(text))
    .replace(/:\/\/[^\s/@]*@/g, "://***@");
}

/** The checks of one store. */
class Results {
  constructor(store, env) {
    this.store = store;
    this.managed = (env.MANAGED_STORES ?? "").split(",").includes(store);
    this.env = env;
    this.lines = [];
    this.check = "connection";
    this.explain = undefined;
  }

  /**
   * Does one step of a check. Its value is shown.
   *
   * @param explain Turns an error into a Problem, or returns undefined.
   */
  async step(check, run, explain) {
    this.check = check;
    this.explain = explain;
    let timer;
    const limit = new Promise((_, reject) => {
      const late = () => reject(new Error(`did not answer within ${PATIENT_MILLISECONDS / 1000} s`));
      timer = setTimeout(late, PATIENT_MILLISECONDS);
    });
    try {
      const detail = await Promise.race([run(), limit]);
      this.add("ok", detail ?? "works");
    } finally {
      clearTimeout(timer);
    }
  }

  /** Does a step that the next ones do not need. */
  async separately(check, run, explain) {
    try {
      await this.step(check, run, explain);
      return true;
    } catch (error) {
      if (unreachable(error)) throw error; // everything is tried again
      this.stop(error);
      return false;
    }
  }

  warn(check, detail, fix) {
    this.check = check;
    this.add("warning", detail, fix);
  }

  /** Records an error. */
  stop(error) {
    const known = error instanceof Problem ? error : this.explain?.(error);
    const { message, fix } = known ?? error;
    this.add("failed", known ? message : reason(error), this.advice(fix ?? this.general(error)));
  }

  add(outcome, detail, fix) {
    this.lines.push({ store: this.store, check: this.check, outcome, detail, ...(fix ? { fix } : {}) });
  }

  /** A stack's own server is not mended by a key of the stack file. */
  advice(fix) {
    if (!this.managed) return fix;
    const { NAMESPACE } = this.env;
    return `this stack runs the server: kubectl --namespace ${NAMESPACE} logs --selector app.kubernetes.io/name=${this.store}`;
  }

  /** What to do about an error that is none of the store's own. */
  general(error) {
    const key = { "object-store": "objectStore" }[this.store] ?? this.store;
    const address = { "object-store": "endpoint", redis: "host or nodes" }[this.store] ?? "host";
    const fault = tlsFault(error);
    const ownCa = ["postgres", "redis"].includes(this.store);
    const advice = {
      // Prisma's engine reads the first certificate of a file alone (native-tls, Certificate::from_pem).
      ca: ownCa
        ? `set langfuse:${key}.ca to the CA certificate of the server${key === "postgres" ? "; if there are several, list it first" : ""}`
        : `set langfuse:network.ca to the CA certificates of the server`,
      expired: "renew the certificate of the server",
      name: `set langfuse:${key}.${address} to a name in the certificate`,
      plain: `set langfuse:${key}.${this.store === "object-store" ? "endpoint to http" : this.store === "postgres" ? "tls to disable" : "tls to false"}, or turn on TLS on the server`,
    };
    if (fault) return advice[fault];
    if (UNREACHABLE.test(reason(error))) {
      const plain =
        this.store === "redis" && this.env.REDIS_TLS_ENABLED === "true"
          ? "; without TLS on the server, set langfuse:redis.tls to false"
          : "";
      return `check langfuse:${key}.${address} and the port, and that the server admits the pods of namespace ${this.env.NAMESPACE}${plain}`;
    }
    return `see langfuse:${key} in docs/configuration.md`;
  }
}

/** Whether a release such as 7.2.4 is older than another. */
function older(release, than) {
  const [one, other] = [release, than].map((text) => text.split(".").map((part) => parseInt(part, 10) || 0));
  for (let index = 0; index < other.length; index++) {
    if ((one[index] ?? 0) !== other[index]) return (one[index] ?? 0) < other[index];
  }
  return false;
}

module.exports = { PATIENT_MILLISECONDS, Problem, Results, load, older, reason, redact, tlsFault, unreachable };
