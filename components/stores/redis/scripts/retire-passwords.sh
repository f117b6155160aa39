#!/bin/sh
# Makes all servers and Sentinels use the current password only, and refuse all former ones.
#
# Usage: retire-passwords.sh SECONDS
#
# Run it when all clients use the current password. Each step is complete before the next one begins, so the script can be
# killed and run again:
# 1. All servers and Sentinels accept the current password: they have restarted since the change. The script waits for them
#    for at most SECONDS.
# 2. They use it to connect to each other.
# 3. They refuse other passwords. Servers save that on their volumes. Open connections stay.
#
# Passwords are in no command line: the client reads commands from standard input.
#
# Environment: REDISCLI_AUTH (the password) and MEMBERS (host:port of all servers; by default the one of this pod). With
# Sentinels also SENTINELS (theirs) and MASTER_NAME.
set -eu

: "${REDISCLI_AUTH:?is not set: the password of Valkey}"
password=$REDISCLI_AUTH
members=${MEMBERS:-127.0.0.1:6379}
sentinels=${SENTINELS-}
deadline=$(($(date +%s) + $1))

# Runs the commands on standard input. Arguments: host:port.
at() {
    timeout 5 valkey-cli -h "${1%:*}" -p "${1##*:}" 2>&1 || :
}

# Runs commands, of which each must answer OK. Arguments: host:port, commands.
run() {
    address=$1
    shift
    for command in "$@"; do
        reply=$(echo "$command" | at "$address")
        if [ "$reply" != OK ]; then
            # An error can repeat the arguments.
            case $reply in *"$password"*) reply="an unknown command" ;; esac
            echo "$address does not execute ${command%% *}: $reply" >&2
            exit 1
        fi
    done
}

for each in $members $sentinels; do
    until reply=$(echo PING | at "$each") && [ "$reply" = PONG ]; do
        if [ "$(date +%s)" -ge "$deadline" ]; then
            echo "$each does not accept the current password: ${reply:-no answer}" >&2
            echo "Former passwords stay valid. When all pods of Redis are ready, run this again." >&2
            exit 1
        fi
        sleep 1
    done
done
if [ -n "$sentinels" ]; then
    # A pod that starts learns from the state of its Sentinel which password to use: Sentinels come first.
    for each in $sentinels; do
        run "$each" "SENTINEL SET $MASTER_NAME auth-pass $password" "SENTINEL CONFIG SET sentinel-pass $password"
    done
    for each in $members; do
        run "$each" "CONFIG SET masterauth $password"
    done
fi
# A Sentinel that starts reads the file that the server of its pod has saved: servers come first.
for each in $members; do
    run "$each" "ACL SETUSER default resetpass >$password" "ACL SAVE"
done
for each in $sentinels; do
    run "$each" "ACL SETUSER default resetpass >$password"
done
echo "all servers of Redis accept the current password only"
