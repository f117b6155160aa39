"use strict";
// Copies objects back from a second object store whose files are encrypted with age (copy-encrypted.js). What is not
// encrypted, because it was copied before, is copied as it is.
//
// Nothing is replaced. The marker .complete of a folder is copied last, when everything else is there. An object is written
// only if all of it was decrypted, and has the SHA-256 that the manifest or its name says. If this is killed, the next run
// continues.
//
// Environment: ACTION (`restore` or `fetch`; others to do nothing); PREFIX in the second store, for the folders in
// WORK_DIR/folders; or MEDIA_PREFIX, for the keys in WORK_DIR/missing, or all if there is a file WORK_DIR/all-media;
// OFF_SITE_AGE_IDENTITY, the private key; the variables of bucket.js, and the same for the second store with the prefix
// OFF_SITE_.

const { createHash } = require("node:crypto");
const { createReadStream, existsSync, readFileSync } = require("node:fs");
const { createInterface } = require("node:readline");
const { pipeline } = require("node:stream/promises");
const age = require("./age.js");
const { Bucket, MARKER, batches, inParallel, main } = require("./bucket.js");
const { FILES, FOLDER } = require("./clickhouse-backups.js");
const { hasOtherName, pairs } = require("./media-lists.js");
const { identityOf, isLeft, requireIdentity, secondStore } = require("./second-store.js");
const { CLONE, SETS } = require("./verdicts.js");

/** Objects that are copied before the next ones are read. */
const BATCH = 1000;

/** Objects that an error names. */
const NAMED = 3;

/** Hands a stream on. At its end, it fails if `faultIn` the content says so. */
async function* checked(stream, faultIn) {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of stream) {
    hash.update(chunk);
    bytes += chunk.length;
    yield chunk;
  }
  const fault = faultIn({ bytes, sha256: hash.digest("hex") });
  if (fault) throw new age.Damage(fault);
}

class Back {
  constructor({ PREFIX, MEDIA_PREFIX, ...env }) {
    this.source = secondStore({ ...env, OFF_SITE_PREFIX: PREFIX ?? MEDIA_PREFIX });
    this.target = new Bucket(env);
    this.identity = identityOf(env.OFF_SITE_AGE_IDENTITY);
    this.work = env.WORK_DIR;
  }

  /**
   * Copies one object. In a stream that is cut off or changed, the last part is not written, so there is no object.
   *
   * @param faultIn What is wrong with a content ({bytes, sha256}); undefined if nothing is.
   */
  async get(key, bytes, faultIn) {
    const write = (stream) => this.target.upload(key, bytes, checked(stream, faultIn));
    const content = this.source.stream(key);
    try {
      const { begin, stream } = await age.peeked(content);
      const isEncrypted = age.isEncrypted(begin);
      if (isEncrypted) requireIdentity(key, begin, this.identity);
      await pipeline(stream, ...(isEncrypted ? [age.decrypt(this.identity)] : []), write);
    } catch (error) {
      throw error instanceof age.Damage ? new age.Damage(`${key} is damaged in the copy: ${error.message}`) : error;
    } finally {
      await content.return(); // closes the connection
    }
  }

  /** What the manifest of a folder says about its files, by their names: {bytes, sha256}. */
  async expected(name) {
    const manifest = await this.source.json(`${name}/${MARKER}`);
    if (!manifest) throw new Error(`${name} has no manifest (${MARKER}) that can be read`);
    if (!name.startsWith(FOLDER)) return new Map(manifest.files.map((file) => [file.name, file]));
    const lines = ((await this.source.read(`${name}/${FILES}`)) ?? "").split("\n").filter(Boolean);
    const files = lines.map((line) => JSON.parse(line));
    return new Map([...files.map((file) => [file.name, file]), [FILES, { sha256: manifest.filesSha256 }]]);
  }

  async folder(name) {
    const [folder, expected] = [`${name}/`, await this.expected(name)];
    const [listed, there] = [await this.source.files(folder), await this.target.files(folder)];
    console.log(`copying ${name}`);
    const names = [...new Set([...expected.keys(), ...listed.keys()])];
    const wanted = names.filter((file) => file !== MARKER && !isLeft(`${folder}${file}`));
    await inParallel(wanted, async (file) => {
      const { bytes, sha256 } = expected.get(file) ?? {};
      const found = there.get(file);
      if (!listed.has(file)) throw new Error(`${folder}${file} is not in the copy`);
      if (found && bytes !== undefined && found.bytes !== bytes) {
        throw new Error(`${folder}${file} is another object in the bucket, and is not replaced`);
      }
      const faultIn = (content) => sha256 && content.sha256 !== sha256 && "it differs from what was written";
      if (!found) await this.get(`${folder}${file}`, listed.get(file).bytes, faultIn);
    });
    const clone = `${this.work}/${CLONE}.json`;
    if (folder.startsWith(SETS) && existsSync(clone)) {
      await this.target.write(`${folder}verdicts/${CLONE}.json`, readFileSync(clone, "utf8"));
    }
    if (!there.has(MARKER)) await this.get(`${folder}${MARKER}`, 0, () => undefined);
  }

  /** The keys of media that are to be copied. */
  async *media() {
    if (!existsSync(`${this.work}/all-media`)) {
      yield* createInterface({ input: createReadStream(`${this.work}/missing`), crlfDelay: Infinity });
      return;
    }
    for await (const { key, found } of pairs(this.source.objects(""), this.target.objects(""), "")) if (!found) yield key;
  }

  async allMedia() {
    const damaged = [];
    const get = async (key) => {
      try {
        await this.get(key, 0, ({ sha256 }) => hasOtherName(key, sha256) && "its content does not fit its name");
      } catch (error) {
        if (error.name === "NoSuchKey") return; // the next step looks for what is still missing
        if (!(error instanceof age.Damage)) throw error;
        damaged.push(error.message);
      }
    };
    for await (const keys of batches(this.media(), BATCH)) await inParallel(keys, get);
    if (damaged.length) throw new Error(`${damaged.length} media: ${damaged.slice(0, NAMED).join("; ")}`);
  }
}

main("copy-back", async (env) => {
  if (!["restore", "fetch"].includes(env.ACTION)) return;
  const back = new Back(env);
  if (env.MEDIA_PREFIX) return back.allMedia();
  for (const name of readFileSync(`${env.WORK_DIR}/folders`, "utf8").split("\n").filter(Boolean)) await back.folder(name);
});
