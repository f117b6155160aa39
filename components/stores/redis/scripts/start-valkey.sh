#!/bin/sh
# Starts Valkey with a password, without showing it on a command line.
#
# Usage: start-valkey.sh CONFIGURATION PASSWORD_FILE
#
# Environment: REDISCLI_AUTH (the password).
set -eu

: "${REDISCLI_AUTH:?is not set: the password of Valkey}"
configuration=$1
password_file=$2

umask 077
printf 'requirepass "%s"\n' "$REDISCLI_AUTH" > "$password_file"
exec valkey-server "$configuration"
