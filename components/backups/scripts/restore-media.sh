#!/bin/sh
# Copies the media whose keys are in WORK_DIR/missing from OFF_SITE_BUCKET/BUCKET/ in the second store back to BUCKET.
#
# Environment: ACTION (`restore`, or `plan` to do nothing), WORK_DIR, BUCKET and the variables of rclone-remotes.sh, and the
# same for the second store with the prefix OFF_SITE_.
set -eu

# shellcheck source=components/backups/scripts/rclone-remotes.sh
. "${0%/*}/rclone-remotes.sh"

[ "$ACTION" = restore ] || exit 0
source_remote OFF_SITE OFF_SITE_
remote STORE ''
# rclone skips keys that are not in the copy. The step after looks for what is still missing.
rclone copy --no-traverse --files-from-raw "$WORK_DIR/missing" --stats 1m --stats-one-line --stats-log-level NOTICE \
    "off_site:$OFF_SITE_BUCKET/$BUCKET/" "store:$BUCKET/" || {
    echo "restore-media: cannot copy from $OFF_SITE_STORE_URL/$OFF_SITE_BUCKET" >&2
    exit 1
}
