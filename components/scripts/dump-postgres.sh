#!/bin/sh
# Dumps the database and the roles into BACKUP_DIR and proves that the dump can be read to its end.
# Reads PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, WAIT_SECONDS, BACKUP_DIR and MINIMUM_BYTES.
set -eu

fail() {
    echo "dump-postgres: $1" >&2
    exit 1
}

waited=0
until error=$(psql --no-psqlrc --quiet --command 'SELECT 1' 2>&1 > /dev/null); do
    if [ "$waited" -ge "$WAIT_SECONDS" ]; then
        fail "Postgres at $PGHOST:$PGPORT did not answer within $WAIT_SECONDS s: $error"
    fi
    sleep 2
    waited=$((waited + 2))
done

name=$(date -u +%Y-%m-%dT%H-%M-%SZ)
dump="$BACKUP_DIR/database.dump"
rm -rf "${BACKUP_DIR:?}"/*
echo "dumping database $PGDATABASE of $PGHOST:$PGPORT as $name"
pg_dump --format=custom --file="$dump"
pg_dumpall --database="$PGDATABASE" --globals-only --no-role-passwords --file="$BACKUP_DIR/globals.sql"

# Listing a truncated dump succeeds; only reading it through finds what is missing.
pg_restore --file=/dev/null "$dump" || fail "the dump cannot be read to its end"
bytes=$(wc -c < "$dump")
[ "$bytes" -ge "$MINIMUM_BYTES" ] || fail "the dump has $bytes bytes, at least $MINIMUM_BYTES were expected"

printf '{"store":"postgres","name":"%s","database":"%s","client":"%s","bytes":%d,"sha256":"%s"}\n' \
    "$name" "$PGDATABASE" "$(pg_dump --version | tr -dc '0-9.')" "$bytes" \
    "$(sha256sum "$dump" | cut -d ' ' -f 1)" > "$BACKUP_DIR/manifest.json"
(cd "$BACKUP_DIR" && sha256sum database.dump globals.sql manifest.json > SHA256SUMS)
echo "$name" > "$BACKUP_DIR/name"
echo "dumped $bytes bytes"
