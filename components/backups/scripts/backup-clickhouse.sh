#!/bin/sh
# Backs up a ClickHouse database to the backups bucket.
#
# The server writes the backup. It has the keys of the bucket (named collection "backups"), this script has not. The
# marker .complete is written after the server reports success; a backup without it is incomplete.
#
# Environment: CLICKHOUSE_HOST, CLICKHOUSE_PORT, CLICKHOUSE_USER, CLICKHOUSE_PASSWORD (read by the client),
# CLICKHOUSE_DATABASE, CLICKHOUSE_TLS and WAIT_SECONDS.
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

name=$(date -u +%Y-%m-%dT%H-%M-%SZ)
folder="clickhouse/$name"
echo "backing up database $CLICKHOUSE_DATABASE as $folder"
result=$(query "BACKUP DATABASE $CLICKHOUSE_DATABASE TO S3(backups, '$folder') FORMAT TSV" 2>&1) ||
    fail "the server could not write $folder: $result"
status=$(printf '%s' "$result" | cut -f 2)
[ "$status" = BACKUP_CREATED ] || fail "backup $folder finished with status \"$status\""

query "INSERT INTO FUNCTION s3(backups, filename = '$folder/.complete', format = 'JSONEachRow')
    SELECT 'clickhouse' AS store, '$name' AS name, '$CLICKHOUSE_DATABASE' AS database, version() AS version" ||
    fail "cannot write the marker of $folder"
echo "backup $folder is complete"
