"use strict";
// The object store: for each bucket, what packages/shared/src/server/services/StorageService.ts does with it.

const { createHash, randomUUID } = require("node:crypto");
const { Problem, load, reason, unreachable } = require("./store-results.js");

/** The variables of each bucket, and its name in the stack file. */
const PURPOSES = { EVENT_UPLOAD: "events", MEDIA_UPLOAD: "media", BATCH_EXPORT: "exports" };

const NATIVE = [
  "LANGFUSE_USE_AZURE_BLOB",
  "LANGFUSE_USE_GOOGLE_CLOUD_STORAGE",
  "LANGFUSE_USE_OCI_NATIVE_OBJECT_STORAGE",
];

/** The least size of a part but the last (docs.aws.amazon.com, Amazon S3 multipart upload limits). */
const PART_BYTES = 5 * 1024 * 1024;

const CONTENT = JSON.stringify([{ checked: true }]);

class Bucket {
  constructor(env, use) {
    const get = (name) => env[`LANGFUSE_S3_${use}_${name}`] || undefined;
    this.s3 = load("@aws-sdk/client-s3");
    this.presigner = load("@aws-sdk/s3-request-presigner");
    const keys = { accessKeyId: get("ACCESS_KEY_ID"), secretAccessKey: get("SECRET_ACCESS_KEY") };
    this.client = new this.s3.S3Client({
      endpoint: get("ENDPOINT"),
      region: get("REGION"),
      forcePathStyle: get("FORCE_PATH_STYLE") === "true",
      ...(keys.accessKeyId && keys.secretAccessKey ? { credentials: keys } : {}),
      requestHandler: { connectionTimeout: 5000, requestTimeout: 20_000 },
      maxAttempts: 2,
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
    });
    this.purpose = PURPOSES[use];
    this.encryption = {
      ...(get("SSE") ? { ServerSideEncryption: get("SSE") } : {}),
      ...(get("SSE") === "aws:kms" && get("SSE_KMS_KEY_ID") ? { SSEKMSKeyId: get("SSE_KMS_KEY_ID") } : {}),
    };
    this.checksum = env.LANGFUSE_S3_DELETE_OBJECTS_CHECKSUM_ALGORITHM || undefined;
    // Exports can't be deleted with their own keys. They expire, and each check replaces those of the last one.
    const name = `${get("PREFIX") ?? ""}check-stores/${this.purpose === "exports" ? "export" : randomUUID()}`;
    this.place = { Bucket: get("BUCKET"), Key: name };
    this.prefix = name;
    this.written = new Set();
  }

  object(suffix) {
    this.written.add(`${this.place.Key}-${suffix}`);
    return { ...this.place, Key: `${this.place.Key}-${suffix}` };
  }

  send(command, input) {
    return this.client.send(new this.s3[`${command}Command`](input));
  }

  async write() {
    const input = { ...this.object("object"), Body: CONTENT, ContentType: "application/json", ...this.encryption };
    await this.send("PutObject", input);
    const method = this.encryption.ServerSideEncryption;
    return method ? `written with encryption ${method}` : "written";
  }

  async read() {
    const answer = await this.send("GetObject", this.object("object"));
    if ((await answer.Body.transformToString()) !== CONTENT) throw new Error("the store returned another content");
    return "read";
  }

  async list() {
    const { Contents = [] } = await this.send("ListObjectsV2", { Bucket: this.place.Bucket, Prefix: this.prefix });
    return `${Contents.length} objects listed`;
  }

  /** A large export is written in parts. */
  async upload() {
    const object = this.object("parts");
    const { UploadId } = await this.send("CreateMultipartUpload", { ...object, ...this.encryption });
    const parts = [];
    try {
      for (const [index, size] of [PART_BYTES, 1].entries()) {
        const part = { ...object, UploadId, PartNumber: index + 1, Body: Buffer.alloc(size) };
        parts.push({ ETag: (await this.send("UploadPart", part)).ETag, PartNumber: index + 1 });
      }
      await this.send("CompleteMultipartUpload", { ...object, UploadId, MultipartUpload: { Parts: parts } });
    } catch (error) {
      await this.send("AbortMultipartUpload", { ...object, UploadId }).catch(() => {});
      throw error;
    }
    return "written in two parts";
  }

  /** SDKs and browsers write media to a signed link. */
  async putByLink() {
    const digest = createHash("sha256").update(CONTENT).digest("base64");
    const input = {
      ...this.object("linked"),
      ContentType: "application/json",
      ChecksumSHA256: digest,
      ContentLength: CONTENT.length,
    };
    const command = new this.s3.PutObjectCommand({ ...input, ...this.encryption });
    const url = await this.presigner.getSignedUrl(this.client, command, {
      expiresIn: 300,
      signableHeaders: new Set(["content-type", "content-length"]),
      unhoistableHeaders: new Set(["x-amz-checksum-sha256"]),
    });
    const headers = { "content-type": "application/json", "x-amz-checksum-sha256": digest };
    await answered(await fetch(url, { method: "PUT", body: CONTENT, headers }));
    return "written by a signed link";
  }

