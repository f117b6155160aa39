#!/bin/sh
# Restores a backup of ClickHouse into a server of its own, which only this container can reach, and notes what it contains.
#
# The server has a Keeper in it, so that replicated tables are restored as in production. A fault of the backup is noted
# and is no failure: the step after writes the verdict (judge-drill.js). It fails if the drill could not be done, for
# example because the store did not answer or the volume is full. The data is deleted at the end.
#
# Environment: CONFIG_FILE, DATA_DIR (on the volume of this pod), CLICKHOUSE_HOST and CLICKHOUSE_PORT of that server,
# CLICKHOUSE_DATABASE, WAIT_SECONDS, WORK_DIR with `backup` and `faults`, and what the configuration reads: BACKUPS_URL and
# its keys.
set -eu

fail() {
    echo "drill-clickhouse: $1" >&2
    exit 1
}

fault() {
    echo "drill-clickhouse: $1" >&2
    echo "$1" >> "$WORK_DIR/restore-faults" # `faults` is a file of another user
}

[ ! -s "$WORK_DIR/faults" ] || exit 0

log="$WORK_DIR/server.log"
server=

end() {
    [ -z "$server" ] || kill "$server" 2> /dev/null || true
    wait
    rm -rf "${DATA_DIR:?}"/* "$log"
}
trap end EXIT
trap 'exit 1' INT TERM

rm -rf "${DATA_DIR:?}"/*
clickhouse-server --config-file="$CONFIG_FILE" > "$log" 2>&1 &
server=$!

# The timeout is a day, because the server sends nothing until a restore has finished.
query() {
    clickhouse-client --host "$CLICKHOUSE_HOST" --port "$CLICKHOUSE_PORT" --user default \
        --connect_timeout 5 --receive_timeout 86400 --query "$1"
}

# Fails if the server has ended, for example because its memory was not enough.
require_server() {
    kill -0 "$server" 2> /dev/null || fail "the server of the drill ended: $(tail -n 5 "$log")"
}

# The Keeper in it may need longer than the server.
deadline=$(($(date +%s) + WAIT_SECONDS))
until error=$(query "SELECT count() FROM system.zookeeper WHERE path = '/'" 2>&1 > /dev/null); do
    require_server
    [ "$(date +%s)" -lt "$deadline" ] || fail "the server of the drill did not answer within $WAIT_SECONDS s: $error"
    sleep 1
done

folder="clickhouse/$(cat "$WORK_DIR/backup")"
echo "restoring $folder"
# The database exists already. Its definition may have other details in another release.
result=$(query "RESTORE DATABASE $CLICKHOUSE_DATABASE ON CLUSTER default FROM S3(backups, '$folder') \
SETTINGS create_database = 0, allow_different_database_def = 1 FORMAT TSV" 2>&1) || {
    require_server
    line=$(printf '%s' "$result" | tr '\n' ' ' | cut -c 1-500)
    # Errors that damaged files cause (src/Common/ErrorCodes.cpp). Others say nothing about the backup.
    case $result in
        *NOT_ENOUGH_SPACE* | *MEMORY_LIMIT* | *'No space left'*) fail "the pod is too small for $folder: $line" ;;
        *BACKUP_DAMAGED* | *BACKUP_ENTRY_NOT_FOUND* | *BACKUP_NOT_FOUND* | *WRONG_BASE_BACKUP* | *CANNOT_READ_ALL_DATA* | \
            *ATTEMPT_TO_READ_AFTER_EOF* | *CHECKSUM_DOESNT_MATCH* | *CORRUPTED_DATA* | *NO_FILE_IN_DATA_PART* | \
            *BAD_SIZE_OF_FILE_IN_DATA_PART* | *UNEXPECTED_FILE_IN_DATA_PART* | *FILE_DOESNT_EXIST* | *NoSuchKey* | \
            *'key does not exist'* | *'response code: 404'*)
            fault "$folder can't be restored: $line"
            exit 0
            ;;
        *) fail "cannot restore $folder: $line" ;;
    esac
}
status=$(printf '%s' "$result" | cut -f 2)
[ "$status" = RESTORED ] || fail "the restore of $folder finished with status \"$status\""

query "SELECT concat(database, '.', table), sum(rows) FROM system.parts WHERE active AND database = '$CLICKHOUSE_DATABASE'
    GROUP BY database, table FORMAT TSV" > "$WORK_DIR/rows" || fail "cannot count the restored rows"
tables=$(query "SELECT name FROM system.tables WHERE database = '$CLICKHOUSE_DATABASE' AND engine LIKE '%MergeTree' \
AND NOT startsWith(name, '.') ORDER BY name FORMAT TSV") || fail "cannot list the restored tables"
for table in $tables; do
    # Reads every part, and compares it with the checksums that the server wrote when it made it.
    query "CHECK TABLE $CLICKHOUSE_DATABASE.\`$table\` FORMAT TSV SETTINGS check_query_single_value_result = 0" \
        > "$WORK_DIR/checks" || { require_server; fail "cannot check table $table"; }
    broken=$(awk -F '\t' '$2 == "0" || $2 == "false" { print $1 ": " $3; exit }' "$WORK_DIR/checks")
    [ -z "$broken" ] || fault "table $table has a damaged part after the restore: $broken"
    [ "$table" != schema_migrations ] ||
        query "SELECT version, dirty FROM $CLICKHOUSE_DATABASE.schema_migrations ORDER BY sequence DESC LIMIT 1 FORMAT TSV" \
            > "$WORK_DIR/schema" || fail "cannot read the version of the schema"
done
echo "restored and checked $folder"
