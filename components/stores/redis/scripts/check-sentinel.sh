#!/bin/sh
# Checks that a Sentinel can fail over: it sees a quorum of Sentinels and knows a replica.
#
# Usage: check-sentinel.sh PORT
#
# Environment: MASTER_NAME and REDISCLI_AUTH (the password, read by the client).
set -eu

sentinel() {
    valkey-cli -h 127.0.0.1 -p "$port" SENTINEL "$1" "$MASTER_NAME"
}

port=$1
reply=$(sentinel CKQUORUM)
case $reply in
    OK*) ;;
    *)
        echo "failover is not possible: $reply" >&2
        exit 1
        ;;
esac
if [ "$(sentinel MASTER | sed -n '/^num-slaves$/{n;p;}')" = 0 ]; then
    echo "failover is not possible: the Sentinel knows no replica yet" >&2
    exit 1
fi
