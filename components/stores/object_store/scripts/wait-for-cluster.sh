#!/bin/sh
# Waits until this MinIO server is one of its cluster: it serves, and the others see its drive again.
# Usage: wait-for-cluster.sh PORT JOIN_SECONDS RECONNECT_SECONDS
# A startup probe, so that an update or a drain takes the next server only then: with two of four away, objects that are
# on three drives may be missing. After JOIN_SECONDS a server that answers has started all the same. In an update that
# changes MinIO or its MINIO_* variables, the first server joins only when the second is updated
# (cmd/bootstrap-peer-server.go).
# Servers that went on without this one try to reach its drive at growing intervals, of up to RECONNECT_SECONDS. Nothing
# that can be asked tells when they all have: it waits for that time.
# Reads SERVERS and _MINIO_SERVER_LOCAL (host:port, of all and of this one).
set -eu

own=127.0.0.1:$1
deadline=$(($(date +%s) + $2))
reconnect=$3

healthy() {
    curl --silent --fail --max-time 2 --output /dev/null "http://$1/minio/health/$2"
}

joined() {
    healthy "$own" cluster/read || return 1
    set --
    for server in $SERVERS; do
        [ "$server" = "$_MINIO_SERVER_LOCAL" ] || ! healthy "$server" live || set -- "$@" "$server"
    done
    # Each of the others has to see as many drives as there are servers that answer (cmd/healthcheck-handler.go): all
    # four, which is three without its own; three, with which it writes; or two, with which it reads.
    case $# in
        3) view="cluster?maintenance=true" ;;
        2) view=cluster ;;
        *) view=cluster/read ;;
    esac
    for server in "$@"; do
        healthy "$server" "$view" || return 1
    done
}

went_on=''
for server in $SERVERS; do
    [ "$server" = "$_MINIO_SERVER_LOCAL" ] || ! healthy "$server" cluster/read || went_on=yes
done
until joined; do
    if [ "$(date +%s)" -ge "$deadline" ]; then
        healthy "$own" live
        exit
    fi
    sleep 1
done
if [ -n "$went_on" ]; then
    sleep "$reconnect"
fi
