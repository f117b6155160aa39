#!/bin/sh
# Succeeds when a Sentinel could have another Valkey promoted: it sees enough Sentinels, and knows of a replica.
# The client takes the password from REDISCLI_AUTH. Reads MASTER_NAME.
# Usage: check-sentinel.sh PORT
set -eu

ask() {
    valkey-cli -h 127.0.0.1 -p "$port" SENTINEL "$1" "$MASTER_NAME"
}

port=$1
reply=$(ask CKQUORUM)
case $reply in
    OK*) ;;
    *)
        echo "no other Valkey could be promoted: $reply" >&2
        exit 1
        ;;
esac
if [ "$(ask MASTER | sed -n '/^num-slaves$/{n;p;}')" = 0 ]; then
    echo "no other Valkey could be promoted: no replica is known yet" >&2
    exit 1
fi
