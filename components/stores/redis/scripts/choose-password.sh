#!/bin/sh
# Prints the password with which this pod connects to the servers and Sentinels of other pods.
#
# That is the password in the environment if all of them accept it. After the password has changed, pods that have not
# restarted yet only accept the old one. All pods accept that one, until retire-passwords.sh has made them use the new one.
#
# Environment: that of last-password.sh, REDISCLI_AUTH, MEMBERS and SENTINELS (host:port of all servers and Sentinels),
# MEMBER and OWN_SENTINEL (host:port of this pod's).
set -eu

last=$(/bin/sh "$(dirname "$0")/last-password.sh")
if [ -n "$last" ] && [ "$last" != "$REDISCLI_AUTH" ]; then
    for each in $MEMBERS $SENTINELS; do
        case $each in "$MEMBER" | "$OWN_SENTINEL") continue ;; esac
        reply=$(timeout 3 valkey-cli -h "${each%:*}" -p "${each##*:}" PING 2> /dev/null || :)
        if [ "$reply" != PONG ]; then
            echo "$last"
            exit 0
        fi
    done
fi
echo "$REDISCLI_AUTH"
