#!/bin/sh
# Prints host:port of the primary: the one that most Sentinels name, else the one last known here, else the first.
# Reads REDISCLI_AUTH, MASTER_NAME, SENTINELS and FIRST_PRIMARY (host:port), and SENTINEL_STATE (a file).
set -eu

answers=$(
    for sentinel in $SENTINELS; do
        timeout 3 valkey-cli -h "${sentinel%:*}" -p "${sentinel##*:}" \
            SENTINEL GET-MASTER-ADDR-BY-NAME "$MASTER_NAME" 2> /dev/null \
            | { read -r host && read -r port && expr "$port" : '[0-9]\{1,5\}$' > /dev/null && echo "$host:$port"; } \
            || :
    done | sort | uniq -c | sort -rn | sed -n '1s/^ *[0-9]* //p'
)
if [ -z "$answers" ] && [ -s "$SENTINEL_STATE" ]; then
    # Nobody answers after all have stopped: each remembers the same.
    answers=$(sed -n "s/^sentinel monitor $MASTER_NAME \([^ ]*\) \([0-9]*\) .*/\1:\2/p" "$SENTINEL_STATE")
fi
echo "${answers:-$FIRST_PRIMARY}"
