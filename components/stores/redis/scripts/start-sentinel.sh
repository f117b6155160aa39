#!/bin/sh
# Starts a Sentinel with the primary that the other Sentinels name, and with its own former state.
#
# Usage: start-sentinel.sh PORT WAIT_SECONDS
#
# Sentinel rewrites its configuration file, which contains the password for other pods, so only its user can read the file.
#
# Environment: that of find-primary.sh and choose-password.sh, USERS_FILE (the path of the file of users), QUORUM and
# DOWN_AFTER_MILLISECONDS.
set -eu

port=$1
folder=$(dirname "$0")

umask 077
/bin/sh "$folder/accept-passwords.sh" "$USERS_FILE" sentinel
REDISCLI_AUTH=$(/bin/sh "$folder/choose-password.sh")
primary=$(/bin/sh "$folder/find-primary.sh" "$2")
monitor="sentinel monitor $MASTER_NAME ${primary%:*} ${primary##*:} $QUORUM"
known='myid|config-epoch|leader-epoch|current-epoch|known-sentinel'
if grep -qxF "$monitor" "$SENTINEL_STATE" 2> /dev/null; then
    # A new primary reports its replicas itself. The former list would name it as a replica of itself.
    known="$known|known-replica"
fi
{
    printf 'dir "%s"\n' "$(dirname "$SENTINEL_STATE")"
    printf 'port %s\nprotected-mode no\naclfile "%s"\n' "$port" "$USERS_FILE"
    printf 'sentinel sentinel-pass "%s"\n' "$REDISCLI_AUTH"
    # Host names stay the same when a pod gets another address.
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
