#!/bin/sh
# Prints the password that this pod used last for the servers and Sentinels of other pods; nothing if there is none.
#
# Environment: MASTER_NAME and SENTINEL_STATE (the path of the state file of this pod's Sentinel); neither without
# Sentinels.
set -eu

if [ -s "${SENTINEL_STATE-}" ]; then
    sed -n "s/^sentinel auth-pass $MASTER_NAME \"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" "$SENTINEL_STATE"
fi
