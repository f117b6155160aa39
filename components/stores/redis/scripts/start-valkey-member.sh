#!/bin/sh
# Starts one of the Valkeys that Sentinels watch: as the primary if it is the one they name, else as its replica.
# Usage: start-valkey-member.sh CONFIGURATION RUNNING_CONFIGURATION WAIT_SECONDS
# The second file is written anew at each start, where Sentinels can have it rewritten (CONFIG REWRITE) after a failover.
# Reads what find-primary.sh reads. No password is on a command line.
set -eu

: "${REDISCLI_AUTH:?is not set: the password of Valkey}"
configuration=$1
running=$2

primary=$(/bin/sh "$(dirname "$0")/find-primary.sh" "$3")
umask 077
{
    # The file with the password of a single server, which is not here.
    sed '/^include /d' "$configuration"
    printf 'requirepass "%s"\nmasterauth "%s"\n' "$REDISCLI_AUTH" "$REDISCLI_AUTH"
    printf 'replica-announce-ip "%s"\nreplica-announce-port %s\n' "${MEMBER%:*}" "${MEMBER##*:}"
    # A primary that is cut off from both others takes no jobs that the next one would never see.
    printf 'min-replicas-to-write 1\nmin-replicas-max-lag 10\n'
    if [ "$primary" != "$MEMBER" ]; then
        printf 'replicaof %s %s\n' "${primary%:*}" "${primary##*:}"
    fi
} > "$running"
echo "$MEMBER starts; the primary is $primary"
exec valkey-server "$running"
