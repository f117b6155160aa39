#!/bin/sh
# Starts a Sentinel that goes on from what it knew: which Valkey is the primary, and who the others are.
# Usage: start-sentinel.sh PORT WAIT_SECONDS
# Reads what find-primary.sh reads, QUORUM and DOWN_AFTER_MILLISECONDS. Sentinel rewrites its file, with the password,
# which is why only its user can read it; an old password there is replaced.
set -eu

: "${REDISCLI_AUTH:?is not set: the password of Valkey}"
port=$1

umask 077
primary=$(/bin/sh "$(dirname "$0")/find-primary.sh" "$2")
monitor="sentinel monitor $MASTER_NAME ${primary%:*} ${primary##*:} $QUORUM"
known='myid|config-epoch|leader-epoch|current-epoch|known-sentinel'
if grep -qxF "$monitor" "$SENTINEL_STATE" 2> /dev/null; then
    # Of another primary it learns the replicas from that one: it is no replica of itself.
    known="$known|known-replica"
fi
{
    printf 'dir "%s"\n' "$(dirname "$SENTINEL_STATE")"
    printf 'port %s\nprotected-mode no\nrequirepass "%s"\n' "$port" "$REDISCLI_AUTH"
    # Names stay when a pod gets another address.
    printf 'sentinel resolve-hostnames yes\nsentinel announce-hostnames yes\n'
    printf 'sentinel announce-ip "%s"\nsentinel announce-port %s\n' "${OWN_SENTINEL%:*}" "${OWN_SENTINEL##*:}"
    printf '%s\n' "$monitor"
    grep -E "^sentinel ($known) " "$SENTINEL_STATE" 2> /dev/null || :
    printf 'sentinel auth-pass %s "%s"\n' "$MASTER_NAME" "$REDISCLI_AUTH"
    printf 'sentinel down-after-milliseconds %s %s\n' "$MASTER_NAME" "$DOWN_AFTER_MILLISECONDS"
    printf 'sentinel failover-timeout %s %s\n' "$MASTER_NAME" "$((DOWN_AFTER_MILLISECONDS * 6))"
    printf 'sentinel parallel-syncs %s 1\n' "$MASTER_NAME"
} > "$SENTINEL_STATE.new"
mv "$SENTINEL_STATE.new" "$SENTINEL_STATE"
exec valkey-server "$SENTINEL_STATE" --sentinel
