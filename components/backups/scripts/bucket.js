"use strict";
// A bucket, by the client that is in Langfuse's image (packages/shared/src/server/services/StorageService.ts).

const { createHash } = require("node:crypto");
const { Agent } = require("node:https");
const { setTimeout: sleep } = require("node:timers/promises");
const { load, reason, redact, unreachable } = require("./store-results.js");

/** The marker of a complete folder, which is its manifest. It is written last. */
const MARKER = ".complete";

/** Objects that are read at the same time. */
const PARALLEL = 8;

/** How often an object is read that breaks off, for example because its disk is damaged. */
const READ_ATTEMPTS = 3;

/** Answers of a store that is starting, overloaded or about to stop. That its disk is full (507) does not pass by itself. */
const AWAY = [429, 500, 502, 503, 504];

/** Milliseconds between two requests to a store that is away. They double up to the longest. */
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;

/** Bytes of a part of an upload, and how many parts an object can have (docs.aws.amazon.com, Amazon S3 multipart upload limits). */
const PART = 8 * 1024 * 1024;
const MOST_PARTS = 10_000;

class Bucket {
  /**
   * @param env STORE_URL, REGION, FORCE_PATH_STYLE, BUCKET, ENCRYPTION, KMS_KEY_ID; the keys, unless the pod has an identity;
   *   STORE_WAIT_SECONDS, for which requests are repeated while the store is away;
   *   PREFIX, if the bucket is a copy in a folder of another one, for example `langfuse-prod-backups/`: it is not part of the
   *   names of objects then.
   */
  constructor(env) {
    this.s3 = load("@aws-sdk/client-s3");
    const keys = { accessKeyId: env.ACCESS_KEY_ID, secretAccessKey: env.SECRET_ACCESS_KEY };
    this.client = new this.s3.S3Client({
      endpoint: env.STORE_URL,
      region: env.REGION,
      forcePathStyle: env.FORCE_PATH_STYLE === "true",
      ...(keys.accessKeyId ? { credentials: keys } : {}),
      requestHandler: { connectionTimeout: 5000, requestTimeout: 60_000, ...proxied(env) },
      maxAttempts: 3,
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
    });
    this.name = env.BUCKET;
    this.waitMilliseconds = Number(env.STORE_WAIT_SECONDS) * 1000;
    this.prefix = env.PREFIX ?? "";
    this.encryption = {
      ...(env.ENCRYPTION && env.ENCRYPTION !== "none" ? { ServerSideEncryption: env.ENCRYPTION } : {}),
      ...(env.KMS_KEY_ID ? { SSEKMSKeyId: env.KMS_KEY_ID } : {}),
    };
    const readClock = (next) => async (args) => {
      const answer = await next(args);
      this.date = answer.response?.headers?.date ?? this.date;
      return answer;
    };
    this.client.middlewareStack.add(readClock, { step: "deserialize", name: "readClock" });
  }

  /**
   * Sends a request, again and again while the store is away.
   *
   * @param input The input, or a function that returns it: a stream can be sent only once.
   */
  async send(command, input) {
    let deadline;
    for (let pause = FIRST_PAUSE; ; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
      const request = { Bucket: this.name, ...(typeof input === "function" ? input() : input) };
      try {
        return await this.client.send(new this.s3[`${command}Command`](request));
      } catch (error) {
        deadline ??= Date.now() + this.waitMilliseconds;
        if (!isAway(error) || Date.now() + pause > deadline) throw error;
        if (pause === FIRST_PAUSE) console.error(`the object store is away, and is asked again: ${reason(error)}`);
        await sleep(pause);
      }
    }
  }

  /**
   * Reads an object. If the answer breaks off, it begins again when the store answers.
   *
   * @param use Takes the stream, and returns the result.
   */
  async reading(key, use) {
    for (let attempt = 1; ; attempt++) {
      const { Body } = await this.send("GetObject", { Key: `${this.prefix}${key}` });
      try {
        return await use(Body);
      } catch (error) {
        if (attempt === READ_ATTEMPTS) throw error;
        await this.now();
      }
    }
  }

