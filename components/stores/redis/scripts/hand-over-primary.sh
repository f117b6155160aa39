#!/bin/sh
# Has a replica promoted before this Valkey stops, if it is the primary.
#
# Usage: hand-over-primary.sh PORT SECONDS
#
# Clients wait during the handover and then continue. Without it, their requests would fail until the Sentinels notice
# that the primary is gone. The script gives up after SECONDS and exits within twice that time. The Sentinels then
# promote a replica as after a crash.
#
# Environment: REDISCLI_AUTH, MASTER_NAME, SENTINELS (host:port of all Sentinels), OWN_SENTINEL and MEMBER (host:port of
# this pod's Sentinel and server).
set -eu

port=$1
deadline=$(($(date +%s) + $2))

# Runs a command on this server.
own() {
    timeout 2 valkey-cli -h 127.0.0.1 -p "$port" "$@" | tr -d '\r'
}

# Runs a command on another server. Arguments: host:port, command.
at() {
    address=$1
    shift
    timeout 2 valkey-cli -h "${address%:*}" -p "${address##*:}" "$@" 2> /dev/null | tr -d '\r' || :
}

# Prints the Sentinels of the other pods. That of this pod stops as well.
other_sentinels() {
    for sentinel in $SENTINELS; do [ "$sentinel" = "$OWN_SENTINEL" ] || echo "$sentinel"; done
}

online_replicas() {
    grep -E '^slave[0-9]+:.*,state=online,' || :
}

caught_up() {
    state=$(own INFO replication)
    offset=$(echo "$state" | sed -n 's/^master_repl_offset://p')
    replicas=$(echo "$state" | online_replicas)
    [ -n "$replicas" ] || unpause_and_fail "it has no replica"
    ! echo "$replicas" | grep -qv ",offset=$offset,"
}

# Has the Sentinel of another pod promote a replica without a vote on whether this server is down. With the server's own
# FAILOVER command, the Sentinels would consider this server down.
start_failover() {
    for sentinel in $(other_sentinels); do
        case $(at "$sentinel" SENTINEL FAILOVER "$MASTER_NAME") in
            OK* | INPROG*) return 0 ;;
        esac
    done
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
handed_over() {
    next=''
    for sentinel in $(other_sentinels); do
        named=$(primary_of "$sentinel")
        [ "$named" != "$MEMBER" ] || return 1
        next=${named:-$next}
    done
    [ -n "$next" ] && at "$next" INFO replication | online_replicas \
        | grep -qv ":ip=${MEMBER%:*},port=${MEMBER##*:},"
}

within_time() {
    until "$1"; do
        [ "$(date +%s)" -lt "$deadline" ] || return 1
        sleep 0.2
    done
}

fail() {
    echo "$MEMBER stops as the primary: $1" >&2
    exit 1
}

unpause_and_fail() {
    own CLIENT UNPAUSE > /dev/null
    fail "$1"
}

own INFO replication | grep -qx role:master || exit 0
# Pauses writes, so that the replicas have all of them when one is promoted.
own CLIENT PAUSE "$(($2 * 2000))" WRITE > /dev/null
within_time caught_up || unpause_and_fail "no replica has caught up"
start_failover || unpause_and_fail "no Sentinel starts a failover"
within_time handed_over || fail "no replica accepts writes yet"
# Disconnects the waiting clients. They query the Sentinels again and find the new primary.
own REPLICAOF "${next%:*}" "${next##*:}" > /dev/null
own CLIENT KILL TYPE normal > /dev/null
