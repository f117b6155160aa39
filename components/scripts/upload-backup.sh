#!/bin/sh
# Copies what BACKUP_DIR holds (database.dump, globals.sql, manifest.json, SHA256SUMS, name) to BUCKET/PREFIX/NAME/,
# reads it back, and only then writes the marker .complete: a backup without it does not count.
# Reads STORE_URL, ACCESS_KEY_ID, SECRET_ACCESS_KEY, BUCKET, PREFIX and BACKUP_DIR. Without keys the client takes those
# that the pod's identity is given at MC_STS_ENDPOINT_store.
set -eu

keys=${ACCESS_KEY_ID:+"$ACCESS_KEY_ID:$SECRET_ACCESS_KEY@"}
export MC_HOST_store="${STORE_URL%%://*}://$keys${STORE_URL#*://}"

fail() {
    echo "upload-backup: $1" >&2
    exit 1
}

cd "$BACKUP_DIR"
sha256sum --check --quiet SHA256SUMS || fail "the files differ from those that were dumped"
name=$(cat name)
target="store/$BUCKET/$PREFIX/$name"

upload() {
    output=$(mc cp --quiet "$1" "$target/$2" 2>&1) || fail "cannot write $BUCKET/$PREFIX/$name/$2: $output"
}

while read -r sum file; do
    echo "uploading $file to $BUCKET/$PREFIX/$name"
    upload "$file" "$file"
    stored=$(mc cat "$target/$file" | sha256sum)
    [ "${stored%% *}" = "$sum" ] || fail "$BUCKET/$PREFIX/$name/$file reads back differently"
done < SHA256SUMS
upload SHA256SUMS SHA256SUMS
upload manifest.json .complete
echo "backup $PREFIX/$name is complete"
