"use strict";
// A queue's connection with Langfuse's options, while the server closes it as a primary does that hands over: a command
// waits, and its answer never comes. Then the server stops to answer. Prints what happened as JSON.
//
// Environment: PORT and REDIS_AUTH, TIMEOUT (`REDIS_SOCKET_TIMEOUT_MS`), APP (the source of the probe application) and
// SERVER (the id of the server's process).

const { Redis } = require("ioredis");
const { redisOptions } = require(`${process.env.APP}/probe/options`);

const { PORT, REDIS_AUTH, SERVER, TIMEOUT } = process.env;
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function main() {
  const settings = { REDIS_AUTH, REDIS_SOCKET_TIMEOUT_MS: TIMEOUT };
  const queue = new Redis({ ...redisOptions(settings, "queue"), port: Number(PORT) });
  const admin = new Redis({ port: Number(PORT), password: REDIS_AUTH });
  const closed = [];
  queue.on("error", () => {});
  queue.on("close", () => closed.push(performance.now()));
  await new Promise((resolve) => queue.once("ready", resolve));

  await admin.client("PAUSE", 60_000, "WRITE");
  const waiting = queue.set("job", "0");
  await sleep(50);
  await admin.client("KILL", "ID", await idOf(admin, "set"));
  await admin.client("UNPAUSE");
  await waiting;
  const report = { added: 0, refused: 0 };
  for (const end = performance.now() + 1.5 * TIMEOUT; performance.now() < end; await sleep(50)) {
    await queue.set("job", "1").then(
      () => report.added++,
      () => report.refused++,
    );
  }
  report.closed = closed.length;

  process.kill(Number(SERVER), "SIGSTOP");
  const began = performance.now();
  queue.set("job", "2").catch(() => {});
  await new Promise((resolve) => queue.once("close", resolve));
  report.noticed = performance.now() - began;
  process.kill(Number(SERVER), "SIGCONT");
  queue.disconnect();
  admin.disconnect();
  console.log(JSON.stringify(report));
}

/** The id of the connection whose last command is `command`. */
async function idOf(admin, command) {
  const lines = (await admin.client("LIST")).split("\n");
  return lines.find((line) => line.includes(` cmd=${command} `)).match(/^id=(\d+)/)[1];
}

main();
