#!/bin/sh
# Copies new objects of BUCKET to OFF_SITE_BUCKET/BUCKET/ in a second object store.
#
# It never deletes or replaces an object there, because the content of an object never changes: objects are files named
# by their hash, and parts of backups. The marker .complete of a backup is copied last, as in the first store. Verdicts
# are not copied: they are about the objects in the first store, and each check replaces them.
#
# Environment: BUCKET and the variables of rclone-remotes.sh, and the same for the second store with the prefix OFF_SITE_.
set -eu

# shellcheck source=components/backups/scripts/rclone-remotes.sh
. "${0%/*}/rclone-remotes.sh"

fail() {
    echo "copy-off-site: $1" >&2
    exit 1
}

# Prints the markers in folder $1, in order.
markers() {
    found=$(rclone lsf --recursive --files-only --include .complete "$1") || return
    printf '%s\n' "$found" | LC_ALL=C sort
}

source_remote STORE ''
remote OFF_SITE OFF_SITE_
source="store:$BUCKET"
target="off_site:$OFF_SITE_BUCKET/$BUCKET/" # without the slash, rclone first looks for an object of this name

# A backup that is completed while this runs is copied by the next run.
complete=$(markers "$source") || fail "cannot list $BUCKET"
copied=$(markers "$target" 2>&1) || case $copied in
    *'directory not found'*) copied= ;; # before the first copy
    *) fail "cannot list $OFF_SITE_BUCKET at $OFF_SITE_STORE_URL: $copied" ;;
esac
echo "copying new objects of $BUCKET to $OFF_SITE_STORE_URL/$OFF_SITE_BUCKET"
failed=
rclone copy --immutable --stats 1m --stats-one-line --stats-log-level NOTICE \
    --exclude .complete --exclude .lock --exclude '/sets/*/verdicts/**' "$source" "$target" ||
    failed="cannot copy all objects of $BUCKET"
for marker in $complete; do
    case "
$copied
" in
        *"
$marker
"*) continue ;;
    esac
    folder=${marker%/.complete}
    if rclone check --one-way --exclude .complete --exclude '/verdicts/**' "$source/$folder/" "$target$folder/"; then
        rclone copyto --immutable "$source/$marker" "$target$marker" || fail "cannot write $marker"
        echo "the copy of $folder is complete"
    else
        failed="the copy of backup $folder differs"
    fi
done
[ -z "$failed" ] || fail "$failed"
echo "copied $BUCKET"
