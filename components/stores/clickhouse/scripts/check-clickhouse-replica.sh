#!/bin/sh
# Startup probe of a ClickHouse replica: creates missing tables, and succeeds when the replica has caught up.
#
# ClickHouse replicates the rows of a table, but not the table itself. On a new replica, or one that lost its volume,
# this script creates the tables and views that the other replicas have. It succeeds when none is missing and the rows
# that were written in the meantime have arrived.
# It never waits: the kubelet runs it periodically, and kills it at the probe's timeout.
#
# Environment: POD_NAME, REPLICAS (all host names, separated by spaces), CLICKHOUSE_PORT, CLICKHOUSE_USER,
# CLICKHOUSE_PASSWORD (read by the client), CLICKHOUSE_DATABASE, MAX_DELAY_SECONDS, CATCH_UP_SECONDS and
# READ_ONLY_SECONDS.
set -eu

# The table of golang-migrate is created last: a replica that has it has every other table too.
last=schema_migrations

fail() {
    echo "check-clickhouse-replica: $1" >&2
    exit 1
}

# Runs a statement on a replica. Arguments: host, statement.
query() {
    clickhouse-client --host "$1" --port "$CLICKHOUSE_PORT" --user "$CLICKHOUSE_USER" --connect_timeout 3 \
        --receive_timeout 20 --query "$2"
}

own_tables() {
    query 127.0.0.1 "SELECT groupArray(name) FROM system.tables WHERE database = '$CLICKHOUSE_DATABASE' FORMAT TSVRaw"
}

# Prints the statements that create the tables and views that another replica has and this one lacks: one per line, and
# views after tables. The UUID gives a table the same path in Keeper as on the other replicas. Arguments: host.
missing_from() {
    query "$1" "SELECT create_table_query FROM system.tables
        WHERE database = '$CLICKHOUSE_DATABASE' AND NOT startsWith(name, '.') AND NOT has($own, name)
        ORDER BY name = '$last', endsWith(engine, 'View'), name
        SETTINGS show_table_uuid_in_table_create_query_if_not_nil = 1 FORMAT TSVRaw"
}

# Creates a table or a view, and prints the error if that fails. Arguments: host that has it, statement.
create() {
    error=$(query 127.0.0.1 "$2" 2>&1) && return
    case $error in
        *REPLICA_ALREADY_EXISTS*)
            # This replica lost its volume, and Keeper still lists the replica for this table. The other replica removes
            # it from the list, but refuses to while its last session with Keeper is open.
            table=${2#CREATE TABLE IF NOT EXISTS }
            table=${table%% *}
            error=$(query "$1" "SYSTEM DROP REPLICA '$POD_NAME' FROM TABLE $table" 2>&1 && query 127.0.0.1 "$2" 2>&1) &&
                return
            ;;
    esac
    echo "$error"
    return 1
}

# Runs the statements of standard input, and prints the errors. Arguments: host that has the tables.
create_all() {
    failed=
    sed -e 's/^CREATE TABLE /&IF NOT EXISTS /' -e 's/^CREATE VIEW /&IF NOT EXISTS /' \
        -e 's/^CREATE MATERIALIZED VIEW /&IF NOT EXISTS /' |
        while IFS= read -r statement; do
            case $statement in
                *".$last "*) [ -z "$failed" ] || continue ;;
            esac
            create "$1" "$statement" || failed=yes
        done
}

case " $REPLICAS" in
    *" $POD_NAME."*) ;;
    *) fail "$POD_NAME is not in the list of replicas: $REPLICAS" ;;
esac

own=$(own_tables 2>&1) || fail "the server does not answer yet: $own"
unreachable=
for other in $REPLICAS; do
    [ "${other%%.*}" != "$POD_NAME" ] || continue
    if missing=$(missing_from "$other" 2>&1); then
        [ -n "$missing" ] || continue
        problem=$(printf '%s\n' "$missing" | create_all "$other")
        [ -z "$problem" ] || fail "can't create the tables of $other: $problem"
        own=$(own_tables)
    else
        unreachable="$other: $missing"
    fi
done

case $own in
    *"'$last'"*) ;;
    *)
        if [ -n "$unreachable" ]; then
            # Before the first migration, no replica has tables. After it, the unreachable replica may have them.
            tables=$(query 127.0.0.1 "SELECT max(numChildren) FROM system.zookeeper
                WHERE path = '/clickhouse' AND name = 'tables'" 2>&1) || fail "Keeper does not answer yet: $tables"
            [ "$tables" = 0 ] ||
                fail "tables are missing, and a replica that may have them does not answer: $unreachable"
        fi
        ;;
esac

# Without Keeper, the delay is unknown and tables are read-only. Both states may last, so after a limit the replica
# serves reads anyway: reads of old rows are better than none.
state=$(query 127.0.0.1 "SELECT max(is_readonly), max(absolute_delay), uptime() FROM system.replicas
    WHERE database = '$CLICKHOUSE_DATABASE' FORMAT TSV" 2>&1) || fail "the server does not answer: $state"
read_only=$(printf '%s' "$state" | cut -f 1)
delay=$(printf '%s' "$state" | cut -f 2)
uptime=$(printf '%s' "$state" | cut -f 3)
if [ "$read_only" != 0 ]; then
    [ "$uptime" -ge "$READ_ONLY_SECONDS" ] || fail "tables are read-only: no connection to Keeper yet"
elif [ "$delay" -gt "$MAX_DELAY_SECONDS" ]; then
    [ "$uptime" -ge "$CATCH_UP_SECONDS" ] || fail "rows of the last $delay s are still missing"
fi
