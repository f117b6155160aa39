#!/bin/sh
# Prints host:port of the primary: the newest of what the Sentinels of the other pods say and what this pod remembers.
# Usage: find-primary.sh SECONDS
# Waits for the others at most so long. A new pod may not reach them at once, and what it remembers itself is out of
# date if they have promoted another server meanwhile. Without an answer it goes by its memory; at the first start, by
# FIRST_PRIMARY.
# Reads REDISCLI_AUTH, MASTER_NAME, SENTINELS and OWN_SENTINEL (host:port, of all and of this pod), FIRST_PRIMARY
# (host:port) and SENTINEL_STATE (a file).
set -eu

deadline=$(($(date +%s) + $1))

# Prints "EPOCH HOST:PORT FLAGS" from one Sentinel. Each promotion has a greater epoch than the one before.
ask() {
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

# The same from the file of this pod's Sentinel.
remember() {
    if [ -s "$SENTINEL_STATE" ]; then
        last=$(sed -n "s/^sentinel monitor $MASTER_NAME \([^ ]*\) \([0-9]*\) .*/\1:\2/p" "$SENTINEL_STATE")
        epoch=$(sed -n "s/^sentinel config-epoch $MASTER_NAME \([0-9]*\)$/\1/p" "$SENTINEL_STATE")
        [ -z "$last" ] || echo "${epoch:-0} $last"
    fi
}

while :; do
    others=$(for sentinel in $SENTINELS; do [ "$sentinel" = "$OWN_SENTINEL" ] || ask "$sentinel"; done)
    newest=$(printf '%s\n' "$others" "$(remember)" | sort -rn | sed 1q)
    # Who is named while another is being promoted is about to change.
    case $others in
        '' | *failover_in_progress*) [ "$(date +%s)" -lt "$deadline" ] || break ;;
        *) break ;;
    esac
    sleep 1
done
primary=$(echo "$newest" | cut -d ' ' -f 2)
echo "${primary:-$FIRST_PRIMARY}"
