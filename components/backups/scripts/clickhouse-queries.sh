#!/bin/sh
# Queries to ClickHouse, for scripts that include this file.
#
# Environment: CLICKHOUSE_HOST, CLICKHOUSE_PORT, CLICKHOUSE_USER, CLICKHOUSE_PASSWORD (read by the client), CLICKHOUSE_TLS.
set -eu

secure=
[ "$CLICKHOUSE_TLS" = false ] || secure=--secure

# The timeout is a day, because the server sends nothing until a restore has finished. Clients before 24.6 take several
# statements only with --multiquery; newer ones ignore it (ClickHouse#63898).
query() {
    clickhouse-client --host "$CLICKHOUSE_HOST" --port "$CLICKHOUSE_PORT" --user "$CLICKHOUSE_USER" \
        --connect_timeout 5 --receive_timeout 86400 ${secure:+"$secure"} --multiquery --query "$1"
}

# Ends the script $1 with message $2, which may quote the client: it adds the statement in further lines, and the command line
# shows the last line of a Job that failed.
fail_in_one_line() {
    printf '%s: %s\n' "$1" "$2" | sed '/^(query: /,$d' | tr '\n' ' ' >&2
    echo >&2
    exit 1
}

# Names a system table of all replicas.
all() {
    echo "clusterAllReplicas(default, system.$1)"
}
