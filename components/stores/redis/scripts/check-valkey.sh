#!/bin/sh
# Succeeds when Valkey answers and can lose no job: nothing is evicted, and writes go to the append-only file.
# The client takes the password from REDISCLI_AUTH.
set -eu

port=${1:-6379}

setting() {
    valkey-cli -h 127.0.0.1 -p "$port" CONFIG GET "$1" | tail -n 1
}

reply=$(valkey-cli -h 127.0.0.1 -p "$port" PING)
if [ "$reply" != PONG ]; then
    echo "Valkey is not ready: it answers \"$reply\"" >&2
    exit 1
fi
for pair in maxmemory-policy=noeviction appendonly=yes; do
    name=${pair%%=*}
    wanted=${pair#*=}
    actual=$(setting "$name")
    if [ "$actual" != "$wanted" ]; then
        echo "Valkey would lose jobs: $name is \"$actual\", it must be \"$wanted\"" >&2
        exit 1
    fi
done
