"use strict";
// Prints how many seconds web keeps an idle connection open, as it tells its clients.

const http = require("node:http");

const agent = new http.Agent({ keepAlive: true });
http.get({ host: "localhost", port: process.env.PORT, path: "/api/public/ready", agent }, (answer) => {
  console.log(JSON.stringify({ seconds: Number(/timeout=(\d+)/.exec(answer.headers["keep-alive"])?.[1] ?? 0) }));
  process.exit();
});
