// A server that stops as Langfuse's web does (web/src/utils/shutdown.ts, web/src/pages/_app.tsx at 4.16.0): after
// SIGTERM readiness fails, everything else is served as before, and after a fixed time the process exits with whatever
// connections are open. Instead of 110 s it waits DRAIN_MILLISECONDS.
"use strict";

const http = require("node:http");

globalThis.sigtermReceived = false;

process.on("SIGTERM", () => {
  globalThis.sigtermReceived = true;
  setTimeout(() => process.exit(0), Number(process.env.DRAIN_MILLISECONDS));
});

const server = http.createServer((request, response) => {
  request.resume();
  request.on("end", () => {
    const ready = request.url !== "/api/public/ready" || !globalThis.sigtermReceived;
    setTimeout(() => {
      response.writeHead(ready ? 200 : 500, { "Content-Type": "text/plain" });
      response.end(String(process.pid));
    }, Number(process.env.WORK_MILLISECONDS));
  });
});

server.keepAliveTimeout = Number(process.env.KEEP_ALIVE_TIMEOUT);
server.listen(Number(process.env.PORT), process.env.HOSTNAME);
