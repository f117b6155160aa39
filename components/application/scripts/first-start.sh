#!/bin/sh
# Makes the first organization, project, owner and API keys where they are missing: runs the release's own web server on
# the loopback address until it answers, since it makes them before it answers (web/src/initialize.ts), then ends it.
# Reads PORT and WAIT_SECONDS. The server reads PORT, HOSTNAME and its own variables.
set -eu

url="http://127.0.0.1:$PORT/api/public/health"

fail() {
    echo "first-start: $1. Web was not updated; the next pulumi up tries again" >&2
    exit 1
}

# Prints the HTTP status, or nothing when there is no answer. Every image of the server has Node; some have no wget.
status() {
    node --eval 'fetch(process.argv[1], { signal: AbortSignal.timeout(10000) })
        .then((answer) => console.log(answer.status), () => {})' "$url"
}

deadline=$(($(date +%s) + WAIT_SECONDS))
node ./web/server.js &
server=$!
# At SIGTERM it would go on for 110 s (web/src/utils/shutdown.ts).
trap '{ kill -KILL "$server" && wait "$server"; } 2> /dev/null || true' EXIT

while code=$(status) && [ "$code" != 200 ]; do
    # A server that failed to make them goes on, and answers everything so.
    [ -z "$code" ] || fail "the server answered $code: its log above says what it could not make"
    kill -0 "$server" 2> /dev/null || fail "the server ended: its log above says why"
    [ "$(date +%s)" -lt "$deadline" ] || fail "the server did not answer within $WAIT_SECONDS s"
    sleep 1
done
echo "first-start: organization, project, owner and keys are there"
