#!/bin/sh
# Backs up a ClickHouse database to clickhouse/ID/ in the backups bucket.
#
# The server writes the backup. It has the keys of the bucket (named collection "backups"), this script has not. The
# step before chose what the backup builds upon (begin-backup.js); the step after checks it and writes the marker
# (finish-clickhouse.js).
#
# With several replicas, one of them backs up, because each has all rows. It first catches up with the others. Each start of
# the client takes time, so there are few.
#
# Environment: CLICKHOUSE_HOST, CLICKHOUSE_PORT, CLICKHOUSE_USER, CLICKHOUSE_PASSWORD (read by the client),
# CLICKHOUSE_DATABASE, CLICKHOUSE_TLS, WAIT_SECONDS, BUSY_SECONDS (for another backup), BUSY_PAUSE_SECONDS, and WORK_DIR with `id` and `base`.
set -eu

secure=
[ "$CLICKHOUSE_TLS" = false ] || secure=--secure

fail() {
    echo "backup-clickhouse: $1" >&2
    exit 1
}

# The timeout is a day, because the server sends nothing until the backup has finished.
query() {
    clickhouse-client --host "$CLICKHOUSE_HOST" --port "$CLICKHOUSE_PORT" --user "$CLICKHOUSE_USER" \
        --connect_timeout 5 --receive_timeout 86400 ${secure:+"$secure"} --query "$1"
}

deadline=$(($(date +%s) + WAIT_SECONDS))
until error=$(query 'SELECT 1' 2>&1 > /dev/null); do
    [ "$(date +%s)" -lt "$deadline" ] ||
        fail "ClickHouse at $CLICKHOUSE_HOST:$CLICKHOUSE_PORT did not answer within $WAIT_SECONDS s: $error"
    sleep 2
done

query 'SELECT version() FORMAT TSV' > "$WORK_DIR/version" || fail "cannot read the release of the server"
: > "$WORK_DIR/migration"
migrations=$(query "SELECT name FROM system.tables WHERE database = '$CLICKHOUSE_DATABASE' AND name = 'schema_migrations'") ||
    fail "cannot list the tables of $CLICKHOUSE_DATABASE"
[ -z "$migrations" ] ||
    query "SELECT version, dirty FROM $CLICKHOUSE_DATABASE.schema_migrations ORDER BY sequence DESC LIMIT 1 FORMAT TSV" \
        > "$WORK_DIR/migration" || fail "cannot read the version of the schema"

: > "$WORK_DIR/behind"
# The server does not know the number (0) if Keeper does not answer. Then the table does not catch up, and the manifest says so.
replicated=$(query "SELECT table FROM system.replicas WHERE database = '$CLICKHOUSE_DATABASE' AND total_replicas != 1 FORMAT TSV") ||
    fail "cannot list the replicated tables of $CLICKHOUSE_DATABASE"
for table in $replicated; do
    if ! error=$(query "SYSTEM SYNC REPLICA $CLICKHOUSE_DATABASE.$table LIGHTWEIGHT" 2>&1); then
        echo "backup-clickhouse: table $table may lack the newest rows, because it did not catch up: $error" >&2
        echo "$table" >> "$WORK_DIR/behind"
    fi
done

id=$(cat "$WORK_DIR/id")
base=$(cat "$WORK_DIR/base")
folder="clickhouse/$id"
settings=
[ -z "$base" ] || settings="SETTINGS base_backup = S3(backups, 'clickhouse/$base')"
echo "backing up database $CLICKHOUSE_DATABASE as $folder${base:+, which builds upon clickhouse/$base}"
# The server makes one backup at a time. Another one may go on after its client was killed.
deadline=$(($(date +%s) + BUSY_SECONDS))
until result=$(query "BACKUP DATABASE $CLICKHOUSE_DATABASE TO S3(backups, '$folder') $settings FORMAT TSV" 2>&1); do
    case $result in
        *CONCURRENT_ACCESS_NOT_SUPPORTED*) ;;
        *) fail "the server could not write $folder: $result" ;;
    esac
    [ "$(date +%s)" -lt "$deadline" ] || fail "another backup still goes on after $BUSY_SECONDS s: $result"
    echo "waiting until another backup of the server has finished"
    sleep "$BUSY_PAUSE_SECONDS"
done
status=$(printf '%s' "$result" | cut -f 2)
[ "$status" = BACKUP_CREATED ] || fail "backup $folder finished with status \"$status\""
