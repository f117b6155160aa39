// Makes Langfuse's web server close keep-alive connections after SIGTERM. Node loads it before the server starts
// (NODE_OPTIONS contains --require with this file).
//
// After SIGTERM the server continues for 110 s and then exits while connections are open (web/src/utils/shutdown.ts).
// By then it gets no new connections. But a connection that a client keeps open stays with this pod, through
// kube-proxy, ztunnel and TCP load balancers, and a request on it is lost when the server exits. So each response after
// SIGTERM closes its connection, and the client opens the next one to another pod.
"use strict";

const { subscribe } = require("node:diagnostics_channel");

subscribe("http.server.request.start", ({ response }) => {
  // Langfuse sets this flag, and /api/public/ready fails with it. A listener for SIGTERM would replace Node's default.
  if (globalThis.sigtermReceived) {
    response.setHeader("Connection", "close");
  }
});
