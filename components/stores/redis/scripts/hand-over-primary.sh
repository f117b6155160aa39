#!/bin/sh
# Has a replica promoted before this Valkey stops, if it is the primary, and moves its clients there.
#
# Usage: hand-over-primary.sh PORT START_SECONDS PAUSE_SECONDS
#
# Clients wait during the handover and then continue. Without it, their requests would fail until the Sentinels notice
# that the primary is gone. The script tries for START_SECONDS to start a failover, in attempts that pause writes for at
# most PAUSE_SECONDS. It then waits up to three times PAUSE_SECONDS for the new primary and for the clients to connect to
# it. If it gives up, the Sentinels promote a replica as after a crash.
#
# Langfuse reconnects its queues a second after it has lost a connection. Until then, requests that add a job fail
# (retryStrategy and enableOfflineQueue in packages/shared/src/server/redis/redis.ts). But each request first reads its
# API key with GETEX, a write, on a connection that is back at once and queues commands (web/src/features/public-api/
# server/apiAuth.ts). So writes on the new primary wait until all clients are connected to it.
#
# Environment: REDISCLI_AUTH, MASTER_NAME, SENTINELS (host:port of all Sentinels), OWN_SENTINEL and MEMBER (host:port of
# this pod's Sentinel and server), and SENTINEL_STATE (the path of the Sentinel's state file).
set -eu

# The password of this pod's Sentinel, which all pods accept. After a change, others may not know that of the environment.
last=$(/bin/sh "$(dirname "$0")/last-password.sh")
REDISCLI_AUTH=${last:-$REDISCLI_AUTH}

port=$1
start_seconds=$2
pause_seconds=$3

# Runs a command on this server.
own() {
    timeout 5 valkey-cli -h 127.0.0.1 -p "$port" "$@" | tr -d '\r'
}

# Runs a command on another server. Arguments: host:port, command.
at() {
    address=$1
    shift
    timeout 5 valkey-cli -h "${address%:*}" -p "${address##*:}" "$@" 2> /dev/null | tr -d '\r' || :
}

# Prints the Sentinels of the other pods. That of this pod stops as well.
other_sentinels() {
    for sentinel in $SENTINELS; do [ "$sentinel" = "$OWN_SENTINEL" ] || echo "$sentinel"; done
}

# Prints the other Sentinels that act. One that was delayed for two seconds, by its DNS server or for lack of CPU time,
# only watches for the next 30 seconds (valkey.io/topics/sentinel, "TILT mode"). It would accept a command and do nothing.
acting_sentinels() {
    for sentinel in $(other_sentinels); do
        ! at "$sentinel" INFO sentinel | grep -qx sentinel_tilt:0 || echo "$sentinel"
    done
}

online_replicas() {
    grep -E '^slave[0-9]+:.*,state=online,' || :
}

caught_up() {
    state=$(own INFO replication)
    offset=$(echo "$state" | sed -n 's/^master_repl_offset://p')
    replicas=$(echo "$state" | online_replicas)
    [ -n "$replicas" ] && ! echo "$replicas" | grep -qv ",offset=$offset,"
}

# Has the Sentinel of another pod promote a replica without a vote on whether this server is down. With the server's own
# FAILOVER command, the Sentinels would consider this server down.
start_failover() {
    for sentinel in $acting; do
        case $(at "$sentinel" SENTINEL FAILOVER "$MASTER_NAME") in
            OK* | INPROG*) return 0 ;;
        esac
    done
    return 1
}

# Pauses writes, so that the replicas have all of them, and starts a failover. If that fails, writes continue.
begin() {
    acting=$(acting_sentinels)
    [ -n "$acting" ] || return 1
    own CLIENT PAUSE "$((pause_seconds * 1000))" WRITE > /dev/null
    if within "$pause_seconds" caught_up && start_failover; then
        # Writes that this server accepts after the promotion would be lost.
        own CLIENT PAUSE "$((pause_seconds * 4000))" WRITE > /dev/null
        return 0
    fi
    own CLIENT UNPAUSE > /dev/null
    return 1
}

# Prints the primary that a Sentinel reports. The answer of GET-MASTER-ADDR-BY-NAME would change a second earlier, and
# some clients read the rest as well.
primary_of() {
    at "$1" SENTINEL MASTER "$MASTER_NAME" | sed -n '/^ip$/{n;p;}; /^port$/{n;p;}' | {
        read -r host && read -r port && echo "$host:$port" || :
    }
}

# Succeeds if every Sentinel that answers names another primary, and that one accepts writes: it has an online replica.
# A Sentinel that does not reach a replica yet ends the failover without it, so the script makes it follow as well.
handed_over() {
    next=''
    for sentinel in $(other_sentinels); do
        named=$(primary_of "$sentinel")
        [ "$named" != "$MEMBER" ] || return 1
        next=${named:-$next}
    done
    [ -n "$next" ] || return 1
    for replica in $(echo "$replicas" | sed -n 's/^slave[0-9]*:ip=\([^,]*\),port=\([0-9]*\),.*/\1:\2/p'); do
        [ "$replica" = "$next" ] || at "$replica" REPLICAOF "${next%:*}" "${next##*:}" > /dev/null
    done
    at "$next" INFO replication | online_replicas | grep -qv ":ip=${MEMBER%:*},port=${MEMBER##*:},"
}

# Counts the clients in an answer to CLIENT LIST that have introduced themselves, except Sentinels and probes.
count() {
    grep -Evc ' name=sentinel-| cmd=(NULL|auth|hello|client\|[a-z]*) | addr=127\..* lib-name= ' || :
}

clients_returned() {
    [ "$(at "$next" CLIENT LIST TYPE normal | count)" -ge "$clients" ]
}

# Repeats a command until it succeeds. Arguments: seconds, command.
within() {
    end=$(($(date +%s) + $1))
    until "$2"; do
        [ "$(date +%s)" -lt "$end" ] || return 1
        sleep 0.2
    done
}

fail() {
    echo "$MEMBER stops as the primary: $1" >&2
    exit 1
}

own INFO replication | grep -qx role:master || exit 0
deadline=$(($(date +%s) + start_seconds))
until begin; do
    [ "$(date +%s)" -lt "$deadline" ] || fail "no Sentinel could promote a replica that has caught up"
    sleep 1
done
within "$((2 * pause_seconds))" handed_over || fail "no replica accepts writes yet"
clients=$(own CLIENT LIST TYPE normal | count)
at "$next" CLIENT PAUSE "$((pause_seconds * 1000))" WRITE > /dev/null
# Disconnects the waiting clients. They query the Sentinels again and find the new primary.
own REPLICAOF "${next%:*}" "${next##*:}" > /dev/null
own CLIENT KILL TYPE normal > /dev/null
within "$pause_seconds" clients_returned || echo "not all clients of $MEMBER have connected to $next yet" >&2
sleep 0.5 # until they have read the answer to INFO, their last command before they are ready
at "$next" CLIENT UNPAUSE > /dev/null
