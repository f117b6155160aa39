#!/bin/sh
# Runs a step of the set before an upgrade, unless an earlier step has found that no set is needed (need-set.js).
#
# Arguments: the command of the step. Environment: WORK_DIR.
set -eu

[ ! -e "$WORK_DIR/skip" ] || exit 0
"$@" && exit 0
code=$?
echo "unless-skipped: no set could be taken before the upgrade, so nothing was migrated, and the former release goes on. \
Mend what the line above names and run pulumi up again. To migrate without a way back, set \
langfuse:backups.beforeUpgrade to false." >&2
exit "$code"
