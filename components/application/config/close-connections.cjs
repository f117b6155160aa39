// Makes Langfuse's web server close connections that would outlive the pod at one of their ends. Node loads it before the
// server starts (NODE_OPTIONS contains --require with this file).
"use strict";

const { subscribe } = require("node:diagnostics_channel");
const { Agent } = require("node:http");

// After SIGTERM the server continues for 110 s and then exits while connections are open (web/src/utils/shutdown.ts).
// By then it gets no new connections. But a connection that a client keeps open stays with this pod, through
// kube-proxy, ztunnel and TCP load balancers, and a request on it is lost when the server exits. So each response after
// SIGTERM closes its connection, and the client opens the next one to another pod.
subscribe("http.server.request.start", ({ response }) => {
  // Langfuse sets this flag, and /api/public/ready fails with it. A listener for SIGTERM would replace Node's default.
  if (globalThis.sigtermReceived) {
    response.setHeader("Connection", "close");
  }
});

// MinIO exits on SIGTERM while requests are running (Shutdown in internal/http/server.go). Their locks stay for a minute or
// two (cmd/lock-rest-server.go), and the S3 client's next attempt at the same object waits for them. The S3 client keeps
// its connections open, so they would stay with a server that stops. Each upload therefore has its own connection: once a
// server is no longer an endpoint of the Service, it gets no more requests. Other stores have https.
const endpoint = process.env.LANGFUSE_S3_EVENT_UPLOAD_ENDPOINT ?? "";
if (endpoint.startsWith("http:")) {
  const port = Number(new URL(endpoint).port || 80);
  const { keepSocketAlive } = Agent.prototype;
  Agent.prototype.keepSocketAlive = function (socket) {
    return socket.remotePort !== port && keepSocketAlive.call(this, socket);
  };
}
