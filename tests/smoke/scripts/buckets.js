"use strict";
// Prints for each bucket of worker, as JSON, whether it exists and after how many days its objects expire.

const { load, reason } = require("./store-results.js");

const USES = { events: "EVENT_UPLOAD", media: "MEDIA_UPLOAD", exports: "BATCH_EXPORT" };

async function look(env, use) {
  const { GetBucketLifecycleConfigurationCommand, ListObjectsV2Command, S3Client } = load("@aws-sdk/client-s3");
  const get = (name) => env[`LANGFUSE_S3_${use}_${name}`];
  const keys = { accessKeyId: get("ACCESS_KEY_ID"), secretAccessKey: get("SECRET_ACCESS_KEY") };
  const client = new S3Client({
    endpoint: get("INTERNAL_ENDPOINT") || get("ENDPOINT"),
    region: get("REGION") || "auto",
    forcePathStyle: get("FORCE_PATH_STYLE") === "true",
    ...(keys.accessKeyId ? { credentials: keys } : {}),
  });
  const Bucket = get("BUCKET");
  try {
    await client.send(new ListObjectsV2Command({ Bucket, MaxKeys: 1 }));
  } catch (error) {
    return { bucket: Bucket, error: reason(error) };
  }
  try {
    const { Rules = [] } = await client.send(new GetBucketLifecycleConfigurationCommand({ Bucket }));
    const days = Rules.filter((rule) => rule.Status === "Enabled").map((rule) => rule.Expiration?.Days);
    return { bucket: Bucket, days: days.filter(Boolean) };
  } catch (error) {
    return error.name === "NoSuchLifecycleConfiguration"
      ? { bucket: Bucket, days: [] }
      : { bucket: Bucket, unreadable: reason(error) };
  }
}

async function main(env) {
  const found = {};
  for (const [purpose, use] of Object.entries(USES)) if (env[`LANGFUSE_S3_${use}_BUCKET`]) found[purpose] = await look(env, use);
  console.log(JSON.stringify(found));
}

main(process.env);
