#!/bin/sh
# Starts Valkey with the password from REDISCLI_AUTH, which appears on no command line.
# Usage: start-valkey.sh CONFIGURATION PASSWORD_FILE
set -eu

: "${REDISCLI_AUTH:?is not set: the password of Valkey}"
configuration=$1
password_file=$2

umask 077
printf 'requirepass "%s"\n' "$REDISCLI_AUTH" > "$password_file"
exec valkey-server "$configuration"
