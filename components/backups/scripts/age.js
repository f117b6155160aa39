"use strict";
// Encrypts for X25519 recipients in the format of age, so that `age --decrypt` reads what this writes (c2sp.org/age).
// No image of the stack has the program or a library (docs/decisions/encrypted-copies.md). The ciphers are Node's.

const crypto = require("node:crypto");
const { Transform } = require("node:stream");

const VERSION = "age-encryption.org/v1";
const CHUNK = 64 * 1024;
const TAG = 16;
const FILE_KEY = 16;
const NONCE = 16;

/** The DER encoding of an X25519 key before its 32 bytes (RFC 8410). */
const PUBLIC = Buffer.from("302a300506032b656e032100", "hex");
const PRIVATE = Buffer.from("302e020100300506032b656e04220420", "hex");

const WRAP = `${VERSION}/X25519`;
const ZERO_NONCE = Buffer.alloc(12);
/** Characters of 32 bytes in Base64 without padding: a share, a wrapped key, a MAC. */
const ENCODED = 43;
const STANZA = "-> X25519 \n\n".length + 2 * ENCODED;
/** The longest header that is read: about 300 recipients. */
const LONGEST_HEADER = 32 * 1024;

const bare = (bytes) => bytes.toString("base64").replaceAll("=", "");
const derive = (key, salt, info) => Buffer.from(crypto.hkdfSync("sha256", key, salt, info, 32));
const publicKey = (raw) => crypto.createPublicKey({ key: Buffer.concat([PUBLIC, raw]), format: "der", type: "spki" });
const privateKey = (raw) => crypto.createPrivateKey({ key: Buffer.concat([PRIVATE, raw]), format: "der", type: "pkcs8" });
const rawPublic = (key) => crypto.createPublicKey(key).export({ format: "der", type: "spki" }).subarray(PUBLIC.length);

/** A file that is none of age, or was changed or cut off. */
class Damage extends Error {}

function seal(key, nonce, text) {
  const cipher = crypto.createCipheriv("chacha20-poly1305", key, nonce, { authTagLength: TAG });
  return Buffer.concat([cipher.update(text), cipher.final(), cipher.getAuthTag()]);
}

function open(key, nonce, sealed) {
  if (sealed.length < TAG) throw new Damage("the file is cut off");
  const decipher = crypto.createDecipheriv("chacha20-poly1305", key, nonce, { authTagLength: TAG });
  decipher.setAuthTag(sealed.subarray(-TAG));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(0, -TAG)), decipher.final()]);
  } catch {
    throw new Damage("the file was changed or cut off");
  }
}

const LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

function checksum(values) {
  let sum = 1;
  for (const value of values) {
    const top = sum >>> 25;
    sum = ((sum & 0x1ffffff) << 5) ^ value;
    [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3].forEach((factor, bit) => {
      if ((top >>> bit) & 1) sum ^= factor;
    });
  }
  return sum >>> 0;
}

/** The 32 bytes in a text in Bech32 (BIP 173, without its limit of 90 characters). */
function bech32(text, prefix) {
  const lower = text.toLowerCase();
  const values = [...lower.slice(prefix.length + 1)].map((letter) => LETTERS.indexOf(letter));
  const expanded = [...prefix].map((letter) => letter.charCodeAt(0));
  const all = [...expanded.map((code) => code >> 5), 0, ...expanded.map((code) => code & 31), ...values];
  const isOneCase = text === lower || text === text.toUpperCase();
  if (!lower.startsWith(`${prefix}1`) || !isOneCase || values.includes(-1) || checksum(all) !== 1) return undefined;
  let bits = 0;
  let buffer = 0;
  const bytes = [];
  for (const value of values.slice(0, -6)) {
    buffer = ((buffer << 5) | value) & 0xfff;
    bits += 5;
    if (bits >= 8) bytes.push((buffer >> (bits -= 8)) & 0xff);
  }
  return bytes.length === 32 ? Buffer.from(bytes) : undefined;
}

