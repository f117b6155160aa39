#!/bin/sh
# Starts Valkey with a password, without showing it on a command line.
#
# Usage: start-valkey.sh CONFIGURATION
#
# Environment: REDISCLI_AUTH (the password) and USERS_FILE (the path of the file of users).
set -eu

/bin/sh "$(dirname "$0")/accept-passwords.sh" "$USERS_FILE" valkey
exec valkey-server "$1" --aclfile "$USERS_FILE"
