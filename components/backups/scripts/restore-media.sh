#!/bin/sh
# Copies the media whose keys are in WORK_DIR/missing from OFF_SITE_BUCKET/MEDIA_PREFIX in another store to BUCKET, or all
# of them if there is a file WORK_DIR/all-media. It lists both buckets, unless there is a file WORK_DIR/few-media: then it
# asks for each of the keys.
#
# Environment: ACTION (`restore` or `fetch`; others to do nothing), WORK_DIR, MEDIA_PREFIX, BUCKET and the variables of
# rclone-remotes.sh, and the same for the other store with the prefix OFF_SITE_.
set -eu

# shellcheck source=components/backups/scripts/rclone-remotes.sh
. "${0%/*}/rclone-remotes.sh"

case $ACTION in
    restore | fetch) ;;
    *) exit 0 ;;
esac
source_remote OFF_SITE OFF_SITE_
remote STORE ''
from="off_site:$OFF_SITE_BUCKET/$MEDIA_PREFIX"
set -- --files-from-raw "$WORK_DIR/missing"
[ ! -e "$WORK_DIR/few-media" ] || set -- --no-traverse "$@"
[ ! -e "$WORK_DIR/all-media" ] || set -- --immutable
# rclone skips keys that are not in the copy. The step after looks for what is still missing.
rclone copy "$@" --stats 1m --stats-one-line --stats-log-level NOTICE "$from" "store:$BUCKET/" || {
    echo "restore-media: cannot copy from $OFF_SITE_STORE_URL/$OFF_SITE_BUCKET" >&2
    exit 1
}
