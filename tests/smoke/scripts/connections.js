"use strict";
// Connects to each server in TARGETS, a JSON object of `host:port` by name, and prints the error of each as JSON.

const dns = require("node:dns/promises");
const net = require("node:net");

const MILLISECONDS = 5000;

async function attempt(target) {
  const at = target.lastIndexOf(":");
  const [host, port] = [target.slice(0, at).replace(/^\[|\]$/g, ""), Number(target.slice(at + 1))];
  try {
    await dns.lookup(host);
  } catch (error) {
    return { hop: "DNS", error: `${error.code}: ${host}` };
  }
  return new Promise((resolve) => {
    const socket = net.connect({ host, port });
    const end = (error) => (socket.destroy(), resolve(error ? { hop: "network", error } : null));
    socket.setTimeout(MILLISECONDS, () => end(`no answer from ${target} within 5 s`));
    socket.once("connect", () => end(null)).once("error", (error) => end(`${error.code}: ${target}`));
  });
}

async function main(targets) {
  const found = await Promise.all(Object.entries(targets).map(async ([name, target]) => [name, await attempt(target)]));
  console.log(JSON.stringify(Object.fromEntries(found)));
}

main(TARGETS);
