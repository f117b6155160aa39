#!/bin/sh
# Checks that Valkey answers and loses no jobs: it evicts no keys, and writes an append-only file.
#
# Usage: check-valkey.sh [PORT]
#
# Environment: REDISCLI_AUTH (the password, read by the client).
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
    required=${pair#*=}
    actual=$(setting "$name")
    if [ "$actual" != "$required" ]; then
        echo "Valkey would lose jobs: $name is \"$actual\", it must be \"$required\"" >&2
        exit 1
    fi
done