  /**
   * The content of an object. If the answer breaks off, it goes on where it was when the store answers. It fails if the object
   * was replaced meanwhile, or if several answers in a row bring nothing.
   */
  async *stream(name) {
    const Key = `${this.prefix}${name}`;
    let [offset, rest, failures] = [0, {}, 0];
    for (;;) {
      const { Body, ETag, ContentLength } = await this.send("GetObject", { Key, ...rest });
      const end = offset + ContentLength;
      try {
        for await (const chunk of Body) {
          [offset, failures] = [offset + chunk.length, 0];
          yield chunk;
        }
        return;
      } catch (error) {
        if (offset === end) return;
        if (++failures === READ_ATTEMPTS) throw error;
        rest = { Range: `bytes=${offset}-`, IfMatch: ETag };
        await this.now();
      } finally {
        Body.destroy();
      }
    }
  }

  /** The first bytes of an object that is not empty. */
  async begin(key, bytes) {
    const { Body } = await this.send("GetObject", { Key: `${this.prefix}${key}`, Range: `bytes=0-${bytes - 1}` });
    return Buffer.from(await Body.transformToByteArray());
  }

  /** The time of the store's clock, by which everything in the bucket is compared. */
  async now() {
    await this.send("ListObjectsV2", { MaxKeys: 1 });
    return new Date(this.date ?? Date.now()).toISOString();
  }

  /** The pages of a list. */
  async *pages(input) {
    for (let token; ; ) {
      const page = await this.send("ListObjectsV2", { ...input, ContinuationToken: token });
      yield page;
      if (!page.IsTruncated) return;
      token = page.NextContinuationToken;
    }
  }

  /** The objects under a prefix: {key, bytes, etag, modified}. */
  async *objects(prefix) {
    for await (const { Contents = [] } of this.pages({ Prefix: `${this.prefix}${prefix}` })) {
      for (const { Key, Size, ETag, LastModified } of Contents) {
        yield { key: Key.slice(this.prefix.length), bytes: Size, etag: ETag, modified: LastModified.toISOString() };
      }
    }
  }

  /** The objects in a folder, for example in `sets/ID/`, by their names in it. */
  async files(folder) {
    const found = new Map();
    for await (const object of this.objects(folder)) found.set(object.key.slice(folder.length), object);
    return found;
  }

  /** The names of the folders in a folder, for example in `clickhouse/`. */
  async folders(prefix) {
    const found = [];
    const start = `${this.prefix}${prefix}`;
    for await (const { CommonPrefixes = [] } of this.pages({ Prefix: start, Delimiter: "/" })) {
      for (const { Prefix } of CommonPrefixes) found.push(Prefix.slice(start.length, -1));
    }
    return found;
  }

