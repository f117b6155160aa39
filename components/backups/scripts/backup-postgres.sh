#!/bin/sh
# Backs up a Postgres database and its roles to BUCKET/postgres/NAME/.
#
# The dump is streamed to the store, so it needs no disk space in the pod. Then pg_restore reads it back from the store
# to its end, and only after that the marker .complete is written. A backup without the marker is incomplete.
#
# Environment: PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, WAIT_SECONDS, MINIMUM_BYTES, PART_SIZE, CLIENT_DIR
# (written by copy-client.sh, with room for a few small files), STORE_URL, BUCKET, ACCESS_KEY_ID and SECRET_ACCESS_KEY.
# Without keys, the client requests keys for the pod's identity at MC_STS_ENDPOINT_store.
set -eu

export PATH="$PATH:$CLIENT_DIR"
keys=${ACCESS_KEY_ID:+"$ACCESS_KEY_ID:$SECRET_ACCESS_KEY@"}
export MC_HOST_store="${STORE_URL%%://*}://$keys${STORE_URL#*://}"

fail() {
    echo "backup-postgres: $1" >&2
    exit 1
}

work="$CLIENT_DIR/work"
rm -rf "$work"
mkdir "$work"
trap 'rm -rf "$work"' EXIT
mkfifo "$work/sum.in" "$work/size.in"

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

name=$(date -u +%Y-%m-%dT%H-%M-%SZ)
folder="$BUCKET/postgres/$name"
target="store/$folder"

# Runs a command of a pipeline, and notes its failure in a file: a POSIX shell reports only the last command's status.
note_failure() {
    "$@" || echo "$1" >> "$work/failed"
}

# Copies standard input to standard output, and writes its checksum and size to the files "sum" and "size".
measure() {
    sha256sum < "$work/sum.in" > "$work/sum" &
    wc -c < "$work/size.in" > "$work/size" &
    tee "$work/sum.in" "$work/size.in" || echo "tee" >> "$work/failed"
    wait
}

# Uploads a file of the backup. Arguments: file, name of the object.
upload() {
    output=$(mc cp --quiet "$1" "$target/$2" 2>&1) || fail "cannot write $folder/$2: $output"
}

echo "dumping database $PGDATABASE of $PGHOST:$PGPORT to $folder"
note_failure pg_dump --format=custom | measure |
    mc pipe --quiet --part-size "$PART_SIZE" "$target/database.dump" > "$work/output" 2>&1 ||
    fail "cannot write $folder/database.dump: $(cat "$work/output")"
[ ! -e "$work/failed" ] || fail "the dump is incomplete: $(cat "$work/failed") failed"
sum=$(cut -d ' ' -f 1 "$work/sum")
bytes=$(tr -d ' ' < "$work/size")
[ "$bytes" -ge "$MINIMUM_BYTES" ] || fail "the dump has $bytes bytes, expected at least $MINIMUM_BYTES"

# pg_restore lists even a truncated dump. Only reading it to the end finds missing data.
echo "reading $bytes bytes back"
note_failure mc cat "$target/database.dump" | measure | {
    pg_restore --file=/dev/null || fail "pg_restore can't read the dump to its end"
    cat > /dev/null
}
[ ! -e "$work/failed" ] || fail "$folder/database.dump cannot be read back: $(cat "$work/failed") failed"
[ "$(cut -d ' ' -f 1 "$work/sum")" = "$sum" ] || fail "the stored $folder/database.dump differs from the dump"

cd "$work"
pg_dumpall --database="$PGDATABASE" --globals-only --no-role-passwords --file=globals.sql
printf '{"store":"postgres","name":"%s","database":"%s","server":"%s","client":"%s","bytes":%d,"sha256":"%s"}\n' \
    "$name" "$PGDATABASE" "${server%% *}" "${client%% *}" "$bytes" "$sum" > manifest.json
sha256sum globals.sql manifest.json > SHA256SUMS
for file in globals.sql manifest.json; do
    upload "$file" "$file"
    mc cat "$target/$file" > stored || fail "cannot read $folder/$file back"
    [ "$(sha256sum < stored)" = "$(sha256sum < "$file")" ] || fail "the stored $folder/$file differs from the file"
done
echo "$sum  database.dump" >> SHA256SUMS
upload SHA256SUMS SHA256SUMS
upload manifest.json .complete
echo "backup postgres/$name is complete: $bytes bytes"
