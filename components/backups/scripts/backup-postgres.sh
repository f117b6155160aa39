#!/bin/sh
# Backs up a Postgres database and its roles to BUCKET/sets/ID/.
#
# The dump is streamed to the store, so it needs no disk space in the pod. At the same time, pg_restore reads it to its end,
# and the rows of each table in it are counted. Then the stored dump is read back, and must have the same checksum. The step
# after writes the marker (finish-set.js).
#
# Environment: PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, WAIT_SECONDS, MINIMUM_BYTES, PART_SIZE, CLIENT_DIR
# (written by copy-client.sh, with room for a few small files), WORK_DIR with `id`, where it notes what the dump contains,
# BUCKET, and the variables of rclone-remotes.sh.
set -eu

# shellcheck source=components/backups/scripts/rclone-remotes.sh
. "${0%/*}/rclone-remotes.sh"

export PATH="$PATH:$CLIENT_DIR"
remote STORE ''

fail() {
    echo "backup-postgres: $1" >&2
    exit 1
}

work="$CLIENT_DIR/work"
rm -rf "$work"
mkdir "$work"
trap 'rm -rf "$work"' EXIT
mkfifo "$work/sum.in" "$work/size.in" "$work/dump.in"

deadline=$(($(date +%s) + WAIT_SECONDS))
until error=$(psql --no-psqlrc --quiet --command 'SELECT 1' 2>&1 > /dev/null); do
    [ "$(date +%s)" -lt "$deadline" ] ||
        fail "Postgres at $PGHOST:$PGPORT did not answer within $WAIT_SECONDS s: $error"
    sleep 2
done

server=$(psql --no-psqlrc --no-align --tuples-only --quiet --command 'SHOW server_version')
client=$(pg_dump --version)
client=${client##*) }
[ "${server%%[!0-9]*}" -le "${client%%[!0-9]*}" ] ||
    fail "Postgres at $PGHOST:$PGPORT is release $server, but pg_dump is $client and refuses a newer server: set \
langfuse:postgres.version to the server's release"

# Between two statements of a migration, a dump would lock the tables that the next one changes, and a set of a
# half-migrated schema is no way back. Prisma holds this lock while it migrates (schema-engine, `acquire_lock`).
deadline=$(($(date +%s) + WAIT_SECONDS))
while [ "$(psql --no-psqlrc --no-align --tuples-only --quiet --command \
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 72707369")" != 0 ]; do
    [ "$(date +%s)" -lt "$deadline" ] || fail "a migration has been running for $WAIT_SECONDS s; the next run follows it"
    sleep 2
done

folder="$BUCKET/sets/$(cat "$WORK_DIR/id")"
target="store:$folder"

# Runs a command of a pipeline, and notes its failure in a file: a POSIX shell reports only the last command's status.
note_failure() {
    "$@" || echo "$1" >> "$work/failed"
}

# Copies standard input to standard output and to "dump.in", and writes its checksum and size to the files "sum" and "size".
measure() {
    sha256sum < "$work/sum.in" > "$work/sum" &
    wc -c < "$work/size.in" > "$work/size" &
    tee "$work/sum.in" "$work/size.in" "$work/dump.in" || echo "tee" >> "$work/failed"
    wait
}

# Counts the rows of each table in a dump as SQL, and notes those of the table of migrations. A row is one line.
count_rows() {
    awk -v rows="$WORK_DIR/rows" -v migrations="$WORK_DIR/migrations" '
        copying && $0 == "\\." { print table "\t" number > rows; copying = 0 }
        copying { number++; if (table == "public._prisma_migrations") print > migrations }
        /^COPY .* FROM stdin;$/ && !copying {
            table = $0; sub(/^COPY /, "", table); sub(/ \(.*/, "", table)
            number = 0; copying = 1
            if (table == "public._prisma_migrations") print > migrations
        }'
}

# Reads a dump to its end. pg_restore lists even a truncated one, so only this finds missing data.
read_dump() {
    {
        pg_restore --file=- 2> "$work/messages" || echo pg_restore >> "$work/unreadable"
        cat > /dev/null # nobody may stop the upload
    } | count_rows || echo awk >> "$work/unreadable"
}

# Uploads standard input. Argument: name of the object.
#
# The checksum of what is stored is compared when it is read back. rclone itself would compare MD5 sums with ETags, which
# are none where the store encrypts with a KMS. It holds two parts in memory: one is read, and one is sent.
upload() {
    rclone rcat --quiet --ignore-checksum --s3-chunk-size "$PART_SIZE" --s3-upload-concurrency 2 "$target/$1"
}

# Restores note here what the database was restored from (restore-postgres.sh).
psql --no-psqlrc --no-align --tuples-only --quiet --command "SELECT note FROM
    obj_description(to_regclass('public._prisma_migrations'), 'pg_class') AS note WHERE note LIKE '{\"restored\"%'" \
    > "$WORK_DIR/restored" || fail "cannot read what the database was restored from"

echo "dumping database $PGDATABASE of $PGHOST:$PGPORT to $folder"
: > "$WORK_DIR/rows"
read_dump < "$work/dump.in" &
reading=$!
uploaded=true
note_failure pg_dump --format=custom | measure |
    upload database.dump > "$work/output" 2>&1 || uploaded=false
wait "$reading"
[ "$uploaded" = true ] || fail "cannot write $folder/database.dump: $(cat "$work/output")"
[ ! -e "$work/failed" ] || fail "the dump is incomplete: $(cat "$work/failed") failed"
[ ! -e "$work/unreadable" ] || fail "$(cat "$work/unreadable") can't read the dump to its end: $(cat "$work/messages")"
sum=$(cut -d ' ' -f 1 "$work/sum")
bytes=$(tr -d ' ' < "$work/size")
[ "$bytes" -ge "$MINIMUM_BYTES" ] || fail "the dump has $bytes bytes, expected at least $MINIMUM_BYTES"

echo "reading $bytes bytes back"
note_failure rclone cat "$target/database.dump" | sha256sum > "$work/stored"
[ ! -e "$work/failed" ] || fail "$folder/database.dump cannot be read back: $(cat "$work/failed") failed"
[ "$(cut -d ' ' -f 1 "$work/stored")" = "$sum" ] || fail "the stored $folder/database.dump differs from the dump"

cd "$work"
pg_dumpall --database="$PGDATABASE" --globals-only --no-role-passwords --file=roles.sql
upload globals.sql < roles.sql 2> output || fail "cannot write $folder/globals.sql: $(cat output)"
rclone cat "$target/globals.sql" > stored || fail "cannot read $folder/globals.sql back"
roles=$(sha256sum < roles.sql)
[ "$(sha256sum < stored)" = "$roles" ] || fail "the stored $folder/globals.sql differs from the file"
psql --no-psqlrc --no-align --tuples-only --quiet --command 'SELECT pg_database_size(current_database())' > "$WORK_DIR/size"
printf '%s\n' "${server%% *}" > "$WORK_DIR/server"
printf '%s\n' "${client%% *}" > "$WORK_DIR/client"
printf '%s %s %s\n' "$bytes" "$sum" database.dump "$(wc -c < roles.sql)" "${roles%% *}" globals.sql > "$WORK_DIR/files"
echo "dumped $bytes bytes to $folder"
