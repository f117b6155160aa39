// Makes Langfuse listen at IPv6 addresses too, if the pod has one. Node loads it before the program starts
// (NODE_OPTIONS contains --require with this file).
//
// HOSTNAME says where web and worker listen. 0.0.0.0 is every IPv4 address, and in a cluster with IPv6 neither the
// kubelet nor a Service reaches it. :: is every address of both versions, but it can't be the value in every cluster:
// where the kernel has no IPv6, the programs would exit (EAFNOSUPPORT).
"use strict";

const { networkInterfaces } = require("node:os");

const addresses = Object.values(networkInterfaces()).flat();
const isRoutable = ({ address, family, internal }) => family === "IPv6" && !internal && !/^fe[89ab]/i.test(address);

if (process.env.HOSTNAME === "0.0.0.0" && addresses.some(isRoutable)) {
  process.env.HOSTNAME = "::";
}
