#!/bin/sh
# Checks that a Sentinel can fail over, and that all Sentinels reach this pod.
#
# Usage: check-sentinel.sh PORT
#
# A failover needs a quorum of Sentinels and a replica. A new pod has a new address, which others may learn as late as
# their DNS server's cache allows, with CoreDNS after up to 30 seconds. An update that replaced the next pod before that
# would leave the Sentinels without a replica to promote.
#
# Environment: MASTER_NAME, REDISCLI_AUTH (the password, read by the client), SENTINELS (host:port of all Sentinels),
# OWN_SENTINEL and MEMBER (host:port of this pod's Sentinel and server), and SENTINEL_STATE (the path of its state file).
set -eu

# The password of this pod's Sentinel, which all pods accept. After a change, others may not know that of the environment.
last=$(/bin/sh "$(dirname "$0")/last-password.sh")
REDISCLI_AUTH=${last:-$REDISCLI_AUTH}

sentinel() {
    valkey-cli -h 127.0.0.1 -p "$port" SENTINEL "$1" "$MASTER_NAME"
}

# Prints the flags of this pod's server and Sentinel in an answer of a Sentinel.
own_flags() {
    host='' address=''
    while read -r field && read -r value; do
        case $field in
            ip) host=$value ;;
            port) address=$host:$value ;;
            flags)
                case $address in
                    "$MEMBER" | "$OWN_SENTINEL") echo "$value" ;;
                esac
                ;;
        esac
    done
}

# Succeeds if a Sentinel reaches this pod's server, and its Sentinel if that is another one. One that does not answer
# counts as success.
reached_by() {
    expected=2
    [ "$1" != "$OWN_SENTINEL" ] || expected=1
    answer=$(printf "SENTINEL %s $MASTER_NAME\n" MASTER REPLICAS SENTINELS \
        | timeout 2 valkey-cli -h "${1%:*}" -p "${1##*:}" 2> /dev/null) || return 0
    up=$(echo "$answer" | own_flags | grep -Evc 's_down|disconnected' || :)
    [ "$up" = "$expected" ]
}

port=$1
reply=$(sentinel CKQUORUM)
case $reply in
    OK*) ;;
    *)
        echo "failover is not possible: $reply" >&2
        exit 1
        ;;
esac
if [ "$(sentinel MASTER | sed -n '/^num-slaves$/{n;p;}')" = 0 ]; then
    echo "failover is not possible: the Sentinel knows no replica yet" >&2
    exit 1
fi
for each in $SENTINELS; do
    if ! reached_by "$each"; then
        echo "the Sentinel $each does not reach this pod yet" >&2
        exit 1
    fi
done
