#!/bin/sh
# Startup probe of a ClickHouse server that is one of several replicas. Replication brings rows to a table, but nothing
# brings the table: this makes the tables and views that the other replicas have and this one, new or with an empty
# volume, lacks. Succeeds when nothing is missing and the rows written in the meantime have arrived.
# Never waits: the kubelet calls it again and again, and kills it at the probe's timeout.
# Reads POD_NAME, REPLICAS (host names of all, separated by spaces), CLICKHOUSE_PORT, CLICKHOUSE_USER,
# CLICKHOUSE_PASSWORD (the client takes it from there), CLICKHOUSE_DATABASE, MAX_DELAY_SECONDS, CATCH_UP_SECONDS and
# READ_ONLY_SECONDS.
set -eu

# golang-migrate's table is created last: a replica that has it has every other table too.
last=schema_migrations

fail() {
    echo "check-clickhouse-replica: $1" >&2
    exit 1
}

# Arguments: host, statement.
query() {
    clickhouse-client --host "$1" --port "$CLICKHOUSE_PORT" --user "$CLICKHOUSE_USER" --connect_timeout 3 \
        --receive_timeout 20 --query "$2"
}

own_tables() {
    query 127.0.0.1 "SELECT groupArray(name) FROM system.tables WHERE database = '$CLICKHOUSE_DATABASE' FORMAT TSVRaw"
}

# Arguments: host. What creates the tables and views that are there and not here, one statement a line; views after
# tables. With its UUID a table finds the same place in Keeper as those of the other replicas.
missing_from() {
    query "$1" "SELECT create_table_query FROM system.tables
        WHERE database = '$CLICKHOUSE_DATABASE' AND NOT startsWith(name, '.') AND NOT has($own, name)
        ORDER BY name = '$last', endsWith(engine, 'View'), name
        SETTINGS show_table_uuid_in_table_create_query_if_not_nil = 1 FORMAT TSVRaw"
}

# Arguments: host that has the table, statement.
create() {
    error=$(query 127.0.0.1 "$2" 2>&1) && return
    case $error in
        *REPLICA_ALREADY_EXISTS*)
            # The volume was lost: Keeper still lists this replica, without its table. The other replica refuses to
            # take it from the list while its last connection to Keeper is open.
            table=${2#CREATE TABLE IF NOT EXISTS }
            table=${table%% *}
            error=$(query "$1" "SYSTEM DROP REPLICA '$POD_NAME' FROM TABLE $table" 2>&1 && query 127.0.0.1 "$2" 2>&1) &&
                return
            ;;
    esac
    echo "$error"
    return 1
}

# Arguments: host that has the tables. Creates what standard input says; prints what failed.
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
    *) fail "$POD_NAME is none of the replicas $REPLICAS" ;;
esac

own=$(own_tables 2>&1) || fail "the server does not answer yet: $own"
unreachable=
for other in $REPLICAS; do
    [ "${other%%.*}" != "$POD_NAME" ] || continue
    if missing=$(missing_from "$other" 2>&1); then
        [ -n "$missing" ] || continue
        problem=$(printf '%s\n' "$missing" | create_all "$other")
        [ -z "$problem" ] || fail "can't create what $other has: $problem"
        own=$(own_tables)
    else
        unreachable="$other: $missing"
    fi
done

case $own in
    *"'$last'"*) ;;
    *)
        if [ -n "$unreachable" ]; then
            # Nobody has tables before the first migration. Afterwards, whoever does not answer may be who has them.
            tables=$(query 127.0.0.1 "SELECT max(numChildren) FROM system.zookeeper
                WHERE path = '/clickhouse' AND name = 'tables'" 2>&1) || fail "Keeper does not answer yet: $tables"
            [ "$tables" = 0 ] || fail "lacks tables, and who may have them does not answer: $unreachable"
        fi
        ;;
esac

# Without Keeper the delay is unknown and tables are read-only. The limits are for what does not pass by itself: reads
# of old rows are better than none.
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
