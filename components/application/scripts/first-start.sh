#!/bin/sh
# Creates the first organization, project, owner and API keys if they are missing.
#
# Runs the web server of the release on the loopback address until it answers, and then stops it. The server creates
# missing objects before it answers (web/src/initialize.ts).
#
# Environment: PORT and WAIT_SECONDS. The server reads PORT, HOSTNAME and its own variables.
set -eu

url="http://127.0.0.1:$PORT/api/public/health"

fail() {
    echo "first-start: $1. Web was not updated; the next pulumi up will try again" >&2
    exit 1
}

# Prints the HTTP status, or nothing if there is no answer. Every image of the server has Node; some have no wget.
status() {
    node --eval 'fetch(process.argv[1], { signal: AbortSignal.timeout(10000) })
        .then((answer) => console.log(answer.status), () => {})' "$url"
}

deadline=$(($(date +%s) + WAIT_SECONDS))
node ./web/server.js &
server=$!
# After SIGTERM the server would continue for 110 s (web/src/utils/shutdown.ts).
trap '{ kill -KILL "$server" && wait "$server"; } 2> /dev/null || true' EXIT

while code=$(status) && [ "$code" != 200 ]; do
    # A server that can't create the objects keeps running, and answers every request with an error.
    [ -z "$code" ] || fail "the server answered $code: see its log above for what it could not create"
    kill -0 "$server" 2> /dev/null || fail "the server exited: see its log above for the reason"
    [ "$(date +%s)" -lt "$deadline" ] || fail "the server did not answer within $WAIT_SECONDS s"
    sleep 1
done
echo "first-start: organization, project, owner and keys exist"
