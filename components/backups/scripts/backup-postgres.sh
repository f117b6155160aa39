#!/bin/sh
# Dumps the database and the roles to BUCKET/postgres/NAME/. The dump is streamed: no disk of the pod ever holds it. It
# is then read back from the store, through pg_restore to its end, and only after that the marker .complete is written:
# a backup without it does not count.
# Reads PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, WAIT_SECONDS, MINIMUM_BYTES, PART_SIZE, CLIENT_DIR (what
# copy-client.sh wrote, with room for a few small files), STORE_URL, ACCESS_KEY_ID, SECRET_ACCESS_KEY and BUCKET.
# Without keys the client takes those that the pod's identity is given at MC_STS_ENDPOINT_store.
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
    fail "Postgres at $PGHOST:$PGPORT is release $server, pg_dump is $client and refuses a newer server: set \
langfuse:postgres.version to the server's release"

name=$(date -u +%Y-%m-%dT%H-%M-%SZ)
folder="$BUCKET/postgres/$name"
target="store/$folder"

# A shell knows only how the last command of a pipeline ended: the others leave a note.
ended_well() {
    "$@" || echo "$1" >> "$work/failed"
}

# Passes its input on, and writes sum and size of what went through to files of that name.
measure() {
    sha256sum < "$work/sum.in" > "$work/sum" &
    wc -c < "$work/size.in" > "$work/size" &
    tee "$work/sum.in" "$work/size.in" || echo "tee" >> "$work/failed"
    wait
}

# Arguments: file, name of the object.
upload() {
    output=$(mc cp --quiet "$1" "$target/$2" 2>&1) || fail "cannot write $folder/$2: $output"
}

echo "dumping database $PGDATABASE of $PGHOST:$PGPORT to $folder"
ended_well pg_dump --format=custom | measure |
    mc pipe --quiet --part-size "$PART_SIZE" "$target/database.dump" > "$work/output" 2>&1 ||
    fail "cannot write $folder/database.dump: $(cat "$work/output")"
[ ! -e "$work/failed" ] || fail "the dump was cut short: $(cat "$work/failed") failed"
sum=$(cut -d ' ' -f 1 "$work/sum")
bytes=$(tr -d ' ' < "$work/size")
[ "$bytes" -ge "$MINIMUM_BYTES" ] || fail "the dump has $bytes bytes, at least $MINIMUM_BYTES were expected"

# Listing a truncated dump succeeds; only reading it through finds what is missing.
echo "reading $bytes bytes back"
ended_well mc cat "$target/database.dump" | measure | {
    pg_restore --file=/dev/null || fail "the dump cannot be read to its end"
    cat > /dev/null
}
[ ! -e "$work/failed" ] || fail "$folder/database.dump cannot be read back: $(cat "$work/failed") failed"
[ "$(cut -d ' ' -f 1 "$work/sum")" = "$sum" ] || fail "$folder/database.dump reads back differently"

cd "$work"
pg_dumpall --database="$PGDATABASE" --globals-only --no-role-passwords --file=globals.sql
printf '{"store":"postgres","name":"%s","database":"%s","server":"%s","client":"%s","bytes":%d,"sha256":"%s"}\n' \
    "$name" "$PGDATABASE" "${server%% *}" "${client%% *}" "$bytes" "$sum" > manifest.json
sha256sum globals.sql manifest.json > SHA256SUMS
for file in globals.sql manifest.json; do
    upload "$file" "$file"
    mc cat "$target/$file" > stored || fail "cannot read $folder/$file back"
    [ "$(sha256sum < stored)" = "$(sha256sum < "$file")" ] || fail "$folder/$file reads back differently"
done
echo "$sum  database.dump" >> SHA256SUMS
upload SHA256SUMS SHA256SUMS
upload manifest.json .complete
echo "backup postgres/$name is complete: $bytes bytes"
