#!/bin/sh
# Makes the tables and views that the other replicas have and this one, new or with an empty volume, lacks: replication
# brings rows to a table, but nothing brings the table. Runs after the server's start; the pod is not ready before.
# Reads POD_NAME, REPLICAS (host names of all, separated by spaces), CLICKHOUSE_PORT, CLICKHOUSE_USER,
# CLICKHOUSE_PASSWORD (the client takes it from there), CLICKHOUSE_DATABASE and WAIT_SECONDS.
set -eu

fail() {
    echo "copy-clickhouse-schema: $1" >&2
    exit 1
}

# Arguments: host, statement.
query() {
    clickhouse-client --host "$1" --port "$CLICKHOUSE_PORT" --user "$CLICKHOUSE_USER" --connect_timeout 5 --query "$2"
}

# Views come last. With its UUID a table finds the same place in Keeper as those of the other replicas.
schema_of() {
    query "$1" "SELECT create_table_query FROM system.tables
        WHERE database = '$CLICKHOUSE_DATABASE' AND NOT startsWith(name, '.')
        ORDER BY endsWith(engine, 'View'), name
        SETTINGS show_table_uuid_in_table_create_query_if_not_nil = 1 FORMAT TSVRaw"
}

# Makes what standard input says, one statement a line.
make_missing() {
    sed -e 's/^CREATE TABLE /&IF NOT EXISTS /' -e 's/^CREATE VIEW /&IF NOT EXISTS /' \
        -e 's/^CREATE MATERIALIZED VIEW /&IF NOT EXISTS /' |
        while IFS= read -r statement; do
            error=$(query "$here" "$statement" 2>&1) || echo "$error"
        done
}

others=
here=
for host in $REPLICAS; do
    if [ "${host%%.*}" = "$POD_NAME" ]; then
        here=$host
    else
        others="$others $host"
    fi
done
[ -n "$here" ] || fail "$POD_NAME is none of the replicas $REPLICAS"

# 0 when nothing is missing: every replica answered, or one that has the schema did.
attempt() {
    unreachable=
    for other in $others; do
        if schema=$(schema_of "$other" 2>&1); then
            problem=$(printf '%s\n' "$schema" | grep . | make_missing)
            [ -z "$problem" ] || return 1
        else
            unreachable=$other
            problem=$schema
        fi
    done
    own=$(query "$here" "SELECT count() FROM system.tables WHERE database = '$CLICKHOUSE_DATABASE'" 2>&1) || {
        problem=$own
        return 1
    }
    [ -z "$unreachable" ] || [ "$own" != 0 ]
}

waited=0
problem=
until attempt; do
    if [ "$waited" -ge "$WAIT_SECONDS" ]; then
        fail "the schema of the other replicas is not here after $WAIT_SECONDS s: $problem"
    fi
    sleep 2
    waited=$((waited + 2))
done
echo "this replica has $own tables and views"
