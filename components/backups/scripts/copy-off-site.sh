#!/bin/sh
# Copies what is new in BUCKET to OFF_SITE_BUCKET/BUCKET/ in another object store. Deletes and replaces nothing there: an
# object has one content for ever, be it a file named by its hash or a part of a backup. The marker of a backup,
# .complete, comes after everything else of it, as in the first store.
# Reads STORE_URL, ACCESS_KEY_ID, SECRET_ACCESS_KEY and BUCKET, and the same of the other store with OFF_SITE_ before it.
# Without keys for BUCKET the client takes those that the pod's identity is given at MC_STS_ENDPOINT_store.
set -eu

keys=${ACCESS_KEY_ID:+"$ACCESS_KEY_ID:$SECRET_ACCESS_KEY@"}
export MC_HOST_store="${STORE_URL%%://*}://$keys${STORE_URL#*://}"
keys="$OFF_SITE_ACCESS_KEY_ID:$OFF_SITE_SECRET_ACCESS_KEY@"
export MC_HOST_other="${OFF_SITE_STORE_URL%%://*}://$keys${OFF_SITE_STORE_URL#*://}"

fail() {
    echo "copy-off-site: $1" >&2
    exit 1
}

target="other/$OFF_SITE_BUCKET/$BUCKET"

# Fails unless the backup in folder $1 of the bucket is there but for its marker.
whole() {
    differences=$(mc diff "store/$BUCKET/$1" "$target/$1" 2>&1) || fail "cannot compare $1: $differences"
    while read -r line; do
        case $line in
            '' | *'/.complete') ;;
            *) fail "backup $1 differs there: $line" ;;
        esac
    done << END
$differences
END
}

markers=$(mc find "store/$BUCKET" --name .complete 2>&1) || fail "cannot list $BUCKET: $markers"
echo "copying what is new in $BUCKET to $OFF_SITE_STORE_URL/$OFF_SITE_BUCKET"
output=$(mc mirror --quiet --exclude '*.complete' --exclude '*.lock' "store/$BUCKET" "$target" 2>&1) ||
    fail "cannot copy $BUCKET: $output"
case $output in
    *'<ERROR>'*) fail "cannot copy $BUCKET: $output" ;; # the client ends well when it could not list the other store
esac
for marker in $markers; do
    name=${marker#"store/$BUCKET/"}
    if ! mc stat "$target/$name" > /dev/null 2>&1; then
        whole "${name%/.complete}"
        output=$(mc cp --quiet "$marker" "$target/$name" 2>&1) || fail "cannot write $name: $output"
        echo "${name%/.complete} is complete there"
    fi
done
echo "$BUCKET is copied"