  async getByLink() {
    const input = { ...this.object("object"), ResponseContentDisposition: 'attachment; filename="check.json"' };
    const url = await this.presigner.getSignedUrl(this.client, new this.s3.GetObjectCommand(input), { expiresIn: 300 });
    const answer = await answered(await fetch(url));
    if ((await answer.text()) !== CONTENT) throw new Error("the store returned another content");
    return "read by a signed link";
  }

  async remove() {
    if (this.purpose === "exports") return this.removeAll().catch(() => "expires with the exports");
    return this.removeAll();
  }

  async removeAll() {
    const objects = [...this.written].map((name) => ({ Key: name }));
    const input = {
      Bucket: this.place.Bucket,
      ChecksumAlgorithm: this.checksum,
      Delete: { Objects: objects, Quiet: true },
    };
    const { Errors = [] } = await this.send("DeleteObjects", input);
    if (Errors.length) throw new Error(`${Errors[0].Code} ${Errors[0].Message}`);
    return "deleted";
  }
}

function explain(error, { purpose, place: { Bucket }, encryption }) {
  const text = reason(error);
  const keys = `langfuse:credentials.values.objectStore${purpose[0].toUpperCase()}${purpose.slice(1)}AccessKeyId and ...SecretAccessKey`;
  const known = [
    [
      /^501|NotImplemented|KMS is not configured|InvalidArgument.*encryption/i,
      encryption.ServerSideEncryption
        ? "set langfuse:objectStore.encryption to none, or configure a KMS on the store"
        : undefined,
    ],
    [/KMS\.|kms:|KMSKey|KMS key/i, "check langfuse:objectStore.kmsKeyId, and allow the credentials to use the key"],
    [/NoSuchBucket/, `create the bucket, or correct langfuse:objectStore.buckets.${purpose}`],
    [
      /PermanentRedirect|AuthorizationHeaderMalformed|^301|IllegalLocationConstraint/,
      "correct langfuse:objectStore.region",
    ],
    [/InvalidAccessKeyId|SignatureDoesNotMatch/, `correct ${keys}`],
    [
      /CredentialsProviderError|Could not load credentials|AssumeRoleWithWebIdentity|InvalidIdentityToken/,
      "check langfuse:objectStore.identityAnnotations, or set langfuse:objectStore.identity to keys",
    ],
    [
      /MissingContentMD5|Content-MD5/i,
      "set LANGFUSE_S3_DELETE_OBJECTS_CHECKSUM_ALGORITHM to MD5 in langfuse:extraEnv, for web and worker",
    ],
    [
      /AccessDenied|^403|Forbidden/,
      `allow it to the user of bucket ${Bucket}, or correct langfuse:objectStore.buckets.${purpose} or ${keys}`,
    ],
  ];
  const fix = known.find(([pattern, advice]) => advice && pattern.test(text))?.[1];
  if (fix) return new Problem(text, fix);
  if (/ENOTFOUND/.test(text) && text.includes(Bucket)) {
    return new Problem(
      text,
      "set langfuse:objectStore.forcePathStyle to true: the store has no host name for each bucket",
    );
  }
  return undefined;
}

async function answered(answer) {
  if (answer.ok) return answer;
  const [, code] = /<Code>(\w+)<\/Code>/.exec(await answer.text()) ?? [];
  throw new Error(`${answer.status} ${code ?? answer.statusText}`);
}

const STEPS = {
  EVENT_UPLOAD: ["read", "list"],
  MEDIA_UPLOAD: ["read", "putByLink", "getByLink"],
  BATCH_EXPORT: ["upload", "getByLink"],
};

async function checkBucket(env, use, results) {
  const bucket = new Bucket(env, use);
  const step = (name) => [
    `${bucket.purpose}, ${TITLES[name]}`,
    () => bucket[name](),
    (error) => explain(error, bucket),
  ];
  await results.step(...step("write"));
  for (const name of STEPS[use]) await results.separately(...step(name));
  await results.separately(...step("remove"));
}

const TITLES = {
  write: "write",
  read: "read",
  list: "list",
  upload: "multipart",
  putByLink: "signed PUT",
  getByLink: "signed GET",
  remove: "delete",
};

module.exports = async function check(env, results) {
  const native = NATIVE.find((name) => env[name] === "true");
  if (native) {
    results.warn(
      "connection",
      `not checked: ${native} makes Langfuse use another protocol than S3`,
      "check it by uploading a file",
    );
    return;
  }
  for (const use of Object.keys(PURPOSES)) {
    try {
      await checkBucket(env, use, results);
    } catch (error) {
      if (unreachable(error)) throw error; // it is tried again
      results.stop(error);
    }
  }
};

module.exports.explain = explain;
