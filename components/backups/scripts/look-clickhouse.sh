#!/bin/sh
# Notes what a ClickHouse database contains and who uses it, for the step that chooses the set to restore (choose-set.js).
#
# Environment: ACTION (`plan` or `restore`), CLICKHOUSE_HOST, CLICKHOUSE_PORT, CLICKHOUSE_USER, CLICKHOUSE_PASSWORD (read by
# the client), CLICKHOUSE_DATABASE, CLICKHOUSE_TLS, WAIT_SECONDS and WORK_DIR.
set -eu

# shellcheck source=components/backups/scripts/clickhouse-queries.sh
. "${0%/*}/clickhouse-queries.sh"
database=$CLICKHOUSE_DATABASE

fail() {
    fail_in_one_line look-clickhouse "$1"
}

# Prints who else runs queries, and a restore of this user that goes on after its pod has ended.
connected() {
    query "SELECT DISTINCT concat(initial_user, ' at ', toString(initial_address)) FROM $(all processes)
        WHERE initial_user != currentUser() OR query_kind = 'Restore' ORDER BY 1 FORMAT TSV"
}

deadline=$(($(date +%s) + WAIT_SECONDS))
until error=$(query 'SELECT 1' 2>&1 > /dev/null); do
    [ "$(date +%s)" -lt "$deadline" ] ||
        fail "ClickHouse at $CLICKHOUSE_HOST:$CLICKHOUSE_PORT did not answer within $WAIT_SECONDS s: $error"
    sleep 2
done
while :; do
    connected > "$WORK_DIR/connected" || fail "cannot read who uses $database on all replicas"
    # Web and worker may be about to end. A plan is made while they run.
    [ -s "$WORK_DIR/connected" ] && [ "$ACTION" = restore ] && [ "$(date +%s)" -lt "$deadline" ] || break
    sleep 2
done
query 'SELECT version() FORMAT TSV' > "$WORK_DIR/server" || fail "cannot read the release of the server"
query "SELECT name, max(number) FROM (
        SELECT hostName() AS host, concat(database, '.', table) AS name, sum(rows) AS number FROM $(all parts)
        WHERE active AND database = '$database' GROUP BY host, name
    ) GROUP BY name ORDER BY name FORMAT TSV" > "$WORK_DIR/rows" || fail "cannot count the rows of $database"
query "SELECT formatDateTime(max(modification_time), '%FT%TZ', 'UTC') FROM $(all parts) WHERE active AND database = '$database' AND rows > 0
    HAVING max(modification_time) > toDateTime(86400) FORMAT TSV" > "$WORK_DIR/newest" || fail "cannot read the time of the newest part"
query "SELECT host, sum(free), sum(used) FROM (
        SELECT hostName() AS host, free_space AS free, 0 AS used FROM $(all disks) WHERE name = 'default'
        UNION ALL
        SELECT hostName() AS host, 0 AS free, bytes_on_disk AS used FROM $(all parts) WHERE database = '$database'
    ) GROUP BY host ORDER BY host FORMAT TSV" > "$WORK_DIR/disks" || fail "cannot read the free space of the volumes"
