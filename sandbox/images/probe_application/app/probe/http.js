"use strict";
// A small HTTP server: routes, JSON, basic authentication, and the name of the pod in every answer.

const http = require("node:http");
const zlib = require("node:zlib");
const { POD, log, reason } = require("./log");

/** Each answer has this header, so that a client sees which pod answered. */
const POD_HEADER = "x-probe-pod";
const NAME = "probe application (a test load, not Langfuse)";

/** An answer with an error for the client. */
class HttpError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function readBody(request, limit) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > limit) throw new HttpError(413, `The body is larger than ${limit} bytes`);
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  return request.headers["content-encoding"] === "gzip" ? zlib.gunzipSync(body) : body;
}

async function readJson(request, limit) {
  const body = await readBody(request, limit);
  try {
    return JSON.parse(body.toString());
  } catch {
    throw new HttpError(400, "The body is not JSON");
  }
}

/** User and password of a request, or an HttpError with status 401. */
function basicAuth(request) {
  const [scheme, value] = (request.headers.authorization ?? "").split(" ");
  const decoded = Buffer.from(value ?? "", "base64").toString();
  const colon = decoded.indexOf(":");
  if (scheme?.toLowerCase() !== "basic" || colon < 0) throw new HttpError(401, "Basic authentication is required");
  return { user: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
}

function send(response, status, content) {
  const isPage = typeof content === "string";
  const text = isPage ? content : JSON.stringify({ ...content, pod: POD });
  response.writeHead(status, {
    "content-type": isPage ? "text/html; charset=utf-8" : "application/json; charset=utf-8",
    "content-length": Buffer.byteLength(text),
    "x-probe-application": NAME,
    [POD_HEADER]: POD,
  });
  response.end(text);
}

/**
 * Creates a server.
 *
 * @param routes Handlers by `METHOD /path`. A last segment `*` matches any value, which the handler gets as `id`. A
 *   handler returns `[status, content]`; an object is sent as JSON, a string as a page.
 * @param before Runs before each handler; an error of it is answered with 500.
 */
function createServer(routes, before = async () => {}) {
  return http.createServer(async (request, response) => {
    const { pathname, searchParams: query } = new URL(request.url, "http://probe");
    try {
      await before();
      const [, parent, last] = /^(.*)\/([^/]*)$/.exec(pathname) ?? [];
      const exact = routes[`${request.method} ${pathname}`];
      const handler = exact ?? routes[`${request.method} ${parent}/*`];
      if (!handler) throw new HttpError(404, `The ${NAME} has no ${request.method} ${pathname}`);
      send(response, ...(await handler({ request, query, id: exact ? undefined : decodeURIComponent(last) })));
    } catch (error) {
      const status = error instanceof HttpError ? error.status : 500;
      if (status === 500) log.error(`${request.method} ${pathname}: ${reason(error)}`);
      if (!response.headersSent) send(response, status, { error: reason(error) });
    }
  });
}

module.exports = { HttpError, NAME, basicAuth, createServer, readBody, readJson };
