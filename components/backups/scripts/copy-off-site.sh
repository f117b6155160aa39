#!/bin/sh
# Copies new objects of BUCKET to OFF_SITE_BUCKET/BUCKET/ in a second object store.
#
# It never deletes or replaces an object there, because the content of an object never changes: objects are files named
# by their hash, and parts of backups. The marker .complete of a backup is copied last, as in the first store. Verdicts
# are not copied: they are about the objects in the first store, and each check replaces them.
#
# Environment: STORE_URL, BUCKET, ACCESS_KEY_ID and SECRET_ACCESS_KEY, and the same for the second store with the prefix
# OFF_SITE_. Without keys for BUCKET, the client requests keys for the pod's identity at MC_STS_ENDPOINT_store.
set -eu

keys=${ACCESS_KEY_ID:+"$ACCESS_KEY_ID:$SECRET_ACCESS_KEY@"}
export MC_HOST_store="${STORE_URL%%://*}://$keys${STORE_URL#*://}"
keys="$OFF_SITE_ACCESS_KEY_ID:$OFF_SITE_SECRET_ACCESS_KEY@"
export MC_HOST_off_site="${OFF_SITE_STORE_URL%%://*}://$keys${OFF_SITE_STORE_URL#*://}"

fail() {
    echo "copy-off-site: $1" >&2
    exit 1
}

target="off_site/$OFF_SITE_BUCKET/$BUCKET"

# Fails unless the copy of the backup in folder $1 is complete, apart from its marker.
require_complete() {
    differences=$(mc diff "store/$BUCKET/$1" "$target/$1" 2>&1) || fail "cannot compare $1: $differences"
    while read -r line; do
        case $line in
            '' | *'/.complete' | *'/verdicts/'*) ;;
            *) fail "the copy of backup $1 differs: $line" ;;
        esac
    done << END
$differences
END
}

markers=$(mc find "store/$BUCKET" --name .complete 2>&1) || fail "cannot list $BUCKET: $markers"
echo "copying new objects of $BUCKET to $OFF_SITE_STORE_URL/$OFF_SITE_BUCKET"
output=$(mc mirror --quiet --exclude '*.complete' --exclude '*.lock' --exclude '*/verdicts/*' "store/$BUCKET" "$target" 2>&1) ||
    fail "cannot copy $BUCKET: $output"
case $output in
    *'<ERROR>'*) fail "cannot copy $BUCKET: $output" ;; # the client succeeds even if it can't list the target
esac
for marker in $markers; do
    name=${marker#"store/$BUCKET/"}
    if ! mc stat "$target/$name" > /dev/null 2>&1; then
        require_complete "${name%/.complete}"
        output=$(mc cp --quiet "$marker" "$target/$name" 2>&1) || fail "cannot write $name: $output"
        echo "the copy of ${name%/.complete} is complete"
    fi
done
echo "copied $BUCKET"
