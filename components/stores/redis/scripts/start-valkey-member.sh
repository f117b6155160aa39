#!/bin/sh
# Starts a Valkey that Sentinels watch, as the primary if the Sentinels name it, else as a replica of the primary.
#
# Usage: start-valkey-member.sh CONFIGURATION RUNNING_CONFIGURATION WAIT_SECONDS
#
# RUNNING_CONFIGURATION is written at each start. Sentinels have it rewritten (CONFIG REWRITE) after a failover.
# No password is on a command line.
#
# A primary that crashed starts again as the primary, with the data of its append-only file, if the Sentinels have not
# promoted a replica meanwhile. Without that file it must not: its replicas would copy the empty data set. Then it fails,
# and is started again, until the Sentinels have promoted one.
#
# Environment: that of find-primary.sh and choose-password.sh, and USERS_FILE (the path of the file of users).
set -eu

configuration=$1
running=$2
folder=$(dirname "$0")

/bin/sh "$folder/accept-passwords.sh" "$USERS_FILE" valkey
REDISCLI_AUTH=$(/bin/sh "$folder/choose-password.sh")

# Succeeds if a Sentinel knows a replica of the primary: this is not the first start.
has_replicas() {
    for sentinel in $SENTINELS; do
        known=$(timeout 3 valkey-cli -h "${sentinel%:*}" -p "${sentinel##*:}" SENTINEL MASTER "$MASTER_NAME" \
            2> /dev/null | sed -n '/^num-slaves$/{n;p;}')
        [ "${known:-0}" = 0 ] || return 0
    done
    return 1
}

primary=$(/bin/sh "$folder/find-primary.sh" "$3")
data=$(sed -n 's/^dir //p' "$configuration")
if [ "$primary" = "$MEMBER" ] && [ ! -e "$data/appendonlydir" ] && has_replicas; then
    echo "$MEMBER has lost its data: it starts when the Sentinels have promoted a replica" >&2
    exit 1
fi
umask 077
{
    sed '/^#/d' "$configuration"
    printf 'aclfile "%s"\nmasterauth "%s"\n' "$USERS_FILE" "$REDISCLI_AUTH"
    printf 'replica-announce-ip "%s"\nreplica-announce-port %s\n' "${MEMBER%:*}" "${MEMBER##*:}"
    # A primary that is cut off from both replicas refuses writes: the next primary would not have them.
    printf 'min-replicas-to-write 1\nmin-replicas-max-lag 10\n'
    # Connections to the address of a pod that has ended may hang. A replica notices after 15 s instead of a minute.
    printf 'repl-timeout 15\nrepl-ping-replica-period 3\n'
    # A restarted replica copies the data at once. By default the primary waits 5 s for others that want a copy.
    printf 'repl-diskless-sync-delay 0\n'
    if [ "$primary" != "$MEMBER" ]; then
        printf 'replicaof %s %s\n' "${primary%:*}" "${primary##*:}"
    fi
} > "$running"
echo "$MEMBER starts; the primary is $primary"
exec valkey-server "$running"