  /** The content of an object as text; undefined if there is none. */
  async read(key) {
    try {
      return await this.reading(key, (body) => body.transformToString());
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** The content of an object as JSON; undefined if there is none, or if it is none. */
  async json(key) {
    return parsed(await this.read(key), key);
  }

  /** The manifests of the complete folders in a folder, by the names of all folders. */
  async manifests(prefix) {
    const names = await this.folders(prefix);
    const found = await inParallel(names, (name) => this.json(`${prefix}${name}/${MARKER}`));
    return new Map(names.map((name, index) => [name, found[index]]));
  }

  /** Size and SHA-256 of an object, of which one part is in memory at a time. */
  digest(key) {
    return this.reading(key, async (body) => {
      const hash = createHash("sha256");
      let bytes = 0;
      for await (const chunk of body) {
        hash.update(chunk);
        bytes += chunk.length;
      }
      return { bytes, sha256: hash.digest("hex") };
    });
  }

  /**
   * Size and SHA-256 of an object, or {fault}: why nobody can read it. That the store does not answer, or refuses the key,
   * is no fault of the object, but an error.
   */
  async content(key) {
    try {
      return await this.digest(key);
    } catch (error) {
      if (isMissing(error)) return { fault: "is missing" };
      if (isRefused(error)) throw error;
      await this.now();
      return { fault: `can't be read to its end: ${reason(error)}` };
    }
  }

  /**
   * Writes an object from a stream. If the stream fails, there is no object. While a part is sent, the next one is read, so
   * about three are in memory.
   *
   * @param bytes About its size, for the size of the parts.
   */
  async upload(name, bytes, stream) {
    const [Key, size] = [`${this.prefix}${name}`, Math.max(PART, Math.ceil(bytes / MOST_PARTS))];
    const parts = inParts(stream, size);
    const first = await parts.next();
    if (first.done || first.value.length < size) {
      return this.send("PutObject", { Key, ...withSum(first.value ?? Buffer.alloc(0)), ...this.encryption });
    }
    const { UploadId } = await this.send("CreateMultipartUpload", { Key, ...this.encryption });
    const Parts = [];
    try {
      for (let part = first; !part.done; ) {
        const PartNumber = Parts.length + 1;
        const sent = this.send("UploadPart", { Key, UploadId, PartNumber, ...withSum(part.value) });
        const [{ ETag }, next] = await Promise.all([sent, parts.next()]);
        Parts.push({ ETag, PartNumber });
        part = next;
      }
      return await this.send("CompleteMultipartUpload", { Key, UploadId, MultipartUpload: { Parts } });
    } catch (error) {
      await this.send("AbortMultipartUpload", { Key, UploadId }).catch(() => {});
      throw error;
    }
  }

  /** Writes an object, reads it back and returns its size and SHA-256. */
  async write(key, content, type = "application/json") {
    const body = Buffer.from(content);
    await this.send("PutObject", { Key: `${this.prefix}${key}`, Body: body, ContentType: type, ...this.encryption });
    const stored = await this.digest(key);
    const sha256 = createHash("sha256").update(body).digest("hex");
    if (stored.sha256 !== sha256) throw new Error(`the stored ${key} differs from what was written`);
    return stored;
  }
}

/** A body with the sum that AWS requires where objects are locked (docs.aws.amazon.com, Amazon S3, "Object Lock"). */
const withSum = (Body) => ({ Body, ContentMD5: createHash("md5").update(Body).digest("base64") });

/** A stream in buffers of `size` bytes; the last may be shorter. */
async function* inParts(stream, size) {
  let [held, bytes] = [[], 0];
  for await (let chunk of stream) {
    for (; bytes + chunk.length >= size; [held, bytes] = [[], 0]) {
      yield Buffer.concat([...held, chunk.subarray(0, size - bytes)]);
      chunk = chunk.subarray(size - bytes);
    }
    held.push(chunk);
    bytes += chunk.length;
  }
  if (bytes) yield Buffer.concat(held);
}

/** An agent that uses HTTPS_PROXY and NO_PROXY (nodejs.org/api/http.html, `proxyEnv`); without them, the client's own. */
const proxied = (env) =>
  env.HTTPS_PROXY ? { httpsAgent: new Agent({ keepAlive: true, maxSockets: PARALLEL, proxyEnv: env }) } : {};

const isMissing = (error) => error.name === "NoSuchKey" || error.$metadata?.httpStatusCode === 404;

/** Whether a request may succeed later. */
function isAway(error) {
  const status = error.$metadata?.httpStatusCode;
  return status === undefined ? unreachable(error) : AWAY.includes(status);
}

const isRefused = (error) => error.$metadata?.httpStatusCode >= 400 && error.$metadata.httpStatusCode < 500;

function parsed(text, key) {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    console.error(`${key} is damaged and does not count: it is not JSON`);
    return undefined;
  }
}

/** Arrays of `size` items; the last may be shorter. */
async function* batches(items, size) {
  let batch = [];
  for await (const item of items) {
    batch.push(item);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length) yield batch;
}

/** Does something with each item, some of them at the same time, and returns the results in order. */
async function inParallel(items, action) {
  const results = new Array(items.length);
  let next = 0;
  const work = async () => {
    while (next < items.length) {
      const index = next++;
      results[index] = await action(items[index]);
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, items.length) }, work));
  return results;
}

/** Runs a step of a backup. An error is one line without a credential. It may have an `exitCode`. */
function main(name, step) {
  step(process.env).catch((error) => {
    const text = error.stack && process.env.DEBUG ? error.stack : reason(error);
    const { SET_ID: _, ...env } = process.env; // no credential, though its name looks like that of a key
    console.error(redact(`${name}: ${text}`, env));
    process.exitCode = error.exitCode ?? 1;
  });
}

module.exports = { Bucket, MARKER, batches, inParallel, main };