/** The public key of a recipient, `age1...`. */
function recipientKey(text) {
  const raw = bech32(text, "age");
  if (!raw) throw new Error(`${text} is no recipient of age; \`age-keygen -y\` prints one, which begins with age1`);
  return raw;
}

/** The private key of an identity, `AGE-SECRET-KEY-1...`: a line of what `age-keygen` writes. */
function identityKey(text) {
  const lines = text.split("\n").map((line) => line.trim());
  const raw = bech32(lines.find((line) => line && !line.startsWith("#")) ?? "", "age-secret-key-");
  if (!raw) throw new Error("the identity is none of age: it has no line that begins with AGE-SECRET-KEY-1");
  return privateKey(raw);
}

const wrapKey = (shared, share, recipient) => derive(shared, Buffer.concat([share, recipient]), WRAP);

function stanza(fileKey, recipient) {
  const own = crypto.generateKeyPairSync("x25519").privateKey;
  const share = rawPublic(own);
  const shared = crypto.diffieHellman({ privateKey: own, publicKey: publicKey(recipient) });
  return `-> X25519 ${bare(share)}\n${bare(seal(wrapKey(shared, share, recipient), ZERO_NONCE, fileKey))}\n`;
}

function headerOf(fileKey, recipients) {
  const text = `${VERSION}\n${recipients.map((one) => stanza(fileKey, one)).join("")}---`;
  return `${text} ${bare(headerMac(fileKey, text))}\n`;
}

const headerMac = (fileKey, text) => crypto.createHmac("sha256", derive(fileKey, "", "header")).update(text).digest();

/** The nonce of a chunk: its number in 11 bytes, and whether it is the last one. */
function chunkNonce(number, isLast) {
  const nonce = Buffer.alloc(12);
  nonce.writeUIntBE(number, 5, 6);
  nonce[11] = isLast ? 1 : 0;
  return nonce;
}

/** Hands on a stream in chunks of `size` bytes. `take(chunk, isLast)` returns what is written; only the last may be shorter. */
function chunks(size, take, begin) {
  let waiting = begin ? undefined : Buffer.alloc(0);
  let ahead = Buffer.alloc(0);
  return new Transform({
    transform(data, _, done) {
      try {
        if (waiting === undefined) {
          ahead = Buffer.concat([ahead, data]);
          const rest = begin(ahead);
          if (rest === undefined) return done();
          [waiting, data] = [Buffer.alloc(0), rest];
        }
        let all = waiting.length ? Buffer.concat([waiting, data]) : data;
        for (; all.length > size; all = all.subarray(size)) this.push(take(all.subarray(0, size), false));
        waiting = all;
        done();
      } catch (error) {
        done(error);
      }
    },
    flush(done) {
      try {
        if (waiting === undefined) throw new Damage("the file is cut off");
        done(null, take(waiting, true));
      } catch (error) {
        done(error);
      }
    },
  });
}

/**
 * A stream that encrypts.
 *
 * @param recipients Their public keys (recipientKey). Each can decrypt it with its own private key.
 */
function encrypt(recipients) {
  const [fileKey, nonce] = [crypto.randomBytes(FILE_KEY), crypto.randomBytes(NONCE)];
  const key = derive(fileKey, nonce, "payload");
  let number = 0;
  const stream = chunks(CHUNK, (chunk, isLast) => seal(key, chunkNonce(number++, isLast), chunk));
  stream.push(Buffer.concat([Buffer.from(headerOf(fileKey, recipients)), nonce]));
  return stream;
}

/** How many bytes a file of so many bytes has when it is encrypted. */
function encryptedBytes(bytes, recipients) {
  const header = headerOf(Buffer.alloc(FILE_KEY), recipients).length;
  return header + NONCE + bytes + TAG * Math.max(1, Math.ceil(bytes / CHUNK));
}

/** Whether a file of so many bytes can have this size when it is encrypted, for however many recipients. */
function isEncryptedSize(encrypted, bytes) {
  const header = encrypted - (NONCE + bytes + TAG * Math.max(1, Math.ceil(bytes / CHUNK)));
  const rest = header - `${VERSION}\n--- \n`.length - ENCODED;
  return rest > 0 && rest % STANZA === 0;
}

