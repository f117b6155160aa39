#!/bin/sh
# Checks that Valkey answers and has the data: it is the primary, or a replica with a link to the primary.
#
# Usage: check-valkey-member.sh PORT
#
# Environment: REDISCLI_AUTH (the password, read by the client).
set -eu

state=$(valkey-cli -h 127.0.0.1 -p "$1" INFO replication | tr -d '\r')
if echo "$state" | grep -qx 'role:master' || echo "$state" | grep -qx 'master_link_status:up'; then
    exit 0
fi
echo "Valkey has no link to the primary: $(echo "$state" | grep -E '^(role|master_)' | tr '\n' ' ')" >&2
exit 1
