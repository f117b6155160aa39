#!/bin/sh
# Prints host:port of the primary, according to the other pods' Sentinels and the state file of this pod's Sentinel.
#
# Usage: find-primary.sh SECONDS
#
# The entry with the highest epoch counts. The script waits for the other Sentinels for at most SECONDS: a new pod may
# not reach them at once, and its state file is out of date if they have promoted another server. If none answers, it
# uses the state file; at the first start there is none, and it uses FIRST_PRIMARY.
#
# Environment: REDISCLI_AUTH, MASTER_NAME, SENTINELS and OWN_SENTINEL (host:port of all Sentinels, and of this pod's),
# FIRST_PRIMARY (host:port) and SENTINEL_STATE (the path of the state file).
set -eu

deadline=$(($(date +%s) + $1))

# Queries a Sentinel and prints "EPOCH HOST:PORT FLAGS". Each promotion has a higher epoch than the one before.
query_sentinel() {
    timeout 3 valkey-cli -h "${1%:*}" -p "${1##*:}" SENTINEL MASTER "$MASTER_NAME" 2> /dev/null | {
        host='' port='' epoch='' flags=''
        while read -r field && read -r value; do
            case $field in
                ip) host=$value ;;
                port) port=$value ;;
                config-epoch) epoch=$value ;;
                flags) flags=$value ;;
            esac
        done
        if expr "$epoch:$port" : '[0-9]\{1,\}:[0-9]\{1,5\}$' > /dev/null; then
            echo "$epoch $host:$port $flags"
        fi
    } || :
}

# Prints "EPOCH HOST:PORT" from the state file.
read_state() {
    if [ -s "$SENTINEL_STATE" ]; then
        last=$(sed -n "s/^sentinel monitor $MASTER_NAME \([^ ]*\) \([0-9]*\) .*/\1:\2/p" "$SENTINEL_STATE")
        epoch=$(sed -n "s/^sentinel config-epoch $MASTER_NAME \([0-9]*\)$/\1/p" "$SENTINEL_STATE")
        [ -z "$last" ] || echo "${epoch:-0} $last"
    fi
}

while :; do
    others=$(for sentinel in $SENTINELS; do [ "$sentinel" = "$OWN_SENTINEL" ] || query_sentinel "$sentinel"; done)
    newest=$(printf '%s\n' "$others" "$(read_state)" | sort -rn | sed 1q)
    # During a failover, the Sentinels still name the old primary.
    case $others in
        '' | *failover_in_progress*) [ "$(date +%s)" -lt "$deadline" ] || break ;;
        *) break ;;
    esac
    sleep 1
done
primary=$(echo "$newest" | cut -d ' ' -f 2)
echo "${primary:-$FIRST_PRIMARY}"