/** Whether a file that begins so is one of age. */
const isEncrypted = (begin) => begin.subarray(0, VERSION.length).equals(Buffer.from(VERSION));

/** A stream, and how it begins: if it is encrypted, with its whole header. */
async function peeked(stream) {
  const chunks = stream[Symbol.asyncIterator]();
  let begin = Buffer.alloc(0);
  const isEnough = () => begin.length >= VERSION.length && (!isEncrypted(begin) || headerIn(begin));
  for (let next; !isEnough() && !(next = await chunks.next()).done; ) {
    begin = Buffer.concat([begin, next.value]);
  }
  async function* whole() {
    yield begin;
    yield* { [Symbol.asyncIterator]: () => chunks };
  }
  return { begin, stream: whole() };
}

/** The header of a file, and where its payload begins; undefined if `data` does not reach so far. */
function headerIn(data) {
  const end = data.indexOf("\n---");
  const line = data.indexOf("\n", end + 1);
  if (end >= 0 && line >= 0 && data.length >= line + 1 + NONCE) {
    return { header: data.subarray(0, line).toString("latin1"), payload: line + 1 };
  }
  if (data.length >= LONGEST_HEADER) throw new Damage("the file is none of age");
  return undefined;
}

/** Whether a file that begins so, with its whole header, is encrypted for an identity. */
function opens(identity, begin) {
  const found = headerIn(begin);
  if (!found) throw new Damage("the file is cut off");
  return fileKeyOf(found.header, identity) !== undefined;
}

/**
 * A stream that decrypts. It fails if the file was changed or cut off, but only after what came before was handed on.
 *
 * @param identity The private key (identityKey).
 */
function decrypt(identity) {
  let key;
  let number = 0;
  const begin = (data) => {
    const found = headerIn(data);
    if (!found) return undefined;
    const rest = data.subarray(found.payload);
    const fileKey = fileKeyOf(found.header, identity);
    if (!fileKey) throw new Error("the file is not encrypted for this identity");
    key = derive(fileKey, rest.subarray(0, NONCE), "payload");
    return rest.subarray(NONCE);
  };
  const take = (chunk, isLast) => {
    const text = open(key, chunkNonce(number, isLast), chunk);
    if (isLast && number > 0 && text.length === 0) throw new Damage("the file ends with an empty chunk");
    number++;
    return text;
  };
  return chunks(CHUNK + TAG, take, begin);
}

/** The key of a file; undefined if it is encrypted for other recipients. */
function fileKeyOf(header, identity) {
  const [version, ...lines] = header.split("\n");
  if (version !== VERSION) throw new Damage("the file is none of age");
  const own = rawPublic(identity);
  for (const [index, line] of lines.entries()) {
    const [arrow, kind, text] = line.split(" ");
    if (arrow !== "->" || kind !== "X25519") continue;
    const share = Buffer.from(text ?? "", "base64");
    if (share.length !== 32) throw new Damage("the header of the file was changed");
    const shared = crypto.diffieHellman({ privateKey: identity, publicKey: publicKey(share) });
    let fileKey;
    try {
      fileKey = open(wrapKey(shared, share, own), ZERO_NONCE, Buffer.from(lines[index + 1] ?? "", "base64"));
    } catch {
      continue; // for another recipient
    }
    const [signed, mac] = [header.slice(0, header.lastIndexOf(" ")), header.slice(header.lastIndexOf(" ") + 1)];
    if (!crypto.timingSafeEqual(headerMac(fileKey, signed), Buffer.from(mac, "base64"))) {
      throw new Damage("the header of the file was changed");
    }
    return fileKey;
  }
  return undefined;
}

module.exports = {
  ...{ Damage, LONGEST_HEADER, decrypt, encrypt, encryptedBytes, identityKey, isEncrypted, isEncryptedSize, opens, peeked },
  recipientKey,
};
