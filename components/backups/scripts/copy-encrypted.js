"use strict";
// Copies new objects of BUCKET to OFF_SITE_BUCKET/BUCKET/ in a second object store, encrypted with age (age.js).
//
// What it copies, and in which order, is the same as in copy-off-site.sh. Manifests and lists stay readable: they have
// sizes, names and numbers of rows, by which others find a set there without the private key.
//
// Environment: AGE_RECIPIENTS (recipients of age, with commas), the variables of bucket.js, and the same for the second store
// with the prefix OFF_SITE_.

const { pipeline } = require("node:stream/promises");
const age = require("./age.js");
const { Bucket, MARKER, batches, inParallel, main } = require("./bucket.js");
const { pairs } = require("./media-lists.js");
const { isLeft, isReadable, secondStore } = require("./second-store.js");

/** Objects that are copied before the next ones are listed. */
const BATCH = 1000;

/** Objects that an error names. */
const NAMED = 3;

const PROGRESS_MILLISECONDS = 60_000;

const isMarker = (key) => key === MARKER || key.endsWith(`/${MARKER}`);

class Copy {
  constructor(env) {
    this.source = new Bucket(env);
    this.target = secondStore(env);
    this.folder = `${env.BUCKET}/`;
    this.recipients = env.AGE_RECIPIENTS.split(",").map(age.recipientKey);
    this.copied = { objects: 0, bytes: 0 };
    this.shown = Date.now();
  }

  /** The objects under a prefix, in order: {key, bytes, found}, with the object of the copy. */
  async *objects(prefix) {
    const theirs = this.target.objects(`${this.folder}${prefix}`);
    for await (const { key, bytes, found } of pairs(this.source.objects(prefix), theirs, this.folder)) {
      const name = key.slice(this.folder.length);
      if (!isLeft(name)) yield { key: name, bytes, found };
    }
  }

  /** Whether the copy has the size of an object. One that was copied before there were recipients is not encrypted. */
  fits({ key, bytes, found }) {
    return found.bytes === bytes || (!isReadable(key) && age.isEncryptedSize(found.bytes, bytes));
  }

  async put({ key, bytes }) {
    const plain = isReadable(key);
    const size = plain ? bytes : age.encryptedBytes(bytes, this.recipients);
    const write = (stream) => this.target.upload(`${this.folder}${key}`, size, stream);
    const encrypt = plain ? [] : [age.encrypt(this.recipients)];
    await pipeline(this.source.stream(key), ...encrypt, write);
    this.copied.objects += 1;
    this.copied.bytes += bytes;
    if (Date.now() - this.shown < PROGRESS_MILLISECONDS) return;
    this.shown = Date.now();
    console.log(this.summary());
  }

  summary() {
    return `copied ${this.copied.objects} objects, ${this.copied.bytes} bytes`;
  }

  /** The markers of complete folders. A backup that is completed while this runs is copied by the next run. */
  async markers() {
    const found = [];
    for await (const object of this.source.objects("")) if (isMarker(object.key)) found.push(object);
    return found;
  }

  /** Copies what is new but markers, and returns the markers in the copy, and the keys of objects that are others there. */
  async all() {
    const [there, others] = [new Set(), []];
    for await (const objects of batches(this.missing(there, others), BATCH)) await inParallel(objects, (one) => this.put(one));
    return { there, others };
  }

  /** The objects that are not in the copy, but markers. Notes the markers in the copy, and the keys of objects that are others. */
  async *missing(there, others) {
    for await (const object of this.objects("")) {
      const { key, found } = object;
      if (isMarker(key)) {
        if (found) there.add(key);
      } else if (!found) {
        yield object;
      } else if (!this.fits(object)) {
        others.push(key);
      }
    }
  }

  /** Writes the marker of a folder if all of its objects are in the copy; otherwise returns what is wrong. */
  async complete(marker) {
    const folder = marker.key.slice(0, -MARKER.length);
    for await (const object of this.objects(folder)) {
      if (object.key !== marker.key && !(object.found && this.fits(object))) {
        return `the copy of ${folder.slice(0, -1)} differs: ${object.key}`;
      }
    }
    await this.put(marker);
    console.log(`the copy of ${folder.slice(0, -1)} is complete`);
    return undefined;
  }
}

main("copy-encrypted", async (env) => {
  const copy = new Copy(env);
  const markers = await copy.markers();
  console.log(`copying new objects of ${env.BUCKET} to ${env.OFF_SITE_STORE_URL}/${env.OFF_SITE_BUCKET}, encrypted`);
  const { there, others } = await copy.all();
  const faults = [];
  if (others.length) {
    const named = others.slice(0, NAMED).join(", ");
    faults.push(`${others.length} objects are others in the copy, and are not replaced: ${named}`);
  }
  for (const marker of markers) if (!there.has(marker.key)) faults.push(await copy.complete(marker));
  console.log(`${copy.summary()} of ${env.BUCKET}`);
  if (faults.filter(Boolean).length) throw new Error(faults.filter(Boolean).join("; "));
});
