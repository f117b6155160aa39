#!/bin/sh
# Starts a Valkey that Sentinels watch, as the primary if the Sentinels name it, else as a replica of the primary.
#
# Usage: start-valkey-member.sh CONFIGURATION RUNNING_CONFIGURATION WAIT_SECONDS
#
# RUNNING_CONFIGURATION is written at each start. Sentinels have it rewritten (CONFIG REWRITE) after a failover.
# No password is on a command line.
#
# Environment: that of find-primary.sh, and MEMBER (host:port of this server).
set -eu

: "${REDISCLI_AUTH:?is not set: the password of Valkey}"
configuration=$1
running=$2

primary=$(/bin/sh "$(dirname "$0")/find-primary.sh" "$3")
umask 077
{
    # Only a single server has the included file with the password.
    sed '/^include /d' "$configuration"
    printf 'requirepass "%s"\nmasterauth "%s"\n' "$REDISCLI_AUTH" "$REDISCLI_AUTH"
    printf 'replica-announce-ip "%s"\nreplica-announce-port %s\n' "${MEMBER%:*}" "${MEMBER##*:}"
    # A primary that is cut off from both replicas refuses writes: the next primary would not have them.
    printf 'min-replicas-to-write 1\nmin-replicas-max-lag 10\n'
    if [ "$primary" != "$MEMBER" ]; then
        printf 'replicaof %s %s\n' "${primary%:*}" "${primary##*:}"
    fi
} > "$running"
echo "$MEMBER starts; the primary is $primary"
exec valkey-server "$running"
