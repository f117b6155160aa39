#!/bin/sh
# Before this Valkey stops: if it is the primary, has a replica promoted. Its clients wait for that and go on, where they
# would fail until the Sentinels notice that it is gone.
# Usage: hand-over-primary.sh PORT SECONDS
# Gives up after SECONDS and ends within twice that time. The Sentinels then promote a replica as after a crash.
# Reads REDISCLI_AUTH, MASTER_NAME, SENTINELS, OWN_SENTINEL and MEMBER (host:port, of all and of this pod).
set -eu

port=$1
deadline=$(($(date +%s) + $2))

own() {
    timeout 2 valkey-cli -h 127.0.0.1 -p "$port" "$@" | tr -d '\r'
}

at() {
    address=$1
    shift
    timeout 2 valkey-cli -h "${address%:*}" -p "${address##*:}" "$@" 2> /dev/null | tr -d '\r' || :
}

# This pod's own Sentinel stops as well.
others() {
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

# Has the Sentinel of another pod promote a replica, without asking the others whether this server is down. With the
# server's own FAILOVER command they would take it for one that is down.
start_failover() {
    for sentinel in $(others); do
        case $(at "$sentinel" SENTINEL FAILOVER "$MASTER_NAME") in
            OK* | INPROG*) return 0 ;;
        esac
    done
    return 1
}

# Some clients ask for the address alone, which changes a second earlier than the rest.
primary_of() {
    at "$1" SENTINEL MASTER "$MASTER_NAME" | sed -n '/^ip$/{n;p;}; /^port$/{n;p;}' | {
        read -r host && read -r port && echo "$host:$port" || :
    }
}

# Whether each Sentinel that answers names another primary, and that one takes writes, for which it needs a replica.
handed_over() {
    next=''
    for sentinel in $(others); do
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
# Writes wait, so that none is lost: replicas have all of them when one is promoted.
own CLIENT PAUSE "$(($2 * 2000))" WRITE > /dev/null
within_time caught_up || unpause_and_fail "no replica has all data"
start_failover || unpause_and_fail "no Sentinel promotes a replica"
within_time handed_over || fail "no replica takes writes yet"
# Clients that waited ask the Sentinels again and find the new primary.
own REPLICAOF "${next%:*}" "${next##*:}" > /dev/null
own CLIENT KILL TYPE normal > /dev/null
