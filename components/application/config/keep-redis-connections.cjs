// Keeps ioredis from closing a connection to Redis that works. Node loads it before the program starts (NODE_OPTIONS
// contains --require with this file).
//
// With REDIS_SOCKET_TIMEOUT_MS (30 s by default), ioredis closes a connection on which a command waits for so long. Up to
// 5.11 the time limit of a command that waited when a connection ended goes on, and closes the next connection instead
// (github.com/redis/ioredis/issues/2147, mended in 6.0.0). So queues are refused for a second, 30 s after a failover.
//
// Such a connection is younger than the time limit. It is kept, and ioredis starts a new time limit with the next
// command. This replaces methods of sockets, because the build of web contains ioredis in its own files.
"use strict";

const { Socket } = require("node:net");

const MESSAGE = /^Socket timeout\. Expecting data, but didn't receive any in (\d+)ms/;
const began = Symbol("when the connection began");
const { connect, destroy } = Socket.prototype;

Socket.prototype.connect = function (...options) {
  this[began] = performance.now();
  return connect.apply(this, options);
};

Socket.prototype.destroy = function (error, ...others) {
  const [, limit] = MESSAGE.exec(error?.message) ?? [];
  const isYounger = performance.now() - this[began] < Number(limit);
  return isYounger ? this : destroy.call(this, error, ...others);
};
