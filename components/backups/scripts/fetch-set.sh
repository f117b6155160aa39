#!/bin/sh
# Copies the folders that fetch-set.js chose from OFF_SITE_BUCKET/PREFIX in another object store to BUCKET. With ACTION=list,
# it does nothing.
#
# Nothing in BUCKET is replaced or deleted. The marker .complete of a folder is copied last, when everything else is there.
# Verdicts are about the objects of one store, so they are not copied. If it is killed, the next run continues.
#
# Environment: ACTION, WORK_DIR, PREFIX, BUCKET and the variables of rclone-remotes.sh, and the same for the other store with
# the prefix OFF_SITE_.
set -eu

# shellcheck source=components/backups/scripts/rclone-remotes.sh
. "${0%/*}/rclone-remotes.sh"

fail() {
    echo "fetch-set: $1" >&2
    exit 1
}

# Says beside a set that it is of another installation. A store that encrypts may answer with an ETag that is no MD5 sum.
write_verdict() {
    [ -e "$WORK_DIR/clone.json" ] || return 0
    rclone copyto --ignore-checksum "$WORK_DIR/clone.json" "${1}verdicts/clone.json" || fail "cannot write the verdict"
}

[ "$ACTION" = fetch ] || exit 0
source_remote OFF_SITE OFF_SITE_
remote STORE ''
while read -r folder; do
    source="off_site:$OFF_SITE_BUCKET/$PREFIX$folder/"
    target="store:$BUCKET/$folder/"
    echo "copying $folder"
    rclone copy --immutable --stats 1m --stats-one-line --stats-log-level NOTICE \
        --exclude .complete --exclude .lock --exclude '/verdicts/**' "$source" "$target" || fail "cannot copy $folder"
    rclone check --one-way --exclude .complete --exclude .lock --exclude '/verdicts/**' "$source" "$target" ||
        fail "the copy of $folder differs"
    case $folder in
        sets/*) write_verdict "$target" ;;
    esac
    rclone copyto --immutable "${source}.complete" "${target}.complete" || fail "cannot write $folder/.complete"
done < "$WORK_DIR/folders"
