#!/bin/sh
# Waits until this MinIO server has joined its cluster: it serves requests, and the others see its drive.
#
# Usage: wait-for-cluster.sh PORT JOIN_SECONDS RECONNECT_SECONDS
#
# It is a startup probe, so an update or a drain stops the next server only after this one has joined: with two of four
# servers down, objects on three drives may be missing. After JOIN_SECONDS it succeeds if this server answers, joined or
# not: if an update changes MinIO or its MINIO_* variables, the first server joins only after the second one was updated
# (cmd/bootstrap-peer-server.go).
# Servers that kept running without this one try to reach its drive at growing intervals of up to RECONNECT_SECONDS. No
# health check shows when all of them have succeeded, so the script waits for that time.
#
# Environment: SERVERS and _MINIO_SERVER_LOCAL (host:port of all servers, and of this one).
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
    # Each of the others must see as many drives as there are servers that answer (cmd/healthcheck-handler.go). With
    # maintenance=true it does not count its own drive, so it needs all four; for writes it needs three, for reads two.
    case $# in
        3) view="cluster?maintenance=true" ;;
        2) view=cluster ;;
        *) view=cluster/read ;;
    esac
    for server in "$@"; do
        healthy "$server" "$view" || return 1
    done
}

others_running=''
for server in $SERVERS; do
    [ "$server" = "$_MINIO_SERVER_LOCAL" ] || ! healthy "$server" cluster/read || others_running=yes
done
until joined; do
    if [ "$(date +%s)" -ge "$deadline" ]; then
        healthy "$own" live
        exit
    fi
    sleep 1
done
if [ -n "$others_running" ]; then
    sleep "$reconnect"
fi
