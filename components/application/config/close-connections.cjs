// Loaded into Langfuse's web before its server starts: NODE_OPTIONS has --require with this file.
//
// After SIGTERM the server goes on for 110 s, then exits with its connections open (web/src/utils/shutdown.ts). Nobody
// opens a connection to it by then. But one that a client kept open stays with this pod, through kube-proxy, ztunnel
// and load balancers of TCP alike, and the request that is on it at the end is lost. So each answer after SIGTERM
// closes its connection, and the client opens the next one to another pod.
"use strict";

const { subscribe } = require("node:diagnostics_channel");

subscribe("http.server.request.start", ({ response }) => {
  // Langfuse's own flag, by which /api/public/ready fails. A listener for SIGTERM would replace Node's default.
  if (globalThis.sigtermReceived) {
    response.setHeader("Connection", "close");
  }
});
