#!/bin/sh
# Restores a ClickHouse database from the set that the step before chose (choose-set.js), on all replicas. With
# ACTION=plan, it prints what it would do.
#
# It drops all tables and restores them. The server reads the backup; it has the keys of the bucket (named collection
# "backups"), this script has not. If it is killed, tables are missing or incomplete, and the next run begins again.
#
# The tables are created first, and filled with merges stopped: a merge removes replaced rows, and the rows of each table
# could not be compared with the manifest.
#
# Environment: ACTION, CLICKHOUSE_HOST, CLICKHOUSE_PORT, CLICKHOUSE_USER, CLICKHOUSE_PASSWORD (read by the client),
# CLICKHOUSE_DATABASE, CLICKHOUSE_TLS, CATCH_UP_SECONDS and WORK_DIR.
set -eu

# shellcheck source=components/backups/scripts/clickhouse-queries.sh
. "${0%/*}/clickhouse-queries.sh"
database=$CLICKHOUSE_DATABASE

fail() {
    fail_in_one_line restore-clickhouse "$1"
}

# Prints the names of tables that meet condition $1, views first.
tables() {
    query "SELECT name, any(endsWith(engine, 'View') ? 'VIEW' : 'TABLE') AS kind FROM $(all tables)
        WHERE database = '$database' AND NOT startsWith(name, '.') AND $1 GROUP BY name ORDER BY kind DESC, name FORMAT TSV"
}

# Runs a statement for each table in WORK_DIR/tables, with one start of the client. Argument: format of printf for the kind
# and the name of a table.
run_for_each() {
    # shellcheck disable=SC2059
    statements=$(while read -r table kind; do printf "$1" "$kind" "$database.\`$table\`"; done < "$WORK_DIR/tables")
    [ -n "$statements" ] || return 0
    result=$(query "$statements" 2>&1) || fail "cannot prepare the tables of $database: $result"
}

drop_tables() {
    tables 1 > "$WORK_DIR/tables" || fail "cannot list the tables of $database"
    run_for_each 'DROP %s IF EXISTS %s ON CLUSTER default SYNC; '
}

# Stops or starts merges of all tables. Argument: STOP or START.
merges() {
    tables "engine LIKE '%MergeTree'" > "$WORK_DIR/tables" || fail "cannot list the tables of $database"
    run_for_each "SYSTEM $1 MERGES ON CLUSTER default %.0s%s; "
}

# Restores tables, or rows into them. Arguments: what, settings.
restore_backup() {
    # The database exists on every server. Its definition may have other details in another release.
    settings="create_database = 0, allow_different_database_def = 1$2"
    result=$(query "RESTORE DATABASE $database ON CLUSTER default FROM S3(backups, '$folder') SETTINGS $settings FORMAT TSV" 2>&1) ||
        fail "cannot restore $1 from $folder: $result"
    status=$(printf '%s' "$result" | cut -f 2)
    [ "$status" = RESTORED ] || fail "the restore of $1 from $folder finished with status \"$status\""
}

# Prints tables whose rows are not those of the manifest: host, table, rows, rows in the set.
differences() {
    query "SELECT host, name, number, wanted FROM (
            SELECT host, one.1 AS name, one.2 AS wanted FROM (SELECT DISTINCT hostName() AS host FROM $(all tables))
            ARRAY JOIN $(cat "$WORK_DIR/expected") AS one
        ) AS tables LEFT JOIN (
            SELECT hostName() AS host, concat(database, '.', table) AS name, sum(rows) AS number FROM $(all parts)
            WHERE active AND database = '$database' GROUP BY host, name
        ) AS found USING (host, name)
        WHERE number != wanted ORDER BY host, name FORMAT TSV"
}

# One replica reads the backup. The others fetch the rows from it.
compare_rows() {
    [ "$(cat "$WORK_DIR/expected")" != '[]' ] || return 0
    deadline=$(($(date +%s) + CATCH_UP_SECONDS))
    while :; do
        differences > "$WORK_DIR/differences" || fail "cannot count the rows of $database"
        [ -s "$WORK_DIR/differences" ] || return 0
        more=$(awk -F '\t' '$3 > $4' "$WORK_DIR/differences")
        [ -z "$more" ] && [ "$(date +%s)" -lt "$deadline" ] || break
        awk -F '\t' '{ print $1 ": " $2 " has " $3 " of " $4 " rows" }' "$WORK_DIR/differences"
        sleep 15
    done
    fail "rows differ from the set: $(awk -F '\t' '{ printf "%s on %s has %s, not %s; ", $2, $1, $3, $4 }' "$WORK_DIR/differences")"
}

# Reports from time to time how much has been read.
progress() {
    while sleep 30 > /dev/null 2>&1; do
        query "SELECT concat('read ', formatReadableSize(bytes_read), ' of ', formatReadableSize(total_size)) FROM system.backups
            WHERE status = 'RESTORING' FORMAT TSVRaw" || true
    done
}

if [ "$ACTION" = plan ]; then
    cat "$WORK_DIR/plan.json"
    exit
fi

started=$(date +%s)
folder="clickhouse/$(cat "$WORK_DIR/backup")"
echo "dropping the tables of $database"
drop_tables
echo "restoring $folder into $database"
restore_backup tables ", structure_only = 1"
progress &
reporting=$!
trap 'kill "$reporting" 2> /dev/null || true; merges START' EXIT
merges STOP
restore_backup rows ""
compare_rows
trap - EXIT
kill "$reporting"
merges START
printf '{"store":"clickhouse","set":"%s","seconds":%s}\n' "$(cat "$WORK_DIR/set")" "$(($(date +%s) - started))"
