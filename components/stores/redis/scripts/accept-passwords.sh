#!/bin/sh
# Writes the file of users: the password in the environment is accepted, and those that were accepted before.
#
# Usage: accept-passwords.sh USERS_FILE WRITER
#
# After the password has changed, pods restart one by one, and the old password is accepted until all servers and clients
# use the new one (retire-passwords.sh). The file is on the volume and has hashes only; the server writes it as well (ACL
# SAVE). A server and its Sentinel run this script at the same time, so each WRITER has its own temporary file.
#
# Environment: REDISCLI_AUTH (the password). With Sentinels also MASTER_NAME and SENTINEL_STATE (the path of the state file
# of this pod's Sentinel, which has the password that this pod used last).
set -eu

: "${REDISCLI_AUTH:?is not set: the password of Valkey}"
users=$1

hash_of() {
    printf '%s' "$1" | sha256sum | cut -d ' ' -f 1
}

# Before the file, because the Sentinel writes its state after it.
last=$(/bin/sh "$(dirname "$0")/last-password.sh")
new=$(hash_of "$REDISCLI_AUTH")
if [ -s "$users" ]; then
    ! grep -q "#$new" "$users" || exit 0
    accepted=$(sed -n 's/^user default //p' "$users" | tr ' ' '\n' | grep '^#' || :)
elif [ -n "$last" ] && [ "$last" != "$REDISCLI_AUTH" ]; then
    accepted="#$(hash_of "$last")"
else
    accepted=''
fi
umask 077
# shellcheck disable=SC2086 # hashes, separated by white space
echo "user default on sanitize-payload ~* &* +@all #$new" $accepted > "$users.$2"
mv "$users.$2" "$users"
