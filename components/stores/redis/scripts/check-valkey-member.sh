#!/bin/sh
# Succeeds when Valkey answers and has the data: it is the primary, or a replica that follows it.
# The client takes the password from REDISCLI_AUTH.
# Usage: check-valkey-member.sh PORT
set -eu

state=$(valkey-cli -h 127.0.0.1 -p "$1" INFO replication | tr -d '\r')
if echo "$state" | grep -qx 'role:master' || echo "$state" | grep -qx 'master_link_status:up'; then
    exit 0
fi
echo "Valkey does not follow the primary: $(echo "$state" | grep -E '^(role|master_)' | tr '\n' ' ')" >&2
exit 1
