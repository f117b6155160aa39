#!/bin/sh
# Creates what LANGFUSE_INIT_* names and is missing: an organization, a project, its owner, API keys.
#
# Runs the web server of the release on the loopback address until it answers, and then stops it. The server creates
# missing objects before it answers (web/src/initialize.ts).
#
# Environment: PORT and WAIT_SECONDS. The server reads PORT, HOSTNAME and its own variables. CLIENT is set for the keys
# of a client: its name. The server ignores a new secret key for a public key that exists, so these are tried.
set -eu

url="http://127.0.0.1:$PORT"

fail() {
    if [ -n "${CLIENT:-}" ]; then
        echo "clients: $CLIENT: $1" >&2
    else
        echo "first-start: $1. Web was not updated; the next pulumi up will try again" >&2
    fi
    exit 1
}

# Prints the HTTP status, or nothing if there is no answer. Every image of the server has Node; some have no wget.
status() {
    node --eval 'fetch(process.argv[1], { signal: AbortSignal.timeout(10000) })
        .then((answer) => console.log(answer.status), () => {})' "$url/api/public/health"
}

# Prints the id of the project of the keys, or the HTTP status of the refusal (web/src/pages/api/public/projects).
project() {
    node --eval 'const { LANGFUSE_INIT_PROJECT_PUBLIC_KEY: user, LANGFUSE_INIT_PROJECT_SECRET_KEY: key } = process.env;
        const headers = { authorization: "Basic " + Buffer.from(user + ":" + key).toString("base64") };
        fetch(process.argv[1], { headers, signal: AbortSignal.timeout(10000) })
            .then(async (answer) => console.log(answer.ok ? (await answer.json()).data[0]?.id : answer.status))
            .catch((error) => console.log(error.message))' "$url/api/public/projects"
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

if [ -z "${CLIENT:-}" ]; then
    echo "first-start: organization, project, owner and keys exist"
    exit
fi
found=$(project)
case $found in
    "$LANGFUSE_INIT_PROJECT_ID") echo "clients: $CLIENT: its keys are those of project $found" ;;
    401) fail "Langfuse refuses its keys (docs/clients.md, Keys that are refused)" ;;
    *) fail "Langfuse answers $found, not project $LANGFUSE_INIT_PROJECT_ID (docs/clients.md, Keys that are refused)" ;;
esac
