#!/bin/sh
# Copies the database of a running server into a new data directory of a newer major release.
#
# The directory gets its final name when the copy is complete and has been compared with the source. A run that was
# killed begins again, and a run after a complete one changes nothing. The source is only read.
#
# Environment: SOURCE_HOST, SOURCE_PORT, PGDATA (the new directory), PGHOST (a directory for the socket of the new
# server), POSTGRES_INITDB_ARGS, APPLICATION_ROLE, APPLICATION_DATABASE, POSTGRES_PASSWORD, MAX_WAL_SIZE (of the new
# server while it is filled) and WAIT_SECONDS (how long to wait until no other client is connected to the source).
set -eu

scripts=${0%/*}
final=$PGDATA
copy="$final.copy"
work="$final.work"

fail() {
    echo "upgrade-postgres: $1. The former server and its volume are unchanged" >&2
    exit 1
}

if [ -e "$final" ]; then
    echo "the data directory of Postgres $(cat "$final/PG_VERSION") is complete"
    exit 0
fi
rm -rf "$copy" "$work"
mkdir "$work"

source_psql() {
    PGPASSWORD="$POSTGRES_PASSWORD" PGCONNECT_TIMEOUT=5 psql --no-psqlrc --no-align --tuples-only --quiet \
        --host "$SOURCE_HOST" --port "$SOURCE_PORT" --username "$APPLICATION_ROLE" --dbname "$APPLICATION_DATABASE" \
        --set ON_ERROR_STOP=1 "$@"
}

target_psql() {
    psql --no-psqlrc --no-align --tuples-only --quiet --username postgres --dbname "$APPLICATION_DATABASE" \
        --set ON_ERROR_STOP=1 "$@"
}

# A client that is connected could write rows that the copy does not have. pg_dump only reads.
clients="SELECT coalesce(string_agg(DISTINCT coalesce(nullif(application_name, ''), 'client') || ' at ' ||
    coalesce(host(client_addr), 'the pod'), ', '), '') FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
    AND application_name <> 'pg_dump'"
deadline=$(($(date +%s) + WAIT_SECONDS))
until connected=$(source_psql --command "$clients" 2> "$work/error") && [ -z "$connected" ]; do
    [ "$(date +%s)" -lt "$deadline" ] ||
        fail "${connected:+still connected to the former server: $connected}$(cat "$work/error")"
    sleep 2
done

PGDATA="$copy" sh "$scripts/initialize-postgres.sh"

# Without fsync a restore is several times as fast. The directory is written to the disk before it gets its name.
stop() {
    pg_ctl --pgdata="$copy" --silent --wait --mode=fast stop
}
trap 'stop > /dev/null 2>&1 || true' EXIT
pg_ctl --pgdata="$copy" --silent --wait --log="$work/server.log" start \
    --options="-c listen_addresses='' -c unix_socket_directories='$PGHOST' -c fsync=off -c full_page_writes=off \
-c max_wal_size=$MAX_WAL_SIZE -c timezone=UTC" || fail "the new server did not start: $(tail -n 5 "$work/server.log")"

# Messages without the lines that quote rows, which have hashes of passwords and keys.
without_rows() {
    sed -e '/^CONTEXT:/d' -e '/^DETAIL:.*Failing row/d' "$@"
}

echo "copying database $APPLICATION_DATABASE of $SOURCE_HOST"
{
    PGPASSWORD="$POSTGRES_PASSWORD" pg_dump --format=custom --compress=0 --host "$SOURCE_HOST" --port "$SOURCE_PORT" \
        --username "$APPLICATION_ROLE" "$APPLICATION_DATABASE" 2> "$work/dump-error" || echo failed > "$work/failed"
} | pg_restore --username postgres --dbname "$APPLICATION_DATABASE" --no-owner --role "$APPLICATION_ROLE" \
    --exit-on-error 2> "$work/error" || fail "the restore failed: $(without_rows "$work/error" "$work/dump-error")"
[ ! -e "$work/failed" ] || fail "the dump failed: $(cat "$work/dump-error")"

# One line for each table with its rows, column, index, constraint, view, value of an enum and sequence. From Postgres
# 18 on, NOT NULL is a constraint too.
cat > "$work/inventory.sql" <<'SQL'
SET search_path = '';
SELECT format('SELECT %L, count(*) FROM %s', 'rows of ' || oid::regclass, oid::regclass) FROM pg_class
  WHERE relkind IN ('r', 'm') AND relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
  ORDER BY oid::regclass::text COLLATE "C" \gexec
SELECT format('SELECT %L, last_value, is_called FROM %s', 'sequence ' || oid::regclass, oid::regclass) FROM pg_class
  WHERE relkind = 'S' ORDER BY oid::regclass::text COLLATE "C" \gexec
SELECT line FROM (
  SELECT format('column %s.%s %s not null %s', attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull)
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relkind IN ('r', 'p', 'v', 'm') AND attnum > 0 AND NOT attisdropped
      AND relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
  UNION ALL SELECT format('relation %s %s of %s', relkind, oid::regclass, relowner::regrole) FROM pg_class
    WHERE relkind <> 't' AND relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
  UNION ALL SELECT format('constraint %s on %s', conname, conrelid::regclass) FROM pg_constraint
    WHERE contype <> 'n' AND connamespace::regnamespace::text !~ '^(pg_|information_schema)'
  UNION ALL SELECT format('value %s of %s', enumlabel, enumtypid::regtype) FROM pg_enum
  UNION ALL SELECT format('trigger %s on %s', tgname, tgrelid::regclass) FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL SELECT format('function %s', oid::regprocedure) FROM pg_proc
    WHERE pronamespace::regnamespace::text !~ '^(pg_|information_schema)'
  UNION ALL SELECT format('extension %s', extname) FROM pg_extension
) AS lines(line) ORDER BY line COLLATE "C";
SQL
source_psql --file "$work/inventory.sql" > "$work/before" || fail "the former server can't be read"
target_psql --file "$work/inventory.sql" > "$work/after" || fail "the new server can't be read"
if ! cmp -s "$work/before" "$work/after"; then
    grep -vxF -f "$work/after" "$work/before" | head -n 5 | sed 's/^/only the former server has: /' >&2 || true
    grep -vxF -f "$work/before" "$work/after" | head -n 5 | sed 's/^/only the copy has: /' >&2 || true
    fail "the copy differs from the source"
fi

target_psql --command 'ANALYZE'
stop
trap - EXIT
initdb --sync-only --pgdata="$copy" > /dev/null 2>&1 || fail "the copy can't be written to the disk"
count=$(grep -c '^rows of ' "$work/before" || true)
rows=$(sed -n 's/^rows of .*|//p' "$work/before" | { total=0; while read -r number; do total=$((total + number)); done; echo "$total"; })
rm -rf "$work"
mv "$copy" "$final"
sync "${final%/*}"
echo "the copy is complete: $count tables with $rows rows are the same on both servers"
